//! What becomes of a record that another payer sent.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

mod kept_apart;
mod resumed;
mod sealed;
mod stored;
mod taken_out;

use super::*;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::records::store_for_tests::TestStore;
use crate::security::vault::{KEYS_FILE, Vault};
use crate::store::schema::{ingest_resource, resource};
use diesel::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Stores all that came, in a run of its own.
pub(super) fn store(scope: &IngestScope, writer: &IngestWriter) -> Result<IngestCounts, Failure> {
    super::store(scope, writer, &long_turn()).map(|done| done.expect("no turn is so long"))
}

/// Checks all that came, in a run of its own.
pub(super) fn check(scope: &IngestScope, writer: &IngestWriter) -> Result<IngestCheck, Failure> {
    super::check(scope, writer, &long_turn()).map(|done| done.expect("no turn is so long"))
}

/// Takes out all that an exchange brought, and tells it.
pub(super) fn retract(
    ctx: &Context,
    vault: &Vault,
    writer: &IngestWriter,
    exchange_id: &str,
) -> Result<Retracted, Failure> {
    let done = super::retract(ctx, vault, writer, exchange_id, &long_turn())?;
    let own = exchange_id.to_owned();
    writer.write_blocking(move |db| forget_retraction(db, &own))?;
    Ok(done.expect("no turn is so long"))
}

fn long_turn() -> WorkTurn {
    static ROUND: AtomicU32 = AtomicU32::new(1_000);
    WorkTurn::of(ROUND.fetch_add(1, Ordering::Relaxed), Duration::from_secs(3_600))
}

const THEIRS: &str = "https://other.example/fhir";

/// A store with the members `Patient/p` and `Patient/q`, a file of keys, and a partner.
pub(super) struct Bed {
    store: TestStore,
    keys: TempDir,
}

impl Bed {
    pub fn new() -> Bed {
        let bed = Bed {
            store: TestStore::new(),
            keys: tempfile::tempdir().unwrap(),
        };
        bed.store.put(
            &[json!({"resourceType": "Patient", "id": "p", "birthDate": "1980-01-01",
            "name": [{"family": "Lima", "given": ["Ana"]}]})],
        );
        bed
    }

    pub fn ctx(&self) -> &Context {
        &self.store.ctx
    }

    pub fn vault(&self) -> Vault {
        Vault::open(&self.keys.path().join(KEYS_FILE)).unwrap()
    }

    pub fn scope(&self, exchange: &str) -> IngestScope {
        self.scope_of(exchange, "other", "their-p", "p")
    }

    pub fn scope_of(&self, exchange: &str, partner: &str, theirs: &str, ours: &str) -> IngestScope {
        let sides = BothSides {
            exchange_id: exchange.into(),
            partner_id: partner.into(),
            partner_name: "Other Payer".into(),
            partner_base: THEIRS.into(),
            their_patient: theirs.into(),
            our_patient: ours.into(),
        };
        IngestScope::open(self.ctx(), &self.vault(), sides).unwrap()
    }

    pub fn writer(&self) -> IngestWriter {
        IngestWriter::Open(self.ctx().clone())
    }

    /// Spools a body as the part `everything`.
    pub async fn spool(&self, scope: &IngestScope, body: &[u8]) -> Result<LandedPage, Failure> {
        let parts = open(scope, &self.writer(), "everything", &["$everything".to_owned()]).await?;
        let part = parts.into_iter().next().unwrap();
        let link = format!("{THEIRS}/{}", part.pages);
        let mut page = PageWriter::begin(scope, &self.writer(), part, &link).await?;
        for piece in body.chunks(70_000) {
            page.write(piece).await?;
        }
        page.finish(scope.now_ms()).await
    }

    /// Spools these resources in one Bundle, and stores them.
    #[track_caller]
    pub fn bring(&self, scope: &IngestScope, resources: &[Json]) -> IngestCounts {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(self.spool(scope, bundle(resources).as_bytes()))
            .unwrap();
        store(scope, &self.writer()).unwrap()
    }

    /// What is stored of this type: ids and bodies.
    pub fn bodies(&self, rtype: &str) -> Vec<(String, Json)> {
        let rows: Vec<(String, Vec<u8>)> = self
            .ctx()
            .store
            .read_blocking(|db| {
                Ok(resource::table
                    .filter(resource::rtype.eq(rtype))
                    .order(resource::key)
                    .select((resource::id, resource::body))
                    .load(db)?)
            })
            .unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
        rows.iter().map(|(id, body)| (id.clone(), json(body))).collect()
    }

    /// Everything that a reader could see, byte for byte, without what only counts.
    pub fn dump(&self) -> Vec<String> {
        let tables = [
            "resource",
            "resource_identifier",
            "search_value",
            "search_date",
            "attachment",
            "authorization_dependency",
            "member",
            "compartment_names",
            "identity_key",
            "identity_profile",
        ];
        let mut all = Vec::new();
        for table in tables {
            let table = if table == "compartment_names" {
                "compartment"
            } else {
                table
            };
            let columns: Vec<String> = self.lines(&format!(
                "SELECT 'quote(\"' || name || '\")' AS line FROM pragma_table_info('{table}') WHERE name <> 'next_seq'"
            ));
            let query = format!(
                "SELECT '{table}: ' || {} AS line FROM {table} ORDER BY 1",
                columns.join(" || ',' || ")
            );
            all.extend(self.lines(&query));
        }
        all
    }

    fn lines(&self, query: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        let found: Vec<Line> = self
            .ctx()
            .store
            .read_blocking(|db| Ok(diesel::sql_query(query).load(db)?))
            .unwrap();
        found.into_iter().map(|line| line.line).collect()
    }

    /// Outcome and reason of each resource that an exchange brought, in their order.
    pub fn outcomes(&self, exchange: &str) -> Vec<(String, Option<String>)> {
        self.ctx()
            .store
            .read_blocking(|db| {
                Ok(ingest_resource::table
                    .filter(
                        ingest_resource::exchange_id
                            .eq(exchange)
                            .and(ingest_resource::page.gt(0)),
                    )
                    .order((ingest_resource::page, ingest_resource::entry))
                    .select((ingest_resource::outcome, ingest_resource::reason))
                    .load(db)?)
            })
            .unwrap()
    }
}

/// A searchset of these resources.
pub(super) fn bundle(resources: &[Json]) -> String {
    let entries: Vec<Json> = resources
        .iter()
        .map(|resource| {
            json!({"fullUrl": format!("{THEIRS}/{}/{}", resource["resourceType"].as_str().unwrap_or("x"), resource["id"].as_str().unwrap_or("x")),
                "resource": resource, "search": {"mode": "match"}})
        })
        .collect();
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entries}).to_string()
}

/// The partner's Patient for `Patient/p`.
pub(super) fn person() -> Json {
    json!({"resourceType": "Patient", "id": "their-p", "name": [{"family": "Lima", "given": ["Ana"]}], "birthDate": "1980-01-01",
        "identifier": [{"system": "https://other.example/member", "value": "THEIRS-1"}]})
}

/// A Condition of this Patient.
pub(super) fn condition(id: &str, patient: &str) -> Json {
    json!({"resourceType": "Condition", "id": id, "subject": {"reference": patient}, "recordedDate": "2025-01-01",
        "code": {"text": "a finding"}})
}

/// With a version at its source.
pub(super) fn versioned(mut resource: Json, version: &str, updated: &str) -> Json {
    resource["meta"] = json!({"versionId": version, "lastUpdated": updated});
    resource
}

pub(super) fn reason(fault: Fault) -> (String, Option<String>) {
    ("quarantined".into(), Some(fault.code().into()))
}

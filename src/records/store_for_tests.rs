//! A store of its own for tests of what is withheld, with members, and resources that depend on authorizations.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

use super::import::{ImportReport, ingest_ndjson};
use crate::clock::Clock;
use crate::context::{Context, Payer};
use crate::ids::Ids;
use crate::store::schema::resource;
use crate::store::withheld::{self, WithheldFilter};
use crate::store::{Store, StoreOptions, StoreUrl};
use diesel::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use tempfile::TempDir;

pub(super) const NOW: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const PDEX: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";

pub(super) struct TestStore {
    folder: TempDir,
    pub ctx: Context,
}

impl TestStore {
    /// Makes a store with the members `Patient/p` and `Patient/q`.
    pub fn new() -> TestStore {
        let folder = tempfile::tempdir().expect("a folder");
        let url = StoreUrl::parse(&format!("sqlite:{}", folder.path().join("store.db").display())).expect("a URL");
        let store = Store::open(&url, &StoreOptions::default()).expect("a store");
        let ctx = Context::with_defaults(
            store,
            Clock::fixed(NOW),
            Ids::counted(),
            Payer {
                name: "Old".into(),
                npi: "1".into(),
                member_system: "http://old/member".into(),
                umb_system: "http://old/umb".into(),
                base_url: "https://old.example/fhir".into(),
                time_zone: chrono_tz::UTC,
            },
        )
        .expect("a context");
        let one = TestStore { folder, ctx };
        for id in ["p", "q"] {
            one.put(&[
                json!({"resourceType": "Patient", "id": id, "name": [{"family": "Lima"}], "birthDate": "1980-01-01"}),
            ]);
        }
        one
    }

    /// Where its files are.
    pub fn folder(&self) -> &TempDir {
        &self.folder
    }

    /// Imports these in one batch; panics when one is refused.
    #[track_caller]
    pub fn put(&self, resources: &[Json]) -> ImportReport {
        let lines: Vec<String> = resources.iter().map(Json::to_string).collect();
        let text = lines.join("\n");
        let report = ingest_ndjson(&self.ctx, text.as_bytes(), "test", &mut |line, failure| {
            panic!("line {line}: {failure:?}")
        });
        report.expect("stored")
    }

    /// Returns what is withheld, with the reasons.
    pub fn withheld(&self) -> BTreeMap<String, Vec<&'static str>> {
        let page = self
            .ctx
            .store
            .read_blocking(|db| withheld::page(db, &WithheldFilter::default(), -1, 10_000))
            .expect("read");
        page.iter()
            .map(|row| (format!("{}/{}", row.rtype, row.id), row.reasons(NOW)))
            .filter(|(_, reasons)| !reasons.is_empty())
            .collect()
    }

    pub fn reasons(&self, rtype: &str, id: &str) -> Vec<&'static str> {
        self.withheld().remove(&format!("{rtype}/{id}")).unwrap_or_default()
    }

    /// Returns the bytes that would be released.
    pub fn leaves(&self, rtype: &str, id: &str) -> String {
        let row = self.ctx.store.read_blocking(|db| {
            Ok(resource::table
                .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
                .select((resource::body, resource::released))
                .first::<(Vec<u8>, Option<Vec<u8>>)>(db)?)
        });
        let (body, released) = row.expect("there");
        String::from_utf8(released.unwrap_or(body)).expect("UTF-8")
    }
}

/// An authorization with this review action.
pub(super) fn request(id: &str, action: &str) -> Json {
    json!({"resourceType": "ExplanationOfBenefit", "id": id, "status": "active", "use": "preauthorization",
        "meta": {"profile": [format!("{PDEX}/pdex-priorauthorization")]},
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "patient": {"reference": "Patient/p"}, "created": "2025-12-01", "insurer": {"display": "plan"},
        "provider": {"display": "clinic"}, "outcome": "complete",
        "preAuthRefPeriod": [{"start": "2025-12-01", "end": "2026-06-01"}],
        "insurance": [{"focal": true, "coverage": {"display": "plan"}}],
        "item": [{"sequence": 1, "productOrService": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "99202"}]},
            "adjudication": [{"category": {"text": "submitted"}, "extension": [{"url": format!("{PDEX}/extension-reviewAction"),
                "extension": [{"url": format!("{PDEX}/extension-reviewActionCode"), "valueCodeableConcept": {"coding": [
                    {"system": "https://codesystem.x12.org/005010/306", "code": action}]}}]}]}]}]})
}

pub(super) fn denied(id: &str) -> Json {
    request(id, "A3")
}

/// An ordinary claim.
pub(super) fn claim(id: &str) -> Json {
    let mut one = request(id, "A1");
    one["use"] = "claim".into();
    let members = one.as_object_mut().expect("an object");
    for name in ["meta", "preAuthRefPeriod", "item"] {
        members.remove(name);
    }
    one
}

/// A document that references this claim.
pub(super) fn document(id: &str, claim: &str) -> Json {
    json!({"resourceType": "DocumentReference", "id": id, "status": "current", "subject": {"reference": "Patient/p"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "eA=="}}],
        "context": {"related": [{"reference": format!("ExplanationOfBenefit/{claim}")}]}})
}

/// A document that references nothing.
pub(super) fn plain(id: &str) -> Json {
    let mut one = document(id, "x");
    one.as_object_mut().expect("an object").remove("context");
    one
}

pub(super) fn provenance(id: &str, targets: &[&str]) -> Json {
    let targets: Vec<Json> = targets.iter().map(|target| json!({"reference": target})).collect();
    json!({"resourceType": "Provenance", "id": id, "target": targets, "recorded": "2025-12-02T00:00:00Z",
        "agent": [{"who": {"display": "plan"}}]})
}

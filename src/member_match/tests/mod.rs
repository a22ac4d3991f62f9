//! Matches against an SQLite store in a temporary folder.

pub(super) mod answers;
mod doubt;
mod repeats;

use super::*;
use crate::clock::{Clock, parse_rfc3339_ms};
use crate::consent;
use crate::context::Payer;
use crate::fhir::outcome;
use crate::ids::Ids;
use crate::security::{Dialect, PartnerRef};
use crate::store::schema::{
    compartment, consent as consents, decision, grants, idempotency, ledger_entry, member, resource_identifier,
};
use crate::store::{Db, Store, StoreOptions, StoreUrl};
use crate::telemetry::Correlation;
use diesel::prelude::*;
use serde_json::{Value, json};

const OURS: &str = "9876543210";
const THEIRS: &str = "0123456789";
const CARD: &str = "http://old-payer.example.org/identifiers/member";

pub(super) struct World {
    pub(super) ctx: Context,
    pub(super) caller: Caller,
    _folder: tempfile::TempDir,
}

pub(super) struct Person<'a> {
    pub(super) no: i64,
    pub(super) family: &'a str,
    pub(super) given: &'a str,
    pub(super) gender: &'a str,
    pub(super) birth_date: &'a str,
    pub(super) card: &'a str,
    pub(super) subscriber: &'a str,
}

pub(super) const ANA: Person<'static> = Person {
    no: 1,
    family: "Núñez",
    given: "Ana",
    gender: "female",
    birth_date: "1984-07-09",
    card: "M1",
    subscriber: "S1",
};
pub(super) const BEN: Person<'static> = Person {
    no: 2,
    family: "Okafor",
    given: "Ben",
    gender: "male",
    birth_date: "1970-01-02",
    card: "M2",
    subscriber: "S2",
};

impl World {
    pub(super) async fn new(people: &[Person<'_>]) -> World {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let ctx = Context::with_defaults(
            store,
            Clock::fixed(parse_rfc3339_ms("2026-07-01T16:00:00Z").expect("instant")),
            Ids::counted(),
            Payer {
                name: "Old".into(),
                npi: OURS.into(),
                member_system: CARD.into(),
                umb_system: "http://old-payer.example.org/identifiers/umb".into(),
                base_url: "https://localhost:8443/fhir".into(),
                time_zone: chrono_tz::America::New_York,
            },
        )
        .expect("a context");
        let caller = caller("new-payer", "1.1");
        let world = World {
            ctx,
            caller,
            _folder: folder,
        };
        for person in people {
            world.add(person).await;
        }
        crate::records::index::count(&world.ctx).expect("counted");
        world
    }

    async fn add(&self, person: &Person<'_>) {
        let demographics = json!({"name":[{"family":person.family,"given":[person.given]}],
            "gender":person.gender,"birthDate":person.birth_date})
        .to_string();
        let (no, family, birth_date) = (person.no, person.family.to_lowercase(), person.birth_date.to_owned());
        let ids = [
            ("MB", CARD, "Coverage", person.card.to_owned()),
            ("subscriber", "", "Coverage", person.subscriber.to_owned()),
        ];
        let indexer = crate::records::index::Indexer::open(&self.ctx).expect("an indexer");
        self.sql(move |db| {
            diesel::insert_into(compartment::table)
                .values((
                    compartment::no.eq(no),
                    compartment::patient_id.eq(format!("p{no}")),
                    compartment::umb.eq(format!("U{no}")),
                    compartment::next_seq.eq(9),
                ))
                .execute(db)?;
            diesel::insert_into(member::table)
                .values((
                    member::compartment.eq(no),
                    member::patient_id.eq(format!("p{no}")),
                    member::family.eq(&family),
                    member::birth_date.eq(&birth_date),
                    member::demographics.eq(&demographics),
                ))
                .execute(db)?;
            for (seq, (kind, system, rtype, value)) in ids.iter().enumerate() {
                diesel::insert_into(resource_identifier::table)
                    .values((
                        resource_identifier::value.eq(value),
                        resource_identifier::system.eq(system),
                        resource_identifier::rtype.eq(rtype),
                        resource_identifier::kind.eq(kind),
                        resource_identifier::key.eq((no << 24) + i64::try_from(seq).unwrap_or(0)),
                    ))
                    .execute(db)?;
            }
            crate::records::index::renew(db, &indexer, &[no])
        })
        .await;
    }

    pub(super) async fn sql<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> T {
        self.ctx.store.write(work).await.expect("sql")
    }

    pub(super) async fn ask(&self, body: &Value, key: Option<&str>) -> Result<MatchAnswer, Failure> {
        self.ask_as(&self.caller, body.to_string().into_bytes(), key).await
    }

    pub(super) async fn ask_as(
        &self,
        caller: &Caller,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> Result<MatchAnswer, Failure> {
        let idempotency_key = key.map(|key| key.as_bytes().to_vec()).into_iter().collect();
        respond(
            &self.ctx,
            caller,
            MatchRequest {
                body: body.into(),
                media_type: "application/fhir+json".into(),
                idempotency_key,
            },
        )
        .await
    }

    /// Counts the rows of decision, consent, grant, idempotency and ledger.
    pub(super) async fn counts(&self) -> [i64; 5] {
        self.sql(|db| {
            Ok([
                decision::table.count().get_result(db)?,
                consents::table.count().get_result(db)?,
                grants::table.count().get_result(db)?,
                idempotency::table.count().get_result(db)?,
                ledger_entry::table.count().get_result(db)?,
            ])
        })
        .await
    }

    pub(super) async fn actions(&self) -> Vec<String> {
        self.sql(|db| {
            Ok(ledger_entry::table
                .order(ledger_entry::id)
                .select(ledger_entry::action)
                .load(db)?)
        })
        .await
    }

    pub(super) async fn outcomes(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let columns = (decision::outcome, decision::reason, decision::patient_id);
        self.sql(move |db| Ok(decision::table.order(decision::id).select(columns).load(db)?))
            .await
    }

    /// Reads every column that could hold a value of the request.
    pub(super) async fn traces(&self) -> String {
        self.sql(|db| {
            let details: Vec<String> = decision::table.select(decision::detail).load(db)?;
            let entries: Vec<Vec<u8>> = ledger_entry::table.select(ledger_entry::entry).load(db)?;
            let entries = entries.iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
            Ok(details.into_iter().chain(entries).collect::<Vec<_>>().join("\n"))
        })
        .await
    }
}

pub(super) fn caller(id: &str, hrex: &str) -> Caller {
    Caller {
        partner: PartnerRef {
            id: id.into(),
            npi: THEIRS.into(),
            dialect: Dialect {
                hrex: hrex.into(),
                pdex: "2.2".into(),
                us_core: "6.1.0".into(),
            },
            error_texts: None,
        },
        client_id: id.into(),
        scope: String::new(),
        patient_id: None,
        certificate_sha256: None,
        jti_sha256: [3; 32],
        token_sha256: [7; 32],
        token_expires_ms: i64::MAX,
        partner_version: 1,
        correlation: Correlation::internal("r-1".into()),
    }
}

fn actor(system: &str, code: &str, npi: &str) -> Value {
    json!({"role":{"coding":[{"system":system,"code":code}]},
        "reference":{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":npi}}})
}

fn coverage(system: &str, card: &str) -> Value {
    json!({"resourceType":"Coverage","identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB"}]},
        "system":system,"value":card}],"status":"active","beneficiary":{"reference":"Patient/mp"},
        "payor":[{"identifier":{"system":"http://hl7.org/fhir/sid/us-npi","value":OURS}}]})
}

pub(super) fn asking(person: &Person<'_>) -> Value {
    json!({"resourceType":"Parameters","parameter":[
        {"name":"MemberPatient","resource":{"resourceType":"Patient","id":"mp","name":[{"family":person.family,"given":[person.given]}],
            "gender":person.gender,"birthDate":person.birth_date}},
        {"name":"CoverageToMatch","resource":coverage(CARD, person.card)},
        {"name":"CoverageToLink","resource":coverage("http://new-payer.example.org/identifiers/member", "N77")},
        {"name":"Consent","resource":{"resourceType":"Consent","id":"c","meta":{"security":[{"code":"R"}]},"status":"active",
            "scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},
            "category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"IDSCL"}]}],
            "patient":{"reference":"Patient/mp"},"performer":[{"reference":"Patient/mp"}],
            "sourceReference":{"reference":"http://new-payer.example.org/DocumentReference/1"},
            "policy":[{"uri":consent::REGULAR}],
            "provision":{"type":"permit","period":{"start":"2026-01-01","end":"2026-12-31"},
                "actor":[actor("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "performer", OURS),
                    actor("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", THEIRS)],
                "action":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentaction","code":"disclose"}]}]}}}]})
}

/// A request in which the value at `path` is replaced; paths are JSON pointers below `parameter`.
pub(super) fn but(person: &Person<'_>, path: &str, value: Value) -> Value {
    let mut body = asking(person);
    *body.pointer_mut(&format!("/parameter{path}")).expect("path") = value;
    body
}

pub(super) fn a_request() -> Value {
    asking(&ANA)
}

pub(super) fn a_request_but(path: &str, value: Value) -> Value {
    but(&ANA, path, value)
}

fn fault(answer: Result<MatchAnswer, Failure>) -> Fault {
    answer.expect_err("refused").fault()
}

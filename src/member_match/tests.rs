//! Matches against an SQLite store in a temporary folder.

use super::*;
use crate::clock::{Clock, parse_rfc3339_ms};
use crate::context::Payer;
use crate::ids::Ids;
use crate::security::{Dialect, PartnerRef};
use crate::store::schema::{
    compartment, consent as consents, decision, grants, idempotency, ledger_entry, member, resource_identifier,
};
use crate::store::{Db, Store, StoreOptions, StoreUrl};
use crate::telemetry::Correlation;
use diesel::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const OURS: &str = "9876543210";
const THEIRS: &str = "0123456789";
const CARD: &str = "http://old-payer.example.org/identifiers/member";

struct World {
    ctx: Context,
    caller: Caller,
    _folder: tempfile::TempDir,
}

struct Person<'a> {
    no: i64,
    family: &'a str,
    given: &'a str,
    gender: &'a str,
    birth_date: &'a str,
    card: &'a str,
    subscriber: &'a str,
}

const ANA: Person<'static> = Person {
    no: 1,
    family: "Núñez",
    given: "Ana",
    gender: "female",
    birth_date: "1984-07-09",
    card: "M1",
    subscriber: "S1",
};
const BEN: Person<'static> = Person {
    no: 2,
    family: "Okafor",
    given: "Ben",
    gender: "male",
    birth_date: "1970-01-02",
    card: "M2",
    subscriber: "S2",
};

impl World {
    async fn new(people: &[Person<'_>]) -> World {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let ctx = Context {
            store,
            clock: Clock::fixed(parse_rfc3339_ms("2026-07-01T16:00:00Z").expect("instant")),
            ids: Ids::counted(),
            payer: Arc::new(Payer {
                name: "Old".into(),
                npi: OURS.into(),
                member_system: CARD.into(),
                umb_system: "http://old-payer.example.org/identifiers/umb".into(),
                base_url: "https://localhost:8443/fhir".into(),
                time_zone: chrono_tz::America::New_York,
            }),
            review: crate::context::ReviewTerms::default(),
            matching: Arc::default(),
        };
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

    async fn sql<T: Send + 'static>(&self, work: impl FnMut(&mut Db) -> Result<T, Failure> + Send + 'static) -> T {
        self.ctx.store.write(work).await.expect("sql")
    }

    async fn ask(&self, body: &Value, key: Option<&str>) -> Result<Answer, Failure> {
        self.ask_as(&self.caller, body.to_string().into_bytes(), key).await
    }

    async fn ask_as(&self, caller: &Caller, body: Vec<u8>, key: Option<&str>) -> Result<Answer, Failure> {
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

    /// Rows of decision, consent, grants, idempotency and ledger.
    async fn counts(&self) -> [i64; 5] {
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

    async fn actions(&self) -> Vec<String> {
        self.sql(|db| {
            Ok(ledger_entry::table
                .order(ledger_entry::id)
                .select(ledger_entry::action)
                .load(db)?)
        })
        .await
    }

    async fn outcomes(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let columns = (decision::outcome, decision::reason, decision::patient_id);
        self.sql(move |db| Ok(decision::table.order(decision::id).select(columns).load(db)?))
            .await
    }

    /// Everything in the store that could hold a word of the request.
    async fn traces(&self) -> String {
        self.sql(|db| {
            let details: Vec<String> = decision::table.select(decision::detail).load(db)?;
            let entries: Vec<Vec<u8>> = ledger_entry::table.select(ledger_entry::entry).load(db)?;
            let entries = entries.iter().map(|entry| String::from_utf8_lossy(entry).into_owned());
            Ok(details.into_iter().chain(entries).collect::<Vec<_>>().join("\n"))
        })
        .await
    }
}

fn caller(id: &str, hrex: &str) -> Caller {
    Caller {
        partner: PartnerRef {
            id: id.into(),
            npi: THEIRS.into(),
            dialect: Dialect {
                hrex: hrex.into(),
                pdex: "2.2".into(),
                us_core: "6.1.0".into(),
            },
        },
        client_id: id.into(),
        scope: String::new(),
        patient_id: None,
        certificate_sha256: None,
        jti_sha256: [3; 32],
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

fn asking(person: &Person<'_>) -> Value {
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

/// A request in which something is different; paths are JSON pointers below `parameter`.
fn but(person: &Person<'_>, path: &str, value: Value) -> Value {
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

fn fault(answer: Result<Answer, Failure>) -> Fault {
    answer.expect_err("refused").fault()
}

#[actix_web::test]
async fn a_match_keeps_decision_consent_grant_and_ledger_together() {
    let world = World::new(&[ANA, BEN]).await;
    let answer = world.ask(&asking(&ANA), None).await.expect("matched");
    let body: Value = serde_json::from_slice(&answer.body).expect("json");
    assert_eq!((answer.status, answer.replayed), (200, false));
    assert_eq!(body["parameter"][0]["valueIdentifier"]["value"], "U1");
    assert_eq!(body["parameter"][1]["valueReference"]["reference"], "Patient/p1");
    assert_eq!(world.counts().await, [1, 1, 1, 0, 2]);
    assert_eq!(world.actions().await, ["member-match.begun", "member-match.matched"]);
    assert_eq!(
        world.outcomes().await,
        [("matched".to_owned(), None, Some("p1".to_owned()))]
    );
    let (linked, sensitive, until): (bool, i64, i64) = world
        .sql(|db| {
            let named: Option<String> = decision::table.select(decision::grant_id).first(db)?;
            let (id, sensitive, until): (String, i64, i64) = grants::table
                .select((grants::id, grants::sensitive, grants::valid_until_ms))
                .first(db)?;
            Ok((named == Some(id), sensitive, until))
        })
        .await;
    assert!(linked);
    assert_eq!(
        (sensitive, until),
        (0, parse_rfc3339_ms("2027-01-01T05:00:00Z").expect("instant"))
    );
    let kept: Vec<u8> = world
        .sql(|db| Ok(consents::table.select(consents::body).first(db)?))
        .await;
    let kept: Value = serde_json::from_slice(&kept).expect("json");
    assert!(
        kept.get("id").is_none() && kept.get("meta").is_none(),
        "t_b10: the server's fields are not taken over"
    );
    let traces = world.traces().await;
    for word in ["Núñez", "Ana", "1984", "M1", "p1", "U1"] {
        assert!(!traces.contains(word), "{word} in {traces}");
    }
}

#[actix_web::test]
async fn hrex_1_0_gets_the_identifier_alone() {
    let world = World::new(&[ANA]).await;
    let answer = world
        .ask_as(&caller("new-payer", "1.0"), asking(&ANA).to_string().into_bytes(), None)
        .await
        .expect("matched");
    let body: Value = serde_json::from_slice(&answer.body).expect("json");
    assert_eq!(body["parameter"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn asking_again_decides_anew_and_renews_the_one_grant() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k1")).await.expect("matched");
    world.ctx.clock.advance_ms(1000);
    let mut other_spelling = asking(&ANA);
    other_spelling["parameter"][3]["resource"]["id"] = json!("another-id");
    let again = world.ask(&other_spelling, Some("k2")).await.expect("matched");
    assert!(!again.replayed);
    assert_eq!(world.counts().await, [2, 1, 1, 2, 4]);
    let (created, renewed): (i64, i64) = world
        .sql(|db| {
            Ok(grants::table
                .select((grants::created_ms, grants::renewed_ms))
                .first(db)?)
        })
        .await;
    assert_eq!(renewed - created, 1000);
    world
        .ask(&but(&ANA, "/3/resource/policy/0/uri", json!(consent::SENSITIVE)), None)
        .await
        .expect("matched");
    assert_eq!(
        world.counts().await,
        [3, 2, 2, 2, 6],
        "another consent is another grant"
    );
    world
        .ask_as(
            &caller("third-payer", "1.1"),
            asking(&ANA).to_string().into_bytes(),
            Some("k1"),
        )
        .await
        .expect("matched");
    assert_eq!(
        world.counts().await,
        [4, 3, 3, 3, 8],
        "t_d14: keys, consents and grants are the partner's own"
    );
}

#[actix_web::test]
async fn t_c01_none_review_and_a_failed_gate_are_one_answer() {
    let twin = Person {
        no: 3,
        subscriber: "S3",
        ..ANA
    };
    let stranger = Person {
        family: "Quist",
        given: "Zoë",
        birth_date: "1961-11-30",
        card: "M77",
        ..ANA
    };
    let world = World::new(&[ANA, BEN]).await;
    let several = World::new(&[ANA, twin]).await;
    let consent = "/3/resource/provision";
    let mut bodies = Vec::new();
    for (world, body, outcome) in [
        (
            &world,
            but(&ANA, "/0/resource/birthDate", json!("1984-07-10")),
            "review",
        ),
        (
            &world,
            but(&ANA, "/1/resource/identifier/0/value", json!("M2")),
            "review",
        ),
        (
            &world,
            but(&ANA, "/1/resource/identifier/0/value", json!("M404")),
            "review",
        ),
        (&world, asking(&stranger), "none"),
        (
            &world,
            but(
                &ANA,
                "/3/resource/provision/actor/1/reference/identifier/value",
                json!("1111111111"),
            ),
            "gate",
        ),
        (&several, asking(&ANA), "review"),
        (
            &world,
            but(&BEN, &format!("{consent}/period/end"), json!("2026-06-30")).clone(),
            "consent",
        ),
    ] {
        let failure = world.ask(&body, None).await.expect_err("refused");
        let last = world.outcomes().await.pop().expect("a decision");
        assert_eq!(last.0, outcome);
        assert_eq!(
            last.2.is_some(),
            outcome == "consent",
            "only a consent refusal names the member, and only to us"
        );
        if outcome == "consent" {
            assert_eq!(failure.fault(), Fault::ConsentNotHonoured);
            assert!(failure.expressions().is_empty());
        } else {
            assert_eq!(failure.fault(), Fault::NoUniqueMember);
            bodies.push(outcome::bytes(&failure, "https://localhost"));
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "byte-equal");
    let counts = world.counts().await;
    assert_eq!(
        counts,
        [6, 0, 0, 0, 15],
        "a refusal stores its decision and its ledger entries, and what a person has to look at is opened"
    );
    assert_eq!(
        world.actions().await[..2],
        ["member-match.begun", "member-match.refused"]
    );
}

#[actix_web::test]
async fn t_c04_a_consent_that_cannot_be_honoured_says_nothing_of_strangers() {
    let world = World::new(&[ANA]).await;
    let expired = json!({"start":"2025-01-01","end":"2025-12-31"});
    assert_eq!(
        fault(
            world
                .ask(&but(&ANA, "/3/resource/provision/period", expired.clone()), None)
                .await
        ),
        Fault::ConsentNotHonoured
    );
    assert_eq!(
        fault(
            world
                .ask(&but(&BEN, "/3/resource/provision/period", expired), None)
                .await
        ),
        Fault::NoUniqueMember
    );
    for (path, value) in [
        ("/3/resource/provision/type", json!("deny")),
        ("/3/resource/status", json!("inactive")),
        ("/3/resource/policy/0/uri", json!("http://example.org/policy")),
        (
            "/3/resource/provision/actor/0/reference/identifier/value",
            json!("1111111111"),
        ),
        ("/3/resource/provision/action/0/coding/0/code", json!("access")),
    ] {
        assert_eq!(
            fault(world.ask(&but(&ANA, path, value), None).await),
            Fault::ConsentNotHonoured,
            "{path}"
        );
    }
    assert_eq!(world.counts().await[1..4], [0, 0, 0]);
}

#[actix_web::test]
async fn a_broken_request_leaves_a_ledger_entry_and_no_decision() {
    let world = World::new(&[ANA]).await;
    for (body, expected) in [
        (b"{".to_vec(), Fault::NotJson),
        (
            br#"{"resourceType":"Patient","id":"a"}"#.to_vec(),
            Fault::ResourceInvalid,
        ),
        (
            but(&ANA, "/0/resource/gender", json!("f")).to_string().into_bytes(),
            Fault::MatchInvalid,
        ),
        (
            but(&ANA, "/3/resource/patient/reference", json!("Patient/other"))
                .to_string()
                .into_bytes(),
            Fault::MatchReference,
        ),
    ] {
        let failure = world.ask_as(&world.caller, body, None).await.expect_err("refused");
        assert_eq!(failure.fault(), expected, "{failure}");
    }
    assert_eq!(world.counts().await, [0, 0, 0, 0, 4]);
    assert!(
        world
            .actions()
            .await
            .iter()
            .all(|action| action == "member-match.refused")
    );
}

#[actix_web::test]
async fn a_key_replays_success_and_final_refusal_with_the_same_bytes() {
    let world = World::new(&[ANA]).await;
    let first = world.ask(&asking(&ANA), Some("\"k-1\"")).await.expect("matched");
    let again = world.ask(&asking(&ANA), Some("k-1")).await.expect("replayed");
    assert_eq!((again.status, again.replayed, &again.body), (200, true, &first.body));
    let refused = world.ask(&asking(&BEN), Some("k-2")).await.expect_err("no such member");
    let again = world.ask(&asking(&BEN), Some("k-2")).await.expect("replayed");
    assert_eq!((again.status, again.replayed), (422, true));
    assert_eq!(again.body, outcome::bytes(&refused, "https://localhost:8443/fhir"));
    let broken = but(&ANA, "/0/resource/gender", json!("f"));
    world.ask(&broken, Some("k-3")).await.expect_err("broken");
    assert!(world.ask(&broken, Some("k-3")).await.expect("replayed").replayed);
    assert_eq!(world.counts().await[..4], [2, 1, 1, 3], "nothing was done twice");
    assert_eq!(
        fault(world.ask(&asking(&BEN), Some("k-1")).await),
        Fault::IdempotencyKeyReused
    );
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k 1")).await),
        Fault::IdempotencyKeyBad
    );
}

#[actix_web::test]
async fn what_cannot_be_read_is_not_remembered() {
    let world = World::new(&[ANA]).await;
    for _ in 0..2 {
        let failure = world
            .ask_as(&world.caller, b"{".to_vec(), Some("k"))
            .await
            .expect_err("not json");
        assert_eq!(failure.fault(), Fault::NotJson);
    }
    world.ask(&asking(&ANA), Some("k")).await.expect("the key is free");
}

#[actix_web::test]
async fn a_stored_success_is_not_replayed_after_its_grant_ended() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k")).await.expect("matched");
    world
        .sql(|db| {
            Ok(diesel::update(consents::table)
                .set(consents::revoked_ms.eq(Some(1)))
                .execute(db)?)
        })
        .await;
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k")).await),
        Fault::ConsentNotHonoured
    );
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k2")).await),
        Fault::ConsentNotHonoured,
        "a revoked consent is not honoured again"
    );
    let (live, renewed): (i64, i64) = world
        .sql(|db| {
            let renewed = grants::table
                .filter(grants::renewed_ms.ne(grants::created_ms))
                .count()
                .get_result(db)?;
            Ok((grants::table.count().get_result(db)?, renewed))
        })
        .await;
    assert_eq!((live, renewed), (1, 0));
}

#[actix_web::test]
async fn a_key_counts_as_new_after_a_week_and_waits_for_one_that_runs() {
    let world = World::new(&[ANA]).await;
    world.ask(&asking(&ANA), Some("k")).await.expect("matched");
    world.ctx.clock.advance_ms(crate::store::idempotency::KEPT_MS);
    let again = world.ask(&asking(&ANA), Some("k")).await.expect("matched anew");
    assert!(!again.replayed);
    assert_eq!(world.counts().await[..4], [2, 1, 1, 1]);
    let lease = world.ctx.clock.now_ms() + 1000;
    let running = (
        idempotency::state.eq("running"),
        idempotency::lease_until_ms.eq(lease),
        idempotency::status.eq(None::<i64>),
    );
    world
        .sql(move |db| Ok(diesel::update(idempotency::table).set(running).execute(db)?))
        .await;
    assert_eq!(
        fault(world.ask(&asking(&ANA), Some("k")).await),
        Fault::IdempotencyRunning
    );
    world.ctx.clock.advance_ms(1000);
    assert!(
        !world
            .ask(&asking(&ANA), Some("k"))
            .await
            .expect("its process is gone")
            .replayed
    );
}

#[actix_web::test]
async fn parallel_requests_with_one_key_do_the_work_once() {
    let world = World::new(&[ANA]).await;
    let body = asking(&ANA);
    let answers = futures_util::future::join_all((0..16).map(|_| world.ask(&body, Some("k")))).await;
    let answers: Vec<Answer> = answers.into_iter().map(|answer| answer.expect("answered")).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    assert_eq!(world.counts().await[..4], [1, 1, 1, 1]);
    futures_util::future::join_all((0..16).map(|_| world.ask(&body, None)))
        .await
        .into_iter()
        .for_each(|a| drop(a.expect("matched")));
    assert_eq!(
        world.counts().await[..4],
        [17, 1, 1, 1],
        "one live grant for one partner, member and consent"
    );
}

#[path = "doubt_tests.rs"]
mod doubt;

//! What depends on a withheld authorization is withheld with it, whatever the order of arrival, and is released with it.

use super::super::store_for_tests::{TestStore, claim, denied, document, plain, provenance, request};
use crate::clock::rfc3339_ms;
use crate::secret::sha256;
use crate::store::schema::resource;
use diesel::prelude::*;
use serde_json::json;

const HANGS: [&str; 1] = ["attached-to-withheld"];
const ABSENT: [&str; 1] = ["attached-to-absent-claim"];
const FREE: [&str; 0] = [];

#[test]
fn a_document_of_a_denied_authorization_is_withheld_in_every_order() {
    let first = TestStore::new();
    first.put(&[denied("a")]);
    first.put(&[document("d", "a")]);
    assert_eq!(first.reasons("DocumentReference", "d"), HANGS);

    let second = TestStore::new();
    let report = second.put(&[document("d", "a")]);
    assert_eq!(
        second.reasons("DocumentReference", "d"),
        ABSENT,
        "nobody knows what it depends on"
    );
    assert_eq!(report.withheld.get("attached-to-absent-claim"), Some(&1));
    second.put(&[denied("a")]);
    assert_eq!(second.reasons("DocumentReference", "d"), HANGS);

    let together = TestStore::new();
    let report = together.put(&[document("d", "a"), denied("a"), plain("other")]);
    assert_eq!(together.reasons("DocumentReference", "d"), HANGS);
    assert_eq!(report.withheld.values().sum::<u64>(), 2);
    assert_eq!(together.reasons("DocumentReference", "other"), FREE);
}

#[test]
fn a_document_follows_its_authorization_when_that_changes() {
    let store = TestStore::new();
    store.put(&[document("d", "a"), denied("a")]);
    store.put(&[request("a", "A1")]);
    assert_eq!(store.reasons("DocumentReference", "d"), FREE, "approved on appeal");
    store.put(&[denied("a")]);
    assert_eq!(store.reasons("DocumentReference", "d"), HANGS);
    store.put(&[claim("a")]);
    assert_eq!(store.reasons("DocumentReference", "d"), FREE);
    // It depended on an ordinary claim, for which no row is stored; then that claim turned out to be an authorization.
    store.put(&[claim("b")]);
    store.put(&[document("e", "b"), provenance("pr", &["ExplanationOfBenefit/b"])]);
    store.put(&[denied("b")]);
    assert_eq!(store.reasons("DocumentReference", "e"), HANGS);
    assert_eq!(store.reasons("Provenance", "pr"), HANGS);
    // The document itself changes and then depends on nothing.
    store.put(&[plain("e")]);
    assert_eq!(store.reasons("DocumentReference", "e"), FREE);
}

#[test]
fn a_document_that_a_denied_authorization_names_is_withheld() {
    let names = |id: &str, action: &str| {
        let mut one = request(id, action);
        one["supportingInfo"] = json!([
            {"sequence": 1, "category": {"text": "x"}, "valueReference": {"reference": "DocumentReference/d"}},
            {"sequence": 2, "category": {"text": "x"}, "valueReference": {"reference": "Condition/c"}}]);
        one
    };
    let condition =
        json!({"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/p"}, "code": {"text": "x"}});
    for late in [false, true] {
        let store = TestStore::new();
        if late {
            store.put(&[names("a", "A3")]);
            store.put(&[plain("d"), condition.clone()]);
        } else {
            store.put(&[plain("d"), condition.clone()]);
            store.put(&[names("a", "A3")]);
        }
        assert_eq!(store.reasons("DocumentReference", "d"), HANGS, "late {late}");
        assert_eq!(
            store.reasons("Condition", "c"),
            FREE,
            "a clinical fact stays what it is"
        );
        store.put(&[names("a", "A1")]);
        assert_eq!(store.reasons("DocumentReference", "d"), FREE);
        store.put(&[denied("a")]);
        assert_eq!(store.reasons("DocumentReference", "d"), FREE, "it is no longer named");
    }
}

#[test]
fn documents_of_a_request_follow_its_answer() {
    let store = TestStore::new();
    let kind =
        json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]});
    let asked = json!({"resourceType": "Claim", "id": "c", "status": "active", "use": "preauthorization", "type": kind,
        "patient": {"reference": "Patient/p"}, "created": "2025-12-01", "provider": {"display": "x"},
        "priority": {"text": "normal"}, "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "x"}}],
        "supportingInfo": [{"sequence": 1, "category": {"text": "x"}, "valueReference": {"reference": "DocumentReference/d"}}],
        "item": [{"sequence": 1, "productOrService": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "99202"}]}}]});
    let answer = |action: &str| {
        let review = request("x", action)["item"][0]["adjudication"].clone();
        json!({"resourceType": "ClaimResponse", "id": "r", "status": "active", "use": "preauthorization", "type": kind,
            "patient": {"reference": "Patient/p"}, "created": "2025-12-02", "insurer": {"display": "x"}, "outcome": "complete",
            "request": {"reference": "Claim/c"}, "item": [{"itemSequence": 1, "adjudication": review}]})
    };
    store.put(&[plain("d"), asked]);
    assert_eq!(store.reasons("DocumentReference", "d"), FREE, "the request waits");
    store.put(&[answer("A3")]);
    assert_eq!(store.reasons("DocumentReference", "d"), HANGS);
    store.put(&[answer("A1")]);
    assert_eq!(store.reasons("DocumentReference", "d"), FREE);
    let mut letter = document("letter", "x");
    letter["context"]["related"][0]["reference"] = "ClaimResponse/r".into();
    store.put(&[letter]);
    assert_eq!(store.reasons("DocumentReference", "letter"), FREE);
    store.put(&[answer("A3")]);
    assert_eq!(store.reasons("DocumentReference", "letter"), HANGS);
}

#[test]
fn a_provenance_of_many_loses_what_never_leaves_and_keeps_the_rest() {
    let store = TestStore::new();
    store.put(&[denied("no"), request("yes", "A1"), claim("paid"), plain("d")]);
    let all = [
        "ExplanationOfBenefit/no",
        "ExplanationOfBenefit/yes",
        "ExplanationOfBenefit/paid",
        "DocumentReference/d",
    ];
    store.put(&[provenance("many", &all), provenance("one", &all[..1])]);
    assert_eq!(store.reasons("Provenance", "one"), HANGS);
    assert_eq!(store.reasons("Provenance", "many"), FREE);
    let leaves = store.leaves("Provenance", "many");
    assert!(
        !leaves.contains("ExplanationOfBenefit/no") && leaves.contains("ExplanationOfBenefit/yes"),
        "{leaves}"
    );
    assert!(
        leaves.contains("ExplanationOfBenefit/paid") && leaves.contains("DocumentReference/d"),
        "{leaves}"
    );
    assert_eq!(causeway_fhir_types::check(leaves.as_bytes()), Ok("Provenance"));
    store.put(&[request("no", "A6")]);
    assert_eq!(store.reasons("Provenance", "one"), FREE);
    assert!(store.leaves("Provenance", "many").contains("ExplanationOfBenefit/no"));
    store.put(&[denied("yes"), denied("no")]);
    let leaves = store.leaves("Provenance", "many");
    assert!(
        !leaves.contains("ExplanationOfBenefit/no") && !leaves.contains("ExplanationOfBenefit/yes"),
        "{leaves}"
    );
}

#[test]
fn a_claim_elsewhere_or_of_another_member_withholds_what_refers_to_it() {
    let store = TestStore::new();
    let mut others = request("others", "A1");
    others["patient"] = json!({"reference": "Patient/q"});
    store.put(&[others, request("own", "A1")]);
    let related = |id: &str, related: serde_json::Value| {
        let mut one = plain(id);
        one["context"] = json!({"related": [related]});
        one
    };
    for (id, reference) in [
        (
            "abs",
            json!({"reference": "https://elsewhere.example/fhir/ExplanationOfBenefit/own"}),
        ),
        (
            "ver",
            json!({"reference": "https://elsewhere.example/fhir/ClaimResponse/own/_history/2"}),
        ),
        ("others", json!({"reference": "ExplanationOfBenefit/others"})),
        (
            "logical",
            json!({"type": "ClaimResponse", "identifier": {"value": "AUTH1"}}),
        ),
    ] {
        store.put(&[related(id, reference)]);
        assert_eq!(store.reasons("DocumentReference", id), ABSENT, "{id}");
    }
    for (id, reference) in [
        (
            "mine",
            json!({"reference": "https://old.example/fhir/ExplanationOfBenefit/own"}),
        ),
        (
            "typed",
            json!({"type": "ExplanationOfBenefit", "reference": "ExplanationOfBenefit/own/_history/1"}),
        ),
        (
            "encounter",
            json!({"reference": "https://elsewhere.example/fhir/Encounter/Claim-1"}),
        ),
    ] {
        store.put(&[related(id, reference)]);
        assert_eq!(store.reasons("DocumentReference", id), FREE, "{id}");
    }
}

#[test]
fn what_contains_a_claim_and_what_is_shared_and_names_one_is_withheld() {
    let store = TestStore::new();
    let mut holds = plain("holds");
    let mut inner = claim("inner");
    inner["id"] = "c".into();
    holds["contained"] = json!([inner]);
    let mut disguised = plain("disguised");
    disguised["meta"] =
        json!({"profile": ["http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/pdex-priorauthorization"]});
    store.put(&[
        holds,
        disguised,
        json!({"resourceType": "Organization", "id": "o", "name": "x",
            "extension": [{"url": "http://x.example/claim", "valueReference": {"reference": "Claim/c"}}]}),
    ]);
    assert_eq!(store.reasons("DocumentReference", "holds"), ["contains-claim"]);
    assert_eq!(
        store.reasons("DocumentReference", "disguised"),
        ["authorization-unclear"]
    );
    assert!(store.reasons("Organization", "o").contains(&"shared-with-claim"));
}

/// Returns version and time of change, after checking that the columns, the bytes and their digest agree.
#[track_caller]
fn stamp(store: &TestStore, rtype: &str, id: &str) -> (i64, i64) {
    let row = store.ctx.store.read_blocking(|db| {
        Ok(resource::table
            .filter(resource::rtype.eq(rtype).and(resource::id.eq(id)))
            .select((
                resource::version,
                resource::last_updated_ms,
                resource::sha256,
                resource::body,
            ))
            .first::<(i64, i64, Vec<u8>, Vec<u8>)>(db)?)
    });
    let (version, last_updated_ms, digest, body) = row.expect("there");
    assert_eq!(digest, sha256(&body));
    for text in [String::from_utf8(body).expect("UTF-8"), store.leaves(rtype, id)] {
        let one: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let meta = json!({"versionId": version.to_string(), "lastUpdated": rfc3339_ms(last_updated_ms)});
        assert_eq!(one["meta"], meta, "{rtype}/{id}");
    }
    (version, last_updated_ms)
}

/// Asserts that this is the next version, about a minute later: each import adds a millisecond of its own.
#[track_caller]
fn assert_later(before: (i64, i64), after: (i64, i64)) {
    assert_eq!(after.0, before.0 + 1);
    assert!(after.1 > before.1 + 59_000, "{before:?} {after:?}");
}

#[test]
fn what_comes_free_bears_the_time_at_which_it_did() {
    let store = TestStore::new();
    store.put(&[
        document("late", "a"),
        document("denied", "b"),
        denied("b"),
        document("free", "c"),
        request("c", "A1"),
        provenance("both", &["ExplanationOfBenefit/b", "ExplanationOfBenefit/c"]),
    ]);
    let names = [
        ("DocumentReference", "late"),
        ("DocumentReference", "denied"),
        ("DocumentReference", "free"),
        ("Provenance", "both"),
    ];
    let before = names.map(|(rtype, id)| stamp(&store, rtype, id));
    store.ctx.clock.advance_ms(60_000);
    store.put(&[claim("a"), request("b", "A1")]);
    let after = names.map(|(rtype, id)| stamp(&store, rtype, id));
    for (index, (_, id)) in names.iter().enumerate() {
        if *id == "free" {
            assert_eq!(after[index], before[index]);
        } else {
            assert_later(before[index], after[index]);
        }
    }
    assert_eq!(store.withheld().len(), 0);
    // Becoming withheld does not change the version time, and a resource that also changes in the same batch gets one new version.
    store.put(&[denied("b")]);
    assert_eq!(stamp(&store, "DocumentReference", "denied"), after[1]);
    store.ctx.clock.advance_ms(60_000);
    let mut changed = document("denied", "b");
    changed["description"] = "changed".into();
    store.put(&[request("b", "A6"), changed]);
    assert_later(after[1], stamp(&store, "DocumentReference", "denied"));
    // The source sends the same content again: nothing changes.
    let again = store.put(&[document("late", "a")]);
    assert_eq!((again.stored, again.unchanged), (0, 1));
}

#[test]
fn a_claim_is_named_by_the_url_of_its_definition_and_holds_what_is_attached_to_it() {
    let store = TestStore::new();
    let mut one = plain("typed");
    one["context"] = json!({"related": [{"type": "http://hl7.org/fhir/StructureDefinition/ExplanationOfBenefit",
        "identifier": {"value": "AUTH0001"}}]});
    let mut attaches = denied("a");
    attaches["supportingInfo"] = json!([{"sequence": 1, "category": {"text": "x"},
        "valueAttachment": {"contentType": "text/plain", "url": "Binary/b"}}]);
    store.put(&[
        one,
        json!({"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "eA=="}),
    ]);
    store.put(&[attaches]);
    assert_eq!(store.reasons("DocumentReference", "typed"), ABSENT);
    assert_ne!(store.reasons("Binary", "b"), FREE);
}

#[test]
fn what_a_binary_says_moves_with_its_key() {
    let store = TestStore::new();
    let organization = |name: &str| json!({"resourceType": "Organization", "id": "o", "name": name});
    store.put(&[denied("den")]);
    store.put(&[
        json!({"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "eA==",
        "securityContext": {"reference": "ExplanationOfBenefit/den"}}),
    ]);
    let before = store.reasons("Binary", "b");
    assert!(!before.is_empty());
    // A document references it, so it moves to the member; its key is then given to another resource, which changes.
    let mut named = plain("d");
    named["content"][0]["attachment"] = json!({"url": "Binary/b"});
    store.put(&[named]);
    store.put(&[organization("first")]);
    store.put(&[organization("second")]);
    assert_eq!(store.reasons("Binary", "b"), before);
}

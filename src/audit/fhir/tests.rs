//! Each pattern of an event, of entries as the ledger writes them, and what an event leaves out when the entry does not say it.

use super::table::patterns;
use super::*;
use crate::audit::{Action, Actor, ConsentNote, LedgerEvent, Object, OperatorNote, RestCall};
use crate::telemetry::Correlation;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const ENTRY: &str = "01a21bfa-0000-7000-8000-000000000001";

fn payer() -> Payer {
    Payer {
        name: "Old Payer".into(),
        npi: "1992000012".into(),
        member_system: "http://old-payer.example/members".into(),
        umb_system: "http://old-payer.example/umb".into(),
        base_url: "https://old-payer.example/fhir".into(),
        time_zone: chrono_tz::Tz::UTC,
    }
}

fn by_partner(action: Action) -> LedgerEvent {
    let actor = Actor {
        kind: "partner",
        id: Some("new-payer".into()),
        client_id: Some("new-payer-client".into()),
        certificate_sha256: Some([1; 32]),
        jti_sha256: Some([2; 32]),
    };
    let mut event = LedgerEvent::new(action, actor, Correlation::internal("request-1".into()));
    event.object = Some(Object {
        kind: "Patient",
        id: "p1".into(),
    });
    event.consent = Some(ConsentNote {
        id: "c1".into(),
        decision: "permit",
        rule: "regular",
    });
    event
}

fn beside(event: &LedgerEvent) -> AuditedEntry {
    let bytes = event.bytes(1_795_823_325_239_214, &[7; 32]);
    AuditedEntry {
        id: ENTRY.into(),
        facts: serde_json::from_slice(&bytes).expect("an entry"),
        subject: event.object.as_ref().map(|object| object.id.clone()),
        patient: Some("p1".into()),
        consent: Some("c1".into()),
        ..AuditedEntry::default()
    }
}

fn profiles(event: &Value) -> Vec<&str> {
    let each = event["meta"]["profile"].as_array().into_iter().flatten();
    each.filter_map(|url| {
        url.as_str()?
            .strip_prefix("https://profiles.ihe.net/ITI/BALP/StructureDefinition/")
    })
    .collect()
}

fn ended(is_complete: bool) -> Option<AuditedEnd> {
    Some(AuditedEnd {
        is_complete,
        bytes: 522,
        counts: BTreeMap::from([("Observation".to_owned(), 1)]),
    })
}

#[test]
fn every_action_has_events_but_the_end_of_a_disclosure_and_their_ids_differ() {
    let untold: Vec<&str> = Action::ALL
        .iter()
        .filter(|one| !is_told(**one))
        .map(|one| one.code())
        .collect();
    assert_eq!(untold, ["disclosure.completed"]);
    for action in Action::ALL {
        let suffixes: BTreeSet<&str> = patterns(action.code()).iter().map(|(suffix, _)| *suffix).collect();
        assert_eq!(suffixes.len(), patterns(action.code()).len(), "{}", action.code());
        for event in events(&beside(&by_partner(*action)), &payer()) {
            let id = event["id"].as_str().expect("an id");
            assert!(crate::ids::is_fhir_id(id) && entry_id(id) == ENTRY, "{id}");
            assert!(no_empty(&event), "{event:#}");
        }
    }
    assert_eq!(
        patterns("later.action").len(),
        1,
        "an action of a newer version is told as well"
    );
}

/// FHIR has no empty list, object or text, and no null.
fn no_empty(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty() && items.iter().all(no_empty),
        Value::Object(members) => !members.is_empty() && members.values().all(no_empty),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

#[test]
fn the_same_entry_is_the_same_bytes() {
    let mut event = by_partner(Action::DisclosureBegun);
    event.interaction = Some(RestCall::Read);
    let told = || serde_json::to_string(&events(&beside(&event), &payer())).expect("JSON");
    assert_eq!(told(), told());
}

#[test]
fn each_interaction_names_its_profile_only_where_all_of_it_is_there() {
    const TOKEN: &str = parts::TOKEN_USE;
    type Row = (RestCall, bool, Option<bool>, &'static [&'static str], &'static str);
    let rows: &[Row] = &[
        (
            RestCall::Read,
            true,
            Some(true),
            &["IHE.BasicAudit.PatientRead", TOKEN],
            "0",
        ),
        (
            RestCall::VersionRead,
            true,
            Some(true),
            &["IHE.BasicAudit.PatientRead", TOKEN],
            "0",
        ),
        (
            RestCall::Search,
            true,
            Some(true),
            &["IHE.BasicAudit.PatientQuery", TOKEN],
            "0",
        ),
        (RestCall::Operation, true, Some(true), &[TOKEN], "0"),
        (RestCall::Read, false, Some(true), &["IHE.BasicAudit.Read", TOKEN], "0"),
        (
            RestCall::Search,
            false,
            Some(true),
            &["IHE.BasicAudit.Query", TOKEN],
            "0",
        ),
        (RestCall::Read, true, Some(false), &[TOKEN], "4"),
        (RestCall::Search, true, None, &[TOKEN], "4"),
    ];
    for (call, with_patient, end, wanted, outcome) in rows {
        let mut event = by_partner(Action::DisclosureBegun);
        event.interaction = Some(*call);
        let mut entry = beside(&event);
        entry.end = end.and_then(ended);
        if !with_patient {
            entry.patient = None;
        }
        let told = events(&entry, &payer());
        assert_eq!(profiles(&told[0]), *wanted, "{call:?} {with_patient} {end:?}");
        assert_eq!(
            (&told[0]["outcome"], &told[0]["subtype"][0]["code"]),
            (&json!(outcome), &json!(call.code()))
        );
        let disclosures: Vec<&Value> = told.iter().filter(|event| is_disclosure(event)).collect();
        assert_eq!(
            disclosures.len(),
            usize::from(*with_patient),
            "a disclosure is of somebody"
        );
        for disclosure in disclosures {
            assert_eq!(profiles(disclosure), ["IHE.BasicAudit.PrivacyDisclosure.Source"]);
            assert_eq!(disclosure["agent"][0]["who"], disclosure["source"]["observer"]);
        }
    }
}

#[test]
fn an_entry_of_before_interactions_were_recorded_is_told_as_an_operation() {
    let mut entry = beside(&by_partner(Action::DisclosureBegun));
    entry.end = ended(true);
    let told = events(&entry, &payer());
    assert_eq!(told[0]["subtype"][0]["code"], "operation");
    assert_eq!(told[1]["entity"][1]["what"]["display"], "Observation 1");
}

#[test]
fn a_value_that_was_erased_is_told_by_its_commitment_and_nobody_is_named() {
    let mut event = by_partner(Action::ConsentRecorded);
    event.object = Some(Object {
        kind: "Consent",
        id: "c1".into(),
    });
    let mut entry = beside(&event);
    (entry.subject, entry.patient, entry.consent) = (None, None, None);
    let told = &events(&entry, &payer())[0];
    assert_eq!(profiles(told), ["IHE.BasicAudit.Create"]);
    let named = &told["entity"][0]["what"]["identifier"];
    assert_eq!(named["system"], "urn:ietf:rfc:3986");
    let hash = entry.facts.object.id_commit.as_deref().and_then(parts::hash_uri);
    assert_eq!(named["value"].as_str(), hash.as_deref());
    assert!(!told.to_string().contains("Patient/"), "{told}");
}

#[test]
fn a_consent_decides_for_a_known_member_only_and_a_refusal_is_an_outcome() {
    let permitted = beside(&by_partner(Action::MatchMatched));
    let told = events(&permitted, &payer());
    assert_eq!(profiles(&told[1]), ["IHE.BasicAudit.AuthZconsent"]);
    assert_eq!(
        (&told[1]["outcome"], &told[1]["outcomeDesc"]),
        (&json!("0"), &json!("permit: regular"))
    );
    let mut refused = by_partner(Action::MatchRefused);
    refused.consent = Some(ConsentNote {
        id: "c1".into(),
        decision: "refuse",
        rule: "revoked",
    });
    let mut refused = beside(&refused);
    assert_eq!(events(&refused, &payer())[1]["outcome"], "8");
    refused.patient = None;
    assert_eq!(events(&refused, &payer()).len(), 1);
}

#[test]
fn an_operator_is_named_with_role_and_reason() {
    let actor = Actor {
        kind: "operator",
        id: Some("auditor".into()),
        ..Actor::default()
    };
    let mut event = LedgerEvent::new(Action::OperatorViewed, actor, Correlation::internal("r".into()));
    event.note = Some(OperatorNote {
        operator: "ana".into(),
        reason: "a complaint".into(),
    });
    let mut entry = beside(&event);
    (entry.operator, entry.reason, entry.patient) = (Some("ana".into()), Some("a complaint".into()), None);
    let told = &events(&entry, &payer())[0];
    assert_eq!(told["type"]["code"], "110101");
    assert_eq!(told["agent"][0]["who"]["identifier"]["value"], "ana");
    assert_eq!(told["agent"][0]["role"][0]["text"], "auditor");
    assert_eq!(told["purposeOfEvent"][0]["text"], "a complaint");
}

#[test]
fn a_token_and_a_certificate_are_told_by_their_hashes() {
    let mut event = by_partner(Action::TokenIssued);
    (event.object, event.consent) = (None, None);
    let mut entry = beside(&event);
    entry.patient = None;
    let told = &events(&entry, &payer())[0];
    assert_eq!(profiles(told), ["IHE.IUA.71"]);
    let certificate = format!("ni:///sha-256;{}", crate::secret::base64url(&[1; 32]));
    assert_eq!(told["agent"][0]["altId"], certificate.as_str());
    entry.facts.outcome.class = "refused".into();
    assert!(profiles(&events(&entry, &payer())[0]).is_empty());
}

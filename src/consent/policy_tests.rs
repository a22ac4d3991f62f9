//! Every row of the consent decision table, and the generated matrix over it.

use super::*;
use crate::clock::parse_rfc3339_ms;
use serde_json::{Value, json};

const OURS: &str = "9876543210";
const THEIRS: &str = "0123456789";

fn actor(system: &str, code: &str, npi: &str) -> Value {
    json!({"role":{"coding":[{"system":system,"code":code}]},"reference":{"identifier":{"system":NPI,"value":npi}}})
}

fn source(npi: &str) -> Value {
    actor(
        "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
        "performer",
        npi,
    )
}

fn recipient(npi: &str) -> Value {
    actor(
        "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
        "IRCP",
        npi,
    )
}

fn concept(system: &str, code: &str) -> Value {
    json!({"coding":[{"system":system,"code":code}]})
}

fn disclose(code: &str) -> Value {
    concept("http://terminology.hl7.org/CodeSystem/consentaction", code)
}

fn good() -> Value {
    json!({"resourceType":"Consent","status":"active",
        "scope":concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category":[concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")],
        "patient":{"reference":"Patient/1"},"performer":[{"reference":"Patient/1"}],
        "sourceReference":{"reference":"http://new.example/DocumentReference/1"},
        "policy":[{"uri":REGULAR}],
        "provision":{"type":"permit","period":{"start":"2026-01-01","end":"2026-12-31"},
            "actor":[source(OURS), recipient(THEIRS)],"action":[disclose("disclose")]}})
}

fn judged(consent: &Value, now: &str) -> Result<ConsentTerms, &'static ConsentRule> {
    let consent: Consent = serde_json::from_value(consent.clone()).expect("consent");
    judge(&ConsentQuestion {
        consent: &consent,
        member: "Patient/1",
        our_npi: OURS,
        partner_npi: THEIRS,
        now_ms: parse_rfc3339_ms(now).expect("instant"),
        zone: chrono_tz::America::New_York,
        segments: true,
    })
}

/// Where to write what (`null` removes), and which rule must then refuse the consent.
fn breaks() -> Vec<(&'static str, Value, &'static str)> {
    let all = |npi: &str| json!([source(npi), recipient(npi)]);
    let both = |a: Value, b: Value| json!([a, b]);
    vec![
        ("/status", Value::Null, "status-given"),
        ("/scope", Value::Null, "scope-given"),
        ("/category", Value::Null, "category-given"),
        ("/patient", Value::Null, "patient-given"),
        ("/performer", Value::Null, "performer-once"),
        (
            "/performer",
            json!([{"reference":"Patient/1"},{"reference":"Patient/1"}]),
            "performer-once",
        ),
        ("/sourceReference", Value::Null, "source-given"),
        ("/policy", Value::Null, "policy-given"),
        ("/policy", json!([{"authority":"http://x"}]), "policy-uri-given"),
        ("/provision/type", Value::Null, "type-given"),
        ("/provision/period", Value::Null, "period-complete"),
        ("/provision/period", json!({"start":"2026-01-01"}), "period-complete"),
        ("/provision/period", json!({"end":"2026-12-31"}), "period-complete"),
        (
            "/provision/period",
            json!({"start":"2026-12-31","end":"2026-01-01"}),
            "period-complete",
        ),
        (
            "/provision/period",
            json!({"start":"soon","end":"2026-12-31"}),
            "period-complete",
        ),
        ("/provision/actor", json!([recipient(THEIRS)]), "source-actor-given"),
        ("/provision/actor", json!([source(OURS)]), "recipient-actor-given"),
        ("/provision/action", Value::Null, "action-once"),
        (
            "/provision/action",
            both(disclose("disclose"), disclose("collect")),
            "action-once",
        ),
        ("/patient", json!({"reference":"Patient/2"}), "about-the-member"),
        (
            "/patient",
            json!({"reference":"http://x/Patient/1"}),
            "about-the-member",
        ),
        ("/patient", json!({"display":"Patient/1"}), "about-the-member"),
        (
            "/performer",
            json!([{"reference":"Patient/2"}]),
            "granted-by-the-member",
        ),
        (
            "/performer",
            json!([{"reference":"Organization/1"}]),
            "granted-by-the-member",
        ),
        (
            "/performer",
            json!([{"reference":"RelatedPerson/1"}]),
            "granted-by-the-member",
        ),
        ("/verification", json!([{"verified":false}]), "verified"),
        (
            "/verification",
            json!([{"verified":true},{"verified":false}]),
            "verified",
        ),
        ("/verification", json!([{"verificationDate":"2026-01-01"}]), "verified"),
        (
            "/provision/actor",
            json!([source(OURS), recipient("1111111111")]),
            "recipient-is-the-caller",
        ),
        (
            "/provision/actor",
            json!([source(THEIRS), recipient(OURS)]),
            "recipient-is-the-caller",
        ),
        ("/provision/actor", all(OURS), "recipient-is-the-caller"),
        (
            "/provision/actor",
            json!([source(OURS), source(THEIRS), recipient(OURS)]),
            "recipient-is-the-caller",
        ),
        ("/provision/actor", all(THEIRS), "source-is-us"),
        (
            "/provision/actor",
            json!([source("1111111111"), recipient(THEIRS)]),
            "source-is-us",
        ),
        (
            "/provision/actor/0/reference",
            json!({"identifier":{"value":OURS}}),
            "source-is-us",
        ),
        (
            "/provision/actor/0/reference",
            json!({"identifier":{"system":"urn:x","value":OURS}}),
            "source-is-us",
        ),
        (
            "/provision/actor/0/reference",
            json!({"reference":"Organization/1","display":OURS}),
            "source-is-us",
        ),
        ("/status", json!("inactive"), "active"),
        ("/status", json!("rejected"), "active"),
        ("/status", json!("draft"), "active"),
        ("/status", json!("entered-in-error"), "active"),
        (
            "/scope",
            concept("http://terminology.hl7.org/CodeSystem/consentscope", "research"),
            "scope-privacy",
        ),
        ("/scope", concept("urn:x", "patient-privacy"), "scope-privacy"),
        (
            "/category",
            json!([concept("http://loinc.org", "59284-0")]),
            "category-disclosure",
        ),
        (
            "/category",
            both(
                concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL"),
                concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL"),
            ),
            "category-once",
        ),
        (
            "/scope/coding",
            both(
                concept(SCOPES, "patient-privacy")["coding"][0].clone(),
                concept(SCOPES, "research")["coding"][0].clone(),
            ),
            "scope-privacy",
        ),
        (
            "/sourceReference",
            json!({"reference":"http://new.example/Consent/1"}),
            "source-is-a-document",
        ),
        (
            "/sourceReference",
            json!({"reference":"Consent/1/_history/2"}),
            "source-is-a-document",
        ),
        (
            "/sourceReference",
            json!({"type":"Contract","identifier":{"value":"1"}}),
            "source-is-a-document",
        ),
        ("/provision/type", json!("deny"), "permits"),
        ("/provision/type", json!("PERMIT"), "permits"),
        ("/provision/action", json!([disclose("access")]), "discloses"),
        ("/provision/action", json!([{"text":"disclose"}]), "discloses"),
        (
            "/provision/action/0/coding",
            both(
                disclose("disclose")["coding"][0].clone(),
                disclose("use")["coding"][0].clone(),
            ),
            "discloses",
        ),
        ("/provision/securityLabel", json!([{"code":"R"}]), "unfiltered"),
        ("/provision/purpose", json!([{"code":"TREAT"}]), "unfiltered"),
        ("/provision/class", json!([{"code":"Observation"}]), "unfiltered"),
        ("/provision/code", json!([{"text":"x"}]), "unfiltered"),
        ("/provision/dataPeriod", json!({"start":"2020"}), "unfiltered"),
        ("/provision/data", json!([{"meaning":"instance"}]), "unfiltered"),
        ("/provision/provision", json!([{"type":"deny"}]), "unfiltered"),
        (
            "/policy",
            both(json!({"uri":REGULAR}), json!({"uri":SENSITIVE})),
            "one-policy",
        ),
        (
            "/policy",
            both(json!({"uri":REGULAR}), json!({"uri":"http://state.example/law"})),
            "one-policy",
        ),
        ("/policy", json!([{"uri":"http://state.example/law"}]), "policy-known"),
        ("/policy", json!([{"uri":format!("{REGULAR} ")}]), "policy-known"),
        ("/policy", json!([{"uri":REGULAR.to_uppercase()}]), "policy-known"),
        (
            "/provision/period",
            json!({"start":"2026-07-02","end":"2026-12-31"}),
            "started",
        ),
        (
            "/provision/period",
            json!({"start":"2026-07-01T16:00:01Z","end":"2026-12-31"}),
            "started",
        ),
        (
            "/provision/period",
            json!({"start":"2025-01-01","end":"2026-06-30"}),
            "not-ended",
        ),
        (
            "/provision/period",
            json!({"start":"2025","end":"2026-06"}),
            "not-ended",
        ),
        (
            "/provision/period",
            json!({"start":"2025","end":"2026-07-01T15:59:59Z"}),
            "not-ended",
        ),
    ]
}

const NOON: &str = "2026-07-01T16:00:00Z";

fn put(consent: &mut Value, path: &str, value: &Value) {
    let (parent, key) = path.rsplit_once('/').expect("path");
    if let Some(Value::Object(object)) = consent.pointer_mut(parent) {
        if value.is_null() {
            object.remove(key);
        } else {
            object.insert(key.to_owned(), value.clone());
        }
    }
}

#[test]
fn t_d09_a_good_consent_permits_what_its_policy_says() {
    let terms = judged(&good(), NOON).expect("permit");
    assert_eq!(terms.scope, ConsentScope::Regular);
    assert_eq!(
        (terms.from_ms, terms.until_ms),
        (
            parse_rfc3339_ms("2026-01-01T05:00:00Z").expect("t"),
            parse_rfc3339_ms("2027-01-01T05:00:00Z").expect("t")
        )
    );
    let mut sensitive = good();
    put(&mut sensitive, "/policy", &json!([{"uri":SENSITIVE}]));
    assert_eq!(judged(&sensitive, NOON).expect("permit").scope, ConsentScope::Sensitive);
    let mut mutual = good();
    put(
        &mut mutual,
        "/provision/actor",
        &json!([source(OURS), source(THEIRS), recipient(OURS), recipient(THEIRS)]),
    );
    put(
        &mut mutual,
        "/category",
        &json!([
            concept("http://loinc.org", "59284-0"),
            concept("http://terminology.hl7.org/CodeSystem/v3-ActCode", "IDSCL")
        ]),
    );
    assert!(judged(&mutual, NOON).is_ok());
}

/// HRex uses patterns: additional codings of other systems change nothing.
#[test]
fn codings_of_other_systems_may_stand_beside_those_of_the_profile() {
    let also = json!({"system":"http://new.example/scopes","code":"p2p"});
    for path in ["/scope/coding", "/category/0/coding", "/provision/action/0/coding"] {
        for first in [true, false] {
            let mut consent = good();
            let codings = consent.pointer_mut(path).and_then(Value::as_array_mut).expect(path);
            codings.insert(usize::from(!first), also.clone());
            assert!(judged(&consent, NOON).is_ok(), "{path}");
        }
    }
    for source in [
        json!({"reference":"DocumentReference/1"}),
        json!({"reference":"https://new.example/fhir/DocumentReference/1/_history/2"}),
        json!({"reference":"urn:uuid:5b4a3b1e-0000-4000-8000-000000000000"}),
        json!({"reference":"#original"}),
        json!({"reference":"DocumentReference?identifier=https://new.example/Consent/|1"}),
        json!({"reference":"https://new.example/fhir/DocumentReference/1/#page=2"}),
        json!({"reference":"https://new.example/documents/Consent"}),
        json!({"reference":"https://new.example/Consent/files/1.pdf"}),
        json!({"type":"DocumentReference","identifier":{"value":"1"}}),
    ] {
        let mut consent = good();
        put(&mut consent, "/sourceReference", &source);
        assert!(judged(&consent, NOON).is_ok(), "{source}");
    }
}

#[test]
fn t_d09_a_source_of_another_type_is_refused_however_its_reference_is_written() {
    for text in [
        "Consent/1",
        "Consent/1/",
        "Consent//1",
        "Consent/1/_history",
        "Consent/1/_history/",
        "Consent/1/_history/2",
        "Consent/1/_history/2/",
        "Consent/1#part",
        "Consent/1?x=1",
        "Consent?identifier=1",
        "Consent/?identifier=1",
        "/Consent/1",
        "https://new.example/fhir/Consent?identifier=1",
        "https://new.example/fhir/Consent/1/#part",
        "https://new.example/fhir/Patient?identifier=a/DocumentReference/1",
        "https://new.example/fhir/Contract/1?x=/DocumentReference/1",
    ] {
        let mut consent = good();
        put(&mut consent, "/sourceReference", &json!({"reference": text}));
        let refused = judged(&consent, NOON).expect_err(text);
        assert_eq!(refused.name, "source-is-a-document", "{text}");
    }
}

#[test]
fn t_d09_the_period_is_read_in_the_payers_zone_and_includes_both_ends() {
    for (now, permitted) in [
        ("2026-01-01T04:59:59Z", false),
        ("2026-01-01T05:00:00Z", true),
        ("2027-01-01T04:59:59Z", true),
        ("2027-01-01T05:00:00Z", false),
    ] {
        assert_eq!(judged(&good(), now).is_ok(), permitted, "{now}");
    }
}

#[test]
fn t_d09_every_single_break_is_refused_by_its_rule() {
    for (path, value, rule) in breaks() {
        let mut consent = good();
        put(&mut consent, path, &value);
        assert_eq!(judged(&consent, NOON).expect_err(rule).name, rule, "{path} {value}");
    }
}

/// Some 2,000 consents with two faults: always refused, by the rule that is first in the table.
#[test]
fn t_d09_two_breaks_are_refused_by_the_graver_class() {
    let row = |name: &str| RULES.iter().position(|rule| rule.name == name).expect("rule");
    let all = breaks();
    let mut rows = 0;
    for (i, (path_a, value_a, rule_a)) in all.iter().enumerate() {
        for (path_b, value_b, rule_b) in &all[i + 1..] {
            // One change would undo the other.
            if path_a.starts_with(path_b) || path_b.starts_with(path_a) {
                continue;
            }
            let mut consent = good();
            put(&mut consent, path_a, value_a);
            put(&mut consent, path_b, value_b);
            let refused = judged(&consent, NOON).expect_err("two breaks");
            assert_eq!(
                refused.name,
                RULES[row(rule_a).min(row(rule_b))].name,
                "{rule_a} {rule_b}"
            );
            rows += 1;
        }
    }
    assert!(rows >= 200, "{rows}");
}

#[test]
fn t_d09_a_representative_counts_only_when_the_consent_names_one() {
    let mut consent = good();
    put(&mut consent, "/performer", &json!([{"reference":"RelatedPerson/r"}]));
    let named = |role: &str| json!({"role":concept(ROLE_CODE, role),"reference":{"reference":"RelatedPerson/r"}});
    put(
        &mut consent,
        "/provision/actor",
        &json!([source(OURS), recipient(THEIRS), named("HPOWATT")]),
    );
    assert!(judged(&consent, NOON).is_ok());
    put(
        &mut consent,
        "/provision/actor",
        &json!([source(OURS), recipient(THEIRS), named("NBOR")]),
    );
    assert_eq!(
        judged(&consent, NOON).expect_err("not a representative").name,
        "granted-by-the-member"
    );
}

#[test]
fn t_d08_regular_is_refused_where_sensitive_data_cannot_be_told_apart() {
    let consent: Consent = serde_json::from_value(good()).expect("consent");
    let now_ms = parse_rfc3339_ms(NOON).expect("instant");
    let zone = chrono_tz::UTC;
    let question = ConsentQuestion {
        consent: &consent,
        member: "Patient/1",
        our_npi: OURS,
        partner_npi: THEIRS,
        now_ms,
        zone,
        segments: false,
    };
    assert_eq!(judge(&question).expect_err("cannot segment").name, "segments");
}

#[test]
fn rules_are_named_once_and_ordered_by_class() {
    let names: std::collections::HashSet<_> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(names.len(), RULES.len());
    assert!(RULES.is_sorted_by_key(|rule| rule.class));
}

/// What a partner may get before a look-up has faults of its own; what depends on this payer's data has one fixed fault.
#[test]
fn t_c04_the_class_of_a_rule_says_what_may_be_told_of_it() {
    for rule in RULES {
        let fault = rule.fault;
        match rule.class {
            RuleClass::Profile => assert_eq!(fault, Fault::MatchInvalid, "{rule:?}"),
            RuleClass::Request => assert!(("CO-010"..="CO-019").contains(&fault.code()), "{rule:?}"),
            RuleClass::Honour => assert_eq!((fault, rule.name), (Fault::ConsentNotHonoured, "segments")),
        }
        assert!(rule.remedy.ends_with('.'), "{rule:?}");
        assert_eq!(fault.row().http, 422, "{rule:?}");
    }
}

#[test]
fn an_empty_npi_is_nobody() {
    let mut consent = good();
    put(&mut consent, "/provision/actor", &json!([source(OURS), recipient("")]));
    let consent: Consent = serde_json::from_value(consent).expect("consent");
    let now_ms = parse_rfc3339_ms(NOON).expect("instant");
    let zone = chrono_tz::UTC;
    let question = ConsentQuestion {
        consent: &consent,
        member: "Patient/1",
        our_npi: OURS,
        partner_npi: "",
        now_ms,
        zone,
        segments: true,
    };
    assert_eq!(judge(&question).expect_err("nobody").name, "recipient-is-the-caller");
}

//! Which parts of an authorization are recognized, line by line, and which are not.

use super::*;
use crate::fhir::prescreen::{ScreenLimits, screen};
use serde_json::{Value as Json, json};

const X12: &str = "https://codesystem.x12.org/005010/306";
const PDEX: &str = "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition";
const PAS: &str = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition";
const HCPCS: &str = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets";
const DISCRIMINATOR: &str = "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PDexAdjudicationDiscriminator";

/// An adjudication with this review action.
pub(super) fn reviewed(guide: &str, system: &str, code: &str) -> Json {
    json!({"category": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "submitted"}]},
        "extension": [
            {"url": format!("{guide}/extension-reviewAction"), "extension": [
                {"url": "number", "valueString": "AUTH0001"},
                {"url": format!("{guide}/extension-reviewActionCode"),
                    "valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}]},
            {"url": format!("{PDEX}/base-ext-when-adjudicated"), "valueDateTime": "2024-05-05"}]})
}

/// An adjudication with a denial reason.
pub(super) fn denial_reason() -> Json {
    json!({"category": {"coding": [{"system": DISCRIMINATOR, "code": "denialreason"}]},
        "reason": {"coding": [{"system": "https://x12.org/codes/claim-adjustment-reason-codes", "code": "50"}]}})
}

pub(super) fn line(product: Json, adjudications: Vec<Json>) -> Json {
    let mut line = json!({"sequence": 1, "productOrService": product});
    if !adjudications.is_empty() {
        line["adjudication"] = adjudications.into();
    }
    line
}

pub(super) fn service() -> Json {
    json!({"coding": [{"system": HCPCS, "code": "E0601"}]})
}

pub(super) fn authorization(lines: Vec<Json>) -> Json {
    let mut one = json!({"resourceType": "ExplanationOfBenefit", "id": "pa",
        "meta": {"profile": [format!("{PDEX}/pdex-priorauthorization")]}, "status": "active",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "use": "preauthorization", "patient": {"reference": "Patient/p"}, "created": "2024-01-01",
        "insurer": {"display": "plan"}, "provider": {"display": "clinic"}, "outcome": "complete",
        "preAuthRef": ["AUTH0001"], "preAuthRefPeriod": [{"start": "2024-01-01", "end": "2025-06-01"}],
        "insurance": [{"focal": true, "coverage": {"display": "plan"}}]});
    if !lines.is_empty() {
        one["item"] = lines.into();
    }
    one
}

pub(super) fn of(resource: &Json) -> (i64, Option<i64>) {
    let text = resource.to_string();
    let now = when::range_ms("2025-01-01").expect("a date").0;
    state(
        &screen(text.as_bytes(), &ScreenLimits::record()).expect("passes"),
        None,
        now,
    )
}

fn of_lines(codes: &[&str]) -> (i64, Option<i64>) {
    of(&authorization(
        codes
            .iter()
            .map(|code| line(service(), vec![reviewed(PDEX, X12, code)]))
            .collect(),
    ))
}

#[test]
fn the_state_follows_review_status_and_period() {
    let decided = when::range_ms("2024-05-05").map(|range| range.0);
    let end = |text| when::range_ms(text).map(|range| range.1);
    for code in ["A1", "A2", "A6"] {
        assert_eq!(of_lines(&[code]), (ACTIVE, end("2025-06-01")), "{code}");
    }
    assert_eq!(of_lines(&["A4"]), (ACTIVE, None));
    assert_eq!(of_lines(&["A1", "A4"]), (ACTIVE, None));
    assert_eq!(of_lines(&["A3", "A6"]), (ACTIVE, end("2025-06-01")), "approved in part");
    assert_eq!(of_lines(&["A3", "A3"]), (DENIED, decided));
    assert_eq!(of_lines(&["A3", "C"]), (DENIED, decided));
    assert_eq!(of_lines(&["C"]), (ENDED, decided));
    for code in ["CT", "NA", "A5", "a1", " A1"] {
        let one = authorization(vec![line(service(), vec![reviewed(PDEX, X12, code)])]);
        assert_eq!(of(&one).0, UNCLEAR, "{code}");
    }
    let with = |name: &str, value: Json| {
        let mut one = authorization(vec![line(service(), vec![reviewed(PDEX, X12, "A1")])]);
        one[name] = value;
        of(&one)
    };
    assert_eq!(with("status", "cancelled".into()), (ENDED, decided));
    for (name, value) in [
        ("status", json!("draft")),
        ("status", json!("entered-in-error")),
        ("status", json!("Active")),
        ("outcome", json!("error")),
        ("outcome", json!("denied")),
        (
            "modifierExtension",
            json!([{"url": "http://x.example/not", "valueBoolean": true}]),
        ),
        ("disposition", json!("Denied for lack of information")),
        ("adjudication", json!([denial_reason()])),
        ("adjudication", json!([reviewed(PAS, X12, "A3")])),
    ] {
        assert_eq!(with(name, value.clone()).0, UNCLEAR, "{name}: {value}");
    }
    let over = json!([{"end": "2024-08-01"}]);
    assert_eq!(with("preAuthRefPeriod", over), (ENDED, end("2024-08-01")));
}

#[test]
fn a_denial_reason_denies_and_beside_an_approval_nobody_knows() {
    let of = |adjudications: Vec<Json>| of(&authorization(vec![line(service(), adjudications)])).0;
    assert_eq!(of(vec![denial_reason()]), DENIED);
    assert_eq!(of(vec![reviewed(PDEX, X12, "A3"), denial_reason()]), DENIED);
    assert_eq!(of(vec![reviewed(PDEX, X12, "A1"), denial_reason()]), UNCLEAR);
    assert_eq!(of(vec![reviewed(PDEX, X12, "A1"), reviewed(PDEX, X12, "A3")]), UNCLEAR);
    // Certified in part: the reason explains the part that was not.
    assert_eq!(of(vec![reviewed(PDEX, X12, "A2"), denial_reason()]), ACTIVE);
    let mut header = authorization(vec![line(service(), vec![])]);
    header["adjudication"] = json!([denial_reason()]);
    assert_eq!(super::tests::of(&header).0, DENIED);
    let mut added = authorization(vec![]);
    added["addItem"] = json!([line(service(), vec![denial_reason()])]);
    assert_eq!(super::tests::of(&added).0, DENIED);
}

#[test]
fn words_of_a_denial_that_nothing_explains_are_not_recognized() {
    let fresh = || authorization(vec![line(service(), vec![reviewed(PDEX, X12, "A1")])]);
    assert_eq!(of(&fresh()).0, ACTIVE);
    for word in [
        "Denied",
        "Not medically necessary",
        "NON-CERTIFIED",
        "Adverse determination",
        "not authorized",
        "Disapproved",
    ] {
        let said = json!({"text": word});
        let extension = json!([{"url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-ExplanationOfBenefit.decision",
            "valueCodeableConcept": {"coding": [{"code": "x", "display": word}]}}]);
        for (at, value) in [
            ("/processNote", json!([{"number": 1, "text": word}])),
            ("/disposition", json!(word)),
            ("/extension", extension.clone()),
            ("/item/0/extension", extension.clone()),
            ("/item/0/adjudication/0/reason", said.clone()),
            (
                "/adjudication",
                json!([{"category": {"text": "x"}, "reason": said.clone()}]),
            ),
            (
                "/item/0/detail",
                json!([{"sequence": 1, "productOrService": service(),
                "adjudication": [{"category": {"text": "x"}, "reason": {"coding": [{"display": word}]}}]}]),
            ),
            ("/error", json!([{"code": said.clone()}])),
        ] {
            let mut one = fresh();
            let (parent, name) = at.rsplit_once('/').expect("a path");
            let parent = one.pointer_mut(parent).expect("there");
            parent[name] = value;
            assert!(![ACTIVE, ENDED].contains(&of(&one).0), "{word} at {at}");
        }
    }
    // What was requested, and for which disease, says nothing about the decision.
    let mut one = fresh();
    one["diagnosis"] =
        json!([{"sequence": 1, "diagnosisCodeableConcept": {"text": "Heart transplant rejection, cognitive decline"}}]);
    assert_eq!(of(&one).0, ACTIVE);
    // Denied lines explain the note.
    one["item"] = json!([
        line(service(), vec![reviewed(PDEX, X12, "A1")]),
        line(service(), vec![reviewed(PDEX, X12, "A3")])
    ]);
    one["processNote"] = json!([{"text": "Line 2 was denied."}]);
    assert_eq!(of(&one).0, ACTIVE);
}

#[test]
fn without_a_review_action_only_what_was_agreed_or_waits_is_recognized() {
    let eligible = json!([{"category": {"coding": [{"code": "eligible",
        "system": "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PriorAuthorizationValueCodes"}]}, "amount": {"value": 1}}]);
    let mut one = authorization(vec![]);
    assert_eq!(of(&one).0, UNCLEAR);
    one["total"] = eligible;
    assert_eq!(of(&one).0, ACTIVE);
    one["item"] = json!([line(service(), vec![denial_reason()])]);
    assert_eq!(of(&one).0, DENIED);
    let mut waits = authorization(vec![line(service(), vec![])]);
    waits["outcome"] = "queued".into();
    assert_eq!(of(&waits), (ACTIVE, None));
    waits["item"][0]["adjudication"] = json!([{"category": {"text": "other"}, "reason": {"text": "see letter"}}]);
    assert_eq!(of(&waits).0, UNCLEAR);
}

#[test]
fn drugs_and_what_may_be_one_are_told_from_services() {
    let of = |product: Json| of(&authorization(vec![line(product, vec![reviewed(PDEX, X12, "A1")])])).0;
    let coded = |system: &str, code: &str| of(json!({"coding": [{"system": system, "code": code}]}));
    for (system, code) in [
        ("http://www.ama-assn.org/go/cpt", "99202"),
        ("http://www.ama-assn.org/go/cpt", "0042T"),
        (HCPCS, "K0823"),
        (HCPCS, "A0428"),
        (HCPCS, "Q4010"),
        (HCPCS, "C1713"),
        ("http://www.ada.org/cdt", "D2740"),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "0SRD0J9"),
        ("https://www.nubc.org/CodeSystem/RevenueCodes", "0420"),
        ("https://codesystem.x12.org/005010/1365", "3"),
        ("https://x12.org/codes/service-type-codes", "42"),
        ("urn:oid:2.16.840.1.113883.6.285", "E0601"),
    ] {
        assert_eq!(coded(system, code), ACTIVE, "{system} {code}");
    }
    for (system, code) in [
        ("http://hl7.org/fhir/sid/ndc", "0006-0277"),
        ("urn:oid:2.16.840.1.113883.6.69", "00060277"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "860975"),
        ("https://bluebutton.cms.gov/resources/codesystem/hcpcs", "J0897"),
        ("http://terminology.hl7.org/CodeSystem/HCPCS", "J0897"),
        ("http://unknown.example/codes", "J0897"),
        (HCPCS, "Q5103"),
        (HCPCS, "C9399"),
        (HCPCS, "A9552"),
        (HCPCS, "S0190"),
        (HCPCS, "B4185"),
        (HCPCS, "P9047"),
        ("http://www.ama-assn.org/go/cpt", "90707"),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "3E033GC"),
        ("https://www.nubc.org/CodeSystem/RevenueCodes", "0636"),
        ("https://codesystem.x12.org/005010/1365", "88"),
        ("urn:oid:2.16.840.1.113883.6.68", "21300010000320"),
    ] {
        assert_eq!(coded(system, code), DRUG, "{system} {code}");
    }
    for (system, code) in [
        ("http://snomed.info/sct", "372687004"),
        ("http://terminology.hl7.org/CodeSystem/data-absent-reason", "unknown"),
        ("http://unknown.example/codes", "99202"),
        (HCPCS, "E060"),
        (HCPCS, "e0601"),
    ] {
        assert_eq!(coded(system, code), SERVICE_UNKNOWN, "{system} {code}");
    }
    assert_eq!(of(json!({"text": "therapy"})), ACTIVE);
    assert_eq!(of(json!({"text": "Knee brace, left"})), ACTIVE);
    for text in [
        "Adalimumab",
        "Humira 40 mg",
        "pembrolizumab infusion",
        "Rx",
        "insulin glargine",
    ] {
        assert_eq!(of(json!({"text": text})), DRUG, "{text}");
    }
    for text in ["Humira", "Keytruda therapy", "Ozempic, monthly"] {
        assert_eq!(
            of(json!({"text": text})),
            SERVICE_UNKNOWN,
            "no list holds all names: {text}"
        );
    }
    assert_eq!(of(json!({"id": "x"})), SERVICE_UNKNOWN);
    let both =
        json!({"coding": [{"system": HCPCS, "code": "E0601"}, {"system": "http://hl7.org/fhir/sid/ndc", "code": "1"}]});
    assert_eq!(of(both), DRUG);
}

#[test]
fn a_code_of_a_drug_counts_in_whatever_element_it_stands() {
    const NDC: &str = "http://hl7.org/fhir/sid/ndc";
    let ndc = json!({"system": NDC, "code": "0006-0277"});
    let by_url = json!([{"url": "http://payer.example/StructureDefinition/drug-ndc", "valueString": "00060277"}]);
    for (at, value) in [
        (
            "/item/0/productOrService/extension",
            json!([{"url": "http://payer.example/x", "valueCoding": ndc}]),
        ),
        ("/item/0/productOrService/coding/0/extension", by_url.clone()),
        (
            "/item/0/extension",
            json!([{"url": "http://payer.example/x", "valueIdentifier": {"system": NDC, "value": "00060277"}}]),
        ),
        (
            "/item/0/extension",
            json!([{"url": "http://payer.example/x", "valueString": format!("{NDC}|00060277")}]),
        ),
        ("/item/0/programCode", json!([{"coding": [ndc]}])),
        (
            "/item/0/quantity",
            json!({"value": 3, "system": "urn:oid:2.16.840.1.113883.6.69", "code": "x"}),
        ),
        (
            "/supportingInfo",
            json!([{"sequence": 1, "category": {"text": "x"}, "code": {"coding": [ndc]}}]),
        ),
        ("/extension", by_url),
    ] {
        let mut one = authorization(vec![line(service(), vec![reviewed(PAS, X12, "A1")])]);
        let (parent, name) = at.rsplit_once('/').expect("a path");
        one.pointer_mut(parent).expect("there")[name] = value;
        assert_eq!(of(&one).0, DRUG, "{at}");
    }
}

#[test]
fn one_drug_among_the_lines_withholds_them_all() {
    let approved = || vec![reviewed(PAS, X12, "A1")];
    let drug = json!({"coding": [{"system": HCPCS, "code": "J0897"}]});
    let lines = vec![line(service(), approved()), line(drug.clone(), approved())];
    assert_eq!(of(&authorization(lines)).0, DRUG);
    for (name, value) in [
        (
            "type",
            json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "pharmacy"}]}),
        ),
        ("type", json!({"coding": [{"code": "Pharmacy"}]})),
        ("subType", json!({"text": "Specialty Drug"})),
        ("prescription", json!({"reference": "MedicationRequest/m"})),
        (
            "supportingInfo",
            json!([{"sequence": 1, "category": {"coding": [{"code": "dayssupply"}]}}]),
        ),
        ("addItem", json!([line(drug, vec![])])),
    ] {
        let mut one = authorization(vec![line(service(), approved())]);
        one[name] = value;
        assert_eq!(of(&one).0, DRUG, "{name}");
    }
    for (name, value) in [
        ("revenue", json!({"coding": [{"code": "0250"}]})),
        (
            "category",
            json!({"coding": [{"system": "https://x12.org/codes/service-type-codes", "code": "88"}]}),
        ),
        ("modifier", json!([{"coding": [{"code": "JW"}]}])),
        (
            "detail",
            json!([{"sequence": 1, "productOrService": {"coding": [{"system": HCPCS, "code": "J3490"}]}}]),
        ),
        (
            "extension",
            json!([{"url": format!("{PAS}/extension-requestedService"),
            "valueReference": {"reference": "MedicationRequest/m"}}]),
        ),
    ] {
        let mut one = line(service(), approved());
        one[name] = value;
        assert_eq!(of(&authorization(vec![one])).0, DRUG, "{name}");
    }
}

#[test]
fn an_ordinary_claim_is_one_only_when_nothing_of_it_says_otherwise() {
    let claim = |change: &dyn Fn(&mut Json)| {
        let mut one = json!({"resourceType": "ExplanationOfBenefit", "id": "e", "status": "active", "use": "claim",
            "type": {"coding": [{"code": "professional"}]}, "insurance": [{"focal": true, "preAuthRef": ["AUTH1"]}],
            "disposition": "No prior authorization on file", "author": "x",
            "related": [{"reference": {"system": "http://payer.example/prior-authorization", "value": "1"}}],
            "item": [{"sequence": 1, "adjudication": [{"category": {"coding": [{
                "system": "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBAdjudicationDiscriminator", "code": "denialreason"}]}}]}]});
        change(&mut one);
        of(&one).0
    };
    assert_eq!(claim(&|_| ()), NONE);
    assert_eq!(claim(&|one| one["use"] = "predetermination".into()), NONE);
    for use_of in ["Claim", " claim", "preauthorisation", "PREAUTHORIZATION", "prior-auth"] {
        assert_eq!(claim(&|one| one["use"] = use_of.into()), UNCLEAR, "{use_of}");
    }
    assert_eq!(claim(&|one| one["use"] = json!(["claim"])), UNCLEAR);
    let without = |one: &mut Json| {
        if let Some(one) = one.as_object_mut() {
            one.remove("use");
        }
    };
    assert_eq!(claim(&without), UNCLEAR);
    let marks: [(&str, Json); 8] = [
        (
            "meta",
            json!({"profile": ["https://hl7.org/fhir/us/davinci-pdex/StructureDefinition/PDex-PriorAuthorization/|2.1.0"]}),
        ),
        ("preAuthRef", json!(["AUTH1"])),
        ("preAuthRefPeriod", json!([{"start": "2024-01-01"}])),
        ("type", json!({"text": "Prior Authorization"})),
        ("subType", json!({"coding": [{"code": "pre-auth"}]})),
        ("adjudication", json!([reviewed(PAS, X12, "A1")])),
        ("adjudication", json!([denial_reason()])),
        (
            "total",
            json!([{"category": {"coding": [{"code": "eligible",
            "system": "http://hl7.org/fhir/us/davinci-pdex/CodeSystem/PriorAuthorizationValueCodes"}]}}]),
        ),
    ];
    for (name, value) in marks {
        assert_eq!(claim(&|one| one[name] = value.clone()), UNCLEAR, "{name}: {value}");
    }
    assert_eq!(
        of(&json!({"resourceType": "Condition", "use": "preauthorization"})).0,
        NONE
    );
}

#[test]
fn requests_and_answers_are_judged_too() {
    let answer = json!({"resourceType": "ClaimResponse", "status": "active", "use": "preauthorization", "outcome": "complete",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "item": [{"itemSequence": 1, "adjudication": [reviewed(PAS, X12, "A1")]}]});
    assert_eq!(of(&answer).0, ACTIVE);
    let mut denied = answer.clone();
    denied["item"][0]["adjudication"] = json!([reviewed(PAS, X12, "A3")]);
    assert_eq!(of(&denied).0, DENIED);
    let request = json!({"resourceType": "Claim", "status": "active", "use": "preauthorization",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "item": [{"sequence": 1, "productOrService": service()}]});
    assert_eq!(of(&request), (ACTIVE, None), "a request waits for its answer");
    let mut drug = request;
    drug["item"][0]["productOrService"] = json!({"coding": [{"system": HCPCS, "code": "J0897"}]});
    assert_eq!(of(&drug).0, DRUG);
}

#[test]
fn a_review_action_in_another_type_is_seen_however_its_url_is_written() {
    for url in [
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-reviewAction",
        "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/extension-review\\u0041ction",
        "http://hl7.org/fhir/us/davinci-pas/structuredefinition/EXTENSION-REVIEWACTION",
    ] {
        let text = format!(r#"{{"resourceType":"Basic","id":"b","extension":[{{"url":"{url}","valueCode":"A3"}}]}}"#);
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        assert!(is_disguised(&screened, "Basic"), "{url}");
    }
    let plain =
        r#"{"resourceType":"Basic","id":"b","extension":[{"url":"http://x.example/r\u00e9view","valueCode":"A3"}]}"#;
    assert!(!is_disguised(
        &screen(plain.as_bytes(), &ScreenLimits::record()).expect("passes"),
        "Basic"
    ));
}

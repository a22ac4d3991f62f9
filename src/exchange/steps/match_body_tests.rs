//! What a `$member-match` request holds, and what it must not.

use super::*;
use std::collections::BTreeSet;

fn payer() -> Payer {
    Payer {
        name: "New Payer".into(),
        npi: "1992000020".into(),
        member_system: "https://new.example/member".into(),
        umb_system: "https://new.example/umb".into(),
        base_url: "https://new.example/fhir".into(),
        time_zone: chrono_tz::America::New_York,
    }
}

const PATIENT: &str = r#"{"resourceType":"Patient","id":"our-id-7","meta":{"versionId":"3"},"active":true,
    "text":{"status":"generated","div":"<div>SECRET</div>"},
    "identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"SECRET-SSN"}],
    "extension":[{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"},
      {"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-race","extension":[{"url":"text","valueString":"SECRET"}]}],
    "name":[{"use":"official","family":"Lima","given":["Ana","M"],"suffix":["SECRET"]},{"text":"SECRET"}],
    "telecom":[{"system":"phone","value":"SECRET"}],"gender":"female","birthDate":"1980-01-02",
    "deceasedBoolean":false,"maritalStatus":{"text":"SECRET"},"photo":[{"title":"SECRET"}],
    "address":[{"use":"home","line":["12 Alder Way"],"city":"Salem","state":"OR","postalCode":"97301","district":"SECRET"}],
    "contact":[{"name":{"family":"SECRET"}}],"generalPractitioner":[{"reference":"Practitioner/SECRET"}]}"#;

const COVERAGE: &str = r#"{"resourceType":"Coverage","id":"our-coverage","status":"active",
    "identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MB","display":"SECRET"}]},
        "system":"https://new.example/member","value":"NEW-1","assigner":{"display":"SECRET"}},{"system":"x","value":"SECRET"}],
    "type":{"coding":[{"system":"https://nahdo.org/sopt","code":"3"}],"text":"SECRET"},"policyHolder":{"reference":"Patient/SECRET"},
    "subscriber":{"reference":"Patient/SECRET"},"subscriberId":"SUB-1","beneficiary":{"reference":"Patient/our-id-7"},
    "relationship":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/subscriber-relationship","code":"self"}]},
    "period":{"start":"2026-01-01"},"payor":[{"reference":"Organization/SECRET"}],
    "class":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"group"}]},"value":"G1","name":"Gold"},
        {"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/coverage-class","code":"rxbin"}]},"value":"SECRET"}],
    "order":9,"network":"SECRET","costToBeneficiary":[{"valueMoney":{"value":20.00}}],"contract":[{"reference":"Contract/SECRET"}]}"#;

fn body(patient: &str, own_coverage: Option<&str>, coverage: &OtherCoverage) -> Result<Json, Failure> {
    body_in("1.1", patient, own_coverage, coverage)
}

fn body_in(hrex: &str, patient: &str, own_coverage: Option<&str>, coverage: &OtherCoverage) -> Result<Json, Failure> {
    body_until(Some(1_775_016_000_000), hrex, patient, own_coverage, coverage)
}

fn body_until(
    to_ms: Option<i64>,
    hrex: &str,
    patient: &str,
    own_coverage: Option<&str>,
    coverage: &OtherCoverage,
) -> Result<Json, Failure> {
    let opt_in = OptInFacts {
        id: "optin-1".into(),
        from_ms: 1_767_243_600_000, // 2026-01-01T00:00:00-05:00
        to_ms,
        policy: "regular".into(),
        attested_by: "SECRET".into(),
        attested_ms: 0,
        attested_how: "SECRET".into(),
    };
    let bytes = match_body(&MatchParts {
        patient: patient.as_bytes(),
        own_coverage: own_coverage.map(str::as_bytes),
        coverage,
        opt_in: &opt_in,
        begun_ms: 1_900_000_000_000, // 2030-03-17T17:46:40Z
        payer: &payer(),
        partner_npi: "1992000012",
        partner_name: "Old Payer",
        hrex,
    })?;
    Ok(serde_json::from_slice(&bytes).expect("JSON"))
}

fn told() -> OtherCoverage {
    OtherCoverage {
        member_number: "OLD-7".into(),
        subscriber_number: Some("OLD".into()),
        group_number: Some("G".into()),
        plan: None,
        number_system: Some("https://old.example/member".into()),
        begins: Some("2023-01-01".into()),
        ends: Some("2025-12-31".into()),
    }
}

/// The paths of all values.
fn paths(value: &Json, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| paths(item, path, found)),
        Json::Object(members) => {
            for (name, value) in members {
                let own = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                paths(value, &own, found);
            }
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn mm_5_a_request_holds_only_elements_that_must_be_supported() {
    let body = body(PATIENT, Some(COVERAGE), &told()).expect("a body");
    assert!(!body.to_string().contains("SECRET"), "{body:#}");
    let made = [
        "resourceType",
        "id",
        "beneficiary.reference",
        "payor.identifier.system",
        "payor.identifier.value",
        "payor.display",
    ];
    for parameter in body["parameter"].as_array().expect("parameters") {
        let resource = &parameter["resource"];
        let rtype = resource["resourceType"].as_str().expect("a type");
        let Some((_, allowed)) = MUST_SUPPORT.iter().find(|row| row.0 == rtype) else {
            assert_eq!(rtype, "Consent");
            continue;
        };
        let mut found = BTreeSet::new();
        paths(resource, "", &mut found);
        for path in found {
            assert!(
                allowed.contains(&path.as_str()) || made.contains(&path.as_str()),
                "{rtype}.{path}"
            );
        }
    }
}

#[test]
fn mm_6_every_reference_to_the_member_is_local_and_the_same() {
    let body = body(PATIENT, Some(COVERAGE), &told()).expect("a body");
    let named = |name: &str| {
        let found = body["parameter"]
            .as_array()
            .expect("parameters")
            .iter()
            .find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is missing"))["resource"].clone()
    };
    assert_eq!(body["parameter"].as_array().map(Vec::len), Some(4));
    let reference = format!("Patient/{}", named("MemberPatient")["id"].as_str().expect("an id"));
    assert_eq!(named("CoverageToMatch")["beneficiary"]["reference"], reference.as_str());
    assert_eq!(named("CoverageToLink")["beneficiary"]["reference"], reference.as_str());
    assert_eq!(named("Consent")["patient"]["reference"], reference.as_str());
    assert_eq!(named("Consent")["performer"][0]["reference"], reference.as_str());
    assert_eq!(
        named("Consent")["provision"]["period"],
        json!({"start": "2026-01-01", "end": "2026-04-01"})
    );
    assert_eq!(named("CoverageToMatch")["identifier"][0]["value"], "OLD-7");
    assert_eq!(
        named("CoverageToLink")["identifier"],
        json!([{"type": {"coding": [{"system": V2, "code": "MB"}]},
        "system": "https://new.example/member", "value": "NEW-1"}])
    );
    assert_eq!(
        named("MemberPatient")["name"],
        json!([{"family": "Lima", "given": ["Ana", "M"]}])
    );
}

#[test]
fn what_is_too_little_is_named() {
    let place = |patient: &str, own: Option<&str>, told: &OtherCoverage| {
        let failure = body(patient, own, told).expect_err("too little");
        assert_eq!(failure.fault(), Fault::MemberIncomplete);
        failure.expressions().join(",")
    };
    assert_eq!(
        place(
            &PATIENT.replace("\"birthDate\":\"1980-01-02\",", ""),
            Some(COVERAGE),
            &told()
        ),
        "Patient.birthDate"
    );
    assert_eq!(
        place(r#"{"name":[{"text":"Ana"}],"birthDate":"1980"}"#, None, &told()),
        "Patient.name"
    );
    let no_sex = r#"{"name":[{"family":"L","given":["A"]}],"birthDate":"1980-01-01"}"#;
    assert_eq!(place(no_sex, None, &told()), "Patient.gender");
    let nothing = OtherCoverage::default();
    assert_eq!(place(PATIENT, None, &nothing), "Coverage.identifier");
    assert_eq!(
        place(PATIENT, Some(r#"{"status":"active"}"#), &told()),
        "Coverage.identifier"
    );
    assert_eq!(
        place(PATIENT, None, &told()),
        "Coverage",
        "a payer sends CoverageToLink"
    );
}

#[test]
fn hrex_1_0_gets_an_identifier_of_the_patient_that_tells_nothing_more() {
    let body = body_in("1.0", PATIENT, Some(COVERAGE), &told()).expect("a body");
    let resources: Vec<&Json> = body["parameter"]
        .as_array()
        .expect("parameters")
        .iter()
        .map(|one| &one["resource"])
        .collect();
    assert_eq!(resources[0]["identifier"], resources[1]["identifier"]);
    assert!(!body.to_string().contains("SECRET"), "{body:#}");
}

#[test]
fn an_opt_in_without_an_end_permits_the_exchange_however_old_it_is() {
    let body = body_until(None, "1.1", PATIENT, Some(COVERAGE), &told()).expect("a body");
    let parameters = body["parameter"].as_array().expect("parameters");
    let consent = parameters
        .iter()
        .find(|one| one["name"] == "Consent")
        .expect("a consent");
    assert_eq!(
        consent["resource"]["provision"]["period"],
        json!({"start": "2026-01-01", "end": "2030-06-15"}),
        "90 days from the begin of the exchange, not a year from the opt-in"
    );
}

//! Tests how a match request is read: each way to break the profile, and the place that the failure names.

use super::super::tests::{a_request, a_request_but};
use super::*;
use serde_json::json;

fn refused(body: &Value) -> (Fault, Vec<String>) {
    let failure = read(body.to_string().as_bytes()).expect_err("refused");
    (failure.fault(), failure.expressions().to_vec())
}

#[test]
fn a_good_request_is_read() {
    let read = read(a_request().to_string().as_bytes()).expect("read");
    assert_eq!(read.member, "Patient/mp");
    assert_eq!(read.consent_place, "Parameters.parameter[3].resource");
    let consent: Value = serde_json::from_slice(&read.consent_bytes).expect("a consent");
    assert_eq!(consent, a_request()["parameter"][3]["resource"]);
}

/// Collects the JSON pointers of everything in a request.
fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(name, value)| pointers(value, &format!("{here}/{name}"), found)),
        Value::Array(list) => (0..)
            .zip(list)
            .for_each(|(at, value): (usize, _)| pointers(value, &format!("{here}/{at}"), found)),
        _ => {}
    }
}

/// A valid request, and many that differ from it in one place.
fn many() -> Vec<Value> {
    let mut good = a_request();
    good["parameter"][0]["resource"]["extension"] = json!([{"url": super::BIRTHSEX, "valueCode": "F"}]);
    good["parameter"][1]["resource"]["class"] =
        json!([{"type": {"coding": [{"system": "urn:c", "code": "group"}]}, "value": "1"}]);
    good["parameter"][3]["resource"]["contained"] = json!([{"resourceType": "DocumentReference", "id": "d"}]);
    good["parameter"][3]["resource"]["extension"] = json!([{"url": "urn:x", "valueDecimal": 1.5}]);
    let others = [
        json!("x"),
        json!(" x\ny"),
        json!("é".repeat(1025)),
        json!("2026-02-30"),
        json!("2026-02-03T10:00:00Z"),
        json!("Patient"),
        json!("Consent"),
        json!("#d"),
        json!(7),
        json!(1.25),
        json!(true),
        json!(["x"]),
        json!([{"x": "y"}]),
        json!({"x": "y"}),
        json!({"url": "x", "contained": [{"resourceType": "Basic"}]}),
        json!([null, "x"]),
    ];
    let mut all = vec![good.clone()];
    let mut places = Vec::new();
    pointers(&good, "", &mut places);
    for place in places.iter().filter(|place| !place.is_empty()) {
        for other in &others {
            let mut body = good.clone();
            *body.pointer_mut(place).expect("a place") = other.clone();
            all.push(body);
        }
        let (holder, name) = place.rsplit_once('/').expect("a member");
        let mut body = good.clone();
        match body.pointer_mut(holder).expect("a holder") {
            Value::Object(map) => {
                for added in [
                    "implicitRules",
                    "modifierExtension",
                    "contained",
                    "sourceAttachment",
                    "id",
                    "other",
                ] {
                    let mut more = good.clone();
                    more.pointer_mut(holder).expect("a holder")[added] =
                        json!([{"resourceType": "Patient", "url": "x"}]);
                    all.push(more);
                }
                map.shift_remove(name);
            }
            Value::Array(list) => {
                let one = list[0].clone();
                list.push(one);
            }
            _ => {}
        }
        all.push(body);
    }
    all
}

#[test]
fn what_is_read_at_once_is_read_step_by_step_alike_and_nothing_else_is() {
    let (mut kept, mut broken, mut read) = (0, 0, 0);
    for body in many() {
        let bytes = body.to_string();
        let Ok(screened) = screen(bytes.as_bytes(), &ScreenLimits::request()) else {
            continue;
        };
        let is_kept = profile::is_kept(screened.root());
        assert_eq!(is_kept, profile::check(&body).is_ok(), "{body}");
        (kept, broken) = if is_kept {
            (kept + 1, broken)
        } else {
            (kept, broken + 1)
        };
        if screened.resource_type() != "Parameters" {
            continue;
        }
        match (at_once(&screened), step_by_step(&screened)) {
            (Some(one), Ok(other)) => {
                assert_eq!(format!("{one:?}"), format!("{other:?}"), "{body}");
                read += 1;
            }
            (None, Err(_)) => {}
            (one, other) => panic!("{} and {:?}: {body}", one.is_some(), other.err()),
        }
    }
    assert!(kept > 900 && broken > 900 && read > 900, "{kept} {broken} {read}");
}

#[test]
fn versions_differ_and_both_are_read() {
    let mut old = a_request();
    let coverage = &mut old["parameter"][1]["resource"];
    coverage["identifier"] = json!([{"value":"M1"}]);
    assert!(
        read(old.to_string().as_bytes()).is_ok(),
        "1.0: an identifier without type, no relationship"
    );
    let mut subscriber = a_request();
    subscriber["parameter"][1]["resource"]
        .as_object_mut()
        .expect("object")
        .remove("identifier");
    assert_eq!(
        refused(&subscriber),
        (
            Fault::MatchInvalid,
            vec!["Parameters.parameter[1].resource.identifier".into()]
        )
    );
    subscriber["parameter"][1]["resource"]["subscriberId"] = json!("S1");
    assert!(read(subscriber.to_string().as_bytes()).is_ok());
    let mut reordered = a_request();
    reordered["parameter"].as_array_mut().expect("array").reverse();
    assert!(read(reordered.to_string().as_bytes()).is_ok());
}

#[test]
fn parameters_are_known_and_there_once() {
    let mut doubled = a_request();
    doubled["parameter"][2] = doubled["parameter"][0].clone();
    assert_eq!(
        refused(&doubled),
        (Fault::MatchParameterUnknown, vec!["Parameters.parameter[2]".into()]),
        "t_c05: two Patients"
    );
    assert_eq!(
        refused(&a_request_but("/2/name", json!("coverageToLink"))).0,
        Fault::MatchParameterUnknown
    );
    for (index, name) in [(0, "MemberPatient"), (1, "CoverageToMatch"), (3, "Consent")] {
        let mut missing = a_request();
        missing["parameter"].as_array_mut().expect("array").remove(index);
        let place = format!("Parameters.parameter.where(name = '{name}')");
        assert_eq!(refused(&missing), (Fault::MatchParameterMissing, vec![place]));
    }
    assert_eq!(
        refused(&json!({"resourceType":"Parameters"})).0,
        Fault::MatchParameterMissing
    );
    assert_eq!(
        refused(&json!({"resourceType":"Bundle","type":"batch"})).0,
        Fault::ResourceInvalid
    );
}

#[test]
fn t_c05_references_lead_to_the_one_member_patient() {
    for path in [
        "/1/resource/beneficiary",
        "/2/resource/beneficiary",
        "/3/resource/patient",
        "/3/resource/performer/0",
    ] {
        for value in [
            json!({"reference":"Patient/other"}),
            json!({"reference":"http://example.org/Patient/mp"}),
            json!({"reference":"#mp"}),
            json!({"reference":"mp"}),
            json!({"reference":"Patient/mp/_history/1"}),
            json!({"display":"mp"}),
        ] {
            let place = format!(
                "Parameters.parameter{}",
                path.replace("/1/", "[1].")
                    .replace("/2/", "[2].")
                    .replace("/3/", "[3].")
            );
            let place = place.replace("resource/", "resource.").replace("/0", "[0]");
            assert_eq!(
                refused(&a_request_but(path, value.clone())),
                (Fault::MatchReference, vec![place]),
                "{path} {value}"
            );
        }
    }
    let related = a_request_but("/3/resource/performer/0", json!({"reference":"RelatedPerson/r"}));
    assert!(
        read(related.to_string().as_bytes()).is_ok(),
        "whether they may consent is the policy's to say"
    );
}

#[test]
fn a_broken_profile_is_told_by_its_place_and_without_a_value() {
    let secret = "SECRET-VALUE";
    for (path, value, place) in [
        ("/0/resource/gender", json!(secret), "[0].resource.gender"),
        ("/0/resource/birthDate", json!(secret), "[0].resource.birthDate"),
        ("/0/resource/birthDate", json!("2020-13-01"), "[0].resource.birthDate"),
        ("/0/resource/id", json!("SECRET VALUE"), "[0].resource.id"),
        ("/0/resource/resourceType", json!("Person"), "[0].resource.resourceType"),
        ("/0/resource/name/0", json!({"family":secret}), "[0].resource.name"),
        ("/1/resource/status", json!(secret), "[1].resource.status"),
        ("/1/resource/payor/0", json!(secret), "[1].resource.payor[0]"),
        (
            "/1/resource/identifier/0/value",
            json!(7),
            "[1].resource.identifier[0].value",
        ),
        ("/3/resource/status", json!(secret), "[3].resource.status"),
        ("/3/resource/scope", json!({"text":secret}), "[3].resource.scope.coding"),
        (
            "/3/resource/policy/0",
            json!({"authority":"http://secret-value"}),
            "[3].resource.policy[0].uri",
        ),
        (
            "/3/resource/provision/type",
            json!(secret),
            "[3].resource.provision.type",
        ),
        (
            "/3/resource/provision/period",
            json!({"start":"2026-01-01"}),
            "[3].resource.provision.period.end",
        ),
        (
            "/3/resource/provision/period/end",
            json!("2026-01-01T00:00:00"),
            "[3].resource.provision.period.end",
        ),
    ] {
        let failure = read(a_request_but(path, value).to_string().as_bytes()).expect_err(path);
        assert_eq!(failure.fault(), Fault::MatchInvalid, "{path}");
        assert_eq!(
            failure.expressions(),
            [format!("Parameters.parameter{place}")],
            "{path}"
        );
        let text = format!("{failure} {failure:?}").to_lowercase();
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn hrex_pat_1_wants_gender_or_birth_sex() {
    let mut body = a_request();
    let patient = body["parameter"][0]["resource"].as_object_mut().expect("object");
    patient.remove("gender");
    assert_eq!(
        refused(&body),
        (
            Fault::MatchInvalid,
            vec!["Parameters.parameter[0].resource.gender".into()]
        )
    );
    body["parameter"][0]["resource"]["extension"] =
        json!([{"url":"http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex","valueCode":"F"}]);
    assert!(read(body.to_string().as_bytes()).is_ok());
}

#[test]
fn t_c05_contained_patients_and_what_must_be_understood_are_refused() {
    for (index, path) in [(0, "[0]"), (1, "[1]"), (3, "[3]")] {
        let mut body = a_request();
        body["parameter"][index]["resource"]["contained"] = json!([{"resourceType":"Patient","id":"x"}]);
        let place = format!("Parameters.parameter{path}.resource.contained[0].resourceType");
        assert_eq!(refused(&body), (Fault::MatchInvalid, vec![place]));
        let mut body = a_request();
        body["parameter"][index]["resource"]["modifierExtension"] = json!([{"url":"http://x","valueBoolean":true}]);
        assert_eq!(refused(&body).0, Fault::MatchInvalid);
    }
    let mut organization = a_request();
    organization["parameter"][3]["resource"]["contained"] =
        json!([{"resourceType":"Organization","id":"x","name":"X"}]);
    assert!(read(organization.to_string().as_bytes()).is_ok());
}

#[test]
fn the_typed_model_is_a_second_opinion() {
    let mut unknown = a_request();
    unknown["parameter"][0]["resource"]["favouriteColour"] = json!("SECRET");
    let (fault, places) = refused(&unknown);
    assert_eq!((fault, places), (Fault::ResourceInvalid, vec!["Parameters".into()]));
}

#[test]
fn the_prescreen_comes_first() {
    for (body, fault) in [
        (
            r#"{"resourceType":"Parameters","resourceType":"Parameters"}"#,
            Fault::DuplicateKey,
        ),
        (r#"{"resourceType":"Parameters","parameter":[]}"#, Fault::EmptyValue),
        (r#"{"resourceType":"Parameters"}{}"#, Fault::NotJson),
    ] {
        assert_eq!(read(body.as_bytes()).expect_err(body).fault(), fault, "{body}");
    }
}

#[test]
fn t_d09_a_consent_is_not_its_own_source() {
    for (own, source, taken) in [
        (Some("consent"), "#consent", false),
        (Some("consent"), "#", false),
        (None, "#", false),
        (Some("consent"), "#other", true),
        (Some("consent"), "DocumentReference/consent", true),
    ] {
        let mut body = a_request_but("/3/resource/sourceReference", json!({ "reference": source }));
        let consent = body["parameter"][3]["resource"].as_object_mut().expect("a Consent");
        consent.remove("id");
        consent.extend(own.map(|own| ("id".to_owned(), json!(own))));
        let read = read(body.to_string().as_bytes());
        let refused = read
            .as_ref()
            .err()
            .map(|failure| (failure.fault(), failure.expressions()));
        let place = "Parameters.parameter[3].resource.sourceReference".to_owned();
        let expected = (!taken).then(|| (Fault::MatchInvalid, std::slice::from_ref(&place)));
        assert_eq!(refused, expected, "{own:?} {source}");
    }
}

#[test]
fn a_consents_source_is_a_document_also_where_it_is_contained() {
    for (kind, taken) in [("DocumentReference", true), ("Consent", false)] {
        let mut body = a_request_but("/3/resource/sourceReference", json!({"reference": "#o"}));
        body["parameter"][3]["resource"]["contained"] = match kind {
            "Consent" => {
                json!([{"resourceType": kind, "id": "o", "status": "active", "scope": {"text": "x"}, "category": [{"text": "x"}]}])
            }
            _ => {
                json!([{"resourceType": kind, "id": "o", "status": "current", "content": [{"attachment": {"title": "x"}}]}])
            }
        };
        let read = read(body.to_string().as_bytes());
        assert_eq!(
            read.as_ref().map(|_| ()).map_err(|failure| failure.fault()),
            if taken { Ok(()) } else { Err(Fault::MatchInvalid) }
        );
        if let Err(failure) = read {
            assert_eq!(
                failure.expressions(),
                ["Parameters.parameter[3].resource.sourceReference"]
            );
        }
    }
}

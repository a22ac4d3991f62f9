//! Names and numbers of other people beside what may be released: they go, and the rest stays.

use super::*;

#[test]
fn a_family_coverage_leaves_without_the_name_or_number_of_the_other_person() {
    let told = [
        json!({}),
        json!({"display": MARK}),
        json!({"identifier": {"system": "http://old.example/member", "value": MARK}}),
        json!({"display": MARK, "type": "Patient", "identifier": {"value": MARK}}),
        json!({"display": MARK, "extension": [{"url": "http://x.example", "valueReference": {"reference": "Patient/other", "display": MARK}}],
            "identifier": {"value": MARK, "assigner": {"reference": "Patient/other", "display": MARK}}}),
    ];
    let mut left = 0;
    for own in OWN {
        for element in ["subscriber", "policyHolder"] {
            let literals = LITERALS.iter().map(|text| Some(*text)).chain([None]);
            for (literal, told) in literals.flat_map(|literal| told.iter().map(move |told| (literal, told))) {
                let mut who = told.clone();
                if let Some(text) = literal {
                    who["reference"] = text.into();
                }
                if who == json!({}) {
                    continue;
                }
                let resource = with(
                    coverage(json!({"reference": own, "display": "Marigold"})),
                    element,
                    who.clone(),
                );
                let resource = with(resource, "subscriberId", "S1".into());
                match fate(&resource) {
                    Fate::Leaves(text) => {
                        assert!(!text.contains(MARK), "{text}");
                        let out: Json = serde_json::from_str(&text).expect("json");
                        assert_eq!(out[element]["reference"], who["reference"], "{text}");
                        assert_eq!(
                            (&out["subscriberId"], &out["beneficiary"]["display"]),
                            (&json!("S1"), &json!("Marigold"))
                        );
                        left += 1;
                    }
                    // Some of the literals are not valid references.
                    Fate::Refused => assert!(literal.is_some_and(|text| !text.contains(':')), "{resource}"),
                    Fate::Withheld => panic!("withheld: {resource}"),
                }
            }
        }
    }
    println!("{left} left");
    assert!(left > 800);
}

#[test]
fn a_name_beside_a_reference_to_another_person_goes_and_the_reference_stays() {
    let [condition, observation, encounter, coverage, ..] = &containers()[..] else {
        panic!("containers");
    };
    let other = json!({"display": MARK, "reference": "Patient/other", "identifier": {"value": MARK}});
    let relative =
        json!({"reference": "https://ehr.source.example/RelatedPerson/m", "type": "RelatedPerson", "display": MARK});
    for resource in [
        with(condition.clone(), "asserter", other.clone()),
        with(
            observation.clone(),
            "performer",
            json!([relative, {"reference": "Practitioner/1", "display": "Dr. House"}]),
        ),
        with(observation.clone(), "focus", json!([other])),
        with(encounter.clone(), "participant", json!([{"individual": relative}])),
        with(
            coverage.clone(),
            "extension",
            json!([{"url": "http://x.example", "valueReference": other}]),
        ),
        json!({"resourceType": "Patient", "id": "imp", "link": [{"type": "seealso", "other": other}, {"type": "refer", "other": {"display": MARK}}]}),
    ] {
        let Fate::Leaves(text) = fate(&resource) else {
            panic!("{resource}")
        };
        let literal = |text: &str| text.matches("\"reference\"").count();
        assert_eq!(
            (text.contains(MARK), literal(&text)),
            (false, literal(&resource.to_string())),
            "{text}"
        );
        assert_eq!(text.contains("Dr. House"), resource.to_string().contains("Dr. House"));
    }
    // A resource that is nothing but money gets no released form.
    let claim = json!({"resourceType": "Claim", "id": "c", "status": "active", "type": {"text": "x"}, "use": "claim", "patient": member(),
        "created": "2020-01-01", "provider": {"display": "d"}, "priority": {"text": "n"}, "payee": {"type": {"text": "x"}, "party": other},
        "insurance": [{"sequence": 1, "focal": true, "coverage": {"display": "c"}}]});
    let kept = gate(&claim).expect("kept");
    assert_eq!((kept.financial, kept.released), (1, None));
}

#[test]
fn a_name_goes_where_the_type_of_a_reference_says_that_it_is_a_persons() {
    let observation = containers().swap_remove(1);
    for named in [
        "Patient",
        "RelatedPerson",
        "Person",
        "Group",
        "http://hl7.org/fhir/StructureDefinition/Patient",
    ] {
        for who in [
            json!({"type": named, "display": MARK}),
            json!({"display": MARK, "type": named, "identifier": {"value": MARK}}),
            json!({"reference": "urn:uuid:5c1e7f4e-0000-4000-8000-000000000000", "type": named, "display": MARK}),
            json!({"reference": "Practitioner/1", "type": named, "display": MARK}),
        ] {
            let mut one = observation.clone();
            one["performer"] =
                json!([who, {"reference": "Practitioner/1", "type": "Practitioner", "display": "Dr. House"}]);
            one["subject"] = json!({"reference": "Patient/imp", "type": "Patient", "display": "own"});
            let Fate::Leaves(text) = fate(&one) else {
                panic!("{one}")
            };
            assert!(!text.contains(MARK), "{text}");
            assert!(text.contains("Dr. House") && text.contains("own"), "{text}");
            serde_json::from_str::<Json>(&text).expect("JSON");
        }
    }
}

#[test]
fn names_that_leave_with_money_are_cut_once() {
    let cuts = vec![(10..20, String::new()), (30..40, String::new())];
    let edits = vec![
        (5..7, "a".to_owned()),
        (12..14, "b".to_owned()),
        (40..41, "c".to_owned()),
    ];
    let spans: Vec<_> = merged(cuts, edits).into_iter().map(|(span, _)| span).collect();
    assert_eq!(spans, [5..7, 10..20, 30..40, 40..41]);
}

#[test]
fn a_resource_that_all_share_names_nobody() {
    let organization = || json!({"resourceType": "Organization", "id": "o", "name": "clinic"});
    let refers = |who: &Json| json!([{"url": "http://x.example", "valueReference": who}]);
    for who in spellings() {
        let resource = with(organization(), "extension", refers(&who));
        assert!(!matches!(fate(&resource), Fate::Leaves(_)), "{resource}");
        // A Provenance of a shared resource is shared as well.
        let resource = json!({"resourceType": "Provenance", "id": "p", "target": [{"reference": "Organization/o"}],
            "recorded": "2025-01-01T00:00:00Z", "agent": [{"who": {"display": "clinic"}}], "extension": refers(&who)});
        assert!(!matches!(fate(&resource), Fate::Leaves(_)), "{resource}");
    }
    let kept = gate(&with(
        organization(),
        "extension",
        refers(&json!({"reference": "https://ehr.source.example/Patient/1"})),
    ))
    .expect("kept");
    assert_eq!(kept.sensitivity, SHARED_NAMES_PERSON);
    let kept = gate(&with(
        organization(),
        "contained",
        json!([{"resourceType": "Person", "id": "p"}]),
    ))
    .expect("kept");
    assert_eq!(kept.sensitivity, OTHER_PATIENT);
}

#[test]
fn the_list_of_names_is_sorted() {
    assert!(MAY_NAME_A_PERSON.is_sorted());
}

#[test]
fn t_d05_a_name_beside_a_persons_type_goes_however_the_type_is_written() {
    for written in ["Patient", "Pat\\u0069ent", "\\u0050erson", "Grou\\u0070"] {
        let text = format!(
            r#"{{"resourceType":"Observation","id":"r","status":"final","code":{{"text":"itch"}},"subject":{{"reference":"Patient/imp"}},
            "performer":[{{"type":"{written}","reference":"urn:uuid:7e57d004-2b97-4e7a-b45f-5387367791cd","display":"{MARK}"}}]}}"#
        );
        let kept = draft(text.as_bytes(), &NoLinks, None).and_then(|draft| judge(&draft, 1, NOW, BASE));
        let kept = kept.expect("it may be stored");
        let bytes = kept.released.as_deref().unwrap_or(&kept.body);
        assert!(!String::from_utf8_lossy(bytes).contains(MARK), "{written}");
    }
}

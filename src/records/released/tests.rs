//! What is cut from a resource, and that nothing else is.

use super::*;
use crate::fhir::prescreen::{ScreenLimits, screen};
use proptest::prelude::*;
use serde_json::Value as Json;

fn of(text: &str) -> Option<String> {
    let released = form(&screen(text.as_bytes(), &ScreenLimits::record()).expect("passes"))?;
    screen(&released, &ScreenLimits::record()).expect("the released form passes too");
    Some(String::from_utf8(released).expect("UTF-8"))
}

#[test]
fn money_goes_and_the_rest_keeps_its_bytes() {
    let text = r#"{"resourceType":"ExplanationOfBenefit","meta":{"profile":["http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Oral|2.1.0"]},
 "total":[{"amount":{"value":1.10,"currency":"USD"}}], "item":[{"sequence":1,"quantity":{"value":1.10},
 "net":{"value":2.0,"currency":"USD"},"adjudication":[{"category":{"text":"paid"},"amount":{"value":2.0,"currency":"USD"}},
 {"category":{"text":"units"},"value":3.00},{"category":{"text":"why"},"reason":{"text":"r"},"amount":{"value":9,"currency":"USD"}}]},
 {"unitPrice":{"value":1,"currency":"USD"}}],"payment":{"amount":{"value":5,"currency":"USD"}}}"#;
    let expected = r#"{"resourceType":"ExplanationOfBenefit","meta":{"profile":["http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-Oral-Basis|2.1.0"]}, "item":[{"sequence":1,"quantity":{"value":1.10},"adjudication":[{"category":{"text":"units"},"value":3.00},{"category":{"text":"why"},"reason":{"text":"r"}}]}]}"#;
    assert_eq!(of(text).as_deref(), Some(expected));
}

#[test]
fn without_money_there_is_no_other_form() {
    assert_eq!(
        of(
            r#"{"resourceType":"ExplanationOfBenefit","item":[{"sequence":1,"adjudication":[{"category":{"text":"x"},"value":1.50}]}]}"#
        ),
        None
    );
    assert_eq!(
        of(r#"{"resourceType":"Observation","valueQuantity":{"value":1}}"#),
        None
    );
}

#[test]
fn every_kept_type_is_classified() {
    assert!(WITHOUT.is_sorted());
    for (rtype, _) in crate::records::compartment::TYPES {
        let lists = [WITHOUT.contains(rtype), PARTS.contains(rtype), WHOLE.contains(rtype)];
        assert_eq!(
            lists.iter().filter(|is| **is).count(),
            1,
            "{rtype} stands in exactly one list"
        );
    }
    assert_eq!(money("SomethingNew"), Money::Whole);
}

#[test]
fn what_tells_money_in_words_goes_with_the_money() {
    let text = r#"{"resourceType":"ExplanationOfBenefit","text":{"status":"generated","div":"<div>Member liability: 80 USD</div>"},
        "use":"claim","disposition":"Paid 620 USD","processNote":[{"text":"eighty dollars"}],
        "extension":[{"url":"http://x/paid-amount","valueDecimal":12.5},{"url":"http://x/note","valueString":"copay 12.5"},
          {"url":"http://x/deep","extension":[{"url":"a","valueMoney":{"value":12.5,"currency":"USD"}}]},{"url":"http://x/stay","valueString":"stay"}],
        "contained":[{"resourceType":"Coverage","id":"c","text":{"status":"generated","div":"<div>12.5</div>"},"costToBeneficiary":[{"valueMoney":{"value":12.5}}],"status":"active"}],
        "insurance":[{"focal":true,"coverage":{"display":"Gold, $500 deductible","reference":"Coverage/c"}}],
        "item":[{"sequence":1,"adjudication":[{"category":{"text":"copay"},"value":12.5},{"category":{"text":"units"},"value":4}]}],
        "supportingInfo":[{"sequence":1,"category":{"text":"x"},"valueQuantity":{"value":12.5,"unit":"USD"}}],
        "total":[{"category":{"text":"t"},"amount":{"value":12.5,"currency":"USD"}}]}"#;
    let leaves = of(text).expect("another form");
    let expected = r#"{"resourceType":"ExplanationOfBenefit","use":"claim","extension":[{"url":"http://x/stay","valueString":"stay"}],
        "contained":[{"resourceType":"Coverage","id":"c","status":"active"}],
        "insurance":[{"focal":true,"coverage":{"reference":"Coverage/c"}}],
        "item":[{"sequence":1,"adjudication":[{"category":{"text":"units"},"value":4}]}],
        "supportingInfo":[{"sequence":1,"category":{"text":"x"}}]}"#;
    let json = |text: &str| serde_json::from_str::<Json>(text).expect("JSON");
    assert_eq!(json(&leaves), json(expected));
}

#[test]
fn amounts_without_their_currency_are_known_by_their_category_and_their_unit() {
    let category = |code: &str, value: &str| format!(r#"{{"category":{{"coding":[{{"code":"{code}"}}]}},{value}}}"#);
    for code in [
        "submitted",
        "eligible",
        "benefit",
        "tax",
        "noncovered",
        "discount",
        "memberliability",
    ] {
        let text = format!(
            r#"{{"resourceType":"ExplanationOfBenefit","use":"claim","addItem":[{{"factor":1,"adjudication":[{}]}}]}}"#,
            category(code, r#""value":12.5"#)
        );
        assert!(!of(&text).expect("another form").contains("12.5"), "{code}");
    }
    for quantity in [
        r#"{"value":12.5,"unit":"80 dollars"}"#,
        r#"{"value":12.5,"unit":"each","code":"USD"}"#,
        r#"{"value":12.5,"unit":"{USD}"}"#,
    ] {
        let text = format!(
            r#"{{"resourceType":"ExplanationOfBenefit","use":"claim","item":[{{"sequence":1,"quantity":{quantity}}}]}}"#
        );
        assert!(!of(&text).expect("another form").contains("12.5"), "{quantity}");
    }
    let told = category("memberpaid", r#""sequence":1,"valueQuantity":{"value":12.5}"#);
    let text = format!(r#"{{"resourceType":"ExplanationOfBenefit","use":"claim","supportingInfo":[{told}]}}"#);
    assert!(!of(&text).expect("another form").contains("12.5"));
    for code in ["allowedunits", "consumedunits", "eligpercent"] {
        let text = format!(
            r#"{{"resourceType":"ExplanationOfBenefit","use":"preauthorization","item":[{{"sequence":1,"adjudication":[{}]}}]}}"#,
            category(code, r#""value":12.5"#)
        );
        assert_eq!(of(&text), None, "{code}");
    }
}

#[test]
fn a_quantity_in_a_currency_leaves_from_no_type_however_it_is_written() {
    for quantity in [
        r#"{"value":12.5,"unit":"EUR"}"#,
        r#"{"value":12.5,"unit":"dollars"}"#,
        r#"{"value":12.5,"unit":"$"}"#,
        r#"{"value":12.5,"code":"gbp"}"#,
        r#"{"value":12.5,"unit":"US\u0044"}"#,
        r#"{"value":12.5,"system":"urn:iso:std:iso:42\u00317","code":"SEK"}"#,
    ] {
        let text = format!(
            r#"{{"resourceType":"Observation","status":"final","code":{{"text":"x"}},"valueQuantity":{quantity}}}"#
        );
        let form = of(&text);
        assert!(form.is_some_and(|form| !form.contains("12.5")), "{quantity}");
    }
    let disease = r#"{"resourceType":"Condition","code":{"coding":[{"code":"CAD"}]}}"#;
    assert_eq!(of(disease), None);
}

#[test]
fn a_narrative_of_a_claim_or_a_coverage_never_leaves() {
    for rtype in ["ExplanationOfBenefit", "Coverage"] {
        let text = format!(
            r#"{{"resourceType":"{rtype}","id":"a","text":{{"status":"generated","div":"<div>eighty</div>"}}}}"#
        );
        assert_eq!(of(&text), Some(format!(r#"{{"resourceType":"{rtype}","id":"a"}}"#)));
    }
    let text = r#"{"resourceType":"Observation","id":"a","text":{"status":"generated","div":"<div>x</div>"}}"#;
    assert_eq!(of(text), None);
    let money = r#"{"resourceType":"Observation","id":"a","text":{"div":"x"},"extension":[{"url":"http://x","valueMoney":{"value":1,"currency":"USD"}}],"status":"final"}"#;
    assert_eq!(
        of(money).as_deref(),
        Some(r#"{"resourceType":"Observation","id":"a","status":"final"}"#)
    );
}

#[test]
fn a_total_of_an_authorization_keeps_its_category_and_units() {
    let total = r#"{"extension":[{"url":"http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/PriorAuthorizationUtilization","valueQuantity":{"value":1}}],"category":{"coding":[{"code":"eligible"}]}"#;
    let text = format!(
        r#"{{"resourceType":"ExplanationOfBenefit","use":"preauthorization","item":[{{"sequence":1,"adjudication":[{{"category":{{"text":"submitted"}},"amount":{{"value":2,"currency":"USD"}}}}]}}],"total":[{total},"amount":{{"value":100,"currency":"USD"}}}}]}}"#
    );
    let expected = format!(
        r#"{{"resourceType":"ExplanationOfBenefit","use":"preauthorization","item":[{{"sequence":1,"adjudication":[{{"category":{{"text":"submitted"}}}}]}}],"total":[{total}}}]}}"#
    );
    assert_eq!(of(&text).as_deref(), Some(expected.as_str()));
}

#[test]
fn the_released_profile_names_one_that_exists() {
    for (version, expected) in [
        ("", ""),
        ("|2.0.0", ""),
        ("|1.1.0", ""),
        ("|2.1.0", "|2.1.0"),
        ("|2.2.0-ballot", "|2.2.0-ballot"),
        ("|x", ""),
    ] {
        let basis = format!("{CARIN}Pharmacy-Basis{expected}");
        assert_eq!(basis_of(&format!("{CARIN}Pharmacy{version}")), Some(basis));
    }
    assert_eq!(basis_of(&format!("{CARIN}Pharmacy-Basis|2.1.0")), None);
}

#[test]
fn cost_sharing_of_a_coverage_goes() {
    let text = r#"{"resourceType":"Coverage","status":"active","costToBeneficiary":[{"valueMoney":{"value":20,"currency":"USD"}}]}"#;
    assert_eq!(
        of(text).as_deref(),
        Some(r#"{"resourceType":"Coverage","status":"active"}"#)
    );
}

/// A tree of plain values with random amounts, and the same tree without them.
fn trees() -> impl Strategy<Value = (Json, Json)> {
    let leaf = prop_oneof![
        any::<u16>().prop_map(|n| (Json::from(n), Json::from(n))),
        "[a-z\"\\\\,{}]{1,6}".prop_map(|s| (Json::from(s.clone()), Json::from(s))),
        any::<u8>().prop_map(|n| (serde_json::json!({"value": n, "currency": "USD"}), Json::Null)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop::collection::btree_map("[b-m]{1,3}", inner.clone(), 1..5).prop_map(|map| {
            let with: serde_json::Map<_, _> = map.iter().map(|(k, v)| (k.clone(), v.0.clone())).collect();
            let without: serde_json::Map<_, _> = map
                .into_iter()
                .filter(|(_, v)| !v.1.is_null())
                .map(|(k, v)| (k, v.1))
                .collect();
            let without = if without.is_empty() { Json::Null } else { without.into() };
            (Json::Object(with), without)
        })
    })
}

proptest! {
    #[test]
    fn exactly_the_money_goes((with, without) in trees(), pretty in any::<bool>()) {
        let mut document = serde_json::Map::new();
        document.insert("resourceType".into(), "ExplanationOfBenefit".into());
        let mut expected = document.clone();
        document.insert("extra".into(), with.clone());
        if !without.is_null() {
            expected.insert("extra".into(), without.clone());
        }
        let document = Json::Object(document);
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.expect("json");
        let got: Json = serde_json::from_str(&of(&text).unwrap_or(text)).expect("json");
        prop_assert_eq!(got, Json::Object(expected));
    }
}

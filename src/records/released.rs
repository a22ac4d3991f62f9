//! The released form: a resource without money, by cutting bytes out and leaving the rest as it came.
//!
//! What may not be cut this way (a Claim is nothing but its money) is withheld by policy: financial without a released form.

use super::splice::splice;
use crate::fhir::prescreen::{Kind, Screened, Value};
use std::ops::Range;

/// What a type has to do with money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// Nothing: stored and released as it is.
    None,
    /// Parts of it, which are cut.
    Parts,
    /// It is about money: withheld as a whole.
    Whole,
}

/// What `rtype` has to do with money.
pub fn money(rtype: &str) -> Money {
    match rtype {
        "ExplanationOfBenefit" | "Coverage" => Money::Parts,
        "Account" | "ChargeItem" | "Claim" | "ClaimResponse" | "CoverageEligibilityResponse" | "Invoice" => {
            Money::Whole
        }
        _ => Money::None,
    }
}

/// Members that go as a whole, by type, from the root; arrays are gone through.
const CUT: &[(&str, &[&str])] = &[
    ("ExplanationOfBenefit", &["total"]),
    ("ExplanationOfBenefit", &["payment"]),
    ("ExplanationOfBenefit", &["benefitBalance"]),
    ("ExplanationOfBenefit", &["processNote"]),
    ("Coverage", &["costToBeneficiary"]),
];
/// Names that are money wherever they stand.
const CUT_NAMES: &[&str] = &["unitPrice", "net", "noteNumber"];
/// What an adjudication must keep besides its category to be worth keeping.
const ADJUDICATION_BARE: &[&str] = &["id", "category"];

const CARIN: &str = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-";
const CARIN_KINDS: &[&str] = &[
    "Inpatient-Institutional",
    "Outpatient-Institutional",
    "Professional-NonClinician",
    "Oral",
    "Pharmacy",
];

/// The released form of `resource`; `None` when it carries no money and is released as it is.
pub fn form(resource: &Screened<'_>) -> Option<Vec<u8>> {
    edits(resource).map(|edits| splice(resource.bytes(), &edits))
}

/// The cuts that make the released form, sorted.
pub(super) fn edits(resource: &Screened<'_>) -> Option<Vec<(Range<usize>, String)>> {
    let rtype = resource.resource_type();
    if money(&rtype) != Money::Parts {
        return None;
    }
    let root = resource.root();
    let mut edits = Vec::new();
    cut(
        &root,
        &mut |value, path| is_money(&rtype, value, path),
        &mut Vec::new(),
        &mut edits,
    );
    if edits.is_empty() {
        return None;
    }
    for profile in root.all(&["meta", "profile"]) {
        let Some(text) = profile.text() else { continue };
        let Some(rest) = text.strip_prefix(CARIN) else { continue };
        let (name, version) = rest
            .split_once('|')
            .map_or((rest, ""), |(name, version)| (name, version));
        if CARIN_KINDS.contains(&name) {
            let bar = if version.is_empty() { "" } else { "|" };
            edits.push((profile.span(), format!("\"{CARIN}{name}-Basis{bar}{version}\"")));
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    Some(edits)
}

fn is_money(rtype: &str, value: &Value<'_>, path: &[&str]) -> bool {
    CUT.iter().any(|(of, cut)| *of == rtype && *cut == path)
        || CUT_NAMES.contains(&path.last().copied().unwrap_or_default())
        || is_money_type(value)
        || path.last() == Some(&"amount") && is_plain_amount(value)
        // An extension whose value is money goes with it: without a value it would be empty.
        || value.kind() == Kind::Object && value.get("valueMoney").is_some()
        || path.last() == Some(&"adjudication") && is_bare(value)
}

/// A Money: an amount with its currency.
fn is_money_type(value: &Value<'_>) -> bool {
    value.kind() == Kind::Object && value.get("currency").is_some_and(|code| code.kind() == Kind::String)
}

/// An amount that leaves its currency out.
fn is_plain_amount(value: &Value<'_>) -> bool {
    value.kind() == Kind::Object
        && value
            .members()
            .all(|member| ["id", "extension", "value"].contains(&member.key()))
}

/// An adjudication of which nothing but its category stays.
fn is_bare(value: &Value<'_>) -> bool {
    value.kind() == Kind::Object
        && value.get("amount").is_some()
        && value
            .members()
            .all(|member| member.key() == "amount" || ADJUDICATION_BARE.contains(&member.key()))
}

/// Collects the cuts under `container`; `true` when nothing of it stays. The pre-screen bounds the depth.
fn cut<'s>(
    container: &Value<'s>,
    goes: &mut impl FnMut(&Value<'s>, &[&'s str]) -> bool,
    path: &mut Vec<&'s str>,
    edits: &mut Vec<(Range<usize>, String)>,
) -> bool {
    let children: Vec<Value<'s>> = container.members().chain(container.items()).collect();
    let mut gone = Vec::with_capacity(children.len());
    let mut inner = Vec::new();
    for child in &children {
        let named = !child.key().is_empty();
        if named {
            path.push(child.key());
        }
        let own = inner.len();
        let all = goes(child, path)
            || matches!(child.kind(), Kind::Object | Kind::Array) && cut(child, goes, path, &mut inner);
        if all {
            inner.truncate(own);
        }
        if named {
            path.pop();
        }
        gone.push(all);
    }
    if gone.iter().all(|all| *all) {
        return true;
    }
    edits.append(&mut inner);
    for (i, child) in children.iter().enumerate().filter(|(i, _)| gone[*i]) {
        let own = child.member_span();
        let kept_before = gone[..i].iter().any(|all| !*all);
        let span = if kept_before {
            children[i - 1].member_span().end..own.end
        } else {
            own.start..children[i + 1].member_span().start
        };
        edits.push((span, String::new()));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{Limits, screen};
    use proptest::prelude::*;
    use serde_json::Value as Json;

    fn of(text: &str) -> Option<String> {
        let released = form(&screen(text.as_bytes(), &Limits::record()).expect("passes"))?;
        screen(&released, &Limits::record()).expect("the released form passes too");
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
    fn cost_sharing_of_a_coverage_goes() {
        let text = r#"{"resourceType":"Coverage","status":"active","costToBeneficiary":[{"valueMoney":{"value":20,"currency":"USD"}}]}"#;
        assert_eq!(
            of(text).as_deref(),
            Some(r#"{"resourceType":"Coverage","status":"active"}"#)
        );
    }

    /// A tree of plain values with money sprinkled in, and the same tree without it.
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
}

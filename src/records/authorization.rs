//! Prior authorisations: where an ExplanationOfBenefit of `use` preauthorization stands, and since when.
//!
//! Source: PDex 2.2 prior authorization profile; X12 306 review action codes; 42 CFR 422.119(b)(1)(iv), which leaves drugs out.

use crate::fhir::prescreen::{Screened, Value};
use crate::fhir::when;
use crate::store::disclosure::{
    PA_ACTIVE as ACTIVE, PA_DENIED as DENIED, PA_DRUG as DRUG, PA_ENDED as ENDED, PA_NONE as NONE,
};

const REVIEW_ACTION: &str = "https://codesystem.x12.org/005010/306";
/// Systems all of whose codes are drugs.
const DRUGS: [&str; 2] = [
    "http://hl7.org/fhir/sid/ndc",
    "http://www.nlm.nih.gov/research/umls/rxnorm",
];
/// HCPCS level II as terminology.hl7.org and as CARIN write it; the codes from J0000 to J9999 are drugs.
const HCPCS: [&str; 2] = [
    "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
    "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
];

/// State, and when it ended or will end (UTC ms): `None` for one that waits for a decision, or has no period. `service_to_ms` is
/// the end of the service it is for, which stands in for a period.
pub fn state(resource: &Screened<'_>, service_to_ms: Option<i64>, now_ms: i64) -> (i64, Option<i64>) {
    let root = resource.root();
    let is_request = resource.resource_type() == "ExplanationOfBenefit"
        && root.get("use").is_some_and(|value| value.is("preauthorization"));
    if !is_request {
        return (NONE, None);
    }
    let mut found = Found::default();
    walk(&root, &mut found);
    if for_drugs(&root) {
        return (DRUG, found.changed_ms);
    }
    let created = root
        .get("created")
        .and_then(|value| value.text())
        .and_then(|text| when::range_ms(&text));
    let changed = found.changed_ms.or(created.map(|(from, _)| from));
    let period_end = root
        .all(&["preAuthRefPeriod", "end"])
        .iter()
        .filter_map(end_ms)
        .max()
        .or(service_to_ms);
    let cancelled = root
        .get("status")
        .is_some_and(|value| value.is("cancelled") || value.is("entered-in-error"));
    if found.denied && !found.other {
        return (DENIED, changed);
    }
    if cancelled || found.cancelled && !found.other {
        return (ENDED, changed);
    }
    if found.pending {
        // The period of one that waits for its decision is only asked for; it ends nothing.
        return (ACTIVE, None);
    }
    match period_end.filter(|end| *end < now_ms) {
        Some(end) => (ENDED, changed.max(Some(end))),
        None => (ACTIVE, period_end),
    }
}

/// Whether it is a pharmacy's, or everything that it asks for is a drug.
fn for_drugs(root: &Value<'_>) -> bool {
    let pharmacy = root
        .all(&["type", "coding", "code"])
        .iter()
        .any(|code| code.is("pharmacy"));
    let is_drug = |coding: &Value<'_>| {
        coding.get("system").is_some_and(|system| {
            let hcpcs = || {
                let code = coding.get("code").and_then(|code| code.text());
                HCPCS.iter().any(|known| system.is(known)) && code.is_some_and(|code| code.starts_with('J'))
            };
            DRUGS.iter().any(|known| system.is(known)) || hcpcs()
        })
    };
    let items = root.all(&["item"]);
    let all = items
        .iter()
        .all(|item| item.all(&["productOrService", "coding"]).iter().any(is_drug));
    pharmacy || !items.is_empty() && all
}

#[derive(Default)]
struct Found {
    denied: bool,
    cancelled: bool,
    pending: bool,
    /// Anything but denied or cancelled.
    other: bool,
    changed_ms: Option<i64>,
}

fn end_ms(value: &Value<'_>) -> Option<i64> {
    value.text().and_then(|text| when::range_ms(&text)).map(|(_, to)| to)
}

/// Collects review actions and decision times wherever extensions carry them. The pre-screen bounds the depth.
fn walk(value: &Value<'_>, found: &mut Found) {
    if value.get("system").is_some_and(|system| system.is(REVIEW_ACTION)) {
        match value.get("code").and_then(|code| code.text()).as_deref() {
            Some("A3") => found.denied = true,
            Some("C") => found.cancelled = true,
            Some("A4") => (found.pending, found.other) = (true, true),
            _ => found.other = true,
        }
    }
    if let Some(url) = value.get("url").and_then(|url| url.text()) {
        let when_decided = url.ends_with("when-adjudicated") || url.ends_with("itemPreAuthIssueDate");
        if when_decided {
            let at = value
                .get("valueDateTime")
                .or_else(|| value.get("valueDate"))
                .and_then(|at| at.text());
            let at = at.and_then(|text| when::range_ms(&text)).map(|(from, _)| from);
            found.changed_ms = found.changed_ms.max(at);
        }
    }
    for child in value.members().chain(value.items()) {
        if matches!(
            child.kind(),
            crate::fhir::prescreen::Kind::Object | crate::fhir::prescreen::Kind::Array
        ) {
            walk(&child, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{Limits, screen};

    fn of(status: &str, actions: &[&str], end: &str) -> (i64, Option<i64>) {
        let items: Vec<String> = actions
            .iter()
            .map(|code| {
                format!(
                    r#"{{"adjudication":[{{"extension":[{{"url":"r","extension":[{{"url":"c","valueCodeableConcept":{{"coding":[
                    {{"system":"{REVIEW_ACTION}","code":"{code}"}}]}}}}]}},{{"url":"http://x/base-ext-when-adjudicated",
                    "valueDateTime":"2024-05-05"}}]}}]}}"#
                )
            })
            .collect();
        let text = format!(
            r#"{{"resourceType":"ExplanationOfBenefit","use":"preauthorization","status":"{status}","created":"2024-01-01",
            "preAuthRefPeriod":[{{"end":"{end}"}}],"item":[{}]}}"#,
            items.join(",")
        );
        let now = when::range_ms("2025-01-01").expect("date").0;
        state(&screen(text.as_bytes(), &Limits::record()).expect("passes"), None, now)
    }

    #[test]
    fn one_for_drugs_alone_is_told_from_one_for_a_service_too() {
        let of = |claim: &str, codings: &[(&str, &str)]| {
            let items: Vec<String> = codings
                .iter()
                .map(|(system, code)| {
                    format!(r#"{{"productOrService":{{"coding":[{{"system":"{system}","code":"{code}"}}]}}}}"#)
                })
                .collect();
            let text = format!(
                r#"{{"resourceType":"ExplanationOfBenefit","use":"preauthorization","status":"active","type":{{"coding":[
                {{"code":"{claim}"}}]}}{}}}"#,
                if items.is_empty() {
                    String::new()
                } else {
                    format!(",\"item\":[{}]", items.join(","))
                }
            );
            state(&screen(text.as_bytes(), &Limits::record()).expect("passes"), None, 0).0
        };
        let ([ndc, rxnorm], [hcpcs, other]) = (DRUGS, HCPCS);
        assert_eq!(of("professional", &[(ndc, "0006-0277")]), DRUG);
        assert_eq!(of("professional", &[(rxnorm, "860975"), (hcpcs, "J0897")]), DRUG);
        assert_eq!(of("pharmacy", &[]), DRUG);
        assert_eq!(of("professional", &[(hcpcs, "E0601")]), ACTIVE);
        assert_eq!(of("professional", &[(ndc, "0006-0277"), (other, "E0601")]), ACTIVE);
        assert_eq!(of("professional", &[]), ACTIVE);
    }

    #[test]
    fn the_state_follows_review_status_and_period() {
        let decided = when::range_ms("2024-05-05").map(|r| r.0);
        let end = |text| when::range_ms(text).map(|range| range.1);
        assert_eq!(of("active", &["A1"], "2025-06-01"), (ACTIVE, end("2025-06-01")));
        assert_eq!(of("active", &["A4"], "2025-06-01"), (ACTIVE, None));
        assert_eq!(of("active", &["A1", "A4"], "2024-08-01"), (ACTIVE, None));
        assert_eq!(of("active", &["A3", "A6"], "2025-06-01"), (ACTIVE, end("2025-06-01")));
        assert_eq!(of("active", &["A3", "A3"], "2025-06-01"), (DENIED, decided));
        assert_eq!(of("cancelled", &["A1"], "2025-06-01"), (ENDED, decided));
        assert_eq!(of("active", &["A1"], "2024-08-01"), (ENDED, end("2024-08-01")));
    }
}

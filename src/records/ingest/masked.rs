//! The amount of a `total` that another payer left out. R4 requires it, and payers take money out of what they hand over: an amount that
//! says `masked` stands for it, or the authorization would be kept apart. It never says how much, and what came is kept as it came.

use crate::fhir::prescreen::Screened;
use std::ops::Range;

const MASKED: &str = r#","amount":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}"#;

/// Returns the insertions into an ExplanationOfBenefit whose totals have a category and no amount.
pub(super) fn stand_ins(resource: &Screened<'_>) -> Vec<(Range<usize>, String)> {
    if resource.resource_type() != "ExplanationOfBenefit" {
        return Vec::new();
    }
    resource
        .root()
        .all(&["total"])
        .into_iter()
        .filter(|total| total.get("category").is_some() && total.get("amount").is_none())
        .map(|total| {
            let end = total.span().end - 1;
            (end..end, MASKED.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};
    use crate::records::splice::splice;

    fn of(text: &str) -> String {
        let screened = screen(text.as_bytes(), &ScreenLimits::record()).expect("a resource");
        String::from_utf8(splice(text.as_bytes(), &stand_ins(&screened))).expect("UTF-8")
    }

    #[test]
    fn a_total_without_an_amount_has_one_that_says_nothing() {
        let category = r#""category":{"coding":[{"code":"eligible"}]}"#;
        let eob = |total: &str| format!(r#"{{"resourceType":"ExplanationOfBenefit","id":"a","total":[{total}]}}"#);
        assert_eq!(
            of(&eob(&format!("{{{category}}}"))),
            eob(&format!("{{{category}{MASKED}}}"))
        );
        for same in [
            eob(&format!(r#"{{{category},"amount":{{"value":1,"currency":"USD"}}}}"#)),
            eob(r#"{"id":"a"}"#),
            format!(r#"{{"resourceType":"Claim","id":"a","total":[{{{category}}}]}}"#),
        ] {
            assert_eq!(of(&same), same);
        }
    }
}

//! What stands for an amount that R4 requires and that does not leave: an element that says it is masked. It never says how much.

use crate::fhir::prescreen::Value;
use std::ops::Range;

const MASKED: &str = r#","amount":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason","valueCode":"masked"}]}"#;

/// Returns the insertions that the cuts of an ExplanationOfBenefit need. A total that stays (PDex wants its category and units of an
/// authorization) has an amount, by R4.
pub(super) fn stand_ins(root: &Value<'_>, cuts: &[(Range<usize>, String)]) -> Vec<(Range<usize>, String)> {
    let is_cut = |span: &Range<usize>| {
        cuts.iter()
            .any(|(cut, _)| cut.start <= span.start && span.end <= cut.end)
    };
    let lost = |total: &Value<'_>| {
        let amount = total.get("amount");
        amount.is_some_and(|amount| is_cut(&amount.member_span())) && !is_cut(&total.span())
    };
    root.all(&["total"])
        .into_iter()
        .filter(lost)
        .map(|total| {
            let end = total.span().end - 1;
            (end..end, MASKED.to_owned())
        })
        .collect()
}

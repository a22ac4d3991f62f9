//! Security labels outside `meta.security`: on a document, on a Composition, inline in an element, and among the tags.
//!
//! They count like those in `meta.security`: a known label sets its bit, and an unknown one withholds the resource.

use super::sensitivity::{LABELS, UNKNOWN};
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use memchr::memmem;

const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// The end of the URL of DS4P's extension for a label on an element.
const INLINE: &str = "inline-sec-label";

/// Returns the bits of all labels outside `meta.security`.
pub fn bits(resource: &Screened<'_>, rtype: &str) -> i64 {
    let root = resource.root();
    let mut bits = own(&root, rtype);
    for inner in root.all(&["contained"]) {
        let rtype = inner.get("resourceType").and_then(|rtype| rtype.text());
        bits |= own(&inner, &rtype.unwrap_or_default());
    }
    // An escape may hide the name.
    let may_have = |part: &[u8]| memmem::find(resource.bytes(), part).is_some();
    if may_have(INLINE.as_bytes()) || may_have(b"\\u") {
        inline(&root, &mut bits);
    }
    bits
}

/// The labels of one resource, which may be a contained one, in its own elements.
fn own(root: &Value<'_>, rtype: &str) -> i64 {
    let mut bits = 0;
    match rtype {
        "DocumentReference" => {
            for concept in root.all(&["securityLabel"]) {
                let codings = concept.all(&["coding"]);
                bits |= if codings.is_empty() {
                    UNKNOWN
                } else {
                    codings.iter().fold(0, |sum, one| sum | label(one))
                };
            }
        }
        "Composition" => {
            if let Some(value) = root.get("confidentiality") {
                bits |= of(CONFIDENTIALITY, &value.text().unwrap_or_default());
            }
        }
        _ => {}
    }
    if let Some(meta) = root.get("meta") {
        // Most tags say where data comes from; a tag of a label's code system is a label in the wrong place.
        for tag in meta.all(&["tag"]) {
            let system = tag.get("system").and_then(|system| system.text()).unwrap_or_default();
            if system == CONFIDENTIALITY || LABELS.iter().any(|row| row.0 == system && label(&tag) != UNKNOWN) {
                bits |= label(&tag);
            }
        }
    }
    bits
}

fn inline(value: &Value<'_>, bits: &mut i64) {
    let url = value.get("url").and_then(|url| url.text());
    if url.is_some_and(|url| url.ends_with(INLINE)) {
        *bits |= value.get("valueCoding").map_or(UNKNOWN, |coding| label(&coding));
    }
    for child in value.members().chain(value.items()) {
        if matches!(child.kind(), JsonKind::Object | JsonKind::Array) {
            inline(&child, bits);
        }
    }
}

fn label(coding: &Value<'_>) -> i64 {
    let text = |name| coding.get(name).and_then(|value| value.text()).unwrap_or_default();
    of(&text("system"), &text("code"))
}

fn of(system: &str, code: &str) -> i64 {
    let row = LABELS.iter().find(|row| row.0 == system && row.1 == code);
    row.map_or(UNKNOWN, |row| row.2)
}

#[cfg(test)]
mod tests {
    use super::super::sensitivity::{SUBSTANCE_USE, VERY_RESTRICTED};
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};

    fn of(text: &str) -> i64 {
        let resource = screen(text.as_bytes(), &ScreenLimits::record()).expect("passes");
        bits(&resource, &resource.resource_type())
    }

    #[test]
    fn labels_count_wherever_they_stand() {
        let document = |label: &str| {
            of(&format!(
                r#"{{"resourceType":"DocumentReference","securityLabel":{label}}}"#
            ))
        };
        let coded = |code: &str| format!(r#"{{"coding":[{{"system":"{CONFIDENTIALITY}","code":"{code}"}}]}}"#);
        assert_eq!(document(&format!("[{}]", coded("V"))), VERY_RESTRICTED);
        assert_eq!(document(&coded("N")), 0);
        assert_eq!(document(&coded("v")), UNKNOWN);
        assert_eq!(document(r#"[{"text":"secret"}]"#), UNKNOWN);
        assert_eq!(
            of(r#"{"resourceType":"Composition","confidentiality":"V"}"#),
            VERY_RESTRICTED
        );
        assert_eq!(of(r#"{"resourceType":"Composition","confidentiality":["V"]}"#), UNKNOWN);
        let tag = |system: &str, code: &str| {
            of(&format!(
                r#"{{"resourceType":"Condition","meta":{{"tag":[{{"system":"{system}","code":"{code}"}}]}}}}"#
            ))
        };
        assert_eq!(
            tag("http://terminology.hl7.org/CodeSystem/v3-ActCode", "ETH"),
            SUBSTANCE_USE
        );
        assert_eq!(tag(CONFIDENTIALITY, "?"), UNKNOWN);
        assert_eq!(tag("http://example.org/data-origin", "derived"), 0);
        let inner = r#"{"resourceType":"Condition","code":{"extension":[{"url":"http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label","valueCoding":{"code":"ETH"}}]}}"#;
        assert_eq!(of(inner), UNKNOWN);
        let escaped = inner.replace("inline-sec-label", "inline-sec\\u002dlabel");
        assert_eq!(of(&escaped), UNKNOWN);
    }

    #[test]
    fn t_d08_labels_of_a_contained_resource_count_like_its_own() {
        let within = |inner: &str| of(&format!(r#"{{"resourceType":"Procedure","contained":[{inner}]}}"#));
        let coded = format!(r#"[{{"coding":[{{"system":"{CONFIDENTIALITY}","code":"V"}}]}}]"#);
        let document = format!(r#"{{"resourceType":"DocumentReference","id":"d","securityLabel":{coded}}}"#);
        assert_eq!(within(&document), VERY_RESTRICTED);
        let unknown = r#"{"resourceType":"DocumentReference","id":"d","securityLabel":[{"text":"secret"}]}"#;
        assert_eq!(
            within(&format!(r#"{{"resourceType":"Goal","id":"g"}},{unknown}"#)),
            UNKNOWN
        );
        let composition = r#"{"resourceType":"Composition","id":"c","confidentiality":"V"}"#;
        assert_eq!(within(composition), VERY_RESTRICTED);
        let tagged = format!(
            r#"{{"resourceType":"Goal","id":"g","meta":{{"tag":[{{"system":"{CONFIDENTIALITY}","code":"V"}}]}}}}"#
        );
        assert_eq!(within(&tagged), VERY_RESTRICTED);
        assert_eq!(within(r#"{"resourceType":"Goal","id":"g"}"#), 0);
    }
}

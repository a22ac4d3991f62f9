//! Decides what a prior authorization covers: a drug, something that is known to be no drug, or something unknown.
//!
//! This file knows where an authorization contains codes and texts; `super::codes` judges a code by its system.

use super::codes::{CodeRule, SYSTEMS, by_code, names_drug_system, of_coding};
use super::text::{canonical, squeezed, text_of};
use super::words::{ServiceKind, of_text};
use crate::fhir::prescreen::{JsonKind, Value};

use ServiceKind::{Drug, NoDrug, Unknown};

/// Modifiers that only lines for drugs have: route, waste, 340B, competitive acquisition, parts of a dose.
const DRUG_MODIFIERS: &[&str] = &[
    "JA", "JB", "JG", "JW", "JZ", "TB", "KD", "KO", "KP", "KQ", "J1", "J2", "J3", "RD",
];

/// Codes of supporting information that only dispensed drugs have (CARIN).
const DRUG_SUPPORT: &[&str] = &[
    "dayssupply",
    "dawcode",
    "refillnum",
    "refillsauthorized",
    "rxorigincode",
    "brandgenericindicator",
    "compoundcode",
];
const CLAIM_TYPES: [&str; 2] = ["terminology.hl7.org/codesystem/claim-type", "hl7.org/fhir/ex-claimtype"];
/// Claim types other than pharmacy.
const OTHER_TYPES: [&str; 4] = ["institutional", "oral", "professional", "vision"];
/// Returns what `root` covers: the most restrictive result for everything that it names.
pub(super) fn of(root: &Value<'_>, rtype: &str) -> ServiceKind {
    let mut worst = claim_type(root);
    for reference in root
        .all(&["prescription"])
        .iter()
        .chain(&root.all(&["originalPrescription"]))
    {
        let text = text_of(reference, "reference");
        let device = ["DeviceRequest/", "VisionPrescription/"]
            .iter()
            .any(|kind| text.starts_with(kind));
        worst = worst.max(if device { NoDrug } else { Drug });
    }
    for coding in root.all(&["supportingInfo", "category", "coding"]) {
        if DRUG_SUPPORT.contains(&squeezed(&text_of(&coding, "code")).as_str()) {
            worst = Drug;
        }
    }
    // A code of a drug may be outside the lines: in supporting information, or in an extension of the whole.
    for member in root.members() {
        if ["extension", "supportingInfo", "procedure", "programCode"].contains(&member.key()) && names_drug(&member) {
            worst = Drug;
        }
    }
    // A response names the lines of its request only by number.
    let numbered = rtype == "ClaimResponse";
    for line in root.all(&["item"]) {
        worst = worst.max(of_line(&line, !numbered));
    }
    for line in root.all(&["addItem"]) {
        worst = worst.max(of_line(&line, true));
    }
    worst
}

/// Judges a line with its details. With `named`, the line must say what it is for.
fn of_line(line: &Value<'_>, named: bool) -> ServiceKind {
    let mut worst = if named && line.get("productOrService").is_none() {
        Unknown
    } else {
        NoDrug
    };
    within(line, &mut worst);
    if names_drug(line) { Drug } else { worst }
}

/// Whether any element below `value` is a code or an identifier of a drug, or an extension about one.
fn names_drug(value: &Value<'_>) -> bool {
    let of_drugs = |system: &str| {
        let system = canonical(system);
        match SYSTEMS.iter().find(|row| row.0 == system) {
            Some(row) => matches!(row.1, CodeRule::Drugs),
            None => names_drug_system(&system),
        }
    };
    let names = match value.kind() {
        JsonKind::Object => {
            let url = text_of(value, "url");
            of_drugs(&text_of(value, "system")) || value.get("url").is_some() && names_drug_system(&url)
        }
        // A code system inside a text, in the form of a FHIR token.
        JsonKind::String => {
            value.key().starts_with("value") && value.text().is_some_and(|text| of_token(&text, &of_drugs))
        }
        JsonKind::Array => false,
        _ => return false,
    };
    names || value.members().chain(value.items()).any(|child| names_drug(&child))
}

/// Whether a text has the form `system|code` with a drug system.
fn of_token(text: &str, of_drugs: &impl Fn(&str) -> bool) -> bool {
    text.split_once('|').is_some_and(|(system, _)| of_drugs(system))
}

/// Judges everything below `value` that names a product or a service.
fn within(value: &Value<'_>, worst: &mut ServiceKind) {
    for member in value.members().chain(value.items()) {
        let found = match member.key() {
            "productOrService" | "productOrServiceEnd" => each(&member, concept),
            "revenue" => each(&member, |one| by_codings(one, CodeRule::Revenue)),
            "category" => each(&member, category),
            "modifier" => each(&member, modifier),
            "reference" if medication(&member) => Drug,
            // PAS: what was authorized instead of what was requested.
            "valueCodeableConcept" if text_of(value, "url").starts_with("productOrServiceCode") => {
                each(&member, concept)
            }
            _ => NoDrug,
        };
        *worst = (*worst).max(found);
        if matches!(member.kind(), JsonKind::Object | JsonKind::Array) {
            within(&member, worst);
        }
    }
}

/// Returns the most restrictive result for a member that may be one value or an array.
fn each(value: &Value<'_>, judge: impl Fn(&Value<'_>) -> ServiceKind) -> ServiceKind {
    if value.kind() == JsonKind::Array {
        value.items().map(|item| judge(&item)).max().unwrap_or(Unknown)
    } else {
        judge(value)
    }
}

/// Whether a reference is to a request for a medication or to an Immunization: a line may reference what is requested.
fn medication(reference: &Value<'_>) -> bool {
    let text = reference.text().unwrap_or_default();
    let before = text.split("/_history").next().unwrap_or_default();
    let mut parts = before.rsplit('/');
    parts
        .nth(1)
        .is_some_and(|rtype| rtype.starts_with("Medication") || rtype == "Immunization")
}

/// Judges a product or a service.
fn concept(value: &Value<'_>) -> ServiceKind {
    let codings = value.all(&["coding"]);
    if codings.is_empty() {
        // Without a code, only the text can be judged.
        return of_text(&text_of(value, "text"));
    }
    codings
        .iter()
        .map(|coding| of_coding(&text_of(coding, "system"), &text_of(coding, "code")))
        .max()
        .unwrap_or(Unknown)
}

/// Judges a concept other than the product: only codes that are known to mean a drug count.
fn by_codings(value: &Value<'_>, codes: CodeRule) -> ServiceKind {
    let codings = value.all(&["coding"]);
    let drug = codings
        .iter()
        .any(|coding| by_code(codes, &text_of(coding, "code")) == Drug);
    if drug { Drug } else { NoDrug }
}

/// Judges the category of a line: a service type, or words.
fn category(value: &Value<'_>) -> ServiceKind {
    let words = |value: &Value<'_>, name: &str| {
        let text = squeezed(&text_of(value, name));
        ["pharm", "drug", "medication", "prescription"]
            .iter()
            .any(|part| text.contains(part))
    };
    let coded = value.all(&["coding"]).iter().any(|coding| {
        let system = canonical(&text_of(coding, "system"));
        let drug = matches!(SYSTEMS.iter().find(|row| row.0 == system), Some((_, codes)) if by_code(*codes, &text_of(coding, "code")) == Drug);
        drug || words(coding, "code") || words(coding, "display")
    });
    if coded || words(value, "text") { Drug } else { NoDrug }
}

fn modifier(value: &Value<'_>) -> ServiceKind {
    let drug = value.all(&["coding"]).iter().any(|coding| {
        let code = text_of(coding, "code").trim().to_ascii_uppercase();
        DRUG_MODIFIERS.contains(&code.as_str())
    });
    if drug { Drug } else { NoDrug }
}

/// Judges `type` and `subType`: no pharmacy in any spelling, and a type that is recognized.
fn claim_type(root: &Value<'_>) -> ServiceKind {
    let concepts: Vec<Value<'_>> = root.all(&["type"]).into_iter().chain(root.all(&["subType"])).collect();
    let drug = |text: String| {
        let text = squeezed(&text);
        text.contains("pharm") || text.contains("drug") || text.contains("medication") || text == "rx"
    };
    let mut known = false;
    for concept in &concepts {
        if drug(text_of(concept, "text")) {
            return Drug;
        }
        for coding in concept.all(&["coding"]) {
            if drug(text_of(&coding, "code")) || drug(text_of(&coding, "display")) {
                return Drug;
            }
            known |= CLAIM_TYPES.contains(&canonical(&text_of(&coding, "system")).as_str())
                && coding
                    .get("code")
                    .is_some_and(|code| OTHER_TYPES.iter().any(|one| code.is(one)));
        }
    }
    if known { NoDrug } else { Unknown }
}

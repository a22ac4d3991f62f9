//! The released form: a resource without amounts of money, made by cutting out bytes and keeping the rest unchanged.
//!
//! Amounts are removed, and so is what may express them in words: narratives, notes, free text. Types that cannot be cut this way (a Claim
//! is nothing but its money) are withheld: `financial` is set and there is no released form. `docs/release.md` explains the rules.

mod words;

use super::splice::splice;
use crate::fhir::prescreen::{JsonKind, Screened, Value};
use memchr::memmem;
use std::ops::Range;

/// How a type is related to money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Money {
    /// It has no amounts of its own: released unchanged, unless an extension or a contained resource has an amount.
    None,
    /// Parts of it are amounts, which are removed.
    Parts,
    /// It is entirely about money: withheld.
    Whole,
}

/// Types of which parts are amounts, and types that may express amounts in prose, so that their free text is searched too.
const PARTS: [&str; 3] = ["Coverage", "CoverageEligibilityRequest", "ExplanationOfBenefit"];
/// Types without an element of type Money about a member. The costs in an InsurancePlan are those of the product, and public.
#[rustfmt::skip]
const WITHOUT: &[&str] = &[
    "AdverseEvent", "AllergyIntolerance", "Appointment", "AppointmentResponse", "Basic", "Binary", "BodyStructure", "CarePlan",
    "CareTeam", "ClinicalImpression", "Communication", "CommunicationRequest", "Composition", "Condition", "Consent",
    "DetectedIssue", "Device", "DeviceDefinition", "DeviceRequest", "DeviceUseStatement", "DiagnosticReport",
    "DocumentManifest", "DocumentReference", "Encounter", "Endpoint", "EnrollmentRequest", "EpisodeOfCare",
    "FamilyMemberHistory", "Flag", "Goal", "HealthcareService", "ImagingStudy", "Immunization", "ImmunizationEvaluation",
    "ImmunizationRecommendation", "InsurancePlan", "List", "Location", "MeasureReport", "Media", "Medication",
    "MedicationAdministration", "MedicationDispense", "MedicationRequest", "MedicationStatement", "MolecularSequence",
    "NutritionOrder", "Observation", "Organization", "OrganizationAffiliation", "Patient", "Practitioner",
    "PractitionerRole", "Procedure", "Provenance", "QuestionnaireResponse", "RelatedPerson", "RequestGroup",
    "ResearchSubject", "RiskAssessment", "Schedule", "ServiceRequest", "Specimen", "Substance", "SupplyDelivery",
    "SupplyRequest", "VisionPrescription",
];
/// Types that are entirely about money. A type in none of these lists is treated as one of them.
#[cfg(test)]
const WHOLE: [&str; 6] = [
    "Account",
    "ChargeItem",
    "Claim",
    "ClaimResponse",
    "CoverageEligibilityResponse",
    "Invoice",
];

/// Returns how `rtype` is related to money.
pub fn money(rtype: &str) -> Money {
    if WITHOUT.binary_search(&rtype).is_ok() {
        Money::None
    } else if PARTS.contains(&rtype) {
        Money::Parts
    } else {
        Money::Whole
    }
}

/// Whether a contained resource, at any depth, is a claim or entirely about money: it
/// cannot be cut, so the resource that contains it is withheld.
pub fn contains_claim(resource: &Screened<'_>) -> bool {
    resource
        .root()
        .get("contained")
        .is_some_and(|contained| claim_within(&contained))
}

fn claim_within(value: &Value<'_>) -> bool {
    let rtype = value.get("resourceType").and_then(|rtype| rtype.text());
    let is_claim =
        rtype.is_some_and(|rtype| super::prior_authorization::is_claim_type(&rtype) || is_whole_when_contained(&rtype));
    is_claim
        || value
            .members()
            .chain(value.items())
            .filter(|child| matches!(child.kind(), JsonKind::Object | JsonKind::Array))
            .any(|child| claim_within(&child))
}

/// Whether a contained type is entirely about money: types of [`Money::Whole`], and types
/// about payments that are never stored by themselves.
fn is_whole_when_contained(rtype: &str) -> bool {
    const NEVER_KEPT: [&str; 3] = ["Contract", "PaymentNotice", "PaymentReconciliation"];
    NEVER_KEPT.contains(&rtype) || super::compartment::kind(rtype).is_some() && money(rtype) == Money::Whole
}

/// Members that are removed entirely, by type and path from the root; arrays are descended into. In a prior authorization only the amount
/// of a total is removed: its category and units are no money.
const CUT: &[(&str, &[&str])] = &[
    ("ExplanationOfBenefit", &["total"]),
    ("ExplanationOfBenefit", &["disposition"]),
];
/// Names of members that are money wherever they occur.
const CUT_NAMES: &[&str] = &[
    "benefitBalance",
    "costToBeneficiary",
    "net",
    "noteNumber",
    "payment",
    "processNote",
    "unitPrice",
];
/// An adjudication that keeps only these members is removed.
const ADJUDICATION_BARE: &[&str] = &["id", "category"];
/// In a type without money, one of these occurs in the bytes wherever there is an amount, or [`names_currency`] is true.
const FIRST_TEST: [&[u8]; 5] = [b"Money\"", b"\"currency\"", b"costToBeneficiary", b"4217", b"\"USD\""];

const CARIN: &str = "http://hl7.org/fhir/us/carin-bb/StructureDefinition/C4BB-ExplanationOfBenefit-";
const CARIN_KINDS: &[&str] = &[
    "Inpatient-Institutional",
    "Outpatient-Institutional",
    "Professional-NonClinician",
    "Oral",
    "Pharmacy",
];
/// The first version of CARIN's guide with Basis profiles.
const BASIS_SINCE: (u32, u32) = (2, 1);

/// Returns the released form of `resource`; `None` when it contains no amounts and is released unchanged.
pub fn form(resource: &Screened<'_>) -> Option<Vec<u8>> {
    edits(resource).map(|edits| splice(resource.bytes(), &edits))
}

/// Returns the sorted cuts that make the released form.
pub(super) fn edits(resource: &Screened<'_>) -> Option<Vec<(Range<usize>, String)>> {
    let rtype = resource.resource_type();
    let parts = match money(&rtype) {
        Money::Whole => return None,
        _ if rtype == "InsurancePlan" => return None,
        Money::Parts => true,
        Money::None
            if !names_currency(resource)
                && FIRST_TEST
                    .iter()
                    .all(|part| memmem::find(resource.bytes(), part).is_none()) =>
        {
            return None;
        }
        Money::None => false,
    };
    let root = resource.root();
    let subject = Subject {
        rtype: &rtype,
        authorization: root
            .get("use")
            .is_some_and(|value| !value.is("claim") && !value.is("predetermination")),
        prose: parts,
    };
    let mut edits = cuts(&root, &subject);
    if edits.is_empty() {
        return None;
    }
    if !parts {
        // Something was cut, so the narrative may express it.
        edits = cuts(&root, &Subject { prose: true, ..subject });
    }
    for profile in root.all(&["meta", "profile"]) {
        let basis = profile.text().and_then(|text| basis_of(&text));
        edits.extend(basis.map(|basis| (profile.span(), format!("\"{basis}\""))));
    }
    edits.sort_by_key(|(span, _)| span.start);
    Some(edits)
}

/// Whether a unit, a code or a code system is that of a currency, however it is written.
fn names_currency(resource: &Screened<'_>) -> bool {
    resource.values().any(|value| {
        let is = |test: fn(&str) -> bool| value.text().is_some_and(|text| test(&text));
        match value.key() {
            "unit" | "code" => is(words::is_currency),
            "system" => is(|system| system.contains("4217")),
            _ => false,
        }
    })
}

/// Returns the sorted cuts of the released form plus everything for which `goes` returns
/// true; the narrative is removed too, since it may mention that.
pub(super) fn edits_without(
    resource: &Screened<'_>,
    goes: &dyn Fn(&Value<'_>, &[&str]) -> bool,
) -> Vec<(Range<usize>, String)> {
    let rtype = resource.resource_type();
    let subject = Subject {
        rtype: &rtype,
        authorization: false,
        prose: true,
    };
    let mut edits = Vec::new();
    cut(
        &resource.root(),
        &mut |value, path| goes(value, path) || is_money(&subject, value, path),
        &mut Vec::new(),
        &mut edits,
    );
    edits.sort_by_key(|(span, _)| span.start);
    edits
}

/// Returns CARIN's Basis profile, which has no money, for one that has. Versions before
/// 2.1.0 have no such profile, so then no version is named.
fn basis_of(profile: &str) -> Option<String> {
    let rest = profile.strip_prefix(CARIN)?;
    let (name, version) = rest.split_once('|').unwrap_or((rest, ""));
    if !CARIN_KINDS.contains(&name) {
        return None;
    }
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
    let has_basis = matches!((numbers.next(), numbers.next()), (Some(Some(major)), Some(Some(minor))) if (major, minor) >= BASIS_SINCE);
    let bar = if has_basis {
        format!("|{version}")
    } else {
        String::new()
    };
    Some(format!("{CARIN}{name}-Basis{bar}"))
}

/// What is being cut.
struct Subject<'a> {
    rtype: &'a str,
    /// Whether it is a prior authorization, whose amounts are removed and whose units are kept.
    authorization: bool,
    /// Whether narratives and free text are removed too.
    prose: bool,
}

fn cuts(root: &Value<'_>, subject: &Subject<'_>) -> Vec<(Range<usize>, String)> {
    let mut edits = Vec::new();
    cut(
        root,
        &mut |value, path| is_money(subject, value, path),
        &mut Vec::new(),
        &mut edits,
    );
    edits
}

fn is_money(subject: &Subject<'_>, value: &Value<'_>, path: &[&str]) -> bool {
    let name = path.last().copied().unwrap_or_default();
    match value.kind() {
        JsonKind::Object | JsonKind::Array => {
            CUT_NAMES.contains(&name)
                || !subject.authorization && is_cut(subject.rtype, path)
                || subject.prose && matches!(path, ["text"] | ["contained", "text"])
                || value.kind() == JsonKind::Object && is_amount(subject, value, name)
        }
        JsonKind::String => {
            CUT_NAMES.contains(&name)
                || path == ["disposition"] && is_cut(subject.rtype, path)
                || subject.prose && words::is_prose(name) && value.text().is_some_and(|text| words::tell_money(&text))
        }
        _ => CUT_NAMES.contains(&name),
    }
}

fn is_cut(rtype: &str, path: &[&str]) -> bool {
    CUT.iter().any(|(of, cut)| *of == rtype && *cut == path)
}

fn is_amount(subject: &Subject<'_>, value: &Value<'_>, name: &str) -> bool {
    is_money_type(value)
        || name == "amount" && is_plain_amount(value)
        || name == "adjudication" && (!subject.authorization && is_bare(value) || is_priced(value, &["value"]))
        || name == "supportingInfo" && is_priced(value, &["valueQuantity", "valueString"])
        || is_money_extension(value, subject.prose)
}

/// Whether a value is a Money (an amount with its currency), or a Quantity of a currency.
fn is_money_type(value: &Value<'_>) -> bool {
    let text = |name| value.get(name).and_then(|member| member.text());
    value
        .get("currency")
        .is_some_and(|code| code.kind() == JsonKind::String)
        || value.get("value").is_some()
            && (text("system").is_some_and(|system| system.contains("4217"))
                || ["unit", "code"]
                    .iter()
                    .any(|name| text(name).is_some_and(|unit| words::is_currency(&unit))))
}

/// Whether a value is an amount without its currency.
fn is_plain_amount(value: &Value<'_>) -> bool {
    value
        .members()
        .all(|member| ["id", "extension", "value"].contains(&member.key()))
}

/// Whether an adjudication would keep nothing but its category.
fn is_bare(value: &Value<'_>) -> bool {
    value.get("amount").is_some()
        && value
            .members()
            .all(|member| member.key() == "amount" || ADJUDICATION_BARE.contains(&member.key()))
}

/// Categories of adjudications that are amounts, besides those whose name means money. Others are units or percentages.
const AMOUNT_CATEGORIES: &[&str] = &[
    "allowed",
    "benefit",
    "discount",
    "eligible",
    "noncovered",
    "submitted",
    "tax",
];

/// Whether an adjudication or a supporting information has an amount as a plain number in one of `numbers`.
fn is_priced(value: &Value<'_>, numbers: &[&str]) -> bool {
    let has_number = numbers.iter().any(|name| value.get(name).is_some());
    let Some(category) = value.get("category").filter(|_| has_number) else {
        return false;
    };
    let of_adjudication = numbers.contains(&"value");
    let named = |holder: &Value<'_>, name: &str| {
        holder.get(name).and_then(|text| text.text()).is_some_and(|text| {
            let amount = || {
                AMOUNT_CATEGORIES
                    .iter()
                    .any(|one| text.trim().eq_ignore_ascii_case(one))
            };
            words::name_money(&text) || of_adjudication && amount()
        })
    };
    named(&category, "text")
        || category
            .all(&["coding"])
            .iter()
            .any(|coding| named(coding, "code") || named(coding, "display"))
}

/// Whether an extension contains an amount. It is removed entirely, since without a value it would be empty.
fn is_money_extension(value: &Value<'_>, prose: bool) -> bool {
    if value.get("valueMoney").is_some() {
        return true;
    }
    let Some(url) = value.get("url").and_then(|url| url.text()) else {
        return false;
    };
    if let Some(inner) = value.get("extension") {
        return inner.kind() == JsonKind::Array && inner.items().all(|inner| is_money_extension(&inner, prose));
    }
    const NUMBERS: [&str; 6] = [
        "valueDecimal",
        "valueInteger",
        "valuePositiveInt",
        "valueQuantity",
        "valueString",
        "valueUnsignedInt",
    ];
    value.members().any(|member| {
        let text = || member.text().is_some_and(|text| words::tell_money(&text));
        prose && NUMBERS.contains(&member.key()) && words::name_money(&url)
            || prose && matches!(member.key(), "valueString" | "valueMarkdown") && text()
            || member.key() == "valueQuantity" && is_money_type(&member)
    })
}

/// Collects the cuts below `container`. Returns true when nothing of it would be left. The pre-screen limits the depth.
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
            || matches!(child.kind(), JsonKind::Object | JsonKind::Array) && cut(child, goes, path, &mut inner);
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
mod tests;

//! Reads the decision on a prior authorization: review actions, denial reasons, outcome and status, line by line.
//!
//! Only what is recognized counts. If one line contains contradictory statements or an unknown one, the whole is unclear.

use super::text::{canonical, squeezed, text_of};
use crate::fhir::prescreen::{JsonKind, Value};
use crate::fhir::when;

/// The decision on the whole authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorizationDecision {
    /// Approved, at least in part.
    Approved,
    /// Waiting for its decision.
    Pending,
    /// Cancelled.
    Ended,
    /// Nothing was approved, and something was denied.
    Denied,
    /// Not recognized.
    Unclear,
}

/// The decision, and the latest time of a decision that is stated (UTC ms).
pub(super) struct DecisionFound {
    pub decision: AuthorizationDecision,
    pub changed_ms: Option<i64>,
}

/// X12 306 (action codes of review), in its spellings, without scheme.
const REVIEW_ACTIONS: [&str; 2] = ["codesystem.x12.org/005010/306", "x12.org/codes/action-codes"];
/// The extensions that contain a review action, in both guides.
const REVIEW_ACTION: [&str; 2] = [
    "hl7.org/fhir/us/davinci-pas/structuredefinition/extension-reviewaction",
    "hl7.org/fhir/us/davinci-pdex/structuredefinition/extension-reviewaction",
];
const REVIEW_ACTION_CODE: [&str; 2] = [
    "hl7.org/fhir/us/davinci-pas/structuredefinition/extension-reviewactioncode",
    "hl7.org/fhir/us/davinci-pdex/structuredefinition/extension-reviewactioncode",
];
/// Other parts that a review action may have.
const REVIEW_PARTS: [&str; 3] = ["number", "reasonCode", "secondSurgicalOpinionFlag"];
/// PDex's code system for kinds of adjudication.
const DISCRIMINATOR: &str = "hl7.org/fhir/us/davinci-pdex/codesystem/pdexadjudicationdiscriminator";
/// PDex's code system for the amounts of an authorization; `eligible` is what was agreed.
const AMOUNTS: &str = "hl7.org/fhir/us/davinci-pdex/codesystem/priorauthorizationvaluecodes";
/// Parts of words that express a denial, in the form that [`squeezed`] returns.
#[rustfmt::skip]
const DENIAL: [&str; 19] = [
    "denial", "denied", "deny", "notcert", "noncert", "notapprov", "nonapprov", "disapprov", "disallow", "reject", "refus",
    "declin", "adversedetermination", "adversebenefit", "unfavorable", "notauthorized", "unauthorized", "notmedicallynecessary",
    "notcovered",
];
/// Elements that say what was requested, for which disease, and by whom: their words say nothing about the decision.
const NOT_DECIDING: [&str; 14] = [
    "bodySite",
    "careTeam",
    "diagnosis",
    "facility",
    "identifier",
    "insurance",
    "modifier",
    "patient",
    "procedure",
    "productOrService",
    "productOrServiceEnd",
    "provider",
    "supportingInfo",
    "type",
];

/// What is stated about one line, or about the whole.
#[derive(Debug, Default)]
struct Told {
    approved: bool,
    /// Certified in part (A2); a denial reason then explains the part that was not.
    partly: bool,
    pended: bool,
    denied: bool,
    /// A denial reason without a review action that denies.
    denial_reason: bool,
    cancelled: bool,
    not_needed: bool,
    unclear: bool,
    /// An adjudication has a reason, of any kind.
    reason: bool,
    /// Words that express a denial, outside the codes for one.
    words: bool,
    changed_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Approved,
    Pended,
    Denied,
    Cancelled,
    NotNeeded,
}

impl Told {
    /// Returns the class; `None` when nothing is stated, `Err` for contradictory or unclear statements.
    fn class(&self) -> Result<Option<Class>, ()> {
        let denied = self.denied || self.denial_reason && !self.partly;
        let approved = self.approved || self.partly;
        let all = [
            (approved && !self.pended, Class::Approved),
            (self.pended, Class::Pended),
            (denied, Class::Denied),
            (self.cancelled, Class::Cancelled),
            (self.not_needed, Class::NotNeeded),
        ];
        let mut said = all.iter().filter(|(is, _)| *is).map(|(_, class)| *class);
        match (self.unclear, said.next(), said.next()) {
            (false, first, None) => Ok(first),
            _ => Err(()),
        }
    }
}

/// Reads the decision from `root`, a resource of type `rtype`.
pub(super) fn of(root: &Value<'_>, rtype: &str) -> DecisionFound {
    let mut header = Told {
        unclear: root.get("modifierExtension").is_some(),
        ..Told::default()
    };
    let lines: Vec<Value<'_>> = root.all(&["item"]).into_iter().chain(root.all(&["addItem"])).collect();
    for member in root.members() {
        if !matches!(member.key(), "item" | "addItem" | "contained" | "text" | "meta") {
            walk(
                &member,
                member.key() == "adjudication",
                is_deciding(&member),
                &mut header,
            );
        }
    }
    let lines: Vec<Told> = lines
        .iter()
        .map(|line| {
            let mut told = Told::default();
            walk(line, false, true, &mut told);
            told
        })
        .collect();
    let changed_ms = lines.iter().chain([&header]).filter_map(|told| told.changed_ms).max();
    let decision = decide(root, rtype, &header, &lines).unwrap_or(AuthorizationDecision::Unclear);
    DecisionFound { decision, changed_ms }
}

/// Combines what is stated into a decision; `Err` when it is not recognized.
fn decide(root: &Value<'_>, rtype: &str, header: &Told, lines: &[Told]) -> Result<AuthorizationDecision, ()> {
    use Class::{Approved, Cancelled, Denied, NotNeeded, Pended};
    let is = |name: &str, among: &[&str]| {
        root.get(name)
            .is_some_and(|value| among.iter().any(|one| value.is(one)))
    };
    if tells_denial(&text_of(root, "disposition")) {
        return Err(());
    }
    // A request has no outcome; a response has one.
    if rtype != "Claim" && !is("outcome", &["complete", "partial", "queued"]) {
        return Err(());
    }
    // A denied line may explain a note on the whole; words that nothing explains are an unrecognized denial.
    let explained = |told: &Told| told.denied || told.partly || told.denial_reason;
    let unexplained = header.words && !lines.iter().chain([header]).any(explained);
    if unexplained || lines.iter().any(|told| told.words && !explained(told)) {
        return Err(());
    }
    let of_header = header.class()?;
    let of_lines = lines.iter().map(Told::class).collect::<Result<Vec<_>, ()>>()?;
    let only = |class: Class| of_lines.iter().flatten().all(|own| *own == class);
    if matches!(of_header, Some(class @ (Denied | Cancelled)) if !only(class)) {
        return Err(());
    }
    let reasons = lines.iter().chain([header]).any(|told| told.reason);
    let inferred = || {
        let agreed =
            root.get("preAuthRefPeriod").is_some() && is("outcome", &["complete", "partial"]) && eligible(root);
        let waits = rtype == "Claim" || is("outcome", &["queued"]);
        match (reasons, agreed, waits) {
            (false, true, _) => Some(Approved),
            (false, false, true) => Some(Pended),
            _ => None,
        }
    };
    let default = of_header.or_else(inferred);
    let resolved: Vec<Class> = if lines.is_empty() {
        vec![default.ok_or(())?]
    } else {
        let each = of_lines.iter().map(|own| own.or(default).ok_or(()));
        each.collect::<Result<_, ()>>()?
    };
    let any = |class: Class| resolved.contains(&class);
    if !any(Approved) && !any(Pended) {
        return match (any(Denied), any(NotNeeded)) {
            (true, _) => Ok(AuthorizationDecision::Denied),
            (false, true) => Err(()),
            (false, false) => Ok(AuthorizationDecision::Ended),
        };
    }
    if is("status", &["cancelled"]) {
        return Ok(AuthorizationDecision::Ended);
    }
    if !is("status", &["active"]) {
        return Err(());
    }
    Ok(if any(Pended) {
        AuthorizationDecision::Pending
    } else {
        AuthorizationDecision::Approved
    })
}

/// Whether a total says what was agreed.
fn eligible(root: &Value<'_>) -> bool {
    root.all(&["total", "category", "coding"]).iter().any(|coding| {
        canonical(&text_of(coding, "system")) == AMOUNTS && coding.get("code").is_some_and(|code| code.is("eligible"))
    })
}

/// Collects what is stated below `value`; with `words`, in prose too. The pre-screen limits the depth.
fn walk(value: &Value<'_>, adjudication: bool, words: bool, told: &mut Told) {
    match value.kind() {
        JsonKind::Array => return value.items().for_each(|item| walk(&item, adjudication, words, told)),
        JsonKind::Object => {}
        _ => return,
    }
    // A modifier changes the meaning of the element that contains it, and none is known here.
    if value.get("modifierExtension").is_some() {
        told.unclear = true;
    }
    if adjudication {
        judge_adjudication(value, told);
    }
    let url = text_of(value, "url");
    if !url.is_empty() {
        when_decided(value, &url, told);
        let known = canonical(&url);
        if REVIEW_ACTION_CODE.contains(&known.as_str()) {
            return judge_code(value, told);
        }
        if REVIEW_ACTION.contains(&known.as_str()) {
            let parts = value.all(&["extension"]);
            let known_part = |part: &Value<'_>| {
                let url = text_of(part, "url");
                REVIEW_PARTS.contains(&url.as_str()) || REVIEW_ACTION_CODE.contains(&canonical(&url).as_str())
            };
            told.unclear |= parts.is_empty() || !parts.iter().all(known_part);
        } else if squeezed(&url).contains("reviewaction") {
            told.unclear = true;
        }
    }
    if is_review_system(&text_of(value, "system")) {
        // A review action outside the extension for one.
        told.unclear |= !action(value, told);
    }
    for child in value.members() {
        if words && child.kind() == JsonKind::String && is_prose(child.key()) {
            told.words |= child.text().is_some_and(|text| tells_denial(&text));
        }
        walk(
            &child,
            child.key() == "adjudication",
            words && is_deciding(&child),
            told,
        );
    }
}

/// Whether the words of this element may express the decision.
fn is_deciding(element: &Value<'_>) -> bool {
    !NOT_DECIDING.contains(&element.key())
}

/// Whether an element of this name may express a decision in words.
fn is_prose(name: &str) -> bool {
    matches!(name, "code" | "display" | "text" | "url") || name.starts_with("value")
}

/// Reads category and reason of an adjudication.
fn judge_adjudication(value: &Value<'_>, told: &mut Told) {
    told.reason |= value.get("reason").is_some();
    let Some(category) = value.get("category") else { return };
    told.denial_reason |= tells_denial(&text_of(&category, "text"));
    for coding in category.all(&["coding"]) {
        let code = text_of(&coding, "code");
        if canonical(&text_of(&coding, "system")) == DISCRIMINATOR {
            match code.as_str() {
                "denialreason" => told.denial_reason = true,
                "allowedunits" | "consumedunits" => {}
                _ => told.unclear = true,
            }
        }
        told.denial_reason |= tells_denial(&code) || tells_denial(&text_of(&coding, "display"));
    }
}

/// Reads a review action: every coding of it must be recognized.
fn judge_code(extension: &Value<'_>, told: &mut Told) {
    let concept = extension.get("valueCodeableConcept");
    let codings = concept
        .and_then(|concept| concept.get("coding"))
        .filter(|codings| codings.kind() == JsonKind::Array);
    let Some(codings) = codings.filter(|_| extension.get("extension").is_none()) else {
        told.unclear = true;
        return;
    };
    for coding in codings.items() {
        let known = is_review_system(&text_of(&coding, "system")) && action(&coding, told);
        told.unclear |= !known;
    }
    if concept.is_some_and(|concept| tells_denial(&text_of(&concept, "text"))) && !told.denied {
        told.unclear = true;
    }
}

/// Records the action that `coding` names. Returns false for an unknown action, or when its words contradict it.
fn action(coding: &Value<'_>, told: &mut Told) -> bool {
    let words_deny = tells_denial(&text_of(coding, "display"));
    match text_of(coding, "code").as_str() {
        "A3" => told.denied = true,
        _ if words_deny => return false,
        "A1" | "A6" => told.approved = true,
        "A2" => told.partly = true,
        "A4" => told.pended = true,
        "C" => told.cancelled = true,
        "NA" => told.not_needed = true,
        // CT (contact the payer) is no decision.
        _ => return false,
    }
    is_exact(coding)
}

fn is_exact(coding: &Value<'_>) -> bool {
    REVIEW_ACTIONS.contains(&canonical(&text_of(coding, "system")).as_str())
}

/// Whether `system` means X12 306, in a recognized spelling or in another one.
fn is_review_system(system: &str) -> bool {
    let text = squeezed(system);
    REVIEW_ACTIONS.contains(&canonical(system).as_str())
        || text.contains("005010306")
        || text.contains("x12") && text.contains("306")
        || text.contains("reviewaction")
}

fn tells_denial(text: &str) -> bool {
    let text = squeezed(text);
    DENIAL.iter().any(|part| text.contains(part))
}

/// Reads the time of a decision from the extensions for one.
fn when_decided(extension: &Value<'_>, url: &str, told: &mut Told) {
    if !url.ends_with("when-adjudicated") && !url.ends_with("itemPreAuthIssueDate") {
        return;
    }
    let at = extension.get("valueDateTime").or_else(|| extension.get("valueDate"));
    let at = at.and_then(|at| at.text()).and_then(|text| when::range_ms(&text));
    told.changed_ms = told.changed_ms.max(at.map(|(from, _)| from));
}

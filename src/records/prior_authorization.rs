//! Prior authorizations: which resources claim to be one, and whether it may be released.
//!
//! A resource that claims by any element to be a prior authorization is released only when its decision is
//! recognized (`decision`) and everything that it covers is recognized as no drug (`services`). What is not
//! recognized is withheld. `docs/release.md` explains the rules.
//!
//! Source: PDex 2.0 and 2.2 prior authorization profile; PAS 2.2.1; 42 CFR 422.119(b)(1)(iv), which
//! excludes drugs, and 422.121(b)(4)(ii), which excludes denied ones.

mod codes;
mod decision;
mod services;
mod text;
mod words;

use crate::fhir::prescreen::{JsonKind, Screened, Value};
use crate::fhir::when;
use crate::store::release_rule::{
    PA_ACTIVE as ACTIVE, PA_DENIED as DENIED, PA_DRUG as DRUG, PA_ENDED as ENDED, PA_NONE as NONE,
    PA_SERVICE_UNKNOWN as SERVICE_UNKNOWN, PA_UNCLEAR as UNCLEAR,
};
use decision::AuthorizationDecision;
use memchr::memmem;
use text::squeezed;
use words::ServiceKind;

/// The types that can be a prior authorization: the decision as a member sees it, the request, and the response to it.
pub const TYPES: [&str; 3] = ["Claim", "ClaimResponse", "ExplanationOfBenefit"];

/// The values of `use` in ordinary claims. With any other value, spelling or shape, the resource claims to be an authorization.
const ORDINARY_USE: [&str; 2] = ["claim", "predetermination"];
/// The only spelling of `use` with which an authorization can be recognized.
const AUTHORIZATION_USE: &str = "preauthorization";

/// Words in URLs, code systems and codes that only prior authorizations have, in the form that [`squeezed`] returns.
const MARKS: [&str; 7] = [
    "reviewaction",
    "priorauth",
    "preauth",
    "davincipas",
    "pdexadjudicationdiscriminator",
    "whenadjudicated",
    "005010306",
];
/// A text that contains none of these contains none of [`MARKS`] either: a cheap first test over the bytes.
const FIRST_TEST: [&[u8]; 4] = [b"auth", b"revi", b"davinci", b"306"];

/// Whether resources of `rtype` can be prior authorizations.
pub fn is_claim_type(rtype: &str) -> bool {
    TYPES.contains(&rtype)
}

/// Returns the state, and when the authorization ended or will end (UTC ms); that time is `None` when it waits for a decision or has no
/// period. `service_to_ms` is the end of its date of service, which is used when it has no period.
pub fn state(resource: &Screened<'_>, service_to_ms: Option<i64>, now_ms: i64) -> (i64, Option<i64>) {
    let rtype = resource.resource_type();
    if !is_claim_type(&rtype) {
        return (NONE, None);
    }
    let root = resource.root();
    let says = root.get("use").and_then(|value| value.text());
    match says.as_deref() {
        Some(text) if ORDINARY_USE.contains(&text) => {
            // It is an ordinary claim unless another element contradicts that; then it is unclear which is true.
            let state = if contradicts(resource) { UNCLEAR } else { NONE };
            (state, None)
        }
        Some(AUTHORIZATION_USE) => judge(&root, &rtype, service_to_ms, now_ms),
        _ => (UNCLEAR, None),
    }
}

/// Whether a resource of another type claims to be an authorization, by a profile or by a review action.
pub fn is_disguised(resource: &Screened<'_>, rtype: &str) -> bool {
    if is_claim_type(rtype) {
        return false;
    }
    let profiles = resource
        .root()
        .get("meta")
        .map(|meta| meta.all(&["profile"]))
        .unwrap_or_default();
    let named = |profile: &Value<'_>| {
        let text = profile.text().map(|text| squeezed(&text)).unwrap_or_default();
        text.contains("priorauth") || text.contains("preauth")
    };
    profiles.iter().any(named) || has_review_action(resource)
}

/// Whether the resource contains an extension with a review action. For most resources a search over the bytes
/// decides; when an escape may hide the name, every URL is read.
fn has_review_action(resource: &Screened<'_>) -> bool {
    const HINTS: [&[u8]; 4] = [b"eviewAction", b"eviewaction", b"EVIEWACTION", b"\\u"];
    let hinted = HINTS.iter().any(|hint| memmem::find(resource.bytes(), hint).is_some());
    hinted
        && resource
            .values()
            .filter(|value| value.key() == "url")
            .filter_map(|value| value.text())
            .any(|url| squeezed(&url).contains("reviewaction"))
}

fn judge(root: &Value<'_>, rtype: &str, service_to_ms: Option<i64>, now_ms: i64) -> (i64, Option<i64>) {
    let found = decision::of(root, rtype);
    let changed = found.changed_ms.or_else(|| {
        let created = root.get("created").and_then(|value| value.text())?;
        when::range_ms(&created).map(|(from, _)| from)
    });
    match services::of(root, rtype) {
        ServiceKind::Drug => return (DRUG, changed),
        ServiceKind::Unknown => return (SERVICE_UNKNOWN, changed),
        ServiceKind::NoDrug => {}
    }
    match found.decision {
        AuthorizationDecision::Denied => (DENIED, changed),
        AuthorizationDecision::Unclear => (UNCLEAR, changed),
        AuthorizationDecision::Ended => (ENDED, changed),
        // The period of an authorization that waits for its decision is only requested, so it ends nothing.
        AuthorizationDecision::Pending => (ACTIVE, None),
        AuthorizationDecision::Approved => match period_end(root).or(service_to_ms) {
            Some(end) if end < now_ms => (ENDED, changed.max(Some(end))),
            end => (ACTIVE, end),
        },
    }
}

/// Returns the latest end of its periods: of the whole, or else of its lines.
fn period_end(root: &Value<'_>) -> Option<i64> {
    let end_ms = |value: &Value<'_>| value.text().and_then(|text| when::range_ms(&text)).map(|(_, to)| to);
    let whole = root.all(&["preAuthRefPeriod", "end"]);
    let lines = root.all(&["item", "extension"]).into_iter().filter(|extension| {
        let url = extension.get("url").and_then(|url| url.text());
        url.is_some_and(|url| url.ends_with("extension-itemPreAuthPeriod"))
    });
    let of_lines: Vec<Value<'_>> = lines.flat_map(|line| line.all(&["valuePeriod", "end"])).collect();
    whole
        .iter()
        .filter_map(end_ms)
        .max()
        .or_else(|| of_lines.iter().filter_map(end_ms).max())
}

/// Whether a claim with an ordinary `use` has an element, URL or code that only prior authorizations have.
fn contradicts(resource: &Screened<'_>) -> bool {
    let root = resource.root();
    let own = |value: &Value<'_>| value.key().trim_start_matches('_').starts_with("preAuthRef");
    if root.members().any(|member| own(&member)) {
        return true;
    }
    let lower = resource.bytes().to_ascii_lowercase();
    let escaped = memmem::find(&lower, b"\\u").is_some();
    if !escaped && FIRST_TEST.iter().all(|part| memmem::find(&lower, part).is_none()) {
        return false;
    }
    // What a claim references (its authorization, for example) says nothing about the claim itself.
    const OTHERS: [&str; 7] = [
        "related",
        "insurance",
        "referral",
        "claim",
        "claimResponse",
        "contained",
        "text",
    ];
    let meta = root.all(&["meta", "profile"]);
    if meta
        .iter()
        .any(|profile| profile.text().is_some_and(|text| is_marked(&text)))
    {
        return true;
    }
    root.members()
        .filter(|member| !OTHERS.contains(&member.key()))
        .any(|member| {
            let all = matches!(member.key(), "type" | "subType");
            marked_within(&member, all)
        })
}

/// Whether a URL or a code system below `value` belongs to prior authorizations; with `all`, any text counts.
fn marked_within(value: &Value<'_>, all: bool) -> bool {
    let counts = all || matches!(value.key(), "url" | "system");
    if value.kind() == JsonKind::String {
        return counts && value.text().is_some_and(|text| is_marked(&text));
    }
    value
        .members()
        .chain(value.items())
        .any(|child| marked_within(&child, all))
}

fn is_marked(text: &str) -> bool {
    let text = squeezed(text);
    MARKS.iter().any(|mark| text.contains(mark))
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

//! Prior authorizations: which resources claim to be one, and whether such a one may leave.
//!
//! A resource that claims by any element to be a prior authorization leaves only when its decision is recognized (`decision`)
//! and everything it asks for is recognized as no drug (`services`). What is not recognized is withheld. `docs/release.md` says
//! the rules for people.
//!
//! Source: PDex 2.0 and 2.2 prior authorization profile; PAS 2.2.1; 42 CFR 422.119(b)(1)(iv), which leaves drugs out, and
//! 422.121(b)(4)(ii), which leaves denied ones out.

mod decision;
mod services;
mod words;

use crate::fhir::prescreen::{Kind, Screened, Value};
use crate::fhir::when;
use crate::store::disclosure::{
    PA_ACTIVE as ACTIVE, PA_DENIED as DENIED, PA_DRUG as DRUG, PA_ENDED as ENDED, PA_NONE as NONE,
    PA_SERVICE_UNKNOWN as SERVICE_UNKNOWN, PA_UNCLEAR as UNCLEAR,
};
use decision::Decision;
use memchr::memmem;
use services::Service;

/// The types that can be a prior authorization: the decision as a member sees it, the request, and the answer to it.
pub const TYPES: [&str; 3] = ["Claim", "ClaimResponse", "ExplanationOfBenefit"];

/// What `use` says of an ordinary claim. Every other value, spelling or shape claims to be an authorization.
const ORDINARY_USE: [&str; 2] = ["claim", "predetermination"];
/// The one spelling of `use` under which an authorization can be recognized.
const AUTHORIZATION_USE: &str = "preauthorization";

/// Words in URLs, code systems and codes that only prior authorizations have, as [`squeezed`] leaves them.
const MARKS: [&str; 7] = [
    "reviewaction",
    "priorauth",
    "preauth",
    "davincipas",
    "pdexadjudicationdiscriminator",
    "whenadjudicated",
    "005010306",
];
/// A text in which none of these stands has none of [`MARKS`] either: a cheap first test over the bytes.
const FIRST_TEST: [&[u8]; 4] = [b"auth", b"revi", b"davinci", b"306"];

/// Whether resources of `rtype` can be prior authorizations.
pub fn is_claim_type(rtype: &str) -> bool {
    TYPES.contains(&rtype)
}

/// State, and when it ended or will end (UTC ms): `None` for one that waits for a decision, or has no period. `service_to_ms` is
/// the end of the service it is for, which stands in for a period.
pub fn state(resource: &Screened<'_>, service_to_ms: Option<i64>, now_ms: i64) -> (i64, Option<i64>) {
    let rtype = resource.resource_type();
    if !is_claim_type(&rtype) {
        return (NONE, None);
    }
    let root = resource.root();
    let says = root.get("use").and_then(|value| value.text());
    match says.as_deref() {
        Some(text) if ORDINARY_USE.contains(&text) => {
            // It is an ordinary claim unless something else of it says otherwise; then nobody knows which is true.
            let state = if contradicts(resource) { UNCLEAR } else { NONE };
            (state, None)
        }
        Some(AUTHORIZATION_USE) => judge(&root, &rtype, service_to_ms, now_ms),
        _ => (UNCLEAR, None),
    }
}

/// Whether a resource of another type calls itself an authorization, by a profile or by a review action.
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

/// Whether an extension of a review action stands anywhere. Most resources are told by a search over their bytes; where an escape
/// may hide the name, every URL is read.
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
        Service::Drug => return (DRUG, changed),
        Service::Unknown => return (SERVICE_UNKNOWN, changed),
        Service::NoDrug => {}
    }
    match found.decision {
        Decision::Denied => (DENIED, changed),
        Decision::Unclear => (UNCLEAR, changed),
        Decision::Ended => (ENDED, changed),
        // The period of one that waits for its decision is only asked for; it ends nothing.
        Decision::Pending => (ACTIVE, None),
        Decision::Approved => match period_end(root).or(service_to_ms) {
            Some(end) if end < now_ms => (ENDED, changed.max(Some(end))),
            end => (ACTIVE, end),
        },
    }
}

/// The last end of the periods for which it is given: of the whole, else of its lines.
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

/// Whether a claim that calls itself ordinary has an element, URL or code that only prior authorizations have.
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
    // What a claim refers to (its authorization, for one) is not what it is.
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

/// Whether a URL or a code system below `value` is one of prior authorizations; with `all`, any text.
fn marked_within(value: &Value<'_>, all: bool) -> bool {
    let counts = all || matches!(value.key(), "url" | "system");
    if value.kind() == Kind::String {
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

/// Letters and digits alone, in lower case: what is left of a name however it is spelled.
fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The one form of a code system or canonical URL, whether it is written with `https`, a slash at its end, or a version.
fn canonical(text: &str) -> String {
    let text = text.split_once('|').map_or(text, |(before, _)| before);
    let lower = text.to_ascii_lowercase();
    let rest = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
        .unwrap_or(&lower);
    rest.strip_prefix("www.")
        .unwrap_or(rest)
        .trim_end_matches('/')
        .to_owned()
}

/// The text of the member `name`; empty when there is none.
fn text_of(value: &Value<'_>, name: &str) -> String {
    value
        .get(name)
        .and_then(|member| member.text())
        .map(std::borrow::Cow::into_owned)
        .unwrap_or_default()
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

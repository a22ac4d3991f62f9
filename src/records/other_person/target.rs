//! What a reference means, as far as its text shows.

use super::super::compartment::{self, OwnerRule as Compartment};
use super::record::{PROVIDER_SYSTEMS, RecordOwner};
use crate::fhir::prescreen::Value;
use crate::ids::is_fhir_id;

/// What a reference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferenceTarget {
    /// Exactly this member.
    Member,
    /// A person other than this member, or a group of people.
    Person,
    /// A resource that belongs to no member: a provider, a place, a product.
    Nobody,
    /// A resource of another type, whose owner the reference does not show.
    Other,
    /// A contained resource, which is checked itself.
    Contained,
    /// Unknown: it may be anything.
    Unknown,
}

const PERSONS: [&str; 4] = ["Patient", "RelatedPerson", "Person", "Group"];

/// Returns what `text` references, seen from `record`. A reference whose form is not fully understood is [`ReferenceTarget::Unknown`].
pub(super) fn of(text: &str, record: &RecordOwner<'_>) -> ReferenceTarget {
    if text.starts_with('#') {
        return ReferenceTarget::Contained;
    }
    if let Some((rtype, _)) = text.split_once('?') {
        return by_type(rtype);
    }
    let own = match text.strip_prefix(record.base_url) {
        Some(rest) if !record.base_url.is_empty() => rest.strip_prefix('/'),
        _ => (!text.contains(':')).then_some(text),
    };
    if let Some((rtype, id)) = own.and_then(pair) {
        let is_member = rtype == "Patient" && record.member == Some(id);
        return if is_member {
            ReferenceTarget::Member
        } else {
            by_type(rtype)
        };
    }
    let path = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    path.and_then(last_pair)
        .map_or(ReferenceTarget::Unknown, |(rtype, _)| by_type(rtype))
}

fn by_type(rtype: &str) -> ReferenceTarget {
    if PERSONS.contains(&rtype) {
        ReferenceTarget::Person
    } else if is_nobody(rtype) {
        ReferenceTarget::Nobody
    } else if causeway_fhir_types::is_type(rtype) {
        ReferenceTarget::Other
    } else {
        ReferenceTarget::Unknown
    }
}

/// Whether resources of this type belong to no member, or may belong to none.
pub(super) fn is_nobody(rtype: &str) -> bool {
    matches!(
        compartment::kind(rtype),
        Some(Compartment::Shared | Compartment::MemberOrNobody(_))
    )
}

/// Splits exactly `Type/id` or `Type/id/_history/version`.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (rtype, rest) = text.split_once('/')?;
    let id = match rest.split_once("/_history/") {
        Some((id, version)) => Some(id).filter(|_| is_fhir_id(version)),
        None => Some(rest),
    };
    let id = id.filter(|id| is_fhir_id(id))?;
    causeway_fhir_types::is_type(rtype).then_some((rtype, id))
}

/// Splits the pair at the end of a URL without its scheme. Returns None when the base contains a person's type as a part, or when the URL
/// contains other than plain path characters (RFC 3986, section 2.3).
fn last_pair(path: &str) -> Option<(&str, &str)> {
    let without_version = path.split_once("/_history/").map_or(path, |(before, _)| before);
    let (before, _) = without_version.rsplit_once('/')?;
    let (base, _) = before.rsplit_once('/')?;
    let odd = |part: &str| part.is_empty() || PERSONS.iter().any(|person| part.eq_ignore_ascii_case(person));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte);
    if base.split('/').any(odd) || !path.bytes().all(plain) {
        return None;
    }
    pair(path.get(base.len() + 1..)?)
}

/// Returns the type that a Reference states for its target (`Reference.type`), as a name or as the URL of its definition.
fn said_type<'s>(value: &Value<'s>) -> Option<std::borrow::Cow<'s, str>> {
    value.get("type").and_then(|own| own.text())
}

fn last_part(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text).trim()
}

/// Whether a Reference states that its target is a person.
pub(super) fn says_person(value: &Value<'_>) -> bool {
    said_type(value).is_some_and(|text| {
        let own = last_part(&text);
        PERSONS.iter().any(|person| own.eq_ignore_ascii_case(person))
    })
}

/// Whether a Reference without a literal states that it means a provider, a place or the like:
/// by its type, or by an identifier system that only those have.
pub(super) fn says_nobody(value: &Value<'_>) -> bool {
    let by_number = || {
        let system = value.get("identifier").and_then(|number| number.get("system"));
        let system = system.and_then(|system| system.text());
        system.is_some_and(|system| PROVIDER_SYSTEMS.contains(&system.as_ref()))
    };
    match said_type(value) {
        Some(text) => is_nobody(last_part(&text)),
        None => by_number(),
    }
}

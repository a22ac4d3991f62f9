//! What a reference means, as far as its text tells.

use super::super::compartment::{self, Kind as Compartment};
use super::{PROVIDER_SYSTEMS, Record};
use crate::fhir::prescreen::Value;
use crate::ids::is_fhir_id;

/// What a reference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Exactly this member.
    Member,
    /// A person other than this member, or a group of people.
    Person,
    /// Something that belongs to nobody: a provider, a place, a product.
    Nobody,
    /// A resource of another type, whose owner the reference does not tell.
    Other,
    /// A contained resource, which is judged itself.
    Contained,
    /// Anything.
    Unknown,
}

const PERSONS: [&str; 4] = ["Patient", "RelatedPerson", "Person", "Group"];

/// What `text` refers to, seen from `record`. A reference in any form that is not fully understood is [`Target::Unknown`].
pub(super) fn of(text: &str, record: &Record<'_>) -> Target {
    if text.starts_with('#') {
        return Target::Contained;
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
        return if is_member { Target::Member } else { by_type(rtype) };
    }
    let path = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    path.and_then(last_pair)
        .map_or(Target::Unknown, |(rtype, _)| by_type(rtype))
}

fn by_type(rtype: &str) -> Target {
    if PERSONS.contains(&rtype) {
        Target::Person
    } else if is_nobody(rtype) {
        Target::Nobody
    } else if causeway_fhir_types::is_type(rtype) {
        Target::Other
    } else {
        Target::Unknown
    }
}

/// Whether resources of this type belong to nobody, or may.
pub(super) fn is_nobody(rtype: &str) -> bool {
    matches!(
        compartment::kind(rtype),
        Some(Compartment::Shared | Compartment::MemberOrNobody(_))
    )
}

/// `Type/id` or `Type/id/_history/version`, and nothing else.
fn pair(text: &str) -> Option<(&str, &str)> {
    let (rtype, rest) = text.split_once('/')?;
    let id = match rest.split_once("/_history/") {
        Some((id, version)) => Some(id).filter(|_| is_fhir_id(version)),
        None => Some(rest),
    };
    let id = id.filter(|id| is_fhir_id(id))?;
    causeway_fhir_types::is_type(rtype).then_some((rtype, id))
}

/// The pair at the end of a URL without its scheme. A base in which a person's type stands, or anything but
/// the plain characters of a path (RFC 3986, section 2.3), is not understood.
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

/// The type that a Reference says its target has (`Reference.type`), with or without the base of FHIR's types.
fn said_type<'s>(value: &Value<'s>) -> Option<std::borrow::Cow<'s, str>> {
    value.get("type").and_then(|own| own.text())
}

fn last_part(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or(text).trim()
}

/// Whether a Reference says that it means a person.
pub(super) fn says_person(value: &Value<'_>) -> bool {
    said_type(value).is_some_and(|text| {
        let own = last_part(&text);
        PERSONS.iter().any(|person| own.eq_ignore_ascii_case(person))
    })
}

/// Whether a Reference without a literal says that it means a provider, a place or the like: by its type, or by a number that
/// only those have.
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

//! The servers from which the sources were exported: their base URLs, and to which of several servers a `Type/id` belongs.

use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// A server from which sources were exported, as `--source-base URL[=PREFIX]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceBase {
    url: Arc<str>,
    /// The prefix that its ids get in this store. When it is given and empty, its ids are the same as those of every other base given so.
    prefix: Option<String>,
}

impl FromStr for SourceBase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, prefix) = match text.rsplit_once('=') {
            Some((url, prefix)) => (url, Some(prefix)),
            None => (text, None),
        };
        let url = url.trim_end_matches('/');
        let is_base = url
            .split_once("://")
            .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
        if !is_base || url.contains(['?', '#', '"', '\\']) || url.contains(char::is_whitespace) {
            return Err("give the URL that stands before Type/id, such as https://ehr.example/fhir".to_owned());
        }
        if prefix.is_some_and(|prefix| !prefix.is_empty() && (!is_fhir_id(prefix) || prefix.len() > 28)) {
            return Err("a prefix has at most 28 letters, digits, '-' and '.'".to_owned());
        }
        Ok(SourceBase {
            url: url.into(),
            prefix: prefix.map(str::to_owned),
        })
    }
}

impl SourceBase {
    /// Makes a base that was found in the full URLs of a Bundle.
    pub fn learnt(url: Arc<str>) -> Self {
        SourceBase { url, prefix: None }
    }

    /// Returns its URL, without a slash at the end.
    pub fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// Returns the prefix that its ids get in this store.
    pub fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// Returns the part of `text` after this base; `None` when `text` has another base. Scheme and host are compared without case.
    pub fn strip<'t>(&self, text: &'t str) -> Option<&'t str> {
        let own = self.url.as_ref();
        let head = text.get(..own.len())?;
        let authority = own.split_once("://").map_or(0, |(scheme, rest)| {
            scheme.len() + 3 + rest.find('/').unwrap_or(rest.len())
        });
        if head[..authority].eq_ignore_ascii_case(&own[..authority]) && head[authority..] == own[authority..] {
            text[own.len()..].strip_prefix('/')
        } else {
            None
        }
    }

    /// Returns the name of the id space of its ids: bases with an equal prefix share one.
    fn space(&self) -> String {
        match &self.prefix {
            Some(prefix) => format!("={prefix}"),
            None => self.url.to_ascii_lowercase(),
        }
    }
}

/// Splits an absolute reference to a resource into base, type and id; a version at its end is ignored.
pub fn split(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.split_once("/_history/").map_or(text, |(before, _)| before);
    let (rest, id) = text.rsplit_once('/')?;
    let (base, rtype) = rest.rsplit_once('/')?;
    let is_absolute = base
        .split_once("://")
        .is_some_and(|(scheme, host)| !scheme.is_empty() && !host.is_empty());
    (is_absolute && causeway_fhir_types::is_type(rtype) && is_fhir_id(id)).then_some((base, rtype, id))
}

/// The statement that a name in this store belongs to a base.
#[derive(Clone, Debug)]
pub struct NameClaim {
    name: u64,
    base: SourceBase,
}

impl NameClaim {
    /// Makes the claim that `rtype/id` (the id with the base's prefix) comes from `base`.
    pub fn new(rtype: &str, id: &str, base: &SourceBase) -> Self {
        let mut hasher = DefaultHasher::new();
        (rtype, id).hash(&mut hasher);
        NameClaim {
            name: hasher.finish(),
            base: base.clone(),
        }
    }
}

/// The owner of each name during a run. It takes 16 bytes of memory for each name of a known base.
#[derive(Debug, Default)]
pub struct Claims(Mutex<Spaces>);

#[derive(Debug, Default)]
struct Spaces {
    /// The id spaces, each with a base that represents it in messages.
    known: Vec<(String, Arc<str>)>,
    names: HashMap<u64, u32>,
}

impl Claims {
    /// Records the claims of one resource.
    ///
    /// # Errors
    /// [`Fault::SourceBaseConflict`] when one of the names belongs to another base; nothing is recorded then.
    pub fn note(&self, claims: &[NameClaim]) -> Result<(), Failure> {
        if claims.is_empty() {
            return Ok(());
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spaces = Vec::with_capacity(claims.len());
        for claim in claims {
            let space = claim.base.space();
            let at = match all.known.iter().position(|(known, _)| *known == space) {
                Some(at) => at,
                None => {
                    all.known.push((space, Arc::clone(claim.base.url())));
                    all.known.len() - 1
                }
            };
            let at = u32::try_from(at).unwrap_or(u32::MAX);
            if let Some(other) = all.names.get(&claim.name).filter(|other| **other != at) {
                let (first, second) = (&all.known[*other as usize].1, claim.base.url());
                return Err(Failure::new(Fault::SourceBaseConflict).at("Resource.id").remedy(format!(
                    "Comes from {first} and from {second}. Give one an id prefix (--source-base {second}=PREFIX) or, if both are \
                     one server, say so (--source-base {first}= --source-base {second}=)."
                )));
            }
            spaces.push((claim.name, at));
        }
        all.names.extend(spaces);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_read_with_its_prefix_and_compared_by_host_without_case() {
        let base: SourceBase = "https://EHR.example/R4/=east-".parse().expect("a base");
        assert_eq!(
            (base.url().as_ref(), base.prefix()),
            ("https://EHR.example/R4", "east-")
        );
        for (text, rest) in [
            ("https://ehr.example/R4/Patient/1", Some("Patient/1")),
            (
                "HTTPS://EHR.example/R4/Patient/1/_history/2",
                Some("Patient/1/_history/2"),
            ),
            ("https://ehr.example/r4/Patient/1", None),
            ("https://ehr.example/R44/Patient/1", None),
            ("https://ehr.example/R4", None),
            ("http://ehr.example/R4/Patient/1", None),
            ("Patient/1", None),
            ("é", None),
        ] {
            assert_eq!(base.strip(text), rest, "{text}");
        }
        for wrong in [
            "ehr.example/fhir",
            "https://",
            "https://a/b?c",
            "https://a/b=p_q",
            "https://a b",
        ] {
            assert!(wrong.parse::<SourceBase>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_absolute_reference_comes_apart() {
        assert_eq!(split("https://a/b/Patient/1"), Some(("https://a/b", "Patient", "1")));
        assert_eq!(
            split("https://a/Patient/1/_history/3"),
            Some(("https://a", "Patient", "1"))
        );
        for none in [
            "Patient/1",
            "https://a/b/Human/1",
            "urn:uuid:1",
            "https:///Patient/1",
            "https://Patient/1",
        ] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn one_name_of_two_bases_is_told_unless_they_are_declared_one() {
        let base = |text: &str| text.parse::<SourceBase>().expect("a base");
        for (first, second, fits) in [
            ("https://a/fhir", "https://b/fhir", false),
            ("https://a/fhir", "https://A/fhir", true),
            ("https://a/fhir", "https://b/fhir=", false),
            ("https://a/fhir=", "https://b/fhir=", true),
        ] {
            let claims = Claims::default();
            claims
                .note(&[NameClaim::new("Patient", "1", &base(first))])
                .expect("the first");
            let told = claims.note(&[NameClaim::new("Patient", "1", &base(second))]);
            assert_eq!(told.is_ok(), fits, "{first} {second}");
            if let Err(failure) = told {
                assert_eq!(failure.fault(), Fault::SourceBaseConflict);
                assert!(
                    failure.remedy_text().contains("https://a/fhir"),
                    "{}",
                    failure.remedy_text()
                );
            }
            claims
                .note(&[NameClaim::new("Patient", "2", &base(second))])
                .expect("another name");
        }
    }
}

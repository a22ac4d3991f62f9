//! The shared resources that a record refers to: organizations, practitioners, locations, medications.
//!
//! The references are found in the bytes that are sent, so that a withheld part of a resource cannot bring in others. Resources that these
//! refer to are included too.

use super::is_shared;
use crate::records::compartment;
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

static REFERENCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"reference\""));

/// Type and id of a resource.
pub type ResourceName = (String, String);

/// The shared resources that are still to be sent, and those that were.
#[derive(Debug, Default)]
pub struct Supporting {
    wanted: BTreeSet<ResourceName>,
    taken: HashSet<ResourceName>,
    /// References that were read before, as written in the resource.
    seen: HashSet<Box<str>>,
}

impl Supporting {
    /// Notes the shared resources that these bytes refer to.
    pub fn note(&mut self, bytes: &[u8], base_url: &str) {
        for text in references(bytes) {
            // Most references are to the member's own resources or to a few shared ones; these are recognized before anything is allocated.
            let relative = text
                .strip_prefix(base_url)
                .map_or(&*text, |rest| rest.trim_start_matches('/'));
            if !relative.split('/').next().is_some_and(is_shared) || self.seen.contains(&*text) {
                continue;
            }
            self.seen.insert(text.as_ref().into());
            if let Some((rtype, id)) = compartment::local(&text, base_url) {
                let name = (rtype.to_owned(), id.to_owned());
                if !self.taken.contains(&name) {
                    self.wanted.insert(name);
                }
            }
        }
    }

    /// Whether all of them have been taken.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Takes the next ones, at most `count`; each is returned once.
    pub fn take(&mut self, count: usize) -> Vec<ResourceName> {
        let next: Vec<ResourceName> = self.wanted.iter().take(count).cloned().collect();
        for name in &next {
            self.wanted.remove(name);
            self.taken.insert(name.clone());
        }
        next
    }

    /// Gives back names that were taken and not sent.
    pub fn put_back(&mut self, names: impl IntoIterator<Item = ResourceName>) {
        for name in names {
            self.taken.remove(&name);
            self.wanted.insert(name);
        }
    }
}

/// The values of all JSON members named `reference`.
fn references(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    REFERENCE.find_iter(bytes).filter_map(|at| {
        let rest = bytes[at + REFERENCE.needle().len()..].trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        // A slash may be escaped in JSON; an id needs no other escape.
        Some(if text.contains('\\') {
            Cow::Owned(text.replace("\\/", "/"))
        } else {
            Cow::Borrowed(text)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_however_they_are_written() {
        let mut supporting = Supporting::default();
        supporting.note(
            br##"{"performer":[{"reference":"Practitioner/a"},{ "reference" : "https:\/\/p.example\/fhir\/Organization\/b" }],
            "subject":{"reference":"Patient/p"},"x":{"reference":"#c"},"y":{"reference":"https://else.example/Location/d"},
            "z":{"reference":"Location/e/_history/2"},"note":"\"reference\":\"Location/n\"","again":{"reference":"Practitioner/a"},"reference":7}"##,
            "https://p.example/fhir",
        );
        let names: Vec<String> = supporting.take(2).iter().map(|(t, i)| format!("{t}/{i}")).collect();
        assert_eq!(names, ["Location/e", "Organization/b"]);
        assert_eq!(supporting.take(9), [("Practitioner".to_owned(), "a".to_owned())]);
        supporting.note(br#"{"reference":"Practitioner/a"}"#, "https://p.example/fhir");
        assert!(supporting.take(9).is_empty(), "each comes once");
        supporting.put_back([("Practitioner".to_owned(), "a".to_owned())]);
        assert_eq!(supporting.take(9).len(), 1, "what was not sent comes again");
    }
}

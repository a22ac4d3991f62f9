//! The shared resources that a record refers to: organizations, practitioners, places, medications.
//!
//! Found in the very bytes that leave, so that nothing comes along that what was withheld would have named. What they
//! refer to in turn comes too.

use super::is_shared;
use crate::records::compartment;
use memchr::memmem::Finder;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

static REFERENCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"reference\""));

/// Type and id of a resource.
pub type Name = (String, String);

/// What is still to come along, and what has.
#[derive(Debug, Default)]
pub struct Supporting {
    wanted: BTreeSet<Name>,
    taken: HashSet<Name>,
    /// References that were read before, as they were written.
    seen: HashSet<Box<str>>,
}

impl Supporting {
    /// Notes the shared resources that these bytes refer to.
    pub fn note(&mut self, bytes: &[u8], base_url: &str) {
        for text in references(bytes) {
            // Most references are to the member's own and to the same few others: these are told before anything is built.
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

    /// Whether nothing is still to come.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The next of them, at most `count`, each once.
    pub fn take(&mut self, count: usize) -> Vec<Name> {
        let next: Vec<Name> = self.wanted.iter().take(count).cloned().collect();
        for name in &next {
            self.wanted.remove(name);
            self.taken.insert(name.clone());
        }
        next
    }
}

/// The texts of all members named `reference`.
fn references(bytes: &[u8]) -> impl Iterator<Item = Cow<'_, str>> {
    REFERENCE.find_iter(bytes).filter_map(|at| {
        let rest = bytes[at + REFERENCE.needle().len()..].trim_ascii_start();
        let rest = rest.strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        let end = rest.iter().position(|byte| *byte == b'"')?;
        let text = std::str::from_utf8(&rest[..end]).ok()?;
        // A solidus may be escaped in JSON; no other escape stands in an id.
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
    }
}

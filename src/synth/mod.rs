//! Synthetic members: a whole payer's data from a seed, for the demo, the tests, the bench and `causeway synth`.
//!
//! Deterministic (the same options give the same bytes) and streaming (memory does not grow with members or resources).
//! Pure: it writes to the sink it is given and never looks at a file, a clock or the system's random generator.

mod claims;
mod clinical;
mod codes;
mod directory;
mod member;
mod names;
mod random;
mod record;
mod request;
mod showcase;

pub use member::Member;
pub use request::{MatchOptions, Policy, Variation, match_request};
pub use showcase::member as showcase_member;

use chrono::NaiveDate;
use directory::Directory;
use serde_json::Value;
use std::io;

/// Takes one resource: its type, and its JSON without a line end.
pub type Sink<'a> = &'a mut dyn FnMut(&'static str, &[u8]) -> io::Result<()>;

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Members to make.
    pub members: u64,
    /// The seed that fixes every byte.
    pub seed: u64,
    /// Average resources of one member.
    pub resources_per_member: u64,
    /// Give the first member exactly this many resources.
    pub one_large: Option<u64>,
    /// Enter every five-hundredth member (the second one first) a second time.
    pub twins: bool,
    /// Make the showcase member too: see [`showcase_member`].
    pub showcase: bool,
    /// System of the member numbers.
    pub member_system: String,
    /// Name of the payer.
    pub payer_name: String,
    /// National Provider Identifier of the payer.
    pub payer_npi: String,
    /// The day on which the data was taken; nothing is dated later, but for authorizations and goals that run on.
    pub as_of: NaiveDate,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            members: 100,
            seed: 1,
            resources_per_member: 40,
            one_large: None,
            twins: false,
            showcase: false,
            member_system: "http://old-payer.example/identifiers/member".to_owned(),
            payer_name: "Old Payer".to_owned(),
            payer_npi: "1992000012".to_owned(),
            as_of: NaiveDate::from_ymd_opt(2026, 10, 1).unwrap_or_default(),
        }
    }
}

/// Makes everything, member by member, after what they share. A resource comes after those it refers to; a household's
/// subscriber is its first member. The showcase member comes last.
///
/// # Errors
/// Those of `sink`.
pub fn write(options: &Options, sink: Sink<'_>) -> io::Result<()> {
    let directory = Directory::of(options);
    directory.write(options, sink)?;
    for index in 0..options.members {
        let member = Member::of(options, index);
        record::write(options, &directory, &member, sink)?;
        if options.twins && member.has_twin() {
            record::write_twin(options, &directory, &member.twin(options), sink)?;
        }
    }
    if options.showcase {
        showcase::write(options, &directory, sink)?;
    }
    Ok(())
}

fn put(sink: Sink<'_>, kind: &'static str, resource: &Value) -> io::Result<()> {
    sink(kind, &serde_json::to_vec(resource)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet};

    fn collect(options: &Options) -> Vec<(&'static str, Vec<u8>)> {
        let mut all = Vec::new();
        write(options, &mut |kind, line| {
            all.push((kind, line.to_vec()));
            Ok(())
        })
        .expect("an in-memory sink");
        all
    }

    fn walk(value: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
        visit(path, value);
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, inner)| walk(inner, &format!("{path}.{key}"), visit)),
            Value::Array(items) => items.iter().for_each(|inner| walk(inner, path, visit)),
            _ => {}
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let options = Options {
            members: 12,
            ..Options::default()
        };
        assert_eq!(collect(&options), collect(&options));
        assert_ne!(collect(&options), collect(&Options { seed: 2, ..options }));
    }

    #[test]
    fn references_resolve_ids_are_unique_and_nothing_is_empty() {
        let all = collect(&Options {
            members: 60,
            twins: true,
            ..Options::default()
        });
        let mut ids = HashSet::new();
        for (kind, line) in &all {
            let resource: Value = serde_json::from_slice(line).expect("json");
            assert_eq!(resource["resourceType"], *kind);
            walk(&resource, kind, &mut |path, value| match value {
                Value::Null => panic!("{path} is null"),
                Value::Array(items) => assert!(!items.is_empty(), "{path} is empty"),
                Value::Object(map) => assert!(!map.is_empty(), "{path} is empty"),
                Value::String(text) => {
                    assert!(!text.is_empty(), "{path} is empty");
                    if path.ends_with(".reference") {
                        assert!(
                            ids.contains(text) || *text == format!("{kind}/{}", resource["id"]),
                            "{path} {text} is not there"
                        );
                    }
                }
                _ => {}
            });
            assert!(
                ids.insert(format!("{kind}/{}", resource["id"].as_str().expect("id"))),
                "id twice"
            );
        }
    }

    #[test]
    fn counts_are_as_asked_and_every_type_occurs() {
        let options = Options {
            members: 400,
            ..Options::default()
        };
        let mut kinds = BTreeMap::new();
        for (kind, _) in collect(&options) {
            *kinds.entry(kind).or_insert(0u64) += 1;
        }
        let total: u64 = kinds.values().sum();
        assert!((36..=46).contains(&(total / 400)), "{total} {kinds:?}");
        for kind in record::KINDS {
            assert!(kinds.contains_key(kind), "no {kind}: {kinds:?}");
        }
        assert_eq!(kinds.len(), record::KINDS.len());
        let shared = collect(&Options {
            members: 0,
            ..options.clone()
        })
        .len();
        let large = collect(&Options {
            members: 1,
            one_large: Some(1000),
            ..options
        });
        assert_eq!(large.len() - shared, 1000);
    }
}

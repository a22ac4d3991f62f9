//! Synthetic members: a whole payer's data from a seed, for the demonstration, the tests, the benchmark and `causeway synth`.
//!
//! The output is deterministic (the same options give the same bytes) and streamed (memory does not grow with the number of members or
//! resources). It is written only to the given sink; no file, clock or system random generator is used.

mod claims;
mod clinical;
mod codes;
mod directory;
mod member;
mod names;
mod options;
mod output;
mod random;
mod record;
mod request;
mod scene;
mod showcase;

pub use member::Member;
pub use options::SynthOptions;
pub use output::Sink;
pub use request::{MatchOptions, SharingPolicy, Variation, match_request};
pub use showcase::member as showcase_member;

use directory::Directory;
use std::io;

/// Writes all data: first the shared resources, then member by member. A resource comes after those that it refers to; the subscriber is
/// the first member of a household. The showcase member comes last.
///
/// # Errors
/// Those of `sink`.
pub fn write(options: &SynthOptions, sink: Sink<'_>) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::{BTreeMap, HashSet};

    fn collect(options: &SynthOptions) -> Vec<(&'static str, Vec<u8>)> {
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
        let options = SynthOptions {
            members: 12,
            ..SynthOptions::default()
        };
        assert_eq!(collect(&options), collect(&options));
        assert_ne!(collect(&options), collect(&SynthOptions { seed: 2, ..options }));
    }

    #[test]
    fn references_resolve_ids_are_unique_and_nothing_is_empty() {
        let all = collect(&SynthOptions {
            members: 60,
            twins: true,
            ..SynthOptions::default()
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
        let options = SynthOptions {
            members: 400,
            ..SynthOptions::default()
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
        let shared = collect(&SynthOptions {
            members: 0,
            ..options.clone()
        })
        .len();
        let large = collect(&SynthOptions {
            members: 1,
            one_large: Some(1000),
            ..options
        });
        assert_eq!(large.len() - shared, 1000);
    }
}

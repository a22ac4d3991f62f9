//! A roster in memory with an index of blocking keys, for benchmarks, files and tests. The server has its index in the store.

use crate::blocking;
use crate::facts::Facts;
use crate::person::Profile;
use crate::policy::{MatchingPolicy, Point};
use crate::search::{HeldProfiles, SearchBasis, SearchOutcome, search};
use std::borrow::Cow;
use std::collections::HashMap;

/// The records, their keys and their counts.
#[derive(Debug, Default)]
pub struct Roster {
    profiles: Vec<Profile>,
    keys: HashMap<u64, Vec<u32>>,
    facts: Facts,
}

/// Keys that more records share are not used.
pub const CROWD: usize = 200;

/// The same limit for keys of a name without a date, whose matches a reviewer decides anyway.
pub const CROWD_OF_NAMES: usize = 40;

impl Roster {
    /// Indexes these records.
    pub fn new(profiles: Vec<Profile>) -> Roster {
        let mut keys: HashMap<u64, Vec<u32>> = HashMap::new();
        for (number, profile) in (0u32..).zip(&profiles) {
            for key in blocking::of_record(profile) {
                keys.entry(fnv(&key)).or_default().push(number);
            }
        }
        let facts = profiles.iter().collect();
        Roster { profiles, keys, facts }
    }

    /// The counts over the roster.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Number of keys of all records.
    pub fn keys(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// All records.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Finds the candidates and decides; the numbers in the result are indexes into the roster.
    pub fn search(&self, asked: &Profile, policy: &MatchingPolicy, point: Point) -> SearchOutcome<'_> {
        let basis = SearchBasis {
            facts: &self.facts,
            policy,
            point,
        };
        let found = search(asked, basis, &mut |keys, known| {
            Ok::<_, std::convert::Infallible>(self.sharing(keys, known))
        });
        match found {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    /// The records that have one of these keys, in the order of the roster, without those in `known`.
    fn sharing(&self, keys: &[String], known: &[i64]) -> HeldProfiles<'_> {
        let mut found: Vec<u32> = Vec::new();
        for key in keys {
            let most = if key.starts_with("n:") { CROWD_OF_NAMES } else { CROWD };
            if let Some(numbers) = self.keys.get(&fnv(key)).filter(|numbers| numbers.len() <= most) {
                found.extend(numbers);
            }
        }
        found.sort_unstable();
        found.dedup();
        found
            .into_iter()
            .filter(|number| !known.contains(&i64::from(*number)))
            .filter_map(|number| {
                let profile = self.profiles.get(usize::try_from(number).ok()?)?;
                Some((i64::from(number), Cow::Borrowed(profile)))
            })
            .collect()
    }
}

/// FNV-1a, which is good enough for an index in memory but protects no value.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hashed_by_fnv_1a() {
        // The test vectors of its authors.
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv(text), hash, "{text}");
        }
    }
}

//! A roster in memory, found by blocking keys: for benches, files and tests. The server keeps its keys in the store instead.

use crate::blocking;
use crate::facts::Facts;
use crate::person::Profile;
use crate::policy::{Point, Policy};
use crate::search::{Basis, Found, Held, search};
use std::borrow::Cow;
use std::collections::HashMap;

/// Records with their keys and counts.
#[derive(Debug, Default)]
pub struct Roster {
    profiles: Vec<Profile>,
    keys: HashMap<u64, Vec<u32>>,
    facts: Facts,
}

/// A key that so many records share says nothing; its records are left to the other keys.
pub const CROWD: usize = 200;

/// The same for names without a date, which are decided by a person anyway.
pub const CROWD_OF_NAMES: usize = 40;

impl Roster {
    /// Indexes records.
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

    /// Counts over the roster.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Keys of all records together.
    pub fn keys(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// All records.
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Finds whoever may be meant, and decides; numbers are places in the roster.
    pub fn search(&self, asked: &Profile, policy: &Policy, point: Point) -> Found<'_> {
        let basis = Basis {
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

    /// Records that share one of these keys, in the order of the roster, without those that are known.
    fn sharing(&self, keys: &[String], known: &[i64]) -> Held<'_> {
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

/// FNV-1a; good enough to index memory, never to protect a value.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

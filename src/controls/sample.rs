//! Chooses what a control looks at: by a seed, so that the same seed over the same store chooses the same rows, each with the same chance.

use crate::error::Failure;
use crate::jobs::Chance;
use crate::store::control_rows::{self as rows, RowKind};
use crate::store::{Db, Store};
use std::collections::BTreeSet;

/// Ids that one query reads of a kind that is looked at in full.
const PAGE: i64 = 500;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HowMany {
    /// So many of each kind, by chance; all where there are fewer.
    Some(u32),
    /// All.
    All,
}

impl HowMany {
    /// How many of so many.
    pub fn of(self, all: i64) -> i64 {
        match self {
            HowMany::Some(most) => all.min(i64::from(most)),
            HowMany::All => all,
        }
    }
}

/// Which of `all` places are looked at, in order, none twice.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a place is below 2^53
pub fn places(chance: &Chance, all: i64, wanted: i64) -> Vec<i64> {
    if wanted >= all {
        return (0..all).collect();
    }
    // Floyd's way to choose without repetition.
    let mut chosen = BTreeSet::new();
    for last in all - wanted..all {
        let place = (chance.unit() * (last + 1) as f64) as i64;
        if !chosen.insert(place.min(last)) {
            chosen.insert(last);
        }
    }
    chosen.into_iter().collect()
}

/// Shows each chosen row of a kind, by its id. Returns how many there are of the kind. Waits on this thread.
///
/// # Errors
/// Those of the store and of `look`.
pub fn each(
    store: &Store,
    kind: RowKind,
    (chance, many): (&Chance, HowMany),
    look: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<i64, Failure> {
    let all = store.read_blocking(|db| rows::count(db, kind))?;
    let mut last = String::new();
    if many.of(all) == all {
        loop {
            let found = store.read_blocking(|db| rows::ids(db, kind, &last, 0, PAGE))?;
            for id in &found {
                look(id)?;
            }
            match found.into_iter().next_back() {
                Some(id) => last = id,
                None => return Ok(all),
            }
        }
    }
    let mut before = 0;
    for place in places(chance, all, many.of(all)) {
        let found = store.read_blocking(|db| rows::ids(db, kind, &last, place - before, 1))?;
        let Some(id) = found.into_iter().next() else { break };
        look(&id)?;
        (last, before) = (id, place + 1);
    }
    Ok(all)
}

/// What `look` finds; a second time when that is not well, because a row may change between two statements of a look.
///
/// # Errors
/// Those of the store and of `look`.
pub fn settled<T>(
    store: &Store,
    look: impl Fn(&mut Db) -> Result<T, Failure>,
    is_well: impl Fn(&T) -> bool,
) -> Result<T, Failure> {
    let again = || store.read_blocking(|db| Store::reading(db, &look));
    let first = again()?;
    if is_well(&first) { Ok(first) } else { again() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_order_and_none_comes_twice_and_a_seed_chooses_the_same() {
        for (all, wanted) in [(0, 5), (1, 1), (3, 10), (1_000, 20), (5, 5), (1_000_000, 50)] {
            let chosen = places(&Chance::seeded(7), all, wanted);
            assert_eq!(chosen.len() as i64, all.min(wanted), "{all} {wanted}");
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]), "{chosen:?}");
            assert!(chosen.iter().all(|place| (0..all).contains(place)), "{chosen:?}");
            assert_eq!(chosen, places(&Chance::seeded(7), all, wanted));
        }
        assert_ne!(
            places(&Chance::seeded(7), 1_000, 20),
            places(&Chance::seeded(8), 1_000, 20)
        );
    }

    #[test]
    fn every_place_has_about_the_same_chance() {
        let chance = Chance::seeded(11);
        let mut hits = [0_u32; 20];
        for _ in 0..4_000 {
            for place in places(&chance, 20, 5) {
                hits[usize::try_from(place).expect("small")] += 1;
            }
        }
        // 1,000 each, with a standard deviation of about 27.
        assert!(hits.iter().all(|hits| (850..1_150).contains(hits)), "{hits:?}");
    }
}

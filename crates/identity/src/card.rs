//! Chooses between several records of one person: the one with the numbers that were sent.
//!
//! All records here have already been found to be about the same person; this code never treats two people as one. Numbers are compared in
//! normalized form (only letters and digits).

use crate::candidate::{Scored, same_person};
use crate::facts::Facts;
use crate::ids;
use crate::person::Profile;

/// Which record of the best candidate's person the numbers in the request belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The best candidate: no other record of the person has a number from the request that it lacks.
    Best,
    /// The candidate at this rank: it has every number from the request that any record of the person has, and the best candidate lacks
    /// one.
    Rank(usize),
    /// Several records: each has a number that the others lack.
    Several,
}

/// Compares the numbers of `asked` with the records of the person of the first candidate in `ranked`.
pub(crate) fn meant(asked: &Profile, ranked: &[Scored], held: &[&Profile], facts: &Facts) -> Meant {
    let record = |rank: usize| ranked.get(rank).and_then(|one| held.get(one.candidate)).copied();
    let Some(best) = record(0) else { return Meant::Best };
    let sent = || asked.member_ids.iter().chain(&asked.subscriber_ids);
    let lacks = |own: &Profile, other: &Profile| sent().any(|id| ids::bears(other, id) && !ids::bears(own, id));
    let others: Vec<usize> = (1..ranked.len())
        .filter(|rank| record(*rank).is_some_and(|other| lacks(best, other) && same_person(best, other, facts)))
        .collect();
    if others.is_empty() {
        return Meant::Best;
    }
    let group = || std::iter::once(0).chain(others.iter().copied()).filter_map(record);
    let bears_all = |rank: usize| record(rank).is_some_and(|own| !group().any(|other| lacks(own, other)));
    match others.iter().copied().find(|rank| bears_all(*rank)) {
        Some(rank) => Meant::Rank(rank),
        None => Meant::Several,
    }
}

/// Whether a record has a member or subscriber number.
pub(crate) fn has_card(record: &Profile) -> bool {
    !record.member_ids.is_empty() || !record.subscriber_ids.is_empty()
}

//! Which of several records of one person is meant: the one that bears the numbers that were sent.
//!
//! Whose record it is has been found before, by everything else; nothing here makes two people one. Numbers are compared in their
//! comparable form (letters and digits only).

use crate::decide::{Scored, same_person};
use crate::facts::Facts;
use crate::ids;
use crate::person::Profile;

/// What the numbers that were sent say about the records of the best candidate's person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// The best candidate: no other record of the person bears a number that it does not.
    Best,
    /// The candidate at this rank: it bears every number that any record of the person bears, and the best does not.
    Rank(usize),
    /// Several: each bears a number that the others do not.
    Several,
}

/// Reads the numbers of `asked` against the records of the first of `ranked`.
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

/// Whether a record bears a number of ours at all.
pub(crate) fn has_card(record: &Profile) -> bool {
    !record.member_ids.is_empty() || !record.subscriber_ids.is_empty()
}

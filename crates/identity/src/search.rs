//! Finds the candidates and decides, with any index of blocking keys, in a store or in memory. Determines the order of lookups: first the
//! usual keys, then the keys of typing errors unless the match is settled, and the households only of near candidates.

use crate::blocking;
use crate::decide::{Decision, MatchOutcome, decide};
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::person::Profile;
use crate::policy::{MatchingPolicy, Point};
use std::borrow::Cow;

/// Most candidates whose households are looked up.
const EXPANDED: usize = 6;
/// How many bits below the review threshold a candidate may be, for its household to be looked up.
const REACH: f64 = 20.0;

/// The records that were found, with their numbers in the index.
pub type HeldProfiles<'a> = Vec<(i64, Cow<'a, Profile>)>;

/// Returns the records that have one of the keys, without those with the given numbers.
pub type Find<'f, 'a, E> = dyn FnMut(&[String], &[i64]) -> Result<HeldProfiles<'a>, E> + 'f;

/// The records that were found, in the order of their numbers, and the decision, whose candidates are indexes into them.
#[derive(Clone, Debug)]
pub struct SearchOutcome<'a> {
    /// The records that were compared.
    pub held: HeldProfiles<'a>,
    /// The decision.
    pub decision: Decision,
}

/// What a decision is based on.
#[derive(Clone, Copy, Debug)]
pub struct SearchBasis<'a> {
    /// Counts over the roster.
    pub facts: &'a Facts,
    /// The policy.
    pub policy: &'a MatchingPolicy,
    /// The operating point.
    pub point: Point,
}

/// Finds the candidates and decides.
///
/// # Errors
/// Those of `find`.
pub fn search<'a, E>(
    asked: &Profile,
    basis: SearchBasis<'_>,
    find: &mut Find<'_, 'a, E>,
) -> Result<SearchOutcome<'a>, E> {
    let mut search = Search {
        asked,
        basis,
        held: Vec::new(),
        expanded: Vec::new(),
    };
    let first = blocking::of_request_first(asked);
    let decision = search.go_on(&first, find)?;
    if settled(&decision) {
        return Ok(SearchOutcome {
            held: search.held,
            decision,
        });
    }
    let rest: Vec<String> = blocking::of_request(asked)
        .into_iter()
        .filter(|key| !first.contains(key))
        .collect();
    let decision = search.go_on(&rest, find)?;
    Ok(SearchOutcome {
        held: search.held,
        decision,
    })
}

struct Search<'s, 'a> {
    asked: &'s Profile,
    basis: SearchBasis<'s>,
    held: HeldProfiles<'a>,
    expanded: Vec<i64>,
}

impl<'a> Search<'_, 'a> {
    /// Looks up these keys, then the households of near candidates, and decides among all records found so far.
    fn go_on<E>(&mut self, keys: &[String], find: &mut Find<'_, 'a, E>) -> Result<Decision, E> {
        self.add(keys, find)?;
        let decision = self.decide();
        // People who are insured with a candidate show whether a telephone, an address or a first name is a relative's.
        let mut households: Vec<String> = Vec::new();
        let near = decision.bounds.review - REACH;
        for one in decision
            .ranked
            .iter()
            .take(EXPANDED)
            .filter(|one| one.score.total >= near)
        {
            if let Some((number, profile)) = self.held.get(one.candidate)
                && !self.expanded.contains(number)
            {
                self.expanded.push(*number);
                for key in blocking::of_household(profile) {
                    if !households.contains(&key) {
                        households.push(key);
                    }
                }
            }
        }
        let before = self.held.len();
        self.add(&households, find)?;
        Ok(if self.held.len() == before {
            decision
        } else {
            self.decide()
        })
    }

    fn add<E>(&mut self, keys: &[String], find: &mut Find<'_, 'a, E>) -> Result<(), E> {
        if !keys.is_empty() {
            let known: Vec<i64> = self.held.iter().map(|(number, _)| *number).collect();
            self.held.extend(find(keys, &known)?);
            self.held.sort_unstable_by_key(|(number, _)| *number);
        }
        Ok(())
    }

    fn decide(&self) -> Decision {
        let refs: Vec<&Profile> = self.held.iter().map(|(_, profile)| profile.as_ref()).collect();
        decide(self.asked, &refs, self.basis.facts, self.basis.policy, self.basis.point)
    }
}

/// Whether no record that is found only by the keys of typing errors could change the outcome. This is so when a deterministic rule holds
/// and the birth date is exact: a rival would have the same date and one of the names, and would already have been found.
fn settled(decision: &Decision) -> bool {
    let Some(top) = decision.ranked.first() else {
        return false;
    };
    matches!(decision.outcome, MatchOutcome::Match(_))
        && top.rule.is_some()
        && top.levels.is(Field::Birth, &[Level::Exact])
        && top.levels.is(Field::Given, &[Level::Exact, Level::Nickname])
        && top.levels.is(Field::Family, &[Level::Exact, Level::Part, Level::Slip])
}

//! Finds whoever may be meant and decides, over any index of blocking keys: of a store or in memory. Owns the order of looking up:
//! the usual keys first, the keys of slips only while nothing is settled, relatives of those only who come near.

use crate::blocking;
use crate::decide::{Decision, Outcome, decide};
use crate::facts::Facts;
use crate::field::{Field, Level};
use crate::person::Profile;
use crate::policy::{Point, Policy};
use std::borrow::Cow;

/// Candidates whose households are looked up.
const EXPANDED: usize = 6;
/// Bits below a review that a household can still make up for.
const REACH: f64 = 20.0;

/// Records that were found, by their numbers in the index.
pub type Held<'a> = Vec<(i64, Cow<'a, Profile>)>;

/// What was found, in the order of the numbers, and decided; the decision's candidates are places in it.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The records that were compared.
    pub held: Held<'a>,
    /// The decision.
    pub decision: Decision,
}

/// What a decision is taken by.
#[derive(Clone, Copy, Debug)]
pub struct Basis<'a> {
    /// Counts over the roster.
    pub facts: &'a Facts,
    /// The numbers.
    pub policy: &'a Policy,
    /// The operating point.
    pub point: Point,
}

/// Finds and decides. `find` gives the records that share one of the keys, without those whose numbers are known already.
///
/// # Errors
/// Those of `find`.
pub fn search<'a, E>(
    asked: &Profile,
    basis: Basis<'_>,
    find: &mut dyn FnMut(&[String], &[i64]) -> Result<Held<'a>, E>,
) -> Result<Found<'a>, E> {
    let mut search = Search {
        asked,
        basis,
        held: Vec::new(),
        expanded: Vec::new(),
    };
    let first = blocking::of_request_first(asked);
    let decision = search.go_on(&first, find)?;
    if settled(&decision) {
        return Ok(Found {
            held: search.held,
            decision,
        });
    }
    let rest: Vec<String> = blocking::of_request(asked)
        .into_iter()
        .filter(|key| !first.contains(key))
        .collect();
    let decision = search.go_on(&rest, find)?;
    Ok(Found {
        held: search.held,
        decision,
    })
}

struct Search<'s, 'a> {
    asked: &'s Profile,
    basis: Basis<'s>,
    held: Held<'a>,
    expanded: Vec<i64>,
}

impl<'a> Search<'_, 'a> {
    /// Looks these keys up, then the households of whoever comes near, and decides among all that are known.
    fn go_on<E>(
        &mut self,
        keys: &[String],
        find: &mut dyn FnMut(&[String], &[i64]) -> Result<Held<'a>, E>,
    ) -> Result<Decision, E> {
        self.add(keys, find)?;
        let decision = self.decide();
        // Those insured with a candidate tell whether a telephone, a house or a first name is a relative's.
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

    fn add<E>(
        &mut self,
        keys: &[String],
        find: &mut dyn FnMut(&[String], &[i64]) -> Result<Held<'a>, E>,
    ) -> Result<(), E> {
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

/// Whether nobody who is found by the keys of slips could change the outcome: a deterministic rule holds, and the names and the day
/// are the record's, so that any rival bears them too and was found.
fn settled(decision: &Decision) -> bool {
    let Some(top) = decision.ranked.first() else {
        return false;
    };
    matches!(decision.outcome, Outcome::Match(_))
        && top.rule.is_some()
        && top.levels.is(Field::Birth, &[Level::Exact])
        && top.levels.is(Field::Given, &[Level::Exact, Level::Nickname])
        && top.levels.is(Field::Family, &[Level::Exact])
}

//! Who is meant: finds candidates by blocking keys, has the matcher decide, and names those that count. Reads only.

use super::record::KEPT_CANDIDATES;
use crate::error::{Failure, Fault};
use crate::identity::{self, Guard, Key, KeyHasher, Outcome, Person, Profile, Rules};
use crate::policy::shadow::Case;
use crate::store::identity::{profiles, sharing};
use crate::store::matching::{Found, named};
use crate::store::policies::Shadow;
use crate::store::roster::Roster;
use crate::store::{Db, Store};
use std::sync::Arc;

/// What is asked, in the terms of the matcher: values of the request, so never to be logged.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The person as the request describes them.
    pub person: Person,
    /// The partner that asks.
    pub partner_id: String,
    /// Digest of the consent that came with it.
    pub consent_digest: Vec<u8>,
}

/// What came out about the person, and everything that led to it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Match, review or none; an index into `named`.
    pub outcome: Outcome,
    /// Why it was not automatic.
    pub reason: Option<Guard>,
    /// The decision of the matcher; its candidates are indices into what was compared.
    pub decision: identity::Decision,
    /// The best candidates, best first: as many as a decision record keeps.
    pub named: Vec<Found>,
    /// How many were compared.
    pub compared: usize,
    /// The state of the roster that decided.
    pub roster: Arc<Roster>,
    /// The rules that decided.
    pub rules: Arc<Rules>,
    asked: Profile,
    held: Vec<(i64, Profile)>,
}

impl Judgement {
    /// The member that matched.
    pub fn matched(&self) -> Option<&Found> {
        match self.outcome {
            Outcome::Match(index) => self.named.get(index),
            Outcome::Review(_) | Outcome::None => None,
        }
    }

    /// The record that the request came near to: it matched, or is worth a look.
    pub fn near(&self) -> Option<&Found> {
        let best = self.decision.ranked.first()?;
        let near = self.outcome != Outcome::None || best.score.total >= self.decision.bounds.review;
        self.named.first().filter(|_| near)
    }

    /// The same, to be decided once more by the rules of `shadow`.
    pub(super) fn case(self, shadow: Shadow) -> Case {
        Case {
            asked: self.asked,
            held: self.held,
            roster: self.roster,
            decided: self.decision.outcome,
            shadow,
        }
    }
}

/// Judges who is meant.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a profile that cannot be read.
pub fn judge(
    db: &mut Db,
    store: &Store,
    hasher: &KeyHasher,
    rules: &Arc<Rules>,
    wanted: &Wanted,
) -> Result<Judgement, Failure> {
    let roster = store.roster(db)?;
    let asked = Profile::from(&wanted.person);
    let mut held: Vec<(i64, Profile)> = Vec::new();
    look_up(db, &hasher.of_request(&asked), &mut held)?;
    // Those insured with a candidate tell whether a telephone, a house or a first name is a relative's.
    let households = hasher.of_households(held.iter().map(|(_, profile)| profile));
    look_up(db, &households, &mut held)?;
    held.sort_unstable_by_key(|(no, _)| *no);

    let refs: Vec<&Profile> = held.iter().map(|(_, profile)| profile).collect();
    let decision = identity::decide(&asked, &refs, &roster.facts, &rules.policy, rules.point);
    let best: Vec<i64> = decision
        .ranked
        .iter()
        .take(KEPT_CANDIDATES)
        .filter_map(|one| held.get(one.candidate).map(|(no, _)| *no))
        .collect();
    let named = named(db, &best, &wanted.partner_id, &wanted.consent_digest)?;
    // The best is the first of the ranked, and so the first of the named.
    let outcome = match decision.outcome {
        Outcome::Match(_) => Outcome::Match(0),
        Outcome::Review(_) => Outcome::Review(0),
        Outcome::None => Outcome::None,
    };
    if named.len() != best.len() {
        return Err(Failure::new(Fault::StoreDamaged).because("a profile has no compartment"));
    }
    Ok(Judgement {
        outcome,
        reason: decision.guard,
        compared: held.len(),
        decision,
        named,
        roster,
        rules: Arc::clone(rules),
        asked,
        held,
    })
}

/// Adds the profiles that share one of these keys and are not there yet.
fn look_up(db: &mut Db, keys: &[Key], held: &mut Vec<(i64, Profile)>) -> Result<(), Failure> {
    let mut numbers = sharing(db, keys)?;
    numbers.retain(|no| held.iter().all(|(known, _)| known != no));
    for (no, bytes) in profiles(db, &numbers)? {
        // A row of an older format is made anew at the next start; until then its member is found by nobody.
        if let Some(profile) = Profile::unpack(&bytes) {
            held.push((no, profile));
        }
    }
    Ok(())
}

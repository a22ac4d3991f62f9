//! Who is meant: finds candidates by blocking keys, has the matcher decide, and names those that count. Reads only.

use super::record::KEPT_CANDIDATES;
use crate::error::{Failure, Fault};
use crate::identity::{self, Basis, Guard, Key, KeyHasher, Outcome, Profile, Rules, search};
use crate::policy::shadow::Case;
use crate::store::identity::{profiles, sharing};
use crate::store::matching::{Found, named};
use crate::store::policies::Shadow;
use crate::store::roster::Roster;
use crate::store::{Db, Store};
use std::borrow::Cow;
use std::sync::Arc;

/// What is asked, in the terms of the matcher: values of the request, so never to be logged.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The person as the request describes them.
    pub profile: Profile,
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
    /// Whom it is about, best first: the member that matched, or the candidates that a person must choose from.
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
    Store::reading(db, |db| judged(db, store, hasher, rules, wanted))
}

fn judged(
    db: &mut Db,
    store: &Store,
    hasher: &KeyHasher,
    rules: &Arc<Rules>,
    wanted: &Wanted,
) -> Result<Judgement, Failure> {
    let roster = store.roster(db)?;
    let asked = wanted.profile.clone();
    let basis = Basis {
        facts: &roster.facts,
        policy: &rules.policy,
        point: rules.point,
    };
    let found = search(&asked, basis, &mut |keys, known| look_up(db, &hasher.keys(keys), known))?;
    let decision = found.decision;
    // Whom a decision was about is needed to grant, or to have a person look; nobody else's name is read.
    let wanted_names = match decision.outcome {
        Outcome::Match(_) => 1,
        Outcome::Review(_) => decision.contenders().min(KEPT_CANDIDATES),
        // Near enough that guesses about this record are counted.
        Outcome::None
            if decision
                .ranked
                .first()
                .is_some_and(|best| best.score.total >= decision.bounds.review) =>
        {
            1
        }
        Outcome::None => 0,
    };
    let best: Vec<i64> = decision
        .ranked
        .iter()
        .take(wanted_names)
        .filter_map(|one| found.held.get(one.candidate).map(|(no, _)| *no))
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
        compared: found.held.len(),
        held: found
            .held
            .into_iter()
            .map(|(no, profile)| (no, profile.into_owned()))
            .collect(),
        decision,
        named,
        roster,
        rules: Arc::clone(rules),
        asked,
    })
}

/// The profiles that share one of these keys and are not known yet.
fn look_up(db: &mut Db, keys: &[Key], known: &[i64]) -> Result<Vec<(i64, Cow<'static, Profile>)>, Failure> {
    let mut numbers = sharing(db, keys)?;
    numbers.retain(|no| !known.contains(no));
    let mut held = Vec::with_capacity(numbers.len());
    for (no, bytes) in profiles(db, &numbers)? {
        // A row of an older format is made anew at the next start; until then its member is found by nobody.
        if let Some(profile) = Profile::unpack(&bytes) {
            held.push((no, Cow::Owned(profile)));
        }
    }
    Ok(held)
}

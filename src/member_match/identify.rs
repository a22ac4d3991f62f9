//! The second step: finds candidates by blocking keys, lets the matcher decide, and reads the members that the decision is about. It only
//! reads.
//!
//! A [`MatchBasis`] is read once and serves any number of members.

use crate::error::{Failure, Fault};
use crate::identity::graph::SourceId;
use crate::identity::{
    self, Guard, KeyHasher, LookupKey, MatchOutcome, Profile, Rules, SearchBasis as Terms, blocking, search,
};
use crate::policy::shadow::ShadowCase;
use crate::store::first_look::{Look, SharedKeyMember, Sought, first_look};
use crate::store::identity::profiles;
use crate::store::matching::{NAMED, PossibleMember, named};
use crate::store::policies::{InForce, Shadow};
use crate::store::roster::RememberedRoster;
use crate::store::{Db, Store};
use std::borrow::Cow;
use std::sync::Arc;

/// What the matcher compares and looks up. Holds values of the request and must never be logged.
#[derive(Clone, Debug)]
pub struct WantedMember {
    /// The person as the request describes them.
    pub profile: Profile,
    /// The partner that asks.
    pub partner_id: String,
    /// Digest of the consent in the request.
    pub consent_digest: Vec<u8>,
    /// When it is asked, UTC milliseconds.
    pub now_ms: i64,
}

/// The decision about the person, and everything that led to it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Match, review or none; the index points into `named`.
    pub outcome: MatchOutcome,
    /// The guard that prevented an automatic match.
    pub reason: Option<Guard>,
    /// The matcher's decision; its candidates are indexes into what was compared.
    pub decision: identity::Decision,
    /// The members whom the decision is about, best first: the matched member, or the candidates that a reviewer must choose from.
    pub named: Vec<PossibleMember>,
    /// How many members were compared.
    pub compared: usize,
    /// The state of the roster that the decision used.
    pub roster: Arc<RememberedRoster>,
    /// The rules that the decision used.
    pub rules: Arc<Rules>,
    asked: Profile,
    held: Vec<(i64, Profile)>,
}

impl Judgement {
    /// The matched member, if there is one.
    pub fn matched(&self) -> Option<&PossibleMember> {
        match self.outcome {
            MatchOutcome::Match(index) => self.named.get(index),
            MatchOutcome::Review(_) | MatchOutcome::None => None,
        }
    }

    /// The record that the request came near: it matched, or reached the review threshold.
    pub fn near(&self) -> Option<&PossibleMember> {
        let best = self.decision.ranked.first()?;
        let near = self.outcome != MatchOutcome::None || best.score.total >= self.decision.bounds.review;
        self.named.first().filter(|_| near)
    }

    /// This match as a case to be decided again by the rules of `shadow`.
    pub(super) fn case(self, shadow: Shadow) -> ShadowCase {
        ShadowCase {
            asked: self.asked,
            held: self.held,
            roster: self.roster,
            decided: self.decision.outcome,
            shadow,
        }
    }
}

/// What all decisions at one moment are based on: the rules in force, the state of the roster, and the secret of the blocking keys.
#[derive(Clone, Debug)]
pub struct MatchBasis {
    rules: Arc<Rules>,
    roster: Arc<RememberedRoster>,
    hasher: KeyHasher,
    shadow: Option<Shadow>,
}

impl MatchBasis {
    /// Reads a basis. The rules in `configured` are used when no version has been activated.
    ///
    /// # Errors
    /// Those of the database; [`Fault::StoreDamaged`] for a version of the rules or roster counts that cannot be read.
    pub fn read(db: &mut Db, store: &Store, hasher: KeyHasher, configured: &Arc<Rules>) -> Result<MatchBasis, Failure> {
        let in_force = store.matching(db, configured)?;
        let roster = store.roster(db)?;
        Ok(MatchBasis::of(in_force, roster, hasher))
    }

    /// Makes a basis from a first look. Reads the store only when a version of the rules, or a state of the roster, is new to this process.
    ///
    /// # Errors
    /// As [`MatchBasis::read`].
    fn seen(
        db: &mut Db,
        store: &Store,
        hasher: KeyHasher,
        configured: &Arc<Rules>,
        look: &Look,
    ) -> Result<MatchBasis, Failure> {
        let in_force = store.in_force(db, look.active.clone(), configured)?;
        let roster = store.roster_of(db, look.roster_no)?;
        Ok(MatchBasis::of(in_force, roster, hasher))
    }

    fn of(in_force: InForce, roster: Arc<RememberedRoster>, hasher: KeyHasher) -> MatchBasis {
        MatchBasis {
            rules: in_force.rules,
            roster,
            hasher,
            shadow: in_force.shadow,
        }
    }
}

/// The blocking keys that a request looks up first, with their hashes.
#[derive(Clone, Debug, Default)]
struct Keys {
    texts: Vec<String>,
    hashed: Vec<LookupKey>,
}

impl Keys {
    /// The keys of `profile`. The keys of its household are included, because a member is usually found together with everybody insured
    /// under the same contract.
    fn first(hasher: &KeyHasher, profile: &Profile) -> Keys {
        let mut texts = blocking::of_request_first(profile);
        for text in blocking::of_household(profile) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        Keys {
            hashed: hasher.keys(&texts),
            texts,
        }
    }

    fn of(&self, hasher: &KeyHasher, texts: &[String]) -> Vec<LookupKey> {
        let known = |text: &String| {
            let place = self.texts.iter().position(|known| known == text)?;
            self.hashed.get(place).copied()
        };
        if let Some(keys) = texts.iter().map(known).collect::<Option<Vec<LookupKey>>>() {
            return keys;
        }
        hasher.keys(texts)
    }
}

/// What was read before candidates are looked up: nothing, or the result of a first look.
#[derive(Debug, Default)]
pub struct FirstLook {
    keys: Keys,
    pub(super) look: Look,
}

impl FirstLook {
    /// What the first look read about the member of this compartment.
    pub(super) fn member(&self, no: i64) -> Option<&SharedKeyMember> {
        self.look.members.iter().find(|seen| seen.found.compartment == no)
    }
}

/// The result of this step for one request.
#[derive(Debug)]
pub(super) struct Identified {
    /// The decision about the person.
    pub judgement: Judgement,
    /// What the first look read; the next step uses it.
    pub sight: FirstLook,
    /// Candidate rules whose decisions are compared with those of the rules in force.
    pub shadow: Option<Shadow>,
}

/// Finds the member of a single request, with a basis and a first look of its own. `question` is the hash of the question and the number
/// under which the partner knows the person; the first look reads what is stored about both.
///
/// # Errors
/// As [`MatchBasis::read`] and [`identify`].
pub(super) fn identify_at_once(
    db: &mut Db,
    store: &Store,
    hasher: KeyHasher,
    configured: &Arc<Rules>,
    (wanted, question): (&WantedMember, (&[u8; 32], Option<&SourceId>)),
) -> Result<Identified, Failure> {
    let keys = Keys::first(&hasher, &wanted.profile);
    let sought = Sought {
        partner_id: &wanted.partner_id,
        now_ms: wanted.now_ms,
        consent_digest: &wanted.consent_digest,
        question: question.0,
        number: question.1,
        keys: &keys.hashed,
    };
    let look = first_look(db, &sought)?;
    let basis = MatchBasis::seen(db, store, hasher, configured, &look)?;
    let mut sight = FirstLook { keys, look };
    let judgement = identify(db, &basis, wanted, &mut sight)?;
    Ok(Identified {
        judgement,
        sight,
        shadow: basis.shadow,
    })
}

/// Finds the member who is meant. `basis` may be shared by any number of members; `sight` is what was read about this one, and caches what
/// is read here.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a profile whose compartment is missing.
pub fn identify(
    db: &mut Db,
    basis: &MatchBasis,
    wanted: &WantedMember,
    sight: &mut FirstLook,
) -> Result<Judgement, Failure> {
    let MatchBasis {
        rules, roster, hasher, ..
    } = basis;
    let asked = wanted.profile.clone();
    let terms = Terms {
        facts: &roster.facts,
        policy: &rules.policy,
        point: rules.point,
    };
    let found = search(&asked, terms, &mut |keys, known| {
        let keys = sight.keys.of(hasher, keys);
        look_up(db, &keys, known, sight)
    })?;
    let decision = found.decision;
    // A grant or a review needs the members whom the decision is about; no other member is read.
    let wanted_names = match decision.outcome {
        MatchOutcome::Match(_) => 1,
        MatchOutcome::Review(_) => decision.contenders().min(NAMED),
        // The best candidate is read too when it reached the review threshold, because guesses near its record are counted.
        MatchOutcome::None
            if decision
                .ranked
                .first()
                .is_some_and(|best| best.score.total >= decision.bounds.review) =>
        {
            1
        }
        MatchOutcome::None => 0,
    };
    let best: Vec<i64> = decision
        .ranked
        .iter()
        .take(wanted_names)
        .filter_map(|one| found.held.get(one.candidate).map(|(no, _)| *no))
        .collect();
    let seen = best.iter().map(|no| Some(sight.member(*no)?.found.clone()));
    let named = match seen.collect::<Option<Vec<PossibleMember>>>() {
        Some(seen) => seen,
        None => named(db, &best, &wanted.partner_id, &wanted.consent_digest)?,
    };
    // The best candidate is the first of `ranked`, and therefore the first of `named`.
    let outcome = match decision.outcome {
        MatchOutcome::Match(_) => MatchOutcome::Match(0),
        MatchOutcome::Review(_) => MatchOutcome::Review(0),
        MatchOutcome::None => MatchOutcome::None,
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
        roster: Arc::clone(roster),
        rules: Arc::clone(rules),
        asked,
    })
}

/// The profiles that have one of these keys and are not in `known`. A profile in an older format is rewritten at the next start; until then
/// its member is not found.
fn look_up(
    db: &mut Db,
    keys: &[LookupKey],
    known: &[i64],
    sight: &mut FirstLook,
) -> Result<Vec<(i64, Cow<'static, Profile>)>, Failure> {
    sight.look.blocks.read(db, keys)?;
    let mut numbers = sight.look.blocks.sharing(keys);
    numbers.retain(|no| !known.contains(no));
    let mut held = Vec::with_capacity(numbers.len());
    let mut add = |no: i64, bytes: &[u8]| {
        if let Some(profile) = Profile::unpack(bytes) {
            held.push((no, Cow::Owned(profile)));
        }
    };
    numbers.retain(|no| match sight.member(*no) {
        Some(seen) => {
            add(*no, &seen.profile);
            false
        }
        None => true,
    });
    for (no, bytes) in profiles(db, &numbers)? {
        add(no, &bytes);
    }
    held.sort_unstable_by_key(|(no, _)| *no);
    Ok(held)
}

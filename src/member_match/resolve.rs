//! The third step: reads what a reviewer decided about this question before, and how the partner's number is linked. It only reads;
//! [`decide`](super::decide) uses the result.

use super::asked::MatchAsked;
use super::decide::{KnownOfPair, MatcherResult as Matched};
use super::identify::{Identified, Judgement};
use crate::error::Failure;
use crate::identity::MatchOutcome;
use crate::identity::graph::{self, Origin, PersonLink};
use crate::review::ReviewState;
use crate::store::matching::{self, PossibleMember};
use crate::store::reviews::{self, ReviewRow, ReviewStanding};
use crate::store::{Db, links, members};

/// What reviewers decided before, with the rows that hold it.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolution {
    /// The review of this question.
    pub standing: Option<ReviewStanding>,
    /// The member whom a reviewer confirmed, or else the one whom the matcher found and no reviewer rejected.
    pub member: Option<PossibleMember>,
    /// The identity links of the partner's number.
    pub held: Vec<PersonLink>,
    /// The review of a withheld member for which no request has come in yet.
    pub unasked: Option<ReviewRow>,
    is_rejected: bool,
    is_withheld: bool,
    is_contested: bool,
}

impl Resolution {
    /// The state of the review of this question.
    pub(super) fn state(&self) -> Option<ReviewState> {
        let standing = self.standing.as_ref()?;
        ReviewState::parse(&standing.state)
    }

    /// Id and state of the review of this question, if there is one.
    pub(super) fn review(&self) -> Option<(&str, &str)> {
        let standing = self.standing.as_ref()?;
        Some((&standing.id, &standing.state))
    }

    fn known(&self, identified: &Judgement) -> KnownOfPair {
        KnownOfPair {
            found: match identified.outcome {
                MatchOutcome::Match(_) => Matched::Member,
                MatchOutcome::Review(_) => Matched::Doubtful,
                MatchOutcome::None => Matched::Nobody,
            },
            review: self.state(),
            is_confirmed_here: self.state() == Some(ReviewState::Confirmed) && self.member.is_some(),
            is_rejected: self.is_rejected,
            is_withheld: self.is_withheld,
            is_contested: self.is_contested,
            is_revoked: self
                .member
                .as_ref()
                .and_then(|member| member.known.as_ref())
                .is_some_and(|known| known.revoked),
        }
    }
}

/// Reads what reviewers decided about a question. Returns it with everything that the decision depends on.
///
/// # Errors
/// Those of the database.
pub(super) fn resolve(
    db: &mut Db,
    asked: &MatchAsked,
    identified: &Identified,
) -> Result<(Resolution, KnownOfPair), Failure> {
    let resolution = read(db, asked, identified)?;
    let known = resolution.known(&identified.judgement);
    Ok((resolution, known))
}

fn read(db: &mut Db, asked: &MatchAsked, identified: &Identified) -> Result<Resolution, Failure> {
    let wanted = &asked.wanted;
    let (identified, sight) = (&identified.judgement, &identified.sight);
    let partner = wanted.partner_id.as_str();
    let mut resolution = Resolution {
        standing: sight.look.standing.clone(),
        held: sight.look.links.clone(),
        ..Resolution::default()
    };
    let matched = identified.matched();
    let state = resolution.state();
    match (state, &resolution.standing, matched) {
        (Some(ReviewState::Confirmed), Some(standing), _) => {
            resolution.member = match &standing.patient_id {
                Some(patient) => confirmed(db, asked, identified, patient)?,
                None => None,
            };
        }
        (Some(ReviewState::Rejected), Some(standing), Some(chosen)) => {
            let candidates = reviews::candidates(db, &standing.id)?;
            resolution.is_rejected = candidates.iter().any(|one| one.patient_id == chosen.patient_id);
            resolution.member = matched.filter(|_| !resolution.is_rejected).cloned();
        }
        (Some(state), ..) if state.is_waiting() => {}
        _ => resolution.member = matched.cloned(),
    }
    let Some(member) = &resolution.member else {
        return Ok(resolution);
    };
    resolution.is_contested = is_contested(&resolution.held, &member.patient_id);
    resolution.is_withheld = match sight.member(member.compartment) {
        Some(seen) => seen.is_withheld,
        None => links::withheld(db, partner, &member.patient_id)?,
    };
    if resolution.is_withheld && resolution.standing.is_none() {
        resolution.unasked = reviews::unasked(db, partner, &member.patient_id)?;
    }
    Ok(resolution)
}

/// The member whom a reviewer confirmed, if this payer still has that member.
fn confirmed(
    db: &mut Db,
    asked: &MatchAsked,
    identified: &Judgement,
    patient: &str,
) -> Result<Option<PossibleMember>, Failure> {
    if let Some(found) = identified.named.iter().find(|found| found.patient_id == patient) {
        return Ok(Some(found.clone()));
    }
    let Some(no) = members::compartment_of(db, patient)? else {
        return Ok(None);
    };
    let wanted = &asked.wanted;
    let named = matching::named(db, &[no], &wanted.partner_id, &wanted.consent_digest)?;
    Ok(named.into_iter().next())
}

/// Whether a reviewer decided that the partner's number is not this member's, or that it is another member's. The matcher never overrules
/// that.
fn is_contested(held: &[PersonLink], patient_id: &str) -> bool {
    held.iter().any(|link| {
        let by_person = link.origin != Origin::Match;
        let here = link.patient_id == patient_id;
        by_person
            && match link.state {
                graph::State::Retired => here,
                graph::State::Confirmed => !here && link.from.kind == graph::Kind::Member,
                _ => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::graph::{Kind, SourceId};

    fn link(patient_id: &str, kind: Kind, state: graph::State, origin: Origin) -> PersonLink {
        PersonLink {
            id: "l".into(),
            from: SourceId {
                source: "p".into(),
                kind,
                system: String::new(),
                value: "N1".into(),
            },
            patient_id: patient_id.into(),
            state,
            confidence: 1000,
            origin,
            decision_id: None,
            review_id: None,
            from_ms: 0,
            until_ms: None,
            version: 1,
        }
    }

    #[test]
    fn only_a_persons_word_contests_a_match() {
        for kind in [Kind::Member, Kind::Subscriber] {
            for state in graph::State::ALL {
                for origin in Origin::ALL {
                    for patient in ["here", "there"] {
                        let contested = is_contested(&[link(patient, kind, *state, *origin)], "here");
                        let wanted = *origin != Origin::Match
                            && match (patient, state) {
                                ("here", graph::State::Retired) => true,
                                ("there", graph::State::Confirmed) => kind == Kind::Member,
                                _ => false,
                            };
                        assert_eq!(contested, wanted, "{kind:?} {state:?} {origin:?} {patient}");
                    }
                }
            }
        }
        assert!(!is_contested(&[], "here"));
    }
}

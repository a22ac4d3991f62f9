//! The identity graph: edges between the numbers that a source knows a person by and members of ours, and how they may move.
//!
//! Records are never merged and no edge is ever written over: a step says what each edge was before and what it is after, so
//! every step can be taken back and gives the very state before it. Pure: whoever calls reads the edges and keeps the changes.

use crate::error::{Failure, Fault};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $code:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $code)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word in the store and in interfaces.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$variant => $code,)+
                }
            }

            /// The one of this word.
            pub fn parse(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

words! {
    /// How an edge stands.
    State {
        /// It may be; a person has to say.
        Candidate => "candidate",
        /// It is so.
        Confirmed => "confirmed",
        /// It was held to be so and is doubted: nothing is decided on it until a person has said.
        Disputed => "disputed",
        /// It was so; the source now uses the number for another member.
        Superseded => "superseded",
        /// It is not so, or not any more.
        Retired => "retired",
    }
}

words! {
    /// What happens to an edge.
    Event {
        /// A review has this member among its candidates.
        Propose => "propose",
        /// The matcher decided it, with no person involved.
        Match => "match",
        /// A person said that it is so.
        Confirm => "confirm",
        /// A person said that it is not so.
        Reject => "reject",
        /// Somebody doubts it.
        Dispute => "dispute",
        /// The same number was confirmed for another member.
        Supersede => "supersede",
        /// The number is not in use any more.
        Retire => "retire",
    }
}

words! {
    /// What a number stands for.
    Kind {
        /// One person.
        Member => "member",
        /// A household: it may lead to several members at once.
        Subscriber => "subscriber",
    }
}

words! {
    /// Where an edge comes from.
    Origin {
        /// An automatic match.
        Match => "match",
        /// A review.
        Review => "review",
        /// An operator's own act.
        Operator => "operator",
    }
}

/// Every move an edge may make; what is not listed is refused. `None` is an edge that is not there.
///
/// Only a person ends a dispute: the matcher's word is what is doubted.
pub const MOVES: &[(Option<State>, Event, State)] = {
    use Event::*;
    use State::*;
    &[
        (None, Propose, Candidate),
        (None, Match, Confirmed),
        (None, Confirm, Confirmed),
        (Some(Candidate), Match, Confirmed),
        (Some(Candidate), Confirm, Confirmed),
        (Some(Candidate), Reject, Retired),
        (Some(Confirmed), Dispute, Disputed),
        (Some(Confirmed), Supersede, Superseded),
        (Some(Confirmed), Retire, Retired),
        (Some(Disputed), Confirm, Confirmed),
        (Some(Disputed), Reject, Retired),
        (Some(Superseded), Match, Confirmed),
        (Some(Superseded), Confirm, Confirmed),
        (Some(Superseded), Retire, Retired),
        (Some(Retired), Propose, Candidate),
        (Some(Retired), Match, Confirmed),
        (Some(Retired), Confirm, Confirmed),
    ]
};

/// The state after `event`, if the move is listed.
pub fn after(from: Option<State>, event: Event) -> Option<State> {
    MOVES
        .iter()
        .find(|(state, what, _)| *state == from && *what == event)
        .map(|(.., to)| *to)
}

/// A number by which a source knows a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceId {
    /// Id of the partner that uses it; empty for numbers of our own, such as the UMB of a second record.
    pub source: String,
    /// What it stands for.
    pub kind: Kind,
    /// Its system; empty when it has none.
    pub system: String,
    /// Its value.
    pub value: String,
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its id, for as long as it is there.
    pub id: String,
    /// The number.
    pub from: SourceId,
    /// Id of the member's Patient.
    pub patient_id: String,
    /// How it stands.
    pub state: State,
    /// Chance that it is right, per mille.
    pub confidence: i64,
    /// Where it comes from.
    pub origin: Origin,
    /// The decision that last moved it.
    pub decision_id: Option<String>,
    /// The review that last moved it.
    pub review_id: Option<String>,
    /// In effect from then on, UTC milliseconds.
    pub from_ms: i64,
    /// In effect until then, UTC milliseconds.
    pub until_ms: Option<i64>,
    /// Counts its moves.
    pub version: i64,
}

/// An edge before and after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before; none when it was not there.
    pub before: Option<Link>,
    /// After; none when it is not there any more.
    pub after: Option<Link>,
}

impl Change {
    /// Id of the edge.
    pub fn link_id(&self) -> &str {
        self.before.as_ref().or(self.after.as_ref()).map_or("", |link| &link.id)
    }

    /// Id of the Patient it leads to.
    pub fn patient_id(&self) -> &str {
        let link = self.before.as_ref().or(self.after.as_ref());
        link.map_or("", |link| &link.patient_id)
    }
}

/// Why an edge moves.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Where the move comes from.
    pub origin: Origin,
    /// Chance that the edge is right, per mille.
    pub confidence: i64,
    /// The decision behind it.
    pub decision_id: Option<String>,
    /// The review behind it.
    pub review_id: Option<String>,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
}

/// Moves the edge from `from` to `patient_id`, where `held` are all edges of that number and `fresh_id` names it if it is new.
///
/// Confirming what is confirmed changes nothing. Confirming a person's number for one member supersedes it for every other;
/// a household's number may lead to many.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when [`MOVES`] does not list the move.
pub fn step(
    held: &[Link],
    from: &SourceId,
    patient_id: &str,
    event: Event,
    cause: &Cause,
    fresh_id: &str,
) -> Result<Vec<Change>, Failure> {
    let confirms = matches!(event, Event::Match | Event::Confirm);
    let before = held.iter().find(|link| link.patient_id == patient_id);
    let mut changes = Vec::new();
    match before {
        Some(link) if confirms && link.state == State::Confirmed => {}
        Some(link) if event == Event::Propose && link.state != State::Retired => {}
        _ => changes.push(moved(before, from, patient_id, event, cause, fresh_id)?),
    }
    if confirms && from.kind == Kind::Member {
        for other in held {
            if other.patient_id != patient_id && other.state == State::Confirmed {
                let kept = Cause {
                    origin: other.origin,
                    confidence: other.confidence,
                    ..cause.clone()
                };
                changes.push(moved(
                    Some(other),
                    from,
                    &other.patient_id,
                    Event::Supersede,
                    &kept,
                    &other.id,
                )?);
            }
        }
    }
    Ok(changes)
}

fn moved(
    before: Option<&Link>,
    from: &SourceId,
    patient_id: &str,
    event: Event,
    cause: &Cause,
    fresh_id: &str,
) -> Result<Change, Failure> {
    let state = after(before.map(|link| link.state), event).ok_or(Fault::LinkMoveRefused)?;
    let begins =
        matches!(state, State::Candidate | State::Confirmed) && before.is_none_or(|link| link.until_ms.is_some());
    let after = Link {
        id: before.map_or_else(|| fresh_id.to_owned(), |link| link.id.clone()),
        from: from.clone(),
        patient_id: patient_id.to_owned(),
        state,
        confidence: cause.confidence.clamp(0, 1000),
        origin: cause.origin,
        decision_id: cause
            .decision_id
            .clone()
            .or_else(|| before.and_then(|link| link.decision_id.clone())),
        review_id: cause
            .review_id
            .clone()
            .or_else(|| before.and_then(|link| link.review_id.clone())),
        from_ms: match before {
            Some(link) if !begins => link.from_ms,
            _ => cause.now_ms,
        },
        until_ms: matches!(state, State::Superseded | State::Retired).then_some(cause.now_ms),
        version: before.map_or(1, |link| link.version + 1),
    };
    Ok(Change {
        before: before.cloned(),
        after: Some(after),
    })
}

/// The changes that undo `changes`, when each edge still is what they left.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when a later step stands on one of them: that one has to be taken back first.
pub fn taken_back(changes: &[Change], now: impl Fn(&str) -> Option<Link>) -> Result<Vec<Change>, Failure> {
    changes
        .iter()
        .rev()
        .map(|change| {
            if now(change.link_id()) == change.after {
                Ok(Change {
                    before: change.after.clone(),
                    after: change.before.clone(),
                })
            } else {
                Err(Failure::new(Fault::LinkMoveRefused).remedy("Take back the later step on this link first."))
            }
        })
        .collect()
}

/// Chance in per mille of a match whose evidence is `bits` over its prior.
pub fn confidence(bits: f64) -> i64 {
    if bits.is_nan() {
        return 0;
    }
    let odds = bits.clamp(-40.0, 40.0).exp2();
    // From 0 to 1000 by its form.
    (odds / (1.0 + odds) * 1000.0).round() as i64
}

/// The bits of such a chance; the nearest to certainty that [`confidence`] tells apart stands for it.
pub fn bits(confidence: i64) -> f64 {
    let chance = (confidence as f64 / 1000.0).clamp(0.0005, 0.9995);
    (chance / (1.0 - chance)).log2()
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;

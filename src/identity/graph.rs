//! The identity graph: links between identifiers that a source uses for a person and members of this payer, and their moves.
//!
//! Records are never merged, and a link's history is never overwritten: a step contains each link before and after it, so every step can be
//! undone and then gives exactly the earlier state. Without side effects: the caller reads the links and stores the changes.

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
            /// All values.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// Returns its code in the store and in interfaces.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$variant => $code,)+
                }
            }

            /// Parses a value from its stored code.
            pub fn parse(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

words! {
    /// The state of a link.
    State {
        /// It may be right; a reviewer must decide.
        Candidate => "candidate",
        /// It is held to be right.
        Confirmed => "confirmed",
        /// It was confirmed and is now doubted: nothing is decided by it until a reviewer has decided.
        Disputed => "disputed",
        /// It was right; the source now uses the identifier for another member.
        Superseded => "superseded",
        /// It is wrong, or no longer right.
        Retired => "retired",
    }
}

words! {
    /// An event of a link.
    Event {
        /// A review has this member among its candidates.
        Propose => "propose",
        /// The matcher confirmed it without a person.
        Match => "match",
        /// A person confirmed it.
        Confirm => "confirm",
        /// A person rejected it.
        Reject => "reject",
        /// Somebody disputes it.
        Dispute => "dispute",
        /// The same identifier was confirmed for another member.
        Supersede => "supersede",
        /// The identifier is no longer in use.
        Retire => "retire",
    }
}

words! {
    /// What an identifier stands for.
    Kind {
        /// One person.
        Member => "member",
        /// A household: the identifier may lead to several members at once.
        Subscriber => "subscriber",
    }
}

words! {
    /// What made the last move of a link.
    Origin {
        /// An automatic match.
        Match => "match",
        /// A review.
        Review => "review",
        /// An operator's command.
        Operator => "operator",
    }
}

/// Every allowed move of a link; all others are refused. `None` means that the link does not exist.
///
/// Only a person can end a dispute, because the matcher's decision is what is doubted.
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

/// Returns the state after `event`; `None` when the move is not allowed.
pub fn after(from: Option<State>, event: Event) -> Option<State> {
    MOVES
        .iter()
        .find(|(state, what, _)| *state == from && *what == event)
        .map(|(.., to)| *to)
}

/// An identifier that a source uses for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceId {
    /// Id of the partner that uses it; empty for this server's own identifiers, such as the UMB of a second record.
    pub source: String,
    /// What it stands for.
    pub kind: Kind,
    /// Its system; empty when it has none.
    pub system: String,
    /// Its value.
    pub value: String,
}

/// A link from an identifier to a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonLink {
    /// Its id.
    pub id: String,
    /// The identifier.
    pub from: SourceId,
    /// Id of the member's Patient.
    pub patient_id: String,
    /// Its state.
    pub state: State,
    /// Probability that it is right, per mille.
    pub confidence: i64,
    /// What made its last move.
    pub origin: Origin,
    /// The decision that last changed it.
    pub decision_id: Option<String>,
    /// The review that last changed it.
    pub review_id: Option<String>,
    /// When it came into effect, UTC milliseconds.
    pub from_ms: i64,
    /// When its effect ended, UTC milliseconds; `None` while it is in effect.
    pub until_ms: Option<i64>,
    /// Counts its changes, from 1.
    pub version: i64,
}

/// A link before and after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// Before; `None` when it did not exist.
    pub before: Option<PersonLink>,
    /// After; `None` when it no longer exists.
    pub after: Option<PersonLink>,
}

impl LinkChange {
    /// Returns the id of the link.
    pub fn link_id(&self) -> &str {
        self.before.as_ref().or(self.after.as_ref()).map_or("", |link| &link.id)
    }

    /// Returns the id of the Patient to which it leads.
    pub fn patient_id(&self) -> &str {
        let link = self.before.as_ref().or(self.after.as_ref());
        link.map_or("", |link| &link.patient_id)
    }
}

/// The cause of a move.
#[derive(Clone, Debug)]
pub struct Cause {
    /// What makes the move.
    pub origin: Origin,
    /// Probability that the link is right, per mille.
    pub confidence: i64,
    /// The decision behind it.
    pub decision_id: Option<String>,
    /// The review behind it.
    pub review_id: Option<String>,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
}

/// Moves the link from `from` to `patient_id` and returns all changes. `held` must be all
/// links of that identifier; `fresh_id` is the id of a new link.
///
/// Confirming a confirmed link changes nothing. Confirming a person's identifier for one member supersedes its confirmed links to all
/// others; a household's identifier may lead to several members.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when [`MOVES`] does not allow the move.
pub fn step(
    held: &[PersonLink],
    from: &SourceId,
    patient_id: &str,
    event: Event,
    cause: &Cause,
    fresh_id: &str,
) -> Result<Vec<LinkChange>, Failure> {
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
    before: Option<&PersonLink>,
    from: &SourceId,
    patient_id: &str,
    event: Event,
    cause: &Cause,
    fresh_id: &str,
) -> Result<LinkChange, Failure> {
    let state = after(before.map(|link| link.state), event).ok_or(Fault::LinkMoveRefused)?;
    let begins =
        matches!(state, State::Candidate | State::Confirmed) && before.is_none_or(|link| link.until_ms.is_some());
    let after = PersonLink {
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
    Ok(LinkChange {
        before: before.cloned(),
        after: Some(after),
    })
}

/// Returns the changes that undo `changes`. Each link must still be as `changes` left it; `now` returns a link as it is.
///
/// # Errors
/// [`Fault::LinkMoveRefused`] when a later step has changed one of the links: that step must be undone first.
pub fn taken_back(
    changes: &[LinkChange],
    now: impl Fn(&str) -> Option<PersonLink>,
) -> Result<Vec<LinkChange>, Failure> {
    changes
        .iter()
        .rev()
        .map(|change| {
            if now(change.link_id()) == change.after {
                Ok(LinkChange {
                    before: change.after.clone(),
                    after: change.before.clone(),
                })
            } else {
                Err(Failure::new(Fault::LinkMoveRefused).remedy("Take back the later step on this link first."))
            }
        })
        .collect()
}

/// Returns the probability, per mille, of a match with `bits` of evidence beyond its prior.
pub fn confidence(bits: f64) -> i64 {
    if bits.is_nan() {
        return 0;
    }
    let odds = bits.clamp(-40.0, 40.0).exp2();
    // The formula gives values from 0 to 1000.
    (odds / (1.0 + odds) * 1000.0).round() as i64
}

/// Returns the bits of a probability per mille; 0 and 1000 become the nearest values that [`confidence`] can still distinguish.
pub fn bits(confidence: i64) -> f64 {
    let chance = (confidence as f64 / 1000.0).clamp(0.0005, 0.9995);
    (chance / (1.0 - chance)).log2()
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;

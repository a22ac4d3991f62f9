//! A reviewer's command on a review: the act, who performs it and why; and the result.

use super::state::ReviewState;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::telemetry::Correlation;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;
/// Longest name of an operator, in characters.
const OPERATOR_MAX: usize = 64;
/// Shortest and longest time for which a review can be deferred.
const DEFER_LEAST_MS: i64 = 60_000;
const DEFER_MOST_MS: i64 = 30 * 86_400_000;

/// How a command names a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// By its place in the review, from 1.
    Place(i64),
    /// By the id of its Patient.
    Patient(String),
}

impl Choice {
    /// Parses a number from 1 to 99 as a place, and anything else as the id of a Patient.
    pub fn parse(text: &str) -> Choice {
        match text.parse::<i64>() {
            Ok(place) if (1..=99).contains(&place) => Choice::Place(place),
            _ => Choice::Patient(text.trim_start_matches("Patient/").to_owned()),
        }
    }
}

/// The act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The person whom the request means is this candidate.
    Confirm(Choice),
    /// None of the candidates is the person.
    Reject,
    /// Look at the review again after this many milliseconds.
    Defer(i64),
    /// The operator takes charge of the review.
    Take,
    /// The decision is doubted: links are disputed, grants are revoked, and the review is open again.
    Reopen,
}

/// Who acts, and why.
#[derive(Clone, Debug)]
pub struct ReviewActor {
    /// Name of the operator, as given with the command.
    pub operator: String,
    /// The authenticated user: the name of the token, or the user of the host.
    pub hand: String,
    /// The reason.
    pub reason: String,
    /// Digest of the operator token, when the command came with one.
    pub token: Option<[u8; 32]>,
    /// The ids of the request or command.
    pub correlation: Correlation,
}

impl ReviewActor {
    /// Refuses a name or reason that is empty, too long, or more than one line.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let plain = |text: &str, most: usize| text.chars().count() <= most && is_one_line(text);
        if !plain(&self.operator, OPERATOR_MAX) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("operator")
                .remedy("Name the operator in 1 to 64 characters."));
        }
        if !plain(&self.reason, REASON_MAX) {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("reason")
                .remedy("Give a reason of 1 to 500 characters."));
        }
        Ok(())
    }
}

/// An act on one review.
#[derive(Clone, Debug)]
pub struct ReviewerCommand {
    /// Id of the review.
    pub review: String,
    /// The act.
    pub act: Act,
    /// Who acts, and why.
    pub by: ReviewActor,
    /// The version that the operator saw; the act is refused when the review has changed since.
    pub seen: Option<i64>,
}

/// The review after an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its state.
    pub state: ReviewState,
    /// How many grants were revoked or restored.
    pub grants: usize,
    /// Its version.
    pub version: i64,
}

impl ReviewerCommand {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.by.check()?;
        match self.act {
            Act::Defer(wait_ms) if !(DEFER_LEAST_MS..=DEFER_MOST_MS).contains(&wait_ms) => {
                Err(Failure::new(Fault::ParameterInvalid)
                    .at("defer")
                    .remedy("Put a review off by a minute at least and 30 days at most."))
            }
            _ => Ok(()),
        }
    }
}

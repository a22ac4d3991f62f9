//! What tables of retries and escalation would have decided for the attempts of an exchange, from their rows. Without side effects.
//!
//! A row holds the class of a failure, its round and its place in it, and times; it holds neither the random part of a wait nor what the
//! partner asked for by `Retry-After`. So a wait is told by its upper limit.

use super::conclude::OK;
use super::retry::{Follows, next_attempt_ms, next_round_ms};
use super::steps::StepName;
use super::tables::ExchangeTables;
use crate::store::exchanges::AttemptRow;

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowedBy {
    /// Another attempt in the same round, after this many milliseconds at most.
    Again(i64),
    /// A new round, after this many milliseconds at least.
    NewRound(i64),
    /// An operator.
    Operator,
    /// The end of the exchange.
    End,
}

impl FollowedBy {
    /// Its name.
    pub const fn code(self) -> &'static str {
        match self {
            FollowedBy::Again(_) => "again",
            FollowedBy::NewRound(_) => "new-round",
            FollowedBy::Operator => "operator",
            FollowedBy::End => "end",
        }
    }

    /// The wait, milliseconds.
    pub const fn wait_ms(self) -> Option<i64> {
        match self {
            FollowedBy::Again(wait_ms) | FollowedBy::NewRound(wait_ms) => Some(wait_ms),
            FollowedBy::Operator | FollowedBy::End => None,
        }
    }
}

/// A failed attempt, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayedAttempt {
    /// Number of the attempt in the exchange.
    pub number: i64,
    /// The step.
    pub step: String,
    /// The round.
    pub round: i64,
    /// The attempt in the round.
    pub attempt: i64,
    /// The class of the failure.
    pub class: String,
    /// What its own tables decide; `None` for a class that they do not have.
    pub decided: Option<FollowedBy>,
    /// What the other tables decide.
    pub would: Option<FollowedBy>,
}

/// Decides each failed attempt of an exchange, which began at `created_ms` (UTC milliseconds), by its own tables and by other ones.
pub fn replayed(
    created_ms: i64,
    attempts: &[AttemptRow],
    own: &ExchangeTables,
    other: &ExchangeTables,
) -> Vec<ReplayedAttempt> {
    let mut found = Vec::new();
    for (at, row) in attempts.iter().enumerate() {
        let (Some(class), Some(ended_ms)) = (row.class.as_deref(), row.ended_ms) else {
            continue;
        };
        if class == OK || class == "not-reached" {
            continue;
        }
        let case = Case {
            row,
            class,
            ended_ms,
            began_ms: began_ms(created_ms, attempts, row.round),
            was_unauthorized: class == "unauthorized"
                && at > 0
                && attempts[at - 1].round == row.round
                && attempts[at - 1].class.as_deref() == Some(class),
        };
        found.push(ReplayedAttempt {
            number: row.number,
            step: row.step.clone(),
            round: row.round,
            attempt: row.attempt,
            class: class.to_owned(),
            decided: case.by(own),
            would: case.by(other),
        });
    }
    found
}

/// When the time of a round began: with the exchange, or with the first attempt of the round.
fn began_ms(created_ms: i64, attempts: &[AttemptRow], round: i64) -> i64 {
    if round <= 1 {
        return created_ms;
    }
    let first = attempts.iter().find(|row| row.round == round);
    first.map_or(created_ms, |row| row.started_ms)
}

struct Case<'r> {
    row: &'r AttemptRow,
    class: &'r str,
    ended_ms: i64,
    began_ms: i64,
    was_unauthorized: bool,
}

impl Case<'_> {
    fn by(&self, tables: &ExchangeTables) -> Option<FollowedBy> {
        let class = tables.class(self.class)?;
        let step = tables.rule(StepName::parse(&self.row.step)?);
        let round = small(self.row.round);
        let deadline_ms = self.began_ms + tables.escalation.automatic_ms;
        Some(match class.follows {
            Follows::Person => FollowedBy::Operator,
            Follows::Final => FollowedBy::End,
            Follows::NewRound => {
                let of = match self.class {
                    "spool-lost" => tables.rule(StepName::Retrieve),
                    _ => step,
                };
                match next_round_ms(of, round, None) {
                    Some(wait_ms) => FollowedBy::NewRound(wait_ms),
                    None if self.class == "no-match" => FollowedBy::End,
                    None => FollowedBy::Operator,
                }
            }
            Follows::FreshToken if self.was_unauthorized => FollowedBy::Operator,
            Follows::Repeat | Follows::FreshToken => {
                let mut class = *class;
                if class.follows == Follows::FreshToken {
                    // A refused token is counted by the rule above alone.
                    class.attempts = u32::MAX;
                }
                let failed = small(self.row.attempt);
                let wait = |unit| next_attempt_ms(step, &class, failed, None, unit);
                match (wait(0.0), wait(1.0)) {
                    (Some(least_ms), Some(most_ms)) if self.ended_ms + least_ms <= deadline_ms => {
                        FollowedBy::Again(most_ms)
                    }
                    _ => FollowedBy::Operator,
                }
            }
        })
    }
}

fn small(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::tables::{BUILT_IN, of};
    use super::*;
    use crate::exchange::retry::{FAILURE_RULES, text};
    use crate::exchange::step_table::STEP_RULES;

    fn attempt(number: i64, round: i64, place: i64, class: &str, at_ms: i64) -> AttemptRow {
        AttemptRow {
            exchange_id: "x".into(),
            number,
            step: "member_match".into(),
            round,
            attempt: place,
            started_ms: at_ms,
            ended_ms: Some(at_ms),
            class: Some(class.into()),
            fault: None,
            http_status: None,
            partner_request_id: None,
            idempotency_key: "k".into(),
            request_digest: None,
            response_digest: None,
            bytes: 0,
        }
    }

    #[test]
    fn the_same_tables_decide_the_same_and_other_numbers_show_where_they_differ() {
        let rows = [
            attempt(1, 1, 1, "not-sent", 10),
            attempt(2, 1, 2, "not-sent", 1_000),
            attempt(3, 1, 3, "no-match", 3_000),
            attempt(4, 3, 1, "no-match", 200_000_000),
            attempt(5, 3, 1, "unauthorized", 200_000_001),
            attempt(6, 3, 2, "unauthorized", 200_000_002),
            attempt(7, 3, 3, "our-fault", 200_000_003),
            attempt(8, 3, 3, "ok", 200_000_004),
        ];
        let same = replayed(0, &rows, BUILT_IN, BUILT_IN);
        assert!(same.iter().all(|one| one.decided == one.would && one.decided.is_some()));
        let said: Vec<&str> = same
            .iter()
            .filter_map(|one| one.decided)
            .map(FollowedBy::code)
            .collect();
        assert_eq!(
            said,
            ["again", "again", "new-round", "end", "again", "operator", "operator"]
        );
        let once =
            text(FAILURE_RULES, STEP_RULES).replace("not-sent repeat 1000 300000 8", "not-sent repeat 1000 300000 2");
        let strict = of(Some(&once), None).expect("tables");
        let other = replayed(0, &rows, BUILT_IN, &strict);
        let differ: Vec<i64> = other
            .iter()
            .filter(|one| one.decided != one.would)
            .map(|one| one.number)
            .collect();
        assert_eq!(differ, [2]);
        assert_eq!(other[1].would, Some(FollowedBy::Operator));
    }

    #[test]
    fn the_time_of_a_round_ends_by_the_escalation_policy() {
        use crate::exchange::escalation::Escalation;
        let rows = [attempt(1, 1, 1, "not-sent", 2 * 3_600_000)];
        let soon = Escalation {
            automatic_ms: 3_600_000,
        };
        let tables = of(None, Some(soon)).expect("tables");
        let one = &replayed(0, &rows, BUILT_IN, &tables)[0];
        assert_eq!(
            (one.decided.map(FollowedBy::code), one.would),
            (Some("again"), Some(FollowedBy::Operator))
        );
    }
}

//! When a step is tried again: transport failures within a round, business waits in a new round. Tables and computations; pure.
//!
//! The tables are a policy version: [`version`] is the digest of their text, and every exchange and ledger entry names it.

use super::clocks::{QUARTER_MONTHS, RUN_OFF_DAYS};
use super::step_table::{STEP_RULES, StepRule};
use super::steps::TransportFailure;
use crate::jobs::retry::{RetryRule, wait_ms};
use crate::secret::{hex, sha256};
use std::sync::LazyLock;

/// What follows from a class of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// Another attempt with the same key after a wait.
    Repeat,
    /// Another attempt in a new session, with a fresh token; once, unless something came with it.
    FreshToken,
    /// A new round after hours or days.
    NewRound,
    /// The end of the exchange.
    Final,
    /// A person.
    Person,
}

impl Follows {
    /// Its name in `causeway states`.
    pub const fn code(self) -> &'static str {
        match self {
            Follows::Repeat => "repeat",
            Follows::FreshToken => "fresh-token",
            Follows::NewRound => "new-round",
            Follows::Final => "final",
            Follows::Person => "person",
        }
    }
}

/// A class of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRule {
    /// Its code, in the rows of steps, in the ledger and in metrics.
    pub code: &'static str,
    /// What follows.
    pub follows: Follows,
    /// Upper limit of the first wait, milliseconds; it doubles with each further one.
    pub base_ms: u64,
    /// Upper limit of all waits, milliseconds, unless the partner asks for more.
    pub cap_ms: u64,
    /// Most attempts in a round.
    pub attempts: u32,
    /// Whether it says that the partner's server is in trouble, which the circuit breaker counts.
    pub blames_server: bool,
    /// What an operator does with an exchange that is parked for it.
    pub next: &'static str,
}

/// Every class.
pub const FAILURE_RULES: &[FailureRule] = &[
    fails(
        "not-sent",
        Follows::Repeat,
        8,
        true,
        "Make sure that the partner's endpoint answers, then replay.",
    ),
    fails(
        "unknown",
        Follows::Repeat,
        8,
        true,
        "Make sure that the partner's endpoint answers in time, then replay.",
    ),
    fails(
        "told-to-wait",
        Follows::Repeat,
        8,
        true,
        "Ask the partner when it is ready, then replay.",
    ),
    fails(
        "server-fault",
        Follows::Repeat,
        5,
        true,
        "Send the partner its own request ids of the attempts, then replay.",
    ),
    fails(
        "unauthorized",
        Follows::FreshToken,
        2,
        false,
        "Make sure that our keys and scopes are registered at the partner, then replay.",
    ),
    fails(
        "spool-lost",
        Follows::NewRound,
        1,
        false,
        "Find out why spooled files were lost or changed, then replay.",
    ),
    fails(
        "timeout",
        Follows::Repeat,
        5,
        true,
        "Find out why the step takes so long, then replay.",
    ),
    fails(
        "no-match",
        Follows::NewRound,
        1,
        false,
        "Correct the member's data, then start the exchange again.",
    ),
    fails(
        "not-yet",
        Follows::NewRound,
        1,
        false,
        "Ask the partner for the rest, then replay.",
    ),
    fails(
        "refused",
        Follows::Final,
        1,
        false,
        "Look up the fault, and start the exchange again when its cause is gone.",
    ),
    fails(
        "our-fault",
        Follows::Person,
        1,
        false,
        "Look up the fault, end its cause, then replay.",
    ),
    fails(
        "person",
        Follows::Person,
        1,
        false,
        "Look at the exchange, then replay or close it.",
    ),
    FailureRule {
        base_ms: 60_000,
        cap_ms: 3_600_000,
        ..fails(
            "own-trouble",
            Follows::Repeat,
            8,
            false,
            "Look for the cause in this server's log and store, then replay.",
        )
    },
];

const fn fails(
    code: &'static str,
    follows: Follows,
    attempts: u32,
    blames_server: bool,
    next: &'static str,
) -> FailureRule {
    FailureRule {
        code,
        follows,
        base_ms: 1_000,
        cap_ms: 300_000,
        attempts,
        blames_server,
        next,
    }
}

/// A partner that asks for a longer wait than this gets an operator instead, milliseconds.
pub const RETRY_AFTER_MOST_MS: u64 = 3_600_000;

/// The class with this code.
pub fn class(code: &str) -> Option<&'static FailureRule> {
    FAILURE_RULES.iter().find(|rule| rule.code == code)
}

/// The class of a transport failure.
pub fn class_of(failure: TransportFailure) -> &'static FailureRule {
    let row = match failure {
        TransportFailure::NotSent => 0,
        TransportFailure::Unknown => 1,
        TransportFailure::ToldToWait => 2,
        TransportFailure::ServerFault => 3,
        TransportFailure::Unauthorized => 4,
    };
    &FAILURE_RULES[row]
}

/// The wait before the next attempt, milliseconds; `None` when there is none.
///
/// `failed` attempts of this round have failed, this one included. `unit` is a random number in `0.0..1.0`.
pub fn next_attempt_ms(
    step: &StepRule,
    class: &FailureRule,
    failed: u32,
    retry_after_ms: Option<u64>,
    unit: f64,
) -> Option<i64> {
    if retry_after_ms.is_some_and(|asked| asked > RETRY_AFTER_MOST_MS) {
        return None;
    }
    let row = RetryRule {
        code: class.code,
        base_ms: class.base_ms,
        cap_ms: class.cap_ms,
        attempts: class.attempts.min(step.attempts),
        next: class.next,
    };
    wait_ms(&row, failed, retry_after_ms, unit).map(|wait| i64::try_from(wait).unwrap_or(i64::MAX))
}

/// The wait before the next round, milliseconds; `None` when the rounds are over. `round` is the one that has just ended, from 1.
pub fn next_round_ms(step: &StepRule, round: u32, retry_after_ms: Option<u64>) -> Option<i64> {
    let asked = i64::try_from(retry_after_ms.unwrap_or(0)).unwrap_or(i64::MAX);
    (round < step.rounds).then_some(step.round_ms.max(asked.min(step.round_ms.saturating_mul(2))))
}

/// The text of the tables, from which [`version`] is made.
pub fn text() -> String {
    let mut text = String::new();
    for rule in FAILURE_RULES {
        text.push_str(&format!(
            "{} {} {} {} {}\n",
            rule.code,
            rule.follows.code(),
            rule.base_ms,
            rule.cap_ms,
            rule.attempts
        ));
    }
    for rule in STEP_RULES {
        text.push_str(&format!(
            "{} {} {} {} {}\n",
            rule.step.code(),
            rule.timeout_ms,
            rule.attempts,
            rule.rounds,
            rule.round_ms
        ));
    }
    text.push_str(&format!("run-off {RUN_OFF_DAYS:?} quarter {QUARTER_MONTHS}\n"));
    text
}

/// The name of this version of the tables: `default-` and the first 16 hexadecimal digits of the SHA-256 of their text.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| format!("default-{}", &hex(&sha256(text().as_bytes()))[..16]));
    &VERSION
}

#[cfg(test)]
mod tests {
    use super::super::step_table::rule;
    use super::super::steps::StepName;
    use super::*;

    #[test]
    fn nothing_is_tried_for_ever() {
        for step in STEP_RULES {
            for class in FAILURE_RULES {
                assert_eq!(
                    next_attempt_ms(step, class, 8, None, 0.5),
                    None,
                    "{} {}",
                    step.step.code(),
                    class.code
                );
            }
            assert_eq!(next_round_ms(step, step.rounds, Some(1)), None);
        }
    }

    #[test]
    fn the_partner_wish_is_a_lower_bound_and_a_wish_of_more_than_an_hour_is_for_an_operator() {
        let (step, class) = (rule(StepName::Retrieve), class_of(TransportFailure::ToldToWait));
        assert_eq!(next_attempt_ms(step, class, 1, Some(60_000), 0.0), Some(60_000));
        assert_eq!(next_attempt_ms(step, class, 1, Some(60_000), 1.0), Some(66_000));
        assert_eq!(next_attempt_ms(step, class, 1, Some(315_360_000_000), 0.0), None);
    }

    #[test]
    fn a_refused_token_is_replaced_once() {
        let (step, class) = (rule(StepName::MemberMatch), class_of(TransportFailure::Unauthorized));
        assert!(next_attempt_ms(step, class, 1, None, 0.0).is_some());
        assert_eq!(next_attempt_ms(step, class, 2, None, 0.0), None);
    }

    #[test]
    fn no_match_is_asked_again_at_most_twice_a_day_apart() {
        let step = rule(StepName::MemberMatch);
        assert_eq!(next_round_ms(step, 1, None), Some(86_400_000));
        assert_eq!(next_round_ms(step, 2, None), Some(86_400_000));
        assert_eq!(next_round_ms(step, 3, None), None);
    }

    #[test]
    fn classes_are_read_back_and_the_version_is_the_digest_of_the_tables() {
        for rule in FAILURE_RULES {
            assert_eq!(class(rule.code), Some(rule));
        }
        let version = version();
        assert!(version.starts_with("default-") && version.len() == 24, "{version}");
    }
}

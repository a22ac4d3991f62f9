//! The table of steps: time limit, attempts, rounds, what a repetition costs, and what takes the step back. Pure.

use super::steps::StepName;

/// What is fixed about a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRule {
    /// The step.
    pub step: StepName,
    /// Time limit of one attempt, milliseconds.
    pub timeout_ms: u64,
    /// Most attempts in one round, whatever the class of the failure; a class may allow fewer.
    pub attempts: u32,
    /// Most rounds.
    pub rounds: u32,
    /// Time between two rounds, milliseconds.
    pub round_ms: i64,
    /// What takes its effect back.
    pub compensation: &'static str,
    /// Why it may run again.
    pub safe_because: &'static str,
}

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// Every step, in order.
pub const STEP_RULES: &[StepRule] = &[
    StepRule {
        step: StepName::FindPartner,
        timeout_ms: MINUTE_MS,
        attempts: 8,
        rounds: 1,
        round_ms: 0,
        compensation: "none is needed",
        safe_because: "it only reads public documents",
    },
    StepRule {
        step: StepName::Token,
        timeout_ms: MINUTE_MS,
        attempts: 8,
        rounds: 1,
        round_ms: 0,
        compensation: "none is needed: an unused token expires",
        safe_because: "each request gets a new token, and each assertion has its own id",
    },
    StepRule {
        step: StepName::MemberMatch,
        timeout_ms: MINUTE_MS,
        attempts: 8,
        rounds: 3,
        round_ms: 24 * HOUR_MS,
        compensation: "none is possible: the partner has seen the question; its grant ends with the consent",
        safe_because: "all attempts send the same bytes with the same key; a partner that does not know the key judges the same member again",
    },
    StepRule {
        step: StepName::MemberToken,
        timeout_ms: MINUTE_MS,
        attempts: 8,
        rounds: 1,
        round_ms: 0,
        compensation: "none is needed: an unused token expires",
        safe_because: "each request gets a new token, and each assertion has its own id",
    },
    StepRule {
        step: StepName::Retrieve,
        timeout_ms: 30 * MINUTE_MS,
        attempts: 8,
        rounds: 7,
        round_ms: 12 * HOUR_MS,
        compensation: "the export job is deleted at the partner, and spooled data is dropped",
        safe_because: "it only reads; a body and the place where the record goes on are kept together, so what is kept is not asked for again",
    },
    StepRule {
        step: StepName::Check,
        timeout_ms: 30 * MINUTE_MS,
        attempts: 5,
        rounds: 3,
        round_ms: 0,
        compensation: "none is needed: nothing is stored yet",
        safe_because: "it only computes from spooled data",
    },
    StepRule {
        step: StepName::Store,
        timeout_ms: 30 * MINUTE_MS,
        attempts: 5,
        rounds: 3,
        round_ms: 0,
        compensation: "everything that the exchange stored is removed",
        safe_because: "a resource of one partner, type, id and version is stored once",
    },
    StepRule {
        step: StepName::Acknowledge,
        timeout_ms: MINUTE_MS,
        attempts: 8,
        // Its rounds go on from those of the retrieval.
        rounds: 14,
        round_ms: 4 * HOUR_MS,
        compensation: "none is needed",
        safe_because: "it sends nothing: an answer that was read to its end is its own receipt",
    },
];

/// The rule of a step.
pub fn rule(step: StepName) -> &'static StepRule {
    STEP_RULES
        .iter()
        .find(|rule| rule.step == step)
        // Every step has a row, which a test checks; the last row has the tightest limits.
        .unwrap_or(&STEP_RULES[STEP_RULES.len() - 1])
}

/// The steps that a session must have done before it can do `step`, in order.
pub const fn needs(step: StepName) -> &'static [StepName] {
    match step {
        StepName::MemberMatch => &[StepName::FindPartner, StepName::Token],
        StepName::Retrieve | StepName::Acknowledge => &[StepName::FindPartner, StepName::Token, StepName::MemberToken],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_one_row_and_a_limit() {
        for step in StepName::ALL {
            let rows: Vec<_> = STEP_RULES.iter().filter(|rule| rule.step == *step).collect();
            assert_eq!(rows.len(), 1, "{step:?}");
            assert!(rows[0].timeout_ms > 0 && rows[0].attempts > 0 && rows[0].rounds > 0);
            assert_eq!(rule(*step).step, *step);
            assert!(!rows[0].safe_because.is_empty() && !rows[0].compensation.is_empty());
        }
    }

    #[test]
    fn only_steps_that_do_not_last_are_needed_by_others() {
        for step in StepName::ALL {
            assert!(needs(*step).iter().all(|needed| !needed.is_lasting()), "{step:?}");
            assert!(step.is_lasting() || needs(*step).is_empty());
        }
    }
}

//! Reads the text of retry tables. Without side effects.
//!
//! A text has a row for each class of failures and for each step, and no other. Only numbers may differ from what ships, and only within
//! bounds: what follows from a failure, and the calendar, are code.

use super::retry::{FAILURE_RULES, FailureRule, calendar, text};
use super::step_table::{STEP_RULES, StepRule};
use crate::policy::TextError;
use std::ops::RangeInclusive;

const HOUR_MS: u64 = 3_600_000;
/// Attempts in a round. A partner is never asked without end.
const ATTEMPTS: RangeInclusive<u64> = 1..=20;
/// Upper limit of the first wait.
const BASE_MS: RangeInclusive<u64> = 100..=HOUR_MS;
/// Upper limit of all waits.
const CAP_MS: RangeInclusive<u64> = 1_000..=24 * HOUR_MS;
/// Time limit of an attempt.
const TIMEOUT_MS: RangeInclusive<u64> = 1_000..=HOUR_MS;
/// Rounds of a step.
const ROUNDS: RangeInclusive<u64> = 1..=30;
/// Longest time between two rounds.
const ROUND_MS_MOST: u64 = 7 * 24 * HOUR_MS;

/// The rows of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryRows {
    /// The classes of failures, in the order of those that ship.
    pub failures: Vec<FailureRule>,
    /// The steps, in the order of those that ship.
    pub steps: Vec<StepRule>,
}

impl Default for RetryRows {
    fn default() -> RetryRows {
        RetryRows {
            failures: FAILURE_RULES.to_vec(),
            steps: STEP_RULES.to_vec(),
        }
    }
}

/// Checks a new text and returns its canonical form.
///
/// # Errors
/// The first line that is unknown, repeated, malformed or out of bounds; line 0 for a row that is missing.
pub fn check(given: &str) -> Result<String, TextError> {
    let (rows, seen) = rows(given)?;
    let codes = FAILURE_RULES.iter().map(|rule| rule.code);
    let keys = codes
        .chain(STEP_RULES.iter().map(|rule| rule.step.code()))
        .chain(["run-off"]);
    match keys.into_iter().find(|key| !seen.iter().any(|known| known == key)) {
        Some(key) => Err(TextError::at(0, format!("the row {key} is missing"))),
        None => Ok(text(&rows.failures, &rows.steps)),
    }
}

/// Reads a text that was checked when it was added, perhaps by another version of the program: what it lacks is as it ships.
///
/// # Errors
/// As [`check`], but for rows that are missing.
pub fn read(given: &str) -> Result<RetryRows, TextError> {
    rows(given).map(|(rows, _)| rows)
}

fn rows(given: &str) -> Result<(RetryRows, Vec<String>), TextError> {
    let (mut rows, mut seen) = (RetryRows::default(), Vec::<String>::new());
    for (number, line) in (1..).zip(given.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let mut words = line.split_whitespace();
        let Some(key) = words.next() else { continue };
        if seen.iter().any(|known| known == key) {
            return Err(TextError::at(number, "this row stands twice"));
        }
        seen.push(key.to_owned());
        let words: Vec<&str> = words.collect();
        if key == "run-off" {
            if line != calendar().trim_end() {
                return Err(TextError::at(
                    number,
                    "the calendar is part of the program: leave this line as it is",
                ));
            }
        } else if let Some(rule) = rows.failures.iter_mut().find(|rule| rule.code == key) {
            failure(rule, &words).map_err(|what| TextError::at(number, what))?;
        } else if let Some(rule) = rows.steps.iter_mut().find(|rule| rule.step.code() == key) {
            step(rule, &words).map_err(|what| TextError::at(number, what))?;
        } else {
            return Err(TextError::at(
                number,
                "there is no class of failures and no step of this name",
            ));
        }
    }
    Ok((rows, seen))
}

fn failure(rule: &mut FailureRule, words: &[&str]) -> Result<(), String> {
    let [follows, base_ms, cap_ms, attempts] = words else {
        return Err(
            "a class of failures has what follows, two waits in milliseconds and a number of attempts".to_owned(),
        );
    };
    if *follows != rule.follows.code() {
        return Err(format!(
            "what follows is part of the program: write {}",
            rule.follows.code()
        ));
    }
    rule.base_ms = within(base_ms, "the first wait", BASE_MS)?;
    rule.cap_ms = within(cap_ms, "the longest wait", CAP_MS)?;
    rule.attempts = small(within(attempts, "the attempts", ATTEMPTS)?);
    match rule.cap_ms < rule.base_ms {
        true => Err("the longest wait is shorter than the first one".to_owned()),
        false => Ok(()),
    }
}

fn step(rule: &mut StepRule, words: &[&str]) -> Result<(), String> {
    let [timeout_ms, attempts, rounds, round_ms] = words else {
        return Err(
            "a step has a time limit in milliseconds, attempts, rounds and a time between rounds in milliseconds"
                .to_owned(),
        );
    };
    rule.timeout_ms = within(timeout_ms, "the time limit", TIMEOUT_MS)?;
    rule.attempts = small(within(attempts, "the attempts", ATTEMPTS)?);
    rule.rounds = small(within(rounds, "the rounds", ROUNDS)?);
    // A step that ships without a wait between its rounds may stay so; any other one waits an hour at least.
    let least = if rule.round_ms == 0 { 0 } else { HOUR_MS };
    let round_ms = within(round_ms, "the time between rounds", least..=ROUND_MS_MOST)?;
    rule.round_ms = i64::try_from(round_ms).unwrap_or(i64::MAX);
    Ok(())
}

fn within(word: &str, what: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let number = word.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| format!("{what} must be a number from {} to {}", bounds.start(), bounds.end()))
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::retry::version;
    use super::*;
    use crate::secret::{hex, sha256};

    fn ships() -> String {
        text(FAILURE_RULES, STEP_RULES)
    }

    #[test]
    fn what_ships_is_canonical_and_its_digest_is_what_exchanges_cite() {
        let ships = ships();
        assert_eq!(check(&ships).as_deref(), Ok(ships.as_str()));
        assert_eq!(read(&ships), Ok(RetryRows::default()));
        assert!(version().ends_with(&hex(&sha256(ships.as_bytes()))[..16]));
        let commented = format!("# ours\n\n{}", ships.replace(" repeat ", "  repeat   "));
        assert_eq!(check(&commented), Ok(ships));
    }

    #[test]
    fn numbers_change_within_bounds_and_nothing_else_does() {
        let changed = ships().replace("not-sent repeat 1000 300000 8", "not-sent repeat 2000 300000 3");
        assert_eq!(check(&changed).as_deref(), Ok(changed.as_str()));
        let rows = read(&changed).expect("rows");
        assert_eq!((rows.failures[0].base_ms, rows.failures[0].attempts), (2_000, 3));
        for (from, to, said) in [
            ("not-sent repeat", "not-sent final", "what follows"),
            ("not-sent repeat 1000", "not-sent repeat 1", "the first wait"),
            (
                "not-sent repeat 1000 300000 8",
                "not-sent repeat 1000 300000 0",
                "attempts",
            ),
            (
                "not-sent repeat 1000 300000 8",
                "not-sent repeat 60000 5000 8",
                "shorter",
            ),
            (
                "not-sent repeat 1000 300000 8",
                "not-sent repeat 1000 300000",
                "two waits",
            ),
            ("not-sent ", "never-sent ", "no class"),
            ("unknown repeat 1000 300000 8\n", "", "missing"),
            ("run-off [30", "run-off [31", "calendar"),
            (
                "member_match 60000 8 3 86400000",
                "member_match 60000 8 3 60000",
                "between rounds",
            ),
        ] {
            let wrong = ships().replacen(from, to, 1);
            assert_ne!(wrong, ships(), "{from}");
            let told = check(&wrong).expect_err(from).what;
            assert!(told.contains(said), "{from}: {told}");
        }
        let twice = ships() + "not-sent repeat 1000 300000 8\n";
        assert!(check(&twice).expect_err("twice").what.contains("twice"));
        let short = ships().replace("unknown repeat 1000 300000 8\n", "");
        assert_eq!(
            read(&short),
            Ok(RetryRows::default()),
            "what a stored text lacks is as it ships"
        );
    }
}

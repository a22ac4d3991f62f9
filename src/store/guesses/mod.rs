//! The counts of the guessing guard: what a partner asked for without finding it, by keyed hash, for a day.
//!
//! One indexed read tells where a guess stands; what it adds is written in the transaction of the match itself, so that all
//! processes agree and a restart forgets nothing. No demographics and no identifier comes in here, only hashes of them.

mod rows;

pub use rows::sweep;

use super::Db;
use super::schema::{guess, guess_lock, guess_tally};
use crate::error::Failure;
use diesel::prelude::*;
use rows::{
    JUDGED, SHARDS, SILENCED, Seen, Standing, TURNED_AWAY, count, mark, raise_alarm, raise_lock, reached, standing,
    tally_failed, tally_granted,
};

/// Targets that one guess may have, the guess as a whole included.
pub const TARGETS: usize = 16;

/// A keyed hash of something that was sent.
pub type Target = [u8; 16];

/// The numbers of the guard (`[policy]`, `guess_…`). Zero switches a limit off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Different failed guesses about one card number, or about one name and birth date.
    pub per_target: i64,
    /// Different failed guesses about what several people share: a name, a subscriber number.
    pub per_shared: i64,
    /// Different failed guesses that came near one and the same record.
    pub per_record: i64,
    /// How long a guess counts, in milliseconds.
    pub window_ms: i64,
    /// Matches of a partner from which on its share of failures means something.
    pub ratio_least: i64,
    /// Share of failures that raises the alarm, in percent.
    pub alarm_percent: i64,
    /// Share of failures that locks the partner's matching, in percent.
    pub lock_percent: i64,
    /// How long a lock lasts, in milliseconds.
    pub lock_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            per_target: 5,
            per_shared: 30,
            per_record: 10,
            window_ms: 86_400_000,
            ratio_least: 50,
            alarm_percent: 20,
            lock_percent: 50,
            lock_ms: 3_600_000,
        }
    }
}

/// What kind of thing a target is, and so which limit it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One person's: a card number, or a name with a birth date.
    Own,
    /// Several people's: a name with a gender, a subscriber number.
    Shared,
}

/// A request as the guard sees it.
#[derive(Clone, Debug)]
pub struct Guess {
    /// Who asks.
    pub partner_id: String,
    /// Everything that identity reads of it; the same again is no new guess.
    pub whole: Target,
    /// What it shares with other guesses; at most [`TARGETS`] less one.
    pub targets: Vec<(Kind, Target)>,
    /// The record that it came nearest to; some hash of no record when it came near none, so that the work is the same.
    pub record: Target,
    /// How the match ended.
    pub end: End,
    /// When it was asked, UTC milliseconds.
    pub now_ms: i64,
}

/// How the match of a guess ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was refused, and told nothing.
    Failed,
    /// A member matched, and the refusal says so: the consent cannot be honoured.
    Withheld,
    /// It was granted.
    Granted {
        /// Id of the member's Patient.
        patient_id: String,
        /// Whether a person confirmed this very question.
        by_person: bool,
    },
}

/// What may be done with a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its answer may go out.
    pub gate: Gate,
    /// What has to be raised because of it, each once.
    pub alarms: Vec<Alarm>,
}

/// Whether an answer may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open,
    /// The partner is told to wait until then (UTC milliseconds). Depends on nothing but what it was answered before.
    Shut(i64),
    /// No member is named; the partner is told what it is told when none is found.
    Silent,
}

/// Something that an operator must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Too many different guesses about one thing that was sent.
    Target,
    /// Too many different guesses near one record.
    Record,
    /// Too large a share of the partner's matches fails.
    Ratio,
    /// The partner's matching is locked from now on.
    Locked,
}

impl Alarm {
    /// The word of log, metric and ledger.
    pub const fn code(self) -> &'static str {
        match self {
            Alarm::Target => "target",
            Alarm::Record => "record",
            Alarm::Ratio => "ratio",
            Alarm::Locked => "locked",
        }
    }
}

/// Judges a guess and counts it, in the caller's transaction.
///
/// # Errors
/// Those of the database.
pub fn weigh(db: &mut Db, guess: &Guess, limits: &Limits) -> Result<Verdict, Failure> {
    let standing = standing(db, guess)?;
    let mut alarms = Vec::new();
    let gate = if standing.locked_until_ms > guess.now_ms {
        Gate::Shut(standing.locked_until_ms)
    } else {
        match (standing.whole, &guess.end) {
            (Some(Seen::TurnedAway(until_ms)), _) => Gate::Shut(until_ms),
            // Nobody guesses what a person was asked to decide.
            (
                _,
                End::Granted {
                    patient_id,
                    by_person: true,
                },
            ) => granted(db, guess, patient_id, limits)?,
            (Some(Seen::Silenced), End::Withheld | End::Granted { .. }) => Gate::Silent,
            (Some(_), End::Failed) => Gate::Open,
            (None, End::Failed) => failed(db, guess, &standing, JUDGED, limits, &mut alarms)?,
            (None, _) => found(db, guess, &standing, limits, &mut alarms)?,
            (Some(_), end) => found_again(db, guess, &standing, end, limits)?,
        }
    };
    // Several targets may reach their limits with one guess.
    alarms.dedup();
    Ok(Verdict { gate, alarms })
}

/// A member was found for a guess that was not seen before.
fn found(
    db: &mut Db,
    guess: &Guess,
    standing: &Standing,
    limits: &Limits,
    alarms: &mut Vec<Alarm>,
) -> Result<Gate, Failure> {
    if let Some(until_ms) = standing.shut_until(guess, limits) {
        return turn_away(db, guess, standing, until_ms, limits, alarms);
    }
    if reached(standing.record, limits.per_record) {
        return Ok(match failed(db, guess, standing, SILENCED, limits, alarms)? {
            Gate::Open => Gate::Silent,
            other => other,
        });
    }
    match &guess.end {
        End::Granted { patient_id, .. } => granted(db, guess, patient_id, limits),
        _ => failed(db, guess, standing, JUDGED, limits, alarms),
    }
}

/// A member was found for a guess that was refused before. Refused again it would get the same answer, so whatever limit is reached
/// since shows in no other one than that.
fn found_again(db: &mut Db, guess: &Guess, standing: &Standing, end: &End, limits: &Limits) -> Result<Gate, Failure> {
    if standing.shut_until(guess, limits).is_some() || reached(standing.record, limits.per_record) {
        mark(db, guess, SILENCED, guess.now_ms + limits.window_ms)?;
        return Ok(Gate::Silent);
    }
    match end {
        End::Granted { patient_id, .. } => granted(db, guess, patient_id, limits),
        _ => Ok(Gate::Open),
    }
}

/// Counts a member that this partner never had before; another consent for the same one is none.
fn granted(db: &mut Db, guess: &Guess, patient_id: &str, limits: &Limits) -> Result<Gate, Failure> {
    tally_granted(db, guess, patient_id, limits)?;
    Ok(Gate::Open)
}

/// Counts a new guess that is refused, or turns it away when too many came before it.
fn failed(
    db: &mut Db,
    guess: &Guess,
    standing: &Standing,
    state: i64,
    limits: &Limits,
    alarms: &mut Vec<Alarm>,
) -> Result<Gate, Failure> {
    if let Some(until_ms) = standing.shut_until(guess, limits) {
        return turn_away(db, guess, standing, until_ms, limits, alarms);
    }
    mark(db, guess, state, guess.now_ms + limits.window_ms)?;
    let mut over = None;
    for (kind, target) in &guess.targets {
        let counted = count(db, guess, target, limits)?;
        let limit = standing.limit(*kind, limits);
        // Only when another request got between the read and this write: they wait for each other here.
        if limit > 0 && counted.guesses > limit {
            over = over.max(Some(counted.until_ms));
            if counted.guesses == limit + 1 {
                alarms.push(Alarm::Target);
            }
        }
    }
    if let Some(until_ms) = over {
        mark(db, guess, TURNED_AWAY, until_ms)?;
    } else {
        // One that is turned away came near nobody, whichever way it was found to be one too many.
        let near = count(db, guess, &guess.record, limits)?;
        if limits.per_record > 0 && near.guesses == limits.per_record {
            alarms.push(Alarm::Record);
        }
    }
    tally_failed(db, guess, limits)?;
    ratio(db, guess, standing, limits, alarms)?;
    Ok(over.map_or(Gate::Open, Gate::Shut))
}

/// Turns a new guess away, and remembers that it was.
fn turn_away(
    db: &mut Db,
    guess: &Guess,
    standing: &Standing,
    until_ms: i64,
    limits: &Limits,
    alarms: &mut Vec<Alarm>,
) -> Result<Gate, Failure> {
    mark(db, guess, TURNED_AWAY, until_ms)?;
    for (kind, target) in &guess.targets {
        let limit = standing.limit(*kind, limits);
        if reached(standing.of(target), limit) && count(db, guess, target, limits)?.guesses == limit + 1 {
            alarms.push(Alarm::Target);
        }
    }
    tally_failed(db, guess, limits)?;
    ratio(db, guess, standing, limits, alarms)?;
    Ok(Gate::Shut(until_ms))
}

/// Raises the alarm, or locks, when this failure makes the share of failures too large.
fn ratio(
    db: &mut Db,
    guess: &Guess,
    standing: &Standing,
    limits: &Limits,
    alarms: &mut Vec<Alarm>,
) -> Result<(), Failure> {
    let (failed, all) = (standing.failed + 1, standing.failed + standing.granted + 1);
    if limits.ratio_least == 0 || all < limits.ratio_least {
        return Ok(());
    }
    let exceeds = |percent: i64| percent > 0 && failed * 100 >= percent * all;
    let partner = guess.partner_id.as_str();
    let (now_ms, day) = (guess.now_ms, guess.now_ms + limits.window_ms);
    if exceeds(limits.lock_percent) && raise_lock(db, partner, now_ms, now_ms + limits.lock_ms)? {
        alarms.push(Alarm::Locked);
    }
    if exceeds(limits.alarm_percent) && standing.alarmed_until_ms <= now_ms && raise_alarm(db, partner, now_ms, day)? {
        alarms.push(Alarm::Ratio);
    }
    Ok(())
}

/// How a partner stands with the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Different guesses that failed.
    pub failed: i64,
    /// Members newly granted.
    pub granted: i64,
    /// Until when its matching is locked, UTC milliseconds.
    pub locked_until_ms: Option<i64>,
    /// Whether the alarm was raised about its share of failures.
    pub alarmed: bool,
}

/// How a partner stands at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn tallied(db: &mut Db, partner: &str, now_ms: i64) -> Result<Tallied, Failure> {
    let shards: Vec<(i64, i64)> = guess_tally::table
        .filter(guess_tally::partner_id.eq(partner))
        .filter(guess_tally::until_ms.gt(now_ms))
        .select((guess_tally::failed, guess_tally::granted))
        .limit(SHARDS)
        .load(db)?;
    let until: Option<(i64, i64)> = guess_lock::table
        .find(partner)
        .select((guess_lock::alarmed_until_ms, guess_lock::locked_until_ms))
        .first(db)
        .optional()?;
    let (alarmed, locked) = until.unwrap_or_default();
    Ok(Tallied {
        failed: shards.iter().map(|(failed, _)| failed).sum(),
        granted: shards.iter().map(|(_, granted)| granted).sum(),
        locked_until_ms: Some(locked).filter(|locked| *locked > now_ms),
        alarmed: alarmed > now_ms,
    })
}

/// Forgets everything that was counted of a partner, its lock included.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, partner: &str) -> Result<(), Failure> {
    diesel::delete(guess::table.filter(guess::partner_id.eq(partner))).execute(db)?;
    diesel::delete(guess_tally::table.filter(guess_tally::partner_id.eq(partner))).execute(db)?;
    diesel::delete(guess_lock::table.find(partner)).execute(db)?;
    Ok(())
}

/// The partners whose matching is locked at `now_ms`, and until when; at most 10,000.
///
/// # Errors
/// Those of the database.
pub fn locks(db: &mut Db, now_ms: i64) -> Result<Vec<(String, i64)>, Failure> {
    Ok(guess_lock::table
        .filter(guess_lock::locked_until_ms.gt(now_ms))
        .select((guess_lock::partner_id, guess_lock::locked_until_ms))
        .limit(10_000)
        .load(db)?)
}

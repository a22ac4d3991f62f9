//! The counts of the guessing guard: which of a partner's requests found no member, by keyed hash, for one window (a day by default).
//!
//! One indexed read returns the counts of a guess; the new counts are written in the transaction of the match itself, so that all processes
//! agree and a restart loses nothing. Only hashes reach this module, no demographics and no identifier.

mod rows;
mod terms;

pub use rows::sweep;
pub(super) use rows::{granted_binds, granted_text, open_binds, open_text, shard_of};
pub use terms::{End, Guess, GuessKind, GuessLimits, GuessTarget, TARGETS};

use super::Db;
use super::schema::{guess, guess_lock, guess_tally};
use crate::error::Failure;
use diesel::prelude::*;
use rows::{
    GuessSeen, GuessesBefore, JUDGED, SHARDS, SILENCED, TURNED_AWAY, count, mark, raise_alarm, raise_lock, reached,
    share_of_files, standing, tally_failed, tally_granted,
};

/// What the guard allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuessVerdict {
    /// Which answer may be sent.
    pub gate: Gate,
    /// The alarms to raise because of this guess, each once.
    pub alarms: Vec<Alarm>,
}

/// Which answer may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The answer of the match.
    Open,
    /// 429: the partner must wait until this time (UTC milliseconds). It depends only on answers that the partner got before.
    Shut(i64),
    /// The answer for "no member found", although one was found.
    Silent,
}

/// A reason to alert an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Too many different guesses about one thing that the requests sent.
    Target,
    /// Too many different guesses that came near one record.
    Record,
    /// Too large a share of the partner's matches fails.
    Ratio,
    /// The partner's matching is now locked.
    Locked,
}

impl Alarm {
    /// Returns the word used in log, metric and ledger.
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
pub fn weigh(db: &mut Db, guess: &Guess, limits: &GuessLimits) -> Result<GuessVerdict, Failure> {
    let standing = standing(db, guess)?;
    weighed(db, guess, &standing, limits)
}

/// Judges and counts a guess of a bulk match over `members` members, in the caller's transaction. Only the targets count: an honest file is
/// mostly strangers, so neither a lock nor the partner's share of failures has a part in it. The limit of a shared target grows with the file.
///
/// # Errors
/// Those of the database.
pub fn weigh_in_bulk(db: &mut Db, guess: &Guess, limits: &GuessLimits, members: i64) -> Result<GuessVerdict, Failure> {
    let standing = GuessesBefore {
        locked_until_ms: 0,
        bulk_members: Some(members),
        ..standing(db, guess)?
    };
    weighed(db, guess, &standing, limits)
}

/// Raises the alarm about the share of failures in the bulk matches of a window: one of `all` members has ended, of which `failed` were not
/// matched. They are judged together, because small files could be sent instead of a large one; `file` is the digest of the members, and a
/// file that is sent again is not counted again. Returns false when the share is within the limit, or the alarm is raised already.
///
/// # Errors
/// Those of the database.
pub fn alarm_of_bulk(
    db: &mut Db,
    partner: &str,
    (failed, all, file): (i64, i64, &[u8]),
    limits: &GuessLimits,
    now_ms: i64,
) -> Result<bool, Failure> {
    let (failed, all) = share_of_files(db, partner, (failed, all, file), (now_ms, now_ms + limits.window_ms))?;
    let is_judged = limits.ratio_least > 0 && all >= limits.ratio_least;
    if !is_judged || limits.alarm_percent == 0 || failed * 100 <= limits.alarm_percent * all {
        return Ok(false);
    }
    raise_alarm(db, partner, now_ms, now_ms + limits.window_ms)
}

fn weighed(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    limits: &GuessLimits,
) -> Result<GuessVerdict, Failure> {
    let mut alarms = Vec::new();
    let gate = if standing.locked_until_ms > guess.now_ms {
        Gate::Shut(standing.locked_until_ms)
    } else {
        match (standing.whole, &guess.end) {
            (Some(GuessSeen::TurnedAway(until_ms)), _) => Gate::Shut(until_ms),
            // A reviewer confirmed this very question, so it is no guess.
            (
                _,
                End::Granted {
                    patient_id,
                    by_person: true,
                },
            ) => granted(db, guess, standing, patient_id, limits)?,
            (Some(GuessSeen::Silenced), End::Withheld | End::Granted { .. }) => Gate::Silent,
            (Some(_), End::Failed) => Gate::Open,
            (None, End::Failed) => failed(db, guess, standing, JUDGED, limits, &mut alarms)?,
            (None, _) => found(db, guess, standing, limits, &mut alarms)?,
            (Some(_), end) => found_again(db, guess, standing, end, limits)?,
        }
    };
    // Several targets may reach their limits with one guess.
    alarms.dedup();
    Ok(GuessVerdict { gate, alarms })
}

/// Judges a new guess that found a member.
fn found(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    limits: &GuessLimits,
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
        End::Granted { patient_id, .. } => granted(db, guess, standing, patient_id, limits),
        _ => failed(db, guess, standing, JUDGED, limits, alarms),
    }
}

/// Judges a guess that found a member and was refused before. If it were refused again it would get the same answer, so a limit that was
/// reached since then can only show as "no member found".
fn found_again(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    end: &End,
    limits: &GuessLimits,
) -> Result<Gate, Failure> {
    if standing.shut_until(guess, limits).is_some() || reached(standing.record, limits.per_record) {
        mark(db, guess, SILENCED, guess.now_ms + limits.window_ms)?;
        return Ok(Gate::Silent);
    }
    match end {
        End::Granted { patient_id, .. } => granted(db, guess, standing, patient_id, limits),
        _ => Ok(Gate::Open),
    }
}

/// Counts a member on whom this partner never had a grant; a further consent for the same member is not counted.
fn granted(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    patient_id: &str,
    limits: &GuessLimits,
) -> Result<Gate, Failure> {
    if standing.bulk_members.is_some() {
        return Ok(Gate::Open);
    }
    tally_granted(db, guess, patient_id, limits)?;
    Ok(Gate::Open)
}

/// Counts a new guess that is refused. Turns it away when its targets have reached their limit.
fn failed(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    state: i64,
    limits: &GuessLimits,
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
        // True only when another request counted between the read and this write: both wait for each other here.
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
        // A guess that is turned away must not count for a record, whether the limit was found in the read or in the write.
        let near = count(db, guess, &guess.record, limits)?;
        if limits.per_record > 0 && near.guesses == limits.per_record {
            alarms.push(Alarm::Record);
        }
    }
    count_share(db, guess, standing, limits, alarms)?;
    Ok(over.map_or(Gate::Open, Gate::Shut))
}

/// Turns a new guess away, and remembers that it was turned away.
fn turn_away(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    until_ms: i64,
    limits: &GuessLimits,
    alarms: &mut Vec<Alarm>,
) -> Result<Gate, Failure> {
    mark(db, guess, TURNED_AWAY, until_ms)?;
    for (kind, target) in &guess.targets {
        let limit = standing.limit(*kind, limits);
        if reached(standing.of(target), limit) && count(db, guess, target, limits)?.guesses == limit + 1 {
            alarms.push(Alarm::Target);
        }
    }
    count_share(db, guess, standing, limits, alarms)?;
    Ok(Gate::Shut(until_ms))
}

/// Counts a failure in the partner's share of failures. One of a bulk match is not counted: it must not lock the partner's single matches.
fn count_share(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    limits: &GuessLimits,
    alarms: &mut Vec<Alarm>,
) -> Result<(), Failure> {
    if standing.bulk_members.is_some() {
        return Ok(());
    }
    tally_failed(db, guess, limits)?;
    ratio(db, guess, standing, limits, alarms)
}

/// Raises the alarm, or locks matching, when this failure makes the partner's share of failures too large.
fn ratio(
    db: &mut Db,
    guess: &Guess,
    standing: &GuessesBefore,
    limits: &GuessLimits,
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

/// The counts of a partner in the guessing guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallied {
    /// Different guesses that failed.
    pub failed: i64,
    /// Members on whom it got its first grant.
    pub granted: i64,
    /// Until when its matching is locked, UTC milliseconds.
    pub locked_until_ms: Option<i64>,
    /// Whether the alarm about its share of failures was raised.
    pub alarmed: bool,
}

/// Returns the counts of a partner at `now_ms` (UTC milliseconds).
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

/// Deletes everything that was counted about a partner, its lock included.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, partner: &str) -> Result<(), Failure> {
    diesel::delete(guess::table.filter(guess::partner_id.eq(partner))).execute(db)?;
    diesel::delete(guess_tally::table.filter(guess_tally::partner_id.eq(partner))).execute(db)?;
    diesel::delete(guess_lock::table.find(partner)).execute(db)?;
    Ok(())
}

/// Returns the partners whose matching is locked at `now_ms`, and until when; at most 10,000.
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

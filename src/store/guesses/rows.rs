//! The rows of the guessing guard: one read, and the writes that a guess adds.

use super::{Guess, Kind, Limits, TARGETS, Target};
use crate::error::Failure;
use crate::store::Db;
use crate::store::statement::{Bind, Statement, run};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};

/// A guess that was judged and refused.
pub(super) const JUDGED: i64 = 1;
/// One that was turned away.
pub(super) const TURNED_AWAY: i64 = 2;
/// One that was answered as if nobody were found.
pub(super) const SILENCED: i64 = 3;

/// Rows that a partner's tally is spread over on PostgreSQL, where each writer holds its row until its commit.
pub(super) const SHARDS: i64 = 16;

/// Newly granted members that allow one failed guess more about what several people share.
const GRANTED_PER_SHARED: i64 = 1000;

/// Whether a count has reached its limit; a limit of zero is none.
pub(super) fn reached(counted: Option<Counted>, limit: i64) -> bool {
    limit > 0 && counted.is_some_and(|counted| counted.guesses >= limit)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) guesses: i64,
    pub(super) until_ms: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    Judged,
    Silenced,
    TurnedAway(i64),
}

/// What is known before a guess is counted.
pub(super) struct Standing {
    pub(super) whole: Option<Seen>,
    pub(super) record: Option<Counted>,
    pub(super) counted: Vec<(Vec<u8>, Counted)>,
    pub(super) failed: i64,
    pub(super) granted: i64,
    pub(super) alarmed_until_ms: i64,
    pub(super) locked_until_ms: i64,
}

impl Standing {
    /// Common names fail more often for a partner who asks for many, so what people share grows with whom it was granted.
    pub(super) fn limit(&self, kind: Kind, limits: &Limits) -> i64 {
        match kind {
            Kind::Own => limits.per_target,
            Kind::Shared if limits.per_shared == 0 => 0,
            Kind::Shared => limits.per_shared + self.granted / GRANTED_PER_SHARED,
        }
    }

    pub(super) fn of(&self, target: &Target) -> Option<Counted> {
        self.counted
            .iter()
            .find(|(known, _)| known == target)
            .map(|(_, counted)| *counted)
    }

    /// When the last of the targets that have reached their limit is free again.
    pub(super) fn shut_until(&self, guess: &Guess, limits: &Limits) -> Option<i64> {
        let full = |(kind, target): &(Kind, Target)| {
            let counted = self.of(target)?;
            reached(Some(counted), self.limit(*kind, limits)).then_some(counted.until_ms)
        };
        guess.targets.iter().filter_map(full).max()
    }
}

struct Known;
type KnownRow = (BigInt, Nullable<Binary>, BigInt, BigInt);
const KNOWN: &str = "SELECT CAST(0 AS BIGINT), target, guesses, until_ms FROM guess \
    WHERE partner_id = ? AND target IN (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) AND until_ms > ? \
    UNION ALL SELECT CAST(1 AS BIGINT), NULL, CAST(COALESCE(SUM(failed), 0) AS BIGINT), CAST(COALESCE(SUM(granted), 0) AS BIGINT) \
    FROM guess_tally WHERE partner_id = ? AND until_ms > ? \
    UNION ALL SELECT CAST(2 AS BIGINT), NULL, alarmed_until_ms, locked_until_ms FROM guess_lock WHERE partner_id = ?";

pub(super) fn standing(db: &mut Db, guess: &Guess) -> Result<Standing, Failure> {
    let mut binds = vec![Bind::Text(&guess.partner_id)];
    let sought = guess.targets.iter().map(|(_, target)| target);
    let padded = sought.chain(std::iter::repeat(&guess.whole)).take(TARGETS - 1);
    binds.extend([Bind::Blob(&guess.whole), Bind::Blob(&guess.record)]);
    binds.extend(padded.map(|target| Bind::Blob(target)));
    binds.extend([
        Bind::Big(guess.now_ms),
        Bind::Text(&guess.partner_id),
        Bind::Big(guess.now_ms),
        Bind::Text(&guess.partner_id),
    ]);
    let statement = Statement::<Known, KnownRow>::new(KNOWN, binds);
    let rows: Vec<(i64, Option<Vec<u8>>, i64, i64)> = match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    };
    let mut standing = Standing {
        whole: None,
        record: None,
        counted: Vec::new(),
        failed: 0,
        granted: 0,
        alarmed_until_ms: 0,
        locked_until_ms: 0,
    };
    for row in rows {
        match row {
            (0, Some(target), state, until_ms) if target == guess.whole => {
                standing.whole = Some(match state {
                    TURNED_AWAY => Seen::TurnedAway(until_ms),
                    SILENCED => Seen::Silenced,
                    _ => Seen::Judged,
                });
            }
            (0, Some(target), guesses, until_ms) if target == guess.record => {
                standing.record = Some(Counted { guesses, until_ms });
            }
            (0, Some(target), guesses, until_ms) => standing.counted.push((target, Counted { guesses, until_ms })),
            (1, _, failed, granted) => (standing.failed, standing.granted) = (failed, granted),
            (_, _, alarmed, locked) => (standing.alarmed_until_ms, standing.locked_until_ms) = (alarmed, locked),
        }
    }
    Ok(standing)
}

struct Count;
const COUNT: &str = "INSERT INTO guess (partner_id, target, guesses, until_ms) VALUES (?, ?, 1, ?) \
    ON CONFLICT (partner_id, target) DO UPDATE SET \
    guesses = CASE WHEN guess.until_ms <= ? THEN 1 ELSE guess.guesses + 1 END, \
    until_ms = CASE WHEN guess.until_ms <= ? THEN excluded.until_ms ELSE guess.until_ms END RETURNING guesses, until_ms";

/// Adds one guess to a target; what it has now.
pub(super) fn count(db: &mut Db, guess: &Guess, target: &Target, limits: &Limits) -> Result<Counted, Failure> {
    let binds = vec![
        Bind::Text(&guess.partner_id),
        Bind::Blob(target),
        Bind::Big(guess.now_ms + limits.window_ms),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
    ];
    let statement = Statement::<Count, (BigInt, BigInt)>::new(COUNT, binds);
    let (guesses, until_ms): (i64, i64) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(Counted { guesses, until_ms })
}

struct Mark;
const MARK: &str = "INSERT INTO guess (partner_id, target, guesses, until_ms) VALUES (?, ?, ?, ?) \
    ON CONFLICT (partner_id, target) DO UPDATE SET guesses = excluded.guesses, until_ms = excluded.until_ms";

/// Remembers what became of a whole guess.
pub(super) fn mark(db: &mut Db, guess: &Guess, state: i64, until_ms: i64) -> Result<(), Failure> {
    let binds = vec![
        Bind::Text(&guess.partner_id),
        Bind::Blob(&guess.whole),
        Bind::Big(state),
        Bind::Big(until_ms),
    ];
    run(db, Statement::<Mark>::new(MARK, binds))?;
    Ok(())
}

struct TallyFailed;
struct TallyGranted;
const TALLY_FAILED: &str = "INSERT INTO guess_tally (partner_id, shard, failed, granted, until_ms) VALUES (?, ?, 1, 0, ?) \
    ON CONFLICT (partner_id, shard) DO UPDATE SET \
    failed = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.failed END + excluded.failed, \
    granted = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.granted END, \
    until_ms = CASE WHEN guess_tally.until_ms <= ? THEN excluded.until_ms ELSE guess_tally.until_ms END";
const TALLY_GRANTED: &str = "INSERT INTO guess_tally (partner_id, shard, failed, granted, until_ms) \
    SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(0 AS BIGINT), CAST(1 AS BIGINT), CAST(? AS BIGINT) \
    WHERE NOT EXISTS (SELECT 1 FROM grants WHERE patient_id = ? AND partner_id = ?) \
    ON CONFLICT (partner_id, shard) DO UPDATE SET \
    failed = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.failed END, \
    granted = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.granted END + excluded.granted, \
    until_ms = CASE WHEN guess_tally.until_ms <= ? THEN excluded.until_ms ELSE guess_tally.until_ms END";

fn shard(db: &Db, guess: &Guess) -> i64 {
    match db {
        Db::Pg(_) => i64::from(guess.whole[0]) % SHARDS,
        Db::Sqlite(_) => 0,
    }
}

pub(super) fn tally_failed(db: &mut Db, guess: &Guess, limits: &Limits) -> Result<(), Failure> {
    let binds = vec![
        Bind::Text(&guess.partner_id),
        Bind::Big(shard(db, guess)),
        Bind::Big(guess.now_ms + limits.window_ms),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
    ];
    run(db, Statement::<TallyFailed>::new(TALLY_FAILED, binds))?;
    Ok(())
}

/// Counts a granted member, unless this partner had a grant on them before.
pub(super) fn tally_granted(db: &mut Db, guess: &Guess, patient_id: &str, limits: &Limits) -> Result<(), Failure> {
    let binds = vec![
        Bind::Text(&guess.partner_id),
        Bind::Big(shard(db, guess)),
        Bind::Big(guess.now_ms + limits.window_ms),
        Bind::Text(patient_id),
        Bind::Text(&guess.partner_id),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
    ];
    run(db, Statement::<TallyGranted>::new(TALLY_GRANTED, binds))?;
    Ok(())
}

struct RaiseLock;
struct RaiseAlarm;
const RAISE_LOCK: &str = "INSERT INTO guess_lock (partner_id, alarmed_until_ms, locked_until_ms) VALUES (?, 0, ?) \
    ON CONFLICT (partner_id) DO UPDATE SET locked_until_ms = excluded.locked_until_ms WHERE guess_lock.locked_until_ms <= ?";
const RAISE_ALARM: &str = "INSERT INTO guess_lock (partner_id, alarmed_until_ms, locked_until_ms) VALUES (?, ?, 0) \
    ON CONFLICT (partner_id) DO UPDATE SET alarmed_until_ms = excluded.alarmed_until_ms WHERE guess_lock.alarmed_until_ms <= ?";

/// Locks a partner's matching; `false` when it was locked already.
pub(super) fn raise_lock(db: &mut Db, partner: &str, now_ms: i64, until_ms: i64) -> Result<bool, Failure> {
    let binds = vec![Bind::Text(partner), Bind::Big(until_ms), Bind::Big(now_ms)];
    Ok(run(db, Statement::<RaiseLock>::new(RAISE_LOCK, binds))? == 1)
}

pub(super) fn raise_alarm(db: &mut Db, partner: &str, now_ms: i64, until_ms: i64) -> Result<bool, Failure> {
    let binds = vec![Bind::Text(partner), Bind::Big(until_ms), Bind::Big(now_ms)];
    Ok(run(db, Statement::<RaiseAlarm>::new(RAISE_ALARM, binds))? == 1)
}

struct Sweep;
const SWEEP: &str = "DELETE FROM guess WHERE (partner_id, target) IN \
    (SELECT partner_id, target FROM guess WHERE until_ms <= ? LIMIT ?)";

/// Drops at most `limit` rows whose time is over; how many.
///
/// # Errors
/// Those of the database.
pub fn sweep(db: &mut Db, now_ms: i64, limit: i64) -> Result<usize, Failure> {
    let binds = vec![Bind::Big(now_ms), Bind::Big(limit)];
    Ok(run(db, Statement::<Sweep>::new(SWEEP, binds))?)
}

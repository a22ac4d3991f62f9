//! The rows of the guessing guard: one read, and the writes that a guess causes.

use super::terms::{Guess, GuessKind, GuessLimits, GuessTarget, TARGETS};
use crate::error::Failure;
use crate::store::Db;
use crate::store::insert::kept;
use crate::store::statement::{Bind, Statement, run};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};
use std::sync::LazyLock;

/// State of a whole guess that was compared and refused.
pub(super) const JUDGED: i64 = 1;
/// State of a whole guess that was turned away with 429.
pub(super) const TURNED_AWAY: i64 = 2;
/// State of a whole guess that was answered as if no member were found.
pub(super) const SILENCED: i64 = 3;

/// Over how many rows a partner's tally is spread on PostgreSQL, where each writer locks its row until it commits.
pub(super) const SHARDS: i64 = 16;

/// For each so many newly granted members, one more failed guess about a shared target is allowed.
const GRANTED_PER_SHARED: i64 = 1000;

/// Whether a count has reached its limit; a limit of 0 means no limit.
pub(super) fn reached(counted: Option<Counted>, limit: i64) -> bool {
    limit > 0 && counted.is_some_and(|counted| counted.guesses >= limit)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) guesses: i64,
    pub(super) until_ms: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum GuessSeen {
    Judged,
    Silenced,
    TurnedAway(i64),
}

/// The counts and locks that were stored before this guess.
pub(super) struct GuessesBefore {
    pub(super) whole: Option<GuessSeen>,
    pub(super) record: Option<Counted>,
    pub(super) counted: Vec<(Vec<u8>, Counted)>,
    pub(super) failed: i64,
    pub(super) granted: i64,
    pub(super) alarmed_until_ms: i64,
    pub(super) locked_until_ms: i64,
    /// How many members the bulk match has that this guess is a part of.
    pub(super) bulk_members: Option<i64>,
}

impl GuessesBefore {
    /// Returns the limit of a kind of target. The limit of shared targets grows with the number of members granted: a partner who asks for
    /// many members fails more often on common names.
    pub(super) fn limit(&self, kind: GuessKind, limits: &GuessLimits) -> i64 {
        match kind {
            GuessKind::Own => limits.per_target,
            GuessKind::Shared if limits.per_shared == 0 => 0,
            GuessKind::Shared => {
                limits.per_shared + (self.granted + self.bulk_members.unwrap_or(0)) / GRANTED_PER_SHARED
            }
        }
    }

    pub(super) fn of(&self, target: &GuessTarget) -> Option<Counted> {
        self.counted
            .iter()
            .find(|(known, _)| known == target)
            .map(|(_, counted)| *counted)
    }

    /// Returns the latest time at which one of the full targets is free again; `None` when no target has reached its limit.
    pub(super) fn shut_until(&self, guess: &Guess, limits: &GuessLimits) -> Option<i64> {
        let full = |(kind, target): &(GuessKind, GuessTarget)| {
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

pub(super) fn standing(db: &mut Db, guess: &Guess) -> Result<GuessesBefore, Failure> {
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
    let mut standing = GuessesBefore {
        whole: None,
        record: None,
        counted: Vec::new(),
        failed: 0,
        granted: 0,
        alarmed_until_ms: 0,
        locked_until_ms: 0,
        bulk_members: None,
    };
    for row in rows {
        match row {
            (0, Some(target), state, until_ms) if target == guess.whole => {
                standing.whole = Some(match state {
                    TURNED_AWAY => GuessSeen::TurnedAway(until_ms),
                    SILENCED => GuessSeen::Silenced,
                    _ => GuessSeen::Judged,
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

/// Adds one guess to a target. Returns the target's new count.
pub(super) fn count(
    db: &mut Db,
    guess: &Guess,
    target: &GuessTarget,
    limits: &GuessLimits,
) -> Result<Counted, Failure> {
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

/// Under these targets stand how many members the bulk matches of a window had, and how many of them failed; other targets are keyed hashes.
const FILES_ALL: GuessTarget = *b"bulk-files-whole";
const FILES_FAILED: GuessTarget = *b"bulk-files-fails";

struct Add;
const ADD: &str = "INSERT INTO guess (partner_id, target, guesses, until_ms) VALUES (?, ?, ?, ?) \
    ON CONFLICT (partner_id, target) DO UPDATE SET \
    guesses = CASE WHEN guess.until_ms <= ? THEN 0 ELSE guess.guesses END + excluded.guesses, \
    until_ms = CASE WHEN guess.until_ms <= ? THEN excluded.until_ms ELSE guess.until_ms END RETURNING guesses";

fn add(
    db: &mut Db,
    partner: &str,
    target: &GuessTarget,
    many: i64,
    (now_ms, until_ms): (i64, i64),
) -> Result<i64, Failure> {
    let binds = vec![
        Bind::Text(partner),
        Bind::Blob(target),
        Bind::Big(many),
        Bind::Big(until_ms),
        Bind::Big(now_ms),
        Bind::Big(now_ms),
    ];
    let statement = Statement::<Add, (BigInt,)>::new(ADD, binds);
    let (sum,): (i64,) = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(sum)
}

/// Adds a file of which `failed` of `all` members failed to those of the window, unless it is there. Returns the sums.
pub(super) fn share_of_files(
    db: &mut Db,
    partner: &str,
    (failed, all, file): (i64, i64, &[u8]),
    times: (i64, i64),
) -> Result<(i64, i64), Failure> {
    let digest = crate::secret::sha256(file);
    let mut whole = GuessTarget::default();
    whole.copy_from_slice(&digest[..16]);
    let is_new = add(db, partner, &whole, 0, times)? == 0;
    if is_new {
        add(db, partner, &whole, 1, times)?;
    }
    let of = |many: i64| if is_new { many } else { 0 };
    let all = add(db, partner, &FILES_ALL, of(all), times)?;
    Ok((add(db, partner, &FILES_FAILED, of(failed), times)?, all))
}

struct Mark;
const MARK: &str = "INSERT INTO guess (partner_id, target, guesses, until_ms) VALUES (?, ?, ?, ?) \
    ON CONFLICT (partner_id, target) DO UPDATE SET guesses = excluded.guesses, until_ms = excluded.until_ms";

/// Stores what became of a whole guess.
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

/// Text of the statement that counts a granted member on whom this partner had no grant before. `from` is an optional FROM clause.
pub(in crate::store) fn granted_text(from: &str) -> String {
    format!(
        "INSERT INTO guess_tally (partner_id, shard, failed, granted, until_ms) \
         SELECT CAST(? AS TEXT), CAST(? AS BIGINT), CAST(0 AS BIGINT), CAST(1 AS BIGINT), CAST(? AS BIGINT) {from} \
         WHERE NOT EXISTS (SELECT 1 FROM grants WHERE patient_id = ? AND partner_id = ?) \
         ON CONFLICT (partner_id, shard) DO UPDATE SET \
         failed = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.failed END, \
         granted = CASE WHEN guess_tally.until_ms <= ? THEN 0 ELSE guess_tally.granted END + excluded.granted, \
         until_ms = CASE WHEN guess_tally.until_ms <= ? THEN excluded.until_ms ELSE guess_tally.until_ms END"
    )
}

static TALLY_GRANTED: LazyLock<&'static str> = LazyLock::new(|| kept(granted_text("")));

/// Returns the values of [`granted_text`].
pub(in crate::store) fn granted_binds<'a>(
    guess: &'a Guess,
    shard: i64,
    patient_id: &'a str,
    limits: &GuessLimits,
) -> [Bind<'a>; 8] {
    [
        Bind::Text(&guess.partner_id),
        Bind::Big(shard),
        Bind::Big(guess.now_ms + limits.window_ms),
        Bind::Text(patient_id),
        Bind::Text(&guess.partner_id),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
        Bind::Big(guess.now_ms),
    ]
}

/// Text of the condition under which a new guess may be granted without further checks: it was not refused
/// before, none of its targets has reached a limit, and the partner is not locked. Shared targets are held to
/// their smallest limit; [`GuessesBefore`] knows whether more is allowed.
pub(in crate::store) fn open_text() -> String {
    let targets = vec!["(?, ?)"; TARGETS + 1].join(", ");
    format!(
        "NOT EXISTS (SELECT 1 FROM (VALUES {targets}) AS v(target, most) JOIN guess q ON q.partner_id = ? AND q.target = v.target \
         WHERE q.until_ms > ? AND q.guesses >= v.most) \
         AND NOT EXISTS (SELECT 1 FROM guess_lock WHERE partner_id = ? AND locked_until_ms > ?)"
    )
}

/// Appends the values of [`open_text`] to `binds`.
pub(in crate::store) fn open_binds<'a>(guess: &'a Guess, limits: &GuessLimits, binds: &mut Vec<Bind<'a>>) {
    let most = |limit: i64| Bind::Big(if limit > 0 { limit } else { i64::MAX });
    let sought = guess.targets.iter().map(|(kind, target)| match kind {
        GuessKind::Own => (target, most(limits.per_target)),
        GuessKind::Shared => (target, most(limits.per_shared)),
    });
    // Any earlier refusal of the same whole guess counts, so its limit is 0.
    let whole = (&guess.whole, Bind::Big(0));
    let all = [whole, (&guess.record, most(limits.per_record))]
        .into_iter()
        .chain(sought);
    for (target, most) in all.chain(std::iter::repeat(whole)).take(TARGETS + 1) {
        binds.extend([Bind::Blob(target), most]);
    }
    let (partner, now) = (Bind::Text(&guess.partner_id), Bind::Big(guess.now_ms));
    binds.extend([partner, now, partner, now]);
}

/// Returns the row of a partner's tally in which a guess is counted on PostgreSQL.
pub(in crate::store) fn shard_of(guess: &Guess) -> i64 {
    i64::from(guess.whole[0]) % SHARDS
}

fn shard(db: &Db, guess: &Guess) -> i64 {
    match db {
        Db::Pg(_) => shard_of(guess),
        Db::Sqlite(_) => 0,
    }
}

pub(super) fn tally_failed(db: &mut Db, guess: &Guess, limits: &GuessLimits) -> Result<(), Failure> {
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
pub(super) fn tally_granted(db: &mut Db, guess: &Guess, patient_id: &str, limits: &GuessLimits) -> Result<(), Failure> {
    let binds = granted_binds(guess, shard(db, guess), patient_id, limits).to_vec();
    run(db, Statement::<TallyGranted>::new(*TALLY_GRANTED, binds))?;
    Ok(())
}

struct RaiseLock;
struct RaiseAlarm;
const RAISE_LOCK: &str = "INSERT INTO guess_lock (partner_id, alarmed_until_ms, locked_until_ms) VALUES (?, 0, ?) \
    ON CONFLICT (partner_id) DO UPDATE SET locked_until_ms = excluded.locked_until_ms WHERE guess_lock.locked_until_ms <= ?";
const RAISE_ALARM: &str = "INSERT INTO guess_lock (partner_id, alarmed_until_ms, locked_until_ms) VALUES (?, ?, 0) \
    ON CONFLICT (partner_id) DO UPDATE SET alarmed_until_ms = excluded.alarmed_until_ms WHERE guess_lock.alarmed_until_ms <= ?";

/// Locks a partner's matching. Returns false when it is locked already.
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

/// Deletes at most `limit` rows whose time is over. Returns how many.
///
/// # Errors
/// Those of the database.
pub fn sweep(db: &mut Db, now_ms: i64, limit: i64) -> Result<usize, Failure> {
    let binds = vec![Bind::Big(now_ms), Bind::Big(limit)];
    Ok(run(db, Statement::<Sweep>::new(SWEEP, binds))?)
}

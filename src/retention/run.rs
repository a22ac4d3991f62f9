//! A run of retention: finds what is due of each kind of evidence, and deletes it in pieces, each in one transaction with its entry.

use super::in_force::in_force;
use super::time;
use crate::audit::deletion::{DeletedRow, deletion};
use crate::audit::ledger;
use crate::context::Context;
use crate::error::Failure;
use crate::failpoint;
use crate::keeping::{DataKind, Periods};
use crate::store::Db;
use crate::store::retention as rows;
use crate::store::retention::due::{DueAsked, DueRow, EvidenceKind, due};
use crate::store::retention::{CoveredLog, gone};

/// Rows of a kind that a look without deleting counts at most.
pub const COUNTED_MOST: i64 = 100_000;
/// The name of the points at which a test can end this process.
pub const POINT: &str = "retention";
/// The points.
pub const POINTS: [&str; 2] = ["deleted", "entered"];

/// A kind of evidence, and how many rows of it one transaction deletes.
#[derive(Clone, Copy)]
struct Turn {
    kind: DataKind,
    evidence: EvidenceKind,
    rows: i64,
}

const fn turn(kind: DataKind, evidence: EvidenceKind, rows: i64) -> Turn {
    Turn { kind, evidence, rows }
}

/// In the order in which they are deleted: what names something else goes before it.
const TURNS: [Turn; 9] = [
    // A record that was received may have many pieces.
    turn(DataKind::Received, EvidenceKind::Received, 10),
    turn(DataKind::Runs, EvidenceKind::Runs, 10),
    turn(DataKind::Exchanges, EvidenceKind::Exchanges, 100),
    turn(DataKind::Reviews, EvidenceKind::Reviews, 200),
    turn(DataKind::Consents, EvidenceKind::Consents, 200),
    turn(DataKind::Decisions, EvidenceKind::Decisions, 200),
    turn(DataKind::Checkpoints, EvidenceKind::Checkpoints, 500),
    // A packet may have many pieces.
    turn(DataKind::Packets, EvidenceKind::Packets, 10),
    turn(DataKind::Ledger, EvidenceKind::Ledger, 500),
];

/// What one transaction deleted, or what would be deleted of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedPart {
    /// The kind of data.
    pub kind: DataKind,
    /// How many rows.
    pub rows: u64,
    /// The instant from which the time of the oldest counted, UTC milliseconds.
    pub from_ms: i64,
    /// The same of the youngest.
    pub to_ms: i64,
    /// The ledger entry that proves it; none for what was only looked at.
    pub entry_id: Option<String>,
}

impl DeletedPart {
    fn of(kind: DataKind, rows: &[DueRow], entry_id: Option<String>) -> Option<DeletedPart> {
        let stamps = || rows.iter().map(|row| row.at_ms);
        Some(DeletedPart {
            kind,
            rows: rows.len() as u64,
            from_ms: stamps().min()?,
            to_ms: stamps().max()?,
            entry_id,
        })
    }
}

/// A write of a run. It may run more than once.
pub type PartWrite = Box<dyn FnMut(&mut Db) -> Result<Option<DeletedPart>, Failure> + Send>;
/// Commits a write of a run.
pub type CommitPart<'w> = &'w dyn Fn(PartWrite) -> Result<Option<DeletedPart>, Failure>;

/// Returns what is due at `now_ms`, the time that retention goes by (UTC milliseconds), at most [`COUNTED_MOST`] rows of each kind.
/// Changes nothing. Blocks the thread.
///
/// # Errors
/// Those of the store.
pub fn look(ctx: &Context, now_ms: i64) -> Result<Vec<DeletedPart>, Failure> {
    let mut found = Vec::new();
    for turn in &TURNS {
        let Some(part) = ctx.store.read_blocking(|db| {
            let periods = in_force(db, &ctx.keeping, ctx.clock.now_ms())?;
            let asked = asked(db, &periods, turn, now_ms)?;
            let rows = due(
                db,
                turn.evidence,
                &DueAsked {
                    limit: COUNTED_MOST,
                    ..asked
                },
            )?;
            Ok(DeletedPart::of(turn.kind, &rows, None))
        })?
        else {
            continue;
        };
        found.push(part);
    }
    Ok(found)
}

/// Deletes what is due at `now_ms`, the time that retention goes by (UTC milliseconds). Entries of the ledger are looked for after
/// `after`. Returns what was deleted, one part for each transaction. Blocks the thread.
///
/// # Errors
/// Those of `commit` and of the store; what was committed before is deleted and proved.
pub fn run(ctx: &Context, now_ms: i64, after: &str, commit: CommitPart<'_>) -> Result<Vec<DeletedPart>, Failure> {
    let mut deleted = Vec::new();
    for turn in &TURNS {
        let mut after = match turn.kind {
            DataKind::Ledger => after.to_owned(),
            _ => String::new(),
        };
        loop {
            let found = ctx.store.read_blocking(|db| {
                let periods = in_force(db, &ctx.keeping, ctx.clock.now_ms())?;
                let asked = asked(db, &periods, turn, now_ms)?;
                due(db, turn.evidence, &DueAsked { after: &after, ..asked })
            })?;
            let Some(last) = found.last() else { break };
            if turn.kind == DataKind::Ledger && !ctx.store.read_blocking(rows::may_delete_beside_entries)? {
                tracing::warn!(
                    "what is beside old ledger entries is due, and this role may not delete it: grant its rights again with `causeway migrate --grant`, or run `causeway retention run` with the owner's role"
                );
                break;
            }
            after.clone_from(&last.id);
            if let Some(part) = commit(delete(ctx, turn, now_ms, &found))? {
                tracing::info!(
                    kind = part.kind.code(),
                    rows = part.rows,
                    entry = part.entry_id,
                    "deleted what was kept long enough"
                );
                deleted.push(part);
            }
            if found.len() < usize::try_from(turn.rows).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    Ok(deleted)
}

fn asked(db: &mut Db, periods: &Periods, turn: &Turn, now_ms: i64) -> Result<DueAsked<'static>, Failure> {
    let before_ms = periods.before_ms(turn.kind, now_ms).unwrap_or(i64::MIN);
    let covered: Option<CoveredLog> = match turn.kind {
        DataKind::Ledger => rows::covered(db, before_ms)?,
        _ => None,
    };
    Ok(DueAsked {
        before_ms,
        after: "",
        only: None,
        covered,
        limit: turn.rows,
    })
}

/// The write that deletes those of these rows that are still due: a hold may have been placed, or longer periods put in force, since they
/// were found.
fn delete(ctx: &Context, turn: &Turn, now_ms: i64, found: &[DueRow]) -> PartWrite {
    let (own, kind, evidence) = (*turn, turn.kind, turn.evidence);
    let ids: Vec<String> = found.iter().map(|row| row.id.clone()).collect();
    let (configured, at_us) = (ctx.keeping.clone(), ctx.clock.now_us());
    let entry_id = ctx.ids.new_id(at_us / 1000);
    Box::new(move |db| {
        rows::lock(db)?;
        let periods = in_force(db, &configured, at_us / 1000)?;
        let asked = asked(db, &periods, &own, now_ms)?;
        let before_ms = asked.before_ms;
        let still = due(
            db,
            evidence,
            &DueAsked {
                only: Some(&ids),
                ..asked
            },
        )?;
        if still.is_empty() {
            return Ok(None);
        }
        let gone_ids: Vec<String> = still.iter().map(|row| row.id.clone()).collect();
        gone::delete(db, evidence, &gone_ids, before_ms)?;
        failpoint::pass(POINT, POINTS[0]);
        let named: Vec<DeletedRow<'_>> = still.iter().map(|row| (row.id.as_str(), row.at_ms)).collect();
        ledger::append(db, &deletion(kind, &named, &periods, &entry_id), &entry_id, at_us)?;
        let rows_gone = i64::try_from(still.len()).unwrap_or(i64::MAX);
        rows::count(db, kind.code(), rows_gone, at_us / 1000, &entry_id)?;
        failpoint::pass(POINT, POINTS[1]);
        Ok(DeletedPart::of(kind, &still, Some(entry_id.clone())))
    })
}

/// A run that an operator asks for, at the time of the store as it stands. Blocks the thread.
///
/// # Errors
/// Those of the store.
pub fn now(ctx: &Context) -> Result<Vec<DeletedPart>, Failure> {
    let now_ms = time::standing(ctx)?;
    run(ctx, now_ms, "", &|write| ctx.store.write_alone_blocking(write))
}

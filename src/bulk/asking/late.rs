//! The watch over a run of ours: members of a run have no work of their own, so a run whose work is parked, or does not end at its deadline, is
//! ended here, and its members go on alone.
//!
//! It asks nobody: what runs at the partner expires there. Each part of it may be done again: that the end has begun is in the row of the run.

use super::alone::all_alone;
use super::kind::{ASK, ASK_END};
use crate::bulk::kinds::END;
use crate::error::{Failure, Fault};
use crate::jobs::{self, AttemptEnding, Doing, HeldJob, JobStep, NewJob, WorkKind};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, FAILED, GATHERING, RUNNING};
use std::sync::Arc;

/// How often a run is looked at, and how long after its deadline it is ended here, milliseconds. Its own work looks at the deadline first.
const LOOKED_MS: i64 = 3_600_000;

/// Does [`ASK_END`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EndLateRuns;

impl JobStep for EndLateRuns {
    fn kind(&self) -> &'static WorkKind {
        &ASK_END
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move { look(&held).await })
    }
}

/// The watch over a run that begins to gather members now.
pub(super) fn watch(run: &BulkRunRow) -> NewJob<'_> {
    NewJob {
        kind: &ASK_END,
        partner: Some(&run.partner_id),
        key: &run.id,
        payload: "",
        due_ms: run.created_ms + LOOKED_MS,
    }
}

/// The run with this id, if it has not ended.
fn live(db: &mut Db, id: &str) -> Result<Option<BulkRunRow>, Failure> {
    Ok(rows::find(db, id)?.filter(|row| [GATHERING, RUNNING].contains(&row.state.as_str())))
}

/// Whether the end of a run has begun here: a fault is in the row of a live run only then.
fn is_ending(row: &BulkRunRow) -> bool {
    row.fault.is_some()
}

async fn look(held: &HeldJob) -> Result<AttemptEnding, Failure> {
    let (id, now_ms) = (held.job().key.clone(), held.ctx().clock.now_ms());
    let own = id.clone();
    let read = move |db: &mut Db| match live(db, &own)? {
        None => Ok(None),
        Some(row) => Ok(Some((row, jobs::is_parked(db, &ASK, &own)?))),
    };
    let Some((row, is_parked)) = held.ctx().store.read(read).await? else {
        return Ok(AttemptEnding::done());
    };
    let late_ms = row.deadline_ms + LOOKED_MS;
    if !is_parked && !is_ending(&row) && now_ms < late_ms {
        return Ok(AttemptEnding::again(late_ms.min(now_ms + LOOKED_MS)));
    }
    tracing::error!(
        bulk.run = id,
        step = row.step,
        is_parked,
        "a bulk run does not come to its end; its members are asked for one by one"
    );
    if !begin(held, &id, now_ms).await? {
        // It came to its end meanwhile, or an operator let it continue: that is seen next.
        return Ok(AttemptEnding::again(now_ms));
    }
    all_alone(held, &id).await?;
    let new_id = held.ctx().ids.new_id(now_ms);
    let end = move |db: &mut Db| {
        let Some(row) = live(db, &id)? else { return Ok(()) };
        let ended = BulkRunRow {
            state: FAILED.to_owned(),
            fault: Some(Fault::BulkLate.code().to_owned()),
            ended_ms: Some(now_ms),
            updated_ms: now_ms,
            progress: None,
            ..row
        };
        rows::replace(db, &ended)?;
        // Nothing names its files any more.
        let files = NewJob {
            kind: &END,
            partner: Some(&ended.partner_id),
            key: &ended.id,
            payload: "",
            due_ms: now_ms,
        };
        jobs::enqueue_or_point(db, &new_id, &files, now_ms)
    };
    Ok(AttemptEnding::done().with(Arc::new(end)))
}

/// Takes back the work of the run, so that what it still writes is not kept and nobody joins it, and notes that its end has begun. Returns
/// `false` when there is no reason for that any more.
async fn begin(held: &HeldJob, id: &str, now_ms: i64) -> Result<bool, Failure> {
    let id = id.to_owned();
    let write = move |db: &mut Db| {
        // Jobs of a series may add members at this moment.
        rows::lock(db)?;
        let Some(row) = live(db, &id)? else {
            return Ok(false);
        };
        if is_ending(&row) {
            return Ok(true);
        }
        if !jobs::is_parked(db, &ASK, &id)? && now_ms < row.deadline_ms + LOOKED_MS {
            return Ok(false);
        }
        jobs::take_back(db, &ASK, &id)?;
        let ending = BulkRunRow {
            state: RUNNING.to_owned(),
            fault: Some(Fault::BulkLate.code().to_owned()),
            updated_ms: now_ms,
            ..row
        };
        rows::replace(db, &ending)?;
        Ok(true)
    };
    held.write(write).await
}

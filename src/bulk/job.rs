//! The life of a run: begun by a partner, asked about, cancelled, ended by its deadline, and forgotten when its files have been kept long
//! enough.
//!
//! A run that its partner may not see is not there: the same answer as for one that never was. No run waits for ever: work of its own
//! ([`BulkEnd`]) ends it. This module never reads member data.

use super::files::{self, BulkFiles};
use super::hands;
use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, AttemptEnding, Doing, HeldJob, JobStep, NewJob, Priority, WorkKind};
use crate::security::Caller;
use crate::store::bulk::{self as rows, BulkJobRow};
use crate::store::bulk_receipts;
use crate::store::member_groups;
use crate::store::{Db, DiskRoom};
use crate::telemetry::Correlation;
use std::sync::Arc;
use std::time::Duration;

/// Seconds until a partner with too many runs may try again.
const BUSY_S: u32 = 60;

/// The work that ends runs: late ones at their deadline, all others when their files have been kept long enough.
pub static END: WorkKind = WorkKind {
    name: "bulk-end",
    priority: Priority::Last,
    every: None,
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "it ends a run by its row, which ends once, and removes files that nothing names",
};

/// A run that a partner asks for.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// The kind, as the row has it.
    pub kind: &'static str,
    /// The work that does it.
    pub work: &'static WorkKind,
    /// The whole URL of the request.
    pub request_url: String,
    /// What was asked for.
    pub request_json: String,
    /// The group that it is about.
    pub group_id: Option<String>,
}

/// Enqueues the end of a run of the caller that has files before it has a row, so that they are removed even if it never gets one. Returns its
/// id, for [`begin_as`].
///
/// # Errors
/// As [`begin`].
pub async fn announce(ctx: &Context, limits: &BulkConfig, caller: &Caller) -> Result<String, Failure> {
    demand_room(ctx)?;
    let (id, now_ms, most) = (files::new_name(), ctx.clock.now_ms(), limits.jobs_per_partner);
    let (own, partner) = (id.clone(), caller.partner.id.clone());
    let (new_id, due_ms) = (ctx.ids.new_id(now_ms), now_ms + limits.deadline_ms);
    ctx.store
        .write(move |db| {
            demand_place(db, &partner, most)?;
            let end = NewJob {
                kind: &END,
                partner: Some(&partner),
                key: &own,
                payload: "",
                due_ms,
            };
            jobs::enqueue(db, &new_id, &end, now_ms)?;
            Ok(())
        })
        .await?;
    Ok(id)
}

fn demand_room(ctx: &Context) -> Result<(), Failure> {
    match ctx.store.room() {
        DiskRoom::Ample => Ok(()),
        _ => Err(Fault::NoRoom.into()),
    }
}

fn demand_place(db: &mut Db, partner: &str, most: i64) -> Result<(), Failure> {
    match rows::unfinished(db, partner)? < most {
        true => Ok(()),
        false => Err(Failure::new(Fault::BulkBusy).retry_after_s(BUSY_S)),
    }
}

/// Begins a run of the caller. Returns its id.
///
/// # Errors
/// [`Fault::BulkBusy`] when the partner has as many as it may have, [`Fault::NoRoom`] while the disk has no room for exports; those of the
/// store.
pub async fn begin(ctx: &Context, limits: &BulkConfig, caller: &Caller, new: NewRun) -> Result<String, Failure> {
    begin_as(ctx, limits, caller, (files::new_name(), new), |_, _| Ok(())).await
}

/// Begins a run under an id that was announced. `also` writes more rows in the same transaction.
///
/// # Errors
/// As [`begin`]; those of `also`.
pub async fn begin_as<F>(
    ctx: &Context,
    limits: &BulkConfig,
    caller: &Caller,
    (id, new): (String, NewRun),
    mut also: F,
) -> Result<String, Failure>
where
    F: FnMut(&mut Db, &BulkJobRow) -> Result<(), Failure> + Send + 'static,
{
    demand_room(ctx)?;
    let now_ms = ctx.clock.now_ms();
    let row = BulkJobRow {
        id,
        kind: new.kind.to_owned(),
        partner_id: caller.partner.id.clone(),
        state: rows::WAITING.to_owned(),
        correlation_id: caller.correlation.correlation_id.clone(),
        request_url: new.request_url,
        request_json: new.request_json,
        group_id: new.group_id,
        spool: None,
        created_ms: now_ms,
        updated_ms: now_ms,
        transaction_ms: None,
        deadline_ms: now_ms + limits.deadline_ms,
        expires_ms: None,
        pieces: 0,
        pieces_done: 0,
        fault: None,
    };
    let (id, most, work) = (row.id.clone(), limits.jobs_per_partner, new.work);
    let ids = [ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms)];
    ctx.store
        .write(move |db| {
            demand_place(db, &row.partner_id, most)?;
            let mut row = row.clone();
            row.transaction_ms = Some(rows::visible_ms(db)?);
            rows::put(db, &row)?;
            let own = |kind, due_ms| NewJob {
                kind,
                partner: Some(&row.partner_id),
                key: &row.id,
                payload: "",
                due_ms,
            };
            jobs::enqueue(db, &ids[0], &own(work, now_ms), now_ms)?;
            jobs::enqueue(db, &ids[1], &own(&END, row.deadline_ms), now_ms)?;
            also(db, &row)
        })
        .await?;
    ctx.bell.ring();
    Ok(id)
}

/// Returns a run of the caller.
///
/// # Errors
/// [`Fault::NotFound`] when there is none, or it is another partner's, or it was cancelled, or its files have been kept long enough; those of
/// the store.
pub async fn of(ctx: &Context, caller: &Caller, id: &str) -> Result<BulkJobRow, Failure> {
    // A token for one member shows no run, which may be about others.
    if !files::is_name(id) || caller.patient_id.is_some() {
        return Err(Fault::NotFound.into());
    }
    let (id, partner) = (id.to_owned(), caller.partner.id.clone());
    let found = ctx.store.read(move |db| rows::find_of(db, &id, &partner)).await?;
    let now_ms = ctx.clock.now_ms();
    let is_over = |row: &BulkJobRow| row.state == rows::DONE && row.expires_ms.is_some_and(|at_ms| at_ms <= now_ms);
    found.filter(|row| !is_over(row)).ok_or_else(|| Fault::NotFound.into())
}

/// Cancels a run of the caller, and removes its files. Returns the run as it was.
///
/// # Errors
/// As [`of`].
pub async fn cancel(ctx: &Context, files: &BulkFiles, caller: &Caller, id: &str) -> Result<BulkJobRow, Failure> {
    let row = of(ctx, caller, id).await?;
    let (now_ms, new_id) = (ctx.clock.now_ms(), ctx.ids.new_id(ctx.clock.now_ms()));
    let (id, was) = (row.id.clone(), row.clone());
    // On a full disk too: it makes room.
    let write = move |db: &mut Db| cancelled(db, &row, &new_id, now_ms);
    let ended = ctx.store.reserved().write(write).await?;
    if !ended {
        return Err(Fault::NotFound.into());
    }
    let files = files.clone();
    let removed = tokio::task::spawn_blocking(move || files.remove(&id)).await;
    // The files are sealed, nothing names them, and the end of the run removes them again.
    if let Ok(Err(failure)) = removed {
        tracing::warn!(cause = ?failure.cause(), "the files of a cancelled bulk job are still there");
    }
    Ok(was)
}

/// Cancels any run, for an operator; `note` says who and why. Its files go with its end, which is due now. Waits on this thread.
///
/// # Errors
/// [`Fault::JobUnknown`] when there is none, or it was cancelled; those of the store.
pub fn cancel_for(ctx: &Context, id: &str, note: OperatorNote) -> Result<(), Failure> {
    let (now_us, id) = (ctx.clock.now_us(), id.to_owned());
    let now_ms = now_us / 1000;
    let (entry_id, new_id) = (ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms));
    let by = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::BulkCancelled, by, Correlation::internal(entry_id.clone()));
    entry.note = Some(note);
    entry.object = Some(Object {
        kind: "bulk-job",
        id: id.clone(),
    });
    ctx.store.reserved().write_blocking(move |db: &mut Db| {
        let row = rows::find(db, &id)?.ok_or(Fault::JobUnknown)?;
        match cancelled(db, &row, &new_id, now_ms)? {
            true => ledger::append(db, &entry, &entry_id, now_us),
            false => Err(Fault::JobUnknown.into()),
        }
    })
}

/// Ends a run as cancelled, and makes the removal of its files due. Returns `false` when it was cancelled before.
fn cancelled(db: &mut Db, row: &BulkJobRow, new_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let ended = rows::end(db, &row.id, rows::CANCELLED, None, now_ms)?;
    stop_work(db, row)?;
    let end = NewJob {
        kind: &END,
        partner: Some(&row.partner_id),
        key: &row.id,
        payload: "",
        due_ms: now_ms,
    };
    jobs::enqueue_or_point(db, new_id, &end, now_ms)?;
    Ok(ended)
}

/// Takes back the work of a run, so that what it still writes is not kept.
fn stop_work(db: &mut Db, row: &BulkJobRow) -> Result<(), Failure> {
    hands::stop(db, row)?;
    // A bulk match that is ended before its groups are there leaves none.
    member_groups::drop_unfinished(db, &row.partner_id, &row.id)
}

/// Does [`END`].
pub struct BulkEnd {
    /// Where the files are.
    pub files: BulkFiles,
    /// How long they are kept, milliseconds.
    pub keep_ms: i64,
}

impl BulkEnd {
    /// Removes the files of a run.
    async fn remove(&self, id: &str) -> Result<(), Failure> {
        let (files, own) = (self.files.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || files.remove(&own))
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))?
    }
}

impl JobStep for BulkEnd {
    fn kind(&self) -> &'static WorkKind {
        &END
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let (id, now_ms) = (held.job().key.clone(), held.ctx().clock.now_ms());
            let read = id.clone();
            let Some(row) = held.ctx().store.read(move |db| rows::find(db, &read)).await? else {
                // Announced, and never begun; or forgotten already.
                self.remove(&id).await?;
                return Ok(AttemptEnding::done());
            };
            let until_ms = match row.state.as_str() {
                rows::WAITING | rows::RUNNING if now_ms >= row.deadline_ms => {
                    let late = move |db: &mut Db| {
                        match rows::end(db, &row.id, rows::FAILED, Some(Fault::BulkLate.code()), now_ms)? {
                            true => stop_work(db, &row),
                            // It came to its end meanwhile.
                            false => Ok(()),
                        }
                    };
                    tracing::error!(bulk.job = id, "a bulk job did not come to its end in time");
                    return Ok(AttemptEnding::again(now_ms + self.keep_ms).with(Arc::new(late)));
                }
                rows::WAITING | rows::RUNNING => row.deadline_ms,
                rows::DONE => row.expires_ms.unwrap_or(now_ms),
                rows::FAILED => row.updated_ms + self.keep_ms,
                _ => {
                    // Deleted: what was said of its receipt is shown as long as its files would have been kept.
                    self.remove(&id).await?;
                    let read = id.clone();
                    let answers = held
                        .ctx()
                        .store
                        .read(move |db| bulk_receipts::of_job(db, &read))
                        .await?;
                    row.expires_ms.filter(|_| !answers.is_empty()).unwrap_or(now_ms)
                }
            };
            if now_ms < until_ms {
                return Ok(AttemptEnding::again(until_ms));
            }
            self.remove(&id).await?;
            Ok(AttemptEnding::done().with(Arc::new(move |db: &mut Db| {
                bulk_receipts::forget(db, &id)?;
                rows::forget(db, &id)
            })))
        })
    }
}

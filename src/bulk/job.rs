//! The life of a run: begun by a partner, asked about, cancelled, ended by its deadline, and forgotten when its files have been kept long
//! enough.
//!
//! A run that its partner may not see is not there: the same answer as for one that never was. No run waits for ever: work of its own
//! ([`super::end`]) ends it. Its start and its cancellation are in the ledger, each in the transaction that makes it so. This module never
//! reads member data.
//!
//! Whoever changes a run locks its row first and the rows of its jobs afterwards, so that no two of them wait for each other on PostgreSQL.

use super::files::{self, BulkFiles};
use super::hands;
use super::kinds::END;
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, OperatorNote, ledger};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, AttemptEnding, HeldJob, NewJob, WorkKind};
use crate::security::Caller;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, BulkPieceRow};
use crate::store::member_groups;
use crate::store::{Db, DiskRoom};
use crate::telemetry::Correlation;

/// Seconds until a partner with too many runs may try again.
const BUSY_S: u32 = 60;

/// How often it is asked whether the work of a run is parked, milliseconds.
pub(super) const LOOKED_MS: i64 = 3_600_000;

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
            demand_place(rows::unfinished(db, &partner)?, most)?;
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

/// Makes the end of a run due that was announced, and will not begin.
///
/// # Errors
/// Those of the store.
pub async fn unannounce(ctx: &Context, id: String) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let due = move |db: &mut Db| jobs::hasten(db, END.name, &id, now_ms);
    ctx.store.reserved().write(due).await?;
    ctx.bell.ring();
    Ok(())
}

/// Whether a run of the caller may begin now, asked before its body is read; it is asked again when it begins.
///
/// # Errors
/// As [`begin`].
pub async fn demand_free(ctx: &Context, limits: &BulkConfig, caller: &Caller) -> Result<(), Failure> {
    demand_room(ctx)?;
    let (partner, most) = (caller.partner.id.clone(), limits.jobs_per_partner);
    let unfinished = ctx.store.read(move |db| rows::unfinished_seen(db, &partner)).await?;
    demand_place(unfinished, most)
}

/// Refuses work that fills the disk while it has little room.
pub(super) fn demand_room(ctx: &Context) -> Result<(), Failure> {
    match ctx.store.room() {
        DiskRoom::Ample => Ok(()),
        _ => Err(Fault::NoRoom.into()),
    }
}

fn demand_place(unfinished: i64, most: i64) -> Result<(), Failure> {
    match unfinished < most {
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
    let now_us = ctx.clock.now_us();
    let now_ms = now_us / 1000;
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
    let ids = [ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms)];
    let entry = entry(Action::BulkBegun, caller, &id);
    ctx.store
        .write(move |db| {
            demand_place(rows::unfinished(db, &row.partner_id)?, most)?;
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
            let looked_ms = row.deadline_ms.min(now_ms + LOOKED_MS);
            jobs::enqueue_or_point(db, &ids[1], &own(&END, looked_ms), now_ms)?;
            also(db, &row)?;
            ledger::append(db, &entry, &ids[2], now_us)
        })
        .await?;
    ctx.bell.ring();
    Ok(id)
}

/// The entry of what the caller does with its run.
fn entry(action: Action, caller: &Caller, id: &str) -> LedgerEvent {
    let mut entry = LedgerEvent::new(action, caller.actor(), caller.correlation.clone());
    entry.object = Some(Object {
        kind: "bulk-job",
        id: id.to_owned(),
    });
    entry.outcome = EntryOutcome {
        class: "ok",
        http: Some(202),
        reason: None,
    };
    entry
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
    // A run that is written again keeps the end of its first time.
    let is_over = |row: &BulkJobRow| row.expires_ms.is_some_and(|at_ms| at_ms <= now_ms);
    found.filter(|row| !is_over(row)).ok_or_else(|| Fault::NotFound.into())
}

/// Why a file of a run of the caller could not be read: when the run was cancelled meanwhile, or its piece written again, the file is not there
/// any more, which is no fault of the folder.
pub async fn unread(ctx: &Context, caller: &Caller, (id, name): (&str, &str), failure: Failure) -> Failure {
    if failure.fault() != Fault::BulkFolder {
        return failure;
    }
    let (own, file) = (id.to_owned(), name.to_owned());
    let is_there = match of(ctx, caller, id).await {
        Ok(_) => {
            ctx.store
                .read(move |db| Ok(rows::file(db, &own, &file)?.is_some()))
                .await
        }
        Err(gone) => Err(gone),
    };
    match is_there {
        Ok(true) => failure,
        Ok(false) => Fault::NotFound.into(),
        Err(gone) => gone,
    }
}

/// Cancels a run of the caller, and removes its files. Returns the run as it was.
///
/// # Errors
/// As [`of`].
pub async fn cancel(ctx: &Context, files: &BulkFiles, caller: &Caller, id: &str) -> Result<BulkJobRow, Failure> {
    let row = of(ctx, caller, id).await?;
    let now_us = ctx.clock.now_us();
    let now_ms = now_us / 1000;
    let (new_id, entry_id) = (ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms));
    let (id, was, entry) = (
        row.id.clone(),
        row.clone(),
        entry(Action::BulkCancelled, caller, &row.id),
    );
    // On a full disk too: it makes room.
    let write = move |db: &mut Db| match cancelled(db, &row, &new_id, now_ms)? {
        true => ledger::append(db, &entry, &entry_id, now_us),
        false => Err(Fault::NotFound.into()),
    };
    ctx.store.reserved().write(write).await?;
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
    let entry = cancelled_by_operator("bulk-job", &id, note, &entry_id);
    ctx.store.reserved().write_blocking(move |db: &mut Db| {
        let row = rows::find(db, &id)?.ok_or(Fault::JobUnknown)?;
        match cancelled(db, &row, &new_id, now_ms)? {
            true => ledger::append(db, &entry, &entry_id, now_us),
            false => Err(Fault::JobUnknown.into()),
        }
    })
}

/// The entry of an operator's end of a run, which is an object of this kind.
pub(super) fn cancelled_by_operator(kind: &'static str, id: &str, note: OperatorNote, entry_id: &str) -> LedgerEvent {
    let by = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::BulkCancelled, by, Correlation::internal(entry_id.to_owned()));
    entry.note = Some(note);
    entry.object = Some(Object {
        kind,
        id: id.to_owned(),
    });
    entry
}

/// Ends a run as cancelled, and makes the removal of its files due. Returns `false` when it was cancelled before.
fn cancelled(db: &mut Db, row: &BulkJobRow, new_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let ended = rows::end(db, &row.id, rows::CANCELLED, None, now_ms)?;
    stop_work(db, row)?;
    end_at(db, row, new_id, now_ms, now_ms)?;
    Ok(ended)
}

/// Writes the result of a piece. `ends`: now, and until when the files are kept if it was the last one; then they are removed.
///
/// # Errors
/// Those of the database.
pub(super) fn finish_piece(
    db: &mut Db,
    piece: &BulkPieceRow,
    files: &[BulkFileRow],
    (now_ms, expires_ms): (i64, i64),
    new_id: &str,
) -> Result<(), Failure> {
    if !rows::finish_piece(db, piece, files, now_ms, expires_ms)? {
        return Ok(());
    }
    match rows::find(db, &piece.job_id)? {
        Some(row) => end_at(db, &row, new_id, row.expires_ms.unwrap_or(expires_ms), now_ms),
        None => Ok(()),
    }
}

/// Removes files whose rows were not written because the run has ended, or another attempt does the piece. A folder goes with its run; the
/// objects of a run may have been removed before these came.
pub(super) fn drop_late(ctx: &Context, files: &BulkFiles, failure: &Failure, written: &[BulkFileRow]) {
    let (Fault::LeaseLost, true, Some(first)) = (failure.fault(), files.are_objects(), written.first()) else {
        return;
    };
    // The rows come together. An answer that was lost may have written them.
    let named = ctx.store.read_blocking(|db| rows::file(db, &first.job_id, &first.name));
    if matches!(named, Ok(None)) {
        files.drop_files(written);
    }
}

/// Makes the end of a run due at `due_ms`, if it is due later.
pub(super) fn end_at(db: &mut Db, row: &BulkJobRow, new_id: &str, due_ms: i64, now_ms: i64) -> Result<(), Failure> {
    let end = NewJob {
        kind: &END,
        partner: Some(&row.partner_id),
        key: &row.id,
        payload: "",
        due_ms,
    };
    jobs::enqueue_or_point(db, new_id, &end, now_ms)
}

/// The end of a hand whose work cannot go on: its run has failed. The end of the run, due now, takes back the other hands and removes the
/// files.
///
/// # Errors
/// Those of the store; [`Fault::LeaseLost`].
pub(super) async fn failing(held: &HeldJob, fault: Fault) -> Result<AttemptEnding, Failure> {
    let (now_ms, id) = (held.ctx().clock.now_ms(), hands::hand_of(&held.job().key).0.to_owned());
    let new_id = held.ctx().ids.new_id(now_ms);
    let fail = move |db: &mut Db| {
        let Some(row) = rows::find(db, &id)? else { return Ok(()) };
        if rows::end(db, &row.id, rows::FAILED, Some(fault.code()), now_ms)? {
            member_groups::drop_unfinished(db, &row.partner_id, &row.id)?;
            end_at(db, &row, &new_id, now_ms, now_ms)?;
        }
        Ok(())
    };
    // Not with the ending, which would lock the row of the job before that of the run.
    held.write(fail).await?;
    Ok(AttemptEnding::done())
}

/// Takes back the work of a run, so that what it still writes is not kept.
///
/// # Errors
/// Those of the database.
pub(super) fn stop_work(db: &mut Db, row: &BulkJobRow) -> Result<(), Failure> {
    hands::stop(db, row)?;
    // A bulk match that is ended before its groups are there leaves none.
    member_groups::drop_unfinished(db, &row.partner_id, &row.id)
}

//! Exports: the records of the members on whom a partner has live grants, in files by type.
//!
//! A run is planned as pieces of members in the order of their ids, and a last piece for the shared resources that their records refer to,
//! each of which goes into one file once. A member's grant and consent are checked at the plan, at each piece, and at each download
//! ([`download`]). What the files hold is what `$everything` gives.

pub mod asked;
pub mod download;
mod piece;

use super::files::BulkFiles;
use super::job::{self, NewRun};
use super::kinds::{EXPORT, EXPORT_KIND};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};
use crate::security::Caller;
use crate::store::bulk::{self as rows, BulkJobRow, BulkPieceRow};
use crate::store::granted_members::{self, MembersAsked};
use crate::store::{Db, DiskRoom};
use asked::ExportAsked;
use std::time::{Duration, Instant};

/// Members of one piece.
const PIECE_MEMBERS: i64 = 100;
/// How long one attempt does pieces, before others get their turn.
const TURN: Duration = Duration::from_secs(60);
/// How long a run waits while the disk has no room for exports, milliseconds.
const NO_ROOM_MS: i64 = 30_000;

/// Begins an export of the caller: of all members, or of those of a group. Returns the id of the run.
///
/// # Errors
/// [`Fault::NotFound`] when the caller has no such group; [`Fault::ParameterInvalid`] when it has no grant on a member that the request
/// names; those of [`job::begin`].
pub async fn begin(
    ctx: &Context,
    limits: &BulkConfig,
    caller: &Caller,
    asked: &ExportAsked,
    (request_url, group): (String, Option<String>),
) -> Result<String, Failure> {
    if caller.patient_id.is_some() {
        // A token for one member is not for work over many.
        return Err(Fault::ScopeMissing.into());
    }
    let who = MembersAsked {
        partner: caller.partner.id.clone(),
        group: group.clone(),
        patients: asked.patients.clone(),
        now_ms: ctx.clock.now_ms(),
    };
    let (has_group, has_all) = ctx
        .store
        .read(move |db| {
            let has_group = match &who.group {
                None => true,
                Some(group) => granted_members::has_group(db, &who.partner, group)?,
            };
            let named = i64::try_from(who.patients.len()).unwrap_or(i64::MAX);
            let has_all = named == 0 || granted_members::after(db, &who, "", named)?.len() == who.patients.len();
            Ok((has_group, has_all))
        })
        .await?;
    if !has_group {
        return Err(Fault::NotFound.into());
    }
    if !has_all {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("$export.patient")
            .remedy("Name only members on whom you have a grant, and who are in the group."));
    }
    let new = NewRun {
        kind: EXPORT_KIND,
        work: &EXPORT,
        request_url,
        request_json: serde_json::to_string(asked).map_err(|error| Failure::new(Fault::Internal).because(error))?,
        group_id: group,
    };
    job::begin(ctx, limits, caller, new).await
}

/// Does [`EXPORT`].
pub struct ExportStep {
    /// Where files are written.
    pub files: BulkFiles,
    /// How long they are kept, milliseconds.
    pub keep_ms: i64,
}

impl JobStep for ExportStep {
    fn kind(&self) -> &'static WorkKind {
        &EXPORT
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let (files, keep_ms) = (self.files.clone(), self.keep_ms);
        Box::pin(async move {
            let own = held.clone();
            match tokio::task::spawn_blocking(move || attempt(&own, &files, keep_ms)).await {
                // Like a bulk match: the partner may begin another one when it is active again.
                Ok(Err(failure)) if failure.fault() == Fault::PartnerSuspended => {
                    Ok(job::failing(held.ctx(), &held.job().key, Fault::PartnerSuspended))
                }
                Ok(ended) => ended,
                // The panic continues in the task of this step.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Failure::new(Fault::Internal).because(error)),
            }
        })
    }
}

/// Does pieces until there are none, or the turn is over.
fn attempt(held: &HeldJob, files: &BulkFiles, keep_ms: i64) -> Result<AttemptEnding, Failure> {
    let (ctx, id, began) = (held.ctx(), &held.job().key, Instant::now());
    loop {
        if ctx.store.room() != DiskRoom::Ample {
            // Nothing is wrong with the run; what the disk has left is for others.
            return Ok(AttemptEnding::again(ctx.clock.now_ms() + NO_ROOM_MS));
        }
        let Some(row) = ctx.store.read_blocking(|db| rows::find(db, id))? else {
            return Ok(AttemptEnding::done());
        };
        match row.state.as_str() {
            rows::WAITING => plan(held, files, &row)?,
            rows::RUNNING => {}
            _ => return Ok(AttemptEnding::done()),
        }
        let Some(next) = ctx.store.read_blocking(|db| rows::next_piece(db, id))? else {
            return Ok(AttemptEnding::done());
        };
        do_piece(held, files, &row, next, keep_ms)?;
        if began.elapsed() >= TURN {
            return Ok(AttemptEnding::again(ctx.clock.now_ms()));
        }
    }
}

/// Divides the members into pieces, and begins the run.
fn plan(held: &HeldJob, files: &BulkFiles, row: &BulkJobRow) -> Result<(), Failure> {
    let (ctx, now_ms) = (held.ctx(), held.ctx().clock.now_ms());
    let members = ExportAsked::of_run(row)?.members(row, now_ms);
    let (mut pieces, mut last) = (Vec::new(), String::new());
    let piece = |position: usize, first: &str, last: &str, members: usize| BulkPieceRow {
        job_id: row.id.clone(),
        position: i64::try_from(position).unwrap_or(i64::MAX),
        state: rows::WAITING.to_owned(),
        first_key: first.to_owned(),
        last_key: last.to_owned(),
        members: i64::try_from(members).unwrap_or(i64::MAX),
    };
    loop {
        let some = ctx
            .store
            .read_blocking(|db| granted_members::after(db, &members, &last, PIECE_MEMBERS))?;
        let (Some(first), Some(end)) = (some.first(), some.last()) else {
            break;
        };
        pieces.push(piece(pieces.len(), first, end, some.len()));
        last.clone_from(end);
    }
    // The piece of the shared resources, which comes last.
    pieces.push(piece(pieces.len(), "", "", 0));
    files.make(&row.id)?;
    let id = row.id.clone();
    held.write_blocking(move |db| rows::plan(db, &id, &pieces, now_ms))?;
    failpoint::pass("bulk", "planned");
    Ok(())
}

/// Writes the files of a piece, and then their rows.
fn do_piece(
    held: &HeldJob,
    files: &BulkFiles,
    row: &BulkJobRow,
    next: BulkPieceRow,
    keep_ms: i64,
) -> Result<(), Failure> {
    let asked = ExportAsked::of_run(row)?;
    let window = asked.window(row.transaction_ms.unwrap_or(row.created_ms));
    let work = piece::PieceWork {
        held,
        files,
        row,
        asked: &asked,
        window: &window,
        piece: &next,
    };
    let written = match next.members {
        0 => work.shared()?,
        _ => work.members()?,
    };
    files.sync(&row.id)?;
    failpoint::pass("bulk", "files-written");
    let now_ms = held.ctx().clock.now_ms();
    let (ends, new_id) = ((now_ms, now_ms + keep_ms), held.ctx().ids.new_id(now_ms));
    held.write_blocking(move |db: &mut Db| job::finish_piece(db, &next, &written, ends, &new_id))?;
    failpoint::pass("bulk", "piece-done");
    Ok(())
}

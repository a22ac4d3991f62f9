//! `Group/$bulk-member-match` (PDex): many members in one request, each judged by the steps of the single match.
//!
//! [`begin`] reads the whole body, refuses what is wrong with the whole, and spools the members before it answers. [`step`] judges piece after
//! piece; the rows of a piece are one transaction, so that a crash repeats at most one piece and counts nobody twice. The last piece writes the
//! groups: as files of the run, and as rows that their partner reads afterwards ([`groups`]). A member who cannot be read fails alone.

mod body;
mod contained;
pub mod download;
mod group;
pub mod groups;
mod result;
mod step;

pub use group::{CODES, GroupCode, identifier_system};
pub use step::MatchStep;

use super::files::{self, BulkFiles};
use super::job::{self, NewRun};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, Priority, WorkKind};
use crate::security::{Caller, JobCaller};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, BulkPieceRow};
use crate::store::guesses;
use crate::store::member_groups;
use body::MemberSpool;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The kind of these runs in their rows.
pub const KIND: &str = "match";
/// The side of the file with the members of the body. No manifest names it.
const SPOOL: &str = "spool";
/// The piece that the spool belongs to: none.
const NO_PIECE: i64 = -1;

/// The work of a bulk match.
pub static MATCH: WorkKind = WorkKind {
    name: "bulk-match",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(3_600),
    renews: true,
    safe_because: "the rows of a piece, decisions and entries, are committed once, together with its state and under the lease",
};

/// What a run keeps of its request.
#[derive(Debug, Serialize, Deserialize)]
struct MatchJob {
    members: usize,
    caller: JobCaller,
}

impl MatchJob {
    fn of(row: &BulkJobRow) -> Result<MatchJob, Failure> {
        serde_json::from_str(&row.request_json).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
    }
}

/// Begins a bulk match of the caller. Returns the id of the run; the members are on the disk then.
///
/// # Errors
/// Those of the body as a whole: 400, 413, and 422 for nobody, too many members, or one id for two Patients; [`Fault::MatchLocked`] while the
/// partner's matches are locked; those of [`job::begin`] and of the files.
pub async fn begin(
    ctx: &Context,
    (limits, files): (&BulkConfig, &BulkFiles),
    caller: &Caller,
    body: Bytes,
    request_url: String,
) -> Result<String, Failure> {
    if caller.patient_id.is_some() {
        // A token for one member is not for work over many.
        return Err(Fault::ScopeMissing.into());
    }
    demand_unlocked(ctx, caller).await?;
    let (id, files, members_max) = (files::new_name(), files.clone(), limits.members_max);
    let own = id.clone();
    let (spool, file) = blocking(move || {
        let spool = body::read(&body, members_max)?;
        let file = spooled(&files, &own, &spool).inspect_err(|_| drop(files.remove(&own)))?;
        Ok((spool, file))
    })
    .await?;
    let job = MatchJob {
        members: spool.lines.len(),
        caller: JobCaller::from(caller),
    };
    let new = NewRun {
        kind: KIND,
        work: &MATCH,
        request_url,
        request_json: serde_json::to_string(&job).map_err(|error| Failure::new(Fault::Internal).because(error))?,
        group_id: None,
    };
    let pieces = pieces(&id, &spool);
    let put = move |db: &mut Db, row: &BulkJobRow| {
        rows::put_files(db, std::slice::from_ref(&file))?;
        rows::plan(db, &row.id, &pieces, row.created_ms)?;
        rows::count_from(db, &row.id, row.created_ms)
    };
    job::begin_as(ctx, limits, caller, (id, new), put).await
}

/// Refuses a partner whose single matches the guessing guard has locked. A match that has begun is not stopped by a lock.
async fn demand_unlocked(ctx: &Context, caller: &Caller) -> Result<(), Failure> {
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let tallied = ctx
        .store
        .read(move |db| guesses::tallied(db, &partner, now_ms))
        .await?;
    match tallied.locked_until_ms {
        None => Ok(()),
        Some(until_ms) => {
            let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
            Err(Failure::new(Fault::MatchLocked).retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX)))
        }
    }
}

/// Runs work that blocks its thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Failure::new(Fault::Internal).because(error)),
    }
}

/// Writes the members into a file of the run, which is on the disk when this returns.
fn spooled(files: &BulkFiles, id: &str, spool: &MemberSpool) -> Result<BulkFileRow, Failure> {
    files.make(id)?;
    let mut writer = files.begin(id, NO_PIECE, SPOOL, "Parameters")?;
    for line in &spool.lines {
        writer.line("", line)?;
    }
    let row = writer.finish(0)?;
    files.sync(id)?;
    Ok(row)
}

/// The pieces of a run: those of members, whose keys are their places in the spool, and the last one, which writes the result.
fn pieces(id: &str, spool: &MemberSpool) -> Vec<BulkPieceRow> {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let piece = |position: usize, first_key: String, last_key: String, members: usize| BulkPieceRow {
        job_id: id.to_owned(),
        position: number(position),
        state: rows::WAITING.to_owned(),
        first_key,
        last_key,
        members: number(members),
    };
    let judged = spool.pieces.iter().enumerate();
    let mut pieces: Vec<BulkPieceRow> = judged
        .map(|(at, one)| piece(at, one.start.to_string(), one.end.to_string(), one.members))
        .collect();
    pieces.push(piece(pieces.len(), String::new(), String::new(), 0));
    pieces
}

/// The groups of a run that has them only when it is done, and the list of the members who cannot be read.
fn group_ids(job_id: &str) -> Vec<String> {
    let mut ids: Vec<String> = GroupCode::ALL.iter().map(|code| code.id_of(job_id)).collect();
    ids.push(unread_id(job_id));
    ids
}

/// Under what id the members of a run are listed who cannot be read.
fn unread_id(job_id: &str) -> String {
    format!("{job_id}-unread")
}

/// Takes back the work of a run that is ended, in the caller's transaction. What it judged stays decided; it leaves no groups.
///
/// # Errors
/// Those of the database.
pub(super) fn stop(db: &mut Db, row: &BulkJobRow) -> Result<(), Failure> {
    jobs::take_back(db, &MATCH, &row.id)?;
    let first = GroupCode::Match.id_of(&row.id);
    if member_groups::find(db, &row.partner_id, &first)?.is_none() {
        member_groups::drop_entries(db, &group_ids(&row.id))?;
    }
    Ok(())
}

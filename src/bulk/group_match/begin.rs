//! The kick-off of a bulk match: the whole body is read, and its members are on the disk before the answer.

use super::body::{self, MemberSpool};
use super::run::{MatchJob, SPOOL, blocking};
use crate::bulk::files::BulkFiles;
use crate::bulk::hands;
use crate::bulk::job::{self, NewRun};
use crate::bulk::kinds::{MATCH, MATCH_KIND};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::security::{Caller, JobCaller};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, BulkPieceRow};
use crate::store::guesses;
use bytes::Bytes;

/// The piece that the spool belongs to: none.
const NO_PIECE: i64 = -1;

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
    let members_max = limits.members_max;
    let spool = blocking(move || body::read(&body, members_max)).await?;
    let id = job::announce(ctx, limits, caller).await?;
    let (own, writer) = (id.clone(), files.clone());
    let (spool, file) = blocking(move || match spooled(&writer, &own, &spool) {
        Ok(file) => Ok((spool, file)),
        Err(failure) => {
            // What stays there goes with the end that was announced.
            let _ = writer.remove_here(&own);
            Err(failure)
        }
    })
    .await?;
    failpoint::pass("bulk", "spooled");
    let job = MatchJob {
        members: spool.lines.len(),
        caller: JobCaller::from(caller),
    };
    let new = NewRun {
        kind: MATCH_KIND,
        work: &MATCH,
        request_url,
        request_json: serde_json::to_string(&job).map_err(|error| Failure::new(Fault::Internal).because(error))?,
        group_id: None,
    };
    let (pieces, own, remover) = (pieces(&id, &spool), id.clone(), files.clone());
    let more = hands::ids(ctx);
    let put = move |db: &mut Db, row: &BulkJobRow| {
        rows::put_files(db, std::slice::from_ref(&file))?;
        rows::plan(db, &row.id, &pieces, row.created_ms)?;
        rows::count_from(db, &row.id, row.created_ms)?;
        let count = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
        hands::call(db, &MATCH, (row, count), &more, row.created_ms)
    };
    let begun = job::begin_as(ctx, limits, caller, (id, new), put).await;
    if let Err(failure) = &begun
        && failure.fault() == Fault::BulkBusy
    {
        // After any other failure nobody knows whether the run has begun; the end that was announced removes what has no row.
        let _ = blocking(move || remover.remove(&own)).await;
    }
    begun
}

/// Refuses a partner whose single matches the guessing guard has locked. A match that has begun is not stopped by a lock.
async fn demand_unlocked(ctx: &Context, caller: &Caller) -> Result<(), Failure> {
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let tallied = ctx.store.read(move |db| guesses::tallied(db, &partner, now_ms)).await?;
    match tallied.locked_until_ms {
        None => Ok(()),
        Some(until_ms) => {
            let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
            Err(Failure::new(Fault::MatchLocked).retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX)))
        }
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

//! Exports: the records of the members on whom a partner has live grants, in files by type.
//!
//! A run is planned as pieces of members in the order of their ids, and a last piece for the shared resources that their records refer to,
//! each of which goes into one file once. A member's grant and consent are checked at the plan, at each piece, and at each download
//! ([`download`]). What the files hold is what `$everything` gives.

pub mod asked;
pub mod download;
mod piece;

use super::files::BulkFiles;
use super::hands::{self, Next};
use super::job::{self, NewRun};
use super::kinds::{EXPORT, EXPORT_KIND};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};
use crate::security::Caller;
use crate::store::bulk::{self as rows, BulkJobRow, BulkPieceRow};
use crate::store::bulk_pieces;
use crate::store::granted_members::{self, MembersAsked};
use crate::store::{Db, DiskRoom};
use asked::{ExportAsked, ReadingOfParameters};
use std::time::{Duration, Instant};

/// Most members of one piece. The download of a file begins with an entry of the ledger for each, for which the first byte waits.
const PIECE_MEMBERS: usize = 128;
/// About how many resources a piece has at most, if it has several members: a crash repeats them.
const PIECE_RESOURCES: i64 = 20_000;
/// Members that are read at once when a run is planned.
const PAGE_MEMBERS: i64 = 2_000;
/// How long one attempt does pieces, before others get their turn.
const TURN: Duration = Duration::from_secs(60);
/// How long a run waits while the disk has no room for exports, milliseconds.
const NO_ROOM_MS: i64 = 30_000;

/// Begins an export of the caller: of all members, or of those of a group. Returns the id of the run.
///
/// # Errors
/// [`Fault::NotFound`] when the caller has no such group; [`Fault::ParameterInvalid`] when it has no grant on a member that the request
/// names, unless `how` passes such members over; those of [`job::begin`].
pub async fn begin(
    ctx: &Context,
    limits: &BulkConfig,
    caller: &Caller,
    (asked, how): (&ExportAsked, ReadingOfParameters),
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
        granted_until_ms: i64::MAX,
    };
    let look = move |db: &mut Db| {
        let has_group = match &who.group {
            None => true,
            Some(group) => granted_members::has_group(db, &who.partner, group)?,
        };
        let limit = i64::try_from(who.patients.len()).unwrap_or(i64::MAX);
        let known = match limit {
            0 => Vec::new(),
            _ => granted_members::after(db, &who, "", limit)?,
        };
        Ok((has_group, known))
    };
    let (has_group, known) = ctx.store.read(look).await?;
    if !has_group {
        return Err(Fault::NotFound.into());
    }
    let mut asked = asked.clone();
    if asked.named().is_some_and(|named| known.len() < named) {
        if !how.passes_over {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("$export.patient")
                .remedy("Name only members on whom you have a grant, and who are in the group."));
        }
        asked.pass_over_all_but(&known);
    }
    let new = NewRun {
        kind: EXPORT_KIND,
        work: &EXPORT,
        request_url,
        request_json: serde_json::to_string(&asked).map_err(|error| Failure::new(Fault::Internal).because(error))?,
        group_id: group,
    };
    job::begin(ctx, limits, caller, new).await
}

/// Does the work of an export.
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
                    job::failing(&held, Fault::PartnerSuspended).await
                }
                Ok(ended) => ended,
                Err(error) => Err(hands::lost(error)),
            }
        })
    }
}

/// Does the pieces of this hand until there are none, or the turn is over.
fn attempt(held: &HeldJob, files: &BulkFiles, keep_ms: i64) -> Result<AttemptEnding, Failure> {
    let (ctx, until, mut after) = (held.ctx(), Instant::now() + TURN, -1);
    let (id, number) = hands::hand_of(&held.job().key);
    loop {
        if ctx.store.room() != DiskRoom::Ample {
            // Nothing is wrong with the run; what the disk has left is for others.
            return Ok(AttemptEnding::again(ctx.clock.now_ms() + NO_ROOM_MS));
        }
        let Some(row) = ctx.store.read_blocking(|db| rows::find(db, id))? else {
            return Ok(AttemptEnding::done());
        };
        match row.state.as_str() {
            rows::WAITING => {
                plan(held, files, &row)?;
                continue;
            }
            rows::RUNNING => {}
            _ => return Ok(AttemptEnding::done()),
        }
        match hands::next(ctx, &row, number, after)? {
            Next::Nothing => return Ok(AttemptEnding::done()),
            Next::Wait(until_ms) => return Ok(AttemptEnding::again(until_ms)),
            Next::Last(piece) => do_piece(held, files, &row, piece, keep_ms)?,
            Next::Pieces(pieces) => {
                after = pieces.last().map_or(after, |last| last.position);
                let write = |piece| do_piece(held, files, &row, piece, keep_ms);
                if !hands::side_by_side(pieces, until, &write)? {
                    return Ok(AttemptEnding::again(ctx.clock.now_ms()));
                }
            }
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
        let (some, sizes) = ctx.store.read_blocking(|db| {
            let some = granted_members::after(db, &members, &last, PAGE_MEMBERS)?;
            let sizes = bulk_pieces::sizes(db, &some)?;
            Ok((some, sizes))
        })?;
        let Some(end) = some.last() else {
            break;
        };
        for (first, last, count) in cut(&some, |id| sizes.get(id).copied().unwrap_or(0)) {
            pieces.push(piece(pieces.len(), first, last, count));
        }
        last.clone_from(end);
    }
    // The piece of the shared resources, which comes last.
    pieces.push(piece(pieces.len(), "", "", 0));
    files.make(&row.id)?;
    let (row, more) = (row.clone(), hands::ids(ctx));
    held.advance_blocking(move |db| {
        rows::plan(db, &row.id, &pieces, now_ms)?;
        let count = i64::try_from(pieces.len()).unwrap_or(i64::MAX);
        hands::call(db, &EXPORT, (&row, count), &more, now_ms)
    })?;
    ctx.bell.ring();
    failpoint::pass("bulk", "planned");
    Ok(())
}

/// Cuts members into pieces: the first and the last one of each, and how many they are. `size` is about how many resources a member has.
fn cut(members: &[String], size: impl Fn(&str) -> i64) -> Vec<(&str, &str, usize)> {
    let (mut pieces, mut resources): (Vec<(&str, &str, usize)>, i64) = (Vec::new(), 0);
    for id in members {
        let more = size(id);
        match pieces.last_mut() {
            Some((_, last, count)) if *count < PIECE_MEMBERS && resources + more <= PIECE_RESOURCES => {
                (*last, *count) = (id, *count + 1);
                resources += more;
            }
            _ => {
                pieces.push((id, id, 1));
                resources = more;
            }
        }
    }
    pieces
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
    if next.members == 0 {
        // All other pieces have their rows.
        let there = held.ctx().store.read_blocking(|db| rows::files(db, &row.id))?;
        let of_others = there.iter().filter(|file| file.piece != next.position);
        let names = of_others.chain(&written).map(|file| file.name.as_str());
        files
            .keep_only(held, &row.id, &names.collect())
            .inspect_err(|failure| job::drop_late(held.ctx(), files, failure, &written))?;
    }
    files.sync(&row.id)?;
    failpoint::pass("bulk", "files-written");
    let now_ms = held.ctx().clock.now_ms();
    let (ends, new_id) = ((now_ms, now_ms + keep_ms), held.ctx().ids.new_id(now_ms));
    let rows = written.clone();
    held.advance_blocking(move |db: &mut Db| job::finish_piece(db, &next, &rows, ends, &new_id))
        .inspect_err(|failure| job::drop_late(held.ctx(), files, failure, &written))?;
    failpoint::pass("bulk", "piece-done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_at_their_members_or_at_their_resources() {
        let members: Vec<String> = (0..450).map(|at| format!("{at:03}")).collect();
        let few = cut(&members, |_| 4);
        assert_eq!(
            few,
            [
                ("000", "127", 128),
                ("128", "255", 128),
                ("256", "383", 128),
                ("384", "449", 66)
            ]
        );
        let large = cut(&members[..3], |id| if id == "001" { 50_000 } else { 15_000 });
        assert_eq!(large, [("000", "000", 1), ("001", "001", 1), ("002", "002", 1)]);
        assert!(cut(&[], |_| 1).is_empty());
    }
}

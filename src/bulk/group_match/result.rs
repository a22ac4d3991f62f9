//! The result of a bulk match: the groups and the messages about members who cannot be read, as files of the run and as rows. It may be
//! written again, when a member of it has left.

use super::group::{self, GroupCode};
use super::groups::GroupReader;
use super::run::{MatchRun, SPOOL};
use crate::error::Failure;
use crate::failpoint;
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkPieceRow, ERROR, OUTPUT};
use crate::store::guesses::Alarm;
use crate::store::member_groups::{self, MemberGroupRow};

/// Writes the result with the last piece: first the files, then the rows that name them, together with the groups.
///
/// # Errors
/// Those of the files and of the store.
pub(super) fn write(run: &MatchRun, piece: BulkPieceRow) -> Result<(), Failure> {
    let (ctx, id, now_ms) = (run.held.ctx(), run.row.id.clone(), run.now_ms());
    let rows_of_groups = groups(run)?;
    let reader = GroupReader {
        npi: &run.partner_npi,
        payer: &ctx.payer,
        now_ms,
    };
    let written = ctx.store.read_blocking(|db| reader.written(db, &rows_of_groups))?;
    let files = files(run, &piece, &written, now_ms)?;
    // All members have their entries; the file with them is not needed any more.
    run.files
        .keep_only(&id, &files.iter().map(|file| file.name.as_str()).collect())?;
    run.files.sync(&id)?;
    failpoint::pass("bulk", "files-written");
    let (keep_ms, asking) = (run.keep_ms, run.asking.clone());
    let raised = run.held.write_blocking(move |db: &mut Db| {
        member_groups::replace(db, &rows_of_groups)?;
        let failed = member_groups::count(db, &GroupCode::NoMatch.id_of(&id))?;
        rows::drop_side(db, &id, SPOOL)?;
        rows::finish_piece(db, &piece, &files, now_ms, now_ms + keep_ms)?;
        asking.weigh_share(db, failed)
    })?;
    if raised {
        run.asking.tell(&[Alarm::Ratio]);
    }
    Ok(())
}

/// The rows of the groups: that of the matched members always, the others when they have members.
fn groups(run: &MatchRun) -> Result<Vec<MemberGroupRow>, Failure> {
    let (id, now_ms) = (&run.row.id, run.now_ms());
    run.held.ctx().store.read_blocking(|db| {
        let mut found = Vec::new();
        for code in GroupCode::ALL {
            let group_id = code.id_of(id);
            if code == GroupCode::Match || member_groups::count(db, &group_id)? > 0 {
                found.push(MemberGroupRow {
                    id: group_id,
                    partner_id: run.row.partner_id.clone(),
                    code: code.code().to_owned(),
                    job_id: id.clone(),
                    match_ms: run.row.created_ms,
                    updated_ms: now_ms,
                });
            }
        }
        Ok(found)
    })
}

/// Writes the files of the result.
fn files(
    run: &MatchRun,
    piece: &BulkPieceRow,
    groups: &[(GroupCode, Vec<u8>)],
    now_ms: i64,
) -> Result<Vec<BulkFileRow>, Failure> {
    let (id, position) = (&run.row.id, piece.position);
    let mut files = Vec::new();
    let mut output = run.files.begin(id, position, OUTPUT, "Group")?;
    for (_, group) in groups {
        output.line("", group)?;
    }
    files.push(output.finish(now_ms)?);
    if run.wants_envelope {
        let mut output = run.files.begin(id, position, OUTPUT, "Parameters")?;
        output.line("", &group::envelope(groups))?;
        files.push(output.finish(now_ms)?);
    }
    let mut errors = run.files.begin(id, position, ERROR, "OperationOutcome")?;
    let (unread, mut after, mut any) = (member_groups::id_of(id, member_groups::UNREAD), -1, false);
    loop {
        let store = &run.held.ctx().store;
        let some = store.read_blocking(|db| member_groups::entries(db, &unread, after, PAGE))?;
        let Some(last) = some.last() else {
            break;
        };
        after = last.position;
        for told in some.iter().filter_map(|entry| entry.sealed.as_deref()) {
            errors.line("", told)?;
            any = true;
        }
    }
    if any {
        files.push(errors.finish(now_ms)?);
    }
    Ok(files)
}

/// Entries that are read at once.
const PAGE: i64 = 500;

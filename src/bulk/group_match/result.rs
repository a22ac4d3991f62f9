//! The result of a bulk match: the groups and the messages about members who cannot be read, as files of the run and as rows. It may be
//! written again, when a member of it has left.

use super::group::{self, GroupCode, TakeText};
use super::groups::{GroupReader, in_order, page_of};
use super::run::{MatchRun, SPOOL};
use crate::bulk::job;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkPieceRow, ERROR, OUTPUT};
use crate::store::guesses::Alarm;
use crate::store::member_groups::{self, GroupEntryRow, MemberGroupRow};

/// Writes the result with the last piece: first the files, then the rows that name them, together with the groups.
///
/// # Errors
/// Those of the files and of the store.
pub(super) fn write(run: &MatchRun, piece: BulkPieceRow) -> Result<(), Failure> {
    let (ctx, id, now_ms) = (run.held.ctx(), run.row.id.clone(), run.now_ms());
    let rows_of_groups = groups(run)?;
    let of_run = ctx.store.read_blocking(|db| rows::files(db, &id))?;
    let files = files(run, &piece, &rows_of_groups, now_ms)?;
    // All members have their entries; the file with them is not needed any more.
    run.files
        .keep_only(&run.held, &id, &files.iter().map(|file| file.name.as_str()).collect())
        .inspect_err(|failure| job::drop_late(ctx, &run.files, failure, &files))?;
    run.files.sync(&id)?;
    failpoint::pass("bulk", "files-written");
    // Without the row of its members the result is written again; then nothing is counted again.
    let spool = of_run.into_iter().find(|file| file.side == SPOOL);
    let named = spool.map(|spool| spool.sha256);
    let (ends, asking, new_id) = (
        (now_ms, now_ms + run.keep_ms),
        run.asking.clone(),
        ctx.ids.new_id(now_ms),
    );
    let written = files.clone();
    let kept = run.held.write_blocking(move |db: &mut Db| {
        member_groups::replace(db, &rows_of_groups)?;
        let failed = member_groups::count(db, &GroupCode::NoMatch.id_of(&id))?;
        rows::drop_side(db, &id, SPOOL)?;
        job::finish_piece(db, &piece, &files, ends, &new_id)?;
        match &named {
            Some(sha256) => asking.weigh_share(db, failed, sha256),
            None => Ok(false),
        }
    });
    if kept.inspect_err(|failure| job::drop_late(ctx, &run.files, failure, &written))? {
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
    groups: &[MemberGroupRow],
    now_ms: i64,
) -> Result<Vec<BulkFileRow>, Failure> {
    let (id, position) = (&run.row.id, piece.position);
    let mut files = Vec::new();
    let (store, reader) = (
        &run.held.ctx().store,
        GroupReader {
            npi: &run.partner_npi,
            payer: &run.held.ctx().payer,
        },
    );
    let forms: &[&str] = if run.wants_envelope {
        &["Group", "Parameters"]
    } else {
        &["Group"]
    };
    for form in forms {
        let mut output = run.files.begin(id, position, OUTPUT, form)?;
        let mut pages = |row: &MemberGroupRow, after| {
            if run.held.is_lost() {
                return Err(Fault::LeaseLost.into());
            }
            store.read_blocking(|db| page_of(db, row, now_ms, after))
        };
        let resources = text(&reader, form, groups.to_vec(), &mut pages, &mut |some| output.put(some))?;
        output.count(resources);
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

/// Reads a page of a group's entries.
pub(super) type PagesOf<'p> =
    &'p mut dyn FnMut(&MemberGroupRow, i64) -> Result<Option<(Vec<GroupEntryRow>, i64)>, Failure>;

/// Writes the text of the file of this type with these groups. Returns how many resources it has.
///
/// # Errors
/// Those of `pages` and `out`.
pub(super) fn text(
    reader: &GroupReader<'_>,
    form: &str,
    groups: Vec<MemberGroupRow>,
    pages: PagesOf<'_>,
    out: TakeText<'_>,
) -> Result<i64, Failure> {
    let is_envelope = form == "Parameters";
    let mut written = 0;
    for (at, (code, row)) in in_order(groups).into_iter().enumerate() {
        if is_envelope {
            out(group::before_parameter(at, code).as_bytes())?;
        }
        reader.write(&row, &mut |after| pages(&row, after), out)?;
        if !is_envelope {
            out(b"\n")?;
        }
        written += 1;
    }
    if is_envelope {
        out(group::ENDS.as_bytes())?;
        out(b"\n")?;
        written = 1;
    }
    Ok(written)
}

/// Entries that are read at once.
const PAGE: i64 = 500;

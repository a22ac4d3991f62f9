//! The download of a file of a bulk match's result.
//!
//! A file with groups is given only while it says what the groups say now. When a member has left a group, the result is written again, and the
//! manifest then names the new files. What the match disclosed is in the ledger entries of its decisions; a download adds nothing to it.

use super::group;
use super::groups::GroupReader;
use super::run::{SPOOL, blocking};
use crate::bulk::files::{self, BulkFiles, FileReader};
use crate::bulk::hands;
use crate::bulk::kinds::{MATCH, MATCH_KIND};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::operations::BULK_MEMBER_MATCH;
use crate::secret::sha256;
use crate::security::{Caller, Permission, Scopes};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, ERROR};
use crate::store::member_groups;

/// Opens a file of `run`, which is the caller's. Returns `None` when the run is no bulk match.
///
/// # Errors
/// [`Fault::NotFound`] when the run has no such file, or a member of it has left; [`Fault::ScopeMissing`]; those of the store and the files.
pub async fn open(
    ctx: &Context,
    (limits, files): (&BulkConfig, &BulkFiles),
    caller: &Caller,
    (run, name): (&BulkJobRow, &str),
) -> Result<Option<(BulkFileRow, FileReader)>, Failure> {
    if run.kind != MATCH_KIND {
        return Ok(None);
    }
    if !files::is_name(name) || run.state != rows::DONE {
        return Err(Fault::NotFound.into());
    }
    let (id, file_name) = (run.id.clone(), name.to_owned());
    let found = ctx.store.read(move |db| rows::file(db, &id, &file_name)).await?;
    let row = found.filter(|row| row.side != SPOOL).ok_or(Fault::NotFound)?;
    let scopes = Scopes::parse(&caller.scope);
    if !scopes.allows_operation(BULK_MEMBER_MATCH) && !scopes.allows("Group", Permission::Read) {
        return Err(Fault::ScopeMissing.into());
    }
    if row.side != ERROR && written_now(ctx, caller, run, &row).await? != row.sha256 {
        write_again(ctx, (limits, files), run).await?;
        return Err(Fault::NotFound.into());
    }
    let (files, opened) = (files.clone(), row.clone());
    let reader = blocking(move || files.open(&opened)).await?;
    Ok(Some((row, reader)))
}

/// The digest that the file would have if it were written now.
async fn written_now(ctx: &Context, caller: &Caller, run: &BulkJobRow, row: &BulkFileRow) -> Result<Vec<u8>, Failure> {
    let (partner, payer, now_ms) = (caller.partner.clone(), ctx.payer.clone(), ctx.clock.now_ms());
    let (ids, is_envelope) = (member_groups::ids_of(&run.id), row.resource_type == "Parameters");
    let work = move |db: &mut Db| {
        let rows = member_groups::of_run(db, &partner.id, &ids)?;
        let reader = GroupReader {
            npi: &partner.npi,
            payer: &payer,
            now_ms,
        };
        // In the order of the result.
        let mut groups = reader.written(db, &rows)?;
        groups.sort_by_key(|(code, _)| group::GroupCode::ALL.iter().position(|one| one == code));
        let mut text = Vec::new();
        if is_envelope {
            text.extend(group::envelope(&groups));
            text.push(b'\n');
        } else {
            for (_, group) in groups {
                text.extend(group);
                text.push(b'\n');
            }
        }
        Ok(sha256(&text).to_vec())
    };
    ctx.store.read_in_turn(&caller.partner.id, work).await
}

/// Has the result written again.
async fn write_again(
    ctx: &Context,
    (limits, files): (&BulkConfig, &BulkFiles),
    run: &BulkJobRow,
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let (run, new_id, deadline_ms) = (run.clone(), ctx.ids.new_id(now_ms), now_ms + limits.deadline_ms);
    let more = hands::ids(ctx);
    let dropped = ctx
        .store
        .write(move |db| {
            let Some(dropped) = rows::reopen(db, &run.id, &[run.pieces - 1], (now_ms, deadline_ms))? else {
                return Ok(Vec::new());
            };
            hands::call_again(db, &MATCH, (&run, run.pieces - 1), (&new_id, &more), now_ms)?;
            Ok(dropped)
        })
        .await?;
    ctx.bell.ring();
    // Nothing names them any more, and they have what may not be given.
    let files = files.clone();
    tokio::task::spawn_blocking(move || dropped.iter().for_each(|row| files.drop_file(row)))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))
}

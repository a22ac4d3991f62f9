//! The download of a file of a bulk match's result.
//!
//! A file with groups is given only while it says what the groups say now. When a member has left a group, the result is written again, and the
//! manifest then names the new files; a download that is under way ends. Whom the match disclosed is in the ledger entries of its decisions; each download has one entry more, begun before its first byte.

use super::current;
use super::group::GroupCode;
use super::run::{SPOOL, blocking};
use crate::bulk::again::write_again;
use crate::bulk::files::{self, BulkFiles};
use crate::bulk::kinds::MATCH_KIND;
use crate::bulk::looks::BulkLooks;
use crate::bulk::opened::{OpenedFile, of_job};
use crate::bulk::range::AskedBytes;
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::operations::BULK_MEMBER_MATCH;
use crate::release::{self, MembersBehind};
use crate::security::{Caller, Permission, Scopes};
use crate::store::bulk::{self as rows, BulkJobRow, ERROR};

/// Opens a file of `run`, which is the caller's, and begins the disclosure of the bytes that are asked for. Returns `None` when the run is no
/// bulk match.
///
/// # Errors
/// [`Fault::NotFound`] when the run has no such file, or a member of it has left; [`Fault::ScopeMissing`]; those of the store, the ledger and
/// the files.
pub async fn open(
    ctx: &Context,
    (limits, files, looks): (&BulkConfig, &BulkFiles, &BulkLooks),
    caller: &Caller,
    (run, name): (&BulkJobRow, &str),
    asked: &AskedBytes,
) -> Result<Option<OpenedFile>, Failure> {
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
    let mut behind = MembersBehind::of_group(GroupCode::Match.id_of(&run.id));
    if row.side != ERROR {
        let partner = &caller.partner;
        let look = current::look(ctx, partner, (&run.id, &row.resource_type));
        let found = looks.look(ctx, (&partner.id, &row.name), look).await?;
        if found.sha256 != row.sha256 {
            write_again(ctx, (limits, files), run, run.pieces - 1).await?;
            return Err(Fault::NotFound.into());
        }
        behind = found.behind;
    }
    let (files, opened) = (files.clone(), row.clone());
    let reader = blocking(move || files.open(&opened)).await?;
    let sent = match asked.of(&row) {
        None => None,
        Some(span) => {
            let disclosure = release::begin_of_job(ctx, caller, of_job(&row, &span, behind)).await?;
            Some((span, disclosure))
        }
    };
    Ok(Some(OpenedFile { row, reader, sent }))
}

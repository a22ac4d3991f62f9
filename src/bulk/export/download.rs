//! The download of a file: the access to each member in it is checked again, and the ledger has the disclosure of each before the first
//! byte.
//!
//! When the access to one of them has ended, the file is not given any more. Its piece is written again without that member, and the
//! manifest then names the new files. So no file is shorter than its manifest says, and none holds what may not leave.

use crate::bulk::files::{BulkFiles, FileReader};
use crate::bulk::kinds::{EXPORT, EXPORT_KIND};
use crate::bulk::range::{AskedBytes, FileSpan};
use crate::bulk::{files, hands, job};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::release::{self, Disclosure, FileShare};
use crate::security::{Caller, Permission, Scopes};
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, ERROR, MEMBERS, NAMES, RECEIPT};
use crate::store::disclosure::LiveGrant;
use crate::store::granted_members;
use std::collections::HashMap;
use std::ops::Range;

/// A file that may be sent.
pub struct ExportFile {
    /// Its row.
    pub row: BulkFileRow,
    /// Its text.
    pub reader: FileReader,
    /// What of it is sent, and the disclosure of that, which has begun; `None` when it has none of the bytes that are asked for.
    pub sent: Option<(FileSpan, Disclosure)>,
}

/// Opens a file of a run of the caller, and begins the disclosure of the bytes that are asked for.
///
/// # Errors
/// [`Fault::NotFound`] when the caller has no such run or file, or the file has a member to whom the access has ended;
/// [`Fault::ScopeMissing`] when the token does not cover its type; those of the store, the ledger and the files.
pub async fn open(
    ctx: &Context,
    files: &BulkFiles,
    limits: &BulkConfig,
    caller: &Caller,
    ((id, name), asked): ((&str, &str), &AskedBytes),
) -> Result<ExportFile, Failure> {
    let run = job::of(ctx, caller, id).await?;
    if run.kind != EXPORT_KIND || !files::is_name(name) {
        return Err(Fault::NotFound.into());
    }
    let (own, file_name) = (run.id.clone(), name.to_owned());
    let found = ctx.store.read(move |db| rows::file(db, &own, &file_name)).await?;
    let row = found
        .filter(|row| ![NAMES, RECEIPT].contains(&row.side.as_str()))
        .ok_or(Fault::NotFound)?;
    let rtype = match row.side.as_str() {
        MEMBERS => "Patient",
        _ => row.resource_type.as_str(),
    };
    let is_covered = Scopes::parse(&caller.scope).allows(rtype, Permission::Read);
    if row.side != ERROR && !is_covered {
        return Err(Fault::ScopeMissing.into());
    }
    let (folder, opened) = (files.clone(), row.clone());
    let read = tokio::task::spawn_blocking(move || {
        let reader = folder.open(&opened)?;
        let shares = reader.shares()?;
        Ok::<_, Failure>((reader, shares))
    });
    let (reader, shares) = read
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))??;
    let (partner, now_ms) = (caller.partner.id.clone(), ctx.clock.now_ms());
    let ids: Vec<String> = shares.iter().map(|share| share.grant_id.clone()).collect();
    let live = ctx
        .store
        .read(move |db| granted_members::by_ids(db, &partner, &ids, now_ms))
        .await?;
    let mut live: HashMap<String, _> = live.into_iter().map(|grant| (grant.id.clone(), grant)).collect();
    let (span, mut all, mut begins) = (asked.of(&row), Vec::with_capacity(shares.len()), 0);
    for share in shares {
        // Also the access to members whose bytes are not asked for: the file is not what its manifest says any more.
        let Some(grant) = live.remove(&share.grant_id) else {
            write_again(ctx, (limits, files), &run, row.piece).await?;
            return Err(Fault::NotFound.into());
        };
        let own = begins..begins + share.bytes;
        begins = own.end;
        all.extend(
            span.as_ref()
                .and_then(|span| shared_by(grant, &own, span, share.resources)),
        );
    }
    let sent = match span {
        None => None,
        Some(span) => Some((span, release::begin_file(ctx, caller, &row.resource_type, all).await?)),
    };
    Ok(ExportFile { row, reader, sent })
}

/// What of a member is sent with these bytes of the file; `own` are those of the member's resources. `None` when it is nothing.
fn shared_by(grant: LiveGrant, own: &Range<u64>, span: &FileSpan, resources: u64) -> Option<FileShare> {
    let whole = own.end - own.start;
    let bytes = own
        .end
        .min(span.range.end)
        .saturating_sub(own.start.max(span.range.start));
    (bytes > 0).then(|| FileShare {
        grant,
        bytes,
        resources: match bytes == whole {
            true => resources,
            // Lines have different lengths: so many at least, on average.
            false => resources.saturating_mul(bytes).div_ceil(whole),
        },
    })
}

/// Takes back a piece whose files may not be given any more, and the shared resources with it; the run goes on.
async fn write_again(
    ctx: &Context,
    (limits, files): (&BulkConfig, &BulkFiles),
    run: &BulkJobRow,
    piece: i64,
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let (run, new_id, deadline_ms) = (run.clone(), ctx.ids.new_id(now_ms), now_ms + limits.deadline_ms);
    let more = hands::ids(ctx);
    let dropped = ctx
        .store
        .write(move |db| {
            let Some(dropped) = rows::reopen(db, &run.id, &[piece, run.pieces - 1], (now_ms, deadline_ms))? else {
                return Ok(Vec::new());
            };
            hands::call_again(db, &EXPORT, (&run, piece), (&new_id, &more), now_ms)?;
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

//! The download of a file: the access to each member in it is checked again, and the ledger has the disclosure of each before the first
//! byte.
//!
//! When the access to one of them has ended, the file is not given any more; a download that is under way ends. Its piece is written again without that member, and the
//! manifest then names the new files. So no file is shorter than its manifest says, and none holds what may not leave.

use crate::bulk::again::write_again;
use crate::bulk::files::{self, BulkFiles};
use crate::bulk::kinds::EXPORT_KIND;
use crate::bulk::looks::{BulkLooks, MembersLook};
use crate::bulk::opened::{OpenedFile, of_job};
use crate::bulk::range::{AskedBytes, FileSpan};
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::release::{self, FileShare, MembersBehind};
use crate::security::{Caller, Permission, Scopes};
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, ERROR, MEMBERS, NAMES, OUTPUT, RECEIPT};
use crate::store::disclosure::LiveGrant;
use crate::store::{Db, granted_members};
use std::collections::HashMap;
use std::ops::Range;

/// Lists of members that are read at once.
const LISTS: usize = 16;

/// Opens a file of `run`, which is the caller's, and begins the disclosure of the bytes that are asked for.
///
/// # Errors
/// [`Fault::NotFound`] when the run has no such file, or the file has a member to whom the access has ended;
/// [`Fault::ScopeMissing`] when the token does not cover its type; those of the store, the ledger and the files.
pub async fn open(
    ctx: &Context,
    (limits, files, looks): (&BulkConfig, &BulkFiles, &BulkLooks),
    caller: &Caller,
    ((run, name), asked): ((&BulkJobRow, &str), &AskedBytes),
) -> Result<OpenedFile, Failure> {
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
    if row.side == OUTPUT && row.piece == run.pieces - 1 {
        return shared(ctx, (limits, files, looks), caller, (run, row), asked).await;
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
            write_again(ctx, (limits, files), run, row.piece).await?;
            return Err(Fault::NotFound.into());
        };
        let own = begins..begins + share.bytes;
        begins = own.end;
        all.extend(
            span.as_ref()
                .and_then(|span| shared_by(grant, &own, span, (share.resources, share.cut))),
        );
    }
    let sent = match span {
        None => None,
        Some(span) => {
            let rtype = row.resource_type.as_str();
            let disclosure = match span.is_all_of(&row) {
                true => release::begin_file(ctx, caller, (&row.name, rtype), all).await?,
                false => release::begin_part(ctx, caller, rtype, all).await?,
            };
            Some((span, disclosure))
        }
    };
    Ok(OpenedFile { row, reader, sent })
}

/// What of a member is sent with these bytes of the file; `own` are those of the member's resources. `None` when it is nothing.
fn shared_by(
    grant: LiveGrant,
    own: &Range<u64>,
    span: &FileSpan,
    (resources, cut): (u64, Option<u64>),
) -> Option<FileShare> {
    let whole = own.end - own.start;
    let bytes = own
        .end
        .min(span.range.end)
        .saturating_sub(own.start.max(span.range.start));
    (bytes > 0).then(|| FileShare {
        grant,
        begins: own.start,
        bytes,
        resources: match bytes == whole {
            true => resources,
            // Lines have different lengths: so many at least, on average.
            false => resources.saturating_mul(bytes).div_ceil(whole),
        },
        // Which lines a part has is not known.
        cut: cut.filter(|_| bytes == whole),
    })
}

/// Opens a file of shared resources, which belong to no member. They were chosen by the records of all members, so which they are tells of
/// each of them.
async fn shared(
    ctx: &Context,
    (limits, files, looks): (&BulkConfig, &BulkFiles, &BulkLooks),
    caller: &Caller,
    (run, row): (&BulkJobRow, BulkFileRow),
    asked: &AskedBytes,
) -> Result<OpenedFile, Failure> {
    let look = behind(ctx, files, run);
    let MembersLook { behind, gone, .. } = looks.look(ctx, (&run.partner_id, &row.name), look).await?;
    if let Some(piece) = gone {
        write_again(ctx, (limits, files), run, piece).await?;
        return Err(Fault::NotFound.into());
    }
    let (folder, opened) = (files.clone(), row.clone());
    let read = tokio::task::spawn_blocking(move || folder.open(&opened)).await;
    let reader = read.map_err(|error| Failure::new(Fault::Internal).because(error))??;
    let sent = match asked.of(&row) {
        None => None,
        Some(span) => {
            let disclosure = release::begin_of_job(ctx, caller, of_job(&row, &span, behind)).await?;
            Some((span, disclosure))
        }
    };
    Ok(OpenedFile { row, reader, sent })
}

/// Looks at the members of the run, or finds a piece with one to whom the access has ended.
async fn behind(ctx: &Context, files: &BulkFiles, run: &BulkJobRow) -> Result<MembersLook, Failure> {
    let (id, now_ms) = (run.id.clone(), ctx.clock.now_ms());
    let read = move |db: &mut Db| rows::files(db, &id);
    let all = ctx.store.read_in_turn(&run.partner_id, read).await?;
    let lists: Vec<BulkFileRow> = all.into_iter().filter(|row| row.side == MEMBERS).collect();
    let (mut grants, mut gone) = (Vec::new(), None);
    'lists: for some in lists.chunks(LISTS) {
        let (files, own) = (files.clone(), some.to_vec());
        let read = tokio::task::spawn_blocking(move || files.shares_of(&own)).await;
        let shares = read.map_err(|error| Failure::new(Fault::Internal).because(error))??;
        for (row, shares) in some.iter().zip(shares) {
            let ids: Vec<String> = shares.into_iter().map(|share| share.grant_id).collect();
            let (partner, asked) = (run.partner_id.clone(), ids.clone());
            let read = move |db: &mut Db| granted_members::by_ids(db, &partner, &asked, now_ms);
            let live = ctx.store.read_in_turn(&run.partner_id, read).await?;
            if live.len() < ids.len() {
                gone = Some(row.piece);
                break 'lists;
            }
            grants.extend(ids);
        }
    }
    Ok(MembersLook {
        looked_ms: now_ms,
        behind: MembersBehind::under_grants(grants.into_iter()),
        gone,
        sha256: Vec::new(),
    })
}

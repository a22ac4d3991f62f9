//! Rows of a whole record for a file: the same rows with the same bytes as in [`super::Everything`], read on a thread that may block.
//!
//! Nothing is sent here. What is written from these rows is a disclosure only when somebody reads the file ([`super::file_disclosure`]).

use super::everything::rows::{Leaving, PieceLimits, PieceRows, Reads, RowsEnd};
use super::supporting::{ResourceName, Supporting};
use super::transmitter;
use crate::context::Context;
use crate::error::Failure;
use crate::store::disclosure::{self, DisclosureBasis, LiveGrant};
use crate::store::record_rows::{self, RecordPage, RowsAsked, Window};
use std::collections::BTreeSet;

/// Shared resources that are read at once.
const SHARED_ROWS: i64 = 64;

/// A resource as it is released.
#[derive(Clone, Copy, Debug)]
pub struct ReleasedRow<'r> {
    /// FHIR type.
    pub rtype: &'r str,
    /// Its bytes.
    pub bytes: &'r [u8],
}

/// Takes the resources of a record, one after another.
pub type TakeRow<'t> = &'t mut dyn FnMut(ReleasedRow<'_>) -> Result<(), Failure>;

/// Hands each row of the record under `grant` to `take`, then the record of who transmits it when there was any and it is wanted; notes
/// in `names` the shared resources that the rows refer to. When the grant, its consent or the partner's registration ends meanwhile, not all
/// rows come: whoever keeps them asks [`all_stand`] afterwards. Blocks this thread.
///
/// # Errors
/// Those of the store and of `take`.
pub fn each_row(
    ctx: &Context,
    basis: &DisclosureBasis,
    grant: &LiveGrant,
    window: &Window,
    names: &mut BTreeSet<ResourceName>,
    take: TakeRow<'_>,
) -> Result<(), Failure> {
    let (mut reads, mut supporting) = (Reads::default(), Supporting::default());
    let (mut after_key, mut count) = (record_rows::start_of(grant.compartment), 0_usize);
    loop {
        let read = reads.next(i64::MAX);
        let asked = RowsAsked {
            after_key,
            rows: read.rows,
            most: read.most,
        };
        let RecordPage { rows: found, walked_to } = ctx
            .store
            .read_blocking(|db| record_rows::page(db, basis, grant, window, asked))?;
        if found.is_empty() {
            match walked_to {
                Some(key) => after_key = key,
                None => break,
            }
            continue;
        }
        let is_short = i64::try_from(found.len()).is_ok_and(|count| count < read.rows);
        let PieceRows { rows, end } = reads.cut(found, PieceLimits::STREAM, is_short && walked_to.is_none());
        let mut bytes = 0;
        for row in &rows {
            after_key = row.key;
            bytes += row.bytes.len();
            supporting.note(&row.bytes, &ctx.payer.base_url);
            take(ReleasedRow {
                rtype: &row.rtype,
                bytes: &row.bytes,
            })?;
        }
        count += rows.len();
        reads.took(rows.len(), bytes);
        if end == RowsEnd::Record {
            break;
        }
    }
    names.extend(supporting.take(usize::MAX));
    let wants_transmitter = window.types.is_empty() || window.types.iter().any(|rtype| rtype == "Provenance");
    if count > 0 && wants_transmitter {
        let made = transmitter::of_record(&ctx.payer, grant);
        take(ReleasedRow {
            rtype: &made.rtype,
            bytes: made.bytes(),
        })?;
    }
    Ok(())
}

/// Whether all that these records were read under still holds: only then did all rows come, and may they be kept. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn all_stand(ctx: &Context, basis: &DisclosureBasis, grants: &[LiveGrant]) -> Result<bool, Failure> {
    let ids: Vec<String> = grants.iter().map(|grant| grant.id.clone()).collect();
    match ids.is_empty() {
        true => Ok(true),
        false => ctx.store.read_blocking(|db| disclosure::all_stand(db, basis, &ids)),
    }
}

/// Notes in `names` the shared resources that the window of the record under `grant` refers to. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn each_name(
    ctx: &Context,
    basis: &DisclosureBasis,
    grant: &LiveGrant,
    window: &Window,
    names: &mut BTreeSet<ResourceName>,
) -> Result<(), Failure> {
    each_row(ctx, basis, grant, window, names, &mut |_| Ok(()))
}

/// Hands each shared resource of the window with one of these names to `take`, and each to which one of these leads in turn; those of `wider`
/// lead too, although they are not handed on. Blocks this thread.
///
/// # Errors
/// Those of the store and of `take`.
pub fn each_shared(
    ctx: &Context,
    names: impl IntoIterator<Item = ResourceName>,
    (window, wider): (&Window, &Window),
    take: TakeRow<'_>,
) -> Result<(), Failure> {
    let (mut supporting, batch) = (Supporting::default(), usize::try_from(SHARED_ROWS).unwrap_or(1));
    supporting.put_back(names);
    while !supporting.is_empty() {
        let wanted = supporting.take(batch);
        let mut others: BTreeSet<ResourceName> = wanted.iter().cloned().collect();
        named_rows(ctx, wanted, window, &mut |row| {
            others.remove(&(row.rtype.clone(), row.id.clone()));
            supporting.note(&row.bytes, &ctx.payer.base_url);
            take(ReleasedRow {
                rtype: &row.rtype,
                bytes: &row.bytes,
            })
        })?;
        named_rows(ctx, others, wider, &mut |row| {
            supporting.note(&row.bytes, &ctx.payer.base_url);
            Ok(())
        })?;
    }
    Ok(())
}

/// Hands the shared resources of the window with these names to `take`.
fn named_rows(
    ctx: &Context,
    names: impl IntoIterator<Item = ResourceName>,
    window: &Window,
    take: &mut dyn FnMut(&Leaving) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut reads, mut left) = (Reads::default(), BTreeSet::from_iter(names));
    while !left.is_empty() {
        let read = reads.next(SHARED_ROWS);
        let wanted: Vec<ResourceName> = left
            .iter()
            .take(usize::try_from(read.rows).unwrap_or(1))
            .cloned()
            .collect();
        let found = ctx
            .store
            .read_blocking(|db| record_rows::shared_rows(db, &wanted, window, read.most))?;
        let there: Vec<ResourceName> = found.iter().map(|row| (row.rtype.clone(), row.id.clone())).collect();
        let PieceRows { rows, .. } = reads.cut(found, PieceLimits::STREAM, true);
        for name in &wanted {
            left.remove(name);
        }
        // What had no room, or was too large to come with others, comes with the next read.
        left.extend(there.into_iter().skip(rows.len()));
        rows.iter().try_for_each(&mut *take)?;
    }
    Ok(())
}

/// Whether the caller's answer under these types brings shared resources.
pub fn brings_shared(window: &Window) -> bool {
    window.types.is_empty() || window.types.iter().any(|rtype| super::is_shared(rtype))
}

//! Rows of a whole record for a file: the same rows with the same bytes as in [`super::Everything`], read on a thread that may block.
//!
//! Nothing is sent here. What is written from these rows is a disclosure only when somebody reads the file ([`super::file_disclosure`]).

use super::everything::rows::{Leaving, PieceLimits, PieceRows, Reads, RowsEnd};
use super::supporting::{ResourceName, Supporting};
use super::transmitter;
use crate::context::Context;
use crate::error::Failure;
use crate::store::disclosure::{self, DisclosureBasis, LiveGrant};
use crate::store::measured::MeasuredRow;
use crate::store::record_rows::{self, RecordPage, RowsAsked, Window};
use crate::store::resources::compartment_of;
use crate::store::small_records;
use std::collections::{BTreeSet, HashMap};

/// Shared resources that are read at once.
const SHARED_ROWS: i64 = 64;

/// A resource as it is released.
#[derive(Clone, Copy, Debug)]
pub struct ReleasedRow<'r> {
    /// FHIR type.
    pub rtype: &'r str,
    /// Its bytes.
    pub bytes: &'r [u8],
    /// Whether a part of it was cut.
    pub is_cut: bool,
}

/// Takes the resources of a record, one after another.
pub type TakeRow<'t> = &'t mut dyn FnMut(ReleasedRow<'_>) -> Result<(), Failure>;

/// A part of the record under a grant.
#[derive(Clone, Copy, Debug)]
pub enum WholeRecordPart<'r> {
    /// The next resource.
    Row(ReleasedRow<'r>),
    /// There are no more.
    End,
}

/// Takes the parts of records, one record after another.
pub type TakeRecord<'t> = &'t mut dyn FnMut(&LiveGrant, WholeRecordPart<'_>) -> Result<(), Failure>;

/// Hands the rows of each record under these grants to `take`, then the record of who transmits it when there was any and it is wanted. Returns
/// the shared resources that the rows refer to. Small records are read many at once. When a grant, its consent or the partner's registration
/// ends meanwhile, not all rows come: whoever keeps them asks [`all_stand`] afterwards. Blocks this thread.
///
/// # Errors
/// Those of the store and of `take`.
pub fn each_record(
    ctx: &Context,
    basis: &DisclosureBasis,
    grants: &[LiveGrant],
    window: &Window,
    take: TakeRecord<'_>,
) -> Result<BTreeSet<ResourceName>, Failure> {
    let mut supporting = Supporting::default();
    let wants_transmitter = window.types.is_empty() || window.types.iter().any(|rtype| rtype == "Provenance");
    let sizes = sizes(ctx, grants, window)?;
    let mut rest = grants;
    while !rest.is_empty() {
        let (some, later) = rest.split_at(together(rest, &sizes));
        rest = later;
        let mut small = small(ctx, basis, (some, &sizes), window)?;
        for grant in some {
            let mut count = 0_usize;
            let mut hand = |row: ReleasedRow<'_>| {
                count += 1;
                supporting.note(row.bytes, &ctx.payer.base_url);
                take(grant, WholeRecordPart::Row(row))
            };
            match small.remove(&grant.compartment) {
                Some(rows) => rows.iter().try_for_each(|row| {
                    hand(ReleasedRow {
                        rtype: &row.rtype,
                        bytes: row.bytes.as_deref().unwrap_or_default(),
                        is_cut: row.is_cut,
                    })
                })?,
                None => each_page(ctx, basis, grant, window, &mut hand)?,
            }
            if count > 0 && wants_transmitter {
                let made = transmitter::of_record(&ctx.payer, grant);
                let row = ReleasedRow {
                    rtype: &made.rtype,
                    bytes: made.bytes(),
                    is_cut: false,
                };
                take(grant, WholeRecordPart::Row(row))?;
            }
            take(grant, WholeRecordPart::End)?;
        }
    }
    Ok(supporting.take(usize::MAX).into_iter().collect())
}

/// About how many rows the records have, by compartment; nothing where records must be read one by one.
fn sizes(ctx: &Context, grants: &[LiveGrant], window: &Window) -> Result<HashMap<i64, i64>, Failure> {
    let by_time = Window {
        since_ms: window.since_ms,
        until_ms: window.until_ms,
        ..Window::default()
    };
    if *window != by_time {
        return Ok(HashMap::new());
    }
    let numbers: Vec<i64> = grants.iter().map(|grant| grant.compartment).collect();
    ctx.store.read_blocking(|db| small_records::sizes(db, &numbers))
}

/// How many of the first records are read at once: at least one, which may be too large for that.
fn together(grants: &[LiveGrant], sizes: &HashMap<i64, i64>) -> usize {
    let mut rows = 0;
    let fits = grants.iter().take_while(|grant| {
        rows += size(grant, sizes);
        rows <= small_records::ROWS
    });
    fits.count().max(1)
}

/// About how many rows a record has. An empty one counts too, so that the number of records has a bound as well.
fn size(grant: &LiveGrant, sizes: &HashMap<i64, i64>) -> i64 {
    let size = sizes.get(&grant.compartment).copied().unwrap_or(i64::from(u32::MAX));
    size.max(1)
}

/// The rows of these records by compartment. A record is not there when it is to be read by itself: it is too large, or not all its bytes
/// came along.
fn small(
    ctx: &Context,
    basis: &DisclosureBasis,
    (grants, sizes): (&[LiveGrant], &HashMap<i64, i64>),
    window: &Window,
) -> Result<HashMap<i64, Vec<MeasuredRow>>, Failure> {
    let mut records: HashMap<i64, Vec<MeasuredRow>> = HashMap::new();
    if grants.iter().map(|grant| size(grant, sizes)).sum::<i64>() > small_records::ROWS {
        return Ok(records);
    }
    let changed_ms = (window.since_ms.unwrap_or(i64::MIN), window.until_ms.unwrap_or(i64::MAX));
    let found = ctx
        .store
        .read_blocking(|db| small_records::rows(db, basis, grants, changed_ms))?;
    if let Some(found) = found {
        records.extend(grants.iter().map(|grant| (grant.compartment, Vec::new())));
        for row in found {
            if let Some(own) = records.get_mut(&compartment_of(row.key)) {
                own.push(row);
            }
        }
        records.retain(|_, rows| rows.iter().all(|row| row.bytes.is_some()));
    }
    Ok(records)
}

/// Hands each row of the record under `grant` to `take`, a page after another.
fn each_page(
    ctx: &Context,
    basis: &DisclosureBasis,
    grant: &LiveGrant,
    window: &Window,
    take: TakeRow<'_>,
) -> Result<(), Failure> {
    let (mut reads, mut after_key) = (Reads::default(), record_rows::start_of(grant.compartment));
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
                None => return Ok(()),
            }
            continue;
        }
        let is_short = i64::try_from(found.len()).is_ok_and(|count| count < read.rows);
        let PieceRows { rows, end } = reads.cut(found, PieceLimits::STREAM, is_short && walked_to.is_none());
        let mut bytes = 0;
        for row in &rows {
            after_key = row.key;
            bytes += row.bytes.len();
            take(ReleasedRow {
                rtype: &row.rtype,
                bytes: &row.bytes,
                is_cut: row.is_cut,
            })?;
        }
        reads.took(rows.len(), bytes);
        if end == RowsEnd::Record {
            return Ok(());
        }
    }
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
    let mut supporting = Supporting::default();
    each_page(ctx, basis, grant, window, &mut |row| {
        supporting.note(row.bytes, &ctx.payer.base_url);
        Ok(())
    })?;
    names.extend(supporting.take(usize::MAX));
    Ok(())
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
                is_cut: row.is_cut,
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

//! The groups that a partner made, for the partner: read by id, and searched.
//!
//! Another partner's group is not there. A matched group shows the members who are granted to the partner now, so that a member whose consent
//! is revoked or over has left it.

use super::group::{self, EntryPages, GroupCode, TakeText};
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::security::Caller;
use crate::store::Db;
use crate::store::member_groups::{self, GroupEntryRow, GroupFilter, MemberGroupRow};
use std::collections::HashSet;

/// Entries that are read at once.
const PAGE: i64 = 500;
/// Bytes after which a page takes no further group.
const PAGE_BYTES: usize = 4 << 20;

/// A page of groups, each as its id and its resource.
#[derive(Debug, Default)]
pub struct GroupsPage {
    /// The groups.
    pub groups: Vec<(String, Vec<u8>)>,
    /// Whether more follow after the last one.
    pub has_more: bool,
}

/// The group with this id, if it is the caller's.
///
/// # Errors
/// [`Fault::NotFound`], for a group of others as for none; those of the store.
pub async fn one(ctx: &Context, caller: &Caller, id: &str) -> Result<Vec<u8>, Failure> {
    if !is_fhir_id(id) {
        return Err(Fault::NotFound.into());
    }
    let filter = GroupFilter {
        ids: Some(vec![id.to_owned()]),
        limit: 1,
        ..GroupFilter::default()
    };
    let (_, group) = page(ctx, caller, filter).await?.groups.pop().ok_or(Fault::NotFound)?;
    Ok(group)
}

/// The caller's groups by id.
///
/// # Errors
/// Those of the store.
pub async fn page(ctx: &Context, caller: &Caller, mut filter: GroupFilter) -> Result<GroupsPage, Failure> {
    // A token for one member shows no group, which is about others.
    if caller.patient_id.is_some() {
        return Ok(GroupsPage::default());
    }
    let (partner, payer, now_ms) = (caller.partner.clone(), ctx.payer.clone(), ctx.clock.now_ms());
    let limit = filter.limit;
    filter.limit += 1;
    let work = move |db: &mut Db| {
        let rows = member_groups::page(db, &partner.id, &filter)?;
        let most = usize::try_from(limit).unwrap_or(0);
        let reader = GroupReader {
            npi: &partner.npi,
            payer: &payer,
        };
        let (mut page, mut bytes) = (GroupsPage::default(), 0);
        for row in rows {
            if page.groups.len() == most || bytes > PAGE_BYTES {
                page.has_more = true;
                break;
            }
            let mut group = Vec::new();
            reader.write(&row, &mut |after| page_of(db, &row, now_ms, after), &mut |text| {
                group.extend_from_slice(text);
                Ok(())
            })?;
            bytes += group.len();
            page.groups.push((row.id.clone(), group));
        }
        Ok(page)
    };
    ctx.store.read_in_turn(&caller.partner.id, work).await
}

/// Who reads groups.
pub(super) struct GroupReader<'a> {
    pub npi: &'a str,
    pub payer: &'a Payer,
}

impl GroupReader<'_> {
    /// Writes a group into `out`; `entries` reads a page of it ([`page_of`]).
    ///
    /// # Errors
    /// Those of `entries` and `out`; [`Fault::StoreDamaged`] for a code that is none.
    pub(super) fn write(
        &self,
        row: &MemberGroupRow,
        entries: EntryPages<'_>,
        out: TakeText<'_>,
    ) -> Result<(), Failure> {
        let code = GroupCode::parse(&row.code).ok_or(Fault::StoreDamaged)?;
        group::write(row, code, (self.npi, self.payer), entries, out)
    }
}

/// The groups of a result, in its order.
pub(super) fn in_order(mut rows: Vec<MemberGroupRow>) -> Vec<(GroupCode, MemberGroupRow)> {
    rows.sort_by_key(|row| GroupCode::ALL.iter().position(|one| one.code() == row.code));
    let coded = rows
        .into_iter()
        .filter_map(|row| Some((GroupCode::parse(&row.code)?, row)));
    coded.collect()
}

/// The entries of a group after a position as they stand now, and the position to go on from. For a matched group these are the members who
/// are granted to its partner.
///
/// # Errors
/// Those of the database.
pub(super) fn page_of(
    db: &mut Db,
    row: &MemberGroupRow,
    now_ms: i64,
    after: i64,
) -> Result<Option<(Vec<GroupEntryRow>, i64)>, Failure> {
    let mut some = member_groups::entries(db, &row.id, after, PAGE)?;
    let Some(last) = some.last().map(|last| last.position) else {
        return Ok(None);
    };
    if row.code == member_groups::MATCH {
        let ids: Vec<String> = some.iter().filter_map(|entry| entry.patient_id.clone()).collect();
        let granted: HashSet<String> = member_groups::granted(db, &row.partner_id, &ids, now_ms)?
            .into_iter()
            .collect();
        some.retain(|entry| entry.patient_id.as_ref().is_some_and(|id| granted.contains(id)));
    }
    Ok(Some((some, last)))
}

//! The groups that a partner made, for the partner: read by id, and searched.
//!
//! Another partner's group is not there. A matched group shows the members who are granted to the partner now, so that a member whose consent
//! is revoked or over has left it. What is shown is a disclosure, which has begun before ([`GroupsText::begin`]).

use super::group::{self, EntryPages, GroupCode, GroupText, TakeText};
use crate::audit::RestCall;
use crate::context::{Context, Payer};
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::release::{GroupPage, GroupsDisclosure, ToldGroup, begin_groups};
use crate::security::{Caller, PartnerRef};
use crate::store::disclosure::LiveGrant;
use crate::store::member_groups::{self, GroupEntryRow, GroupFilter, MemberGroupRow};
use crate::store::{Db, granted_members};
use std::collections::{HashSet, VecDeque};

/// Entries that are read at once.
const PAGE: i64 = 500;
/// Entries after which a page of a search takes no further group.
const PAGE_ENTRIES: i64 = 5_000;

/// A page of groups, without their members.
#[derive(Debug, Default)]
pub struct GroupsPage {
    /// The groups.
    pub rows: Vec<MemberGroupRow>,
    /// Whether more follow after the last one.
    pub has_more: bool,
}

/// The group with this id, if it is the caller's.
///
/// # Errors
/// [`Fault::NotFound`], for a group of others as for none; those of the store.
pub async fn one(ctx: &Context, caller: &Caller, id: &str) -> Result<GroupsText, Failure> {
    if !is_fhir_id(id) {
        return Err(Fault::NotFound.into());
    }
    let filter = GroupFilter {
        ids: Some(vec![id.to_owned()]),
        limit: 1,
        ..GroupFilter::default()
    };
    let row = page(ctx, caller, filter).await?.rows.pop().ok_or(Fault::NotFound)?;
    let mut text = GroupsText::new(ctx, caller);
    text.group(row)?;
    Ok(text)
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
    let (partner, limit) = (caller.partner.id.clone(), filter.limit);
    filter.limit += 1;
    let work = move |db: &mut Db| {
        let rows = member_groups::page(db, &partner, &filter)?;
        let most = usize::try_from(limit).unwrap_or(0);
        let (mut page, mut entries) = (GroupsPage::default(), 0);
        for row in rows {
            if page.rows.len() == most || entries > PAGE_ENTRIES {
                page.has_more = true;
                break;
            }
            entries += member_groups::count(db, &row.id)?;
            page.rows.push(row);
        }
        Ok(page)
    };
    ctx.store.read_in_turn(&caller.partner.id, work).await
}

/// Texts and groups that follow each other, read a page of entries at a time: none of them is in memory as a whole.
pub struct GroupsText {
    ctx: Context,
    partner: PartnerRef,
    now_ms: i64,
    parts: VecDeque<Part>,
    groups: usize,
}

enum Part {
    Text(Vec<u8>),
    Group(Box<MadeGroup>),
}

struct MadeGroup {
    text: GroupText,
    /// Its place among the groups.
    at: usize,
    /// The page that comes next.
    page: usize,
    /// The members of whom the ledger has that they are shown; `None` for a group that names no Patient here.
    told: Option<HashSet<String>>,
}

/// A piece of [`GroupsText`].
#[derive(Debug)]
pub struct GroupsPiece {
    /// Its text.
    pub text: Vec<u8>,
    /// What it is of; `None` for what is between groups.
    pub of: Option<GroupPage>,
}

impl GroupsText {
    /// Nothing yet, for the caller, as of now.
    pub fn new(ctx: &Context, caller: &Caller) -> GroupsText {
        GroupsText {
            ctx: ctx.clone(),
            partner: caller.partner.clone(),
            now_ms: ctx.clock.now_ms(),
            parts: VecDeque::new(),
            groups: 0,
        }
    }

    /// Adds a text.
    pub fn text(&mut self, text: Vec<u8>) {
        self.parts.push_back(Part::Text(text));
    }

    /// Adds a group of the caller.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for a code that is none.
    pub fn group(&mut self, row: MemberGroupRow) -> Result<(), Failure> {
        let code = GroupCode::parse(&row.code).ok_or(Fault::StoreDamaged)?;
        self.parts.push_back(Part::Group(Box::new(MadeGroup {
            text: GroupText::new(row, code),
            at: self.groups,
            page: 0,
            told: (code == GroupCode::Match).then(HashSet::new),
        })));
        self.groups += 1;
        Ok(())
    }

    /// Begins the disclosure of the groups. Before this, no member of a matched group is in the text; after it, only those of whom the ledger has
    /// that they are shown.
    ///
    /// # Errors
    /// As [`begin_groups`]; those of the store.
    pub async fn begin(&mut self, caller: &Caller, call: RestCall) -> Result<GroupsDisclosure, Failure> {
        let mut groups = Vec::with_capacity(self.groups);
        for part in &mut self.parts {
            let Part::Group(group) = part else { continue };
            let row = group.text.row().clone();
            let mut told = ToldGroup {
                id: row.id.clone(),
                job: row.job_id.clone(),
                pages: Vec::new(),
            };
            if group.told.is_some() {
                let mut members = HashSet::new();
                told.pages = told_pages(&self.ctx, &row, self.now_ms, &mut members).await?;
                group.told = Some(members);
            }
            groups.push(told);
        }
        begin_groups(&self.ctx, caller, call, groups).await
    }

    /// What comes next; `None` at the end.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next(&mut self) -> Result<Option<GroupsPiece>, Failure> {
        loop {
            let Some(part) = self.parts.front_mut() else {
                return Ok(None);
            };
            let mut out = Vec::new();
            match part {
                Part::Text(text) => out = std::mem::take(text),
                Part::Group(group) => {
                    if let Some(after) = group.text.wants() {
                        let (row, now_ms) = (group.text.row().clone(), self.now_ms);
                        let read = move |db: &mut Db| page_of(db, &row, now_ms, after);
                        let entries = self.ctx.store.read_in_turn(&self.partner.id, read).await?;
                        let of = group.take(entries, (&self.partner.npi, &self.ctx.payer), &mut out)?;
                        if !out.is_empty() {
                            return Ok(Some(GroupsPiece {
                                text: out,
                                of: Some(of),
                            }));
                        }
                        continue;
                    }
                }
            }
            self.parts.pop_front();
            if !out.is_empty() {
                return Ok(Some(GroupsPiece { text: out, of: None }));
            }
        }
    }
}

impl MadeGroup {
    /// Writes what a page of entries adds; `None` stands for their end. Returns which page that was.
    fn take(
        &mut self,
        mut page: Option<(Vec<GroupEntryRow>, i64)>,
        about: (&str, &Payer),
        out: &mut Vec<u8>,
    ) -> Result<GroupPage, Failure> {
        let of = (self.at, self.page);
        if let (Some((entries, _)), Some(told)) = (&mut page, &self.told) {
            entries.retain(|entry| entry.patient_id.as_ref().is_some_and(|id| told.contains(id)));
        }
        // All entries come twice.
        self.page = match page {
            Some(_) => self.page + 1,
            None => 0,
        };
        self.text.take(page, about, &mut |text| {
            out.extend_from_slice(text);
            Ok(())
        })?;
        Ok(of)
    }
}

/// The grants on the members of a matched group, a page after another as [`page_of`] reads them, each member once. Adds the members to `all`.
///
/// # Errors
/// Those of the store.
pub(super) async fn told_pages(
    ctx: &Context,
    row: &MemberGroupRow,
    now_ms: i64,
    all: &mut HashSet<String>,
) -> Result<Vec<Vec<LiveGrant>>, Failure> {
    let (mut pages, mut after) = (Vec::new(), -1);
    loop {
        let (id, partner) = (row.id.clone(), row.partner_id.clone());
        let read = move |db: &mut Db| {
            let some = member_groups::patients(db, &id, after, PAGE)?;
            let Some(last) = some.last().map(|(position, _)| *position) else {
                return Ok(None);
            };
            let ids: Vec<String> = some.into_iter().filter_map(|(_, patient)| patient).collect();
            Ok(Some((granted_members::on_patients(db, &partner, &ids, now_ms)?, last)))
        };
        let Some((mut grants, last)) = ctx.store.read_in_turn(&row.partner_id, read).await? else {
            return Ok(pages);
        };
        after = last;
        grants.retain(|grant| all.insert(grant.patient_id.clone()));
        pages.push(grants);
    }
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

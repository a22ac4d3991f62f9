//! Groups of members, which a bulk match made: the group, and its entries.
//!
//! A group belongs to its partner; every read names the partner. A group has entries before it has its own row: the row comes with the end of
//! the match, and until then nobody is shown the entries. A group whose end has begun ([`super::group_ends`]) is shown to nobody either.

use super::Db;
use super::many::insert;
use super::release_rule::live;
use super::schema::{consent, grants, member_group, member_group_entry};
use crate::error::Failure;
use diesel::prelude::*;

/// Code of the group of members who were matched.
pub const MATCH: &str = "match";
/// Code of the group of members who were not matched.
pub const NO_MATCH: &str = "nomatch";
/// Code of the group of members whose consent cannot be honored.
pub const CONSENT_CONSTRAINT: &str = "consentconstraint";
/// In place of a code, for the list of members who cannot be read. It has no group.
pub const UNREAD: &str = "unread";

/// Patients that are asked for at once.
const CHUNK: usize = 200;

/// The id of a group of a run.
pub fn id_of(job_id: &str, code: &str) -> String {
    format!("{job_id}-{code}")
}

/// The ids under which a run has entries.
pub fn ids_of(job_id: &str) -> Vec<String> {
    [MATCH, NO_MATCH, CONSENT_CONSTRAINT, UNREAD]
        .map(|code| id_of(job_id, code))
        .to_vec()
}

/// A row of `member_group`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = member_group)]
#[allow(missing_docs)] // the columns, as the migrations tell them
pub struct MemberGroupRow {
    pub id: String,
    pub partner_id: String,
    pub code: String,
    pub job_id: String,
    pub match_ms: i64,
    pub updated_ms: i64,
}

/// A row of `member_group_entry`.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = member_group_entry, treat_none_as_default_value = false)]
#[allow(missing_docs)]
pub struct GroupEntryRow {
    pub group_id: String,
    pub position: i64,
    pub patient_id: Option<String>,
    pub decision_id: Option<String>,
    pub sealed: Option<Vec<u8>>,
}

/// Which groups of a partner are searched for. All that is given must hold.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct GroupFilter {
    pub ids: Option<Vec<String>>,
    pub codes: Option<Vec<String>>,
    /// The id of the last group of the page before.
    pub after: String,
    pub limit: i64,
}

/// Writes groups, in place of those with the same ids.
///
/// # Errors
/// Those of the database.
pub fn replace(db: &mut Db, rows: &[MemberGroupRow]) -> Result<(), Failure> {
    let ids: Vec<&String> = rows.iter().map(|row| &row.id).collect();
    diesel::delete(member_group::table.filter(member_group::id.eq_any(ids))).execute(db)?;
    insert!(db, member_group::table, rows);
    Ok(())
}

/// Returns the groups of a run.
///
/// # Errors
/// Those of the database.
pub fn of_run(db: &mut Db, partner: &str, ids: &[String]) -> Result<Vec<MemberGroupRow>, Failure> {
    Ok(member_group::table
        .filter(member_group::id.eq_any(ids))
        .filter(member_group::partner_id.eq(partner))
        .select(MemberGroupRow::as_select())
        .load(db)?)
}

/// Inserts entries.
///
/// # Errors
/// Those of the database.
pub fn add(db: &mut Db, rows: &[GroupEntryRow]) -> Result<(), Failure> {
    insert!(db, member_group_entry::table, rows);
    Ok(())
}

/// Returns the group with this id, if it is this partner's.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, partner: &str, id: &str) -> Result<Option<MemberGroupRow>, Failure> {
    Ok(member_group::table
        .find(id)
        .filter(member_group::partner_id.eq(partner))
        .filter(member_group::ended_ms.is_null())
        .select(MemberGroupRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns a page of a partner's groups by id.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, partner: &str, filter: &GroupFilter) -> Result<Vec<MemberGroupRow>, Failure> {
    let mut query = member_group::table
        .filter(member_group::partner_id.eq(partner))
        .filter(member_group::ended_ms.is_null())
        .filter(member_group::id.gt(&filter.after))
        .order(member_group::id.asc())
        .limit(filter.limit)
        .select((
            member_group::id,
            member_group::partner_id,
            member_group::code,
            member_group::job_id,
            member_group::match_ms,
            member_group::updated_ms,
        ))
        .into_boxed();
    if let Some(ids) = &filter.ids {
        query = query.filter(member_group::id.eq_any(ids));
    }
    if let Some(codes) = &filter.codes {
        query = query.filter(member_group::code.eq_any(codes));
    }
    Ok(query.load(db)?)
}

/// Returns the entries of a group after a position, in order.
///
/// # Errors
/// Those of the database.
pub fn entries(db: &mut Db, group_id: &str, after: i64, limit: i64) -> Result<Vec<GroupEntryRow>, Failure> {
    Ok(member_group_entry::table
        .filter(member_group_entry::group_id.eq(group_id))
        .filter(member_group_entry::position.gt(after))
        .order(member_group_entry::position.asc())
        .limit(limit)
        .select(GroupEntryRow::as_select())
        .load(db)?)
}

/// Returns the positions of a group after `after` in order, each with its Patient, if it has one. They are those of [`entries`], without what
/// is kept of the members.
///
/// # Errors
/// Those of the database.
pub fn patients(db: &mut Db, group_id: &str, after: i64, limit: i64) -> Result<Vec<(i64, Option<String>)>, Failure> {
    Ok(member_group_entry::table
        .filter(member_group_entry::group_id.eq(group_id))
        .filter(member_group_entry::position.gt(after))
        .order(member_group_entry::position.asc())
        .limit(limit)
        .select((member_group_entry::position, member_group_entry::patient_id))
        .load(db)?)
}

/// Returns which of these Patients are granted to the partner now.
///
/// # Errors
/// Those of the database.
pub fn granted(db: &mut Db, partner: &str, patient_ids: &[String], now_ms: i64) -> Result<Vec<String>, Failure> {
    if patient_ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::patient_id.eq_any(patient_ids))
        .filter(live(partner, now_ms))
        .select(grants::patient_id)
        .load(db)?)
}

/// Returns whether one of these Patients is in the group of the partner, and not granted to it now.
///
/// # Errors
/// Those of the database.
pub fn has_left(
    db: &mut Db,
    (partner, group_id): (&str, &str),
    patient_ids: &[String],
    now_ms: i64,
) -> Result<bool, Failure> {
    for some in patient_ids.chunks(CHUNK) {
        let granted = granted(db, partner, some, now_ms)?;
        let ended: Vec<&String> = some.iter().filter(|id| !granted.contains(id)).collect();
        let left: i64 = member_group_entry::table
            .filter(member_group_entry::group_id.eq(group_id))
            .filter(member_group_entry::patient_id.eq_any(ended))
            .count()
            .get_result(db)?;
        if left > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the positions between `first` and `last` that have an entry in one of these groups.
///
/// # Errors
/// Those of the database.
pub fn positions(db: &mut Db, group_ids: &[String], first: i64, last: i64) -> Result<Vec<i64>, Failure> {
    Ok(member_group_entry::table
        .filter(member_group_entry::group_id.eq_any(group_ids))
        .filter(member_group_entry::position.between(first, last))
        .select(member_group_entry::position)
        .load(db)?)
}

/// Returns how many entries a group has.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, group_id: &str) -> Result<i64, Failure> {
    Ok(member_group_entry::table
        .filter(member_group_entry::group_id.eq(group_id))
        .count()
        .get_result(db)?)
}

/// Deletes the entries of a run that has no groups yet.
///
/// # Errors
/// Those of the database.
pub fn drop_unfinished(db: &mut Db, partner: &str, job_id: &str) -> Result<(), Failure> {
    let ids = ids_of(job_id);
    if of_run(db, partner, &ids)?.is_empty() {
        diesel::delete(member_group_entry::table.filter(member_group_entry::group_id.eq_any(ids))).execute(db)?;
    }
    Ok(())
}

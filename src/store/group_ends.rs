//! The removal of groups of members: what partners sent about people who were not matched goes with the files of the match, and a group of
//! matched members goes when its time is over. Each call removes a part, so that no transaction is long, and returns whether more may be left.

use super::Db;
use super::member_groups::{CONSENT_CONSTRAINT, MATCH, NO_MATCH, UNREAD, id_of};
use super::retention;
use super::retention::holds::{self, MEMBER};
use super::schema::{bulk_job, member_group, member_group_entry};
use crate::error::Failure;
use diesel::dsl::{exists, not};
use diesel::prelude::*;

/// Entries that are removed in one transaction.
const ENTRIES: i64 = 2_000;
/// Groups that are looked at in one transaction.
const GROUPS: i64 = 50;

/// Removes the groups of a run that have no matched members, and entries about members who cannot be read.
///
/// # Errors
/// Those of the database.
pub fn drop_strangers(db: &mut Db, job_id: &str) -> Result<bool, Failure> {
    let ids: Vec<String> = [NO_MATCH, CONSENT_CONSTRAINT, UNREAD]
        .map(|code| id_of(job_id, code))
        .to_vec();
    drop_groups(db, &ids)
}

/// What one part of a sweep did.
#[derive(Clone, Debug, Default)]
pub struct GroupsSwept {
    /// Whether more may be left.
    pub more: bool,
    /// The groups that are gone now: the id of each, and when its match was (UTC milliseconds).
    pub gone: Vec<(String, i64)>,
}

/// Removes groups whose match is not there any more: those without matched members, and those of matched members when the match was before
/// `match_ms`. `now_ms` is when this is asked (both UTC milliseconds).
///
/// Whether a group ends is decided once, in one transaction: a legal hold on a member, placed before it, keeps the groups of matched members that
/// the member is in. A group whose end has begun is shown to nobody, and comes to its end part by part, also when a hold is placed meanwhile:
/// nothing is left half deleted.
///
/// # Errors
/// Those of the database.
pub fn sweep(db: &mut Db, match_ms: i64, now_ms: i64) -> Result<GroupsSwept, Failure> {
    retention::lock(db)?;
    let mut rows = begun(db)?;
    if rows.is_empty() {
        begin(db, match_ms, now_ms)?;
        rows = begun(db)?;
    }
    let mut ids: Vec<String> = rows.iter().map(|(id, ..)| id.clone()).collect();
    ids.extend(rows.iter().map(|(_, job, _)| id_of(job, UNREAD)));
    // The rows of the groups go last, so that the next call finds what is left.
    if rows.is_empty() || drop_entries(db, &ids)? {
        return Ok(GroupsSwept {
            more: !rows.is_empty(),
            gone: Vec::new(),
        });
    }
    Ok(GroupsSwept {
        more: drop_rows(db, &ids)?,
        gone: rows.into_iter().map(|(id, _, match_ms)| (id, match_ms)).collect(),
    })
}

/// Begins the end of groups that are due, and that no hold keeps.
fn begin(db: &mut Db, match_ms: i64, now_ms: i64) -> Result<(), Failure> {
    let run = bulk_job::table.filter(bulk_job::id.eq(member_group::job_id));
    let held = holds::targets(db, MEMBER)?;
    let keeps = member_group_entry::table
        .filter(member_group_entry::group_id.eq(member_group::id))
        .filter(member_group_entry::patient_id.eq_any(held));
    let due: Vec<String> = member_group::table
        .filter(member_group::code.ne(MATCH).or(member_group::match_ms.lt(match_ms)))
        .filter(not(exists(run)))
        .filter(not(exists(keeps)))
        .select(member_group::id)
        .limit(GROUPS)
        .load(db)?;
    diesel::update(member_group::table.filter(member_group::id.eq_any(due)))
        .set(member_group::ended_ms.eq(now_ms))
        .execute(db)?;
    Ok(())
}

/// The groups whose end has begun: id, run, and when the match was.
fn begun(db: &mut Db) -> Result<Vec<(String, String, i64)>, Failure> {
    Ok(member_group::table
        .filter(member_group::ended_ms.is_not_null())
        .select((member_group::id, member_group::job_id, member_group::match_ms))
        .limit(GROUPS)
        .load(db)?)
}

/// Nobody is shown the groups any more when the first part is gone.
fn drop_groups(db: &mut Db, ids: &[String]) -> Result<bool, Failure> {
    drop_rows(db, ids)?;
    drop_entries(db, ids)
}

fn drop_rows(db: &mut Db, ids: &[String]) -> Result<bool, Failure> {
    let gone = diesel::delete(member_group::table.filter(member_group::id.eq_any(ids))).execute(db)?;
    Ok(gone > 0)
}

fn drop_entries(db: &mut Db, ids: &[String]) -> Result<bool, Failure> {
    let some: Vec<(String, i64)> = member_group_entry::table
        .filter(member_group_entry::group_id.eq_any(ids))
        .order((member_group_entry::group_id.asc(), member_group_entry::position.asc()))
        .select((member_group_entry::group_id, member_group_entry::position))
        .limit(ENTRIES)
        .load(db)?;
    for run in some.chunk_by(|one, next| one.0 == next.0) {
        let (Some((group, first)), Some((_, last))) = (run.first(), run.last()) else {
            continue;
        };
        let own = member_group_entry::group_id
            .eq(group)
            .and(member_group_entry::position.between(first, last));
        diesel::delete(member_group_entry::table.filter(own)).execute(db)?;
    }
    Ok(!some.is_empty())
}

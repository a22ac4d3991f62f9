//! The members on whom a partner has a live grant, in the order of their Patient ids: all of them, or those of a group.
//!
//! Only members under a live grant are ever returned ([`super::release_rule`]). This module reads no resources.

use super::Db;
use super::disclosure::LiveGrant;
use super::insert::kept;
use super::release_rule::{live, live_sql, live_values, revoked_since};
use super::schema::{consent, grants, member_group, member_group_entry};
use super::statement::{Bind, LISTED, Statement};
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::sync::LazyLock;

/// The SQL types of a [`LiveGrant`].
type GrantColumns = (Text, BigInt, Text, Text, BigInt, BigInt);

/// Whose members, and which of them.
#[derive(Clone, Debug)]
pub struct MembersAsked {
    /// The partner that has the grants.
    pub partner: String,
    /// Only the members of this group; all when `None`.
    pub group: Option<String>,
    /// Only the members with these Patient ids; all when empty.
    pub patients: Vec<String>,
    /// When the grants must be live, UTC milliseconds.
    pub now_ms: i64,
    /// No later grant counts for [`between`], UTC milliseconds: who joins does not stand for who left.
    pub granted_until_ms: i64,
}

/// The Patient ids of a group.
#[diesel::dsl::auto_type]
fn of_group<'a>(group: &'a str) -> _ {
    member_group_entry::table
        .filter(member_group_entry::group_id.eq(group))
        .select(member_group_entry::patient_id)
}

/// Returns whether the partner has this group.
///
/// # Errors
/// Those of the database.
pub fn has_group(db: &mut Db, partner: &str, group: &str) -> Result<bool, Failure> {
    let found: Option<String> = member_group::table
        .find(group)
        .filter(member_group::partner_id.eq(partner))
        .select(member_group::id)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Returns how many members a group has, whatever became of the grants on them.
///
/// # Errors
/// Those of the database.
pub fn group_size(db: &mut Db, group: &str) -> Result<i64, Failure> {
    let ids: Vec<Option<String>> = of_group(group)
        .filter(member_group_entry::patient_id.is_not_null())
        .distinct()
        .load(db)?;
    Ok(i64::try_from(ids.len()).unwrap_or(i64::MAX))
}

/// Returns the Patient ids after `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn after(db: &mut Db, asked: &MembersAsked, after: &str, limit: i64) -> Result<Vec<String>, Failure> {
    let mut query = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(live(&asked.partner, asked.now_ms))
        .filter(grants::patient_id.gt(after))
        .select(grants::patient_id)
        .distinct()
        .order(grants::patient_id.asc())
        .limit(limit)
        .into_boxed();
    if let Some(group) = &asked.group {
        query = query.filter(grants::patient_id.nullable().eq_any(of_group(group)));
    }
    if !asked.patients.is_empty() {
        query = query.filter(grants::patient_id.eq_any(&asked.patients));
    }
    Ok(query.load(db)?)
}

/// Returns a grant on each of the members from `first` to `last`; of several it prefers one that covers sensitive data.
///
/// # Errors
/// Those of the database.
pub fn between(db: &mut Db, asked: &MembersAsked, first: &str, last: &str) -> Result<Vec<LiveGrant>, Failure> {
    let mut query = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(live(&asked.partner, asked.now_ms))
        .filter(grants::patient_id.between(first, last))
        .filter(grants::created_ms.le(asked.granted_until_ms))
        .order((grants::patient_id.asc(), grants::sensitive.desc(), grants::id.asc()))
        .select((
            grants::id,
            grants::compartment,
            grants::patient_id,
            grants::consent_id,
            grants::sensitive,
            grants::created_ms,
        ))
        .into_boxed();
    if let Some(group) = &asked.group {
        query = query.filter(grants::patient_id.nullable().eq_any(of_group(group)));
    }
    if !asked.patients.is_empty() {
        query = query.filter(grants::patient_id.eq_any(&asked.patients));
    }
    let mut found: Vec<LiveGrant> = query.load(db)?;
    found.dedup_by(|later, first| later.patient_id == first.patient_id);
    Ok(found)
}

struct ByIds;

fn by_ids_text(list: &str) -> &'static str {
    kept(format!(
        "SELECT g.id, g.compartment, g.patient_id, g.consent_id, g.sensitive, g.created_ms \
         FROM {list} CROSS JOIN grants g CROSS JOIN consent k WHERE g.id = w.value AND k.id = g.consent_id AND {}",
        live_sql!("g", "k")
    ))
}

static BY_IDS: LazyLock<[&'static str; 2]> = LazyLock::new(|| [LISTED.sqlite, LISTED.postgres].map(by_ids_text));

/// Returns those of these grants that are live ones of `partner`. The statement is the same for any number of them.
///
/// # Errors
/// Those of the database.
pub fn by_ids(db: &mut Db, partner: &str, ids: &[String], now_ms: i64) -> Result<Vec<LiveGrant>, Failure> {
    let ids = serde_json::json!(ids).to_string();
    let mut binds = vec![Bind::Text(&ids)];
    binds.extend(live_values::<Bind<'_>>(partner, now_ms));
    let [sqlite_text, postgres_text] = *BY_IDS;
    Ok(match db {
        Db::Sqlite(sqlite) => Statement::<ByIds, GrantColumns>::new(sqlite_text, binds).load(sqlite)?,
        Db::Pg(pg) => Statement::<ByIds, GrantColumns>::new(postgres_text, binds).load(pg)?,
    })
}

/// Returns the grants of `partner` that were revoked at `since_ms` (UTC milliseconds) or later: their ids, with the Patient ids.
///
/// # Errors
/// Those of the database.
pub fn ended_since(db: &mut Db, partner: &str, since_ms: i64) -> Result<Vec<(String, String)>, Failure> {
    Ok(grants::table
        .filter(grants::partner_id.eq(partner))
        .filter(revoked_since(since_ms))
        .select((grants::id, grants::patient_id))
        .load(db)?)
}

/// Returns the version of the partner's registration, if it is active.
///
/// # Errors
/// Those of the database.
pub fn active_version(db: &mut Db, partner: &str) -> Result<Option<i64>, Failure> {
    use super::schema::partner as partners;
    Ok(partners::table
        .find(partner)
        .filter(partners::status.eq("active"))
        .select(partners::version)
        .first(db)
        .optional()?)
}

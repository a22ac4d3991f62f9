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
use diesel::query_dsl::methods::LoadQuery;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, SqliteConnection};
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
        .filter(member_group::ended_ms.is_null())
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

/// A statement over the live grants of a partner: of all its members in the order of their ids, or of those that are named.
struct Texts {
    all: [&'static str; 2],
    named: [&'static str; 2],
}

impl Texts {
    /// The statement that begins with `select` and goes on with `rest`. It walks the members in their order, so that SQLite must not take the
    /// partner's other index, and read all grants of the partner each time.
    fn new(select: &str, rest: &str) -> Texts {
        const IN_GROUP: &str = "(? IS NULL OR EXISTS (SELECT 1 FROM member_group_entry e WHERE e.group_id = ? AND e.patient_id = g.patient_id))";
        let text = |from: &str, live: &str| {
            kept(format!(
                "{select} FROM {from} CROSS JOIN consent k WHERE {live} AND k.id = g.consent_id AND {IN_GROUP} AND {rest}"
            ))
        };
        let named = |list: &str| {
            let live = ["g.patient_id = w.value AND ", live_sql!("g", "k")].concat();
            text(&format!("{list} CROSS JOIN grants g"), &live)
        };
        Texts {
            all: [
                text("grants g", live_sql!("+g", "k")),
                text("grants g", live_sql!("g", "k")),
            ],
            named: [named(LISTED.sqlite), named(LISTED.postgres)],
        }
    }

    fn load<All: 'static, Named: 'static, Columns: 'static, Row>(
        &self,
        db: &mut Db,
        asked: &MembersAsked,
        rest: &[Bind<'_>],
    ) -> Result<Vec<Row>, Failure>
    where
        for<'a> Statement<'a, All, Columns>: LoadQuery<'a, SqliteConnection, Row> + LoadQuery<'a, PgConnection, Row>,
        for<'a> Statement<'a, Named, Columns>: LoadQuery<'a, SqliteConnection, Row> + LoadQuery<'a, PgConnection, Row>,
    {
        let group = Bind::OptText(asked.group.as_deref());
        let list = serde_json::json!(asked.patients).to_string();
        let mut binds = match asked.patients.is_empty() {
            true => Vec::new(),
            false => vec![Bind::Text(&list)],
        };
        binds.extend(live_values::<Bind<'_>>(&asked.partner, asked.now_ms));
        binds.extend([group, group]);
        binds.extend_from_slice(rest);
        Ok(match (db, asked.patients.is_empty()) {
            (Db::Sqlite(sqlite), true) => Statement::<All, Columns>::new(self.all[0], binds).load(sqlite)?,
            (Db::Pg(pg), true) => Statement::<All, Columns>::new(self.all[1], binds).load(pg)?,
            (Db::Sqlite(sqlite), false) => Statement::<Named, Columns>::new(self.named[0], binds).load(sqlite)?,
            (Db::Pg(pg), false) => Statement::<Named, Columns>::new(self.named[1], binds).load(pg)?,
        })
    }
}

struct AllAfter;
struct NamedAfter;
struct AllBetween;
struct NamedBetween;

static AFTER: LazyLock<Texts> = LazyLock::new(|| {
    Texts::new(
        "SELECT DISTINCT g.patient_id",
        "g.patient_id > ? ORDER BY g.patient_id LIMIT ?",
    )
});
static BETWEEN: LazyLock<Texts> = LazyLock::new(|| {
    Texts::new(
        "SELECT g.id, g.compartment, g.patient_id, g.consent_id, g.sensitive, g.created_ms",
        "g.patient_id >= ? AND g.patient_id <= ? AND g.created_ms <= ? ORDER BY g.patient_id, g.sensitive DESC, g.id",
    )
});

/// Returns the Patient ids after `after`, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn after(db: &mut Db, asked: &MembersAsked, after: &str, limit: i64) -> Result<Vec<String>, Failure> {
    AFTER.load::<AllAfter, NamedAfter, Text, String>(db, asked, &[Bind::Text(after), Bind::Big(limit)])
}

/// Returns a grant on each of the members from `first` to `last`; of several it prefers one that covers sensitive data.
///
/// # Errors
/// Those of the database.
pub fn between(db: &mut Db, asked: &MembersAsked, first: &str, last: &str) -> Result<Vec<LiveGrant>, Failure> {
    let rest = [Bind::Text(first), Bind::Text(last), Bind::Big(asked.granted_until_ms)];
    let mut found: Vec<LiveGrant> =
        BETWEEN.load::<AllBetween, NamedBetween, GrantColumns, LiveGrant>(db, asked, &rest)?;
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

/// Returns a live grant of `partner` on each of these members, by their Patient ids; of several it prefers one that covers sensitive data.
///
/// # Errors
/// Those of the database.
pub fn on_patients(db: &mut Db, partner: &str, patient_ids: &[String], now_ms: i64) -> Result<Vec<LiveGrant>, Failure> {
    if patient_ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut found: Vec<LiveGrant> = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .filter(grants::patient_id.eq_any(patient_ids))
        .filter(live(partner, now_ms))
        .order((grants::patient_id.asc(), grants::sensitive.desc(), grants::id.asc()))
        .select((
            grants::id,
            grants::compartment,
            grants::patient_id,
            grants::consent_id,
            grants::sensitive,
            grants::created_ms,
        ))
        .load(db)?;
    found.dedup_by(|later, first| later.patient_id == first.patient_id);
    Ok(found)
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

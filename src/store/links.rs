//! Identity links as they stand. What moves them is a step, in `steps`.

use super::Db;
use super::schema::identity_link;
use super::statement::{Bind, Statement};
use crate::error::{Failure, Fault};
use crate::identity::graph::{Change, Kind, Link, Origin, SourceId, State};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

/// Which links.
#[derive(Clone, Debug, Default)]
pub struct LinkFilter {
    /// Id of a Patient.
    pub member: Option<String>,
    /// Id of a partner.
    pub partner: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Id of the last one seen.
    pub cursor: Option<String>,
    /// Rows of a page.
    pub limit: i64,
}

type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    String,
    Option<String>,
    Option<String>,
    i64,
    Option<i64>,
    i64,
);

fn link(row: Row) -> Result<Link, Failure> {
    let damaged = |what: &'static str| Failure::new(Fault::StoreDamaged).because(what);
    let (
        id,
        source,
        kind,
        system,
        value,
        patient_id,
        state,
        confidence,
        origin,
        decision_id,
        review_id,
        from,
        until,
        version,
    ) = row;
    Ok(Link {
        id,
        from: SourceId {
            source,
            kind: Kind::parse(&kind).ok_or_else(|| damaged("a link's kind"))?,
            system,
            value,
        },
        patient_id,
        state: State::parse(&state).ok_or_else(|| damaged("a link's state"))?,
        confidence,
        origin: Origin::parse(&origin).ok_or_else(|| damaged("a link's origin"))?,
        decision_id,
        review_id,
        from_ms: from,
        until_ms: until,
        version,
    })
}

fn links(rows: Vec<Row>) -> Result<Vec<Link>, Failure> {
    rows.into_iter().map(link).collect()
}

struct Standing;

/// Whether a link is confirmed, and stays so until the caller's transaction ends.
///
/// # Errors
/// Those of the database.
pub fn is_confirmed(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let binds = vec![Bind::Text(id)];
    let found: Option<i64> = match db {
        // Who disputes it waits for this transaction, and then sees the grant that was made under it.
        Db::Pg(pg) => Statement::<Standing, BigInt>::new(
            "SELECT CAST(1 AS BIGINT) FROM identity_link WHERE id = ? AND state = 'confirmed' FOR SHARE",
            binds,
        )
        .get_result(pg)
        .optional()?,
        Db::Sqlite(sqlite) => Statement::<Standing, BigInt>::new(
            "SELECT 1 FROM identity_link WHERE id = ? AND state = 'confirmed'",
            binds,
        )
        .get_result(sqlite)
        .optional()?,
    };
    Ok(found.is_some())
}

struct Withheld;

/// Whether a person has to say whether this partner may have this member: a link between them is disputed, or what it was granted
/// was taken back. For the path of a match.
///
/// # Errors
/// Those of the database.
pub fn withheld(db: &mut Db, source: &str, patient_id: &str) -> Result<bool, Failure> {
    let statement = || {
        Statement::<Withheld, BigInt>::new(
            "SELECT CAST(COUNT(*) AS BIGINT) FROM (\
             SELECT 1 AS one FROM identity_link WHERE source = ? AND patient_id = ? AND state = 'disputed' \
             UNION ALL SELECT 1 AS one FROM grants g JOIN compartment c ON c.no = g.compartment \
             JOIN identity_revocation r ON r.grant_id = g.id JOIN identity_step s ON s.id = r.step_id \
             WHERE g.partner_id = ? AND c.patient_id = ? AND g.revoked_ms = s.at_ms) w",
            vec![
                Bind::Text(source),
                Bind::Text(patient_id),
                Bind::Text(source),
                Bind::Text(patient_id),
            ],
        )
    };
    let count: i64 = match db {
        Db::Pg(pg) => statement().get_result(pg)?,
        Db::Sqlite(sqlite) => statement().get_result(sqlite)?,
    };
    Ok(count > 0)
}

/// The same, and it stays so until the caller's transaction ends: who revokes grants on the member waits for it.
///
/// # Errors
/// Those of the database.
pub fn is_withheld(db: &mut Db, source: &str, patient_id: &str) -> Result<bool, Failure> {
    hold(db, patient_id, "SHARE")?;
    withheld(db, source, patient_id)
}

/// Before grants on a member are revoked: waits for those that are being made.
///
/// # Errors
/// Those of the database.
pub(super) fn hold_still(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    hold(db, patient_id, "NO KEY UPDATE")
}

/// SQLite has one writer at a time, and needs no lock.
fn hold(db: &mut Db, patient_id: &str, strength: &str) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        diesel::sql_query(format!(
            "SELECT 1 FROM compartment WHERE patient_id = $1 FOR {strength}"
        ))
        .bind::<Text, _>(patient_id)
        .execute(pg)?;
    }
    Ok(())
}

/// Whether a member number that these changes confirm is confirmed for somebody whom they do not speak of: another step came between.
///
/// # Errors
/// Those of the database.
pub fn are_others_confirmed(db: &mut Db, changes: &[Change]) -> Result<bool, Failure> {
    let confirmed = |change: &&Change| {
        let after = change.after.as_ref();
        after.is_some_and(|link| link.state == State::Confirmed && link.from.kind == Kind::Member)
    };
    for from in changes
        .iter()
        .filter(confirmed)
        .filter_map(|change| change.after.as_ref())
    {
        let known = |link: &Link| changes.iter().any(|change| change.link_id() == link.id);
        let others = of_number(db, &from.from)?;
        if others.iter().any(|link| link.state == State::Confirmed && !known(link)) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Number;

/// All links of one number. On the path of a match.
///
/// # Errors
/// Those of the database.
pub fn of_number(db: &mut Db, from: &SourceId) -> Result<Vec<Link>, Failure> {
    type Types = (
        Text,
        Text,
        Text,
        Text,
        Text,
        Text,
        Text,
        BigInt,
        Text,
        Nullable<Text>,
        Nullable<Text>,
        BigInt,
        Nullable<BigInt>,
        BigInt,
    );
    let statement = || {
        Statement::<Number, Types>::new(
            "SELECT id, source, kind, system, value, patient_id, state, confidence, origin, decision_id, review_id, from_ms, \
             until_ms, version FROM identity_link WHERE source = ? AND system = ? AND value = ? ORDER BY id LIMIT 1000",
            vec![
                Bind::Text(&from.source),
                Bind::Text(&from.system),
                Bind::Text(&from.value),
            ],
        )
    };
    let rows: Vec<Row> = match db {
        Db::Pg(pg) => statement().load(pg)?,
        Db::Sqlite(sqlite) => statement().load(sqlite)?,
    };
    links(rows)
}

/// One link.
///
/// # Errors
/// [`Fault::LinkUnknown`]; those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<Link, Failure> {
    let row = identity_link::table.find(id).first(db).optional()?;
    link(row.ok_or(Fault::LinkUnknown)?)
}

/// The links that a review proposed or decided.
///
/// # Errors
/// Those of the database.
pub fn of_review(db: &mut Db, review_id: &str) -> Result<Vec<Link>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::review_id.eq(review_id))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// The disputed links from `source` to a member.
///
/// # Errors
/// Those of the database.
pub fn disputed(db: &mut Db, source: &str, patient_id: &str) -> Result<Vec<Link>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::source.eq(source))
        .filter(identity_link::patient_id.eq(patient_id))
        .filter(identity_link::state.eq(State::Disputed.code()))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// The confirmed links from `source` to a member.
///
/// # Errors
/// Those of the database.
pub fn confirmed(db: &mut Db, source: &str, patient_id: &str) -> Result<Vec<Link>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::patient_id.eq(patient_id))
        .filter(identity_link::source.eq(source))
        .filter(identity_link::state.eq(State::Confirmed.code()))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// A page of links and one row more when there is another page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &LinkFilter) -> Result<Vec<Link>, Failure> {
    let mut query = identity_link::table
        .order(identity_link::id)
        .limit(super::ops_queries::fetched(filter.limit))
        .into_boxed();
    if let Some(member) = &filter.member {
        query = query.filter(identity_link::patient_id.eq(member));
    }
    if let Some(partner) = &filter.partner {
        query = query.filter(identity_link::source.eq(partner));
    }
    if let Some(state) = &filter.state {
        query = query.filter(identity_link::state.eq(state));
    }
    if let Some(cursor) = &filter.cursor {
        query = query.filter(identity_link::id.gt(cursor));
    }
    links(query.load(db)?)
}

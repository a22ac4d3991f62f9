//! Reads identity links. They are changed only by the steps in `steps`.

use super::Db;
use super::insert::kept;
use super::schema::identity_link;
use super::statement::{Bind, Statement, run};
use crate::error::{Failure, Fault};
use crate::identity::graph::{Kind, LinkChange, Origin, PersonLink, SourceId, State};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use std::sync::LazyLock;

/// Which links to list.
#[derive(Clone, Debug, Default)]
pub struct LinkFilter {
    /// Id of a Patient.
    pub member: Option<String>,
    /// Id of a partner.
    pub partner: Option<String>,
    /// State.
    pub state: Option<String>,
    /// Id of the last link of the previous page.
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

fn link(row: Row) -> Result<PersonLink, Failure> {
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
    Ok(PersonLink {
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

fn links(rows: Vec<Row>) -> Result<Vec<PersonLink>, Failure> {
    rows.into_iter().map(link).collect()
}

struct Standing;

/// Whether a link is confirmed. If it is, it stays confirmed until the caller's transaction ends.
///
/// # Errors
/// Those of the database.
pub fn is_confirmed(db: &mut Db, id: &str) -> Result<bool, Failure> {
    let binds = vec![Bind::Text(id)];
    let found: Option<i64> = match db {
        // A transaction that disputes the link waits for this one, and then sees the grant made under it.
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

/// SQL condition: a reviewer must decide if a partner may have the member of the row `c` of `compartment`, because a link between them is
/// disputed or a grant between them was revoked by a link step. Its two values are both the partner's id.
pub(super) const WITHHELD: &str = "EXISTS (SELECT 1 FROM identity_link w WHERE w.source = ? AND w.patient_id = c.patient_id \
    AND w.state = 'disputed') OR EXISTS (SELECT 1 FROM grants h JOIN identity_revocation r ON r.grant_id = h.id \
    JOIN identity_step s ON s.id = r.step_id WHERE h.partner_id = ? AND h.compartment = c.no AND h.revoked_ms = s.at_ms)";

static WITHHELD_SQL: LazyLock<&'static str> = LazyLock::new(|| {
    kept(format!(
        "SELECT CAST(COUNT(*) AS BIGINT) FROM compartment c WHERE c.patient_id = ? AND ({WITHHELD})"
    ))
});

/// Whether a reviewer must decide if this partner may have this member, by the condition `WITHHELD`.
///
/// # Errors
/// Those of the database.
pub fn withheld(db: &mut Db, source: &str, patient_id: &str) -> Result<bool, Failure> {
    let binds = vec![Bind::Text(patient_id), Bind::Text(source), Bind::Text(source)];
    let statement = Statement::<Withheld, BigInt>::new(*WITHHELD_SQL, binds);
    let count: i64 = match db {
        Db::Pg(pg) => statement.get_result(pg)?,
        Db::Sqlite(sqlite) => statement.get_result(sqlite)?,
    };
    Ok(count > 0)
}

struct HoldMember;
struct HoldStill;

/// Called before a grant on a member is made: transactions that revoke grants on the member wait for the
/// caller's. SQLite has one writer at a time and needs no lock.
///
/// # Errors
/// Those of the database.
pub(super) fn hold_member(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    if let Db::Pg(pg) = db {
        Statement::<HoldMember, BigInt>::new(
            "SELECT CAST(1 AS BIGINT) FROM compartment WHERE patient_id = ? FOR SHARE",
            vec![Bind::Text(patient_id)],
        )
        .load::<i64>(pg)?;
    }
    Ok(())
}

/// Called before grants on a member are revoked: waits for grants that are being made. It updates the member's row without changing it, so
/// a grant that is written later, in one statement based on an earlier read, finds another version of the row and fails.
///
/// # Errors
/// Those of the database.
pub(super) fn hold_still(db: &mut Db, patient_id: &str) -> Result<(), Failure> {
    if matches!(db, Db::Pg(_)) {
        let text = "UPDATE compartment SET next_seq = next_seq WHERE patient_id = ?";
        run(db, Statement::<HoldStill>::new(text, vec![Bind::Text(patient_id)]))?;
    }
    Ok(())
}

/// Whether a member number that these changes confirm is also confirmed by a link that is
/// not among them. Then another step was written in between.
///
/// # Errors
/// Those of the database.
pub fn are_others_confirmed(db: &mut Db, changes: &[LinkChange]) -> Result<bool, Failure> {
    let confirmed = |change: &&LinkChange| {
        let after = change.after.as_ref();
        after.is_some_and(|link| link.state == State::Confirmed && link.from.kind == Kind::Member)
    };
    for from in changes
        .iter()
        .filter(confirmed)
        .filter_map(|change| change.after.as_ref())
    {
        let known = |link: &PersonLink| changes.iter().any(|change| change.link_id() == link.id);
        let others = of_number(db, &from.from)?;
        if others.iter().any(|link| link.state == State::Confirmed && !known(link)) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Number;

/// How many links of one identifier are read at most.
pub(super) const OF_A_NUMBER: i64 = 1000;

/// Builds a link of `from` from its other columns: confidence, from, until and version;
/// id, kind, patient, state, origin, decision and review.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a missing column or an unknown code.
pub(super) fn of_columns(
    from: &SourceId,
    [confidence, from_ms, until_ms, version]: [Option<i64>; 4],
    [id, kind, patient_id, state, origin, decision_id, review_id]: [Option<String>; 7],
) -> Result<PersonLink, Failure> {
    let damaged = || Failure::new(Fault::StoreDamaged).because("a link lacks a column");
    link((
        id.ok_or_else(damaged)?,
        from.source.clone(),
        kind.ok_or_else(damaged)?,
        from.system.clone(),
        from.value.clone(),
        patient_id.ok_or_else(damaged)?,
        state.ok_or_else(damaged)?,
        confidence.ok_or_else(damaged)?,
        origin.ok_or_else(damaged)?,
        decision_id,
        review_id,
        from_ms.ok_or_else(damaged)?,
        until_ms,
        version.ok_or_else(damaged)?,
    ))
}

/// Returns all links of one identifier.
///
/// # Errors
/// Those of the database.
pub fn of_number(db: &mut Db, from: &SourceId) -> Result<Vec<PersonLink>, Failure> {
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
             until_ms, version FROM identity_link WHERE source = ? AND system = ? AND value = ? ORDER BY id LIMIT ?",
            vec![
                Bind::Text(&from.source),
                Bind::Text(&from.system),
                Bind::Text(&from.value),
                Bind::Big(OF_A_NUMBER),
            ],
        )
    };
    let rows: Vec<Row> = match db {
        Db::Pg(pg) => statement().load(pg)?,
        Db::Sqlite(sqlite) => statement().load(sqlite)?,
    };
    links(rows)
}

/// Returns the link with this id.
///
/// # Errors
/// [`Fault::LinkUnknown`]; those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<PersonLink, Failure> {
    let row = identity_link::table.find(id).first(db).optional()?;
    link(row.ok_or(Fault::LinkUnknown)?)
}

/// Returns the links that a review proposed or decided.
///
/// # Errors
/// Those of the database.
pub fn of_review(db: &mut Db, review_id: &str) -> Result<Vec<PersonLink>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::review_id.eq(review_id))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// Returns the disputed links from `source` to a member.
///
/// # Errors
/// Those of the database.
pub fn disputed(db: &mut Db, source: &str, patient_id: &str) -> Result<Vec<PersonLink>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::source.eq(source))
        .filter(identity_link::patient_id.eq(patient_id))
        .filter(identity_link::state.eq(State::Disputed.code()))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// Returns the confirmed links from `source` to a member.
///
/// # Errors
/// Those of the database.
pub fn confirmed(db: &mut Db, source: &str, patient_id: &str) -> Result<Vec<PersonLink>, Failure> {
    let rows = identity_link::table
        .filter(identity_link::patient_id.eq(patient_id))
        .filter(identity_link::source.eq(source))
        .filter(identity_link::state.eq(State::Confirmed.code()))
        .order(identity_link::id)
        .limit(100)
        .load(db)?;
    links(rows)
}

/// Returns a page of links, plus one more row when there is a next page.
///
/// # Errors
/// Those of the database.
pub fn page(db: &mut Db, filter: &LinkFilter) -> Result<Vec<PersonLink>, Failure> {
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

//! The statements of a search: a page, its keys, its count, and what comes along.

use super::super::Db;
use super::super::dynamic::{Held, Sql};
use super::super::resources::SEQUENCE_BITS;
use super::{Asked, Scope, allowed, condition, inside};
use crate::error::Failure;
use crate::fhir::search::params::NOT_OWNER;
use crate::fhir::search::{Kind, Param};
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use std::collections::HashMap;

/// A resource that may leave, as bytes.
#[derive(Clone, Debug, Queryable)]
pub struct Hit {
    /// Place in the store; the member's compartment is in its upper bits.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// What leaves: the released form when there is one, else as stored.
    pub bytes: Vec<u8>,
}

impl Hit {
    /// The compartment it stands in.
    pub fn compartment(&self) -> i64 {
        self.key >> SEQUENCE_BITS
    }
}

/// A match without its bytes, for ordering.
#[derive(Clone, Debug, Queryable)]
pub struct Keyed {
    /// Place in the store.
    pub key: i64,
    /// FHIR id.
    pub id: String,
    /// UTC milliseconds of the last change.
    pub last_updated_ms: i64,
}

type HitRow = (BigInt, Text, Text, Binary);

const HIT: &str = "SELECT r.key, r.type, r.id, coalesce(r.released, r.body)";

macro_rules! load {
    ($db:expr, $sql:expr, $row:ty) => {
        match $db {
            Db::Pg(pg) => $sql.rows::<$row>().load(pg)?,
            Db::Sqlite(sqlite) => $sql.rows::<$row>().load(sqlite)?,
        }
    };
}

macro_rules! up_to {
    ($connection:expr, $sql:expr, $bytes:expr) => {{
        let mut hits: Vec<Hit> = Vec::new();
        let mut room = $bytes;
        let statement = $sql.rows::<HitRow>();
        for hit in statement.load_iter::<Hit, DefaultLoadingMode>($connection)? {
            let hit = hit?;
            if !hits.is_empty() && hit.bytes.len() > room {
                return Ok((hits, true));
            }
            room = room.saturating_sub(hit.bytes.len());
            hits.push(hit);
        }
        hits
    }};
}

fn is_postgres(db: &Db) -> bool {
    matches!(db, Db::Pg(_))
}

/// The matches after `after_key` in the order of storage, at most `limit` and about `bytes`, and whether there are more.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    asked: &Asked<'_>,
    after_key: i64,
    limit: i64,
    bytes: usize,
) -> Result<(Vec<Hit>, bool), Failure> {
    if matches!(asked.scope, Scope::Granted { .. }) {
        // Keys first: ordering rows with their bytes would read all bytes of all matches.
        let mut sql = Sql::new("SELECT r.key");
        matching(&mut sql, asked, after_key, is_postgres(db));
        sql.with(" ORDER BY r.key LIMIT ?", [(limit + 1).into()]);
        let keys: Vec<i64> = load!(db, sql, BigInt);
        let more = i64::try_from(keys.len()).is_ok_and(|found| found > limit);
        let wanted = &keys[..keys.len() - usize::from(more)];
        let (hits, cut) = by_keys(db, asked.scope, wanted, asked.now_ms, bytes)?;
        return Ok((hits, more || cut));
    }
    let mut sql = Sql::new(HIT);
    matching(&mut sql, asked, after_key, is_postgres(db));
    sql.with(" ORDER BY r.key LIMIT ?", [(limit + 1).into()]);
    let mut hits = match db {
        Db::Pg(pg) => up_to!(pg, sql, bytes),
        Db::Sqlite(sqlite) => up_to!(sqlite, sql, bytes),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = hits.len() > limit;
    hits.truncate(limit);
    Ok((hits, more))
}

fn matching(sql: &mut Sql, asked: &Asked<'_>, after_key: i64, postgres: bool) {
    allowed(sql, asked.scope, asked.now_ms);
    sql.with(" AND r.key > ?", [after_key.into()]);
    condition::add(sql, asked, postgres);
}

/// All matches without their bytes, in no order.
///
/// # Errors
/// Those of the database.
pub fn keys(db: &mut Db, asked: &Asked<'_>) -> Result<Vec<Keyed>, Failure> {
    let mut sql = Sql::new("SELECT r.key, r.id, r.last_updated_ms");
    matching(&mut sql, asked, -1, is_postgres(db));
    Ok(load!(db, sql, (BigInt, Text, BigInt)))
}

/// How many match.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, asked: &Asked<'_>) -> Result<i64, Failure> {
    let mut sql = Sql::new("SELECT COUNT(*)");
    matching(&mut sql, asked, -1, is_postgres(db));
    let counted: Vec<i64> = load!(db, sql, BigInt);
    Ok(counted.first().copied().unwrap_or(0))
}

/// The lowest indexed value of each resource, or the highest, as text that compares like the value.
///
/// # Errors
/// Those of the database.
pub fn sort_values(db: &mut Db, scope: &Scope, param: &Param, highest: bool) -> Result<HashMap<i64, String>, Failure> {
    let pick = if highest { "MAX(" } else { "MIN(" };
    let mut sql = Sql::new("SELECT key, ");
    sql.add(pick);
    let dates = param.kind == Kind::Date;
    sql.add(if dates {
        "from_ms) FROM search_date WHERE "
    } else {
        "value) FROM search_value WHERE "
    });
    inside(&mut sql, "compartment", scope);
    sql.with(" AND param = ? GROUP BY key", [param.no.into()]);
    if dates {
        let found: Vec<(i64, i64)> = load!(db, sql, (BigInt, BigInt));
        // Shifted so that all are positive, then padded: text in the order of the numbers.
        let text = |ms: i64| format!("{:020}", i128::from(ms) - i128::from(i64::MIN));
        return Ok(found.into_iter().map(|(key, ms)| (key, text(ms))).collect());
    }
    let found: Vec<(i64, String)> = load!(db, sql, (BigInt, Text));
    Ok(found.into_iter().collect())
}

/// These resources, as far as they may leave, in the order of storage; and whether some were left for want of `bytes`.
///
/// # Errors
/// Those of the database.
pub fn by_keys(
    db: &mut Db,
    scope: &Scope,
    keys: &[i64],
    now_ms: i64,
    bytes: usize,
) -> Result<(Vec<Hit>, bool), Failure> {
    if keys.is_empty() {
        return Ok((Vec::new(), false));
    }
    let mut sql = Sql::new(HIT);
    allowed(&mut sql, scope, now_ms);
    sql.add(" AND r.key IN ").list(keys.iter().map(|key| Held::from(*key)));
    sql.add(" ORDER BY r.key");
    let hits = match db {
        Db::Pg(pg) => up_to!(pg, sql, bytes),
        Db::Sqlite(sqlite) => up_to!(sqlite, sql, bytes),
    };
    Ok((hits, false))
}

/// Resources by type and id that may leave in this scope, or that belong to nobody, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn by_reference(
    db: &mut Db,
    scope: &Scope,
    targets: &[(String, String)],
    limit: i64,
    now_ms: i64,
) -> Result<Vec<Hit>, Failure> {
    let mut hits = Vec::new();
    let mut by_type: HashMap<&str, Vec<&str>> = HashMap::new();
    for (rtype, id) in targets {
        by_type.entry(rtype).or_default().push(id);
    }
    let mut types: Vec<_> = by_type.into_iter().collect();
    types.sort_unstable();
    for (rtype, ids) in types {
        for ids in ids.chunks(200) {
            let left = limit - i64::try_from(hits.len()).unwrap_or(limit);
            let mut sql = Sql::new(HIT);
            allowed(&mut sql, scope, now_ms);
            if let Scope::One { grant, .. } = scope {
                sql.with(" AND r.compartment = ?", [grant.compartment.into()]);
            }
            sql.with(" AND r.type = ? AND r.id IN ", [rtype.into()])
                .list(ids.iter().map(|id| Held::from(*id)));
            sql.with(" ORDER BY r.key LIMIT ?", [left.into()]);
            hits.extend::<Vec<Hit>>(load!(db, sql, HitRow));
        }
    }
    Ok(hits)
}

/// Resources whose `param` refers to one of `hits`, at most `limit`; all in the compartments of these hits.
///
/// # Errors
/// Those of the database.
pub fn referring(
    db: &mut Db,
    scope: &Scope,
    param: &Param,
    hits: &[&Hit],
    limit: i64,
    now_ms: i64,
) -> Result<Vec<Hit>, Failure> {
    let mut found = Vec::new();
    let mut by_compartment: HashMap<i64, Vec<&Hit>> = HashMap::new();
    for hit in hits {
        by_compartment.entry(hit.compartment()).or_default().push(hit);
    }
    let mut compartments: Vec<_> = by_compartment.into_iter().collect();
    compartments.sort_unstable_by_key(|(no, _)| *no);
    for (no, hits) in compartments {
        let left = limit - i64::try_from(found.len()).unwrap_or(limit);
        let mut sql = Sql::new(HIT);
        allowed(&mut sql, scope, now_ms);
        sql.with(" AND r.compartment = ?", [no.into()]);
        if param.kind == Kind::Owner {
            sql.with(
                " AND r.type = ? AND r.key NOT IN (SELECT key FROM search_value WHERE compartment = ? AND param = ? AND value = ?)",
                [param.rtype.into(), no.into(), NOT_OWNER.into(), param.name.into()],
            );
        } else {
            sql.with(
                " AND r.key IN (SELECT key FROM search_value WHERE compartment = ? AND param = ? AND value IN ",
                [no.into(), param.no.into()],
            );
            sql.list(hits.iter().map(|hit| Held::from(hit.id.as_str())));
            sql.with(" AND system = ?)", [hits[0].rtype.as_str().into()]);
        }
        sql.with(" ORDER BY r.key LIMIT ?", [left.into()]);
        found.extend::<Vec<Hit>>(load!(db, sql, HitRow));
    }
    Ok(found)
}

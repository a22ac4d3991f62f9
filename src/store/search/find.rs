//! The statements of a search: a page of matches, their keys, and their count.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::super::resources::SEQUENCE_BITS;
use super::{SearchAsked, SearchScope, allowed, condition, inside};
use crate::error::Failure;
use crate::fhir::search::{Param, ParamKind};
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use std::collections::HashMap;

/// A resource that may be released, with its bytes.
#[derive(Clone, Debug, Queryable)]
pub struct Hit {
    /// The key of the resource; its upper bits are the number of the member's compartment.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// The bytes that are released: the released form when there is one, otherwise the stored bytes.
    pub bytes: Vec<u8>,
}

impl Hit {
    /// Returns the compartment to which it belongs.
    pub fn compartment(&self) -> i64 {
        self.key >> SEQUENCE_BITS
    }
}

/// A match without its bytes, for sorting.
#[derive(Clone, Debug, Queryable)]
pub struct FoundKey {
    /// The key of the resource.
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

/// Returns the matches after `after_key` in the order of keys, at most `limit` of them and
/// about `bytes` in size, and whether there are more.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    after_key: i64,
    limit: i64,
    bytes: usize,
) -> Result<(Vec<Hit>, bool), Failure> {
    if matches!(asked.scope, SearchScope::Granted { .. }) {
        // Keys first: sorting rows with their bytes would read the bytes of all matches.
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

fn matching(sql: &mut Sql, asked: &SearchAsked<'_>, after_key: i64, postgres: bool) {
    allowed(sql, asked.scope, asked.now_ms);
    sql.with(" AND r.key > ?", [after_key.into()]);
    condition::add(sql, asked, postgres);
}

/// Returns all matches without their bytes, unsorted.
///
/// # Errors
/// Those of the database.
pub fn keys(db: &mut Db, asked: &SearchAsked<'_>) -> Result<Vec<FoundKey>, Failure> {
    let mut sql = Sql::new("SELECT r.key, r.id, r.last_updated_ms");
    matching(&mut sql, asked, -1, is_postgres(db));
    Ok(load!(db, sql, (BigInt, Text, BigInt)))
}

/// Returns how many resources match.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, asked: &SearchAsked<'_>) -> Result<i64, Failure> {
    let mut sql = Sql::new("SELECT COUNT(*)");
    matching(&mut sql, asked, -1, is_postgres(db));
    let counted: Vec<i64> = load!(db, sql, BigInt);
    Ok(counted.first().copied().unwrap_or(0))
}

/// Returns the lowest indexed value of each resource, or the highest, as text that sorts like the value.
///
/// # Errors
/// Those of the database.
pub fn sort_values(
    db: &mut Db,
    scope: &SearchScope,
    param: &Param,
    highest: bool,
) -> Result<HashMap<i64, String>, Failure> {
    let pick = if highest { "MAX(" } else { "MIN(" };
    let mut sql = Sql::new("SELECT key, ");
    sql.add(pick);
    let dates = param.kind == ParamKind::Date;
    sql.add(if dates {
        "from_ms) FROM search_date WHERE "
    } else {
        "value) FROM search_value WHERE "
    });
    inside(&mut sql, "compartment", scope);
    sql.with(" AND param = ? GROUP BY key", [param.no.into()]);
    if dates {
        let found: Vec<(i64, i64)> = load!(db, sql, (BigInt, BigInt));
        // Shifted to be non-negative and padded with zeros, so that the text sorts like the number.
        let text = |ms: i64| format!("{:020}", i128::from(ms) - i128::from(i64::MIN));
        return Ok(found.into_iter().map(|(key, ms)| (key, text(ms))).collect());
    }
    let found: Vec<(i64, String)> = load!(db, sql, (BigInt, Text));
    Ok(found.into_iter().collect())
}

/// Returns those of these resources that may be released, ordered by key, and whether some were left out because of `bytes`.
///
/// # Errors
/// Those of the database.
pub fn by_keys(
    db: &mut Db,
    scope: &SearchScope,
    keys: &[i64],
    now_ms: i64,
    bytes: usize,
) -> Result<(Vec<Hit>, bool), Failure> {
    if keys.is_empty() {
        return Ok((Vec::new(), false));
    }
    let mut sql = Sql::new(HIT);
    allowed(&mut sql, scope, now_ms);
    sql.add(" AND r.key IN ")
        .list(keys.iter().map(|key| HeldValue::from(*key)));
    sql.add(" ORDER BY r.key");
    let hits = match db {
        Db::Pg(pg) => up_to!(pg, sql, bytes),
        Db::Sqlite(sqlite) => up_to!(sqlite, sql, bytes),
    };
    Ok((hits, false))
}

//! The statements of a search: a page of matches, their keys, and their count.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::super::measured::{MEASURED, MeasuredColumns, MeasuredRow, fitting, most_of_each};
use super::super::resources::SEQUENCE_BITS;
use super::{SearchAsked, SearchScope, allowed, condition, parts};
use crate::error::{Failure, Fault};
use crate::fhir::search::{Param, ParamKind};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::collections::HashMap;

/// Resources whose values are read in one statement, when they are of several compartments.
const KEYS_AT_ONCE: usize = 1_000;
/// Most resources that are counted in a search across members.
pub const COUNTED_MAX: usize = 100_000;

/// A resource that may be released, with its bytes.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The key of the resource; its upper bits are the number of the member's compartment.
    pub key: i64,
    /// FHIR type.
    pub rtype: String,
    /// FHIR id.
    pub id: String,
    /// The bytes that are released: the released form when there is one, otherwise the stored bytes.
    pub bytes: Vec<u8>,
    /// Whether these are a released form, from which a part was cut.
    pub is_cut: bool,
}

impl Hit {
    /// Returns the compartment to which it belongs.
    pub fn compartment(&self) -> i64 {
        self.key >> SEQUENCE_BITS
    }
}

/// How many bytes of matches a page may have.
#[derive(Clone, Copy, Debug)]
pub struct PageBytes {
    /// About so many; a single larger resource is still on the page.
    pub most: usize,
    /// For so many there is room in memory. More are not read.
    pub held: usize,
}

impl PageBytes {
    /// What is read in any case: its size is known.
    pub const KNOWN: PageBytes = PageBytes {
        most: usize::MAX,
        held: usize::MAX,
    };
}

/// The matches of a page.
#[derive(Debug)]
pub enum PageRead {
    /// They were read; whether there are more.
    Read(Vec<Hit>, bool),
    /// They have so many bytes, for which there is no room yet.
    Larger(usize),
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

macro_rules! load {
    ($db:expr, $sql:expr, $row:ty) => {
        match $db {
            Db::Pg(pg) => $sql.rows::<$row>().load(pg)?,
            Db::Sqlite(sqlite) => $sql.rows::<$row>().load(sqlite)?,
        }
    };
}

fn is_postgres(db: &Db) -> bool {
    matches!(db, Db::Pg(_))
}

/// Returns the matches after `after_key` in the order of keys, at most `limit` of them.
///
/// # Errors
/// Those of the database.
pub fn page(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    after_key: i64,
    limit: i64,
    bytes: PageBytes,
) -> Result<PageRead, Failure> {
    if matches!(asked.scope, SearchScope::Granted { .. }) {
        // Keys first: sorting rows with their bytes would read the bytes of all matches.
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut keys: Vec<i64> = Vec::new();
        parts::each(db, asked, after_key, |db, asked| {
            let mut sql = Sql::new("SELECT r.key");
            matching(&mut sql, asked, after_key, is_postgres(db));
            sql.with(" ORDER BY r.key LIMIT ?", [one_more(most - keys.len()).into()]);
            let some: Vec<i64> = load!(db, sql, BigInt);
            keys.extend(some);
            Ok(keys.len() <= most)
        })?;
        let more = keys.len() > most;
        let wanted = &keys[..keys.len() - usize::from(more)];
        return Ok(match by_keys(db, asked.scope, wanted, asked.now_ms, bytes)? {
            PageRead::Read(hits, cut) => PageRead::Read(hits, more || cut),
            larger @ PageRead::Larger(_) => larger,
        });
    }
    let mut sql = measured(limit + 1, bytes);
    matching(&mut sql, asked, after_key, is_postgres(db));
    sql.with(" ORDER BY r.key LIMIT ?", [(limit + 1).into()]);
    let mut found: Vec<MeasuredRow> = load!(db, sql, MeasuredColumns);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(match whole(db, (asked.scope, asked.now_ms), found, bytes)? {
        PageRead::Read(hits, cut) => PageRead::Read(hits, more || cut),
        larger @ PageRead::Larger(_) => larger,
    })
}

/// The beginning of a statement that may find `rows` rows. Those come with their bytes that are small enough for all of them together to
/// have room.
fn measured(rows: i64, bytes: PageBytes) -> Sql {
    let mut sql = Sql::default();
    let most = most_of_each(rows, bytes.most.min(bytes.held));
    sql.with(MEASURED, [i64::from(most).into()]);
    sql
}

/// The rows from the first on that have no more bytes together than a page may have, or the first one alone, and whether others were left
/// out. Bytes that did not come with their rows are read now, if there is room.
fn whole(
    db: &mut Db,
    scope: (&SearchScope, i64),
    mut found: Vec<MeasuredRow>,
    bytes: PageBytes,
) -> Result<PageRead, Failure> {
    let count = fitting(found.iter().map(MeasuredRow::size), bytes.most);
    let cut = count < found.len();
    found.truncate(count);
    let needed: usize = found.iter().map(MeasuredRow::size).sum();
    if needed > bytes.held {
        return Ok(PageRead::Larger(needed));
    }
    let missing = found.iter().filter(|row| row.bytes.is_none()).map(|row| row.key);
    let missing: Vec<i64> = missing.collect();
    let most = bytes.most.max(needed);
    let mut late: HashMap<i64, MeasuredRow> = HashMap::new();
    if !missing.is_empty() {
        let rows = by_keys_measured(db, scope, &missing, i64::try_from(most).unwrap_or(i64::MAX))?;
        late.extend(rows.into_iter().map(|row| (row.key, row)));
    }
    let mut hits = Vec::with_capacity(count);
    for row in found {
        let row = match row.bytes {
            Some(_) => Some(row),
            None => late.remove(&row.key),
        };
        // What may not be released any more is not there.
        let Some(row) = row else { continue };
        match row.bytes {
            Some(bytes) => hits.push(Hit {
                key: row.key,
                rtype: row.rtype,
                id: row.id,
                bytes,
                is_cut: row.is_cut,
            }),
            // It has grown meanwhile, beyond what the page has room for.
            None if hits.is_empty() => {
                return Ok(match by_keys(db, scope.0, &[row.key], scope.1, bytes)? {
                    PageRead::Read(hits, _) => PageRead::Read(hits, true),
                    larger @ PageRead::Larger(_) => larger,
                });
            }
            None => return Ok(PageRead::Read(hits, true)),
        }
    }
    Ok(PageRead::Read(hits, cut))
}

fn matching(sql: &mut Sql, asked: &SearchAsked<'_>, after_key: i64, postgres: bool) {
    allowed(sql, asked.scope, asked.now_ms);
    sql.with(" AND r.key > ?", [after_key.into()]);
    condition::add(sql, asked, postgres);
}

/// Returns all matches without their bytes, in the order of keys; `None` when there are more than `most`. No more than that are read.
///
/// # Errors
/// Those of the database.
pub fn keys(db: &mut Db, asked: &SearchAsked<'_>, most: usize) -> Result<Option<Vec<FoundKey>>, Failure> {
    let mut found: Vec<FoundKey> = Vec::new();
    parts::each(db, asked, -1, |db, asked| {
        let mut sql = Sql::new("SELECT r.key, r.id, r.last_updated_ms");
        matching(&mut sql, asked, -1, is_postgres(db));
        sql.with(" LIMIT ?", [one_more(most - found.len()).into()]);
        let some: Vec<FoundKey> = load!(db, sql, (BigInt, Text, BigInt));
        found.extend(some);
        Ok(found.len() <= most)
    })?;
    found.sort_unstable_by_key(|one| one.key);
    Ok((found.len() <= most).then_some(found))
}

/// Returns how many resources match. In a search across members no more than [`COUNTED_MAX`] are counted.
///
/// # Errors
/// [`Fault::SearchTooCostly`] when there are more; those of the database.
pub fn count(db: &mut Db, asked: &SearchAsked<'_>) -> Result<i64, Failure> {
    let most = match asked.scope {
        SearchScope::Granted { .. } => COUNTED_MAX,
        SearchScope::One { .. } | SearchScope::Shared | SearchScope::Referred => usize::MAX,
    };
    let mut found: usize = 0;
    parts::each(db, asked, -1, |db, asked| {
        let mut sql = Sql::new("SELECT COUNT(*) FROM (SELECT 1 AS one");
        matching(&mut sql, asked, -1, is_postgres(db));
        sql.with(" LIMIT ?) found", [one_more(most - found).into()]);
        let counted: Vec<i64> = load!(db, sql, BigInt);
        let counted = counted.into_iter().filter_map(|some| usize::try_from(some).ok());
        found += counted.sum::<usize>();
        Ok(found <= most)
    })?;
    if found > most {
        return Err(Failure::new(Fault::SearchTooCostly)
            .at(format!("{}?_total", asked.search.rtype))
            .remedy(format!(
                "Narrow the search, for example to one patient, or leave _total and _summary=count out. The server counts up to {COUNTED_MAX} \
                 resources of all members together."
            )));
    }
    Ok(i64::try_from(found).unwrap_or(i64::MAX))
}

/// How many rows are read to see whether there are more than `most`.
fn one_more(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1)
}

/// Returns the lowest indexed value of each of these resources, or the highest, as text that sorts like the value. `found` is in the order of
/// keys. The index is read in the compartments of these resources only, and once in each.
///
/// # Errors
/// Those of the database.
pub fn sort_values(
    db: &mut Db,
    found: &[FoundKey],
    param: &Param,
    highest: bool,
) -> Result<HashMap<i64, String>, Failure> {
    let mut values = HashMap::with_capacity(found.len());
    let mut left = found;
    while let Some(first) = left.first() {
        // Whole compartments, as many as have about this many resources together.
        let mut end = left.len().min(KEYS_AT_ONCE);
        let last = left[end - 1].key >> SEQUENCE_BITS;
        if last == first.key >> SEQUENCE_BITS {
            end = left.partition_point(|one| one.key >> SEQUENCE_BITS == last);
        } else if end < left.len() {
            end = left.partition_point(|one| one.key >> SEQUENCE_BITS < last);
        }
        let (some, rest) = left.split_at(end);
        values_of(db, some, (param, highest), &mut values)?;
        left = rest;
    }
    Ok(values)
}

/// Adds the values of these resources, and of no others of their compartments.
fn values_of(
    db: &mut Db,
    some: &[FoundKey],
    (param, highest): (&Param, bool),
    values: &mut HashMap<i64, String>,
) -> Result<(), Failure> {
    let mut compartments: Vec<i64> = some.iter().map(|one| one.key >> SEQUENCE_BITS).collect();
    compartments.dedup();
    let dates = param.kind == ParamKind::Date;
    let mut sql = Sql::new("SELECT key, ");
    sql.add(if highest { "MAX(" } else { "MIN(" });
    sql.add(if dates {
        "from_ms) FROM search_date WHERE compartment IN "
    } else {
        "value) FROM search_value WHERE compartment IN "
    });
    sql.list(compartments.into_iter().map(HeldValue::from));
    sql.with(" AND param = ? AND key IN ", [param.no.into()]);
    sql.list(some.iter().map(|one| HeldValue::from(one.key)));
    sql.add(" GROUP BY key");
    if dates {
        let read: Vec<(i64, i64)> = load!(db, sql, (BigInt, BigInt));
        // Shifted to be non-negative and padded with zeros, so that the text sorts like the number.
        let text = |ms: i64| format!("{:020}", i128::from(ms) - i128::from(i64::MIN));
        values.extend(read.into_iter().map(|(key, ms)| (key, text(ms))));
    } else {
        let read: Vec<(i64, String)> = load!(db, sql, (BigInt, Text));
        values.extend(read);
    }
    Ok(())
}

/// Returns those of these resources that may be released, in the order of `keys`: as many from the first on as have no more bytes together
/// than a page may have, or the first one alone.
///
/// # Errors
/// Those of the database.
pub fn by_keys(
    db: &mut Db,
    scope: &SearchScope,
    keys: &[i64],
    now_ms: i64,
    bytes: PageBytes,
) -> Result<PageRead, Failure> {
    if keys.is_empty() {
        return Ok(PageRead::Read(Vec::new(), false));
    }
    let rows = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    let most = most_of_each(rows, bytes.most.min(bytes.held));
    let found = by_keys_measured(db, (scope, now_ms), keys, most.into())?;
    let mut found: HashMap<i64, MeasuredRow> = found.into_iter().map(|row| (row.key, row)).collect();
    let found = keys.iter().filter_map(|key| found.remove(key)).collect();
    whole(db, (scope, now_ms), found, bytes)
}

/// Those of these resources that may be released, with the bytes of those that have no more than `most`.
fn by_keys_measured(
    db: &mut Db,
    (scope, now_ms): (&SearchScope, i64),
    keys: &[i64],
    most: i64,
) -> Result<Vec<MeasuredRow>, Failure> {
    let mut sql = Sql::default();
    sql.with(MEASURED, [most.into()]);
    allowed(&mut sql, scope, now_ms);
    sql.add(" AND r.key IN ")
        .list(keys.iter().map(|key| HeldValue::from(*key)));
    Ok(load!(db, sql, MeasuredColumns))
}

#[cfg(test)]
mod plan_tests;

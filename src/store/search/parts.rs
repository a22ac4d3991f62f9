//! A search across members on SQLite, in statements about a few members each.
//!
//! No safe code stops a statement of SQLite that runs. So none may take long: the search ends between two statements, when it has found
//! enough or has taken too long. What a statement holds in memory is bounded too. This file decides nothing about who may see what.

use super::super::Db;
use super::super::dynamic::{HeldValue, Sql};
use super::super::release_rule::unrevoked_sql;
use super::super::resources::SEQUENCE_BITS;
use super::{SearchAsked, SearchScope, condition};
use crate::error::{Failure, Fault};
use crate::fhir::search::SearchFilter;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::time::{Duration, Instant};

/// How many members the first statement is about.
const FIRST: usize = 4;
/// Most members of one statement. Each filter binds all of them.
const MOST: usize = 256;
/// A statement that took longer is followed by one about fewer members.
const LONG: Duration = Duration::from_millis(100);
/// After this time no further statement is run.
const TIME: Duration = Duration::from_secs(5);

/// Runs `read` for all members of the scope at once, or for some of them at a time, in the order of their compartments. `read` returns
/// whether to go on. Members whose keys are all up to `after_key` are left out.
///
/// # Errors
/// [`Fault::SearchTooCostly`] when there is no time left; those of the database and of `read`.
pub(super) fn each(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    after_key: i64,
    read: impl FnMut(&mut Db, &SearchAsked<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    each_within(db, asked, (after_key, TIME), read)
}

fn each_within(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    (after_key, time): (i64, Duration),
    mut read: impl FnMut(&mut Db, &SearchAsked<'_>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let (SearchScope::Granted { partner }, Db::Sqlite(sqlite)) = (asked.scope, &mut *db) else {
        return read(db, asked).map(drop);
    };
    if asked.search.filters.iter().any(condition::leads) {
        return read(db, asked).map(drop);
    }
    let members: Vec<i64> = members(partner, asked, after_key).rows::<BigInt>().load(sqlite)?;
    let (mut left, mut size) = (members.as_slice(), FIRST);
    while !left.is_empty() {
        let (part, rest) = left.split_at(size.min(left.len()));
        let before = began.elapsed();
        if before >= time {
            return Err(Failure::new(Fault::SearchTooCostly).at(asked.search.rtype.clone()));
        }
        if !read(db, &SearchAsked { part, ..*asked })? {
            return Ok(());
        }
        size = next_size(size, began.elapsed().saturating_sub(before));
        left = rest;
    }
    Ok(())
}

/// Selects the compartments that the search can be about.
fn members(partner: &str, asked: &SearchAsked<'_>, after_key: i64) -> Sql {
    let mut sql = Sql::default();
    sql.with(
        concat!(
            "SELECT DISTINCT compartment FROM grants WHERE partner_id = ? AND ",
            unrevoked_sql!("grants"),
            " AND compartment >= ?"
        ),
        [partner.into(), (after_key >> SEQUENCE_BITS).into()],
    );
    for filter in &asked.search.filters {
        if let SearchFilter::Owner { any, .. } = filter {
            sql.add(" AND compartment IN (SELECT no FROM compartment WHERE patient_id IN ");
            sql.list(any.iter().map(|id| HeldValue::from(id.as_str()))).add(")");
        }
    }
    sql.add(" ORDER BY compartment");
    sql
}

/// How many members the next statement is about, after one about `size` took so long.
fn next_size(size: usize, took: Duration) -> usize {
    if took > LONG {
        (size / 4).max(1)
    } else {
        (size * 2).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::search::Search;
    use diesel::SqliteConnection;
    use diesel::connection::SimpleConnection as _;

    /// A store with so many members, on whom partner `p` has grants.
    fn store_of(members: usize) -> Db {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("a database"));
        let rows = format!(
            "CREATE TABLE grants (partner_id TEXT, compartment BIGINT, revoked_ms BIGINT); \
             WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {members}) \
             INSERT INTO grants SELECT 'p', n, NULL FROM s"
        );
        db.batch_execute(&rows).expect("rows");
        db
    }

    #[test]
    fn t_b07_a_search_across_members_reads_each_once_and_ends_when_it_found_enough_or_took_too_long() {
        let mut db = store_of(1_000);
        let scope = SearchScope::Granted {
            partner: "p".to_owned(),
        };
        let search = Search::default();
        let asked = SearchAsked {
            scope: &scope,
            part: &[],
            search: &search,
            umb_system: "",
            now_ms: 0,
        };
        let mut seen = Vec::new();
        let all = |_: &mut Db, asked: &SearchAsked<'_>| {
            assert!((1..=MOST).contains(&asked.part.len()));
            seen.extend_from_slice(asked.part);
            Ok(true)
        };
        each(&mut db, &asked, -1, all).expect("in time");
        assert_eq!(seen, (1..=1_000).collect::<Vec<i64>>());
        let mut parts = Vec::new();
        let first = |_: &mut Db, asked: &SearchAsked<'_>| {
            parts.push(asked.part[0]);
            Ok(false)
        };
        each(&mut db, &asked, 700 << SEQUENCE_BITS, first).expect("in time");
        assert_eq!(parts, [700]);
        let late = each_within(&mut db, &asked, (-1, Duration::ZERO), |_, _| Ok(true));
        assert_eq!(late.expect_err("no time").fault(), Fault::SearchTooCostly);
        assert_eq!(next_size(MOST, LONG), MOST);
        assert_eq!(next_size(2, LONG * 2), 1);
    }
}

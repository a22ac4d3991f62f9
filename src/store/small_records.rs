//! Reads the small records of many members in one statement, for a file: what [`super::record_rows`] reads page by page of one member.
//!
//! The conditions are the same: each row is there only under its member's live grant, and only while all that the work was begun on holds
//! ([`DisclosureBasis`]).

use super::Db;
use super::disclosure::{DisclosureBasis, LiveGrant};
use super::insert::kept;
use super::keys::SEQUENCE_BITS;
use super::measured::{MEASURED, MeasuredColumns, MeasuredRow};
use super::release_rule::{BASIS_SQL, live_sql, live_values, releasable_sql, releasable_value};
use super::schema::compartment;
use super::statement::{Bind, LISTED, Statement};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::HashMap;
use std::sync::LazyLock;

/// How many rows the records of one statement may have together.
pub const ROWS: i64 = 512;
/// The largest row whose bytes come along. With [`ROWS`] it bounds what one statement brings into memory.
pub const MOST: i32 = 16 * 1024;

struct Small;

/// The grants come first, then each record by its range of keys: the CROSS JOINs fix this order for SQLite. Rows are sorted by the caller,
/// because a database would move their bytes to do so. A row more than [`ROWS`] tells that there are too many.
fn text(list: &str) -> String {
    format!(
        "{MEASURED} FROM {list} CROSS JOIN grants g CROSS JOIN consent k CROSS JOIN resource r \
         WHERE g.id = w.value AND k.id = g.consent_id AND {live} \
         AND {BASIS_SQL} \
         AND r.key >= (g.compartment << {SEQUENCE_BITS}) AND r.key < ((g.compartment + 1) << {SEQUENCE_BITS}) \
         AND {releasable} AND r.type <> 'Binary' AND r.last_updated_ms > ? AND r.last_updated_ms <= ? LIMIT {limit}",
        live = live_sql!("g", "k"),
        releasable = releasable_sql!("r", "g"),
        limit = ROWS + 1,
    )
}

static SQLITE: LazyLock<&'static str> = LazyLock::new(|| kept(text(LISTED.sqlite)));
static POSTGRES: LazyLock<&'static str> = LazyLock::new(|| kept(text(LISTED.postgres)));

/// Returns the rows of the records under these grants that changed after the first and not after the second of `changed_ms` (UTC
/// milliseconds), in the order of their keys; bytes come with rows of up to [`MOST`]. `None` when there are more than [`ROWS`].
///
/// # Errors
/// Those of the database.
pub fn rows(
    db: &mut Db,
    basis: &DisclosureBasis,
    grants: &[LiveGrant],
    (since_ms, until_ms): (i64, i64),
) -> Result<Option<Vec<MeasuredRow>>, Failure> {
    let ids: Vec<&str> = grants.iter().map(|grant| grant.id.as_str()).collect();
    let ids = serde_json::json!(ids).to_string();
    let mut binds = vec![Bind::Big(i64::from(MOST)), Bind::Text(&ids)];
    binds.extend(live_values::<Bind<'_>>(&basis.partner, basis.begun_ms));
    binds.extend([
        Bind::Text(&basis.partner),
        Bind::Big(basis.partner_version),
        Bind::Blob(&basis.token_sha256),
        Bind::Big(releasable_value(basis.begun_ms)),
        Bind::Big(since_ms),
        Bind::Big(until_ms),
    ]);
    let mut rows: Vec<MeasuredRow> = match db {
        Db::Pg(pg) => Statement::<Small, MeasuredColumns>::new(*POSTGRES, binds).load(pg)?,
        Db::Sqlite(sqlite) => Statement::<Small, MeasuredColumns>::new(*SQLITE, binds).load(sqlite)?,
    };
    rows.sort_unstable_by_key(|row| row.key);
    let fits = i64::try_from(rows.len()).is_ok_and(|count| count <= ROWS);
    Ok(fits.then_some(rows))
}

/// Returns about how many resources the records of these compartments have: at least as many as they have rows, unless more came a moment
/// ago.
///
/// # Errors
/// Those of the database.
pub fn sizes(db: &mut Db, numbers: &[i64]) -> Result<HashMap<i64, i64>, Failure> {
    let rows: Vec<(i64, i64)> = compartment::table
        .filter(compartment::no.eq_any(numbers))
        .select((compartment::no, compartment::next_seq))
        .load(db)?;
    Ok(rows.into_iter().collect())
}

//! The rows of the tree over the ledger: logs, leaves, tiles, the growing edge, and signed checkpoints.
//!
//! Leaves and full tiles are only inserted. This module knows no hashes: tiles and edges are bytes to it.

use super::Db;
use super::many::insert;
use super::schema::{ledger_checkpoint, ledger_entry, ledger_leaf, ledger_log, ledger_tile, ledger_tree};
use super::statement::{Bind, Statement, run};
use crate::error::{Failure, Fault};
use crate::failpoint;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

/// The name of the points at which a test can end this process.
const POINT: &str = "ledger";

/// One log of this store.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = ledger_log)]
pub struct LogRow {
    /// Its number.
    pub no: i64,
    /// Its id, which is also part of the names of its files.
    pub log_id: String,
    /// Its name in checkpoints.
    pub origin: String,
    /// The Ed25519 key that signs its checkpoints.
    pub public_key: Vec<u8>,
    /// When it began, UTC milliseconds.
    pub began_ms: i64,
}

/// How far the tree of a log has come.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = ledger_tree)]
pub struct TreeRow {
    /// The log.
    pub log: i64,
    /// How many entries it has.
    pub size: i64,
    /// The tiles that are not full.
    pub edge: Vec<u8>,
    /// No entry with an id up to this one is missing, but for those that were committed long after their id was made.
    pub settled: String,
}

/// An entry's place.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = ledger_leaf)]
pub struct LeafRow {
    /// The log.
    pub log: i64,
    /// The entry.
    pub entry_id: String,
    /// Its index.
    pub idx: i64,
}

/// A full tile.
#[derive(Clone, Debug, PartialEq, Eq, Insertable)]
#[diesel(table_name = ledger_tile)]
pub struct TileRow {
    /// The log.
    pub log: i64,
    /// Its level.
    pub level: i64,
    /// Its number in its level.
    pub n: i64,
    /// Its hashes.
    pub hashes: Vec<u8>,
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = ledger_checkpoint)]
pub struct CheckpointRow {
    /// The log.
    pub log: i64,
    /// Number of entries.
    pub size: i64,
    /// The root over them.
    pub root: Vec<u8>,
    /// The signed text.
    pub note: String,
    /// When it was signed, UTC milliseconds.
    pub signed_ms: i64,
}

/// What is appended to a tree at once.
#[derive(Clone, Debug)]
pub struct Growth {
    /// The tree as it was read.
    pub from: TreeRow,
    /// The new leaves.
    pub leaves: Vec<LeafRow>,
    /// The tiles that became full.
    pub tiles: Vec<TileRow>,
    /// The new edge.
    pub edge: Vec<u8>,
    /// The new value of [`TreeRow::settled`].
    pub settled: String,
}

/// Returns the newest log, which is the one in use.
///
/// # Errors
/// Those of the database.
pub fn log(db: &mut Db) -> Result<Option<LogRow>, Failure> {
    Ok(ledger_log::table.order(ledger_log::no.desc()).first(db).optional()?)
}

/// Begins a log. Fails on a duplicate key when another process has begun one with this number.
///
/// # Errors
/// Those of the database.
pub fn begin(db: &mut Db, log: &LogRow) -> Result<(), Failure> {
    diesel::insert_into(ledger_log::table).values(log).execute(db)?;
    let empty = TreeRow {
        log: log.no,
        size: 0,
        edge: Vec::new(),
        settled: String::new(),
    };
    diesel::insert_into(ledger_tree::table).values(&empty).execute(db)?;
    Ok(())
}

/// Returns how far the tree of a log has come.
///
/// # Errors
/// [`Fault::StoreDamaged`] when it has no row; those of the database.
pub fn tree(db: &mut Db, log: i64) -> Result<TreeRow, Failure> {
    let row = ledger_tree::table.find(log).first(db).optional()?;
    row.ok_or_else(|| Failure::new(Fault::StoreDamaged).because("the tree of the ledger has no row"))
}

struct Missing;

/// Returns the entries after `after` that are not in the tree, in the order of their ids, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn missing(db: &mut Db, log: i64, after: &str, limit: i64) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let statement = Statement::<Missing, (Text, Binary)>::new(
        "SELECT e.id, e.entry FROM ledger_entry e WHERE e.id > ? AND NOT EXISTS \
         (SELECT 1 FROM ledger_leaf l WHERE l.log = ? AND l.entry_id = e.id) ORDER BY e.id LIMIT ?",
        vec![Bind::Text(after), Bind::Big(log), Bind::Big(limit)],
    );
    Ok(match db {
        Db::Pg(pg) => statement.load(pg)?,
        Db::Sqlite(sqlite) => statement.load(sqlite)?,
    })
}

/// The entries that came after a place in the order in which SQLite took them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEntries {
    /// The place of the last entry; the next look begins behind it.
    pub last: i64,
    /// The least id among them; `None` when none came.
    pub least: Option<String>,
}

struct Last;
struct Came;

/// Returns which entries came after this place: only they can be missing in a tree that had all others. Without a place it only finds out
/// the last one. `None` on PostgreSQL, which keeps no such order.
///
/// # Errors
/// Those of the database.
pub fn arrived(db: &mut Db, after: Option<i64>) -> Result<Option<NewEntries>, Failure> {
    type Columns = (Nullable<BigInt>, Nullable<Text>);
    let Db::Sqlite(sqlite) = db else { return Ok(None) };
    // One connection writes, and no entry is deleted, so the numbers of rows are in the order of commits.
    let (last, least): (Option<i64>, Option<String>) = match after {
        None => Statement::<Last, Columns>::new("SELECT MAX(rowid), NULL FROM ledger_entry", Vec::new())
            .get_result(sqlite)?,
        Some(after) => Statement::<Came, Columns>::new(
            "SELECT MAX(rowid), MIN(id) FROM ledger_entry WHERE rowid > ?",
            vec![Bind::Big(after)],
        )
        .get_result(sqlite)?,
    };
    Ok(Some(NewEntries {
        last: last.or(after).unwrap_or(0),
        least,
    }))
}

/// Returns how many entries and how many leaves there are up to this id.
///
/// # Errors
/// Those of the database.
pub fn counts(db: &mut Db, log: i64, upto: &str) -> Result<(i64, i64), Failure> {
    let entries = ledger_entry::table
        .filter(ledger_entry::id.le(upto))
        .count()
        .get_result(db)?;
    let leaves = ledger_leaf::table
        .filter(ledger_leaf::log.eq(log).and(ledger_leaf::entry_id.le(upto)))
        .count()
        .get_result(db)?;
    Ok((entries, leaves))
}

/// Appends to a tree. Nothing is written when the tree is not as it was read.
///
/// # Errors
/// [`Fault::LeaseLost`] when another process appended in the meantime; those of the database.
pub fn grow(db: &mut Db, growth: &Growth) -> Result<(), Failure> {
    failpoint::pass(POINT, "grow-begun");
    let from = &growth.from;
    let size = from.size + i64::try_from(growth.leaves.len()).unwrap_or(i64::MAX);
    let as_read = ledger_tree::table
        .find(from.log)
        .filter(ledger_tree::size.eq(from.size));
    let moved = diesel::update(as_read)
        .set((
            ledger_tree::size.eq(size),
            ledger_tree::edge.eq(&growth.edge),
            ledger_tree::settled.eq(&growth.settled),
        ))
        .execute(db)?;
    if moved != 1 {
        return Err(Fault::LeaseLost.into());
    }
    failpoint::pass(POINT, "edge-written");
    insert!(db, ledger_leaf::table, growth.leaves);
    failpoint::pass(POINT, "leaves-written");
    insert!(db, ledger_tile::table, growth.tiles);
    Ok(())
}

/// Returns the hashes of a full tile.
///
/// # Errors
/// Those of the database.
pub fn tile(db: &mut Db, log: i64, level: i64, n: i64) -> Result<Option<Vec<u8>>, Failure> {
    let hashes = ledger_tile::table.find((log, level, n)).select(ledger_tile::hashes);
    Ok(hashes.first(db).optional()?)
}

/// Returns the entries with an index from `from` on, at most `limit`: index, id, and bytes if the entry is there.
///
/// # Errors
/// Those of the database.
#[allow(clippy::type_complexity)] // a row of three columns
pub fn leaves(db: &mut Db, log: i64, from: i64, limit: i64) -> Result<Vec<(i64, String, Option<Vec<u8>>)>, Failure> {
    Ok(ledger_leaf::table
        .left_join(ledger_entry::table.on(ledger_entry::id.eq(ledger_leaf::entry_id)))
        .filter(ledger_leaf::log.eq(log).and(ledger_leaf::idx.ge(from)))
        .order(ledger_leaf::idx)
        .limit(limit)
        .select((ledger_leaf::idx, ledger_leaf::entry_id, ledger_entry::entry.nullable()))
        .load(db)?)
}

/// Returns the index of an entry.
///
/// # Errors
/// Those of the database.
pub fn index_of(db: &mut Db, log: i64, entry_id: &str) -> Result<Option<i64>, Failure> {
    Ok(ledger_leaf::table
        .find((log, entry_id))
        .select(ledger_leaf::idx)
        .first(db)
        .optional()?)
}

/// Returns the newest checkpoint.
///
/// # Errors
/// Those of the database.
pub fn checkpoint(db: &mut Db, log: i64) -> Result<Option<CheckpointRow>, Failure> {
    Ok(ledger_checkpoint::table
        .filter(ledger_checkpoint::log.eq(log))
        .order(ledger_checkpoint::size.desc())
        .first(db)
        .optional()?)
}

/// Returns the kept checkpoints of a log that cover more than `after` entries, the smallest first, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn checkpoints(db: &mut Db, log: i64, after: i64, limit: i64) -> Result<Vec<CheckpointRow>, Failure> {
    Ok(ledger_checkpoint::table
        .filter(ledger_checkpoint::log.eq(log).and(ledger_checkpoint::size.gt(after)))
        .order(ledger_checkpoint::size)
        .limit(limit)
        .load(db)?)
}

struct SameHour;

/// Stores a checkpoint, and deletes the earlier ones of the same hour.
///
/// # Errors
/// Those of the database.
pub fn put_checkpoint(db: &mut Db, row: &CheckpointRow) -> Result<(), Failure> {
    let hour_ms = row.signed_ms - row.signed_ms.rem_euclid(3_600_000);
    let earlier = Statement::<SameHour>::new(
        "DELETE FROM ledger_checkpoint WHERE log = ? AND signed_ms >= ? AND size < ?",
        vec![Bind::Big(row.log), Bind::Big(hour_ms), Bind::Big(row.size)],
    );
    diesel::insert_into(ledger_checkpoint::table).values(row).execute(db)?;
    run(db, earlier)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate;
    use diesel::connection::SimpleConnection;
    use diesel::sqlite::SqliteConnection;

    #[test]
    fn what_came_after_a_place_begins_with_the_least_id_of_it() {
        let mut db = Db::Sqlite(SqliteConnection::establish(":memory:").expect("opens"));
        migrate::up(&mut db).expect("up");
        let arrived = |db: &mut Db, after| arrived(db, after).expect("reads").expect("an order");
        let nothing = |last| NewEntries { last, least: None };
        assert_eq!(arrived(&mut db, None), nothing(0));
        let came = |db: &mut Db, ids: &[&str]| {
            for id in ids {
                db.batch_execute(&format!(
                    "INSERT INTO ledger_entry (id, at_us, action, correlation_id, entry) VALUES ('{id}', 1, 'a', 'c', x'7b7d')"
                ))
                .expect("an entry");
            }
        };
        came(&mut db, &["b", "d"]);
        assert_eq!(arrived(&mut db, None), nothing(2));
        assert_eq!(arrived(&mut db, Some(2)), nothing(2));
        came(&mut db, &["e", "c", "f"]);
        let after = arrived(&mut db, Some(2));
        assert_eq!((after.last, after.least.as_deref()), (5, Some("c")));
        assert_eq!(arrived(&mut db, Some(after.last)), nothing(5));
    }
}

//! Copies of a SQLite store: made while the store is in use, looked at, and closed so that one file holds all of a store.
//!
//! Nothing here decides whether a copy is good, and nothing replaces a store.

use super::connection::Db;
use super::failure::unreachable;
use super::file;
use super::schema::ledger_entry;
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Time between two looks at how far a copy has come.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time that a store which was closed still has connections.
const CLOSING: Duration = Duration::from_secs(10);

#[derive(QueryableByName)]
struct Said {
    #[diesel(sql_type = Text)]
    said: String,
}

#[derive(QueryableByName)]
struct QuickCheck {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

/// Copies the SQLite store at `from`, as it is at one instant, into the file `to`, which must be there and empty. Others go on writing.
/// `told` hears how many bytes were written.
///
/// # Errors
/// [`Fault::NoRoom`] when the disk of `to` is full; those of the database.
pub fn copy(from: &Path, to: &Path, told: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    let into = to.to_str().ok_or_else(|| {
        Failure::new(Fault::ParameterInvalid)
            .at(to.display().to_string())
            .remedy("Name a folder whose path is UTF-8.")
    })?;
    let mut db = file::look(from)?;
    thread::scope(|scope| {
        let work = scope.spawn(move || -> Result<(), Failure> {
            db.batch_execute("PRAGMA busy_timeout=5000")?;
            let vacuum = diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(into);
            match &mut db {
                Db::Pg(pg) => vacuum.execute(pg)?,
                Db::Sqlite(sqlite) => vacuum.execute(sqlite)?,
            };
            Ok(())
        });
        while !work.is_finished() {
            thread::sleep(LOOK);
            told(std::fs::metadata(to).map_or(0, |about| about.len()));
        }
        let done = work.join();
        done.unwrap_or_else(|_| Err(Failure::new(Fault::Internal).because("the copying thread ended")))
    })
}

/// Checks that a SQLite file is whole.
///
/// # Errors
/// [`Fault::StoreDamaged`] when it is not; those of opening it.
pub fn demand_whole(path: &Path) -> Result<(), Failure> {
    let mut db = file::look(path)?;
    let damaged = |why: String| {
        Failure::new(Fault::StoreDamaged)
            .at(path.display().to_string())
            .because(why)
    };
    let found = diesel::sql_query("PRAGMA quick_check(3)").load::<QuickCheck>(&mut db);
    let found = found.map_err(|error| damaged(error.to_string()))?;
    match found.first() {
        Some(first) if first.quick_check == "ok" => Ok(()),
        Some(first) => Err(damaged(first.quick_check.clone())),
        None => Err(damaged("the check says nothing".to_owned())),
    }
}

/// Brings all that a store holds into its one file, with no log beside it, and onto the disk. The store must be closed; connections that
/// are still closing are waited for.
///
/// # Errors
/// [`Fault::StoreBusy`] when somebody still uses it; those of the database and of the file.
pub fn close_up(path: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let mut sqlite = SqliteConnection::establish(&path.to_string_lossy()).map_err(unreachable)?;
        let mode = "PRAGMA journal_mode=DELETE";
        let done = sqlite
            .batch_execute("PRAGMA busy_timeout=1000")
            .and_then(|()| sqlite.batch_execute(mode));
        let found = diesel::sql_query("SELECT journal_mode AS said FROM pragma_journal_mode").get_result(&mut sqlite);
        match (done, found) {
            (Ok(()), Ok(Said { said })) if said == "delete" => break,
            (Err(error), _) if began.elapsed() > CLOSING => return Err(error.into()),
            _ if began.elapsed() > CLOSING => return Err(Failure::new(Fault::StoreBusy).at(path.display().to_string())),
            _ => thread::sleep(LOOK),
        }
    }
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))
}

/// How far the ledger of a store has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerReach {
    /// Number of entries.
    pub entries: u64,
    /// Id and time (UTC microseconds) of the newest one.
    pub last: Option<(String, i64)>,
}

/// Returns how far the ledger has come.
///
/// # Errors
/// Those of the database.
pub fn ledger_reach(db: &mut Db) -> Result<LedgerReach, Failure> {
    let entries: i64 = ledger_entry::table.count().get_result(db)?;
    let newest = ledger_entry::table
        .select((ledger_entry::id, ledger_entry::at_us))
        .order(ledger_entry::id.desc());
    Ok(LedgerReach {
        entries: u64::try_from(entries).unwrap_or(0),
        last: newest.first(db).optional()?,
    })
}

/// Time (UTC microseconds), action, partner and subject of an entry.
pub type EndingEntry = (i64, String, Option<String>, Option<String>);

/// Returns the entries after `after` that have one of these actions.
///
/// # Errors
/// Those of the database.
pub fn entries_since(db: &mut Db, after: &str, actions: &[&str]) -> Result<Vec<EndingEntry>, Failure> {
    let found = ledger_entry::table
        .filter(ledger_entry::id.gt(after).and(ledger_entry::action.eq_any(actions)))
        .select((
            ledger_entry::at_us,
            ledger_entry::action,
            ledger_entry::partner_id,
            ledger_entry::subject,
        ))
        .order(ledger_entry::id);
    Ok(found.load(db)?)
}

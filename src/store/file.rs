//! The file of a SQLite store: whose it is, whether it can be written, and the lock beside it that keeps other processes out.

use super::db::Db;
use super::migrate::APPLICATION_ID;
use super::set_up::{Need, no_store};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// What a SQLite file begins with, and where in its header the application's id is.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const ID_AT: usize = 68;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Takes the store's lock, and makes folder and file where `need` makes a store. What is there and is none of ours is not touched.
///
/// # Errors
/// [`Fault::StoreBusy`] when another process holds the store; [`Fault::StoreUnfit`] for a folder or another program's file;
/// [`Fault::StoreReadOnly`] for one that cannot be written; [`Fault::InputUnreadable`] when there is none and `need` makes none.
pub(super) fn take(path: &Path, need: Need) -> Result<File, Failure> {
    if path.is_dir() {
        return Err(failed(path, ErrorKind::IsADirectory.into()));
    }
    if need == Need::Read && !path.exists() {
        return Err(no_store(&path.display().to_string()));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed(folder, error))?;
    }
    demand_ours(path)?;
    // Created here so that it is private from its first byte; SQLite gives its companions the same mode.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(path, error))?;
    let beside = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .map_err(|error| failed(&beside, error))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| Failure::new(Fault::StoreBusy).because(error))?;
    Ok(lock)
}

fn failed(at: &Path, error: std::io::Error) -> Failure {
    let place = at.display();
    let failure = match error.kind() {
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            Failure::new(Fault::StoreUnfit).remedy(format!("{place} is not a file in a folder: name one in store.url."))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Failure::new(Fault::StoreReadOnly).remedy(
            format!("This user may not write {place}: mend its rights or those of its folder."),
        ),
        _ => Failure::new(Fault::InputUnreadable),
    };
    failure.at("store.url").because(error)
}

/// Refuses a SQLite file of another program. A file that is none at all is left to SQLite, which calls it damaged.
fn demand_ours(path: &Path) -> Result<(), Failure> {
    let mut header = [0; ID_AT + 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    if read.is_err() || !header.starts_with(MAGIC) {
        return Ok(());
    }
    let id = header
        .last_chunk::<4>()
        .map_or(0, |bytes| i64::from(u32::from_be_bytes(*bytes)));
    let ours = match id {
        APPLICATION_ID => true,
        0 => unmarked_is_ours(path),
        _ => false,
    };
    if ours {
        return Ok(());
    }
    Err(Failure::new(Fault::StoreUnfit).at("store.url").remedy(format!(
        "{} is a database of another program (application_id {id:#010x}): name another file in store.url.",
        path.display()
    )))
}

/// Whether a file without a mark, as stores of before have none, holds our tables or nothing. One that cannot be looked at counts as
/// ours: opening it says what is wrong.
fn unmarked_is_ours(path: &Path) -> bool {
    let count = || -> Option<i64> {
        let query = "SELECT COUNT(*) - 1000000 * COALESCE(SUM(name = 'ledger_entry'), 0) AS n FROM sqlite_master \
                     WHERE type = 'table' AND name <> '__diesel_schema_migrations'";
        let mut sqlite = reading(path).ok()?;
        Some(diesel::sql_query(query).get_result::<Count>(&mut sqlite).ok()?.n)
    };
    count().is_none_or(|n| n <= 0)
}

/// A connection that only reads, beside whoever holds the lock.
fn reading(path: &Path) -> diesel::ConnectionResult<SqliteConnection> {
    let name = path.display().to_string();
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    SqliteConnection::establish(&format!("file:{name}?mode=ro"))
}

/// A connection that only reads the file of a store, beside whoever holds the lock.
///
/// # Errors
/// [`Fault::StoreUnfit`] for a folder or another program's file; those of opening it.
pub(super) fn look(path: &Path) -> Result<Db, Failure> {
    if path.is_dir() {
        return Err(failed(path, ErrorKind::IsADirectory.into()));
    }
    demand_ours(path)?;
    reading(path).map(Db::Sqlite).map_err(super::unreachable)
}

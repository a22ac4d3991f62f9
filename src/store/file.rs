//! The file of a SQLite store: whether it belongs to Causeway, whether it can be written, and the lock file that keeps other processes out.

use super::connection::Db;
use super::migrate::APPLICATION_ID;
use super::set_up::{StoreNeed, no_store};
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

/// The first bytes of a SQLite file, and the position of the application id in its header.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const ID_AT: usize = 68;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Takes the store's lock, and creates the folder and the file when `need` allows it. An
/// existing file that is not a Causeway store is not changed.
///
/// # Errors
/// [`Fault::StoreBusy`] when another process holds the store; [`Fault::StoreUnfit`] for a folder or another program's file;
/// [`Fault::StoreReadOnly`] when the file cannot be written; [`Fault::StoreMissing`] when there is no file and `need` creates none.
pub(super) fn take(path: &Path, need: StoreNeed) -> Result<File, Failure> {
    if path.is_dir() {
        return Err(failed(path, ErrorKind::IsADirectory.into()));
    }
    if need == StoreNeed::Read && !path.exists() {
        return Err(no_store(&path.display().to_string()));
    }
    make_folder(path)?;
    demand_ours(path)?;
    // Created here so that only its owner can read it from the start; SQLite gives its companion files the same mode.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| failed(path, error))?;
    lock(path)
}

/// Removes a folder in which a store was that was just closed, with all that is in it. A connection that the pool was still opening then can make
/// its files anew while the others go, so this tries for two seconds. Waits on this thread.
///
/// # Errors
/// Those of the file system, when the folder is still there at the end.
pub fn remove_folder(folder: &Path) -> std::io::Result<()> {
    for _ in 0..100 {
        let _ = std::fs::remove_dir_all(folder);
        if !folder.exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_dir_all(folder)
}

/// Makes the folder of the store at `path`, if it is not there.
fn make_folder(path: &Path) -> Result<(), Failure> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(folder, error))
}

/// The place of a SQLite store; while this value lives, no other process opens a store there.
pub struct HeldPlace {
    _lock: File,
}

/// Takes the lock of the store at `path`, whether there is a store or not. The folder is made.
///
/// # Errors
/// [`Fault::StoreBusy`] when another process holds the store; those of making the folder.
pub fn hold(path: &Path) -> Result<HeldPlace, Failure> {
    make_folder(path)?;
    Ok(HeldPlace { _lock: lock(path)? })
}

fn lock(path: &Path) -> Result<File, Failure> {
    let beside = path.with_extension("lock");
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&beside)
        .map_err(|error| failed(&beside, error))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| busy(&beside).because(error))?;
    note_holder(&lock);
    Ok(lock)
}

/// Writes the number of this process into its lock file, for whoever finds the store busy. The lock holds without it.
fn note_holder(mut lock: &File) {
    let _ = lock.set_len(0);
    let _ = writeln!(lock, "{}", std::process::id());
}

/// The failure when another process holds the lock at `path`; it names that process, when it wrote its number.
fn busy(path: &Path) -> Failure {
    let failure = Failure::new(Fault::StoreBusy).at("store.url");
    let holder = std::fs::read_to_string(path).ok();
    match holder.and_then(|number| number.trim().parse::<u32>().ok()) {
        Some(number) => failure.remedy(format!(
            "Process {number} holds the lock {}: wait until it is done, or stop it.",
            path.display()
        )),
        None => failure,
    }
}

fn failed(at: &Path, error: std::io::Error) -> Failure {
    let place = at.display();
    let failure = match error.kind() {
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            Failure::new(Fault::StoreUnfit).remedy(format!("{place} is not a file in a folder: name one in store.url."))
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Failure::new(Fault::StoreReadOnly).remedy(
            format!("This user may not write {place}: correct its permissions, or those of its folder."),
        ),
        _ => Failure::new(Fault::InputUnreadable),
    };
    failure.at("store.url").because(error)
}

/// Refuses a SQLite file of another program. A file that is not SQLite's passes; SQLite then reports it as damaged.
fn demand_ours(path: &Path) -> Result<(), Failure> {
    let Some(id) = application_id(path) else {
        return Ok(());
    };
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

/// Whether the file at `path` has the mark of a store of this program. It is not opened as a database, and may be in use.
pub fn is_store(path: &Path) -> bool {
    application_id(path) == Some(APPLICATION_ID)
}

/// The application id in the header of a SQLite file; `None` for any other file.
fn application_id(path: &Path) -> Option<i64> {
    let mut header = [0; ID_AT + 4];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut header))
        .ok()?;
    let id = header.last_chunk::<4>().filter(|_| header.starts_with(MAGIC))?;
    Some(i64::from(u32::from_be_bytes(*id)))
}

/// Whether a file without an application id holds Causeway's tables or no tables at all; stores of early versions have no id. A file that
/// cannot be read counts as ours, since opening it will report what is wrong.
fn unmarked_is_ours(path: &Path) -> bool {
    let count = || -> Option<i64> {
        let query = "SELECT COUNT(*) - 1000000 * COALESCE(SUM(name = 'ledger_entry'), 0) AS n FROM sqlite_master \
                     WHERE type = 'table' AND name <> '__diesel_schema_migrations'";
        let mut sqlite = reading(path).ok()?;
        Some(diesel::sql_query(query).get_result::<Count>(&mut sqlite).ok()?.n)
    };
    count().is_none_or(|n| n <= 0)
}

/// Opens a read-only connection, which does not need the lock.
fn reading(path: &Path) -> diesel::ConnectionResult<SqliteConnection> {
    let name = path.display().to_string();
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    SqliteConnection::establish(&format!("file:{name}?mode=ro"))
}

/// Opens a read-only connection to the file of a store, without taking the lock.
///
/// # Errors
/// [`Fault::StoreUnfit`] for a folder or another program's file; those of opening it.
pub(super) fn look(path: &Path) -> Result<Db, Failure> {
    if path.is_dir() {
        return Err(failed(path, ErrorKind::IsADirectory.into()));
    }
    demand_ours(path)?;
    reading(path).map(Db::Sqlite).map_err(super::failure::unreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_held_names_the_process_that_holds_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.db");
        let held = take(&path, StoreNeed::Write).expect("the lock");
        let busy = take(&path, StoreNeed::Write).expect_err("busy");
        assert_eq!(busy.fault(), Fault::StoreBusy);
        let holder = format!("Process {} holds", std::process::id());
        assert!(
            busy.operator_remedy_text().starts_with(&holder),
            "{}",
            busy.operator_remedy_text()
        );
        drop(held);
        take(&path, StoreNeed::Write).expect("the lock is free again");
    }

    #[test]
    fn a_lock_of_an_earlier_version_has_no_number_and_is_busy_all_the_same() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.lock");
        std::fs::write(&path, "").expect("a file");
        assert!(!busy(&path).operator_remedy_text().contains("Process"));
    }
    #[test]
    fn a_folder_goes_although_files_are_still_made_in_it() {
        let above = tempfile::tempdir().expect("folder");
        let folder = above.path().join("aside");
        std::fs::create_dir(&folder).expect("made");
        let made = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                // As many as can be made in the time in which a busy machine opens a connection.
                let until = std::time::Instant::now() + Duration::from_millis(300);
                let names = (0..).map(|n| folder.join(format!("c.db-{n}")));
                names
                    .take_while(|_| std::time::Instant::now() < until)
                    .filter(|path| std::fs::write(path, "").is_ok())
                    .count()
            });
            let is_empty = || std::fs::read_dir(&folder).is_ok_and(|mut files| files.next().is_none());
            while is_empty() && !making.is_finished() {
                std::thread::sleep(Duration::from_millis(1));
            }
            remove_folder(&folder).expect("removed");
            making.join().expect("no panic")
        });
        assert!(made > 0);
        assert!(!folder.exists());
        remove_folder(&folder).expect("a folder that is gone");
    }
}

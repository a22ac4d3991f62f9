//! The place of a store while a restored one is put into it. After a failure everything is where it was.

use crate::clock::{Clock, rfc3339_ms};
use crate::error::{Failure, Fault};
use crate::store::copy;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// With this begins the end of the name of a folder in which a restore is prepared.
pub(super) const RESTORING: &str = "restoring-";

/// The folder of the store at `place`.
fn folder_of(place: &Path) -> &Path {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Removes the folders of restores that did not end: each holds a copy of a store.
pub(super) fn remove_left(place: &Path) {
    let like = place.with_extension(RESTORING);
    let like = like.file_name().unwrap_or_default().as_encoded_bytes();
    for found in fs::read_dir(folder_of(place)).into_iter().flatten().flatten() {
        let is_left = found.file_name().as_encoded_bytes().starts_with(like);
        if is_left && found.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir_all(found.path());
        }
    }
}

/// The failure of moving something to `path`.
pub(super) fn unmovable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::StoreReadOnly)
        .at(path.display().to_string())
        .remedy("Let this user write into the folder of the store.")
        .because(error)
}

/// Files that were moved out of the way. They go back when this is dropped, unless it is emptied before.
#[derive(Default)]
struct OutOfTheWay(Vec<[PathBuf; 2]>);

impl Drop for OutOfTheWay {
    fn drop(&mut self) {
        for [from, to] in self.0.iter().rev() {
            let _ = match from.exists() {
                // Only another name of it.
                true => fs::remove_file(to),
                false => fs::rename(to, from),
            };
        }
    }
}

/// Moves the store that stands in the place aside, and the one in the file `restored` into it. Returns where the old one is. `is_readable`: the
/// old one is whole.
///
/// # Errors
/// [`Fault::StoreBusy`] while somebody uses the old one; [`Fault::StoreReadOnly`]; [`Fault::NoRoom`]. The old one stands where it stood then.
pub(super) fn put(restored: &Path, place: &Path, is_readable: bool) -> Result<Option<PathBuf>, Failure> {
    // All in one file if possible; a store that is damaged is moved with the files beside it.
    if place.exists()
        && let Err(failure) = copy::close_up(place)
        && is_readable
    {
        let is_known = matches!(failure.fault(), Fault::StoreBusy | Fault::NoRoom);
        return Err(match is_known {
            true => failure,
            false => Failure::new(Fault::StoreBusy)
                .at(place.display().to_string())
                .because(failure),
        });
    }
    let stamp = rfc3339_ms(Clock::System.now_ms()).replace([':', '.'], "-");
    let names = |end: &str| [end, &format!(".replaced-{stamp}{end}")].map(|end| named(place, end));
    let mut moved = OutOfTheWay::default();
    // Even if the store itself is gone: the database library would play a log that is left there into the restored store.
    for end in ["-shm", "-wal", "-journal"] {
        let [from, to] = names(end);
        if from.exists() {
            fs::rename(&from, &to).map_err(|error| unmovable(&to, error))?;
            moved.0.push([from, to]);
        }
    }
    let mut old = None;
    if place.exists() {
        let [from, to] = names("");
        // With a second name there is a store in the place at each moment.
        fs::hard_link(&from, &to)
            .or_else(|_| fs::rename(&from, &to))
            .map_err(|error| unmovable(&to, error))?;
        old = Some(to.clone());
        moved.0.push([from, to]);
    }
    fs::rename(restored, place).map_err(|error| unmovable(place, error))?;
    moved.0.clear();
    Ok(old)
}

/// Brings the names in the folder of the store onto the disk.
///
/// # Errors
/// [`Fault::StoreReadOnly`].
pub(super) fn sync_folder(place: &Path) -> Result<(), Failure> {
    let synced = File::open(folder_of(place)).and_then(|folder| folder.sync_all());
    synced.map_err(|error| unmovable(place, error))
}

/// The path with more at the end of its name.
fn named(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::connection::{Connection as _, SimpleConnection as _};
    use diesel::sqlite::SqliteConnection;

    /// The files in a folder, by their names.
    fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
        let inside = fs::read_dir(folder).expect("a folder");
        let paths = inside.map(|file| file.expect("a file").path());
        let named = |path: PathBuf| (path.display().to_string(), fs::read(&path).expect("read"));
        let mut files: Vec<_> = paths.map(named).collect();
        files.sort();
        files
    }

    #[test]
    fn what_cannot_be_put_into_the_place_leaves_everything_where_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, gone) = (folder.path().join("c.db"), folder.path().join("gone/c.db"));
        for end in ["-wal", "-journal"] {
            fs::write(named(&place, end), end).expect("written");
        }
        let before = files(folder.path());
        put(&gone, &place, true).expect_err("nothing to put there");
        assert_eq!(files(folder.path()), before, "no store");
        for end in ["-wal", "-journal"] {
            fs::remove_file(named(&place, end)).expect("removed");
        }
        let mut store = SqliteConnection::establish(&place.to_string_lossy()).expect("a store");
        store.batch_execute("CREATE TABLE t (a)").expect("a table");
        drop(store);
        let before = files(folder.path());
        put(&gone, &place, true).expect_err("nothing to put there");
        assert_eq!(files(folder.path()), before, "a store");
    }

    #[test]
    fn the_folder_of_a_restore_that_did_not_end_goes_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("c.db");
        for name in ["c.restoring-7", "c.other", "d.restoring-7"] {
            fs::create_dir(folder.path().join(name)).expect("made");
            fs::write(folder.path().join(name).join("c.db"), "a copy").expect("written");
        }
        fs::write(folder.path().join("c.restoring-8"), "a file").expect("written");
        remove_left(&place);
        let is_there = |name: &str| folder.path().join(name).exists();
        assert!(!is_there("c.restoring-7"));
        assert!(is_there("c.other/c.db") && is_there("d.restoring-7/c.db") && is_there("c.restoring-8"));
    }

    #[test]
    fn a_restored_store_meets_no_log_of_the_store_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, restored) = (folder.path().join("c.db"), folder.path().join("r.db"));
        fs::write(&restored, "restored").expect("written");
        fs::write(named(&place, "-wal"), "left").expect("written");
        assert_eq!(put(&restored, &place, false).expect("put"), None);
        assert_eq!(fs::read(&place).expect("there"), b"restored");
        assert!(!named(&place, "-wal").exists());
        assert_eq!(
            files(folder.path()).len(),
            2,
            "what was left is kept under another name"
        );
    }
}

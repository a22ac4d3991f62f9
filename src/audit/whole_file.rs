//! A private file that is replaced as a whole: whenever the process or the machine ends, the old text is there or the new one. Which file it
//! is, and what may be in it, is decided by whoever has the folder.

use crate::error::{Failure, Fault};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes `text` to the file at `path`, mode 0600; it is on the disk when this returns, and is never seen half. What a crash leaves beside it
/// has the end `.new`, and is written over. `point` is told what was done: `keep-written`, then `keep-renamed`.
///
/// # Errors
/// Those of the file system.
pub fn replace(path: &Path, text: &str, point: &dyn Fn(&'static str)) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    point("keep-written");
    fs::rename(&new, path)?;
    point("keep-renamed");
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// What an error of the file system about the file at `path` means: [`Fault::NoRoom`] on a full disk, otherwise `fault`.
pub fn unusable(path: &Path, error: std::io::Error, fault: Fault) -> Failure {
    let fault = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::NoRoom,
        _ => fault,
    };
    Failure::new(fault).at(path.display().to_string()).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_file_is_replaced_whole_and_only_its_user_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        // What a crash left, longer than what comes.
        fs::write(folder.path().join("a.checkpoint.new"), "half of something").expect("written");
        for text in ["the first", "2nd"] {
            replace(&path, text, &|_| ()).expect("replaced");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let nowhere = replace(&folder.path().join("none/a"), "text", &|_| ()).expect_err("no folder");
        assert_eq!(unusable(&path, nowhere, Fault::LedgerKey).fault(), Fault::LedgerKey);
        let full = std::io::Error::from(ErrorKind::StorageFull);
        assert_eq!(unusable(&path, full, Fault::LedgerKey).fault(), Fault::NoRoom);
    }
}

//! The file of keys of keys that a rotation made, beside that of members' keys. Before the first rotation there is none.
//!
//! Each change is a new file that takes the place of the old one, whose bytes are written over.

use super::line::{out_of_reach, unusable};
use crate::error::Failure;
use crate::secret::key_lines;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The name of the file, in the folder of that of members' keys.
pub const WRAPPING_KEYS_FILE: &str = "wrapping.keys";

const MODE: &str = "Set the mode of wrapping.keys to 0600: only the server's user may read it.";
const WRONG: &str = "Put wrapping.keys back, which belongs to the member.keys beside it: each line must have the id of a key, and the key.";

/// The keys of the file, each with its id; none when there is no file.
///
/// # Errors
/// [`Fault::SealKeys`] when it cannot be read, others may read it, or it holds something else.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub(super) fn read(path: &Path) -> Result<Vec<(String, [u8; 32])>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(out_of_reach(path, error)),
    };
    let about = fs::metadata(path).map_err(|error| out_of_reach(path, error))?;
    match about.mode() & 0o077 {
        0 => key_lines::parse(&text).ok_or_else(|| unusable(WRONG)),
        _ => Err(unusable(MODE)),
    }
}

/// Puts these keys into the place of those that are there. When this returns, they are durable, and no others are there.
///
/// # Errors
/// [`Fault::SealKeys`] when the folder or the file cannot be written.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub(super) fn write(path: &Path, keys: &[(String, [u8; 32])]) -> Result<(), Failure> {
    let text: String = keys.iter().map(|(id, key)| key_lines::line(id, key)).collect();
    replace(path, &text).map_err(|error| out_of_reach(path, error))
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let before = match OpenOptions::new().write(true).open(path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    let Some(before) = before else { return Ok(()) };
    let length = usize::try_from(before.metadata()?.len()).unwrap_or(0);
    before.write_all_at(&vec![b'-'; length], 0)?;
    before.sync_all()
}

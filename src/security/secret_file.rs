//! Secrets and certificates that whoever runs this server puts into files of their own: how long they may be, and who else may read them.
//!
//! It knows no key of the configuration, and prints nothing of a file.

use crate::secret::Secret;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Most bytes of the file of a secret.
const SECRET_BYTES: u64 = 1_024;

/// The text of a file that is not longer than `most` bytes.
///
/// # Errors
/// Why there is none, as words that follow "because".
pub fn text_of(path: &Path, most: u64) -> Result<String, &'static str> {
    match fs::metadata(path) {
        Err(_) => Err("it is not there, or cannot be read"),
        Ok(about) if !about.is_file() => Err("it is no file"),
        Ok(about) if about.len() > most => Err("it is too long"),
        Ok(_) => fs::read_to_string(path).map_err(|_| "it cannot be read, or is no text"),
    }
}

/// The secret in a file, which has `least` characters or more, and which nobody but the server's user may read.
///
/// # Errors
/// What is wrong with the file, as words that follow its name.
pub fn secret_of(path: &Path, least: usize) -> Result<Secret, String> {
    let is_open = |about: fs::Metadata| about.mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(is_open) {
        return Err("can be read by others: set its mode to 0600".to_owned());
    }
    let text = text_of(path, SECRET_BYTES).map_err(|why| format!("cannot be used: {why}"))?;
    let text = text.trim();
    match text.len() < least {
        true => Err(format!(
            "has less than {least} characters, such as `openssl rand -hex 32` prints"
        )),
        false => Ok(Secret::new(text)),
    }
}

//! The arguments of commands on the ledger that name a key, a checkpoint or a witness: given as they are, or in a file.

use crate::audit::cosignature::WitnessKey;
use crate::audit::note::{Checkpoint, LogKey, NoteDefect};
use crate::error::{Failure, Fault};
use std::fs;
use std::path::Path;

/// The text of a file that an argument names.
///
/// # Errors
/// [`Fault::InputUnreadable`].
pub fn text_of(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        Failure::new(Fault::InputUnreadable)
            .at(path.display().to_string())
            .because(error)
    })
}

/// The public key of a log that the argument `at` gives.
///
/// # Errors
/// [`Fault::ParameterInvalid`], [`Fault::InputUnreadable`].
pub fn log_key(cwd: &Path, key: &str, at: &str) -> Result<LogKey, Failure> {
    if let Some(key) = LogKey::parse(key) {
        return Ok(key);
    }
    LogKey::parse(&text_of(&cwd.join(key))?).ok_or_else(|| {
        let remedy = "Give the public key as `causeway audit key` prints it: NAME+HASH+KEY.";
        Failure::new(Fault::ParameterInvalid).at(at).remedy(remedy)
    })
}

/// The public key of a witness.
///
/// # Errors
/// [`Fault::ParameterInvalid`], [`Fault::InputUnreadable`].
pub fn witness_key(cwd: &Path, key: &str) -> Result<WitnessKey, Failure> {
    if let Some(key) = WitnessKey::parse(key) {
        return Ok(key);
    }
    WitnessKey::parse(&text_of(&cwd.join(key))?).ok_or_else(|| {
        let remedy = "Give the public key as `causeway witness key` prints it: NAME+HASH+KEY.";
        Failure::new(Fault::ParameterInvalid).at("--witness").remedy(remedy)
    })
}

/// A checkpoint of the log with this key that was kept elsewhere.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for one of another log or by another key; [`Fault::InputUnreadable`].
pub fn kept_checkpoint(cwd: &Path, path: Option<&Path>, key: &LogKey) -> Result<Option<Checkpoint>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let path = cwd.join(path);
    let note = text_of(&path)?;
    match key.open(&note) {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(NoteDefect::Malformed) => Err(Failure::new(Fault::InputUnreadable)
            .at(path.display().to_string())
            .because(NoteDefect::Malformed.text())),
        Err(defect) => Err(Failure::new(Fault::ParameterInvalid)
            .at("--against")
            .remedy("Give a checkpoint of this log, signed by this key.")
            .because(defect.text())),
    }
}

//! The witness itself: judges each checkpoint against the last one that it confirmed of the same log, and signs those that extend it.

use super::files::{WitnessFiles, WitnessStart};
use super::reply::WitnessReply;
use super::submission::Submission;
use crate::audit::cosignature::WitnessKey;
use crate::audit::note::{Checkpoint, LogKey, NoteDefect};
use crate::audit::tree::{TreeHash, proof, root_of};
use crate::error::{Failure, Fault};
use crate::secret::ed25519::Ed25519Key;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The tree of a log that was confirmed last: number of entries, and root.
type Tree = (u64, TreeHash);

/// A witness of some logs.
pub struct WitnessDesk {
    key: WitnessKey,
    signing: Ed25519Key,
    files: WitnessFiles,
    logs: Vec<LogKey>,
    /// What was confirmed last of each log, by its name. Held from the judgment to the write, so that no two answers contradict each other.
    last: Mutex<HashMap<String, Tree>>,
}

impl WitnessDesk {
    /// A witness of these logs with these files.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for two logs of one name; those of the files.
    pub fn open(files: WitnessFiles, start: WitnessStart<'_>, logs: Vec<LogKey>) -> Result<WitnessDesk, Failure> {
        let (signing, key) = files.key(start)?;
        let mut last = HashMap::new();
        for log in &logs {
            let tree = match files.confirmed(&log.name)? {
                None => (0, root_of(&[])),
                Some(note) => match log.open(&note) {
                    Ok(checkpoint) => (checkpoint.size, checkpoint.root),
                    // What it has confirmed must never be forgotten, so it does not begin anew.
                    Err(defect) => {
                        return Err(Failure::new(Fault::WitnessFiles)
                            .at(log.name.clone())
                            .because(defect.text()));
                    }
                },
            };
            if last.insert(log.name.clone(), tree).is_some() {
                return Err(Failure::new(Fault::ParameterInvalid)
                    .at("--log")
                    .remedy("Give one key for each log."));
            }
        }
        Ok(WitnessDesk {
            key,
            signing,
            files,
            logs,
            last: Mutex::new(last),
        })
    }

    /// The public key of the witness.
    pub fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Answers an `add-checkpoint` request with this body, at this time. Blocks the thread.
    pub fn answer(&self, body: &[u8], now_s: u64) -> WitnessReply {
        let Some(asked) = Submission::read(body) else {
            return WitnessReply::Malformed;
        };
        let Some(named) = Checkpoint::unverified(&asked.note) else {
            return WitnessReply::Malformed;
        };
        let Some(log) = self.logs.iter().find(|log| log.name == named.origin) else {
            return WitnessReply::UnknownLog;
        };
        match log.open(&asked.note) {
            Ok(checkpoint) if asked.old <= checkpoint.size => self.judge(&asked, &checkpoint, now_s),
            Ok(_) | Err(NoteDefect::Malformed) => WitnessReply::Malformed,
            Err(NoteDefect::OtherLog) => WitnessReply::UnknownLog,
            Err(NoteDefect::NotSigned | NoteDefect::WrongSignature) => WitnessReply::NotSigned,
        }
    }

    /// Judges a checkpoint that the log has signed.
    fn judge(&self, asked: &Submission, new: &Checkpoint, now_s: u64) -> WitnessReply {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, root) = last.get(&new.origin).copied().unwrap_or_else(|| (0, root_of(&[])));
        if asked.old != size {
            return WitnessReply::OtherSize(size);
        }
        if size == new.size && root != new.root {
            warn(new, size, "another tree of the same size");
            return WitnessReply::OtherSize(size);
        }
        if !proof::extends((size, &root), (new.size, &new.root), &asked.proof) {
            warn(new, size, "a tree that does not extend it");
            return WitnessReply::NotProved;
        }
        let line = self.key.line(new, now_s, |bytes| self.signing.sign(bytes));
        // Before the cosignature can be seen.
        if let Err(failure) = self.files.keep(&new.origin, &format!("{}{line}", asked.note)) {
            tracing::error!(fault = failure.fault().code(), at = ?failure.expressions(), cause = ?failure.cause(),
                "a checkpoint is not confirmed, because it could not be kept");
            return WitnessReply::Failed;
        }
        last.insert(new.origin.clone(), (new.size, new.root));
        WitnessReply::Confirmed(line)
    }
}

/// A log has signed what contradicts what was confirmed, or has sent a wrong proof: it may be evidence.
fn warn(new: &Checkpoint, size: u64, what: &'static str) {
    tracing::error!(
        log = new.origin,
        confirmed = size,
        signed = new.size,
        "a log has signed {what}"
    );
}

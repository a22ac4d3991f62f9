//! What verifying a ledger found. Pure; [`super::verify`] finds it.

use super::cosignature::{WitnessKey, WitnessWord};
use super::note::{Checkpoint, LogKey};
use crate::clock::rfc3339_ms;
use serde::Serialize;

/// What verifying found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerResult {
    /// Everything is as it was signed.
    Ok,
    /// Something was changed.
    Tampered,
    /// Something is missing or cannot be read.
    Incomplete,
    /// It contradicts a checkpoint that was signed before, or has fewer entries than that.
    Forked,
}

/// What verifying found, with the figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerVerdict {
    /// The result.
    pub result: LedgerResult,
    /// The name of the log.
    pub origin: String,
    /// How many entries were verified.
    pub entries: u64,
    /// How many entries the checkpoint covers.
    pub checkpoint: Option<u64>,
    /// The root that it signs.
    pub root: Option<String>,
    /// How many entries the checkpoint covers that it was compared with.
    pub against: Option<u64>,
    /// How many entries the newest checkpoint covers that the witness confirmed, if a witness was asked for.
    pub witnessed: Option<u64>,
    /// When the witness confirmed it, by its own clock.
    pub witnessed_at: Option<String>,
    /// The index of the first entry that is not as it was signed.
    pub first_bad: Option<u64>,
    /// What is wrong.
    pub why: Option<String>,
}

impl LedgerVerdict {
    pub(super) fn set(&mut self, result: LedgerResult, first_bad: Option<u64>, why: impl Into<String>) {
        (self.result, self.first_bad, self.why) = (result, first_bad, Some(why.into()));
    }

    /// Takes in what the notes of the ledger say of a witness.
    pub(super) fn hear(&mut self, said: &WitnessSaid) {
        match said {
            WitnessSaid::Confirmed(checkpoint, at_s) => {
                self.witnessed = Some(checkpoint.size);
                let at_ms = i64::try_from(*at_s).unwrap_or(i64::MAX).saturating_mul(1000);
                self.witnessed_at = Some(rfc3339_ms(at_ms));
            }
            // What is wrong with the ledger itself comes first.
            _ if self.result != LedgerResult::Ok => {}
            WitnessSaid::Forged => self.set(
                LedgerResult::Tampered,
                None,
                "a line claims to be the cosignature of the witness, and is not",
            ),
            WitnessSaid::Nothing => self.set(LedgerResult::Incomplete, None, "there is no cosignature of the witness"),
        }
    }
}

/// What the notes of a ledger say of a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WitnessSaid {
    /// It confirmed this checkpoint, at this time (seconds since 1970).
    Confirmed(Checkpoint, u64),
    /// A line claims to be its own, and is not.
    Forged,
    /// Nothing.
    Nothing,
}

/// The largest checkpoint that a witness confirmed in these notes, of those that the log signed.
pub(super) fn newest_word(key: &LogKey, witness: &WitnessKey, notes: &[String]) -> WitnessSaid {
    let mut newest = WitnessSaid::Nothing;
    for note in notes {
        match (witness.word(note), key.open(note)) {
            (WitnessWord::Confirmed(at_s), Ok(checkpoint)) => {
                let is_newer = match &newest {
                    WitnessSaid::Confirmed(known, _) => known.size < checkpoint.size,
                    _ => true,
                };
                if is_newer {
                    newest = WitnessSaid::Confirmed(checkpoint, at_s);
                }
            }
            (WitnessWord::Forged, _) if newest == WitnessSaid::Nothing => newest = WitnessSaid::Forged,
            _ => {}
        }
    }
    newest
}

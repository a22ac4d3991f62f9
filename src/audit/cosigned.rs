//! Checkpoints of this ledger as they are handed out: with the lines of the witnesses that confirm them.

use super::log::last_checkpoint;
use super::note::Checkpoint;
use crate::error::Failure;
use crate::store::Db;
use crate::store::cosignatures::{self as rows, CosignatureRow};
use crate::store::ledger_tree::LogRow;

/// The last signed checkpoint of a log, and its text with the lines of the witnesses that have confirmed it already.
///
/// # Errors
/// As [`last_checkpoint`].
pub fn last_cosigned(db: &mut Db, row: &LogRow) -> Result<(Checkpoint, String), Failure> {
    let (checkpoint, note) = last_checkpoint(db, row)?;
    let cosigned = rows::all(db, row.no)?;
    let note = with_lines(note, i64::try_from(checkpoint.size).unwrap_or(i64::MAX), &cosigned);
    Ok((checkpoint, note))
}

/// The text of the newest signed checkpoint, as it is handed to partners; none before the first one.
///
/// # Errors
/// Those of the database.
pub fn handed_out(db: &mut Db) -> Result<Option<String>, Failure> {
    let Some((log, size, note)) = rows::newest_checkpoint(db)? else {
        return Ok(None);
    };
    let cosigned = rows::all(db, log)?;
    Ok(Some(with_lines(note, size, &cosigned)))
}

/// The newest checkpoint of each witness that has not confirmed the one of `size` entries yet, with its line; the largest first.
///
/// # Errors
/// Those of the database.
pub fn confirmed_before(db: &mut Db, log: i64, size: u64) -> Result<Vec<String>, Failure> {
    let mut cosigned = rows::all(db, log)?;
    // One that is larger was confirmed since the last checkpoint was read.
    cosigned.retain(|row| u64::try_from(row.size).is_ok_and(|own| own < size));
    cosigned.sort_by_key(|row| -row.size);
    Ok(cosigned.into_iter().map(|row| row.note + &row.line).collect())
}

/// A note with the lines of the witnesses that confirm a tree of this size.
pub fn with_lines(mut note: String, size: i64, cosigned: &[CosignatureRow]) -> String {
    for row in cosigned.iter().filter(|row| row.size == size) {
        note.push_str(&row.line);
    }
    note
}

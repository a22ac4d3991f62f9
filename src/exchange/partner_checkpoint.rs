//! The checkpoint of a partner's ledger that comes with its answers (`X-Causeway-Checkpoint`). It is kept with the exchange or the bulk run:
//! a partner that rewrites its history later contradicts it. Nobody verifies it here, and it never decides anything.

use crate::audit::note::Checkpoint;
use crate::error::Failure;
use crate::store::Db;
use crate::store::partner_checkpoints::{self as rows, PartnerCheckpointRow};

/// Keeps the checkpoint that came with an answer to the exchange or bulk run `id`. Of one log, the one that covers most stays; of two logs,
/// the last.
///
/// # Errors
/// Those of the database.
pub fn keep(db: &mut Db, (partner_id, id): (&str, &str), note: &str, now_ms: i64) -> Result<(), Failure> {
    let Some(came) = Checkpoint::unverified(note) else {
        return Ok(());
    };
    let held = rows::of(db, id)?.and_then(|row| Checkpoint::unverified(&row.note));
    let is_news = held.is_none_or(|held| held.origin != came.origin || held.size < came.size);
    if !is_news {
        return Ok(());
    }
    rows::put(
        db,
        &PartnerCheckpointRow {
            work_id: id.to_owned(),
            partner_id: partner_id.to_owned(),
            note: note.to_owned(),
            came_ms: now_ms,
        },
    )
}

//! The act of rotating the key that wraps the keys of values beside the ledger, and checking that they are there. Only wrapped keys are written
//! again: no row of the store changes but for the entry.

use super::correlation_sealing::demand_all;
use super::{Action, Actor, LedgerEvent, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::member_keys::KeyRotation;
use crate::store::member_keys as rows;
use crate::telemetry::Correlation;

/// Makes a new key of keys and wraps every key under it; the ledger says who did it, and why. A rotation that was broken off is ended by the next
/// one. Blocks the thread.
///
/// # Errors
/// [`Fault::NotFound`] when nothing was ever sealed; [`Fault::SealKeys`] when the file of keys is missing or cannot be used: then it is as
/// before; those of the store. When only the entry cannot be written, the keys are rotated, and the act is given again.
pub fn rotate(ctx: &Context, note: OperatorNote) -> Result<KeyRotation, Failure> {
    let mark = mark(ctx)?;
    let done = ctx.member_keys.rotate(&mark)?;
    let now_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let actor = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(
        Action::LedgerKeysRotated,
        actor,
        Correlation::internal(entry_id.clone()),
    );
    entry.note = Some(note);
    ctx.store
        .write_blocking(move |db| ledger::append(db, &entry, &entry_id, now_us))?;
    Ok(done)
}

/// How many keys the file has, those that were destroyed among them, when it is that of the store and can be opened. A file that is older than the
/// store mostly lacks keys of correlation ids: these are looked for. Blocks the thread.
///
/// # Errors
/// As [`rotate`]; [`Fault::SealKeys`] also when the file lacks the key of a correlation id.
pub fn check(ctx: &Context) -> Result<u64, Failure> {
    let keys = ctx.member_keys.check(&mark(ctx)?)?;
    demand_all(ctx)?;
    Ok(keys)
}

fn mark(ctx: &Context) -> Result<[u8; 32], Failure> {
    if !ctx.store.read_blocking(rows::has_any)? {
        let remedy = "Nothing is sealed yet. The file of keys begins with the first operator's reason or evidence packet that is sealed.";
        return Err(Failure::new(Fault::NotFound).remedy(remedy));
    }
    let mark = ctx.store.read_blocking(rows::known_mark)?;
    mark.ok_or_else(|| Fault::StoreDamaged.into())
}

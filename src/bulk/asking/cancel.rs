//! The end of a run that an operator asks for. The work of the run notices it, deletes what runs at the partner, and lets its members go on
//! alone; whoever is not to be asked for at all is cancelled as an exchange.

use super::kind::ASK;
use crate::audit::{OperatorNote, ledger};
use crate::bulk::job::cancelled_by_operator;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, NewJob};
use crate::store::Db;
use crate::store::bulk_runs as rows;

/// Asks for the end of a run of ours; `note` says who and why. Waits on this thread.
///
/// # Errors
/// [`Fault::JobUnknown`] when there is none, or it has ended, or was asked to end; those of the store.
pub fn cancel_run(ctx: &Context, id: &str, note: OperatorNote) -> Result<(), Failure> {
    let (now_us, id) = (ctx.clock.now_us(), id.to_owned());
    let now_ms = now_us / 1000;
    let (entry_id, new_id) = (ctx.ids.new_id(now_ms), ctx.ids.new_id(now_ms));
    let entry = cancelled_by_operator("bulk-run", &id, note, &entry_id);
    ctx.store.reserved().write_blocking(move |db: &mut Db| {
        let row = rows::find(db, &id)?.ok_or(Fault::JobUnknown)?;
        if !rows::ask_cancel(db, &id, now_ms)? {
            return Err(Fault::JobUnknown.into());
        }
        let now = NewJob {
            kind: &ASK,
            partner: Some(&row.partner_id),
            key: &row.id,
            payload: "",
            due_ms: now_ms,
        };
        jobs::enqueue_or_point(db, &new_id, &now, now_ms)?;
        ledger::append(db, &entry, &entry_id, now_us)
    })
}

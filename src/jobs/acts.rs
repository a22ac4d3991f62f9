//! What operators do with a job, in one transaction with its ledger entry.

use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::jobs as rows;
use crate::telemetry::Correlation;

/// The write that lets a parked job go on at once, with its attempts counted from zero; the ledger says who did it and why.
///
/// # Errors
/// Of the write: [`Fault::JobUnknown`]; [`Fault::JobNotParked`]; those of the database.
pub fn replay(
    ctx: &Context,
    job: &str,
    (actor, note): (Actor, OperatorNote),
    correlation: Correlation,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let (now_us, job) = (ctx.clock.now_us(), job.to_owned());
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let mut entry = LedgerEvent::new(Action::JobReplayed, actor, correlation);
    entry.note = Some(note);
    entry.object = Some(Object {
        kind: "job",
        id: job.clone(),
    });
    move |db| {
        if !rows::replay(db, &job, now_us / 1000)? {
            let known = rows::find(db, &job)?;
            return Err(known.map_or(Fault::JobUnknown, |_| Fault::JobNotParked).into());
        }
        ledger::append(db, &entry, &entry_id, now_us)
    }
}

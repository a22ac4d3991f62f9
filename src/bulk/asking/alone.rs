//! Members of a run who go on alone, from where they stand. What their exchanges do next is decided by `exchange`, not here.

use super::kind::TOGETHER;
use super::members::{ALONE, ASKED, FETCHING, MATCHED, WAITING};
use super::question::put;
use crate::error::Failure;
use crate::exchange::carried::hand_over;
use crate::exchange::steps::EXPORT;
use crate::jobs::HeldJob;
use crate::store::bulk_runs::{self as rows, RunMemberRow};
use crate::store::{Db, ingest};

/// Everybody for whom a run may still work.
const CARRIED: &[&str] = &[WAITING, ASKED, MATCHED, FETCHING];

/// Lets everybody for whom the run still works go on alone, some in each transaction. It may be done again: who goes on alone is not the
/// run's any more, and what came for the exchange since then stays.
///
/// # Errors
/// Those of the store; [`LeaseLost`](crate::error::Fault::LeaseLost).
pub(super) async fn all_alone(held: &HeldJob, run_id: &str) -> Result<(), Failure> {
    let id = run_id.to_owned();
    let members = held.ctx().store.read(move |db| carried(db, &id)).await?;
    for members in members.chunks(TOGETHER) {
        let (ctx, id) = (held.ctx().clone(), run_id.to_owned());
        let own: Vec<i64> = members.iter().map(|member| member.position).collect();
        let write = move |db: &mut Db| {
            // The run's own work, which an operator called back to cancel it, may have handed some over meanwhile.
            for member in carried(db, &id)?.iter().filter(|one| own.contains(&one.position)) {
                if member.state == FETCHING {
                    // What came of a part that is not whole comes again, and counts once.
                    ingest::set_aside(db, &member.exchange_id, EXPORT)?;
                }
                hand_over(db, &ctx, &member.exchange_id)?;
                put(db, member, (0, member.attempt, ALONE))?;
            }
            Ok(())
        };
        held.advance(write).await?;
    }
    Ok(())
}

/// The members for whom a run may still work.
fn carried(db: &mut Db, run_id: &str) -> Result<Vec<RunMemberRow>, Failure> {
    let mut members = rows::members(db, run_id)?;
    members.retain(|one| one.carried == 1 && CARRIED.contains(&one.state.as_str()));
    Ok(members)
}

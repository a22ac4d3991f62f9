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
/// run's any more.
///
/// # Errors
/// Those of the store; [`LeaseLost`](crate::error::Fault::LeaseLost).
pub(super) async fn all_alone(held: &HeldJob, run_id: &str) -> Result<(), Failure> {
    let id = run_id.to_owned();
    let mut members = held.ctx().store.read(move |db| rows::members(db, &id)).await?;
    members.retain(|one| one.carried == 1 && CARRIED.contains(&one.state.as_str()));
    for members in members.chunks(TOGETHER) {
        let (ctx, members): (_, Vec<RunMemberRow>) = (held.ctx().clone(), members.to_vec());
        let write = move |db: &mut Db| {
            for member in &members {
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

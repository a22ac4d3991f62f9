//! Pieces of a run that are written again, because a member in their files has left since.

use super::files::BulkFiles;
use super::hands;
use super::job::{self, LOOKED_MS};
use super::kinds::work_of;
use crate::config::BulkConfig;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkJobRow};

/// Takes back a piece whose files may not be given any more, and the last piece, which was made from all others; the run goes on.
///
/// # Errors
/// Those of the store.
pub(super) async fn write_again(
    ctx: &Context,
    (limits, files): (&BulkConfig, &BulkFiles),
    run: &BulkJobRow,
    piece: i64,
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let work = work_of(&run.kind).ok_or(Fault::StoreDamaged)?;
    let (run, new_id, deadline_ms) = (run.clone(), ctx.ids.new_id(now_ms), now_ms + limits.deadline_ms);
    let end_id = ctx.ids.new_id(now_ms);
    let more = hands::ids(ctx);
    let mut pieces = vec![piece, run.pieces - 1];
    pieces.dedup();
    let reopen = move |db: &mut Db| {
        let Some(dropped) = rows::reopen(db, &run.id, &pieces, (now_ms, deadline_ms))? else {
            return Ok(Vec::new());
        };
        hands::call_again(db, work, (&run, piece), (&new_id, &more), now_ms)?;
        // Its end waits for the files to be over, and has to look at the work again.
        job::end_at(db, &run, &end_id, deadline_ms.min(now_ms + LOOKED_MS), now_ms)?;
        Ok(dropped)
    };
    let dropped = ctx.store.write(reopen).await?;
    ctx.bell.ring();
    // Nothing names them any more, and they have what may not be given.
    let files = files.clone();
    tokio::task::spawn_blocking(move || files.drop_files(&dropped))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))
}

//! The ledger entries about the process itself: it was started, it was stopped, and its clock was set.

use crate::audit::{Action, Actor, LedgerEvent, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::telemetry::{Correlation, metrics as families};
use std::collections::BTreeMap;

/// Writes `action` of this process to the ledger.
///
/// # Errors
/// Those of the store, except that a full disk is ignored.
pub(super) async fn note(ctx: &Context, action: Action) -> Result<(), Failure> {
    note_with(ctx, action, BTreeMap::new()).await
}

/// Reports that the wall clock was set by `by_ms` milliseconds: in the log, in the metrics, and if possible in the ledger.
pub(super) fn note_jump(ctx: &Context, by_ms: i64) {
    let (direction, what) = match by_ms > 0 {
        true => ("forward", "forward_ms"),
        false => ("back", "back_ms"),
    };
    metrics::counter!(families::CLOCK_JUMPS, "direction" => direction).increment(1);
    tracing::warn!(
        direction,
        by_ms,
        "the wall clock was set; nothing that was issued lives longer for it"
    );
    let (ctx, counts) = (ctx.clone(), BTreeMap::from([(what.to_owned(), by_ms.unsigned_abs())]));
    tokio::spawn(async move {
        if let Err(failure) = note_with(&ctx, Action::ClockJumped, counts).await {
            tracing::warn!(
                fault = failure.fault().code(),
                "a jump of the clock could not be recorded"
            );
        }
    });
}

async fn note_with(ctx: &Context, action: Action, counts: BTreeMap<String, u64>) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(now_us / 1000);
    let mut entry = LedgerEvent::new(
        action,
        Actor {
            kind: "system",
            ..Actor::default()
        },
        Correlation::internal(id.clone()),
    );
    entry.counts = counts;
    let written = ctx.store.reserved();
    let written = written.write(move |db| ledger::append(db, &entry, &id, now_us)).await;
    told_without_room(written)
}

/// Logs a full disk and ignores it, because it must keep a server neither from starting nor from stopping.
///
/// # Errors
/// The failure of `written`, unless it is a full disk.
pub(super) fn told_without_room(written: Result<(), Failure>) -> Result<(), Failure> {
    match written {
        Err(failure) if failure.fault() == Fault::NoRoom => {
            tracing::error!(
                fault = failure.fault().code(),
                "the ledger could not be written: the disk is full"
            );
            Ok(())
        }
        written => written,
    }
}

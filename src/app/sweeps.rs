//! The repeated work of a running server that is not a job ([`super::background`]): writing missing ends of disclosures. [`super::serve`]
//! calls it on a timer.

use crate::context::Context;
use crate::release::close_lost;
use std::time::Duration;

/// Time between two runs of the work that only this process does.
pub const SWEEP: Duration = Duration::from_secs(60);
/// Age after which no disclosure of any process can still be running, milliseconds: longer than an answer may take.
const DISCLOSED_MS: i64 = 2 * 3_600_000;

/// Writes the missing ends of disclosures that cannot be running any more. `listening_ms`: when this process began to listen (UTC
/// milliseconds). Blocks the thread.
pub fn close_old(ctx: &Context, listening_ms: i64) {
    let old_ms = ctx.clock.now_ms() - DISCLOSED_MS;
    // A SQLite store has one owner, so what began before this process listened was cut off.
    let before_ms = match ctx.store.url().sqlite_path() {
        Some(_) => old_ms.max(listening_ms),
        None => old_ms,
    };
    if let Err(failure) = close_lost(ctx, before_ms) {
        tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "lost ends could not be looked for");
    }
}

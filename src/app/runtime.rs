//! The asynchronous runtime of a process that runs until a signal.

use super::traces;
use crate::error::{Failure, Fault};
use crate::telemetry::log;
use crate::terminal::Out;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Time limit for blocking work that is still running when the process ends.
const LEFTOVER: Duration = Duration::from_secs(1);

/// Starts the runtime, and redirects the command's messages to the log's stderr: a reader of stderr that has stalled must not block the
/// process.
///
/// # Errors
/// [`Fault::Internal`] when the system gives no threads.
pub(super) fn start(out: &mut Out) -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    if let Ok(stderr) = log::stderr() {
        out.redirect_errors(Box::new(stderr));
    }
    Ok(runtime)
}

/// Ends the runtime, and sends the last traces.
pub(super) fn end(runtime: Runtime) {
    runtime.shutdown_timeout(LEFTOVER);
    traces::end();
}

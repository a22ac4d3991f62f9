//! The callback through which a long start reports its progress, and what reports that something is still running.

use crate::error::{Failure, Fault};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// After this time what is running is reported, and again each time it has passed.
const BEAT: Duration = Duration::from_secs(10);

/// Receives progress reports of migrations: one line at a time, meant for people.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// Does `work` on a thread of its own, so that this thread can report that it is still running.
///
/// # Errors
/// Those of `work`.
pub(super) fn watched(
    called: &str,
    tell: Tell<'_>,
    work: impl FnOnce() -> Result<(), Failure> + Send,
) -> Result<(), Failure> {
    let began = Instant::now();
    std::thread::scope(|scope| {
        let (ending, ended) = channel::<()>();
        let working = scope.spawn(move || {
            let _ending = ending;
            work()
        });
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(BEAT) {
            tell(&format!(
                "{called}: still running after {} s",
                began.elapsed().as_secs()
            ));
        }
        let panicked = |_| Err(Failure::new(Fault::Internal).because("a migration panicked"));
        working.join().unwrap_or_else(panicked)
    })
}

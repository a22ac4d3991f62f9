//! The signals of a process that stays up. From the moment they are listened to, none of them kills it.

use crate::error::{Failure, Fault};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, which ask to stop, and SIGHUP, which asks to read files again.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens. What arrives before it is asked for is kept. Inside a runtime only.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the system refuses.
    pub fn listen() -> Result<Signals, Failure> {
        let of = |kind| signal(kind).map_err(|error| Failure::new(Fault::Internal).because(error));
        Ok(Signals {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    /// The next signal. Dropping this loses none.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next signal that asks to stop. SIGHUP is passed over.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To stop.
    Stop,
    /// To read certificates, lists and keys again.
    Reload,
}

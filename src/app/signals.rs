//! The signals of a long-running process. Once they are listened to, none of them kills the process.

use crate::error::{Failure, Fault};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, which ask to stop, and SIGHUP, which asks to read files again.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Starts to listen. A signal that arrives before it is asked for is kept. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the operating system refuses.
    pub fn listen() -> Result<Signals, Failure> {
        let of = |kind| signal(kind).map_err(|error| Failure::new(Fault::Internal).because(error));
        Ok(Signals {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. Dropping the future loses no signal.
    pub async fn next(&mut self) -> SignalMeaning {
        tokio::select! {
            _ = self.terminate.recv() => SignalMeaning::Stop,
            _ = self.interrupt.recv() => SignalMeaning::Stop,
            _ = self.hangup.recv() => SignalMeaning::Reload,
        }
    }

    /// Waits for the next signal that asks to stop. SIGHUP is ignored.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalMeaning {
    /// To stop the process.
    Stop,
    /// To read certificates, revocation lists and keys again.
    Reload,
}

//! Why the sandbox cannot be started. What it answers to a client is no error of its own.

use std::fmt;
use std::path::Path;

/// Why the sandbox cannot be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxError {
    /// The script cannot be played: where, and why.
    Script {
        /// The key, or empty where the message names the line.
        at: String,
        /// Why.
        why: String,
    },
    /// An address is not one of this machine.
    NotLoopback {
        /// The key.
        at: String,
        /// What it says.
        address: String,
    },
    /// A file cannot be read or written.
    Unreadable {
        /// Its path.
        path: String,
        /// Why.
        why: String,
    },
    /// An address cannot be listened on.
    Listen(String),
    /// A certificate or key cannot be made or used.
    Certificate(String),
}

impl SandboxError {
    pub(crate) fn script(at: &str, why: impl fmt::Display) -> SandboxError {
        SandboxError::Script {
            at: at.to_owned(),
            why: why.to_string(),
        }
    }

    pub(crate) fn unreadable(path: &Path, why: &dyn fmt::Display) -> SandboxError {
        SandboxError::Unreadable {
            path: path.display().to_string(),
            why: why.to_string(),
        }
    }

    pub(crate) fn certificate(why: impl fmt::Display) -> SandboxError {
        SandboxError::Certificate(why.to_string())
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SandboxError::Script { at, why } if at.is_empty() => write!(f, "the script cannot be played: {why}"),
            SandboxError::Script { at, why } => write!(f, "the script cannot be played: {at}: {why}"),
            SandboxError::NotLoopback { at, address } => write!(
                f,
                "{at}: {address} is not an address of this machine; the sandbox listens on loopback only (127.0.0.1, ::1 or localhost)"
            ),
            SandboxError::Unreadable { path, why } => write!(f, "{path}: {why}"),
            SandboxError::Listen(why) => write!(f, "the address cannot be listened on: {why}"),
            SandboxError::Certificate(why) => write!(f, "a certificate or key cannot be used: {why}"),
        }
    }
}

impl std::error::Error for SandboxError {}

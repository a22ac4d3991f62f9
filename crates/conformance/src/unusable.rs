//! Why a run cannot begin.

use std::error::Error;
use std::fmt;

/// Why settings cannot be used. What a server does wrong is never one of these.
#[derive(Debug)]
pub enum Unusable {
    /// A file cannot be read.
    Unreadable {
        /// Its path.
        file: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// What stands in the client file, or in a file that it names, cannot be used.
    Invalid(Box<dyn Error + Send + Sync>),
}

impl Unusable {
    pub(super) fn invalid(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Unusable {
        Unusable::Invalid(cause.into())
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreadable { file, cause } => write!(f, "{file}: {cause}"),
            Unusable::Invalid(cause) => write!(f, "{cause}"),
        }
    }
}

impl Error for Unusable {}

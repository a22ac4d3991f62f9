//! The only room that speaks SQL: both databases behind [`Db`], one file for each aggregate, and the group-commit writer.
//!
//! Functions take `&mut Db`; whoever owns the transaction decides its extent. Nothing here calls the network or knows HTTP.

pub mod attachments;
mod db;
pub mod disclosure;
pub mod durability;
mod dynamic;
pub mod guesses;
pub mod idempotency;
pub mod identity;
pub mod links;
pub mod matching;
pub mod members;
pub mod migrate;
pub mod ops_queries;
pub mod partners;
pub mod policies;
pub mod resources;
pub mod reviews;
pub mod roster;
pub mod schema;
pub mod search;
pub mod secrets;
mod statement;
pub mod steps;
pub mod tokens;
mod url;
pub mod visible;
mod writer;

pub use db::{Db, Store, StoreOptions};
pub use url::StoreUrl;

use crate::error::{Failure, Fault};
use diesel::result::{DatabaseErrorKind, Error};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _) => {
                Fault::StoreUnavailable
            }
            Error::DatabaseError(_, said) if says_damaged(said.message()) => Fault::StoreDamaged,
            _ => Fault::Internal,
        };
        Failure::new(fault).because(error)
    }
}

/// Whether SQLite says that a file is not what it should be (SQLITE_NOTADB, SQLITE_CORRUPT).
fn says_damaged(text: &str) -> bool {
    ["file is not a database", "database disk image is malformed"]
        .iter()
        .any(|words| text.contains(words))
}

/// Whether a statement failed because a unique key was there already (how "insert once" is told from other faults).
pub fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// Whether a failure came from a unique key that was there already.
pub fn failed_on_duplicate(failure: &Failure) -> bool {
    failure
        .cause()
        .and_then(|cause| cause.downcast_ref::<Error>())
        .is_some_and(is_duplicate)
}

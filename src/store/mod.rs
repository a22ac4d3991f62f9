//! The only room that speaks SQL: both databases behind [`Db`], one file for each aggregate, and the group-commit writer.
//!
//! Functions take `&mut Db`; whoever owns the transaction decides its extent. Nothing here calls the network or knows HTTP.

pub mod attachments;
pub mod consents;
mod db;
pub mod dependencies;
pub mod disclosure;
pub mod durability;
mod dynamic;
pub mod entries;
pub mod gate_state;
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
mod reserved;
pub mod resources;
pub mod reviews;
mod room;
pub mod roster;
pub mod schema;
pub mod search;
pub mod secrets;
pub mod size;
mod statement;
pub mod steps;
pub mod tokens;
mod url;
pub mod visible;
pub mod withheld;
mod writer;

pub use db::{Db, Store, StoreOptions};
pub use reserved::Reserved;
pub use room::{Least, Room, RoomLimits};
pub use url::StoreUrl;

use crate::error::{Failure, Fault};
use diesel::result::{DatabaseErrorKind, Error};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::DatabaseError(DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection, _) => {
                Fault::StoreUnavailable
            }
            Error::DatabaseError(_, said) if room::says_no_room(said.message()) => Fault::NoRoom,
            Error::DatabaseError(_, said) if says_damaged(said.message()) => Fault::StoreDamaged,
            Error::DatabaseError(DatabaseErrorKind::CheckViolation | DatabaseErrorKind::NotNullViolation, _)
            | Error::InvalidCString(_)
            | Error::SerializationError(_) => Fault::NotStorable,
            Error::DatabaseError(_, said) if refuses_a_value(said.message()) => Fault::NotStorable,
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

/// Whether a database says that a value is none that it can hold, or too long for a row or an index.
fn refuses_a_value(text: &str) -> bool {
    [
        "invalid byte sequence",
        "unsupported Unicode escape",
        "value too long",
        "out of range",
        "index row size",
        "index row requires",
        "row is too big",
        "invalid memory alloc request size",
        "string or blob too big",
    ]
    .iter()
    .any(|words| text.contains(words))
}

/// Whether a write failed for what was to be written, and not for the state of the store: without the record at fault it goes through.
pub fn blames_content(failure: &Failure) -> bool {
    let of_the_store = failure.cause().is_some_and(|cause| cause.is::<Error>()) && !failed_on_duplicate(failure);
    match failure.fault() {
        Fault::StoreUnavailable
        | Fault::StoreDamaged
        | Fault::StoreBusy
        | Fault::Overloaded
        | Fault::AuditUnavailable
        | Fault::NoRoom => false,
        // Anything else that the database says (a full disk, a time-out) would refuse the next record too.
        Fault::Internal => !of_the_store,
        _ => true,
    }
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

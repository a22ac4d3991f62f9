//! The only room that speaks SQL: both databases behind [`Db`], one file for each aggregate, and the group-commit writer.
//!
//! Functions take `&mut Db`; whoever owns the transaction decides its extent. Nothing here calls the network or knows HTTP.

pub mod attachments;
mod connect;
pub mod consents;
mod db;
pub mod dependencies;
pub mod disclosure;
pub mod durability;
mod dynamic;
pub mod ends;
pub mod entries;
mod file;
pub mod gate_state;
pub mod guesses;
pub mod idempotency;
pub mod identity;
mod import_lock;
pub mod links;
pub mod matching;
pub mod members;
pub mod migrate;
pub mod ops_queries;
mod owed;
pub mod partners;
pub mod policies;
mod pool;
mod pooler;
pub mod readiness;
mod reserved;
pub mod resources;
pub mod reviews;
pub mod rights;
mod room;
pub mod roster;
pub mod schema;
pub mod search;
pub mod secrets;
mod session;
mod set_up;
pub mod size;
pub mod sqlstate;
pub mod standing;
mod statement;
pub mod steps;
pub mod tokens;
mod url;
pub mod visible;
pub mod withheld;
mod writer;

pub use db::{Db, Store, StoreOptions};
pub use owed::Owed;
pub use reserved::Reserved;
pub use room::{Least, Room, RoomLimits};
pub use set_up::Need;
pub use url::StoreUrl;

use crate::error::{Failure, Fault};
use diesel::result::{DatabaseErrorKind, Error};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let fault = match &error {
            Error::DatabaseError(_, said) if room::says_no_room(said.message()) => Fault::NoRoom,
            Error::DatabaseError(_, said) if says_damaged(said.message()) => Fault::StoreDamaged,
            Error::InvalidCString(_) | Error::SerializationError(_) => Fault::NotStorable,
            _ => match sqlstate::of(&error) {
                Some(row) => row.fault,
                None if refuses_a_value(&error) => Fault::NotStorable,
                None => Fault::Internal,
            },
        };
        Failure::new(fault).because(error)
    }
}

/// Why a connection could not be opened.
fn unreachable(error: diesel::ConnectionError) -> Failure {
    let fault = if says_damaged(&error.to_string()) {
        Fault::StoreDamaged
    } else {
        Fault::StoreUnavailable
    };
    Failure::new(fault).because(error)
}

/// Whether SQLite says that a file is not what it should be (SQLITE_NOTADB, SQLITE_CORRUPT).
fn says_damaged(text: &str) -> bool {
    ["file is not a database", "database disk image is malformed"]
        .iter()
        .any(|words| text.contains(words))
}

/// Whether a database says in words that stand in no row of [`sqlstate`] that a value is too long for it.
fn refuses_a_value(error: &Error) -> bool {
    let words = ["invalid memory alloc request size", "string or blob too big"];
    matches!(error, Error::DatabaseError(_, said) if words.iter().any(|words| said.message().contains(words)))
}

/// Whether a write failed for what was to be written, and not for the state of the store: without the record at fault it goes through.
pub fn blames_content(failure: &Failure) -> bool {
    let of_the_store = failure.cause().is_some_and(|cause| cause.is::<Error>()) && !failed_on_duplicate(failure);
    match failure.fault() {
        Fault::StoreUnavailable
        | Fault::StoreSlow
        | Fault::StoreUnsafe
        | Fault::StoreDamaged
        | Fault::StoreBusy
        | Fault::StoreReadOnly
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

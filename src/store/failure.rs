//! Translates database errors into faults of this server.

use super::{room, sqlstate};
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

/// Translates the reason why a connection could not be opened.
pub(super) fn unreachable(error: diesel::ConnectionError) -> Failure {
    let fault = if says_damaged(&error.to_string()) {
        Fault::StoreDamaged
    } else {
        Fault::StoreUnavailable
    };
    Failure::new(fault).because(error)
}

/// What PostgreSQL or its library says when it takes no connection, with what an operator does about it. The first row that fits counts.
const REFUSALS: [(&str, &str); 16] = [
    (
        "SSL support is not compiled in",
        "This build has no TLS to PostgreSQL: build it with --features postgres-tls, or connect on this machine without sslmode.",
    ),
    (
        "server does not support SSL",
        "The database has no TLS: set ssl = on there, or leave sslmode out of store.url if the network to it is safe.",
    ),
    (
        "certificate verify failed",
        "The database's certificate does not come from an authority that sslrootcert in store.url names.",
    ),
    (
        "password authentication failed",
        "The database refuses the password of this role: correct it in store.url or DATABASE_URL.",
    ),
    (
        "no password supplied",
        "The database asks for a password: put it into store.url or DATABASE_URL, or into the file that PGPASSFILE names.",
    ),
    (
        "no pg_hba.conf entry",
        "The database's pg_hba.conf has no line for this role, database and address, or requires TLS: add the line, or connect with TLS.",
    ),
    (
        "authentication failed",
        "The database does not accept this role with its way of authentication: check pg_hba.conf, and the user in store.url.",
    ),
    (
        "is not permitted to log in",
        "This role may not log in: ALTER ROLE … LOGIN, or name another user in store.url.",
    ),
    (
        "too many clients already",
        "The database has no connection left: raise max_connections there, or lower store.connections here.",
    ),
    (
        "connection slots are reserved",
        "The database has no connection left: raise max_connections there, or lower store.connections here.",
    ),
    (
        "the database system is starting up",
        "The database is still starting: try again in some seconds.",
    ),
    (
        "could not translate host name",
        "The host in store.url cannot be resolved: correct its name, or the name service of this machine.",
    ),
    (
        "Connection refused",
        "Nothing listens at the address in store.url: start PostgreSQL, or correct host and port.",
    ),
    (
        "No such file or directory",
        "There is no PostgreSQL socket where store.url says: start PostgreSQL, or correct the host.",
    ),
    (
        "timeout expired",
        "The database did not answer in time: check the network and its firewall, and the host and port in store.url.",
    ),
    (
        "Network is unreachable",
        "The address in store.url cannot be reached: check the network, and the host.",
    ),
];

/// Translates the reason why a store could not be opened; the remedy names what is wrong. Only for whoever starts a process: a partner
/// learns nothing about the database.
pub(super) fn not_opened(error: diesel::ConnectionError) -> Failure {
    let remedy = remedy_of(&error.to_string());
    let failure = unreachable(error);
    match remedy {
        Some(remedy) => failure.at("store.url").remedy(remedy),
        None => failure,
    }
}

fn remedy_of(said: &str) -> Option<&'static str> {
    if said.contains("does not exist") {
        if said.contains("database \"") {
            return Some(
                "There is no such database: create it with CREATE DATABASE, or correct its name in store.url.",
            );
        }
        if said.contains("role \"") {
            return Some(
                "There is no such role: create it with CREATE ROLE … LOGIN, or correct the user in store.url.",
            );
        }
    }
    let row = REFUSALS.iter().find(|(words, _)| said.contains(words));
    row.map(|(_, remedy)| *remedy)
}

/// Whether SQLite reports that the file is no database or is corrupt (SQLITE_NOTADB, SQLITE_CORRUPT).
fn says_damaged(text: &str) -> bool {
    ["file is not a database", "database disk image is malformed"]
        .iter()
        .any(|words| text.contains(words))
}

/// Whether the database reports that a value is too long, in an error that has no row in [`sqlstate`].
fn refuses_a_value(error: &Error) -> bool {
    let words = ["invalid memory alloc request size", "string or blob too big"];
    matches!(error, Error::DatabaseError(_, said) if words.iter().any(|words| said.message().contains(words)))
}

/// Whether a write failed because of its content and not because of the state of the
/// store, so that it would succeed without the record at fault.
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
        // Any other error of the database (a full disk, a timeout) would fail the next record too.
        Fault::Internal => !of_the_store,
        _ => true,
    }
}

/// Whether a statement failed because a unique key exists already ("insert once" depends on this).
pub fn is_duplicate(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
}

/// Whether a failure was caused by a unique key that exists already.
pub fn failed_on_duplicate(failure: &Failure) -> bool {
    failure
        .cause()
        .and_then(|cause| cause.downcast_ref::<Error>())
        .is_some_and(is_duplicate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_opened_names_the_cause() {
        for (said, words) in [
            (
                "connection to server at \"db\" (10.0.0.1), port 5432 failed: FATAL:  password authentication failed for user \"x\"",
                "refuses the password",
            ),
            ("FATAL:  database \"causeway\" does not exist", "no such database"),
            ("FATAL:  role \"causeway\" does not exist", "no such role"),
            (
                "sslmode value \"require\" invalid when SSL support is not compiled in",
                "no TLS to PostgreSQL",
            ),
            ("failed: Connection refused\n\tIs the server running", "Nothing listens"),
            ("FATAL:  sorry, too many clients already", "no connection left"),
        ] {
            let failure = not_opened(diesel::ConnectionError::BadConnection(said.to_owned()));
            assert_eq!(failure.fault(), Fault::StoreUnavailable);
            assert!(failure.operator_remedy_text().contains(words), "{said}");
        }
        let unknown = not_opened(diesel::ConnectionError::BadConnection("something new".to_owned()));
        assert_eq!(
            Some(unknown.operator_remedy_text()),
            Fault::StoreUnavailable.operator_remedy()
        );
    }

    #[test]
    fn what_a_partner_is_told_of_a_lost_database_names_nothing() {
        let failure = unreachable(diesel::ConnectionError::BadConnection(
            "password authentication failed".to_owned(),
        ));
        assert_eq!(failure.remedy_text(), Fault::StoreUnavailable.row().remedy);
    }
}

//! What PostgreSQL's errors mean to us: one table from SQLSTATE to fault, to whether the transaction is repeated, and to whether the
//! connection is kept.
//!
//! diesel passes on the kind of an error and its primary text, but not its SQLSTATE. So a row names the words by which PostgreSQL's
//! own source says it; sessions ask for messages in English (`super::session`), and `tests/it/pg_trouble` provokes what can be
//! provoked and compares the words with the SQLSTATE that the server gives. What no row knows is a defect of ours ([`Fault::Internal`]).

use crate::error::{Failure, Fault};
use diesel::result::{DatabaseErrorKind, Error};

/// What is done with a transaction and its connection after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing: the connection goes on.
    Keep,
    /// The transaction was rolled back for another's sake, and is repeated on the spot, at most five times.
    Repeat,
    /// The connection is closed: it has ended, or another one may lead to a server that serves.
    Close,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The SQLSTATE.
    pub code: &'static str,
    /// PostgreSQL's name of it.
    pub name: &'static str,
    /// How the primary text can be told: one of these is in it.
    pub words: &'static [&'static str],
    /// What a caller is told.
    pub fault: Fault,
    /// What is done next.
    pub after: After,
}

const fn row(
    code: &'static str,
    name: &'static str,
    fault: Fault,
    after: After,
    words: &'static [&'static str],
) -> Row {
    Row {
        code,
        name,
        words,
        fault,
        after,
    }
}

/// The table, in the order of the codes. Source: PostgreSQL, appendix A "PostgreSQL Error Codes", and the texts of its source.
#[rustfmt::skip]
pub const TABLE: &[Row] = {
    use After::{Close, Keep, Repeat};
    use Fault::{Internal, NoRoom, NotStorable, Overloaded, StoreDamaged, StoreSlow, StoreUnavailable};
    &[
        row("08006", "connection_failure", StoreUnavailable, Close, &["server closed the connection", "no connection to the server", "connection to server", "could not receive data from server", "could not send data to server", "SSL SYSCALL error", "SSL connection has been closed", "connection not open", "lost synchronization with server"]),
        row("08P01", "protocol_violation", StoreUnavailable, Close, &["protocol violation", "unexpected message type", "invalid message format"]),
        row("0A000", "feature_not_supported", StoreUnavailable, Close, &["cached plan must not change result type"]),
        row("22001", "string_data_right_truncation", NotStorable, Keep, &["value too long"]),
        row("22003", "numeric_value_out_of_range", NotStorable, Keep, &["out of range"]),
        row("22021", "character_not_in_repertoire", NotStorable, Keep, &["invalid byte sequence"]),
        row("22P05", "untranslatable_character", NotStorable, Keep, &["unsupported Unicode escape"]),
        row("23502", "not_null_violation", NotStorable, Keep, &["violates not-null constraint"]),
        row("23514", "check_violation", NotStorable, Keep, &["violates check constraint"]),
        row("25006", "read_only_sql_transaction", StoreUnavailable, Close, &["in a read-only transaction", "during recovery"]),
        row("25P02", "in_failed_sql_transaction", Internal, Close, &["current transaction is aborted"]),
        row("25P03", "idle_in_transaction_session_timeout", StoreSlow, Close, &["due to idle-in-transaction timeout"]),
        row("25P04", "transaction_timeout", StoreSlow, Close, &["due to transaction timeout"]),
        row("26000", "invalid_sql_statement_name", StoreUnavailable, Close, &["prepared statement"]),
        row("28P01", "invalid_password", StoreUnavailable, Close, &["password authentication failed", "no pg_hba.conf entry", "authentication failed", "is not permitted to log in"]),
        row("3D000", "invalid_catalog_name", StoreUnavailable, Close, &["is not currently accepting connections"]),
        row("40001", "serialization_failure", StoreSlow, Repeat, &["could not serialize access"]),
        row("40P01", "deadlock_detected", StoreSlow, Repeat, &["deadlock detected"]),
        row("42501", "insufficient_privilege", Internal, Keep, &["permission denied", "must be owner of"]),
        row("53100", "disk_full", NoRoom, Keep, &["No space left on device", "Disk quota exceeded", "Check free disk space"]),
        row("53200", "out_of_memory", Overloaded, Keep, &["out of memory", "out of shared memory"]),
        row("53300", "too_many_connections", Overloaded, Close, &["too many clients already", "remaining connection slots are reserved", "too many connections for", "no more connections allowed"]),
        row("53400", "configuration_limit_exceeded", NoRoom, Keep, &["exceeds temp_file_limit"]),
        row("54000", "program_limit_exceeded", NotStorable, Keep, &["index row size", "index row requires", "row is too big"]),
        row("55P03", "lock_not_available", StoreSlow, Keep, &["due to lock timeout", "could not obtain lock"]),
        row("57014", "query_canceled", StoreSlow, Keep, &["due to statement timeout", "due to user request"]),
        row("57P01", "admin_shutdown", StoreUnavailable, Close, &["due to administrator command", "due to unexpected postmaster exit"]),
        row("57P02", "crash_shutdown", StoreUnavailable, Close, &["because of crash of another server process"]),
        row("57P03", "cannot_connect_now", StoreUnavailable, Close, &["the database system is", "not accepting connections"]),
        row("57P05", "idle_session_timeout", StoreUnavailable, Close, &["due to idle-session timeout"]),
        row("58030", "io_error", StoreDamaged, Keep, &["Input/output error"]),
        row("XX001", "data_corrupted", StoreDamaged, Keep, &["invalid page in block", "could not read block", "missing chunk number", "unexpected chunk"]),
        row("XX002", "index_corrupted", StoreDamaged, Keep, &["contains corrupted page", "is not a btree", "unexpected zero page"]),
    ]
};

/// The row of a text, if there is one.
pub fn of_text(text: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .find(|row| row.words.iter().any(|words| text.contains(words)))
}

/// The row of an error, if there is one. The kind goes before the words, but for a connection that ended: why it did stands in them.
pub fn of(error: &Error) -> Option<&'static Row> {
    let code = |code: &str| TABLE.iter().find(|row| row.code == code);
    match error {
        Error::DatabaseError(kind, said) => match kind {
            DatabaseErrorKind::SerializationFailure => code("40001"),
            DatabaseErrorKind::ReadOnlyTransaction => code("25006"),
            DatabaseErrorKind::NotNullViolation => code("23502"),
            DatabaseErrorKind::CheckViolation => code("23514"),
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => of_text(said.message())
                .filter(|row| row.after == After::Close)
                .or_else(|| code("08006")),
            DatabaseErrorKind::Unknown => of_text(said.message()),
            _ => None,
        },
        Error::BrokenTransactionManager => code("08006"),
        Error::RollbackErrorOnCommit { commit_error, .. } => of(commit_error).or_else(|| code("08006")),
        _ => None,
    }
}

fn of_failure(failure: &Failure) -> Option<&'static Row> {
    failure
        .cause()
        .and_then(|cause| cause.downcast_ref::<Error>())
        .and_then(of)
}

/// Whether the transaction that failed so may be repeated on the spot.
pub(super) fn is_repeated(failure: &Failure) -> bool {
    of_failure(failure).is_some_and(|row| row.after == After::Repeat)
}

/// Whether the connection on which this failed serves no more.
pub(super) fn spoils(failure: &Failure) -> bool {
    of_failure(failure).is_some_and(|row| row.after == After::Close)
}

/// Whether a connection had ended already when it was asked.
pub(super) fn is_lost(error: &Error) -> bool {
    of(error).is_some_and(|row| row.after == After::Close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Retry;

    #[test]
    fn the_table_is_in_order_and_no_words_stand_twice() {
        let mut words: Vec<&str> = TABLE.iter().flat_map(|row| row.words).copied().collect();
        assert!(TABLE.is_sorted_by(|one, next| one.code < next.code));
        words.sort_unstable();
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "{words:?}");
    }

    #[test]
    fn where_waiting_helps_callers_are_told_to_wait() {
        for row in TABLE {
            let fault = row.fault.row();
            let helps = row.after != After::Keep || matches!(&row.code[..2], "53" | "55" | "57");
            if helps && row.fault != Fault::Internal {
                assert_eq!((fault.http, fault.retry), (503, Retry::Backoff), "{}", row.code);
            }
        }
    }

    #[test]
    fn why_a_connection_ended_is_told_from_that_it_did() {
        let ended = |text: &str| {
            let error = Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(text.to_owned()));
            of(&error).map(|row| row.code)
        };
        assert_eq!(
            ended("terminating connection due to administrator command"),
            Some("57P01")
        );
        assert_eq!(ended("something new"), Some("08006"));
    }
}

//! How PostgreSQL's errors are handled: one table from SQLSTATE to the fault, to whether the
//! transaction is repeated, and to whether the connection is kept.
//!
//! diesel passes on the kind of an error and its primary text, but not its SQLSTATE. So each row contains words of that text, as in
//! PostgreSQL's source. Sessions ask for messages in English (`super::session`), and `tests/it/pg_trouble` provokes the errors that it can
//! and compares the words with the SQLSTATE that the server sends. An error without a row is a defect of this server ([`Fault::Internal`]).

use crate::error::{Failure, Fault};
use diesel::result::{DatabaseErrorKind, Error};

/// What happens to a transaction and its connection after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing: the connection is used further.
    Keep,
    /// The transaction was rolled back because of a conflict with another one. It is repeated at once, at most five times.
    Repeat,
    /// The connection is closed: it has ended, or a new one may reach a server that works.
    Close,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlStateRow {
    /// The SQLSTATE.
    pub code: &'static str,
    /// PostgreSQL's name for it.
    pub name: &'static str,
    /// The row applies when the primary text contains one of these.
    pub words: &'static [&'static str],
    /// The fault that the caller gets.
    pub fault: Fault,
    /// What happens next.
    pub after: After,
}

const fn row(
    code: &'static str,
    name: &'static str,
    fault: Fault,
    after: After,
    words: &'static [&'static str],
) -> SqlStateRow {
    SqlStateRow {
        code,
        name,
        words,
        fault,
        after,
    }
}

/// The table, ordered by code. Source: PostgreSQL, appendix A "PostgreSQL Error Codes", and the texts in its source.
#[rustfmt::skip]
pub const TABLE: &[SqlStateRow] = {
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

/// Returns the row for an error text, if there is one.
pub fn of_text(text: &str) -> Option<&'static SqlStateRow> {
    TABLE
        .iter()
        .find(|row| row.words.iter().any(|words| text.contains(words)))
}

/// Returns the row for an error, if there is one. The kind of the error takes precedence over its words; only for a closed connection do
/// the words decide, because they say why it was closed.
pub fn of(error: &Error) -> Option<&'static SqlStateRow> {
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

fn of_failure(failure: &Failure) -> Option<&'static SqlStateRow> {
    failure
        .cause()
        .and_then(|cause| cause.downcast_ref::<Error>())
        .and_then(of)
}

/// Whether the failed transaction may be repeated at once.
pub fn is_repeated(failure: &Failure) -> bool {
    of_failure(failure).is_some_and(|row| row.after == After::Repeat)
}

/// Whether the connection must not be used any more after this failure.
pub(super) fn spoils(failure: &Failure) -> bool {
    of_failure(failure).is_some_and(|row| row.after == After::Close)
}

/// Whether the connection had already been closed before this call.
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

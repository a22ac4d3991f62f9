//! One connection, to either database.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum Db {
    /// PostgreSQL through libpq.
    Pg(PgConnection),
    /// The bundled SQLite.
    Sqlite(SqliteConnection),
}

/// Runs a query of the query builder on the concrete connection. Through [`Db`], diesel would build the
/// SQL text at each call even though the statement is prepared.
macro_rules! on {
    ($db:expr, $conn:ident => $call:expr) => {
        match $db {
            $crate::store::Db::Pg($conn) => $call,
            $crate::store::Db::Sqlite($conn) => $call,
        }
    };
}
pub(super) use on;

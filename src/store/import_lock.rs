//! Lets one import at a time write to a PostgreSQL store; the others wait for their turn, without a limit.

use super::Db;
use crate::error::Failure;
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Bool, Text};
use std::time::{Duration, Instant};

/// The number of the advisory lock.
const KEY: i64 = 4_919_773;
/// How long one statement waits for the lock. Shorter than every timeout that statements have here.
const TURN: Duration = Duration::from_millis(2_000);

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

#[derive(QueryableByName)]
struct Limit {
    #[diesel(sql_type = Text)]
    limit: String,
}

/// Takes the lock until the transaction ends. Does nothing on SQLite.
///
/// # Errors
/// Those of the database.
pub(super) fn hold(db: &mut Db) -> Result<(), Failure> {
    if let Db::Sqlite(_) = db {
        return Ok(());
    }
    let query = format!("SELECT pg_try_advisory_xact_lock({KEY}) AS taken");
    if diesel::sql_query(query).get_result::<Taken>(db)?.taken {
        return Ok(());
    }
    let limit = diesel::sql_query("SELECT current_setting('lock_timeout') AS \"limit\"")
        .get_result::<Limit>(db)?
        .limit;
    loop {
        let began = Instant::now();
        // In a savepoint: a wait that times out must not abort the import's transaction.
        let waited = db.transaction::<_, Error, _>(|db| {
            db.batch_execute(&format!(
                "SET LOCAL lock_timeout = '{}ms'; SELECT pg_advisory_xact_lock({KEY})",
                TURN.as_millis()
            ))
        });
        match waited {
            // The wait of one statement timed out: wait again. Any other error ends the import.
            Err(Error::DatabaseError(DatabaseErrorKind::Unknown, _)) if began.elapsed() >= TURN => {}
            Err(error) => return Err(error.into()),
            Ok(()) => {
                return Ok(db.batch_execute(&format!("SET LOCAL lock_timeout = '{limit}'"))?);
            }
        }
    }
}

//! Tests whether a PostgreSQL session belongs to this process alone. The store needs that: its timeouts and durability are session
//! settings, its prepared statements have names, and one lock belongs to the session.
//!
//! A pooler in session mode is fine. A pooler in transaction mode gives each transaction any free session: settings then leak to other
//! clients, and nothing set in a session can be relied on. Such a pooler is refused (`docs/adr/0011-a-session-of-our-own.md`).

use super::connection::Db;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// How often both connections are asked.
const ROUNDS: usize = 2;

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    session: String,
}

/// Opens a connection whose session belongs to it alone.
///
/// Opens two connections and asks both in turn which session serves them, inside and outside a transaction. In
/// transaction mode a free session goes to whoever asks next, so either both connections see the same session or one of
/// them sees two. Neither can happen when each has a session of its own.
///
/// # Errors
/// [`Fault::StoreUnfit`] behind a pooler in transaction or statement mode; [`Fault::StoreUnavailable`] when the database does not answer.
pub(super) fn own_session(url: &str) -> Result<Db, Failure> {
    let mut first = connected(url)?;
    if let Err(failure) = begin(&mut first) {
        return Err(if ends_at_begin(url) {
            shared().because(failure)
        } else {
            failure
        });
    }
    end(&mut first)?;
    let mut second = connected(url)?;
    match are_apart(&mut first, &mut second)? {
        true => {
            super::session::forget_statements(&mut first)?;
            Ok(Db::Pg(first))
        }
        false => Err(shared()),
    }
}

/// Whether two connections each have a session of their own.
///
/// # Errors
/// Those of the database.
pub(super) fn are_apart(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, Failure> {
    let at_first = asked(first)?;
    for _ in 0..ROUNDS {
        begin(second)?;
        let at_second = session(second)?;
        if at_second == at_first || asked(first)? != at_first {
            return Ok(false);
        }
        end(second)?;
        if asked(second)? != at_second {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns the session that serves one transaction of this connection.
fn asked(pg: &mut PgConnection) -> Result<String, Failure> {
    begin(pg)?;
    let found = session(pg)?;
    end(pg)?;
    Ok(found)
}

/// Identifies a session by process number and start time, since two servers behind one name could use the same process number.
fn session(pg: &mut PgConnection) -> Result<String, Failure> {
    let query = "SELECT pid || ' ' || COALESCE(backend_start::text, '') AS session FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    Ok(diesel::sql_query(query).get_result::<Session>(pg)?.session)
}

fn connected(url: &str) -> Result<PgConnection, Failure> {
    PgConnection::establish(&super::session::with_deadlines(url)).map_err(super::failure::not_opened)
}

/// Whether single statements are answered but BEGIN closes the connection, as in statement mode.
pub(super) fn ends_at_begin(url: &str) -> bool {
    let Ok(mut pg) = connected(url) else { return false };
    pg.batch_execute("SELECT 1").is_ok() && begin(&mut pg).is_err()
}

/// Sent as plain statements and not through diesel, which would first try to roll back on a connection that ends in the middle.
fn begin(pg: &mut PgConnection) -> Result<(), Failure> {
    Ok(pg.batch_execute("BEGIN")?)
}

fn end(pg: &mut PgConnection) -> Result<(), Failure> {
    Ok(pg.batch_execute("COMMIT")?)
}

fn shared() -> Failure {
    Failure::new(Fault::StoreUnfit).at("store.url").remedy(
        "There is a connection pooler in transaction or statement mode in front of this database. Set its pool_mode to session, or connect to PostgreSQL directly.",
    )
}

//! Whether a session of PostgreSQL is ours alone, as the store needs it: its limits and its durability are settings of the session,
//! its statements have names, and one lock is the session's.
//!
//! A pooler in session mode keeps that. One in transaction mode gives each transaction whatever session is free: settings then leak to
//! other clients, and what was promised of one session holds for none. It is refused (`docs/adr/0011-a-session-of-our-own.md`).

use super::db::Db;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// Times that both connections are asked.
const ROUNDS: usize = 2;

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Text)]
    session: String,
}

/// A connection whose session is its own.
///
/// Two connections are opened, and asked in turn which session serves them: while one is in a transaction, and while it is not. In
/// transaction mode a session that was given back goes to whoever asks next, so that either both see the same one, or one of them
/// sees two; on sessions of their own neither can happen.
///
/// # Errors
/// [`Fault::StoreUnfit`] behind a pooler in transaction or statement mode; [`Fault::StoreUnavailable`] when nothing answers.
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
    let at_first = asked(&mut first)?;
    let mut second = connected(url)?;
    for _ in 0..ROUNDS {
        begin(&mut second)?;
        let at_second = session(&mut second)?;
        if at_second == at_first || asked(&mut first)? != at_first {
            return Err(shared());
        }
        end(&mut second)?;
        if asked(&mut second)? != at_second {
            return Err(shared());
        }
    }
    Ok(Db::Pg(first))
}

/// The session that serves one transaction of this connection.
fn asked(pg: &mut PgConnection) -> Result<String, Failure> {
    begin(pg)?;
    let found = session(pg)?;
    end(pg)?;
    Ok(found)
}

/// Process and start, since two servers behind one name could have the same process number.
fn session(pg: &mut PgConnection) -> Result<String, Failure> {
    let query = "SELECT pid || ' ' || COALESCE(backend_start::text, '') AS session FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    Ok(diesel::sql_query(query).get_result::<Session>(pg)?.session)
}

fn connected(url: &str) -> Result<PgConnection, Failure> {
    PgConnection::establish(&super::session::with_deadlines(url)).map_err(super::unreachable)
}

/// Whether single statements are answered and a transaction ends the connection, as in statement mode.
fn ends_at_begin(url: &str) -> bool {
    let Ok(mut pg) = connected(url) else { return false };
    pg.batch_execute("SELECT 1").is_ok() && begin(&mut pg).is_err()
}

/// By hand: a connection that ends in the middle of this must not be rolled back first.
fn begin(pg: &mut PgConnection) -> Result<(), Failure> {
    Ok(pg.batch_execute("BEGIN")?)
}

fn end(pg: &mut PgConnection) -> Result<(), Failure> {
    Ok(pg.batch_execute("COMMIT")?)
}

fn shared() -> Failure {
    Failure::new(Fault::StoreUnfit).at("store.url").remedy(
        "A connection pooler in transaction or statement mode stands before this database. Set pool_mode = session for it, or connect to PostgreSQL itself.",
    )
}

//! Lets one process at a time change the schema of a PostgreSQL store or prepare its contents. The
//! others wait as long as that takes, and report that they wait.
//!
//! The lock belongs to the database session, so it ends with the process that holds it, even after a crash.

use super::tell::Tell;
use crate::error::Failure;
use crate::store::connection::Db;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Integer, Text};
use std::time::{Duration, Instant};

/// The number of the advisory lock; locks of other programs on the same database have other numbers.
const KEY: i64 = 4_919_772;
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Time between two reports while waiting.
const BEAT: Duration = Duration::from_secs(5);

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = Bool)]
    taken: bool,
}

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = Integer)]
    pid: i32,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    application: String,
    #[diesel(sql_type = Text)]
    address: String,
}

/// Takes the lock, and waits while another session has it. The wait is not limited: the lock ends with the process that holds it.
///
/// It tries repeatedly instead of waiting in one statement, because a timeout of the database could end such a statement.
///
/// # Errors
/// Those of the database.
pub(in crate::store) fn hold(db: &mut Db, tell: Tell<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let mut told: Option<Instant> = None;
    while !taken(db)? {
        if told.is_none_or(|at| at.elapsed() >= BEAT) {
            told = Some(Instant::now());
            let (who, seconds) = (holder(db)?, began.elapsed().as_secs());
            tell(&format!(
                "waiting for {who}, which is migrating the store: {seconds} s so far"
            ));
        }
        std::thread::sleep(PAUSE);
    }
    if told.is_some() {
        tell(&format!("waited {} s; going on", began.elapsed().as_secs()));
    }
    Ok(())
}

/// Releases the lock.
///
/// # Errors
/// Those of the database.
pub(in crate::store) fn release(db: &mut Db) -> Result<(), Failure> {
    diesel::sql_query(format!("SELECT pg_advisory_unlock({KEY}) AS taken")).get_result::<Taken>(db)?;
    Ok(())
}

fn taken(db: &mut Db) -> Result<bool, Failure> {
    let query = format!("SELECT pg_try_advisory_lock({KEY}) AS taken");
    Ok(diesel::sql_query(query).get_result::<Taken>(db)?.taken)
}

/// Describes who has the lock, as far as this role may see it.
fn holder(db: &mut Db) -> Result<String, Failure> {
    let query = format!(
        "SELECT l.pid, COALESCE(a.usename::text, '') AS role, COALESCE(a.application_name, '') AS application, \
         COALESCE(host(a.client_addr), '') AS address FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = {KEY} AND l.objsubid = 1 \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    let found = diesel::sql_query(query).load::<Holder>(db)?;
    Ok(found.first().map_or_else(
        || "another process".to_owned(),
        |holder| {
            let mut text = format!("PostgreSQL process {}", holder.pid);
            for (name, value) in [
                ("role", &holder.role),
                ("program", &holder.application),
                ("from", &holder.address),
            ] {
                if !value.is_empty() {
                    text.push_str(&format!(", {name} {value}"));
                }
            }
            text
        },
    ))
}

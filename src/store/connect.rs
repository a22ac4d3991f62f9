//! Opens connections to either database, with the settings that every connection has.

use super::url::StoreUrl;
use super::work::StoreCounts;
use super::{Db, session};
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::r2d2::ManageConnection;
use diesel::sqlite::SqliteConnection;
use std::sync::Arc;

/// The settings under which SQLite keeps every acknowledged write; [`durability`](super::durability) reads them back.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
    PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF; \
    PRAGMA cache_size=-16000; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=4000; PRAGMA journal_size_limit=67108864;";

/// Opens connections.
pub(super) struct Manager;

impl Manager {
    pub(super) fn open(url: &StoreUrl) -> Result<Db, diesel::ConnectionError> {
        match url {
            StoreUrl::Sqlite(path) => {
                let mut connection = SqliteConnection::establish(&path.to_string_lossy())?;
                connection
                    .batch_execute(SQLITE_PRAGMAS)
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Db::Sqlite(connection))
            }
            StoreUrl::Postgres(url) => {
                let mut connection = PgConnection::establish(&session::with_deadlines(url))?;
                connection
                    .batch_execute(
                        "SET statement_timeout='30s'; SET lock_timeout='3s'; \
                         SET idle_in_transaction_session_timeout='10s'; SET idle_session_timeout=0; \
                         SET TIME ZONE 'UTC'; SET client_min_messages=warning; SET jit=off;",
                    )
                    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
                Ok(Db::Pg(connection))
            }
        }
    }
}

/// Opens and checks the read connections of SQLite; the statements on them are counted.
pub(super) struct Readers(pub(super) StoreUrl, pub(super) Arc<StoreCounts>);

impl ManageConnection for Readers {
    type Connection = Db;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<Db, Self::Error> {
        let mut connection = Manager::open(&self.0).map_err(diesel::r2d2::Error::ConnectionError)?;
        connection
            .batch_execute("PRAGMA query_only=ON; PRAGMA cache_size=-8000")
            .map_err(diesel::r2d2::Error::QueryError)?;
        let work = Arc::clone(&self.1);
        connection.set_instrumentation(move |event: diesel::connection::InstrumentationEvent<'_>| work.note(&event));
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Db) -> Result<(), Self::Error> {
        connection
            .batch_execute("SELECT 1")
            .map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, connection: &mut Db) -> bool {
        std::thread::panicking() || diesel::r2d2::R2D2Connection::is_broken(connection)
    }
}

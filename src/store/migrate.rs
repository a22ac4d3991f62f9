//! Migrations of both databases, built into the program. Forward only in operation; `down` exists for tests.

use super::db::Db;
use crate::error::{Failure, Fault};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Brings the schema up to this program's version. Several processes may do it at once.
///
/// # Errors
/// [`Fault::StoreUnavailable`] when a migration fails; nothing of it is kept.
pub fn up(db: &mut Db) -> Result<(), Failure> {
    use diesel::connection::SimpleConnection as _;
    if let Db::Pg(pg) = db {
        pg.batch_execute("SELECT pg_advisory_lock(4919772)")?;
    }
    let source = if matches!(db, Db::Pg(_)) { POSTGRES } else { SQLITE };
    let done = db
        .run_pending_migrations(source)
        .map(|_| ())
        .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error));
    if let Db::Pg(pg) = db {
        pg.batch_execute("SELECT pg_advisory_unlock(4919772)")?;
    }
    done
}

/// Takes every migration back, for the up/down/up test.
///
/// # Errors
/// [`Fault::StoreUnavailable`] when one fails.
pub fn down(db: &mut Db) -> Result<(), Failure> {
    let source = if matches!(db, Db::Pg(_)) { POSTGRES } else { SQLITE };
    db.revert_all_migrations(source)
        .map(|_| ())
        .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))
}

//! Migrations of both databases, compiled into the program. A running system only migrates forward; `down` exists for tests.
//!
//! Each migration is one transaction together with its version row, so half a migration is never visible. Work on every row of a large
//! table is done before the migration, in pieces (`pieces`), and so are indexes of large tables (`indexes`). Progress reports contain times and row counts, never values.

mod indexes;
mod lock;
mod pieces;
mod tell;

pub(super) use lock::{hold, release};
pub use tell::Tell;
use tell::watched;

use super::connection::Db;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, SimpleConnection as _};
use diesel::migration::{Migration, MigrationSource as _};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::collections::BTreeSet;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The application id in a SQLite header, which marks the file as Causeway's: `CSWY`.
pub(super) const APPLICATION_ID: i64 = 0x4353_5759;

type Backend = <Db as Connection>::Backend;

/// A migration that is compiled into this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMigration {
    /// Its number, such as `00000000000008`.
    pub version: String,
    /// Number and name, such as `00000000000008_authorizations_end`.
    pub name: String,
}

/// Which migrations a schema has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationState {
    /// Versions of the migrations that ran, known or unknown to this program.
    pub applied: Vec<String>,
    /// The migrations of this program that have not run, in their order.
    pub pending: Vec<KnownMigration>,
    /// Versions of migrations that ran but are unknown to this program: a newer program ran them.
    pub unknown: Vec<String>,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

fn source(db: &Db) -> EmbeddedMigrations {
    match db {
        Db::Pg(_) => POSTGRES,
        Db::Sqlite(_) => SQLITE,
    }
}

fn all(source: &EmbeddedMigrations) -> Result<Vec<Box<dyn Migration<Backend>>>, Failure> {
    let found = source.migrations();
    let mut found: Vec<Box<dyn Migration<Backend>>> =
        found.map_err(|error| Failure::new(Fault::Internal).because(error))?;
    found.sort_by_key(|one| one.name().version().to_string());
    Ok(found)
}

fn known(source: &EmbeddedMigrations) -> Result<Vec<KnownMigration>, Failure> {
    let all = all(source)?;
    let known = all.iter().map(|one| KnownMigration {
        version: one.name().version().to_string(),
        name: one.name().to_string(),
    });
    Ok(known.collect())
}

/// Returns the state of a SQLite file that does not exist yet.
///
/// # Errors
/// None is known.
pub(super) fn nothing() -> Result<MigrationState, Failure> {
    Ok(MigrationState {
        pending: known(&SQLITE)?,
        ..MigrationState::default()
    })
}

/// Returns which migrations the schema of `db` has. It only reads.
///
/// # Errors
/// Those of the database.
pub fn state(db: &mut Db) -> Result<MigrationState, Failure> {
    let known = known(&source(db))?;
    let there = match db {
        Db::Pg(_) => "SELECT COUNT(to_regclass('__diesel_schema_migrations')) AS n",
        Db::Sqlite(_) => "SELECT COUNT(*) AS n FROM sqlite_master WHERE name = '__diesel_schema_migrations'",
    };
    let applied: Vec<String> = if diesel::sql_query(there).get_result::<Count>(db)?.n == 0 {
        Vec::new()
    } else {
        diesel::sql_query("SELECT CAST(version AS TEXT) AS version FROM __diesel_schema_migrations ORDER BY version")
            .load::<Version>(db)?
            .into_iter()
            .map(|row| row.version)
            .collect()
    };
    let has: BTreeSet<&str> = applied.iter().map(String::as_str).collect();
    let knows: BTreeSet<&str> = known.iter().map(|one| one.version.as_str()).collect();
    let unknown = applied
        .iter()
        .filter(|one| !knows.contains(one.as_str()))
        .cloned()
        .collect();
    let pending = known
        .iter()
        .filter(|one| !has.contains(one.version.as_str()))
        .cloned()
        .collect();
    Ok(MigrationState {
        pending,
        unknown,
        applied,
    })
}

/// Refuses a schema that a newer program has migrated.
///
/// # Errors
/// [`Fault::SchemaNewer`], with the first unknown version.
pub fn demand_known(state: &MigrationState) -> Result<(), Failure> {
    let Some(first) = state.unknown.first() else {
        return Ok(());
    };
    Err(Failure::new(Fault::SchemaNewer).at("store.url").remedy(format!(
        "The store has migration {first}, which this version {} does not know: run the version that made it, or a newer one.",
        env!("CARGO_PKG_VERSION")
    )))
}

/// Migrates the schema to this program's version, without a lock and without reports. For tests.
///
/// # Errors
/// As [`up_telling`].
pub fn up(db: &mut Db) -> Result<(), Failure> {
    up_telling(db, &mut |_| {}).map(drop)
}

/// Migrates the schema to this program's version. Returns the names of the migrations that it ran.
///
/// # Errors
/// [`Fault::SchemaNewer`]; [`Fault::StoreUnavailable`] when a migration fails: it is rolled back, and the ones before it stay.
pub fn up_telling(db: &mut Db, tell: Tell<'_>) -> Result<Vec<String>, Failure> {
    // Creates the table of versions if it does not exist.
    MigrationHarness::<Backend>::applied_migrations(db)
        .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
    let state = state(db)?;
    demand_known(&state)?;
    let count = state.pending.len();
    let fresh = state.applied.is_empty();
    let mut done = Vec::with_capacity(count);
    for (place, migration) in state.pending.into_iter().enumerate() {
        let called = format!("migration {} ({} of {count})", migration.name, place + 1);
        if !fresh {
            tell(&called);
        }
        pieces::prepare(db, &migration.version, pieces::PIECE, tell)?;
        indexes::build(db, &migration.version, pieces::PIECE, tell)?;
        run(db, &migration, &called, tell)?;
        done.push(migration.name);
    }
    if let Db::Sqlite(_) = db {
        mark(db)?;
    }
    Ok(done)
}

/// Runs one migration, and reports that it is still running.
fn run(db: &mut Db, migration: &KnownMigration, called: &str, tell: Tell<'_>) -> Result<(), Failure> {
    watched(called, tell, || run_one(db, &migration.version))
}

fn run_one(db: &mut Db, version: &str) -> Result<(), Failure> {
    let found = all(&source(db))?
        .into_iter()
        .find(|one| one.name().version().to_string() == version);
    let Some(migration) = found else { return Ok(()) };
    let name = migration.name().to_string();
    db.run_migration(&*migration).map(drop).map_err(|error| {
        Failure::new(Fault::StoreUnavailable)
            .remedy("A migration failed and was rolled back: correct what the cause names, and start again.")
            .because(format!("migration {name}: {error}"))
    })
}

/// Writes the application id and the newest migration into the header of a SQLite file, unless they are there already.
fn mark(db: &mut Db) -> Result<(), Failure> {
    let all = all(&source(db))?;
    let newest = all.last().map(|one| one.name().version().to_string());
    let newest: i64 = newest
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| Failure::new(Fault::Internal).because("the migrations of this program have no version"))?;
    for (field, wanted) in [("application_id", APPLICATION_ID), ("user_version", newest)] {
        let query = format!("SELECT {field} AS n FROM pragma_{field}");
        if diesel::sql_query(query).get_result::<Count>(db)?.n != wanted {
            db.batch_execute(&format!("PRAGMA {field} = {wanted}"))?;
        }
    }
    Ok(())
}

/// Reverts every migration, for the up/down/up test.
///
/// # Errors
/// [`Fault::StoreUnavailable`] when one fails.
pub fn down(db: &mut Db) -> Result<(), Failure> {
    db.revert_all_migrations(source(db))
        .map(|_| ())
        .map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))
}

//! Compares the schema of a store with this program's migrations, and migrates it for the command `causeway migrate`.
//!
//! Nothing is served here: a role that owns the tables can run this command, and the server does not need such a role.

use super::connect::Manager;
use super::migrate::{self, MigrationState, Tell};
use super::rights::{RoleGrant, grants};
use super::set_up::{Looked, StoreNeed};
use super::{Db, StoreUrl, file};
use crate::error::{Failure, Fault};

/// The state of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaStanding {
    /// Its name, on PostgreSQL.
    pub schema: Option<String>,
    /// Which migrations ran, and which are pending.
    pub state: MigrationState,
    /// Names of the migrations that ran just now.
    pub done: Vec<String>,
}

/// Examines the store and changes nothing: no folder, file or schema is made.
///
/// # Errors
/// Those of [`super::Store::open`] that say that this cannot be a store.
pub fn look(url: &StoreUrl, schema: Option<&str>) -> Result<SchemaStanding, Failure> {
    match url {
        StoreUrl::Postgres(address) => {
            let looked = Looked::at(address, schema)?;
            looked.demand_whole()?;
            Ok(of(looked, Vec::new()))
        }
        StoreUrl::Sqlite(path) if path.exists() => {
            let state = migrate::state(&mut file::look(path)?)?;
            migrate::demand_known(&state)?;
            Ok(SchemaStanding {
                state,
                ..SchemaStanding::default()
            })
        }
        StoreUrl::Sqlite(_) => Ok(SchemaStanding {
            state: migrate::nothing()?,
            ..SchemaStanding::default()
        }),
    }
}

/// Reads from an existing store whose schema has this program's version. Changes nothing.
///
/// # Errors
/// As [`look`]; those of `work`.
pub fn read<T>(
    url: &StoreUrl,
    schema: Option<&str>,
    work: impl FnOnce(&mut Db) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match url {
        StoreUrl::Postgres(address) => Looked::at(address, schema)?.read(work),
        StoreUrl::Sqlite(path) => work(&mut file::look(path)?),
    }
}

/// Migrates the schema, and makes the store when there is none.
///
/// # Errors
/// As [`look`]; [`Fault::SchemaBehind`] when the role may not migrate; those of the migrations.
pub fn bring_up(url: &StoreUrl, schema: Option<&str>, tell: Tell<'_>) -> Result<SchemaStanding, Failure> {
    match url {
        StoreUrl::Postgres(address) => {
            let mut looked = Looked::at(address, schema)?;
            let mut done = Vec::new();
            if !looked.state.pending.is_empty() {
                done = looked.migrate(tell)?;
            }
            looked.demand_whole()?;
            Ok(of(looked, done))
        }
        StoreUrl::Sqlite(path) => {
            let _lock = file::take(path, StoreNeed::Write)?;
            let mut db = Manager::open(url).map_err(super::failure::unreachable)?;
            let done = migrate::up_telling(&mut db, tell)?;
            Ok(SchemaStanding {
                state: migrate::state(&mut db)?,
                done,
                ..SchemaStanding::default()
            })
        }
    }
}

/// Returns the statements that grant `role` its rights in the store at `url`.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for SQLite, which has no roles; as [`look`].
pub fn grants_for(url: &StoreUrl, schema: Option<&str>, grant: RoleGrant, role: &str) -> Result<Vec<String>, Failure> {
    Ok(grants(grant, &Looked::at(address(url)?, schema)?.schema, role))
}

/// Grants `role` its rights.
///
/// # Errors
/// As [`grants_for`]; those of the database.
pub fn grant(url: &StoreUrl, schema: Option<&str>, grant: RoleGrant, role: &str) -> Result<(), Failure> {
    let mut looked = Looked::at(address(url)?, schema)?;
    looked.demand_writes()?;
    looked.demand_owner(role)?;
    let unfit = |what: String| Failure::new(Fault::StoreUnfit).at("store.url").remedy(what);
    let statements = grants(grant, &looked.schema, role);
    looked.execute(&statements).map_err(|failure| {
        let said = failure.cause().map_or_else(String::new, |cause| format!(" ({cause})"));
        unfit(format!(
            "The rights could not be granted{said}: see that role {role} is there."
        ))
        .because(failure)
    })?;
    if looked.may_change_the_ledger(role)? {
        return Err(unfit(format!(
            "Role {role} has its rights, and more: it may still change or delete entries of {}.ledger_entry. It is a superuser, or has that \
             by a grant to PUBLIC or to a role that it is a member of. Take that away, and run this again.",
            looked.schema
        )));
    }
    Ok(())
}

fn address(url: &StoreUrl) -> Result<&str, Failure> {
    match url {
        StoreUrl::Postgres(address) => Ok(address),
        StoreUrl::Sqlite(_) => Err(Failure::new(Fault::ParameterInvalid)
            .remedy("Roles are PostgreSQL's; a SQLite store belongs to the user of its file.")),
    }
}

fn of(looked: Looked, done: Vec<String>) -> SchemaStanding {
    SchemaStanding {
        schema: Some(looked.schema),
        state: looked.state,
        done,
    }
}

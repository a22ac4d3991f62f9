//! How the schema of a store stands to this program, and changing that by a command of its own: `causeway migrate`.
//!
//! Nothing is served from here, so that a role which owns the tables can do this and the server needs no such role.

use super::connect::Manager;
use super::migrate::{self, State, Tell};
use super::rights::{Grant, grants};
use super::set_up::{Looked, Need};
use super::{StoreUrl, file};
use crate::error::{Failure, Fault};

/// How a schema stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Where it is, on PostgreSQL.
    pub schema: Option<String>,
    /// What ran and what is to be run.
    pub state: State,
    /// Names of the migrations that ran now.
    pub done: Vec<String>,
}

/// Looks, and changes nothing: neither folder nor file nor schema is made.
///
/// # Errors
/// Those of [`super::Store::open`] that say that this cannot be a store.
pub fn look(url: &StoreUrl, schema: Option<&str>) -> Result<Standing, Failure> {
    match url {
        StoreUrl::Postgres(address) => {
            let looked = Looked::at(address, schema)?;
            looked.demand_whole()?;
            Ok(of(looked, Vec::new()))
        }
        StoreUrl::Sqlite(path) if path.exists() => {
            let state = migrate::state(&mut file::look(path)?)?;
            migrate::demand_known(&state)?;
            Ok(Standing {
                state,
                ..Standing::default()
            })
        }
        StoreUrl::Sqlite(_) => Ok(Standing {
            state: migrate::nothing()?,
            ..Standing::default()
        }),
    }
}

/// Brings the schema up, and makes the store where there is none.
///
/// # Errors
/// As [`look`]; [`Fault::SchemaBehind`] for a role that may not; those of the migrations.
pub fn bring_up(url: &StoreUrl, schema: Option<&str>, tell: Tell<'_>) -> Result<Standing, Failure> {
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
            let _lock = file::take(path, Need::Write)?;
            let mut db = Manager::open(url).map_err(super::unreachable)?;
            let done = migrate::up_telling(&mut db, tell)?;
            Ok(Standing {
                state: migrate::state(&mut db)?,
                done,
                ..Standing::default()
            })
        }
    }
}

/// The statements that grant `role` what it needs in the store at `url`.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for SQLite, which knows no roles; as [`look`].
pub fn grants_for(url: &StoreUrl, schema: Option<&str>, grant: Grant, role: &str) -> Result<Vec<String>, Failure> {
    Ok(grants(grant, &Looked::at(address(url)?, schema)?.schema, role))
}

/// Grants `role` what it needs.
///
/// # Errors
/// As [`grants_for`]; those of the database.
pub fn grant(url: &StoreUrl, schema: Option<&str>, grant: Grant, role: &str) -> Result<(), Failure> {
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

fn of(looked: Looked, done: Vec<String>) -> Standing {
    Standing {
        schema: Some(looked.schema),
        state: looked.state,
        done,
    }
}

//! What a PostgreSQL server reports about itself, and in which of its schemas the store is.

use super::Db;
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};

/// What a PostgreSQL server reports about itself and this session.
#[derive(QueryableByName)]
pub(super) struct DatabaseServer {
    #[diesel(sql_type = Text)]
    pub encoding: String,
    #[diesel(sql_type = Bool)]
    pub standby: bool,
    #[diesel(sql_type = Bool)]
    pub read_only: bool,
    #[diesel(sql_type = Text)]
    pub role: String,
    #[diesel(sql_type = Text)]
    pub path: String,
    #[diesel(sql_type = Text)]
    pub language: String,
    #[diesel(sql_type = Nullable<Text>)]
    pub current: Option<String>,
}

impl DatabaseServer {
    /// Asks the server.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of(db: &mut Db) -> Result<DatabaseServer, Failure> {
        Ok(diesel::sql_query(
            "SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby, \
             current_setting('transaction_read_only') = 'on' AS read_only, current_user::text AS role, \
             current_setting('search_path') AS path, current_setting('lc_messages') AS language, \
             current_schema()::text AS current",
        )
        .get_result(db)?)
    }
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Bool)]
    in_path: bool,
}

/// The failure for a database that cannot be a store; `what` says why and what to do.
pub(super) fn unfit(what: String) -> Failure {
    Failure::new(Fault::StoreUnfit).at("store.url").remedy(what)
}

/// Whether the database has a schema of this name.
///
/// # Errors
/// Those of the database.
pub(super) fn has_schema(db: &mut Db, name: &str) -> Result<bool, Failure> {
    let name = name.replace('\'', "''");
    let query = format!("SELECT nspname::text AS schema, TRUE AS in_path FROM pg_namespace WHERE nspname = '{name}'");
    Ok(!diesel::sql_query(query).load::<Place>(db)?.is_empty())
}

/// Returns the schema of the store, and whether the store exists in it.
///
/// When a store exists outside the search path, no second store is made by accident: the schema must then be named in `store.schema`.
pub(super) fn choose(db: &mut Db, server: &DatabaseServer, named: Option<&str>) -> Result<(String, bool), Failure> {
    let stores = diesel::sql_query(
        "SELECT n.nspname::text AS schema, COALESCE(n.nspname = ANY (current_schemas(false)), FALSE) AS in_path \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = 'ledger_entry' AND c.relkind IN ('r', 'p') AND EXISTS (SELECT 1 FROM pg_class m \
         WHERE m.relnamespace = n.oid AND m.relname = '__diesel_schema_migrations') \
         ORDER BY array_position(current_schemas(false), n.nspname) NULLS LAST, n.nspname",
    )
    .load::<Place>(db)?;
    if let Some(named) = named {
        return Ok((named.to_owned(), stores.iter().any(|store| store.schema == named)));
    }
    if let Some(store) = stores.iter().find(|store| store.in_path) {
        return Ok((store.schema.clone(), true));
    }
    if !stores.is_empty() {
        let names: Vec<&str> = stores.iter().map(|store| store.schema.as_str()).collect();
        let names = names.join(", ");
        return Err(unfit(format!(
            "The store of this database is in schema {names}, and the search_path of role {} ({}) does not lead there. \
             Set store.schema to {names}, or to another name to make a second store.",
            server.role, server.path
        )));
    }
    let current = server.current.clone().ok_or_else(|| {
        unfit(format!(
            "The search_path of role {} ({}) names no schema that is there: set store.schema.",
            server.role, server.path
        ))
    })?;
    Ok((current, false))
}

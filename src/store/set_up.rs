//! Opening a PostgreSQL store, before anything is served from it: which database this is, in which schema the store is, what this role
//! may do there, and bringing the schema up. What cannot be a store is named as what it is.
//!
//! All of it runs on a connection of its own, without the limits of time that the pool's connections have.

use super::migrate::{self, State, Tell};
use super::pooler;
use super::rights::{Rights, changes_the_ledger, quoted};
use super::{Db, StoreUrl, session};
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Nullable, Text};
use std::time::Duration;

/// What is set for the session: no limit of ours, and none of the role or the database, ends a migration or the wait for one.
const UNLIMITED: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET idle_session_timeout = 0; SET TIME ZONE 'UTC'; SET client_min_messages = warning; SET application_name = 'causeway migrate';";

/// Longest time to look at a database, all its hosts included. A balancer may take a connection behind which nothing answers.
const LOOK: Duration = Duration::from_secs(30);

/// PostgreSQL cuts longer names off.
const NAME_BYTES: usize = 63;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Need {
    /// Reading and writing; where there is no store, one is made.
    #[default]
    Write,
    /// Reading. Nothing is made, and a store that takes no writes will do.
    Read,
}

/// Where a PostgreSQL store is, and what it takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Site {
    /// Its schema; none for SQLite.
    pub schema: Option<String>,
    /// Why it takes no writes, if it takes none.
    pub read_only: Option<String>,
}

impl Site {
    /// What a connection sets so that it looks into this schema and into no other. A schema of temporary tables comes last.
    pub fn search_path(&self) -> Option<String> {
        let schema = self.schema.as_deref()?;
        Some(format!("SET search_path TO {}, pg_temp", quoted(schema)))
    }
}

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Bool)]
    standby: bool,
    #[diesel(sql_type = Bool)]
    read_only: bool,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Text)]
    path: String,
    #[diesel(sql_type = Text)]
    language: String,
    #[diesel(sql_type = Nullable<Text>)]
    current: Option<String>,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = Text)]
    schema: String,
    #[diesel(sql_type = Bool)]
    in_path: bool,
}

/// A PostgreSQL database that was looked at.
pub(super) struct Looked {
    db: Db,
    server: Server,
    /// The schema of the store, or where one would be made.
    pub schema: String,
    /// Whether the store is there.
    pub exists: bool,
    rights: Rights,
    pub state: State,
}

/// Opens the store at `url` for `need`: migrates where that is due and allowed.
///
/// # Errors
/// [`Fault::StoreUnfit`], [`Fault::StoreReadOnly`], [`Fault::SchemaBehind`], [`Fault::SchemaNewer`]: what is wrong with it;
/// [`Fault::InputUnreadable`] when there is no store and `need` makes none; those of the database.
pub(super) fn postgres(
    url: &StoreUrl,
    address: &str,
    schema: Option<&str>,
    need: Need,
    tell: Tell<'_>,
) -> Result<Site, Failure> {
    let mut looked = Looked::at(address, schema)?;
    if need == Need::Read && !looked.exists {
        return Err(no_store(&format!("{url}, schema {}", looked.schema)));
    }
    if need == Need::Write {
        looked.demand_writes()?;
        demand_english(&looked.server.language, &looked.server.role)?;
    }
    if !looked.state.pending.is_empty() {
        looked.migrate(tell)?;
    }
    looked.demand_whole()?;
    let read_only = looked.demand_rights(need)?;
    if need == Need::Write && looked.rights.changes_the_ledger() {
        tracing::warn!(
            role = looked.server.role,
            "this role may change or delete ledger entries; a role with the rights of `causeway migrate --grant` and no others only appends"
        );
    }
    Ok(Site {
        schema: Some(looked.schema),
        read_only,
    })
}

/// Where a command that only reads finds nothing.
pub(super) fn no_store(place: &str) -> Failure {
    Failure::new(Fault::InputUnreadable).at("store.url").remedy(format!(
        "There is no store at {place}, and a command that only reads makes none. Correct store.url (or DATABASE_URL), or make one with `causeway migrate`."
    ))
}

impl Looked {
    /// Looks at the database at `address`: whether it can hold a store, and what is in `schema`, or else where the search path leads.
    ///
    /// # Errors
    /// As [`postgres`]; [`Fault::StoreUnavailable`] when it does not answer within 30 seconds.
    pub fn at(address: &str, schema: Option<&str>) -> Result<Looked, Failure> {
        let (address, schema) = (address.to_owned(), schema.map(str::to_owned));
        let (done, look) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("store-look".into())
            .spawn(move || {
                let _ = done.send(Looked::now(&address, schema.as_deref()));
            })
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        look.recv_timeout(LOOK).unwrap_or_else(|_| {
            Err(Failure::new(Fault::StoreUnavailable)
                .at("store.url")
                .because("the database took the connection and did not answer"))
        })
    }

    fn now(address: &str, schema: Option<&str>) -> Result<Looked, Failure> {
        if let Some(name) = schema.filter(|name| name.len() > NAME_BYTES || name.starts_with("pg_")) {
            return Err(Failure::new(Fault::StoreUnfit).at("store.schema").remedy(format!(
                "PostgreSQL takes no schema of the name {name}: a name has at most {NAME_BYTES} bytes and does not begin with pg_."
            )));
        }
        let mut db = pooler::own_session(address)?;
        db.batch_execute(UNLIMITED)?;
        db.batch_execute(session::ENGLISH)?;
        let server = diesel::sql_query(
            "SELECT current_setting('server_encoding') AS encoding, pg_is_in_recovery() AS standby, \
             current_setting('transaction_read_only') = 'on' AS read_only, current_user::text AS role, \
             current_setting('search_path') AS path, current_setting('lc_messages') AS language, \
             current_schema()::text AS current",
        )
        .get_result::<Server>(&mut db)?;
        if server.encoding != "UTF8" {
            return Err(unfit(format!(
                "The database's encoding is {}; a store needs UTF8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
                server.encoding
            )));
        }
        let (schema, exists) = choose(&mut db, &server, schema)?;
        let rights = Rights::of(&mut db, &schema)?;
        let mut looked = Looked {
            db,
            server,
            schema,
            exists,
            rights,
            state: State::default(),
        };
        looked.read_state()?;
        Ok(looked)
    }

    /// Which migrations ran. From here on the connection looks into the schema of the store.
    fn read_state(&mut self) -> Result<(), Failure> {
        self.db
            .batch_execute(&format!("SET search_path TO {}, pg_temp", quoted(&self.schema)))?;
        if self.rights.has_versions() && !self.rights.may_look() {
            return Err(self.lacks("SELECT", &["__diesel_schema_migrations"]));
        }
        self.state = migrate::state(&mut self.db)?;
        let is_fresh = self.state.unknown.is_empty() && self.state.applied.is_empty();
        if !(self.exists || is_fresh) {
            return Err(unfit(format!(
                "Schema {} of the database belongs to another program, whose migrations it has: give the store a schema of its own with store.schema.",
                self.schema
            )));
        }
        if let (false, Some(table)) = (self.exists, self.rights.of_ours()) {
            return Err(unfit(format!(
                "Schema {} of the database has a table {table} that is no store's: give the store a schema of its own with store.schema.",
                self.schema
            )));
        }
        migrate::demand_known(&self.state)
    }

    /// Refuses a store in which a table is missing that its migrations made.
    ///
    /// # Errors
    /// [`Fault::StoreUnfit`], with the first such table.
    pub fn demand_whole(&self) -> Result<(), Failure> {
        match self.rights.missing().first() {
            Some(table) if self.exists && self.state.pending.is_empty() => Err(unfit(format!(
                "Table {table} is missing in schema {}, though the schema's migrations ran: restore the store from its backup.",
                self.schema
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a database that takes no writes.
    ///
    /// # Errors
    /// [`Fault::StoreReadOnly`].
    pub fn demand_writes(&self) -> Result<(), Failure> {
        match self.takes_no_writes() {
            Some(why) => Err(read_only(&why)),
            None => Ok(()),
        }
    }

    fn takes_no_writes(&self) -> Option<String> {
        if self.server.standby {
            return Some("the database is a standby, in recovery".to_owned());
        }
        let role = &self.server.role;
        (self.server.read_only)
            .then(|| format!("role {role} has read-only transactions in this database (default_transaction_read_only)"))
    }

    /// Brings the schema up, after every other process that does so. Gives what it ran.
    ///
    /// # Errors
    /// [`Fault::SchemaBehind`] when this role may not; those of the migrations.
    pub fn migrate(&mut self, tell: Tell<'_>) -> Result<Vec<String>, Failure> {
        let behind = |what: String| Failure::new(Fault::SchemaBehind).at("store.url").remedy(what);
        let next = self
            .state
            .pending
            .first()
            .map_or("", |one| one.name.as_str())
            .to_owned();
        if let Some(why) = self.takes_no_writes() {
            return Err(behind(format!(
                "The schema lacks migration {next} and takes no writes here ({why}): run `causeway migrate` where it does."
            )));
        }
        if !self.rights.may_migrate() {
            return Err(behind(format!(
                "Role {} may not change schema {}, which lacks migration {next}: run `causeway migrate` with the role that owns the tables.",
                self.server.role, self.schema
            )));
        }
        migrate::hold(&mut self.db, tell)?;
        let done = self.migrate_alone(tell);
        migrate::release(&mut self.db)?;
        let done = done?;
        self.exists = true;
        self.state = migrate::state(&mut self.db)?;
        self.rights = Rights::of(&mut self.db, &self.schema)?;
        Ok(done)
    }

    fn migrate_alone(&mut self, tell: Tell<'_>) -> Result<Vec<String>, Failure> {
        if !self.exists {
            let there = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&self.schema));
            // Only where it is not there: a role that may make tables in a schema need not be one that may make schemas.
            if !self.schema_exists()? {
                self.db.batch_execute(&there)?;
            }
        }
        migrate::up_telling(&mut self.db, tell)
    }

    fn schema_exists(&mut self) -> Result<bool, Failure> {
        let name = self.schema.replace('\'', "''");
        let query =
            format!("SELECT nspname::text AS schema, TRUE AS in_path FROM pg_namespace WHERE nspname = '{name}'");
        Ok(!diesel::sql_query(query).load::<Place>(&mut self.db)?.is_empty())
    }

    /// Refuses a role that lacks a right which `need` takes; gives the reason when it can read and no more.
    ///
    /// # Errors
    /// [`Fault::StoreUnfit`] naming tables; [`Fault::StoreReadOnly`] for a role that only reads, where writing is needed.
    fn demand_rights(&self, need: Need) -> Result<Option<String>, Failure> {
        let unreadable = self.rights.unreadable();
        if !unreadable.is_empty() {
            return Err(self.lacks("SELECT", &unreadable));
        }
        if let Some(why) = self.takes_no_writes() {
            return Ok(Some(why));
        }
        let unwritable = self.rights.unwritable();
        if unwritable.is_empty() {
            return Ok(None);
        }
        if self.rights.only_reads() {
            let why = format!("role {} may only read", self.server.role);
            return match need {
                Need::Read => Ok(Some(why)),
                Need::Write => Err(read_only(&why)),
            };
        }
        Err(self.lacks("INSERT, UPDATE and DELETE", &unwritable))
    }

    fn lacks(&self, right: &str, tables: &[&str]) -> Failure {
        let more = if tables.len() > 3 { " and others" } else { "" };
        let tables = tables.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let role = &self.server.role;
        unfit(format!(
            "Role {role} lacks {right} on {tables}{more} in schema {}: run `causeway migrate --grant {role}` with the role that owns the tables.",
            self.schema
        ))
    }

    /// Refuses a role that cannot grant rights on the tables: PostgreSQL itself only warns.
    ///
    /// # Errors
    /// [`Fault::StoreUnfit`].
    pub fn demand_owner(&self, grantee: &str) -> Result<(), Failure> {
        if !self.rights.may_migrate() {
            return Err(unfit(format!(
                "Role {} does not own the tables of schema {}, and only the owner grants rights on them.",
                self.server.role, self.schema
            )));
        }
        if grantee == self.server.role {
            return Err(unfit(format!(
                "Role {grantee} owns the tables: it has every right, and taking some away would only break what it does. \
                 Name the role that the server connects as."
            )));
        }
        Ok(())
    }

    /// Whether `role` may change or delete entries of the ledger, by whatever grant.
    ///
    /// # Errors
    /// Those of the database.
    pub fn may_change_the_ledger(&mut self, role: &str) -> Result<bool, Failure> {
        changes_the_ledger(&mut self.db, &self.schema, role)
    }

    /// Runs statements as one transaction, for grants.
    ///
    /// # Errors
    /// Those of the database.
    pub fn execute(&mut self, statements: &[String]) -> Result<(), Failure> {
        use diesel::connection::Connection as _;
        self.db
            .transaction::<_, Failure, _>(|db| Ok(db.batch_execute(&statements.join("\n"))?))
    }
}

/// Refuses a server whose errors cannot be told apart: they are told by their English words (`super::sqlstate`).
///
/// # Errors
/// [`Fault::StoreUnfit`].
fn demand_english(language: &str, role: &str) -> Result<(), Failure> {
    if session::is_english(language) {
        return Ok(());
    }
    Err(unfit(format!(
        "The database's messages are in another language (lc_messages is {language}) and role {role} may not choose: \
         let a superuser run ALTER ROLE {} SET lc_messages = 'C'.",
        quoted(role)
    )))
}

fn unfit(what: String) -> Failure {
    Failure::new(Fault::StoreUnfit).at("store.url").remedy(what)
}

fn read_only(why: &str) -> Failure {
    Failure::new(Fault::StoreReadOnly).at("store.url").remedy(format!(
        "This store takes no writes: {why}. Let store.url name the primary and a role with the rights of `causeway migrate --grant`; commands that only read work here."
    ))
}

/// The schema of the store, and whether the store is there.
///
/// A second, empty store is never made for a search path that leads elsewhere: that takes its name in `store.schema`.
fn choose(db: &mut Db, server: &Server, named: Option<&str>) -> Result<(String, bool), Failure> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_speaks_another_language_is_refused_by_name() {
        for good in [
            "",
            "C",
            "C.UTF-8",
            "POSIX",
            "en_US.UTF-8",
            "en_GB",
            "English_United States.1252",
        ] {
            demand_english(good, "causeway").expect("English");
        }
        demand_english("Catalan_Spain.1252", "causeway").expect_err("Catalan");
        let refused = demand_english("de_DE.utf8", "causeway").expect_err("German");
        assert_eq!(refused.fault(), Fault::StoreUnfit);
        assert!(
            refused
                .operator_remedy_text()
                .contains("ALTER ROLE \"causeway\" SET lc_messages")
        );
    }
}

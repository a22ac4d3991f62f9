//! Opens a PostgreSQL store before anything is served from it: checks which database it is, in which schema the store is and what this role
//! may do there, and runs migrations. A database that cannot be a store is refused with the reason.
//!
//! All of this runs on a connection of its own, without the timeouts of the pool's connections.

use super::migrate::{self, MigrationState, Tell};
use super::pooler;
use super::rights::{Rights, changes_the_ledger, quoted};
use super::server::{DatabaseServer, choose, has_schema, unfit};
use super::{Db, StoreUrl, session};
use crate::error::{Failure, Fault};
use diesel::connection::SimpleConnection as _;
use std::time::Duration;

/// Session settings under which no timeout, of this program, the role or the database, ends a migration or the wait for one.
pub(super) const UNLIMITED: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET idle_session_timeout = 0; SET TIME ZONE 'UTC'; SET client_min_messages = warning; SET application_name = 'causeway migrate';";

/// Longest time to look at a database, all its hosts included. A load balancer may accept a connection behind which nothing answers.
const LOOK: Duration = Duration::from_secs(30);

/// PostgreSQL cuts off longer names.
const NAME_BYTES: usize = 63;

/// What a store is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreNeed {
    /// For reading and writing; when there is no store, one is made.
    #[default]
    Write,
    /// For reading only. Nothing is made, and a read-only store is accepted.
    Read,
}

/// Where a PostgreSQL store is, and whether it takes writes.
#[derive(Clone, Debug, Default)]
pub(super) struct StoreSite {
    /// The schema of the store; `None` for SQLite.
    pub schema: Option<String>,
    /// Why it takes no writes; `None` when it takes them.
    pub read_only: Option<String>,
}

impl StoreSite {
    /// Returns the statement by which a connection restricts its search path to this schema. The schema of temporary tables comes last.
    pub fn search_path(&self) -> Option<String> {
        let schema = self.schema.as_deref()?;
        Some(format!("SET search_path TO {}, pg_temp", quoted(schema)))
    }
}

/// A PostgreSQL database that was examined.
pub(super) struct Looked {
    db: Db,
    server: DatabaseServer,
    /// The schema of the store, or the one in which it would be made.
    pub schema: String,
    /// Whether the store exists.
    pub exists: bool,
    rights: Rights,
    pub state: MigrationState,
}

/// Opens the store at `url` for `need`: migrates it when that is due and allowed.
///
/// # Errors
/// [`Fault::StoreUnfit`], [`Fault::StoreReadOnly`], [`Fault::SchemaBehind`] or [`Fault::SchemaNewer`], by what is wrong with it;
/// [`Fault::StoreMissing`] when there is no store and `need` makes none; those of the database.
pub(super) fn postgres(
    url: &StoreUrl,
    address: &str,
    schema: Option<&str>,
    need: StoreNeed,
    tell: Tell<'_>,
) -> Result<StoreSite, Failure> {
    let mut looked = Looked::at(address, schema)?;
    if need == StoreNeed::Read && !looked.exists {
        return Err(no_store(&format!("{url}, schema {}", looked.schema)));
    }
    if need == StoreNeed::Write {
        looked.demand_writes()?;
        demand_english(&looked.server.language, &looked.server.role)?;
    }
    let is_new = !looked.exists;
    if !looked.state.pending.is_empty() {
        looked.migrate(tell)?;
    }
    if is_new {
        tell(&format!("created a new store: {url}, schema {}", looked.schema));
    }
    looked.demand_whole()?;
    let read_only = looked.demand_rights(need)?;
    if need == StoreNeed::Write && looked.rights.changes_the_ledger() {
        tracing::warn!(
            role = looked.server.role,
            "this role may change or delete ledger entries; a role with the rights of `causeway migrate --grant` and no others only appends"
        );
    }
    Ok(StoreSite {
        schema: Some(looked.schema),
        read_only,
    })
}

/// The failure of a command that only reads when there is no store at `place`.
pub(super) fn no_store(place: &str) -> Failure {
    Failure::new(Fault::StoreMissing).at("store.url").remedy(format!(
        "There is no store at {place}: correct store.url (or DATABASE_URL), or make one with `causeway migrate`."
    ))
}

impl Looked {
    /// Examines the database at `address`: whether it can hold a store, and what is in
    /// `schema`. When `schema` is `None`, the search path decides.
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
        let server = DatabaseServer::of(&mut db)?;
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
            state: MigrationState::default(),
        };
        looked.read_state()?;
        Ok(looked)
    }

    /// Reads which migrations ran. From here on the connection uses only the schema of the store.
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

    /// Refuses a store that lacks a table which its migrations created.
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

    /// Migrates the schema, after waiting for every other process that does so. Returns the names of the migrations that ran.
    ///
    /// # Errors
    /// [`Fault::SchemaBehind`] when this role may not migrate; those of the migrations.
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
                "The schema lacks migration {next}, and this store accepts no writes ({why}): run `causeway migrate` where writes are possible."
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
            // Only when it does not exist: a role that may create tables in a schema may lack the right to create schemas.
            if !self.schema_exists()? {
                self.db.batch_execute(&there)?;
            }
        }
        migrate::up_telling(&mut self.db, tell)
    }

    fn schema_exists(&mut self) -> Result<bool, Failure> {
        has_schema(&mut self.db, &self.schema)
    }

    /// Refuses a role that lacks a right needed for `need`. Returns the reason when the role can only read.
    ///
    /// # Errors
    /// [`Fault::StoreUnfit`], naming the tables; [`Fault::StoreReadOnly`] for a role that can only read, when writing is needed.
    fn demand_rights(&self, need: StoreNeed) -> Result<Option<String>, Failure> {
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
                StoreNeed::Read => Ok(Some(why)),
                StoreNeed::Write => Err(read_only(&why)),
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

    /// Refuses a role that cannot grant rights on the tables, because PostgreSQL itself only warns.
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

    /// Whether `role` may update or delete entries of the ledger, by any grant.
    ///
    /// # Errors
    /// Those of the database.
    pub fn may_change_the_ledger(&mut self, role: &str) -> Result<bool, Failure> {
        changes_the_ledger(&mut self.db, &self.schema, role)
    }

    /// Reads from the store.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn read<T>(&mut self, work: impl FnOnce(&mut Db) -> Result<T, Failure>) -> Result<T, Failure> {
        work(&mut self.db)
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

/// Refuses a server whose messages are not in English: errors are recognized by their English texts (`super::sqlstate`).
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

fn read_only(why: &str) -> Failure {
    Failure::new(Fault::StoreReadOnly).at("store.url").remedy(format!(
        "This store accepts no writes: {why}. Let store.url name the primary, and a role with the rights of `causeway migrate --grant`. Commands that only read work here."
    ))
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

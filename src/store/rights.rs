//! What the roles of a PostgreSQL store may do: the statements that grant it, and what a role lacks.
//!
//! The owner changes the schema. The data role reads and writes rows, and can only append to the ledger. The reading role reads.

use super::db::Db;
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

/// The table that is only appended to.
const LEDGER: &str = "ledger_entry";
/// The table of versions, which only the owner writes.
const VERSIONS: &str = "__diesel_schema_migrations";

/// Every table of a store but the table of versions. A test compares it with what the migrations make.
pub const TABLES: &[&str] = &[
    "access_token",
    "assertion_seen",
    "attachment",
    "authorization_dependency",
    "compartment",
    "consent",
    "decision",
    "decision_candidate",
    "disclosure_end_state",
    "gate_state",
    "grants",
    "guess",
    "guess_lock",
    "guess_tally",
    "idempotency",
    "identity_change",
    "identity_key",
    "identity_link",
    "identity_profile",
    "identity_revocation",
    "identity_roster",
    "identity_step",
    "ledger_entry",
    "ledger_subject",
    "ledger_subject_state",
    "member",
    "operator_note",
    "operator_token",
    "partner",
    "policy_active",
    "policy_shadow",
    "policy_version",
    "resource",
    "resource_identifier",
    "review",
    "review_act",
    "review_candidate",
    "search_date",
    "search_state",
    "search_value",
    "server_secret",
    "visible_state",
];

/// What a role is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// What the server and every command need, but `causeway migrate`.
    Data,
    /// What commands that only read need.
    Reading,
}

/// A name of PostgreSQL, in quotes.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements that grant `role` what it needs in `schema`. They may run again: after each upgrade, for its new tables.
pub fn grants(grant: Grant, schema: &str, role: &str) -> Vec<String> {
    let (schema, role) = (quoted(schema), quoted(role));
    let table = |name: &str| format!("{schema}.{}", quoted(name));
    let tables = |except: &[&str]| {
        let named: Vec<String> = TABLES
            .iter()
            .filter(|name| !except.contains(name))
            .map(|name| table(name))
            .collect();
        named.join(", ")
    };
    let usage = format!("GRANT USAGE ON SCHEMA {schema} TO {role};");
    let versions = format!("GRANT SELECT ON {} TO {role};", table(VERSIONS));
    match grant {
        Grant::Reading => vec![usage, versions, format!("GRANT SELECT ON {} TO {role};", tables(&[]))],
        Grant::Data => vec![
            usage,
            versions,
            format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {role};",
                tables(&[LEDGER])
            ),
            format!("GRANT SELECT, INSERT ON {} TO {role};", table(LEDGER)),
            format!("REVOKE UPDATE, DELETE, TRUNCATE ON {} FROM {role};", table(LEDGER)),
        ],
    }
}

/// What a role may do with one table.
#[derive(QueryableByName, Clone, Debug)]
pub(super) struct Held {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    reads: bool,
    #[diesel(sql_type = Bool)]
    inserts: bool,
    #[diesel(sql_type = Bool)]
    changes: bool,
    /// Any of changing, deleting and truncating.
    #[diesel(sql_type = Bool)]
    alters: bool,
    #[diesel(sql_type = Bool)]
    owns: bool,
}

/// What this role may do in a schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights {
    tables: Vec<Held>,
    /// Whether it may make tables there.
    pub creates: bool,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// Whether `role` may change, delete or truncate the ledger of the store in `schema`, by whatever grant.
///
/// # Errors
/// Those of the database.
pub(super) fn changes_the_ledger(db: &mut Db, schema: &str, role: &str) -> Result<bool, Failure> {
    let [schema, role] = [schema, role].map(|name| name.replace('\'', "''"));
    let query = format!(
        "SELECT has_table_privilege('{role}', c.oid, 'UPDATE, DELETE, TRUNCATE') AS yes FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = '{schema}' AND c.relname = '{LEDGER}'"
    );
    Ok(diesel::sql_query(query).get_result::<Answer>(db)?.yes)
}

impl Rights {
    /// Reads them from the catalog, which shows them to every role.
    ///
    /// # Errors
    /// Those of the database.
    pub fn of(db: &mut Db, schema: &str) -> Result<Rights, Failure> {
        let schema = schema.replace('\'', "''");
        let tables = diesel::sql_query(format!(
            "SELECT c.relname::text AS name, has_table_privilege(c.oid, 'SELECT') AS reads, \
             has_table_privilege(c.oid, 'INSERT') AS inserts, \
             has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') AS changes, \
             has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') AS alters, \
             pg_has_role(c.relowner, 'USAGE') AS owns \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = '{schema}' AND c.relkind IN ('r', 'p') ORDER BY c.relname"
        ))
        .load::<Held>(db)?
        .into_iter()
        .filter(|held| held.name == VERSIONS || TABLES.contains(&held.name.as_str()))
        .collect();
        let creates = diesel::sql_query(format!(
            "SELECT COALESCE((SELECT has_schema_privilege(n.oid, 'CREATE') FROM pg_namespace n WHERE n.nspname = '{schema}'), \
             has_database_privilege(current_database(), 'CREATE')) AS yes"
        ))
        .get_result::<Answer>(db)?
        .yes;
        Ok(Rights { tables, creates })
    }

    /// A table that bears the name of one of a store's, if there is one.
    pub fn of_ours(&self) -> Option<&str> {
        let mut names = self.tables.iter().map(|held| held.name.as_str());
        names.find(|name| *name != VERSIONS)
    }

    /// Tables of a store that are not there.
    pub fn missing(&self) -> Vec<&'static str> {
        let is_missing = |name: &&str| !self.tables.iter().any(|held| held.name == **name);
        TABLES.iter().copied().filter(is_missing).collect()
    }

    /// Whether it may change the ledger without owning it.
    pub fn changes_the_ledger(&self) -> bool {
        self.tables
            .iter()
            .any(|held| held.name == LEDGER && held.alters && !held.owns)
    }

    /// Whether it may run migrations.
    pub fn may_migrate(&self) -> bool {
        self.creates && self.tables.iter().all(|held| held.owns)
    }

    /// Whether it may see which migrations ran.
    pub fn may_look(&self) -> bool {
        self.tables.iter().any(|held| held.name == VERSIONS && held.reads)
    }

    /// Whether there is a table of versions.
    pub fn has_versions(&self) -> bool {
        self.tables.iter().any(|held| held.name == VERSIONS)
    }

    /// Tables that it may not read.
    pub fn unreadable(&self) -> Vec<&str> {
        self.lacking(|held| held.reads)
    }

    /// Tables into which it may not write what the server writes there.
    pub fn unwritable(&self) -> Vec<&str> {
        self.lacking(|held| held.name == VERSIONS || held.inserts && (held.changes || held.name == LEDGER))
    }

    /// Whether it may write to none of them.
    pub fn only_reads(&self) -> bool {
        !self.tables.iter().any(|held| held.inserts || held.changes)
    }

    fn lacking(&self, has: impl Fn(&Held) -> bool) -> Vec<&str> {
        let lacking = self.tables.iter().filter(|held| !has(held));
        lacking.map(|held| held.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_they_stay_names() {
        for grant in [Grant::Data, Grant::Reading] {
            for statement in grants(grant, "a\"b", "r; DROP TABLE x") {
                assert!(statement.contains("\"a\"\"b\"") && statement.contains("\"r; DROP TABLE x\""));
            }
        }
    }

    #[test]
    fn the_ledger_is_granted_for_appending_only() {
        for statement in grants(Grant::Data, "s", "r") {
            let changes = statement.starts_with("GRANT") && statement.contains("UPDATE");
            assert!(!(changes && statement.contains(LEDGER)), "{statement}");
        }
        assert!(
            grants(Grant::Reading, "s", "r")
                .iter()
                .all(|one| !one.contains("INSERT"))
        );
    }
}

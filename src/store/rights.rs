//! What the roles of a PostgreSQL store may do: the GRANT statements for a role, and which rights a role lacks.
//!
//! The owner changes the schema. The data role reads and writes rows, but can only append to the ledger, and empty what opens its commitments
//! when a member is erased. The reading role only reads.

use super::connection::Db;
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};

/// The table of the ledger.
const LEDGER: &str = "ledger_entry";
/// The tables that are only appended to: the ledger, its index by subject, its tree but for the edge that grows, and of whom the files are
/// that one entry is about.
const APPENDED: [&str; 7] = [
    LEDGER,
    "ledger_leaf",
    "ledger_log",
    "ledger_subject",
    "ledger_tile",
    "disclosed_file",
    "disclosed_share",
];
/// Those of them whose rows about a member are deleted when the member is erased.
const ERASED_ROWS: [&str; 2] = ["disclosed_share", "ledger_subject"];
/// The columns of the ledger that are emptied then. What its tree commits to is none of them.
const ERASED_COLUMNS: &str = "correlation_id, request_id, subject, subject_salt";
/// The table of applied migrations, which only the owner writes.
const VERSIONS: &str = "__diesel_schema_migrations";

/// Every table of a store except the table of applied migrations. A test compares the list with the migrations.
pub const TABLES: &[&str] = &[
    "access_token",
    "alert_delivery",
    "alert_episode",
    "assertion_seen",
    "attachment",
    "authorization_dependency",
    "backup_made",
    "bulk_acknowledgement",
    "bulk_file",
    "bulk_job",
    "bulk_piece",
    "bulk_run",
    "bulk_run_file",
    "bulk_run_member",
    "bulk_run_receipt",
    "business_figure",
    "compartment",
    "consent",
    "console_link",
    "console_session",
    "console_sign_in",
    "control_run",
    "correlation_state",
    "correlation_text",
    "decision",
    "decision_candidate",
    "disclosed_file",
    "disclosed_share",
    "disclosure_end_state",
    "enrolment",
    "erasure",
    "evidence_case",
    "evidence_case_item",
    "evidence_key",
    "evidence_member",
    "evidence_packet",
    "evidence_piece",
    "exchange",
    "exchange_ask",
    "exchange_missing",
    "exchange_question",
    "exchange_result",
    "exchange_step",
    "figure_state",
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
    "ingest",
    "ingest_page",
    "ingest_part",
    "ingest_piece",
    "ingest_progress",
    "ingest_resource",
    "job",
    "ledger_checkpoint",
    "ledger_cosignature",
    "ledger_entry",
    "ledger_leaf",
    "ledger_log",
    "ledger_subject",
    "ledger_subject_state",
    "ledger_tile",
    "ledger_tree",
    "member",
    "member_group",
    "member_group_entry",
    "member_key",
    "operator_note",
    "operator_token",
    "opt_in",
    "partner",
    "partner_checkpoint",
    "partner_health",
    "policy_activation",
    "policy_active",
    "policy_shadow",
    "policy_version",
    "resource",
    "resource_identifier",
    "retention_clock",
    "retention_hold",
    "retention_kind",
    "retention_mark",
    "review",
    "review_act",
    "review_candidate",
    "search_date",
    "search_state",
    "search_value",
    "server_secret",
    "visible_state",
];

/// Which rights a role is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleGrant {
    /// The rights for the server and every command except `causeway migrate`.
    Data,
    /// The rights for commands that only read.
    Reading,
}

/// Quotes a PostgreSQL identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns the statements that grant `role` its rights in `schema`. They may run again, as they must after an upgrade that adds tables.
pub fn grants(grant: RoleGrant, schema: &str, role: &str) -> Vec<String> {
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
        RoleGrant::Reading => vec![usage, versions, format!("GRANT SELECT ON {} TO {role};", tables(&[]))],
        RoleGrant::Data => vec![
            usage,
            versions,
            format!(
                "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {role};",
                tables(&APPENDED)
            ),
            format!("GRANT SELECT, INSERT ON {} TO {role};", APPENDED.map(table).join(", ")),
            format!(
                "REVOKE UPDATE, DELETE, TRUNCATE ON {} FROM {role};",
                APPENDED.map(table).join(", ")
            ),
            // After what is revoked: revoking on a table revokes on its columns too.
            format!("GRANT UPDATE ({ERASED_COLUMNS}) ON {} TO {role};", table(LEDGER)),
            format!("GRANT DELETE ON {} TO {role};", ERASED_ROWS.map(table).join(", ")),
        ],
    }
}

/// The rights of a role on one table.
#[derive(QueryableByName, Clone, Debug)]
pub(super) struct TableRights {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Bool)]
    reads: bool,
    #[diesel(sql_type = Bool)]
    inserts: bool,
    #[diesel(sql_type = Bool)]
    changes: bool,
    /// Whether it may update, delete or truncate: any of these.
    #[diesel(sql_type = Bool)]
    alters: bool,
    #[diesel(sql_type = Bool)]
    owns: bool,
}

/// The rights of the current role in a schema.
#[derive(Clone, Debug, Default)]
pub(super) struct Rights {
    tables: Vec<TableRights>,
    /// Whether it may create tables there.
    pub creates: bool,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    yes: bool,
}

/// Whether `role` may update, delete or truncate the ledger of the store in `schema`, by any grant.
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
    /// Reads the rights from the catalog, which every role may read.
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
        .load::<TableRights>(db)?
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

    /// Returns a table that has the name of one of the store's tables, if there is one.
    pub fn of_ours(&self) -> Option<&str> {
        let mut names = self.tables.iter().map(|held| held.name.as_str());
        names.find(|name| *name != VERSIONS)
    }

    /// Returns the tables of a store that do not exist.
    pub fn missing(&self) -> Vec<&'static str> {
        let is_missing = |name: &&str| !self.tables.iter().any(|held| held.name == **name);
        TABLES.iter().copied().filter(is_missing).collect()
    }

    /// Whether the role may change the ledger without owning it.
    pub fn changes_the_ledger(&self) -> bool {
        self.tables
            .iter()
            .any(|held| held.name == LEDGER && held.alters && !held.owns)
    }

    /// Whether the role may run migrations.
    pub fn may_migrate(&self) -> bool {
        self.creates && self.tables.iter().all(|held| held.owns)
    }

    /// Whether the role may see which migrations ran.
    pub fn may_look(&self) -> bool {
        self.tables.iter().any(|held| held.name == VERSIONS && held.reads)
    }

    /// Whether the table of applied migrations exists.
    pub fn has_versions(&self) -> bool {
        self.tables.iter().any(|held| held.name == VERSIONS)
    }

    /// Returns the tables that the role may not read.
    pub fn unreadable(&self) -> Vec<&str> {
        self.lacking(|held| held.reads)
    }

    /// Returns the tables to which the role may not write as the server does.
    pub fn unwritable(&self) -> Vec<&str> {
        self.lacking(|held| {
            held.name == VERSIONS || held.inserts && (held.changes || APPENDED.contains(&held.name.as_str()))
        })
    }

    /// Whether the role may write to none of the tables.
    pub fn only_reads(&self) -> bool {
        !self.tables.iter().any(|held| held.inserts || held.changes)
    }

    fn lacking(&self, has: impl Fn(&TableRights) -> bool) -> Vec<&str> {
        let lacking = self.tables.iter().filter(|held| !has(held));
        lacking.map(|held| held.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_so_that_they_stay_names() {
        for grant in [RoleGrant::Data, RoleGrant::Reading] {
            for statement in grants(grant, "a\"b", "r; DROP TABLE x") {
                assert!(statement.contains("\"a\"\"b\"") && statement.contains("\"r; DROP TABLE x\""));
            }
        }
    }

    #[test]
    fn the_ledger_is_granted_for_appending_only() {
        for statement in grants(RoleGrant::Data, "s", "r") {
            let of_columns = format!("GRANT UPDATE ({ERASED_COLUMNS}) ON");
            let changes = statement.contains("UPDATE") && !statement.starts_with(&of_columns);
            let changes = changes && statement.starts_with("GRANT");
            let names = |table: &&str| statement.contains(&quoted(table));
            assert!(!(changes && APPENDED.iter().any(names)), "{statement}");
        }
        assert!(
            grants(RoleGrant::Reading, "s", "r")
                .iter()
                .all(|one| !one.contains("INSERT"))
        );
    }
}

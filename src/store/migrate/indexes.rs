//! Indexes of large tables, built on PostgreSQL before the migration that has them, so that the previous version of the program can go on
//! writing to the table. It never changes a row.
//!
//! `CREATE INDEX CONCURRENTLY` runs outside a transaction. If it is interrupted, it leaves an index that is not valid; the next run drops
//! that index and builds it again. The migration builds the indexes of small tables itself, and finds the others built.

use super::tell::{Tell, watched};
use crate::error::Failure;
use crate::store::connection::Db;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// An index that a migration has.
struct LargeIndex {
    version: &'static str,
    name: &'static str,
    table: &'static str,
    columns: &'static str,
}

const LARGE: &[LargeIndex] = &[
    LargeIndex {
        version: "00000000000022",
        name: "decision_partner",
        table: "decision",
        columns: "(partner_id, id)",
    },
    LargeIndex {
        version: "00000000000022",
        name: "decision_request",
        table: "decision",
        columns: "(correlation_id, partner_id, id)",
    },
    LargeIndex {
        version: "00000000000022",
        name: "decision_grant",
        table: "decision",
        columns: "(grant_id, id) WHERE grant_id IS NOT NULL",
    },
    LargeIndex {
        version: "00000000000023",
        name: "ingest_key",
        table: "ingest",
        columns: "(key_id)",
    },
    LargeIndex {
        version: "00000000000023",
        name: "ingest_resource_quarantine",
        table: "ingest_resource",
        columns: "(exchange_id, gate_version) WHERE outcome = 'quarantined'",
    },
    LargeIndex {
        version: "00000000000028",
        name: "ingest_page_link",
        table: "ingest_page",
        columns: "(exchange_id, link_sha256)",
    },
    LargeIndex {
        version: "00000000000028",
        name: "ingest_page_body",
        table: "ingest_page",
        columns: "(exchange_id, sha256)",
    },
    LargeIndex {
        version: "00000000000047",
        name: "grants_until",
        table: "grants",
        columns: "(valid_until_ms) WHERE revoked_ms IS NULL",
    },
    LargeIndex {
        version: "00000000000048",
        name: "exchange_answer_due",
        table: "exchange",
        columns: "(answer_due_ms) WHERE answer_due_ms IS NOT NULL",
    },
    LargeIndex {
        version: "00000000000048",
        name: "exchange_due",
        table: "exchange",
        columns: "(due_ms)",
    },
    LargeIndex {
        version: "00000000000052",
        name: "decision_own_request",
        table: "decision",
        columns: "(request_id)",
    },
];

/// Builds the indexes of this migration whose tables have more than `small` rows.
///
/// # Errors
/// Those of the database; finished indexes are kept.
pub(super) fn build(db: &mut Db, version: &str, small: i64, tell: Tell<'_>) -> Result<(), Failure> {
    if let Db::Sqlite(_) = db {
        return Ok(());
    }
    for index in LARGE.iter().filter(|one| one.version == version) {
        let LargeIndex {
            name, table, columns, ..
        } = index;
        let broken =
            format!("SELECT COUNT(*) AS n FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid");
        if count(db, broken)? > 0 {
            db.batch_execute(&format!("DROP INDEX {name}"))?;
        }
        let few = format!("SELECT COUNT(*) AS n FROM (SELECT 1 FROM {table} LIMIT {small} + 1) AS few");
        if count(db, few)? <= small {
            continue;
        }
        let called = format!("preparing migration {version}: index {name}");
        tell(&called);
        let statement = format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {table} {columns}");
        watched(&called, tell, || Ok(db.batch_execute(&statement)?))?;
    }
    Ok(())
}

fn count(db: &mut Db, query: String) -> Result<i64, Failure> {
    Ok(diesel::sql_query(query).get_result::<Count>(db)?.n)
}

//! Appends rows to the ledger. There is no update and no delete.
//!
//! The bytes of an entry are made before it comes here, so that nothing is computed while others wait
//! for their commit. This module does not know what entries mean.

use super::Db;
use super::schema::operator_note;
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};

/// An entry that is not in the ledger yet.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// A new id; ids sort by time.
    pub id: String,
    /// UTC microseconds.
    pub at_us: i64,
    /// Code of the action.
    pub action: &'static str,
    /// The partner concerned.
    pub partner_id: Option<String>,
    /// The exchange it belongs to.
    pub exchange_id: Option<String>,
    /// The caller's correlation id.
    pub correlation_id: String,
    /// This server's request id, when it differs from the correlation id.
    pub request_id: Option<String>,
    /// Its canonical bytes.
    pub entry: Vec<u8>,
    /// The value that the commitment to its object hides.
    pub subject: Option<String>,
    /// The secret from which the salts of the entry are derived.
    pub salt: [u8; 32],
    /// Operator and reason, stored in a row next to the entry (`operator_note`).
    pub note: Option<(String, String)>,
}

struct One;

const ONE: &str = "INSERT INTO ledger_entry (id, at_us, action, partner_id, exchange_id, correlation_id, request_id, entry, subject, subject_salt) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Appends a row in the caller's transaction.
///
/// # Errors
/// Those of the database; the caller's transaction must then fail too.
pub fn append(db: &mut Db, row: &NewEntry) -> Result<(), Failure> {
    let statement = Statement::<One>::new(
        ONE,
        vec![
            Bind::Text(&row.id),
            Bind::Big(row.at_us),
            Bind::Text(row.action),
            Bind::OptText(row.partner_id.as_deref()),
            Bind::OptText(row.exchange_id.as_deref()),
            Bind::Text(&row.correlation_id),
            Bind::OptText(row.request_id.as_deref()),
            Bind::Blob(&row.entry),
            Bind::OptText(row.subject.as_deref()),
            Bind::Blob(&row.salt),
        ],
    );
    run(db, statement)?;
    if let Some((operator, reason)) = &row.note {
        diesel::insert_into(operator_note::table)
            .values((
                operator_note::entry_id.eq(&row.id),
                operator_note::operator.eq(operator),
                operator_note::reason.eq(reason),
            ))
            .execute(db)?;
    }
    Ok(())
}

/// Appends rows without notes. On PostgreSQL this is one statement, all or none, which may run again: rows that exist are left unchanged. On
/// SQLite it is one for each row.
///
/// # Errors
/// Those of the database.
pub fn append_all(db: &mut Db, rows: &[NewEntry]) -> Result<(), Failure> {
    debug_assert!(
        rows.iter().all(|row| row.note.is_none()),
        "a note has a statement of its own"
    );
    match db {
        Db::Pg(pg) => many(pg, rows),
        Db::Sqlite(_) => rows.iter().try_for_each(|row| append(db, row)),
    }
}

/// The rows as one array for each column, so that the SQL text is the same for any number of rows.
struct Columns<'r> {
    ids: Vec<&'r str>,
    at_us: Vec<i64>,
    actions: Vec<&'r str>,
    partners: Vec<Option<&'r str>>,
    exchanges: Vec<Option<&'r str>>,
    correlations: Vec<&'r str>,
    requests: Vec<Option<&'r str>>,
    entries: Vec<&'r [u8]>,
    subjects: Vec<Option<&'r str>>,
    salts: Vec<&'r [u8]>,
}

fn many(pg: &mut PgConnection, rows: &[NewEntry]) -> Result<(), Failure> {
    let columns = Columns {
        ids: rows.iter().map(|row| row.id.as_str()).collect(),
        at_us: rows.iter().map(|row| row.at_us).collect(),
        actions: rows.iter().map(|row| row.action).collect(),
        partners: rows.iter().map(|row| row.partner_id.as_deref()).collect(),
        exchanges: rows.iter().map(|row| row.exchange_id.as_deref()).collect(),
        correlations: rows.iter().map(|row| row.correlation_id.as_str()).collect(),
        requests: rows.iter().map(|row| row.request_id.as_deref()).collect(),
        entries: rows.iter().map(|row| row.entry.as_slice()).collect(),
        subjects: rows.iter().map(|row| row.subject.as_deref()).collect(),
        salts: rows.iter().map(|row| row.salt.as_slice()).collect(),
    };
    columns.execute(pg)?;
    Ok(())
}

impl QueryFragment<Pg> for Columns<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "INSERT INTO ledger_entry (id, at_us, action, partner_id, exchange_id, correlation_id, request_id, entry, subject, subject_salt) \
             SELECT * FROM unnest(",
        );
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.actions)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.partners)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.exchanges)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.correlations)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.requests)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.entries)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Nullable<Text>>, _>(&self.subjects)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.salts)?;
        out.push_sql(") ON CONFLICT DO NOTHING");
        Ok(())
    }
}

impl QueryId for Columns<'_> {
    type QueryId = Columns<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl RunQueryDsl<PgConnection> for Columns<'_> {}

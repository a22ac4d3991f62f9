//! Reads what is requested and appends the *begun* ledger entry, in one PostgreSQL statement that commits by itself. The entry is durable
//! when the rows arrive, and no entry is appended when no row is found.
//!
//! The query passed in decides what may be found; this file authorizes nothing. The entry commits to ids that only this statement finds, so
//! the database assembles the bytes of the entry from the pieces that `audit` prepared.

use diesel::pg::{Pg, PgConnection};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Nullable, Text};

/// A ledger entry whose consent and Patient are not known yet; the statement fills them in.
#[derive(Clone, Debug)]
pub struct Unfilled {
    /// A new id; ids sort by time.
    pub id: String,
    /// UTC microseconds.
    pub at_us: i64,
    /// Code of the action.
    pub action: &'static str,
    /// The partner concerned.
    pub partner_id: Option<String>,
    /// The caller's correlation id.
    pub correlation_id: String,
    /// This server's request id, when it differs from the correlation id.
    pub request_id: Option<String>,
    /// The bytes of the entry, cut at the three values that the statement inserts: the commitment to the consent's id, `sensitive` or
    /// `regular`, and the commitment to the id of the member's Patient.
    pub pieces: [Vec<u8>; 4],
    /// The bytes that are hashed before the consent's id.
    pub consent_prefix: Vec<u8>,
    /// The bytes that are hashed before the Patient's id.
    pub object_prefix: Vec<u8>,
    /// The secret from which the salts of the entry are derived.
    pub salt: [u8; 32],
}

/// Selects the first row of `query` and inserts the entry about it. `columns` names the columns that the query selects, in the same order;
/// `patient_id`, `consent_id` and `sensitive` must be among them.
pub(super) struct Begun<'e, Q> {
    pub(super) query: Q,
    pub(super) columns: &'static str,
    pub(super) entry: &'e Unfilled,
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Begun<'_, Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let entry = self.entry;
        out.push_sql("WITH found (");
        out.push_sql(self.columns);
        out.push_sql(") AS (");
        self.query.walk_ast(out.reborrow())?;
        // The limit is literal: with a bound limit PostgreSQL would plan the statement at each call.
        out.push_sql(
            " LIMIT 1), begun AS (INSERT INTO ledger_entry \
             (id, at_us, action, partner_id, correlation_id, request_id, entry, subject, subject_salt) SELECT ",
        );
        out.push_bind_param::<Text, _>(&entry.id)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&entry.at_us)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(entry.action)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&entry.partner_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&entry.correlation_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Nullable<Text>, _>(&entry.request_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, _>(&entry.pieces[0])?;
        commitment(&mut out, &entry.consent_prefix, "consent_id")?;
        out.push_bind_param::<Binary, _>(&entry.pieces[1])?;
        out.push_sql(" || CASE WHEN sensitive = 1 THEN 'sensitive'::bytea ELSE 'regular'::bytea END || ");
        out.push_bind_param::<Binary, _>(&entry.pieces[2])?;
        commitment(&mut out, &entry.object_prefix, "patient_id")?;
        out.push_bind_param::<Binary, _>(&entry.pieces[3])?;
        out.push_sql(", patient_id, ");
        out.push_bind_param::<Binary, _>(&entry.salt)?;
        out.push_sql(" FROM found) SELECT ");
        out.push_sql(self.columns);
        out.push_sql(" FROM found");
        Ok(())
    }
}

/// Writes the SQL of the commitment to a column, between two pieces of the entry.
fn commitment<'b>(out: &mut AstPass<'_, 'b, Pg>, prefix: &'b Vec<u8>, column: &str) -> QueryResult<()> {
    out.push_sql(" || convert_to(encode(sha256(");
    out.push_bind_param::<Binary, _>(prefix)?;
    out.push_sql(" || convert_to(");
    out.push_sql(column);
    out.push_sql(", 'UTF8')), 'hex'), 'UTF8') || ");
    Ok(())
}

impl<Q: QueryId> QueryId for Begun<'_, Q> {
    type QueryId = Begun<'static, Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q: Query> Query for Begun<'_, Q> {
    type SqlType = Q::SqlType;
}

impl<Q> RunQueryDsl<PgConnection> for Begun<'_, Q> {}

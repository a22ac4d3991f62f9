//! The partner registry's table.

use super::connection::{Db, on};
use super::schema::partner;
use crate::error::Failure;
use diesel::prelude::*;

/// One partner, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = partner)]
pub struct PartnerRow {
    /// This server's id of the partner.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// National Provider Identifier.
    pub npi: String,
    /// OAuth client id; unique.
    pub client_id: String,
    /// `active` or `suspended`.
    pub status: String,
    /// Why it is suspended.
    pub status_reason: Option<String>,
    /// URI name of its client certificate; unique.
    pub certificate_uri: Option<String>,
    /// `required`, `optional` or `off`.
    pub mtls: String,
    /// Registered scopes, space separated.
    pub scopes: String,
    /// Dialect, JSON.
    pub dialect: String,
    /// Inline key set, JSON.
    pub jwks: Option<String>,
    /// Address of its key set.
    pub jwks_url: Option<String>,
    /// How this server reaches the partner as a client of it, JSON.
    pub endpoint: Option<String>,
    /// Whom to call there, JSON.
    pub contacts: Option<String>,
    /// Version of the registration; counts changes from 1.
    pub version: i64,
    /// When it was added, UTC milliseconds.
    pub created_ms: i64,
    /// When it was last changed, UTC milliseconds.
    pub updated_ms: i64,
}

impl PartnerRow {
    /// Whether the partner is active; a suspended one may do nothing.
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// Adds a partner.
///
/// # Errors
/// Those of the database; a unique violation when the id, client id or certificate name is taken ([`super::is_duplicate`] recognizes it).
pub fn insert(db: &mut Db, row: &PartnerRow) -> Result<(), Failure> {
    diesel::insert_into(partner::table).values(row).execute(db)?;
    Ok(())
}

/// Returns the partner with this id.
///
/// # Errors
/// Those of the database.
pub fn by_id(db: &mut Db, id: &str) -> Result<Option<PartnerRow>, Failure> {
    Ok(partner::table
        .find(id)
        .select(PartnerRow::as_select())
        .first(db)
        .optional()?)
}

/// Returns the partner with this OAuth client id.
///
/// # Errors
/// Those of the database.
pub fn by_client_id(db: &mut Db, client_id: &str) -> Result<Option<PartnerRow>, Failure> {
    let found = on!(db, conn => partner::table
        .filter(partner::client_id.eq(client_id))
        .select(PartnerRow::as_select())
        .first(conn));
    Ok(found.optional()?)
}

/// Returns the id of the partner to which one of these certificate names belongs; `None` when they belong to no partner or to several.
///
/// # Errors
/// Those of the database.
pub fn id_by_certificate(db: &mut Db, uris: &[String]) -> Result<Option<String>, Failure> {
    let found: Vec<String> = partner::table
        .filter(partner::certificate_uri.eq_any(uris))
        .select(partner::id)
        .limit(2)
        .load(db)?;
    Ok(<[String; 1]>::try_from(found).ok().map(|[id]| id))
}

/// Returns all partners, ordered by id; at most 10,000.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db) -> Result<Vec<PartnerRow>, Failure> {
    Ok(partner::table
        .order(partner::id)
        .limit(10_000)
        .select(PartnerRow::as_select())
        .load(db)?)
}

/// Sets status and reason. Returns false when there is no such partner.
///
/// # Errors
/// Those of the database.
pub fn set_status(db: &mut Db, id: &str, status: &str, reason: Option<&str>, now_ms: i64) -> Result<bool, Failure> {
    let changed = diesel::update(partner::table.find(id))
        .set((
            partner::status.eq(status),
            partner::status_reason.eq(reason),
            partner::version.eq(partner::version + 1),
            partner::updated_ms.eq(now_ms),
        ))
        .execute(db)?;
    Ok(changed == 1)
}

/// Replaces the registration by `row`; status and time of creation are kept. Returns false when there is no such partner.
///
/// # Errors
/// As [`insert`].
pub fn replace(db: &mut Db, row: &PartnerRow) -> Result<bool, Failure> {
    let changed = diesel::update(partner::table.find(&row.id))
        .set((
            partner::name.eq(&row.name),
            partner::npi.eq(&row.npi),
            partner::client_id.eq(&row.client_id),
            partner::certificate_uri.eq(row.certificate_uri.as_deref()),
            partner::mtls.eq(&row.mtls),
            partner::scopes.eq(&row.scopes),
            partner::dialect.eq(&row.dialect),
            partner::jwks.eq(row.jwks.as_deref()),
            partner::jwks_url.eq(row.jwks_url.as_deref()),
            partner::endpoint.eq(row.endpoint.as_deref()),
            partner::contacts.eq(row.contacts.as_deref()),
            partner::version.eq(partner::version + 1),
            partner::updated_ms.eq(row.updated_ms),
        ))
        .execute(db)?;
    Ok(changed == 1)
}

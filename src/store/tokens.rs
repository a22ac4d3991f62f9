//! Access tokens, seen assertions and operator tokens. Tokens are stored as hashes only.

use super::db::Db;
use super::is_duplicate;
use super::schema::{
    access_token, assertion_seen, compartment, consent, grants, ledger_entry, operator_token, partner,
};
use crate::error::Failure;
use diesel::prelude::*;

/// How long rows are kept after they expired, so that a clock stepping back cannot bring a used assertion to life again.
const KEEP_MS: i64 = 3_600_000;
/// Rows deleted at once.
const PRUNE: i64 = 500;

/// An access token, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable, Insertable)]
#[diesel(table_name = access_token)]
pub struct TokenRow {
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// Whose it is.
    pub partner_id: String,
    /// What it grants.
    pub scope: String,
    /// The certificate it is bound to.
    pub certificate_sha256: Option<Vec<u8>>,
    /// The one member it is narrowed to.
    pub patient_id: Option<String>,
    /// SHA-256 of the assertion's `jti`.
    pub jti_sha256: Vec<u8>,
    /// Thumbprint of the key that signed the assertion.
    pub key_thumbprint: String,
    /// When it was issued.
    pub issued_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
}

/// What an authenticated request needs, in one query.
#[derive(Clone, Debug, Queryable)]
pub struct Holder {
    /// The token.
    pub token: TokenRow,
    /// Its partner's OAuth client id.
    pub client_id: String,
    /// Its partner's NPI.
    pub npi: String,
    /// Its partner's dialect, JSON.
    pub dialect: String,
    /// Its partner's status.
    pub status: String,
    /// Its partner's mTLS mode.
    pub mtls: String,
}

/// The token of this hash with its partner.
///
/// # Errors
/// Those of the database.
pub fn holder(db: &mut Db, hash: &[u8]) -> Result<Option<Holder>, Failure> {
    let row = access_token::table
        .inner_join(partner::table.on(partner::id.eq(access_token::partner_id)))
        .filter(access_token::hash.eq(hash))
        .select((
            TokenRow::as_select(),
            partner::client_id,
            partner::npi,
            partner::dialect,
            partner::status,
            partner::mtls,
        ))
        .first::<(TokenRow, String, String, String, String, String)>(db)
        .optional()?;
    Ok(row.map(|(token, client_id, npi, dialect, status, mtls)| Holder {
        token,
        client_id,
        npi,
        dialect,
        status,
        mtls,
    }))
}

/// Adds a token.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, row: &TokenRow) -> Result<(), Failure> {
    diesel::insert_into(access_token::table).values(row).execute(db)?;
    Ok(())
}

/// Revokes a token of `partner_id`; `false` when it is not one, or revoked already.
///
/// # Errors
/// Those of the database.
pub fn revoke(db: &mut Db, hash: &[u8], partner_id: &str, now_ms: i64) -> Result<bool, Failure> {
    let mine = access_token::table
        .find(hash)
        .filter(access_token::partner_id.eq(partner_id))
        .filter(access_token::revoked_ms.is_null());
    Ok(diesel::update(mine)
        .set(access_token::revoked_ms.eq(now_ms))
        .execute(db)?
        == 1)
}

/// Revokes the tokens of a partner that no key of `kept` was used for; how many.
///
/// # Errors
/// Those of the database.
pub fn revoke_other_keys(db: &mut Db, partner_id: &str, kept: &[String], now_ms: i64) -> Result<usize, Failure> {
    let others = access_token::table
        .filter(access_token::partner_id.eq(partner_id))
        .filter(access_token::revoked_ms.is_null())
        .filter(access_token::key_thumbprint.ne_all(kept));
    Ok(diesel::update(others)
        .set(access_token::revoked_ms.eq(now_ms))
        .execute(db)?)
}

/// Remembers an assertion until `expires_ms`; `false` when it was seen before. The caller's transaction must then fail.
///
/// # Errors
/// Those of the database.
pub fn remember(
    db: &mut Db,
    client_id: &str,
    jti_sha256: &[u8],
    expires_ms: i64,
    now_ms: i64,
) -> Result<bool, Failure> {
    // An id may come again after it expired (UDAP); rows outlive their expiry only against clocks that step back.
    let stale = assertion_seen::table
        .find((client_id, jti_sha256))
        .filter(assertion_seen::expires_ms.lt(now_ms));
    if diesel::update(stale)
        .set(assertion_seen::expires_ms.eq(expires_ms))
        .execute(db)?
        == 1
    {
        return Ok(true);
    }
    let added = diesel::insert_into(assertion_seen::table)
        .values((
            assertion_seen::client_id.eq(client_id),
            assertion_seen::jti_sha256.eq(jti_sha256),
            assertion_seen::expires_ms.eq(expires_ms),
        ))
        .execute(db);
    match added {
        Ok(_) => Ok(true),
        Err(error) if is_duplicate(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The newest time that the store has seen, UTC milliseconds: of a token or of a ledger entry.
///
/// # Errors
/// Those of the database.
pub fn newest_ms(db: &mut Db) -> Result<Option<i64>, Failure> {
    let token: Option<i64> = access_token::table
        .order(access_token::expires_ms.desc())
        .select(access_token::issued_ms)
        .first(db)
        .optional()?;
    let operator: Option<i64> = operator_token::table
        .select(diesel::dsl::max(operator_token::created_ms))
        .first(db)?;
    let entry: Option<i64> = ledger_entry::table
        .order(ledger_entry::id.desc())
        .select(ledger_entry::at_us)
        .first(db)
        .optional()?;
    Ok(token.max(operator).max(entry.map(|at_us| at_us / 1000)))
}

/// Deletes some rows that expired more than an hour ago; how many. Tokens end by the clock's lasting time, `lasting_ms`; ids of
/// assertions are forgotten by `surely_ms`, so that a clock set forward does not let them be used again.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, lasting_ms: i64, surely_ms: i64) -> Result<usize, Failure> {
    let before = surely_ms - KEEP_MS;
    let seen: Vec<(String, Vec<u8>)> = assertion_seen::table
        .filter(assertion_seen::expires_ms.lt(before))
        .select((assertion_seen::client_id, assertion_seen::jti_sha256))
        .limit(PRUNE)
        .load(db)?;
    for (client_id, jti) in &seen {
        diesel::delete(
            assertion_seen::table
                .find((client_id, jti))
                .filter(assertion_seen::expires_ms.lt(before)),
        )
        .execute(db)?;
    }
    let before = lasting_ms - KEEP_MS;
    let old: Vec<Vec<u8>> = access_token::table
        .filter(access_token::expires_ms.lt(before))
        .select(access_token::hash)
        .limit(PRUNE)
        .load(db)?;
    diesel::delete(access_token::table.filter(access_token::hash.eq_any(&old))).execute(db)?;
    diesel::delete(operator_token::table.filter(operator_token::expires_ms.lt(before))).execute(db)?;
    Ok(seen.len() + old.len())
}

/// The patient a token may be narrowed to: `wanted` is its id or its UMB value, granted to this partner now.
///
/// # Errors
/// Those of the database.
pub fn granted_patient(db: &mut Db, partner_id: &str, wanted: &Wanted, now_ms: i64) -> Result<Option<String>, Failure> {
    let mut query = grants::table
        .inner_join(consent::table.on(consent::id.eq(grants::consent_id)))
        .inner_join(compartment::table.on(compartment::no.eq(grants::compartment)))
        .filter(grants::partner_id.eq(partner_id))
        .filter(grants::revoked_ms.is_null())
        .filter(grants::valid_from_ms.le(now_ms))
        .filter(grants::valid_until_ms.gt(now_ms))
        .filter(consent::revoked_ms.is_null())
        .filter(consent::period_from_ms.le(now_ms))
        .filter(consent::period_to_ms.gt(now_ms))
        .select(grants::patient_id)
        .into_boxed();
    query = match wanted {
        Wanted::Patient(id) => query.filter(grants::patient_id.eq(id.clone())),
        Wanted::Umb(value) => query.filter(compartment::umb.eq(value.clone())),
    };
    Ok(query.first(db).optional()?)
}

/// How a token request names a patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// By the id of `Patient/<id>`.
    Patient(String),
    /// By the value of the member identifier that `$member-match` answered.
    Umb(String),
}

/// Adds an operator's token, of this role and name.
///
/// # Errors
/// Those of the database.
pub fn insert_operator(
    db: &mut Db,
    hash: &[u8],
    (role, name): (&str, &str),
    created_ms: i64,
    expires_ms: i64,
) -> Result<(), Failure> {
    diesel::insert_into(operator_token::table)
        .values((
            operator_token::hash.eq(hash),
            operator_token::role.eq(role),
            operator_token::created_ms.eq(created_ms),
            operator_token::expires_ms.eq(expires_ms),
            operator_token::name.eq(name),
        ))
        .execute(db)?;
    Ok(())
}

/// Role, expiry and name of an operator's token; tokens of before have no name.
///
/// # Errors
/// Those of the database.
pub fn operator(db: &mut Db, hash: &[u8]) -> Result<Option<(String, i64, Option<String>)>, Failure> {
    Ok(operator_token::table
        .find(hash)
        .select((operator_token::role, operator_token::expires_ms, operator_token::name))
        .first(db)
        .optional()?)
}

//! Operators' tokens, stored as hashes only.
//!
//! A token that was revoked has no row: nothing here can bring it back, and the ledger says that it was there.

use super::connection::Db;
use super::schema::operator_token;
use crate::error::Failure;
use diesel::prelude::*;

/// An operator's token, as stored. Tokens of before have no name.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = operator_token)]
pub struct OperatorTokenRow {
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// What its holder may do.
    pub role: String,
    /// When it was made, lasting UTC milliseconds.
    pub created_ms: i64,
    /// When it ends, lasting UTC milliseconds.
    pub expires_ms: i64,
    /// Whose it is.
    pub name: Option<String>,
}

/// Adds a token, of this role and name.
///
/// # Errors
/// Those of the database.
pub fn insert(
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

/// Role, end and name of the token of this hash.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, hash: &[u8]) -> Result<Option<(String, i64, Option<String>)>, Failure> {
    Ok(operator_token::table
        .find(hash)
        .select((operator_token::role, operator_token::expires_ms, operator_token::name))
        .first(db)
        .optional()?)
}

/// When the token of this hash ends; `None` when there is none any more. Until the caller's transaction ends nobody can delete it: a
/// revocation waits. SQLite has one writer at a time and needs no lock.
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, hash: &[u8]) -> Result<Option<i64>, Failure> {
    let wanted = operator_token::table.find(hash).select(operator_token::expires_ms);
    Ok(match db {
        Db::Pg(pg) => wanted.for_key_share().first(pg).optional()?,
        Db::Sqlite(sqlite) => wanted.first(sqlite).optional()?,
    })
}

/// The tokens that end after `lasting_ms`, the oldest first.
///
/// # Errors
/// Those of the database.
pub fn current(db: &mut Db, lasting_ms: i64) -> Result<Vec<OperatorTokenRow>, Failure> {
    Ok(operator_token::table
        .filter(operator_token::expires_ms.gt(lasting_ms))
        .order((operator_token::created_ms, operator_token::hash))
        .limit(MOST)
        .select((
            operator_token::hash,
            operator_token::role,
            operator_token::created_ms,
            operator_token::expires_ms,
            operator_token::name,
        ))
        .load(db)?)
}

/// The tokens of this name that end after `lasting_ms`, the oldest first: all of them, since a right that is left out would go on.
///
/// # Errors
/// Those of the database.
pub fn current_of(db: &mut Db, name: &str, lasting_ms: i64) -> Result<Vec<OperatorTokenRow>, Failure> {
    Ok(operator_token::table
        .filter(operator_token::expires_ms.gt(lasting_ms))
        .filter(operator_token::name.eq(name))
        .order((operator_token::created_ms, operator_token::hash))
        .select((
            operator_token::hash,
            operator_token::role,
            operator_token::created_ms,
            operator_token::expires_ms,
            operator_token::name,
        ))
        .load(db)?)
}

/// Tokens that are read at once; more than people make in the seven days that one lives.
const MOST: i64 = 10_000;

/// Deletes the token of this hash; `false` when there is none any more.
///
/// # Errors
/// Those of the database.
pub fn delete(db: &mut Db, hash: &[u8]) -> Result<bool, Failure> {
    Ok(diesel::delete(operator_token::table.find(hash)).execute(db)? == 1)
}

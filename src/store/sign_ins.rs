//! Sign-ins at the identity provider that browsers have begun, each kept as a hash only and taken once.
//!
//! Nothing here decides whether a sign-in counts.

use super::connection::Db;
use super::schema::console_sign_in;
use crate::error::Failure;
use diesel::prelude::*;

/// A sign-in that was begun, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInRow {
    /// SHA-256 of the session that the browser had before.
    pub session_before: Option<Vec<u8>>,
    /// The path of the page to which it leads.
    pub place: String,
    /// When it ends, lasting UTC milliseconds.
    pub expires_ms: i64,
}

/// Adds a sign-in.
///
/// # Errors
/// Those of the database.
pub fn insert(db: &mut Db, hash: &[u8], row: &SignInRow) -> Result<(), Failure> {
    diesel::insert_into(console_sign_in::table)
        .values((
            console_sign_in::hash.eq(hash),
            console_sign_in::session_before.eq(row.session_before.as_deref()),
            console_sign_in::place.eq(&row.place),
            console_sign_in::expires_ms.eq(row.expires_ms),
        ))
        .execute(db)?;
    Ok(())
}

/// How many sign-ins have not ended at `lasting_ms`.
///
/// # Errors
/// Those of the database.
pub fn open(db: &mut Db, lasting_ms: i64) -> Result<i64, Failure> {
    Ok(console_sign_in::table
        .filter(console_sign_in::expires_ms.gt(lasting_ms))
        .count()
        .get_result(db)?)
}

/// The sign-in of this hash, whenever it ends. It stays where it is.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, hash: &[u8]) -> Result<Option<SignInRow>, Failure> {
    let found: Option<(Option<Vec<u8>>, String, i64)> = console_sign_in::table
        .find(hash)
        .select((
            console_sign_in::session_before,
            console_sign_in::place,
            console_sign_in::expires_ms,
        ))
        .first(db)
        .optional()?;
    Ok(found.map(|(session_before, place, expires_ms)| SignInRow {
        session_before,
        place,
        expires_ms,
    }))
}

/// Takes the sign-in of this hash away, and gives it to one caller only: of two that come at once the second finds none.
///
/// # Errors
/// Those of the database.
pub fn take(db: &mut Db, hash: &[u8]) -> Result<Option<SignInRow>, Failure> {
    let Some(row) = find(db, hash)? else { return Ok(None) };
    let is_ours = diesel::delete(console_sign_in::table.find(hash)).execute(db)? == 1;
    Ok(is_ours.then_some(row))
}

/// Deletes sign-ins that ended before `lasting_ms`.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, lasting_ms: i64) -> Result<(), Failure> {
    diesel::delete(console_sign_in::table.filter(console_sign_in::expires_ms.lt(lasting_ms))).execute(db)?;
    Ok(())
}

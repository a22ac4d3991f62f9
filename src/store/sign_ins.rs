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

/// Makes room for one more sign-in where `most` are stored, which is 1 or more: the oldest gives way, with those of the same millisecond.
///
/// # Errors
/// Those of the database.
pub fn make_room(db: &mut Db, most: i64) -> Result<(), Failure> {
    let last_of_most: Option<i64> = console_sign_in::table
        .order(console_sign_in::expires_ms.desc())
        .select(console_sign_in::expires_ms)
        .offset(most - 1)
        .first(db)
        .optional()?;
    if let Some(expires_ms) = last_of_most {
        diesel::delete(console_sign_in::table.filter(console_sign_in::expires_ms.le(expires_ms))).execute(db)?;
    }
    Ok(())
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

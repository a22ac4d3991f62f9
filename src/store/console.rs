//! One-time links and sessions of the console, each kept as a hash only.
//!
//! What a session may do is the operator's token of the same hash (`operator_tokens`). Nothing here decides whether a link or a session counts.

use super::connection::Db;
use super::schema::{console_link, console_session};
use crate::error::Failure;
use diesel::prelude::*;

/// A link, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleLinkRow {
    /// SHA-256 of its secret.
    pub hash: Vec<u8>,
    /// What its holder may do: the text of roles.
    pub role: String,
    /// Whose it is.
    pub name: String,
    /// When it ends, lasting UTC milliseconds.
    pub expires_ms: i64,
}

/// A session, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSessionRow {
    /// SHA-256 of the name that its browser gives itself.
    pub agent_sha256: Vec<u8>,
    /// When its browser last asked for a page, lasting UTC milliseconds.
    pub seen_ms: i64,
}

/// Adds a link of this role and name.
///
/// # Errors
/// Those of the database.
pub fn insert_link(
    db: &mut Db,
    hash: &[u8],
    (role, name): (&str, &str),
    created_ms: i64,
    expires_ms: i64,
) -> Result<(), Failure> {
    diesel::insert_into(console_link::table)
        .values((
            console_link::hash.eq(hash),
            console_link::role.eq(role),
            console_link::name.eq(name),
            console_link::created_ms.eq(created_ms),
            console_link::expires_ms.eq(expires_ms),
        ))
        .execute(db)?;
    Ok(())
}

/// Takes the link of this hash away, and gives it to one caller only: of two that come at once the second finds none.
///
/// # Errors
/// Those of the database.
pub fn take_link(db: &mut Db, hash: &[u8]) -> Result<Option<ConsoleLinkRow>, Failure> {
    let found: Option<(Vec<u8>, String, String, i64)> = console_link::table
        .find(hash)
        .select((
            console_link::hash,
            console_link::role,
            console_link::name,
            console_link::expires_ms,
        ))
        .first(db)
        .optional()?;
    let Some((stored, role, name, expires_ms)) = found else {
        return Ok(None);
    };
    let is_ours = diesel::delete(console_link::table.find(hash)).execute(db)? == 1;
    Ok(is_ours.then_some(ConsoleLinkRow {
        hash: stored,
        role,
        name,
        expires_ms,
    }))
}

/// Whether there is a link of this hash, whenever it ends. It stays where it is.
///
/// # Errors
/// Those of the database.
pub fn has_link(db: &mut Db, hash: &[u8]) -> Result<bool, Failure> {
    let found: Option<i64> = console_link::table
        .find(hash)
        .select(console_link::expires_ms)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Takes the links of this name away that end after `lasting_ms`; returns their hashes. One that somebody uses at the same time is not among
/// them: what it began is there instead.
///
/// # Errors
/// Those of the database.
pub fn take_links_of(db: &mut Db, name: &str, lasting_ms: i64) -> Result<Vec<Vec<u8>>, Failure> {
    let hashes: Vec<Vec<u8>> = console_link::table
        .filter(console_link::name.eq(name))
        .filter(console_link::expires_ms.gt(lasting_ms))
        .order(console_link::hash.asc())
        .select(console_link::hash)
        .load(db)?;
    let mut taken = Vec::new();
    for hash in hashes {
        if diesel::delete(console_link::table.find(hash.as_slice())).execute(db)? == 1 {
            taken.push(hash);
        }
    }
    Ok(taken)
}

/// Adds a session of this browser.
///
/// # Errors
/// Those of the database.
pub fn insert_session(
    db: &mut Db,
    hash: &[u8],
    agent_sha256: &[u8],
    seen_ms: i64,
    expires_ms: i64,
) -> Result<(), Failure> {
    diesel::insert_into(console_session::table)
        .values((
            console_session::hash.eq(hash),
            console_session::agent_sha256.eq(agent_sha256),
            console_session::seen_ms.eq(seen_ms),
            console_session::expires_ms.eq(expires_ms),
        ))
        .execute(db)?;
    Ok(())
}

/// The session of this hash.
///
/// # Errors
/// Those of the database.
pub fn session(db: &mut Db, hash: &[u8]) -> Result<Option<ConsoleSessionRow>, Failure> {
    let found: Option<(Vec<u8>, i64)> = console_session::table
        .find(hash)
        .select((console_session::agent_sha256, console_session::seen_ms))
        .first(db)
        .optional()?;
    Ok(found.map(|(agent_sha256, seen_ms)| ConsoleSessionRow { agent_sha256, seen_ms }))
}

/// Notes that the browser of a session asked for a page.
///
/// # Errors
/// Those of the database.
pub fn seen(db: &mut Db, hash: &[u8], seen_ms: i64) -> Result<(), Failure> {
    diesel::update(console_session::table.find(hash))
        .set(console_session::seen_ms.eq(seen_ms))
        .execute(db)?;
    Ok(())
}

/// Deletes the session of this hash, if there is one.
///
/// # Errors
/// Those of the database.
pub fn delete_session(db: &mut Db, hash: &[u8]) -> Result<(), Failure> {
    diesel::delete(console_session::table.find(hash)).execute(db)?;
    Ok(())
}

/// Deletes links and sessions that ended before `lasting_ms`.
///
/// # Errors
/// Those of the database.
pub fn prune(db: &mut Db, lasting_ms: i64) -> Result<(), Failure> {
    diesel::delete(console_link::table.filter(console_link::expires_ms.lt(lasting_ms))).execute(db)?;
    diesel::delete(console_session::table.filter(console_session::expires_ms.lt(lasting_ms))).execute(db)?;
    Ok(())
}

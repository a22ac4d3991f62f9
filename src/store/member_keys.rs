//! The rows beside the file of members' keys ([`crate::secret::member_keys`]): in which line the key of a subject is, and operators' reasons, plain
//! until they are sealed. It seals and opens nothing itself.

use super::schema::{correlation_text, evidence_key, ledger_entry, member_key, operator_note};
use super::statement::{Bind, Statement, run};
use super::{Db, secrets};
use crate::error::{Failure, Fault};
use crate::secret::member_keys::{KeySlot, MemberKeys, ValueOpener};
use diesel::prelude::*;
use std::collections::HashMap;

/// By what a store and its file of keys know each other.
const MARK: &str = "member-keys";
/// Codes that one query looks for.
const CODES: usize = 500;

/// An operator's reason that is not sealed yet.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct PlainNote {
    /// Id of the ledger entry.
    pub entry_id: String,
    /// What the entry is about, if it is about anything.
    pub subject: Option<String>,
    /// The reason.
    pub reason: String,
}

/// The mark of this store; it is made when there is none.
///
/// # Errors
/// Those of the database.
pub fn mark(db: &mut Db) -> Result<[u8; 32], Failure> {
    secrets::get_or_make(db, MARK)
}

/// The mark of this store, if it was made.
///
/// # Errors
/// Those of the database.
pub fn known_mark(db: &mut Db) -> Result<Option<[u8; 32]>, Failure> {
    secrets::find(db, MARK)
}

/// Whether the store knows any key, so that there must be a file of keys.
///
/// # Errors
/// Those of the database.
pub fn has_any(db: &mut Db) -> Result<bool, Failure> {
    let found: Option<String> = member_key::table.select(member_key::code).first(db).optional()?;
    if found.is_some() {
        return Ok(true);
    }
    let found: Option<String> = evidence_key::table
        .select(evidence_key::packet_id)
        .first(db)
        .optional()?;
    if found.is_some() {
        return Ok(true);
    }
    let found: Option<String> = correlation_text::table
        .select(correlation_text::handle)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// What opens the values that stand sealed in this store.
///
/// # Errors
/// Those of the database.
pub fn opener(db: &mut Db, keys: &MemberKeys) -> Result<ValueOpener, Failure> {
    Ok(ValueOpener::new(keys, known_mark(db)?))
}

/// Where the keys with these codes are, by code.
///
/// # Errors
/// [`Fault::StoreDamaged`] for what is no place of a key; those of the database.
pub fn slots_of(db: &mut Db, codes: &[String]) -> Result<HashMap<String, KeySlot>, Failure> {
    let mut found = HashMap::new();
    for some in codes.chunks(CODES) {
        let rows: Vec<(String, Vec<u8>)> = member_key::table
            .filter(member_key::code.eq_any(some))
            .select((member_key::code, member_key::slot))
            .load(db)?;
        for (code, slot) in rows {
            let slot = KeySlot::of(&slot).ok_or(Fault::StoreDamaged)?;
            found.insert(code, slot);
        }
    }
    Ok(found)
}

struct Put;
struct Sealed;

/// Keeps where the keys with these codes are. A code that has a key keeps it.
///
/// # Errors
/// Those of the database.
pub fn put(db: &mut Db, made: &[(String, KeySlot)]) -> Result<(), Failure> {
    let text = "INSERT INTO member_key (code, slot) VALUES (?, ?) ON CONFLICT DO NOTHING";
    for (code, slot) in made {
        let slot = slot.bytes();
        run(
            db,
            Statement::<Put>::new(text, vec![Bind::Text(code), Bind::Blob(&slot)]),
        )?;
    }
    Ok(())
}

/// Forgets where the keys with these codes were.
///
/// # Errors
/// Those of the database.
pub fn forget(db: &mut Db, codes: &[String]) -> Result<(), Failure> {
    for some in codes.chunks(CODES) {
        diesel::delete(member_key::table.filter(member_key::code.eq_any(some))).execute(db)?;
    }
    Ok(())
}

/// Returns the next reasons that are not sealed, of entries after `after` and before `before`, at most `limit`, in the order of the entries.
///
/// # Errors
/// Those of the database.
pub fn plain(db: &mut Db, after: &str, before: &str, limit: i64) -> Result<Vec<PlainNote>, Failure> {
    Ok(operator_note::table
        .inner_join(ledger_entry::table.on(ledger_entry::id.eq(operator_note::entry_id)))
        .filter(operator_note::sealed.is_null())
        .filter(operator_note::entry_id.gt(after))
        .filter(operator_note::entry_id.lt(before))
        .order(operator_note::entry_id)
        .limit(limit)
        .select((operator_note::entry_id, ledger_entry::subject, operator_note::reason))
        .load(db)?)
}

/// Puts a sealed reason into the place of the plain one. One that was sealed or erased meanwhile stays as it is.
///
/// # Errors
/// Those of the database.
pub fn seal(db: &mut Db, entry_id: &str, sealed: &[u8]) -> Result<(), Failure> {
    let text = "UPDATE operator_note SET reason = '', sealed = ? WHERE entry_id = ? AND sealed IS NULL";
    let binds = vec![Bind::Blob(sealed), Bind::Text(entry_id)];
    run(db, Statement::<Sealed>::new(text, binds))?;
    Ok(())
}

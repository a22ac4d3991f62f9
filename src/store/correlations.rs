//! Correlation ids that callers chose, found and opened where they stand sealed: in ledger entries and decisions a handle stands in place of the
//! text, some minutes after it was written, and the text lies sealed in a table of its own.
//!
//! Equal ids have equal handles, so that an index finds them. It seals nothing, and decides nothing about who may see an id.

use super::Db;
use super::entries::EntryRow;
use super::inbound::InboundRow;
use super::member_keys;
use super::ops_queries::{LedgerEntry, StoredDecision};
use super::schema::correlation_text;
use crate::error::Failure;
use crate::secret::member_keys::{MemberKeys, ValuePlace};
use diesel::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// Handles that one query looks for.
const HANDLES: usize = 500;

/// Whether this stands in place of an id. No caller can send an id that begins so ([`crate::ids::is_correlation_id`]).
pub fn is_handle(text: &str) -> bool {
    text.starts_with('{')
}

/// A row with a correlation id, or a handle in its place.
pub trait CorrelatedRow {
    /// The place of the id, and this server's own id of the request, if it stands apart.
    fn place(&mut self) -> (&mut String, Option<&str>);
}

impl CorrelatedRow for EntryRow {
    fn place(&mut self) -> (&mut String, Option<&str>) {
        (&mut self.correlation_id, self.request_id.as_deref())
    }
}

impl CorrelatedRow for LedgerEntry {
    fn place(&mut self) -> (&mut String, Option<&str>) {
        (&mut self.correlation_id, self.request_id.as_deref())
    }
}

impl CorrelatedRow for StoredDecision {
    fn place(&mut self) -> (&mut String, Option<&str>) {
        (&mut self.correlation_id, Some(self.request_id.as_str()))
    }
}

impl CorrelatedRow for InboundRow {
    fn place(&mut self) -> (&mut String, Option<&str>) {
        self.decision.place()
    }
}

/// As what this correlation id may stand in a row: as itself, and as its handle. What is itself a handle is nobody's id.
///
/// # Errors
/// [`Fault::SealKeys`] when ids stand sealed and the file of keys cannot be used: what is on record must not be told as missing then; those of
/// the database.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub fn forms(db: &mut Db, keys: &MemberKeys, correlation_id: &str) -> Result<Vec<String>, Failure> {
    if is_handle(correlation_id) {
        return Ok(Vec::new());
    }
    let mut forms = vec![correlation_id.to_owned()];
    let any: Option<String> = correlation_text::table
        .select(correlation_text::handle)
        .first(db)
        .optional()?;
    if any.is_some() {
        forms.push(member_keys::opener(db, keys)?.handle(correlation_id)?);
    }
    Ok(forms)
}

/// [`forms`] of an id that may be asked for.
///
/// # Errors
/// As [`forms`].
pub fn forms_of(db: &mut Db, keys: &MemberKeys, correlation_id: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
    correlation_id.map(|id| forms(db, keys, id)).transpose()
}

/// Puts the texts into the places of their handles. Where the key of one was destroyed, this server's own id of the request takes its place, as
/// after an erasure.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys cannot be used; those of the database.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub fn open<R: CorrelatedRow>(db: &mut Db, keys: &MemberKeys, rows: &mut [R]) -> Result<(), Failure> {
    let handles: BTreeSet<String> = rows
        .iter_mut()
        .map(|row| row.place().0.clone())
        .filter(|text| is_handle(text))
        .collect();
    if handles.is_empty() {
        return Ok(());
    }
    let texts = texts(db, keys, &handles)?;
    for row in rows {
        let (text, request_id) = row.place();
        if is_handle(text) {
            let known = texts.get(text.as_str()).map(String::as_str);
            let shown = known.or(request_id).unwrap_or_default().to_owned();
            *text = shown;
        }
    }
    Ok(())
}

/// [`open`] for one row.
///
/// # Errors
/// As [`open`].
pub fn open_one<R: CorrelatedRow>(db: &mut Db, keys: &MemberKeys, mut row: R) -> Result<R, Failure> {
    open(db, keys, std::slice::from_mut(&mut row))?;
    Ok(row)
}

/// The texts for which these handles stand, by handle; without those whose keys were destroyed.
fn texts(db: &mut Db, keys: &MemberKeys, handles: &BTreeSet<String>) -> Result<HashMap<String, String>, Failure> {
    let opener = member_keys::opener(db, keys)?;
    let all: Vec<&str> = handles.iter().map(String::as_str).collect();
    let mut texts = HashMap::with_capacity(all.len());
    for some in all.chunks(HANDLES) {
        let rows: Vec<(String, Vec<u8>)> = correlation_text::table
            .filter(correlation_text::handle.eq_any(some))
            .select((correlation_text::handle, correlation_text::sealed))
            .load(db)?;
        for (handle, sealed) in rows {
            let opened = opener.value(ValuePlace::Correlation(&handle), &sealed)?;
            if let Some(text) = opened.and_then(|bytes| String::from_utf8(bytes).ok()) {
                texts.insert(handle, text);
            }
        }
    }
    Ok(texts)
}

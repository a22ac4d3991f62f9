//! The rows of correlation ids that stand sealed: which stand plain still, moving them, and taking out those that nothing has any more or that
//! are a member's who is erased.
//!
//! It seals and opens nothing itself. A row of `correlation_text` names the key of its text until that key is destroyed.

use super::Db;
use super::correlations::is_handle;
use super::schema::{correlation_state, correlation_text, decision, ledger_entry};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use diesel::prelude::*;

/// Rows that one statement names.
const ROWS: usize = 500;

/// Entries or decisions have the handle.
const IN_USE: Option<i64> = None;
/// A row was cut that had it; others may have it.
const LOOSE: i64 = 1;
/// Its key is being destroyed.
const DOOMED: i64 = 2;

/// In which table an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CorrelationPlace {
    /// Beside entries of the ledger.
    Entries,
    /// In decisions.
    Decisions,
}

/// The next rows whose ids may stand plain.
#[derive(Clone, Debug)]
pub struct PlainCorrelations {
    /// Id of each row that has one, and the correlation id.
    pub rows: Vec<(String, String)>,
    /// The last row that was looked at.
    pub upto: String,
}

/// Returns the next rows before the id `before`, of at most `limit` that are looked at; `None` when all were.
///
/// # Errors
/// Those of the database.
pub fn plain(
    db: &mut Db,
    place: CorrelationPlace,
    before: &str,
    limit: i64,
) -> Result<Option<PlainCorrelations>, Failure> {
    let state = correlation_state::table.find(1_i64);
    let from: String = match place {
        CorrelationPlace::Entries => state.select(correlation_state::entries).first(db)?,
        CorrelationPlace::Decisions => state.select(correlation_state::decisions).first(db)?,
    };
    let looked_at: Vec<String> = match place {
        CorrelationPlace::Entries => ledger_entry::table
            .filter(ledger_entry::id.gt(&from))
            .filter(ledger_entry::id.lt(before))
            .order(ledger_entry::id)
            .limit(limit)
            .select(ledger_entry::id)
            .load(db)?,
        CorrelationPlace::Decisions => decision::table
            .filter(decision::id.gt(&from))
            .filter(decision::id.lt(before))
            .order(decision::id)
            .limit(limit)
            .select(decision::id)
            .load(db)?,
    };
    let Some(upto) = looked_at.last() else {
        return Ok(None);
    };
    // Only what the caller chose: this server's own ids say nothing of anybody.
    let mut rows: Vec<(String, String)> = match place {
        CorrelationPlace::Entries => ledger_entry::table
            .filter(ledger_entry::id.gt(&from))
            .filter(ledger_entry::id.le(upto))
            .filter(ledger_entry::request_id.is_not_null())
            .select((ledger_entry::id, ledger_entry::correlation_id))
            .load(db)?,
        CorrelationPlace::Decisions => decision::table
            .filter(decision::id.gt(&from))
            .filter(decision::id.le(upto))
            .filter(decision::correlation_id.ne(decision::request_id))
            .select((decision::id, decision::correlation_id))
            .load(db)?,
    };
    rows.retain(|(_, text)| !is_handle(text));
    Ok(Some(PlainCorrelations {
        rows,
        upto: upto.clone(),
    }))
}

/// The texts that these handles have.
///
/// # Errors
/// Those of the database.
pub fn known(db: &mut Db, handles: &[String]) -> Result<Vec<SealedCorrelation>, Failure> {
    let mut known = Vec::new();
    for some in handles.chunks(ROWS) {
        let rows: Vec<SealedCorrelation> = correlation_text::table
            .filter(correlation_text::handle.eq_any(some))
            .select((
                correlation_text::handle,
                correlation_text::sealed,
                correlation_text::state,
            ))
            .load(db)?;
        known.extend(rows);
    }
    Ok(known)
}

/// Rows whose correlation id becomes a handle.
#[derive(Clone, Debug)]
pub struct MovedCorrelation {
    /// The correlation id.
    pub text: String,
    /// Its handle.
    pub handle: String,
    /// The sealed text, unless the handle had one already that opens.
    pub sealed: Option<Vec<u8>>,
    /// The one that the handle had and that opens no more, as after a restore: its key was destroyed after the backup.
    pub dead: Option<Vec<u8>>,
    /// The rows.
    pub rows: Vec<String>,
}

struct Put;
struct PutAnew;
struct OfEntry;
struct OfDecision;

/// Puts handles into the places of these ids, and keeps up to which row that was done. A row whose id was cut meanwhile stays as it is. Where the
/// key of a handle is being destroyed, its rows stay plain, and are found again.
///
/// # Errors
/// Those of the database.
pub fn seal(db: &mut Db, place: CorrelationPlace, moved: &[MovedCorrelation], upto: &str) -> Result<(), Failure> {
    let mut is_whole = true;
    for one in moved {
        if !put(db, one)? && !hold(db, &one.handle)? {
            is_whole = false;
            continue;
        }
        if relabel(db, place, one)? == 0 {
            loosen(db, std::slice::from_ref(&one.handle))?;
        }
    }
    match is_whole {
        true => advance(db, place, upto),
        false => Ok(()),
    }
}

/// Keeps a text that its handle has not yet, or puts it into the place of one that opens no more. Returns false when the handle has one.
fn put(db: &mut Db, one: &MovedCorrelation) -> Result<bool, Failure> {
    let Some(sealed) = &one.sealed else { return Ok(false) };
    let count = match &one.dead {
        None => {
            let text =
                "INSERT INTO correlation_text (handle, sealed, state) VALUES (?, ?, NULL) ON CONFLICT DO NOTHING";
            let binds = vec![Bind::Text(&one.handle), Bind::Blob(sealed)];
            run(db, Statement::<Put>::new(text, binds))?
        }
        Some(dead) => {
            let text = "UPDATE correlation_text SET sealed = ?, state = NULL WHERE handle = ? AND sealed = ? \
                        AND (state IS NULL OR state = 1)";
            let binds = vec![Bind::Blob(sealed), Bind::Text(&one.handle), Bind::Blob(dead)];
            run(db, Statement::<PutAnew>::new(text, binds))?
        }
    };
    Ok(count == 1)
}

/// Keeps a text from being taken out: on PostgreSQL for other processes too, until the caller's transaction ends. Returns false when that began.
fn hold(db: &mut Db, handle: &str) -> Result<bool, Failure> {
    let held = correlation_text::table
        .find(handle)
        .filter(correlation_text::state.is_null().or(correlation_text::state.eq(LOOSE)));
    let count = diesel::update(held)
        .set(correlation_text::state.eq(IN_USE))
        .execute(db)?;
    Ok(count == 1)
}

/// Returns how many rows got the handle.
fn relabel(db: &mut Db, place: CorrelationPlace, one: &MovedCorrelation) -> Result<usize, Failure> {
    let mut count = 0;
    for row in &one.rows {
        let binds = vec![Bind::Text(&one.handle), Bind::Text(row), Bind::Text(&one.text)];
        count += match place {
            CorrelationPlace::Entries => {
                let text = "UPDATE ledger_entry SET correlation_id = ? WHERE id = ? AND correlation_id = ? AND request_id IS NOT NULL";
                run(db, Statement::<OfEntry>::new(text, binds))?
            }
            CorrelationPlace::Decisions => {
                let text = "UPDATE decision SET correlation_id = ? WHERE id = ? AND correlation_id = ? AND correlation_id <> request_id";
                run(db, Statement::<OfDecision>::new(text, binds))?
            }
        };
    }
    Ok(count)
}

fn advance(db: &mut Db, place: CorrelationPlace, upto: &str) -> Result<(), Failure> {
    match place {
        CorrelationPlace::Entries => {
            let behind = correlation_state::table
                .find(1_i64)
                .filter(correlation_state::entries.lt(upto));
            diesel::update(behind)
                .set(correlation_state::entries.eq(upto))
                .execute(db)?
        }
        CorrelationPlace::Decisions => {
            let behind = correlation_state::table
                .find(1_i64)
                .filter(correlation_state::decisions.lt(upto));
            diesel::update(behind)
                .set(correlation_state::decisions.eq(upto))
                .execute(db)?
        }
    };
    Ok(())
}

/// Notes that rows are cut in which these stand. What is no handle is left alone.
///
/// # Errors
/// Those of the database.
pub(super) fn loosen(db: &mut Db, placed: &[String]) -> Result<(), Failure> {
    let handles: Vec<&str> = placed
        .iter()
        .map(String::as_str)
        .filter(|text| is_handle(text))
        .collect();
    for some in handles.chunks(ROWS) {
        let own = correlation_text::table
            .filter(correlation_text::handle.eq_any(some))
            .filter(correlation_text::state.is_null());
        diesel::update(own).set(correlation_text::state.eq(LOOSE)).execute(db)?;
    }
    Ok(())
}

/// Whether a row was cut that had a handle, and nobody looked yet whether others have it.
///
/// # Errors
/// Those of the database.
pub fn has_loose(db: &mut Db) -> Result<bool, Failure> {
    let found: Option<String> = correlation_text::table
        .filter(correlation_text::state.eq(LOOSE))
        .select(correlation_text::handle)
        .first(db)
        .optional()?;
    Ok(found.is_some())
}

/// Looks whether anything still has the handles of rows that were cut, of at most `limit`. Those that nothing has are doomed.
///
/// # Errors
/// Those of the database.
pub fn doom_unused(db: &mut Db, limit: i64) -> Result<(), Failure> {
    let loose: Vec<String> = correlation_text::table
        .filter(correlation_text::state.eq(LOOSE))
        .limit(limit)
        .select(correlation_text::handle)
        .load(db)?;
    for handle in &loose {
        let state = match is_used(db, handle)? {
            true => IN_USE,
            false => Some(DOOMED),
        };
        let own = correlation_text::table
            .find(handle)
            .filter(correlation_text::state.eq(LOOSE));
        diesel::update(own).set(correlation_text::state.eq(state)).execute(db)?;
    }
    Ok(())
}

fn is_used(db: &mut Db, handle: &str) -> Result<bool, Failure> {
    let entry: Option<String> = ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(handle))
        .select(ledger_entry::id)
        .first(db)
        .optional()?;
    if entry.is_some() {
        return Ok(true);
    }
    let decided: Option<String> = decision::table
        .filter(decision::correlation_id.eq(handle))
        .select(decision::id)
        .first(db)
        .optional()?;
    Ok(decided.is_some())
}

/// Dooms the text of a handle: from now on nothing is moved to it.
///
/// # Errors
/// Those of the database.
pub fn doom(db: &mut Db, handle: &str) -> Result<(), Failure> {
    diesel::update(correlation_text::table.find(handle))
        .set(correlation_text::state.eq(DOOMED))
        .execute(db)?;
    Ok(())
}

/// A text that stands sealed.
#[derive(Clone, Debug, Queryable)]
pub struct SealedCorrelation {
    /// Its handle.
    pub handle: String,
    /// The sealed text.
    pub sealed: Vec<u8>,
    state: Option<i64>,
}

impl SealedCorrelation {
    /// Whether its key is being destroyed.
    pub fn is_doomed(&self) -> bool {
        self.state == Some(DOOMED)
    }
}

/// Returns the next texts after this handle, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn texts_after(db: &mut Db, after: &str, limit: i64) -> Result<Vec<SealedCorrelation>, Failure> {
    Ok(correlation_text::table
        .filter(correlation_text::handle.gt(after))
        .order(correlation_text::handle)
        .limit(limit)
        .select((
            correlation_text::handle,
            correlation_text::sealed,
            correlation_text::state,
        ))
        .load(db)?)
}

/// Returns the texts that are doomed, at most `limit`.
///
/// # Errors
/// Those of the database.
pub fn doomed(db: &mut Db, limit: i64) -> Result<Vec<SealedCorrelation>, Failure> {
    Ok(correlation_text::table
        .filter(correlation_text::state.eq(DOOMED))
        .limit(limit)
        .select((
            correlation_text::handle,
            correlation_text::sealed,
            correlation_text::state,
        ))
        .load(db)?)
}

/// Forgets the text of a handle, whose key is gone and which no row has any more.
///
/// # Errors
/// Those of the database.
pub(super) fn forget(db: &mut Db, handle: &str) -> Result<(), Failure> {
    diesel::delete(correlation_text::table.find(handle)).execute(db)?;
    Ok(())
}

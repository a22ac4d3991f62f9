//! Takes correlation ids that are a member's out of the ledger and of everything else that keeps them, where they stand plain and where a handle
//! stands in their place. Which handles are the member's is found out elsewhere, by who can open them.

use super::Db;
use super::correlation_rows;
use super::correlations::is_handle;
use super::erased_entries::{one, take_correlation};
use super::evidence;
use super::schema::{bulk_job, decision, exchange, ledger_entry, review};
use crate::error::Failure;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// A correlation id is a member's also where it only contains one of the member's values, if that has so many characters.
const CONTAINED: usize = 6;

/// Takes the correlation ids that are, or contain as a whole number, one of these values out of the ledger and of everything else that keeps
/// them. Entries about one of these names, or about nobody, are emptied; of the others only the correlation id goes. Returns how many ids there
/// were.
///
/// # Errors
/// Those of the database.
pub fn close_correlations(db: &mut Db, names: &[String], values: &[String]) -> Result<usize, Failure> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    for value in values {
        let pattern = match value.chars().count() >= CONTAINED {
            true => format!("%{}%", like(value)),
            false => like(value),
        };
        // Of the index alone: reading the entries themselves would take much longer.
        let rows: Vec<String> = ledger_entry::table
            .filter(ledger_entry::correlation_id.like(&pattern).escape('\\'))
            .select(ledger_entry::correlation_id)
            .distinct()
            .load(db)?;
        let kept: Vec<String> = decision::table
            .filter(decision::correlation_id.like(&pattern).escape('\\'))
            .select(decision::correlation_id)
            .distinct()
            .load(db)?;
        found.extend(rows.into_iter().chain(kept));
        let in_evidence = evidence::correlations(db)?.into_iter();
        let is_own = |id: &String| id == value || (pattern.starts_with('%') && id.contains(value.as_str()));
        found.extend(in_evidence.filter(is_own));
    }
    // The like of SQLite does not tell capitals from small letters, and neither database a number from the beginning of a longer one.
    // A handle may have it by chance: what it stands for is looked at where it is opened.
    let is_theirs = |id: &String| !is_handle(id) && values.iter().any(|value| has_whole(id, value));
    found.retain(is_theirs);
    for id in &found {
        close_plain(db, id)?;
        let rows: Vec<(String, Option<String>)> = ledger_entry::table
            .filter(ledger_entry::correlation_id.eq(id))
            .filter(ledger_entry::request_id.is_not_null())
            .select((ledger_entry::id, ledger_entry::subject))
            .load(db)?;
        for (entry, subject) in &rows {
            match subject {
                Some(subject) if !names.contains(subject) => take_correlation(db, entry)?,
                _ => one(db, entry)?,
            }
        }
        diesel::update(decision::table.filter(decision::correlation_id.eq(id)))
            .set(decision::correlation_id.eq(decision::request_id))
            .execute(db)?;
    }
    Ok(found.len())
}

/// Takes a correlation id out of everything that never has a handle in its place: packets and cases, exchanges, reviews and bulk jobs.
///
/// # Errors
/// Those of the database.
pub fn close_plain(db: &mut Db, id: &str) -> Result<(), Failure> {
    evidence::erase_correlation(db, id)?;
    diesel::update(exchange::table.filter(exchange::correlation_id.eq(id)))
        .set(exchange::correlation_id.eq(exchange::id))
        .execute(db)?;
    diesel::update(review::table.filter(review::correlation_id.eq(id)))
        .set(review::correlation_id.eq(review::decision_id))
        .execute(db)?;
    diesel::update(bulk_job::table.filter(bulk_job::correlation_id.eq(id)))
        .set(bulk_job::correlation_id.eq(bulk_job::id))
        .execute(db)?;
    Ok(())
}

/// Cuts everything that has this handle, whose key is gone, and forgets its text. Entries about nobody are emptied, as in [`close_correlations`].
///
/// # Errors
/// Those of the database.
pub fn close_handle(db: &mut Db, handle: &str) -> Result<(), Failure> {
    let rows: Vec<(String, Option<String>)> = ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(handle))
        .select((ledger_entry::id, ledger_entry::subject))
        .load(db)?;
    for (entry, subject) in &rows {
        match subject {
            Some(_) => take_correlation(db, entry)?,
            None => one(db, entry)?,
        }
    }
    diesel::update(decision::table.filter(decision::correlation_id.eq(handle)))
        .set(decision::correlation_id.eq(decision::request_id))
        .execute(db)?;
    correlation_rows::forget(db, handle)
}

/// Whether a correlation id is a member's: it is one of these values, or contains one that is long enough as a whole number.
pub fn is_of(correlation_id: &str, values: &[String]) -> bool {
    values.iter().any(|value| {
        correlation_id == value || (value.chars().count() >= CONTAINED && has_whole(correlation_id, value))
    })
}

/// Whether a text has this value with no letter or digit right before or after it.
fn has_whole(text: &str, value: &str) -> bool {
    let is_part = |beside: Option<char>| beside.is_some_and(char::is_alphanumeric);
    text.char_indices().any(|(at, _)| {
        let (before, from) = text.split_at(at);
        from.strip_prefix(value)
            .is_some_and(|after| !is_part(before.chars().next_back()) && !is_part(after.chars().next()))
    })
}

/// A value as part of a pattern of LIKE.
fn like(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '%' | '_' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_only_as_a_whole() {
        for (text, is_found) in [
            ("M-0001", true),
            ("for M-0001, again", true),
            ("x:M-0001:y", true),
            ("M-00012", false),
            ("AM-0001", false),
            ("m-0001", false),
            ("M-00012 M-0001", true),
        ] {
            assert_eq!(has_whole(text, "M-0001"), is_found, "{text}");
        }
        assert!(has_whole("x1-1-1", "1-1"), "what is tried in vain hides nothing");
    }
}

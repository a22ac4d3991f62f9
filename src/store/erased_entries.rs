//! Empties what opens the entries of the ledger about a member: subjects, salts, correlation ids, reasons, rows of the index, shares of
//! files, and evidence packets that have any of these. The bytes of an entry are never touched, so that its place in the tree stays proven.
//!
//! What an entry is about may be the member, or something that leads to the member, such as a consent. Nothing here decides who is erased.

use super::Db;
use super::ends::{self, UncutEnd};
use super::entries::{self, ENTRY, EntryRow};
use super::evidence;
use super::schema::{
    bulk_job, consent, decision, disclosed_share, exchange, grants, identity_link, ledger_entry, ledger_subject,
    opt_in, review, review_candidate,
};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use crate::secret::member_keys::NOTHING_SEALED;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// Names that one query looks for.
const NAMES: usize = 500;
/// A correlation id is a member's also where it only contains one of the member's values, if that has so many characters.
const CONTAINED: usize = 6;

/// Under which names the ledger knows a member: the id of the Patient, and the ids of the member's consents, grants, opt-ins, links and reviews.
///
/// # Errors
/// Those of the database.
pub fn names_of(db: &mut Db, patient_id: &str) -> Result<Vec<String>, Failure> {
    let mut names: BTreeSet<String> = BTreeSet::from([patient_id.to_owned()]);
    let consents: Vec<String> = consent::table
        .filter(consent::patient_id.eq(patient_id))
        .select(consent::id)
        .load(db)?;
    let granted: Vec<String> = grants::table
        .filter(grants::patient_id.eq(patient_id))
        .select(grants::id)
        .load(db)?;
    let asked: Vec<String> = opt_in::table
        .filter(opt_in::member_id.eq(patient_id))
        .select(opt_in::id)
        .load(db)?;
    let linked: Vec<String> = identity_link::table
        .filter(identity_link::patient_id.eq(patient_id))
        .select(identity_link::id)
        .load(db)?;
    names.extend(consents.into_iter().chain(granted).chain(asked).chain(linked));
    names.extend(reviews_of(db, patient_id)?);
    Ok(names.into_iter().collect())
}

/// The ids of the reviews in which a member is a candidate, was proposed, or was chosen, without those that found another member.
///
/// # Errors
/// Those of the database.
pub(super) fn reviews_of(db: &mut Db, patient_id: &str) -> Result<Vec<String>, Failure> {
    let candidates = review_candidate::table
        .filter(review_candidate::patient_id.eq(patient_id))
        .select(review_candidate::review_id);
    Ok(review::table
        .filter(
            review::patient_id
                .eq(patient_id)
                .or(review::proposed_patient.eq(patient_id))
                .or(review::id.eq_any(candidates)),
        )
        .filter(review::patient_id.is_null().or(review::patient_id.eq(patient_id)))
        .select(review::id)
        .load(db)?)
}

/// How many entries about these names can still be opened. Entries that end a disclosure are not counted: they come with those that begin it.
///
/// # Errors
/// Those of the database.
pub fn count(db: &mut Db, names: &[String]) -> Result<i64, Failure> {
    let mut count = 0;
    for some in names.chunks(NAMES) {
        count += ledger_subject::table
            .filter(ledger_subject::subject.eq_any(some))
            .count()
            .get_result::<i64>(db)?;
        let young = young(db, some)?;
        count += length(young.iter().filter(|row| row.action != entries::COMPLETED));
    }
    Ok(count)
}

/// Returns when the newest entry about a member was written, UTC microseconds.
///
/// # Errors
/// Those of the database.
pub fn newest_us(db: &mut Db, patient_id: &str) -> Result<Option<i64>, Failure> {
    let own = [patient_id.to_owned()];
    let last: Option<String> = ledger_subject::table
        .filter(ledger_subject::subject.eq(patient_id))
        .select(diesel::dsl::max(ledger_subject::entry_id))
        .first(db)?;
    let indexed: Option<i64> = match last {
        None => None,
        Some(id) => ledger_entry::table
            .find(id)
            .select(ledger_entry::at_us)
            .first(db)
            .optional()?,
    };
    let youngest = young(db, &own)?.iter().map(|row| row.at_us).max();
    Ok(indexed.max(youngest))
}

/// The entries about these names that the index does not have yet, those that end a disclosure among them.
fn young(db: &mut Db, names: &[String]) -> Result<Vec<EntryRow>, Failure> {
    let upto = entries::upto(db)?;
    Ok(ledger_entry::table
        .filter(ledger_entry::id.gt(upto))
        .filter(ledger_entry::subject.eq_any(names))
        .select(ENTRY)
        .load(db)?)
}

/// Closes the next entries about these names, at most `limit` and those of the same requests, in the caller's transaction. Returns how many
/// were closed; none are left when it returns 0.
///
/// # Errors
/// Those of the database.
pub fn close(db: &mut Db, names: &[String], limit: i64) -> Result<usize, Failure> {
    let mut next: Vec<EntryRow> = Vec::new();
    for some in names.chunks(NAMES) {
        let left = limit - i64::try_from(next.len()).unwrap_or(limit);
        if left <= 0 {
            break;
        }
        let indexed: Vec<EntryRow> = ledger_entry::table
            .inner_join(ledger_subject::table.on(ledger_subject::entry_id.eq(ledger_entry::id)))
            .filter(ledger_subject::subject.eq_any(some))
            .limit(left)
            .select(ENTRY)
            .load(db)?;
        next.extend(indexed);
        next.extend(young(db, some)?);
    }
    let is_about = |row: &EntryRow| row.subject.as_ref().is_none_or(|name| names.contains(name));
    let begun: Vec<EntryRow> = next
        .iter()
        .filter(|row| row.action == entries::BEGUN)
        .cloned()
        .collect();
    next.extend(ends::of(db, &begun)?.into_iter().filter(is_about));
    let chosen = |row: &EntryRow| Some((row.correlation_id.clone(), row.request_id.clone()?));
    let own: BTreeSet<(String, String)> = next.iter().filter_map(chosen).collect();
    for row in &next {
        one(db, &row.id)?;
        if let Some(name) = &row.subject {
            unlist(db, name, &row.id)?;
        }
    }
    // An index row whose entry was emptied before its row was written.
    for some in names.chunks(NAMES) {
        let ids: Vec<&str> = next.iter().map(|row| row.id.as_str()).collect();
        let listed = ledger_subject::table
            .filter(ledger_subject::subject.eq_any(some))
            .filter(ledger_subject::entry_id.eq_any(ids));
        diesel::delete(listed).execute(db)?;
    }
    // Entries of the same requests that are about nobody, such as that of a match that begins.
    for (correlation, request) in own {
        let rows: Vec<String> = ledger_entry::table
            .filter(ledger_entry::request_id.eq(&request))
            .filter(ledger_entry::subject.is_null())
            .select(ledger_entry::id)
            .load(db)?;
        rows.iter().try_for_each(|id| one(db, id))?;
        // The member's decisions stay findable by the ids that their entries have now.
        for some in names.chunks(NAMES) {
            let decided = decision::table
                .filter(decision::correlation_id.eq(&correlation))
                .filter(decision::request_id.eq(&request))
                .filter(decision::patient_id.eq_any(some));
            diesel::update(decided)
                .set(decision::correlation_id.eq(decision::request_id))
                .execute(db)?;
        }
    }
    Ok(next.len())
}

struct Emptied;
struct Unlisted;
struct Unchosen;
struct Unsaid;

/// Cuts from beside the end of a disclosure what was cut from beside its beginning.
///
/// # Errors
/// Those of the database.
pub fn cut_end(db: &mut Db, end: &UncutEnd) -> Result<(), Failure> {
    match end.is_whole {
        true => empty(db, &end.id),
        false => take_correlation(db, &end.id),
    }
}

/// Empties the columns beside one entry, and the packets that have what stood there: this server's own id of the request takes the place of a
/// correlation id that the caller chose.
fn empty(db: &mut Db, id: &str) -> Result<(), Failure> {
    let text = "UPDATE ledger_entry SET subject = NULL, subject_salt = NULL, \
                correlation_id = COALESCE(request_id, correlation_id), request_id = NULL WHERE id = ?";
    run(db, Statement::<Emptied>::new(text, vec![Bind::Text(id)]))?;
    evidence::erase_opening(db, id)
}

/// Empties one entry, and what its operator gave as a reason.
fn one(db: &mut Db, id: &str) -> Result<(), Failure> {
    empty(db, id)?;
    let text = "UPDATE operator_note SET reason = '', sealed = ? WHERE entry_id = ?";
    let binds = vec![Bind::Blob(NOTHING_SEALED), Bind::Text(id)];
    run(db, Statement::<Unsaid>::new(text, binds))?;
    Ok(())
}

/// Puts this server's own id of the request into the place of the caller's, also out of packets, and leaves everything else of an entry, which
/// is about somebody else.
fn take_correlation(db: &mut Db, id: &str) -> Result<(), Failure> {
    let text = "UPDATE ledger_entry SET correlation_id = request_id, request_id = NULL WHERE id = ? AND request_id IS NOT NULL";
    run(db, Statement::<Unchosen>::new(text, vec![Bind::Text(id)]))?;
    evidence::erase_opening(db, id)
}

fn unlist(db: &mut Db, name: &str, id: &str) -> Result<(), Failure> {
    let text = "DELETE FROM ledger_subject WHERE subject = ? AND entry_id = ?";
    let binds = vec![Bind::Text(name), Bind::Text(id)];
    run(db, Statement::<Unlisted>::new(text, binds))?;
    Ok(())
}

/// Removes the member's shares of files that were downloaded, with what opens their leaves. Returns how many there were.
///
/// # Errors
/// Those of the database.
pub fn close_shares(db: &mut Db, patient_id: &str) -> Result<usize, Failure> {
    let own = disclosed_share::table.filter(disclosed_share::subject.eq(patient_id));
    Ok(diesel::delete(own).execute(db)?)
}

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
    let is_theirs = |id: &String| values.iter().any(|value| has_whole(id, value));
    found.retain(is_theirs);
    for id in &found {
        evidence::erase_correlation(db, id)?;
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
        diesel::update(exchange::table.filter(exchange::correlation_id.eq(id)))
            .set(exchange::correlation_id.eq(exchange::id))
            .execute(db)?;
        diesel::update(review::table.filter(review::correlation_id.eq(id)))
            .set(review::correlation_id.eq(review::decision_id))
            .execute(db)?;
        diesel::update(bulk_job::table.filter(bulk_job::correlation_id.eq(id)))
            .set(bulk_job::correlation_id.eq(bulk_job::id))
            .execute(db)?;
    }
    Ok(found.len())
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

/// Whether the ledger knows something under this Patient id.
///
/// # Errors
/// Those of the database.
pub fn is_known(db: &mut Db, patient_id: &str) -> Result<bool, Failure> {
    Ok(newest_us(db, patient_id)?.is_some())
}

/// How many entries about these names have a correlation id in their bytes that the caller chose. Earlier versions wrote it there, and what the
/// tree commits to stays.
///
/// # Errors
/// Those of the database.
pub fn with_plain_correlation(db: &mut Db, names: &[String]) -> Result<i64, Failure> {
    let mut count = 0;
    for some in names.chunks(NAMES) {
        let rows: Vec<EntryRow> = ledger_entry::table
            .inner_join(ledger_subject::table.on(ledger_subject::entry_id.eq(ledger_entry::id)))
            .filter(ledger_subject::subject.eq_any(some))
            .filter(ledger_entry::request_id.is_not_null())
            .select(ENTRY)
            .load(db)?;
        let young = young(db, some)?.into_iter().filter(|row| row.request_id.is_some());
        let all = rows.into_iter().chain(young);
        count += length(all.filter(has_plain_correlation));
    }
    Ok(count)
}

fn length(rows: impl Iterator) -> i64 {
    i64::try_from(rows.count()).unwrap_or(i64::MAX)
}

fn has_plain_correlation(row: &EntryRow) -> bool {
    const KEY: &[u8] = b"\"correlation_id\":";
    row.entry.windows(KEY.len()).any(|part| part == KEY)
}

/// How many shares of files that were downloaded are a member's.
///
/// # Errors
/// Those of the database.
pub fn count_shares(db: &mut Db, patient_id: &str) -> Result<i64, Failure> {
    Ok(disclosed_share::table
        .filter(disclosed_share::subject.eq(patient_id))
        .count()
        .get_result(db)?)
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

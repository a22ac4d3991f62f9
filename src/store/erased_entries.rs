//! Empties what opens the entries of the ledger about a member: subjects, salts, correlation ids, reasons, rows of the index, shares of
//! files, and evidence packets that have any of these. The bytes of an entry are never touched, so that its place in the tree stays proven.
//!
//! What an entry is about may be the member, or something that leads to the member, such as a consent. Nothing here decides who is erased.

use super::Db;
use super::correlation_rows;
use super::ends::{self, UncutEnd};
use super::entries::{self, ENTRY, EntryRow};
use super::evidence;
use super::schema::{
    consent, decision, disclosed_share, grants, identity_link, ledger_entry, ledger_subject, opt_in, review,
    review_candidate,
};
use super::statement::{Bind, Statement, run};
use crate::error::Failure;
use crate::secret::member_keys::NOTHING_SEALED;
use diesel::prelude::*;
use std::collections::BTreeSet;

/// Names that one query looks for.
const NAMES: usize = 500;

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
    let own: BTreeSet<String> = next.iter().filter_map(|row| row.request_id.clone()).collect();
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
    for request in own {
        let rows: Vec<String> = ledger_entry::table
            .filter(ledger_entry::request_id.eq(&request))
            .filter(ledger_entry::subject.is_null())
            .select(ledger_entry::id)
            .load(db)?;
        rows.iter().try_for_each(|id| one(db, id))?;
        // The member's decisions stay findable by the ids that their entries have now.
        for some in names.chunks(NAMES) {
            let decided = || {
                decision::table
                    .filter(decision::request_id.eq(&request))
                    .filter(decision::patient_id.eq_any(some))
            };
            let placed: Vec<String> = decided().select(decision::correlation_id).load(db)?;
            correlation_rows::loosen(db, &placed)?;
            diesel::update(decided())
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
    loosen(db, id)?;
    let text = "UPDATE ledger_entry SET subject = NULL, subject_salt = NULL, \
                correlation_id = COALESCE(request_id, correlation_id), request_id = NULL WHERE id = ?";
    run(db, Statement::<Emptied>::new(text, vec![Bind::Text(id)]))?;
    evidence::erase_opening(db, id)
}

/// Empties one entry, and what its operator gave as a reason.
///
/// # Errors
/// Those of the database.
pub(super) fn one(db: &mut Db, id: &str) -> Result<(), Failure> {
    empty(db, id)?;
    let text = "UPDATE operator_note SET reason = '', sealed = ? WHERE entry_id = ?";
    let binds = vec![Bind::Blob(NOTHING_SEALED), Bind::Text(id)];
    run(db, Statement::<Unsaid>::new(text, binds))?;
    Ok(())
}

/// Puts this server's own id of the request into the place of the caller's, also out of packets, and leaves everything else of an entry, which
/// is about somebody else.
///
/// # Errors
/// Those of the database.
pub(super) fn take_correlation(db: &mut Db, id: &str) -> Result<(), Failure> {
    loosen(db, id)?;
    let text = "UPDATE ledger_entry SET correlation_id = request_id, request_id = NULL WHERE id = ? AND request_id IS NOT NULL";
    run(db, Statement::<Unchosen>::new(text, vec![Bind::Text(id)]))?;
    evidence::erase_opening(db, id)
}

/// Notes that an entry is cut, where a handle stands in place of its correlation id: the text goes with the last row that has it.
fn loosen(db: &mut Db, id: &str) -> Result<(), Failure> {
    let found: Option<String> = ledger_entry::table
        .find(id)
        .filter(ledger_entry::request_id.is_not_null())
        .select(ledger_entry::correlation_id)
        .first(db)
        .optional()?;
    correlation_rows::loosen(db, found.as_slice())
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

//! Pages of ledger entries for those who search them: by subject through its index, by time along the primary key, and each page in bounded
//! time.
//!
//! A page may be short or empty although more follow: it stops after so many entries were looked at, and says where to go on. The entry
//! that ends a disclosure is never listed by itself, as in [`super::entries`].

use super::Db;
use super::disclosed::{files_of, has_any};
use super::entries::{COMPLETED, ENTRY, EntryRow, upto};
use super::schema::{disclosed_share, ledger_entry, ledger_subject, operator_note};
use crate::error::Failure;
use crate::ids::before_all_of;
use diesel::prelude::*;
use std::collections::HashMap;

/// How many entries one page looks at, where no index finds those that match.
const WINDOW: i64 = 5_000;
/// What sorts after every id, in whatever order of letters.
const AFTER_ALL: &str = "g";

/// Which entries to find.
#[derive(Clone, Debug, Default)]
pub struct EntrySearch {
    /// The id of what they are about.
    pub subject: Option<String>,
    /// Id of the partner concerned.
    pub partner: Option<String>,
    /// At or after this, UTC milliseconds.
    pub from_ms: Option<i64>,
    /// Before this, UTC milliseconds.
    pub to_ms: Option<i64>,
    /// The place at which the last page stopped.
    pub cursor: Option<String>,
    /// Entries of a page.
    pub limit: i64,
}

/// A page of entries, oldest first.
#[derive(Clone, Debug, Default)]
pub struct FoundRows {
    /// The entries.
    pub rows: Vec<EntryRow>,
    /// Where the next page begins, if more may follow.
    pub next: Option<String>,
}

/// Finds a page.
///
/// # Errors
/// Those of the database.
pub fn find(db: &mut Db, search: &EntrySearch) -> Result<FoundRows, Failure> {
    // Ids sort by time, so that no older entry is even read.
    let from = search.from_ms.map(before_all_of).unwrap_or_default();
    let after = search.cursor.clone().unwrap_or_default().max(from);
    match &search.subject {
        Some(subject) => about(db, subject, search, &after),
        None => along(db, search, &after),
    }
}

macro_rules! matching {
    ($query:expr, $search:expr) => {{
        let mut query = $query
            .filter(ledger_entry::action.ne(COMPLETED))
            .select(ENTRY)
            .limit($search.limit + 1)
            .into_boxed();
        if let Some(partner) = &$search.partner {
            query = query.filter(ledger_entry::partner_id.eq(partner));
        }
        if let Some(from_ms) = $search.from_ms {
            query = query.filter(ledger_entry::at_us.ge(from_ms.saturating_mul(1000)));
        }
        if let Some(to_ms) = $search.to_ms {
            query = query.filter(ledger_entry::at_us.lt(to_ms.saturating_mul(1000)));
        }
        query
    }};
}

/// Those that are indexed, then those that are too young for that. Where the first end is read before both: entries are indexed meanwhile.
macro_rules! about {
    ($db:expr, $search:expr, $after:expr, $indexed:expr, $young:expr) => {{
        let upto = upto($db)?;
        let indexed = ledger_subject::table
            .inner_join(ledger_entry::table.on(ledger_entry::id.eq(ledger_subject::entry_id)))
            .filter($indexed)
            .filter(ledger_subject::entry_id.gt($after))
            .filter(ledger_subject::entry_id.le(&upto))
            .order(ledger_subject::entry_id);
        let mut rows: Vec<EntryRow> = matching!(indexed, $search).load($db)?;
        let from = upto.max($after.clone());
        let young = ledger_entry::table
            .filter(ledger_entry::id.gt(from))
            .filter($young)
            .order(ledger_entry::id);
        rows.extend(matching!(young, $search).load::<EntryRow>($db)?);
        rows
    }};
}

/// The entries about a subject, and those about files that have a share of it.
fn about(db: &mut Db, subject: &str, search: &EntrySearch, after: &String) -> Result<FoundRows, Failure> {
    let (indexed, young) = (ledger_subject::subject.eq(subject), ledger_entry::subject.eq(subject));
    let mut rows = about!(db, search, after, indexed, young);
    if has_any(db, &[subject])? {
        let indexed = ledger_subject::subject.eq_any(files_of(subject));
        let young = ledger_entry::subject.eq_any(files_of(subject).select(disclosed_share::file.nullable()));
        rows.extend(about!(db, search, after, indexed, young));
        rows.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(cut(rows, search.limit, None))
}

/// The next entries of all, of which so many are looked at.
fn along(db: &mut Db, search: &EntrySearch, after: &str) -> Result<FoundRows, Failure> {
    let before = search.to_ms.map_or_else(|| AFTER_ALL.to_owned(), before_all_of);
    let last: Option<String> = ledger_entry::table
        .filter(ledger_entry::id.gt(after).and(ledger_entry::id.lt(&before)))
        .order(ledger_entry::id)
        .offset(WINDOW - 1)
        .select(ledger_entry::id)
        .first(db)
        .optional()?;
    let window = ledger_entry::table
        .filter(ledger_entry::id.gt(after).and(ledger_entry::id.lt(&before)))
        .filter(ledger_entry::id.le(last.as_deref().unwrap_or(AFTER_ALL)))
        .order(ledger_entry::id);
    let rows = matching!(window, search).load(db)?;
    Ok(cut(rows, search.limit, last))
}

/// The page of these rows; `window` is the last entry that was looked at, if there may be more.
fn cut(mut rows: Vec<EntryRow>, limit: i64, window: Option<String>) -> FoundRows {
    let limit = usize::try_from(limit).unwrap_or(1);
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let next = match is_more {
        true => rows.last().map(|row| row.id.clone()),
        false => window,
    };
    FoundRows { rows, next }
}

/// Returns the entry with this id, unless it ends a disclosure.
///
/// # Errors
/// Those of the database.
pub fn one(db: &mut Db, id: &str) -> Result<Option<EntryRow>, Failure> {
    let found = ledger_entry::table.find(id).filter(ledger_entry::action.ne(COMPLETED));
    Ok(found.select(ENTRY).first(db).optional()?)
}

/// Who caused an entry, and why.
#[derive(Clone, Debug)]
pub struct NoteRow {
    /// The operator.
    pub operator: String,
    /// The reason, when it is not sealed.
    pub reason: String,
    /// The reason, when it is sealed.
    pub sealed: Option<Vec<u8>>,
}

/// Returns the operators who caused these entries, with their reasons, by entry id.
///
/// # Errors
/// Those of the database.
pub fn notes(db: &mut Db, rows: &[EntryRow]) -> Result<HashMap<String, NoteRow>, Failure> {
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    let found: Vec<(String, String, String, Option<Vec<u8>>)> = operator_note::table
        .filter(operator_note::entry_id.eq_any(ids))
        .select((
            operator_note::entry_id,
            operator_note::operator,
            operator_note::reason,
            operator_note::sealed,
        ))
        .load(db)?;
    let each = found.into_iter().map(|(id, operator, reason, sealed)| {
        let note = NoteRow {
            operator,
            reason,
            sealed,
        };
        (id, note)
    });
    Ok(each.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entries;
    use crate::store::{Store, StoreOptions, StoreUrl};

    /// Entries number 1 to `count`, one in each second, all but the last of the partner `a`; every tenth ends a disclosure.
    fn filled(count: i64) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let sql = format!(
            "WITH RECURSIVE counted (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < {count}) \
             INSERT INTO ledger_entry (id, at_us, action, partner_id, correlation_id, entry, subject) \
             SELECT printf('%08x-%04x-x', (n * 1000) >> 16, (n * 1000) & 65535), n * 1000000, \
             CASE n % 10 WHEN 0 THEN 'disclosure.completed' ELSE 'disclosure.begun' END, \
             CASE n WHEN {count} THEN 'b' ELSE 'a' END, 'c', '{{}}', 'p' || (n % 2) FROM counted"
        );
        store
            .write_blocking(move |db| Ok(diesel::sql_query(&sql).execute(db).map(drop)?))
            .expect("entries");
        (folder, store)
    }

    /// How many entries each page has, to the end.
    fn pages(store: &Store, search: &EntrySearch) -> Vec<usize> {
        let (mut pages, mut search) = (Vec::new(), search.clone());
        loop {
            let page = store.read_blocking(|db| find(db, &search)).expect("a page");
            pages.push(page.rows.len());
            match page.next {
                Some(next) => search.cursor = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn a_page_ends_after_so_many_entries_and_the_next_one_goes_on() {
        let (_folder, store) = filled(WINDOW + 1);
        let of = |search: EntrySearch| pages(&store, &search);
        let limit = 1_000;
        let partner = Some("b".to_owned());
        let found = of(EntrySearch {
            partner,
            limit,
            ..EntrySearch::default()
        });
        assert_eq!(found, [0, 1], "what is rare is found by a page of its own");
        let all: usize = of(EntrySearch {
            limit,
            ..EntrySearch::default()
        })
        .iter()
        .sum();
        assert_eq!(all, 4_501, "no end of a disclosure, and nothing twice");
    }

    #[test]
    fn nothing_is_missed_while_entries_are_indexed() {
        let (_folder, store) = filled(600);
        let about = EntrySearch {
            subject: Some("p1".to_owned()),
            limit: 1_000,
            ..EntrySearch::default()
        };
        let own = store.clone();
        let later_us = 1_000_000_000_000;
        let indexing = std::thread::spawn(move || {
            let index = || own.write_blocking(move |db| entries::index(db, later_us, 4));
            while index().expect("indexed") == 4 {}
        });
        while !indexing.is_finished() {
            let found = store.read_blocking(|db| find(db, &about)).expect("a page");
            assert_eq!(found.rows.len(), 300);
            let listed = store.read_blocking(|db| entries::about_by(db, "p1", entries::BEGUN, "", 1_000));
            assert_eq!(listed.expect("entries").len(), 300);
        }
        indexing.join().expect("all are indexed");
    }

    #[test]
    fn time_and_subject_narrow_from_both_sides() {
        let (_folder, store) = filled(50);
        let between = EntrySearch {
            from_ms: Some(11_000),
            to_ms: Some(20_000),
            limit: 4,
            ..EntrySearch::default()
        };
        assert_eq!(pages(&store, &between), [4, 4, 1]);
        let about = EntrySearch {
            subject: Some("p1".to_owned()),
            ..between
        };
        assert_eq!(pages(&store, &about), [4, 1]);
        let id = before_all_of(11_000) + "-x";
        let one = store.read_blocking(|db| one(db, &id)).expect("read");
        assert_eq!(one.map(|row| row.at_us), Some(11_000_000));
    }
}

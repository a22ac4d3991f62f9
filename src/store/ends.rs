//! Finds disclosures without a *completed* entry: reads the *begun* entries in the order of the ledger, and looks for the end of each.
//!
//! The *completed* entry names the *begun* entry inside its bytes, which nothing ever changes, and is found by this server's id of the request
//! that wrote both. An erasure or retention may have cut the columns beside either of them, or both. The row of
//! `disclosure_end_state` holds the id up to which the ledger was read, so no *begun* entry is looked at twice.

use super::Db;
use super::entries::{BEGUN, COMPLETED, ENTRY, EntryRow};
use super::schema::{disclosure_end_state, ledger_entry};
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use diesel::prelude::*;
use std::collections::{HashMap, HashSet};

/// How many requests one query looks for. A request ends at most as many disclosures as its answer has members.
const REQUESTS: usize = 50;

/// The *completed* entries of these requests, of all or of those about some. There is no order, so that no database walks along the primary key
/// instead of the index of requests.
///
/// The id of a request stands in its own column, or in that of the correlation id: where the caller chose none, and where the caller's was cut.
macro_rules! completed {
    ($db:expr, $requests:expr $(, $about:expr)?) => {{
        let mut found: Vec<EntryRow> = Vec::new();
        for some in $requests.chunks(REQUESTS) {
            let whole: Vec<EntryRow> = ledger_entry::table
                .select(ENTRY)
                .filter(ledger_entry::action.eq(COMPLETED))
                $(.filter($about))?
                .filter(ledger_entry::request_id.eq_any(some))
                .load($db)?;
            let bare: Vec<EntryRow> = ledger_entry::table
                .select(ENTRY)
                .filter(ledger_entry::action.eq(COMPLETED))
                $(.filter($about))?
                .filter(ledger_entry::correlation_id.eq_any(some))
                .filter(ledger_entry::request_id.is_null())
                .load($db)?;
            found.extend(whole.into_iter().chain(bare));
        }
        found
    }};
}

/// The next disclosures, and up to which entry the ledger was read for them.
pub struct NextDisclosures {
    /// The *begun* entries without an end.
    pub open: Vec<EntryRow>,
    /// Ends that still have beside them what was cut from beside their *begun* entries: they were written after it was cut.
    pub uncut: Vec<UncutEnd>,
    upto: String,
    from: String,
    /// Whether the limit was reached, so that more may follow.
    pub is_full: bool,
}

/// An end that has more beside it than its *begun* entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UncutEnd {
    /// Its id.
    pub id: String,
    /// Whether everything was cut from beside the *begun* entry, and not only the caller's correlation id.
    pub is_whole: bool,
}

impl NextDisclosures {
    /// Whether the ledger was read any further.
    pub fn is_further(&self) -> bool {
        self.upto != self.from
    }
}

/// Reads the next disclosures that began before `before_ms` (UTC milliseconds), at most `limit`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is not JSON; those of the database.
pub fn next(db: &mut Db, before_ms: i64, limit: i64) -> Result<NextDisclosures, Failure> {
    let from: String = disclosure_end_state::table
        .find(1)
        .select(disclosure_end_state::upto)
        .first(db)?;
    let before = before_all_of(before_ms);
    // Ids sort by time, so newer entries are not even read.
    let mut begun: Vec<EntryRow> = ledger_entry::table
        .filter(ledger_entry::id.gt(&from).and(ledger_entry::id.lt(&before)))
        .filter(ledger_entry::action.eq(BEGUN))
        .order(ledger_entry::id)
        .limit(limit)
        .select(ENTRY)
        .load(db)?;
    let is_full = i64::try_from(begun.len()) == Ok(limit);
    let upto = match begun.last() {
        Some(last) if is_full => last.id.clone(),
        _ => before.max(from.clone()),
    };
    let mut ends: HashMap<String, EntryRow> = HashMap::new();
    for end in of(db, &begun)? {
        if let Some(id) = begun_of(&end)? {
            ends.insert(id, end);
        }
    }
    let uncut = begun.iter().filter_map(|row| uncut(row, ends.get(&row.id)?)).collect();
    begun.retain(|row| !ends.contains_key(&row.id));
    Ok(NextDisclosures {
        open: begun,
        uncut,
        upto,
        from,
        is_full,
    })
}

/// Returns the *begun* entry with this id, if it exists and has no end.
///
/// # Errors
/// As [`next`].
pub fn open(db: &mut Db, id: &str) -> Result<Option<EntryRow>, Failure> {
    let begun: Option<EntryRow> = ledger_entry::table
        .filter(ledger_entry::id.eq(id).and(ledger_entry::action.eq(BEGUN)))
        .select(ENTRY)
        .first(db)
        .optional()?;
    let Some(begun) = begun else { return Ok(None) };
    let ended = ended(db, std::slice::from_ref(&begun))?;
    Ok((!ended.contains(&begun.id)).then_some(begun))
}

/// Returns the *completed* entries of the requests that wrote these *begun* entries, about the same subjects, in the order of the ledger.
/// Those of other disclosures of these requests may be among them.
///
/// They are looked for by this server's request id. The correlation id is the caller's choice, and may stand in any number of entries. A
/// *begun* entry that lost its subject may have any end of its request.
///
/// # Errors
/// Those of the database.
pub fn of(db: &mut Db, begun: &[EntryRow]) -> Result<Vec<EntryRow>, Failure> {
    let subjects = each(begun.iter().filter_map(|row| row.subject.as_deref()));
    let (whole, cut): (Vec<&EntryRow>, Vec<&EntryRow>) = begun.iter().partition(|row| row.subject.is_some());
    let (whole, cut) = (each(whole.into_iter().map(request)), each(cut.into_iter().map(request)));
    let mut found = completed!(
        db,
        whole,
        ledger_entry::subject
            .is_null()
            .or(ledger_entry::subject.eq_any(&subjects))
    );
    found.extend(completed!(db, cut));
    found.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

/// This server's id of the request that wrote an entry.
fn request(row: &EntryRow) -> &str {
    row.request_id.as_deref().unwrap_or(&row.correlation_id)
}

/// Each name once.
fn each<'r>(names: impl Iterator<Item = &'r str>) -> Vec<&'r str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the ids of *begun* entries that have an end. Ids of other disclosures of the same requests may be among them.
///
/// # Errors
/// As [`next`].
pub fn ended(db: &mut Db, begun: &[EntryRow]) -> Result<HashSet<String>, Failure> {
    let mut ended = HashSet::new();
    for row in of(db, begun)? {
        ended.extend(begun_of(&row)?);
    }
    Ok(ended)
}

/// The id of the *begun* entry that an end names in its bytes.
fn begun_of(end: &EntryRow) -> Result<Option<String>, Failure> {
    let entry: serde_json::Value =
        serde_json::from_slice(&end.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    Ok(entry["begun"].as_str().map(str::to_owned))
}

/// What of an end was cut from beside its *begun* entry, and is there still.
fn uncut(begun: &EntryRow, end: &EntryRow) -> Option<UncutEnd> {
    let is_whole = begun.salt.is_none() && end.salt.is_some();
    // Both are of one request: where only the end has a correlation id of the caller, that of the other was cut.
    let is_correlation = begun.request_id.is_none() && end.request_id.is_some();
    (is_whole || is_correlation).then(|| UncutEnd {
        id: end.id.clone(),
        is_whole,
    })
}

/// Stores up to which entry the ledger was read. Returns false when nothing was read, or when another process stored its progress first;
/// the caller must then write nothing about the disclosures it found.
///
/// # Errors
/// Those of the database.
pub fn follow(db: &mut Db, next: &NextDisclosures) -> Result<bool, Failure> {
    if !next.is_further() {
        return Ok(false);
    }
    let as_it_was = disclosure_end_state::table
        .find(1)
        .filter(disclosure_end_state::upto.eq(&next.from));
    let moved = diesel::update(as_it_was)
        .set(disclosure_end_state::upto.eq(&next.upto))
        .execute(db)?;
    Ok(moved == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::{NewEntry, append};
    use crate::store::retention::due::EvidenceKind;
    use crate::store::retention::gone;
    use crate::store::{Store, StoreOptions, StoreUrl, erased_entries};

    /// An instant before which all ids of these entries sort, UTC milliseconds.
    const LATER_MS: i64 = 0xffff_ffff_ffff;

    /// An entry of the request `r1` about `ana`. `correlation` is the caller's, if the caller chose one.
    fn entry(id: &str, action: &'static str, correlation: Option<&str>, begun: Option<&str>) -> NewEntry {
        let bytes = match begun {
            Some(begun) => format!(r#"{{"begun":"{begun}"}}"#),
            None => "{}".to_owned(),
        };
        NewEntry {
            id: id.to_owned(),
            at_us: 1,
            action,
            partner_id: None,
            exchange_id: None,
            correlation_id: correlation.unwrap_or("r1").to_owned(),
            request_id: correlation.map(|_| "r1".to_owned()),
            entry: bytes.into_bytes(),
            subject: Some("ana".to_owned()),
            salt: [7; 32],
            note: None,
        }
    }

    /// What happens beside the two entries of a disclosure.
    #[derive(Clone, Copy, Debug)]
    enum Cut {
        Nothing,
        ErasedBetween,
        CorrelationErasedBetween,
        CorrelationTakenBetween,
        ErasedAfter,
        BeginningOverBetween,
        BeginningOverAfter,
        EndOver,
    }

    const CUTS: [Cut; 8] = [
        Cut::Nothing,
        Cut::ErasedBetween,
        Cut::CorrelationErasedBetween,
        Cut::CorrelationTakenBetween,
        Cut::ErasedAfter,
        Cut::BeginningOverBetween,
        Cut::BeginningOverAfter,
        Cut::EndOver,
    ];

    fn told(db: &mut Db, cut: Cut, correlation: Option<&str>) -> Result<(), Failure> {
        let ana = ["ana".to_owned()];
        let over = |db: &mut Db, id: &str| gone::delete(db, EvidenceKind::Ledger, &[id.to_owned()], 0);
        append(db, &entry("b1", BEGUN, correlation, None))?;
        append(db, &entry("b2", BEGUN, correlation, None))?;
        match cut {
            Cut::ErasedBetween => {
                erased_entries::close(db, &ana, 10)?;
            }
            Cut::CorrelationErasedBetween | Cut::CorrelationTakenBetween => {
                // Taken: it is a value of somebody else.
                let names: &[String] = if matches!(cut, Cut::CorrelationTakenBetween) {
                    &[]
                } else {
                    &ana
                };
                let values = [correlation.unwrap_or("none").to_owned()];
                erased_entries::close_correlations(db, names, &values)?;
            }
            Cut::BeginningOverBetween => over(db, "b1")?,
            _ => {}
        }
        append(db, &entry("c1", COMPLETED, correlation, Some("b1")))?;
        match cut {
            Cut::ErasedAfter => {
                erased_entries::close(db, &ana, 10)?;
            }
            Cut::BeginningOverAfter => over(db, "b1")?,
            Cut::EndOver => over(db, "c1")?,
            _ => {}
        }
        Ok(())
    }

    #[test]
    fn an_end_that_was_written_after_its_beginning_was_cut_is_cut_too() {
        for cut in CUTS {
            for correlation in [None, Some("M-0001-card")] {
                let folder = tempfile::tempdir().expect("folder");
                let url = StoreUrl::Sqlite(folder.path().join("t.db"));
                let store = Store::open(&url, &StoreOptions::default()).expect("store");
                let (first, second) = store
                    .write_blocking(move |db| {
                        told(db, cut, correlation)?;
                        let first = next(db, LATER_MS, 10)?;
                        for end in &first.uncut {
                            erased_entries::cut_end(db, end)?;
                        }
                        Ok((first.uncut, next(db, LATER_MS, 10)?.uncut))
                    })
                    .expect("written");
                let is_whole = match (cut, correlation) {
                    (Cut::ErasedBetween | Cut::BeginningOverBetween | Cut::BeginningOverAfter, _)
                    | (Cut::CorrelationErasedBetween, Some(_)) => Some(true),
                    (Cut::CorrelationTakenBetween, Some(_)) => Some(false),
                    _ => None,
                };
                let id = "c1".to_owned();
                let expected: Vec<UncutEnd> = is_whole.map(|is_whole| UncutEnd { id, is_whole }).into_iter().collect();
                assert_eq!(first, expected, "{cut:?} {correlation:?}");
                assert!(second.is_empty(), "{cut:?} {correlation:?}: it is cut now");
            }
        }
    }

    #[test]
    fn an_end_is_found_whatever_was_cut_beside_the_entries() {
        for cut in CUTS {
            for correlation in [None, Some("M-0001-card")] {
                let folder = tempfile::tempdir().expect("folder");
                let url = StoreUrl::Sqlite(folder.path().join("t.db"));
                let store = Store::open(&url, &StoreOptions::default()).expect("store");
                let (ended, other) = store
                    .write_blocking(move |db| {
                        told(db, cut, correlation)?;
                        Ok((open(db, "b1")?, open(db, "b2")?))
                    })
                    .expect("written");
                assert!(
                    ended.is_none(),
                    "{cut:?} {correlation:?}: its end would be written twice"
                );
                assert!(other.is_some(), "{cut:?} {correlation:?}: the other one has no end");
            }
        }
    }
}

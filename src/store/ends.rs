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
    Ok(next.is_further() && advance(db, next, &next.upto)?)
}

/// Makes other processes that found the same disclosures wait for the caller's transaction, and stores no progress, so that they are found again.
/// Returns false when another process stored its progress first. Who waited must look again whether a disclosure has an end ([`open`]).
///
/// # Errors
/// Those of the database.
pub fn hold(db: &mut Db, next: &NextDisclosures) -> Result<bool, Failure> {
    advance(db, next, &next.from)
}

fn advance(db: &mut Db, next: &NextDisclosures, upto: &str) -> Result<bool, Failure> {
    let as_it_was = disclosure_end_state::table
        .find(1)
        .filter(disclosure_end_state::upto.eq(&next.from));
    let moved = diesel::update(as_it_was)
        .set(disclosure_end_state::upto.eq(upto))
        .execute(db)?;
    Ok(moved == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::{NewEntry, append};
    use crate::store::retention::due::EvidenceKind;
    use crate::store::retention::gone;
    use crate::store::{Store, StoreOptions, StoreUrl, erased_correlations, erased_entries};

    /// An instant before which all ids of these entries sort, UTC milliseconds.
    const LATER_MS: i64 = 0xffff_ffff_ffff;

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

    /// A case, whose number is in all its names: two disclosures of one request about one member, of which the first ends.
    #[derive(Clone, Copy, Debug)]
    struct Case {
        no: usize,
        cut: Cut,
        /// Whether the caller chose a correlation id.
        is_chosen: bool,
    }

    impl Case {
        fn all() -> impl Iterator<Item = Case> {
            let each = CUTS.into_iter().flat_map(|cut| [(cut, false), (cut, true)]);
            each.enumerate()
                .map(|(no, (cut, is_chosen))| Case { no, cut, is_chosen })
        }

        fn name(self, of: &str) -> String {
            format!("{:02}-{of}", self.no)
        }

        fn entry(self, id: &str, action: &'static str, begun: Option<&str>) -> NewEntry {
            let bytes = match begun {
                Some(begun) => format!(r#"{{"begun":"{}"}}"#, self.name(begun)),
                None => "{}".to_owned(),
            };
            let request = self.name("request");
            let (correlation_id, request_id) = match self.is_chosen {
                true => (self.name("card"), Some(request)),
                false => (request, None),
            };
            NewEntry {
                id: self.name(id),
                at_us: 1,
                action,
                partner_id: None,
                exchange_id: None,
                correlation_id,
                request_id,
                entry: bytes.into_bytes(),
                subject: Some(self.name("ana")),
                salt: [7; 32],
                note: None,
            }
        }

        fn write(self, db: &mut Db) -> Result<(), Failure> {
            let ana = [self.name("ana")];
            let over = |db: &mut Db, id: &str| gone::delete(db, EvidenceKind::Ledger, &[self.name(id)], 0);
            append(db, &self.entry("b1", BEGUN, None))?;
            append(db, &self.entry("b2", BEGUN, None))?;
            match self.cut {
                Cut::ErasedBetween => {
                    erased_entries::close(db, &ana, 10)?;
                }
                Cut::CorrelationErasedBetween => {
                    erased_correlations::close_correlations(db, &ana, &[self.name("card")])?;
                }
                Cut::CorrelationTakenBetween => {
                    // It is a value of somebody else.
                    erased_correlations::close_correlations(db, &[], &[self.name("card")])?;
                }
                Cut::BeginningOverBetween => over(db, "b1")?,
                _ => {}
            }
            append(db, &self.entry("c1", COMPLETED, Some("b1")))?;
            match self.cut {
                Cut::ErasedAfter => {
                    erased_entries::close(db, &ana, 10)?;
                }
                Cut::BeginningOverAfter => over(db, "b1")?,
                Cut::EndOver => over(db, "c1")?,
                _ => {}
            }
            Ok(())
        }
    }

    /// What `look` finds of each case once it is written, in one store.
    fn of_each<T: Send + 'static>(look: fn(&mut Db, Case) -> Result<T, Failure>) -> Vec<(Case, T)> {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let work = move |db: &mut Db| {
            let mut found = Vec::new();
            for case in Case::all() {
                case.write(db)?;
                found.push((case, look(db, case)?));
            }
            Ok(found)
        };
        store.write_blocking(work).expect("written")
    }

    #[test]
    fn an_end_that_was_written_after_its_beginning_was_cut_is_cut_too() {
        // The two disclosures of the case are a page.
        let found = of_each(|db, _| {
            let first = next(db, LATER_MS, 2)?;
            assert!(hold(db, &first)?, "and what is held is found again");
            for end in &first.uncut {
                erased_entries::cut_end(db, end)?;
            }
            let second = next(db, LATER_MS, 2)?;
            assert!(follow(db, &second)?, "and the next page is of the next case");
            Ok((first, second))
        });
        for (case, (first, second)) in found {
            let is_whole = match (case.cut, case.is_chosen) {
                (Cut::ErasedBetween | Cut::BeginningOverBetween | Cut::BeginningOverAfter, _)
                | (Cut::CorrelationErasedBetween, true) => Some(true),
                (Cut::CorrelationTakenBetween, true) => Some(false),
                _ => None,
            };
            let id = case.name("c1");
            let expected: Vec<UncutEnd> = is_whole.map(|is_whole| UncutEnd { id, is_whole }).into_iter().collect();
            assert_eq!(first.uncut, expected, "{case:?}");
            assert!(second.uncut.is_empty(), "{case:?}: it is cut now");
            for page in [first, second] {
                let open: Vec<&str> = page.open.iter().map(|row| row.id.as_str()).collect();
                assert_eq!(open, [case.name("b2")], "{case:?}");
            }
        }
    }

    #[test]
    fn an_end_is_found_whatever_was_cut_beside_the_entries() {
        let found = of_each(|db, case| Ok((open(db, &case.name("b1"))?, open(db, &case.name("b2"))?)));
        for (case, (ended, other)) in found {
            assert!(ended.is_none(), "{case:?}: its end would be written twice");
            assert!(other.is_some(), "{case:?}: the other one has no end");
        }
    }
}

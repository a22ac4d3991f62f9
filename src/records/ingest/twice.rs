//! What came twice, because a part of a record began anew: how the counts of an exchange are put right, so that each resource counts once. It
//! changes no row: every page that came stays what it is.

use super::outcome::{LOST, MADE, NOTICE, OLDER, STORED, UNCHANGED};
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest::{OutcomeCount, ReceivedRow, received_at};
use crate::store::received_twice as rows;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a count is of: outcome, reason, type.
type CountOf = (String, Option<String>, String);

/// By how much each count is too high; negative where it is too low.
#[derive(Debug, Default)]
pub(super) struct FetchedTwice(BTreeMap<CountOf, i64>);

/// Finds what of the pages that were set aside came again.
///
/// # Errors
/// Those of the database.
pub(super) fn fetched(db: &mut Db, exchange_id: &str) -> Result<FetchedTwice, Failure> {
    let mut twice = FetchedTwice::default();
    let mut moved: HashSet<Place> = HashSet::new();
    for page in rows::pages_aside(db, exchange_id)? {
        let mut after = -1;
        loop {
            let some = rows::received_on(db, exchange_id, page, after)?;
            let Some(last) = some.last() else { break };
            after = last.entry;
            let again = came_again(db, exchange_id, &some)?;
            for (row, later) in some.iter().filter_map(|row| Some((row, again.get(&key(row))?))) {
                if !counts(row) || place(later) <= place(row) {
                    continue;
                }
                twice.add(row, 1);
                let is_known = matches!(later.outcome.as_str(), UNCHANGED | OLDER);
                if row.outcome == STORED && is_known && moved.insert(place(later)) {
                    // This exchange stored it when it came first.
                    twice.add(later, 1);
                    twice.add_of((STORED.to_owned(), None, later.rtype.clone()), -1);
                }
            }
        }
    }
    Ok(twice)
}

type Place = (i64, i64);

fn place(row: &ReceivedRow) -> Place {
    (row.page, row.entry)
}

fn counts(row: &ReceivedRow) -> bool {
    !NOT_COUNTED.contains(&row.outcome.as_str())
}

const NOT_COUNTED: [&str; 3] = [MADE, NOTICE, LOST];

/// What makes two rows the same resource: type and id; for what has no id, its content.
type SameAs = (String, String, Vec<u8>);

fn key(row: &ReceivedRow) -> SameAs {
    let content = if row.id.is_empty() {
        row.source_sha256.clone()
    } else {
        Vec::new()
    };
    (row.rtype.clone(), row.id.clone(), content)
}

/// The rows with which these resources came last, of which one stands for all of the same.
fn came_again(db: &mut Db, exchange_id: &str, some: &[ReceivedRow]) -> Result<HashMap<SameAs, ReceivedRow>, Failure> {
    let (mut ids, mut contents) = (BTreeMap::<&str, Vec<&str>>::new(), BTreeMap::<&str, Vec<&[u8]>>::new());
    for row in some.iter().filter(|row| counts(row)) {
        match row.id.is_empty() {
            true => contents.entry(&row.rtype).or_default().push(&row.source_sha256),
            false => ids.entry(&row.rtype).or_default().push(&row.id),
        }
    }
    let mut places: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (rtype, ids) in ids {
        for (page, entry) in rows::last_of_ids(db, exchange_id, (rtype, &ids), &NOT_COUNTED)? {
            places.entry(page).or_default().push(entry);
        }
    }
    for (rtype, contents) in contents {
        for (page, entry) in rows::last_of_contents(db, exchange_id, (rtype, &contents), &NOT_COUNTED)? {
            places.entry(page).or_default().push(entry);
        }
    }
    let mut found = HashMap::new();
    for (page, entries) in places {
        for row in received_at(db, exchange_id, page, &entries)? {
            found.insert(key(&row), row);
        }
    }
    Ok(found)
}

impl FetchedTwice {
    fn add(&mut self, row: &ReceivedRow, count: i64) {
        self.add_of((row.outcome.clone(), row.reason.clone(), row.rtype.clone()), count);
    }

    fn add_of(&mut self, of: CountOf, count: i64) {
        *self.0.entry(of).or_default() += count;
    }

    /// Takes what came twice from the counts of all rows.
    pub fn take_from(self, totals: &mut Vec<OutcomeCount>) {
        for ((outcome, reason, rtype), count) in self.0 {
            let there = totals
                .iter_mut()
                .find(|one| one.outcome == outcome && one.reason == reason && one.rtype == rtype);
            match there {
                Some(one) => one.count -= count,
                None => totals.push(OutcomeCount {
                    outcome,
                    reason,
                    rtype,
                    count: -count,
                }),
            }
        }
        totals.retain(|one| one.count > 0);
    }
}

//! What came twice, because a part of a record began anew: how the counts of an exchange are put right, so that each resource counts once. It
//! changes no row: every page that came stays what it is.

use super::outcome::{LOST, MADE, NOTICE, OLDER, STORED, UNCHANGED};
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest::{OutcomeCount, ReceivedRow};
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
    let mut moved: HashSet<(i64, i64)> = HashSet::new();
    for page in rows::pages_aside(db, exchange_id)? {
        let mut after = (page, -1);
        loop {
            let of_page = rows::received_on(db, exchange_id, page, after.1)?;
            let Some(last) = of_page.last() else { break };
            after = (page, last.entry);
            let ids: Vec<&str> = of_page.iter().map(|row| row.id.as_str()).collect();
            let mut again: HashMap<String, Vec<ReceivedRow>> = HashMap::new();
            for row in rows::received_from(db, exchange_id, page, &ids)? {
                again.entry(row.id.clone()).or_default().push(row);
            }
            for row in of_page.iter().filter(|row| counts(row)) {
                // The last of them stands for all.
                let same = again.get(&row.id).into_iter().flatten();
                let Some(later) = same.filter(|other| is_again(row, other)).max_by_key(|one| place(one)) else {
                    continue;
                };
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

fn place(row: &ReceivedRow) -> (i64, i64) {
    (row.page, row.entry)
}

fn counts(row: &ReceivedRow) -> bool {
    !matches!(row.outcome.as_str(), MADE | NOTICE | LOST)
}

/// Whether `other` is the same resource, and came later. What has no id is known by its content.
fn is_again(row: &ReceivedRow, other: &ReceivedRow) -> bool {
    let is_same = row.id == other.id && row.rtype == other.rtype;
    place(other) > place(row)
        && counts(other)
        && is_same
        && (!row.id.is_empty() || row.source_sha256 == other.source_sha256)
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

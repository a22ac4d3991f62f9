//! What came twice, because a part of a record began anew: how the counts of an exchange are put right, so that each resource counts once. It
//! changes no row: every page that came stays what it is.

use super::outcome::{LOST, MADE, NOTICE, OLDER, STORED, UNCHANGED};
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest::{OutcomeCount, ReceivedRow, pages_from};
use crate::store::received_twice as rows;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What a count is of: outcome, reason, type.
type CountOf = (String, Option<String>, String);

/// By how much each count is too high; negative where it is too low.
#[derive(Debug, Default)]
pub(super) struct FetchedTwice(BTreeMap<CountOf, i64>);

/// Most resources of pages that were set aside that are looked for at once. For each such group the later rows of the exchange are read once.
const TOGETHER: usize = 20_000;
/// Most pages whose numbers are read at once.
const PAGES: i64 = 1_000;

/// Finds what of the pages that were set aside came again.
///
/// # Errors
/// Those of the database.
pub(super) fn fetched(db: &mut Db, exchange_id: &str) -> Result<FetchedTwice, Failure> {
    fetched_by(db, exchange_id, TOGETHER)
}

fn fetched_by(db: &mut Db, exchange_id: &str, together: usize) -> Result<FetchedTwice, Failure> {
    let mut twice = FetchedTwice::default();
    let mut moved: HashSet<Place> = HashSet::new();
    let mut aside: Vec<ReceivedRow> = Vec::new();
    for page in rows::pages_aside(db, exchange_id)? {
        each_on(db, exchange_id, page, &mut |db, row| {
            if !counts(&row) {
                return Ok(());
            }
            aside.push(row);
            if aside.len() < together {
                return Ok(());
            }
            let last = last_of(db, exchange_id, &aside)?;
            twice.add_all(&aside, &last, &mut moved);
            aside.clear();
            Ok(())
        })?;
    }
    let last = last_of(db, exchange_id, &aside)?;
    twice.add_all(&aside, &last, &mut moved);
    Ok(twice)
}

/// Hands the rows of a page to `take`, in their order.
fn each_on(
    db: &mut Db,
    exchange_id: &str,
    page: i64,
    take: &mut dyn FnMut(&mut Db, ReceivedRow) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = -1;
    loop {
        let some = rows::received_on(db, exchange_id, page, after)?;
        let Some(last) = some.last() else { return Ok(()) };
        after = last.entry;
        for row in some {
            take(db, row)?;
        }
    }
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

/// Where a resource came last, and what became of it then.
struct LastRow {
    place: Place,
    rtype: String,
    outcome: String,
}

/// Where these resources, which are in their order, came last in the exchange.
fn last_of(db: &mut Db, exchange_id: &str, aside: &[ReceivedRow]) -> Result<HashMap<SameAs, LastRow>, Failure> {
    let Some(first) = aside.first() else {
        return Ok(HashMap::new());
    };
    let wanted: HashSet<SameAs> = aside.iter().map(key).collect();
    let mut found = HashMap::new();
    let mut from = first.page;
    loop {
        let pages = pages_from(db, exchange_id, from, PAGES)?;
        let Some(last) = pages.last() else { return Ok(found) };
        from = last.page + 1;
        for page in &pages {
            each_on(db, exchange_id, page.page, &mut |_, row| {
                let same = key(&row);
                if counts(&row) && wanted.contains(&same) {
                    let last = LastRow {
                        place: place(&row),
                        rtype: row.rtype,
                        outcome: row.outcome,
                    };
                    found.insert(same, last);
                }
                Ok(())
            })?;
        }
    }
}

impl FetchedTwice {
    /// Counts those of these resources that came again.
    fn add_all(&mut self, aside: &[ReceivedRow], last: &HashMap<SameAs, LastRow>, moved: &mut HashSet<Place>) {
        for (row, later) in aside.iter().filter_map(|row| Some((row, last.get(&key(row))?))) {
            if later.place <= place(row) {
                continue;
            }
            self.add(row, 1);
            let is_known = matches!(later.outcome.as_str(), UNCHANGED | OLDER);
            if row.outcome == STORED && is_known && moved.insert(later.place) {
                // This exchange stored it when it came first.
                self.add_of((later.outcome.clone(), None, later.rtype.clone()), 1);
                self.add_of((STORED.to_owned(), None, later.rtype.clone()), -1);
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use super::super::mark_part;
    use super::super::parts::PartState;
    use super::super::tests::{Bed, condition, person};
    use super::*;

    #[test]
    fn what_came_again_is_found_however_few_are_looked_for_at_once() {
        let bed = Bed::new();
        let scope = bed.scope("e1");
        let strange = condition("s1", "Patient/somebody-else");
        let record = [
            person(),
            condition("c1", "Patient/their-p"),
            condition("c2", "Patient/their-p"),
            strange,
        ];
        bed.bring(&scope, &record);
        for _ in 0..2 {
            let writer = bed.writer();
            let marked = mark_part(&scope, &writer, "$everything", PartState::Open, None, true);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(marked).expect("marked");
            bed.bring(&scope, &record);
        }
        let found = |together: usize| {
            let read = |db: &mut Db| fetched_by(db, "e1", together);
            bed.ctx().store.read_blocking(read).expect("read").0
        };
        let all = found(TOGETHER);
        assert_eq!(all.values().map(|count| count.abs()).sum::<i64>(), 8, "{all:?}");
        for together in [1, 2, 3, 7, 8, 9] {
            assert_eq!(found(together), all, "{together}");
        }
        // Of another exchange, which brings the same, nothing counts here.
        let other = bed.scope("e2");
        bed.bring(&other, &record);
        assert_eq!(found(TOGETHER), all);
    }
}

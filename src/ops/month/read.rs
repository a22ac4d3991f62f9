//! Counts the rows of a time, a page at a time: one pass over our exchanges, the matches of partners, the reviews, and the ledger.
//!
//! Reads only. The pass over the ledger is the dearest: it looks at each entry of the time, since entries have no index by action. So it reads an
//! hour at a time, that no read looks at more entries than those of an hour.

use super::figures::{MonthFigures, MonthTally};
use crate::audit::Action;
use crate::error::Failure;
use crate::ids::before_all_of;
use crate::store::Store;
use crate::store::month_rows::{self, MonthRows};
use chrono_tz::Tz;
use std::collections::{BTreeMap, HashSet};

/// What the ledger has of an exchange for which a person had to do or decide something.
const WITH_PERSON: [Action; 11] = [
    Action::ExchangePersonNeeded,
    Action::ExchangeParked,
    Action::ExchangePaused,
    Action::ExchangeReplayed,
    Action::ExchangeReopened,
    Action::ExchangeCancelled,
    Action::ExchangeSuperseded,
    Action::ExchangeClosed,
    Action::ExchangeTakenBack,
    Action::ExchangeRetracted,
    Action::ExchangeRetractAsked,
];
/// What the entry of a repeated request has, and that of no other match.
const REPLAYED: &[u8] = b"\"reason\":\"replayed\"";

/// The time whose entries of the ledger one read looks at, milliseconds.
const STRETCH_MS: i64 = 3_600_000;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub struct MonthCounted<'a> {
    /// Of this partner; of all without one.
    pub partner: Option<&'a str>,
    /// What began at this time (UTC milliseconds) or later.
    pub from_ms: i64,
    /// And before this time.
    pub until_ms: i64,
    /// The time now.
    pub now_ms: i64,
    /// The payer's time zone, of its business days.
    pub zone: Tz,
}

/// Figures by partner, and of all.
#[derive(Clone, Debug, Default)]
pub struct MonthByPartner {
    /// By the id of the partner.
    pub partners: BTreeMap<String, MonthFigures>,
    /// Of all.
    pub total: MonthFigures,
}

/// Figures by partner that are being counted.
#[derive(Default)]
struct Tallies {
    partners: BTreeMap<String, MonthTally>,
    total: MonthTally,
}

impl Tallies {
    fn count(&mut self, partner: &str, each: impl Fn(&mut MonthTally)) {
        each(&mut self.total);
        each(self.partners.entry(partner.to_owned()).or_default());
    }
}

/// Counts. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn counted(store: &Store, what: MonthCounted<'_>) -> Result<MonthByPartner, Failure> {
    let mut tallies = Tallies::default();
    let (begin, before) = (before_all_of(what.from_ms), before_all_of(what.until_ms));
    let of = MonthRows {
        partner: what.partner,
        before: &before,
    };
    let rows = (of, begin.as_str());
    asked(store, rows, what.now_ms, &mut tallies)?;
    answered(store, rows, &mut tallies)?;
    reviewed(store, rows, (what.zone, what.now_ms), &mut tallies)?;
    repeated(store, what, &mut tallies)?;
    let partners = tallies.partners.into_iter();
    Ok(MonthByPartner {
        partners: partners.map(|(id, tally)| (id, tally.end())).collect(),
        total: tallies.total.end(),
    })
}

/// Whether this page was the last one.
fn is_last<R>(rows: &[R]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|rows| rows < month_rows::PAGE)
}

fn asked(store: &Store, (of, begin): (MonthRows<'_>, &str), now_ms: i64, tallies: &mut Tallies) -> Result<(), Failure> {
    let actions = WITH_PERSON.map(Action::code);
    let mut after = begin.to_owned();
    loop {
        let rows = store.read_blocking(|db| month_rows::asked(db, of, &after))?;
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let mut with_person: HashSet<String> = HashSet::new();
        for some in ids.chunks(200) {
            with_person.extend(store.read_blocking(|db| month_rows::with_actions(db, some, &actions))?);
        }
        for row in &rows {
            let is_with_person = with_person.contains(&row.id);
            tallies.count(&row.partner_id, |tally| tally.asked(row, is_with_person, now_ms));
        }
        match rows.last() {
            Some(last) if !is_last(&rows) => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

fn answered(store: &Store, (of, begin): (MonthRows<'_>, &str), tallies: &mut Tallies) -> Result<(), Failure> {
    let mut after = begin.to_owned();
    loop {
        let rows = store.read_blocking(|db| month_rows::answered(db, of, &after))?;
        for row in &rows {
            tallies.count(&row.partner_id, |tally| tally.answered(row));
        }
        match rows.last() {
            Some(last) if !is_last(&rows) => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

fn reviewed(
    store: &Store,
    (of, begin): (MonthRows<'_>, &str),
    (zone, now_ms): (Tz, i64),
    tallies: &mut Tallies,
) -> Result<(), Failure> {
    let mut after = begin.to_owned();
    loop {
        let rows = store.read_blocking(|db| month_rows::reviewed(db, of, &after))?;
        for row in &rows {
            tallies.count(&row.partner_id, |tally| tally.reviewed(row, zone, now_ms));
        }
        match rows.last() {
            Some(last) if !is_last(&rows) => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

/// Repeated requests, of which the ledger alone has something.
fn repeated(store: &Store, what: MonthCounted<'_>, tallies: &mut Tallies) -> Result<(), Failure> {
    for (begin_ms, end_ms) in stretches(what.from_ms, what.until_ms, what.now_ms) {
        let (begin, before) = (before_all_of(begin_ms), before_all_of(end_ms));
        let of = MonthRows {
            partner: what.partner,
            before: &before,
        };
        repeated_in(store, (of, begin.as_str()), tallies)?;
    }
    Ok(())
}

/// The hours of a time, each with its end, until the one of now.
fn stretches(from_ms: i64, until_ms: i64, now_ms: i64) -> impl Iterator<Item = (i64, i64)> {
    let begins = std::iter::successors(Some(from_ms), |begin_ms| Some(begin_ms + STRETCH_MS));
    begins
        .take_while(move |begin_ms| *begin_ms < until_ms && *begin_ms <= now_ms)
        .map(move |begin_ms| (begin_ms, until_ms.min(begin_ms + STRETCH_MS)))
}

fn repeated_in(store: &Store, (of, begin): (MonthRows<'_>, &str), tallies: &mut Tallies) -> Result<(), Failure> {
    let mut after = begin.to_owned();
    loop {
        let rows = store.read_blocking(|db| month_rows::entered(db, of, Action::MatchBegun.code(), &after))?;
        for row in &rows {
            let is_repeated = row.entry.windows(REPLAYED.len()).any(|piece| piece == REPLAYED);
            if let Some(partner) = row.partner_id.as_deref().filter(|_| is_repeated) {
                tallies.count(partner, MonthTally::repeated);
            }
        }
        match rows.last() {
            Some(last) if !is_last(&rows) => after.clone_from(&last.id),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_the_time_without_a_gap_and_end_with_the_hour_of_now() {
        let of = |until_ms, now_ms| stretches(10, until_ms, now_ms).collect::<Vec<_>>();
        let (first, second) = (10 + STRETCH_MS, 10 + 2 * STRETCH_MS);
        assert_eq!(
            of(second + 5, i64::MAX),
            [(10, first), (first, second), (second, second + 5)]
        );
        assert_eq!(of(second, i64::MAX), [(10, first), (first, second)]);
        assert_eq!(of(second + 5, first), [(10, first), (first, second)]);
        assert_eq!(of(second + 5, 10), [(10, first)]);
        assert!(of(second, 9).is_empty());
    }
}

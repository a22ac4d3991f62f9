//! The end of a disclosure: how many resources of each type were sent, and the ledger entry that says so. It never waits for the store.

use super::begun::BegunDisclosure;
use crate::audit::{Action, EntryOutcome, ledger};
use crate::context::Context;
use crate::telemetry::metrics as families;
use crate::telemetry::spans::{self, SpanKey};
use metrics::Counter;
use std::collections::BTreeMap;

/// How many resources of each type were sent, and of how many of them a part was cut before, where that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: BTreeMap<String, u64>,
    cut: Option<u64>,
}

impl Tally {
    pub(super) fn add(&mut self, rtype: &str) {
        self.add_one(rtype, false);
    }

    /// Counts a resource, of which a part may have been cut.
    pub(super) fn add_one(&mut self, rtype: &str, is_cut: bool) {
        self.add_many(rtype, 1);
        self.cut = Some(self.cut.unwrap_or(0) + u64::from(is_cut));
    }

    /// Notes of how many of the resources a part was cut.
    pub(super) fn cut(&mut self, cut: Option<u64>) {
        self.cut = match (self.cut, cut) {
            (Some(own), Some(cut)) => Some(own + cut),
            (own, cut) => own.or(cut),
        };
    }

    pub(super) fn add_many(&mut self, rtype: &str, more: u64) {
        match self.counts.get_mut(rtype) {
            Some(count) => *count += more,
            None => drop(self.counts.insert(rtype.to_owned(), more)),
        }
    }

    pub(super) fn join(&mut self, other: Tally) {
        for (rtype, count) in other.counts {
            *self.counts.entry(rtype).or_insert(0) += count;
        }
        self.cut(other.cut);
    }
}

/// The counters of completed disclosures, kept by each thread so that no name is looked up.
struct Counters {
    completed: Counter,
    broken_off: Counter,
    bytes: Counter,
}

thread_local! {
    static COUNTERS: Counters = Counters {
        completed: metrics::counter!(families::DISCLOSURES, "outcome" => "completed"),
        broken_off: metrics::counter!(families::DISCLOSURES, "outcome" => "broken-off"),
        bytes: metrics::counter!(families::DISCLOSED_BYTES),
    };
}

fn count(is_whole: bool, bytes: u64) {
    COUNTERS.with(|counters| {
        let ended = match is_whole {
            true => &counters.completed,
            false => &counters.broken_off,
        };
        ended.increment(1);
        counters.bytes.increment(bytes);
    });
}

/// Writes how a disclosure ended. Does not wait: the entry is written together with those of other requests and kept until the store takes
/// it. A missing end entry means "may have been disclosed".
pub(super) fn complete(ctx: &Context, begun: BegunDisclosure, outcome: EntryOutcome, bytes: u64, tally: Tally) {
    count(outcome.class == "ok", bytes);
    let ended = if outcome.class == "ok" {
        "completed"
    } else {
        "broken-off"
    };
    spans::put(&begun.span, SpanKey::Outcome, ended);
    // The span may be that of several disclosures in one answer.
    spans::add(&begun.span, SpanKey::Bytes, bytes);
    let mut entry = begun.entry;
    entry.action = Action::DisclosureCompleted;
    entry.outcome = outcome;
    entry.bytes = Some(bytes);
    entry.counts = tally.counts;
    entry.cut = tally.cut;
    entry.begun = Some(begun.id);
    let now_us = ctx.clock.now_us();
    // The same id for every attempt, so that an entry that was written already is not written again.
    let id = ctx.ids.new_id(now_us / 1000);
    ctx.store.append_later(ledger::row(&entry, &id, now_us));
}

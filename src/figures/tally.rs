//! Figures that are being counted, row by row. Without side effects; it decides what a row counts as.
//!
//! Each row counts for its partner and for all partners. It counts in the minute in which it began, whatever became of it later; a clock
//! counts in the minute in which it ends. So a row has one place, in which it is counted again when it changes.

use super::objective::SloObjective;
use crate::exchange::clocks::answer_due_ms;
use crate::exchange::phase::{AskedFor, DeliveryState, Phase};
use crate::ids::made_ms;
use crate::store::figure_rows::{BegunExchange, DecidedMatch, EndedClock};
use crate::store::figures::{ALL_PARTNERS, FigureGrain, FigureRow};
use crate::store::month_rows::ReviewedInMonth;
use chrono_tz::Tz;
use std::collections::BTreeMap;

/// Exchanges that we began: by kind, phase, who has to act while they go on, and the fault of those that were refused or failed.
pub const ASKED: &str = "asked";
/// Matches that partners asked for: by kind, outcome and reason.
pub const ANSWERED: &str = "answered";
/// Reviews that were opened: by state.
pub const REVIEWED: &str = "reviewed";
/// Exchanges of ours that are complete: by kind, and by the shortest of [`BOUNDS_S`] within which they were.
pub const TURNAROUND: &str = "turnaround";
/// Decided reviews, by the same bounds.
pub const REVIEW_TIME: &str = "review-time";
/// Exchanges of ours whose receipt is acknowledged: by kind.
pub const ACKNOWLEDGED: &str = "acknowledged";
/// Exchanges that somebody let go on or ran again.
pub const REPLAYED: &str = "replayed";
/// Requests for a match that got an earlier answer again.
pub const DUPLICATE: &str = "duplicate";
/// Clocks that have ended: the kind is the objective, the state [`KEPT`] or [`MISSED`]. Of those that were missed the channel is the phase.
pub const CLOCK: &str = "clock";

/// The clock ended in time.
pub const KEPT: &str = "kept";
/// It did not.
pub const MISSED: &str = "missed";

/// We asked.
const OUTBOUND: &str = "outbound";
/// A partner asked.
const INBOUND: &str = "inbound";

/// Bounds of times in seconds; what took longer has the state [`LONGER`].
pub const BOUNDS_S: [i64; 9] = [60, 300, 900, 3_600, 14_400, 43_200, 86_400, 172_800, 604_800];
/// What took longer than all bounds.
pub const LONGER: &str = "longer";

/// What a figure is told apart by, besides partner and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FigureKey {
    /// Which figure.
    pub figure: &'static str,
    /// The type of the request, or the objective.
    pub kind: String,
    /// Who asked; of a missed clock the phase.
    pub channel: String,
    /// How it stands.
    pub state: String,
    /// Who has to act.
    pub owner: String,
    /// The code of a fault.
    pub reason: String,
}

/// Figures that are being counted, for times of one length.
#[derive(Clone, Debug)]
pub struct FigureTally {
    grain: FigureGrain,
    totals: BTreeMap<(String, i64, FigureKey), i64>,
}

impl FigureTally {
    /// Nothing yet, for times of this length.
    pub fn new(grain: FigureGrain) -> FigureTally {
        FigureTally {
            grain,
            totals: BTreeMap::new(),
        }
    }

    fn add(&mut self, partner: &str, at_ms: i64, key: FigureKey) {
        let begin_ms = self.grain.floor(at_ms);
        for of in [partner, ALL_PARTNERS] {
            *self.totals.entry((of.to_owned(), begin_ms, key.clone())).or_default() += 1;
        }
    }

    /// Counts an exchange that this payer began.
    pub fn begun(&mut self, row: &BegunExchange) {
        let at_ms = made_ms(&row.id).unwrap_or(row.created_ms);
        let phase = Phase::parse(&row.phase);
        let has_failed = matches!(phase, Some(Phase::Refused | Phase::Failed));
        let goes_on = phase.is_some_and(|phase| !phase.is_terminal());
        let asked = FigureKey {
            figure: ASKED,
            kind: row.kind.clone(),
            channel: OUTBOUND.to_owned(),
            state: row.phase.clone(),
            owner: if goes_on { row.owner.clone() } else { String::new() },
            reason: row.reason.clone().filter(|_| has_failed).unwrap_or_default(),
        };
        self.add(&row.partner_id, at_ms, asked);
        let of_kind = |figure: &'static str, state: String| FigureKey {
            figure,
            kind: row.kind.clone(),
            channel: OUTBOUND.to_owned(),
            state,
            ..FigureKey::default()
        };
        if row.delivery_state == DeliveryState::Acknowledged.code() {
            self.add(&row.partner_id, at_ms, of_kind(ACKNOWLEDGED, String::new()));
        }
        if let Some(ended_ms) = row.ended_ms.filter(|_| phase == Some(Phase::Completed)) {
            let bound = bound_of(ended_ms - row.created_ms);
            self.add(&row.partner_id, at_ms, of_kind(TURNAROUND, bound));
        }
    }

    /// Counts a match that a partner asked for.
    pub fn decided(&mut self, row: &DecidedMatch) {
        let Some(at_ms) = made_ms(&row.id) else { return };
        let answered = FigureKey {
            figure: ANSWERED,
            kind: row.kind.clone(),
            channel: INBOUND.to_owned(),
            state: row.outcome.clone(),
            reason: row.reason.clone().unwrap_or_default(),
            ..FigureKey::default()
        };
        self.add(&row.partner_id, at_ms, answered);
    }

    /// Counts a review that was opened.
    pub fn reviewed(&mut self, row: &ReviewedInMonth) {
        let at_ms = made_ms(&row.id).unwrap_or(row.opened_ms);
        let of_review = |figure: &'static str, state: String| FigureKey {
            figure,
            channel: INBOUND.to_owned(),
            state,
            ..FigureKey::default()
        };
        self.add(&row.partner_id, at_ms, of_review(REVIEWED, row.state.clone()));
        if let Some(decided_ms) = row.decided_ms {
            let bound = bound_of(decided_ms - row.opened_ms);
            self.add(&row.partner_id, at_ms, of_review(REVIEW_TIME, bound));
        }
    }

    /// Counts an entry of the ledger as this figure.
    pub fn entered(&mut self, figure: &'static str, channel: &'static str, id: &str, partner: &str) {
        let Some(at_ms) = made_ms(id) else { return };
        let entered = FigureKey {
            figure,
            channel: channel.to_owned(),
            ..FigureKey::default()
        };
        self.add(partner, at_ms, entered);
    }

    /// Counts a repeated request of a partner.
    pub fn repeated(&mut self, id: &str, partner: &str) {
        self.entered(DUPLICATE, INBOUND, id, partner);
    }

    /// Counts an exchange that was run again.
    pub fn replayed(&mut self, id: &str, partner: &str) {
        self.entered(REPLAYED, OUTBOUND, id, partner);
    }

    /// Counts the clock of an answer that has ended, and of a record that came whether its receipt is acknowledged by then.
    pub fn answer_due(&mut self, clock: &EndedClock) {
        let is_kept = clock.ended_ms.is_some_and(|ended_ms| ended_ms <= clock.due_ms);
        self.clock(SloObjective::BusinessDay, clock, is_kept);
        let is_acknowledged = clock.delivery_state == DeliveryState::Acknowledged.code();
        if is_acknowledged || clock.delivery_state == DeliveryState::Stored.code() {
            self.clock(SloObjective::Acknowledgement, clock, is_acknowledged && is_kept);
        }
    }

    /// Counts the clock of a request that has ended, in the payer's time zone. An exchange that ended before, without a request, has none.
    pub fn ask_due(&mut self, clock: &EndedClock, zone: Tz) {
        let objective = match AskedFor::parse(&clock.asked_for) {
            Some(AskedFor::Quarter) => SloObjective::Quarterly,
            _ => SloObjective::Week,
        };
        // When the answer is due says when the partner was asked.
        let is_kept = match clock.answer_due_ms {
            Some(due_ms) => due_ms <= answer_due_ms(clock.due_ms, zone),
            None if clock.ended_ms.is_some_and(|ended_ms| ended_ms <= clock.due_ms) => return,
            None => false,
        };
        self.clock(objective, clock, is_kept);
    }

    fn clock(&mut self, objective: SloObjective, clock: &EndedClock, is_kept: bool) {
        let kept = ended(objective, is_kept);
        let key = match is_kept {
            true => kept,
            false => FigureKey {
                channel: clock.phase.clone(),
                owner: clock.owner.clone(),
                reason: clock.reason.clone(),
                ..kept
            },
        };
        self.add(&clock.partner, clock.due_ms, key);
    }

    /// Counts the clock of a review, which ended at `due_ms` (UTC milliseconds).
    pub fn review_due(&mut self, row: &ReviewedInMonth, due_ms: i64) {
        let is_kept = row.decided_ms.is_some_and(|decided_ms| decided_ms <= due_ms);
        let kept = ended(SloObjective::BusinessDay, is_kept);
        let key = match is_kept {
            true => kept,
            false => FigureKey {
                channel: "review".to_owned(),
                owner: "us".to_owned(),
                ..kept
            },
        };
        self.add(&row.partner_id, due_ms, key);
    }

    /// What was counted, as rows.
    pub fn rows(self) -> Vec<FigureRow> {
        let grain = self.grain.code();
        let row = |((partner_id, begin_ms, key), total): ((String, i64, FigureKey), i64)| FigureRow {
            grain,
            partner_id,
            begin_ms,
            figure: key.figure,
            kind: key.kind,
            channel: key.channel,
            state: key.state,
            owner: key.owner,
            reason: key.reason,
            total,
        };
        self.totals.into_iter().map(row).collect()
    }
}

fn ended(objective: SloObjective, is_kept: bool) -> FigureKey {
    FigureKey {
        figure: CLOCK,
        kind: objective.code().to_owned(),
        state: if is_kept { KEPT } else { MISSED }.to_owned(),
        ..FigureKey::default()
    }
}

/// The shortest bound within which this time is, as the state of a figure.
fn bound_of(took_ms: i64) -> String {
    let bound = BOUNDS_S.iter().find(|bound| took_ms <= *bound * 1_000);
    bound.map_or_else(|| LONGER.to_owned(), i64::to_string)
}

#[cfg(test)]
#[path = "tally_tests.rs"]
mod tests;

//! The figures of a month, counted row by row. Pure: values in, values out.
//!
//! Times are exact: the milliseconds of each exchange that ended are kept until the end, 8 bytes each, once for the partner and once for all.

use crate::exchange::clocks::{DueState, answer_due_ms};
use crate::exchange::inbound::{MATCHED, REVIEW};
use crate::exchange::phase::{DeliveryState, Phase};
use crate::review::ReviewState;
use crate::store::month_rows::{AnsweredInMonth, AskedInMonth, ReviewedInMonth};
use chrono_tz::Tz;
use serde::Serialize;
use std::collections::BTreeMap;

/// The outcome of a decision that the guessing guard hid.
const GUARDED: &str = "guarded";

macro_rules! figures {
    ($($(#[$about:meta])* $name:ident,)+) => {
        /// What happened in a month. Times are milliseconds; one is missing where nothing ended.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct MonthFigures {
            $($(#[$about])* pub $name: u64,)+
            /// The median time from the begin to the completion of an exchange of ours.
            pub end_to_end_median_ms: Option<i64>,
            /// The time that 95 of 100 of them needed at most.
            pub end_to_end_p95_ms: Option<i64>,
            /// The median time from the begin of a review to its decision.
            pub review_median_ms: Option<i64>,
            /// How many exchanges of ours were refused or failed for which reason, by the code of the fault.
            pub reasons: BTreeMap<String, u64>,
        }

        /// The names of the counts, in their order.
        pub const COUNTS: &[&str] = &[$(stringify!($name),)+];

        impl MonthFigures {
            /// The counts, in the order of [`COUNTS`].
            pub fn counts(&self) -> Vec<u64> {
                vec![$(self.$name,)+]
            }
        }
    };
}

figures! {
    /// Exchanges that we began.
    asked,
    /// Of these: the record came, and is stored.
    completed,
    /// The partner or the consent refused.
    refused,
    /// They ended without a result.
    failed,
    /// They were withdrawn, or another one took their place.
    withdrawn,
    /// They have not ended.
    open,
    /// They ended, and no person had to do or decide anything.
    without_person,
    /// Their receipt is acknowledged.
    acknowledged,
    /// The partner was asked, and they ended within one business day of that.
    asked_in_time,
    /// They ended later, or are late.
    asked_late,
    /// Matches that partners asked us for.
    answered,
    /// Of these: a member was matched.
    matched,
    /// Nobody was, or nobody alone.
    not_matched,
    /// The consent was not valid, or cannot be honored.
    consent_refused,
    /// The guessing guard refused.
    guarded,
    /// The decision is of a kind that this version does not know.
    decided_otherwise,
    /// The match was in doubt, and a person decides. A question that is asked again counts again.
    doubtful,
    /// Matches that were answered within one business day, at once or by the decision of a person.
    answered_in_time,
    /// Reviews that were decided later, or are late.
    answered_late,
    /// Reviews that were opened.
    reviews,
    /// Of these: a member was confirmed.
    reviews_confirmed,
    /// No candidate was the member.
    reviews_rejected,
    /// Nobody has decided.
    reviews_waiting,
    /// Repeated requests that got their first answer, without any work.
    duplicates,
}

/// Figures that are being counted.
#[derive(Clone, Debug, Default)]
pub struct MonthTally {
    figures: MonthFigures,
    end_to_end_ms: Vec<i64>,
    review_ms: Vec<i64>,
}

impl MonthTally {
    /// Counts an exchange of ours. `is_with_person` says whether a person had to do or decide something.
    pub fn asked(&mut self, row: &AskedInMonth, is_with_person: bool, now_ms: i64) {
        let figures = &mut self.figures;
        figures.asked += 1;
        let phase = Phase::parse(&row.phase);
        match phase {
            Some(Phase::Completed) => figures.completed += 1,
            Some(Phase::Refused) => figures.refused += 1,
            Some(Phase::Failed) => figures.failed += 1,
            Some(Phase::Cancelled | Phase::Superseded) => figures.withdrawn += 1,
            _ => figures.open += 1,
        }
        if matches!(phase, Some(Phase::Refused | Phase::Failed)) {
            let reason = row.reason.clone().unwrap_or_else(|| "none".to_owned());
            *figures.reasons.entry(reason).or_default() += 1;
        }
        if row.delivery_state == DeliveryState::Acknowledged.code() {
            figures.acknowledged += 1;
        }
        if row.ended_ms.is_some() && !is_with_person {
            figures.without_person += 1;
        }
        if let Some(due_ms) = row.answer_due_ms {
            match DueState::of(row.created_ms, due_ms, row.ended_ms, now_ms) {
                DueState::Breached => figures.asked_late += 1,
                _ if row.ended_ms.is_some() => figures.asked_in_time += 1,
                _ => {}
            }
        }
        if let Some(ended_ms) = row.ended_ms.filter(|_| phase == Some(Phase::Completed)) {
            self.end_to_end_ms.push(ended_ms - row.created_ms);
        }
    }

    /// Counts a match that a partner asked for.
    pub fn answered(&mut self, row: &AnsweredInMonth) {
        let figures = &mut self.figures;
        figures.answered += 1;
        match row.outcome.as_str() {
            MATCHED => figures.matched += 1,
            REVIEW => figures.doubtful += 1,
            "consent" | "consent-first" => figures.consent_refused += 1,
            "none" => figures.not_matched += 1,
            GUARDED => figures.guarded += 1,
            _ => figures.decided_otherwise += 1,
        }
        // What is in doubt is answered by its review.
        if row.outcome != REVIEW {
            figures.answered_in_time += 1;
        }
    }

    /// Counts a review that was opened.
    pub fn reviewed(&mut self, row: &ReviewedInMonth, zone: Tz, now_ms: i64) {
        let figures = &mut self.figures;
        figures.reviews += 1;
        match ReviewState::parse(&row.state) {
            Some(ReviewState::Confirmed) => figures.reviews_confirmed += 1,
            Some(ReviewState::Rejected) => figures.reviews_rejected += 1,
            _ => figures.reviews_waiting += 1,
        }
        let due_ms = answer_due_ms(row.opened_ms, zone);
        match DueState::of(row.opened_ms, due_ms, row.decided_ms, now_ms) {
            DueState::Breached => figures.answered_late += 1,
            _ if row.decided_ms.is_some() => figures.answered_in_time += 1,
            _ => {}
        }
        if let Some(decided_ms) = row.decided_ms {
            self.review_ms.push(decided_ms - row.opened_ms);
        }
    }

    /// Counts a repeated request that got its first answer.
    pub fn repeated(&mut self) {
        self.figures.duplicates += 1;
    }

    /// The figures, with their times.
    pub fn end(mut self) -> MonthFigures {
        self.end_to_end_ms.sort_unstable();
        self.review_ms.sort_unstable();
        MonthFigures {
            end_to_end_median_ms: percentile(&self.end_to_end_ms, 50),
            end_to_end_p95_ms: percentile(&self.end_to_end_ms, 95),
            review_median_ms: percentile(&self.review_ms, 50),
            ..self.figures
        }
    }
}

/// The smallest of these sorted values that at least so many of 100 do not exceed (nearest rank).
fn percentile(sorted: &[i64], per_cent: usize) -> Option<i64> {
    let rank = (sorted.len() * per_cent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn asked(phase: Phase, ended_ms: Option<i64>) -> AskedInMonth {
        AskedInMonth {
            id: "x".into(),
            partner_id: "p".into(),
            phase: phase.code().into(),
            delivery_state: "none".into(),
            reason: Some("EX-012".into()),
            created_ms: 0,
            answer_due_ms: Some(24 * HOUR),
            ended_ms,
        }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 95), Some(7));
        assert_eq!(percentile(&[1, 2, 3, 4], 50), Some(2));
        let hundred: Vec<i64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 95), Some(95));
    }

    #[test]
    fn each_exchange_is_counted_once_by_how_it_ended() {
        let mut tally = MonthTally::default();
        tally.asked(&asked(Phase::Completed, Some(2 * HOUR)), false, 100 * HOUR);
        tally.asked(&asked(Phase::Completed, Some(30 * HOUR)), true, 100 * HOUR);
        tally.asked(&asked(Phase::Refused, Some(HOUR)), false, 100 * HOUR);
        tally.asked(&asked(Phase::Superseded, Some(HOUR)), true, 100 * HOUR);
        tally.asked(&asked(Phase::AwaitingPartner, None), false, 100 * HOUR);
        let figures = tally.end();
        assert_eq!(
            (
                figures.asked,
                figures.completed,
                figures.refused,
                figures.withdrawn,
                figures.open
            ),
            (5, 2, 1, 1, 1)
        );
        assert_eq!(
            (figures.without_person, figures.asked_in_time, figures.asked_late),
            (2, 3, 2)
        );
        assert_eq!(figures.end_to_end_median_ms, Some(2 * HOUR));
        assert_eq!(figures.end_to_end_p95_ms, Some(30 * HOUR));
        assert_eq!(figures.reasons, BTreeMap::from([("EX-012".to_owned(), 1)]));
        assert_eq!(figures.counts().len(), COUNTS.len());
    }

    #[test]
    fn a_doubtful_match_is_answered_when_a_person_has_decided() {
        let mut tally = MonthTally::default();
        for outcome in [
            "matched",
            "none",
            "review",
            "consent",
            "consent-first",
            "guarded",
            "new",
        ] {
            tally.answered(&AnsweredInMonth {
                id: "d".into(),
                partner_id: "p".into(),
                outcome: outcome.into(),
            });
        }
        // A Monday at noon in UTC.
        let opened_ms = crate::clock::parse_rfc3339_ms("2026-10-05T12:00:00Z").expect("a time");
        for (state, decided_ms) in [
            ("confirmed", Some(opened_ms + 2 * HOUR)),
            ("rejected", Some(opened_ms + 48 * HOUR)),
            ("open", None),
        ] {
            let row = ReviewedInMonth {
                id: "r".into(),
                partner_id: "p".into(),
                state: state.into(),
                opened_ms,
                decided_ms,
            };
            tally.reviewed(&row, Tz::UTC, opened_ms + 3 * HOUR);
        }
        let figures = tally.end();
        assert_eq!(
            (
                figures.answered,
                figures.matched,
                figures.doubtful,
                figures.consent_refused,
                figures.guarded,
                figures.decided_otherwise
            ),
            (7, 1, 1, 2, 1, 1)
        );
        assert_eq!((figures.answered_in_time, figures.answered_late), (7, 1));
        assert_eq!(
            (
                figures.reviews,
                figures.reviews_confirmed,
                figures.reviews_rejected,
                figures.reviews_waiting
            ),
            (3, 1, 1, 1)
        );
        assert_eq!(figures.review_median_ms, Some(2 * HOUR));
    }
}

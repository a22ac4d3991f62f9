//! The figures of a period, added up from those of its days. Pure: values in, values out.

use crate::exchange::inbound::{MATCHED, REVIEW};
use crate::exchange::phase::Phase;
use crate::figures::tally::{
    ACKNOWLEDGED, ANSWERED, ASKED, BOUNDS_S, CLOCK, DUPLICATE, KEPT, LONGER, MISSED, REPLAYED, REVIEWED, TURNAROUND,
};
use crate::store::figures::FigurePoint;
use serde::Serialize;

/// Places of times: each bound, and what took longer.
const PLACES: usize = BOUNDS_S.len() + 1;

macro_rules! counts {
    ($($(#[$about:meta])* $name:ident: $text:literal,)+) => {
        /// What was exchanged in a period.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct CardFigures {
            $($(#[$about])* pub $name: i64,)+
            /// Within how many seconds half of the complete exchanges were: a bound, or `longer`; none when none was.
            pub median_within_s: Option<String>,
            /// Within how many seconds 95 of 100 were.
            pub p95_within_s: Option<String>,
            #[serde(skip)]
            pub(super) times: [i64; PLACES],
        }

        /// The names of the counts, with their words for people, in their order.
        pub const CARD_COUNTS: &[(&str, &str)] = &[$((stringify!($name), $text),)+];

        impl CardFigures {
            /// The counts, in the order of [`CARD_COUNTS`].
            pub fn counts(&self) -> Vec<i64> {
                vec![$(self.$name,)+]
            }
        }
    };
}

counts! {
    /// Exchanges that we began.
    asked: "Asked",
    /// Of these: the record came, and is stored.
    completed: "Completed",
    /// The partner or the consent refused.
    refused: "Refused",
    /// They ended without a result.
    failed: "Failed",
    /// They were withdrawn, or another one took their place.
    withdrawn: "Withdrawn",
    /// They go on.
    open: "Open",
    /// Their receipt is acknowledged.
    acknowledged: "Acknowledged",
    /// They were run again, or went on after they were parked.
    replayed: "Replayed",
    /// Matches that partners asked for.
    answered: "Matches asked for",
    /// Of these: a member was matched.
    matched: "Matched",
    /// A person decides.
    doubtful: "In doubt",
    /// Repeated requests that got their first answer.
    duplicates: "Repeated requests",
    /// Reviews that were opened.
    reviews: "Reviews",
    /// Clocks of a business day, a week or a quarter that were kept.
    in_time: "Clocks kept",
    /// Such clocks that were missed.
    late: "Clocks missed",
}

impl CardFigures {
    /// Adds a figure of a part of the period.
    pub fn add(&mut self, point: &FigurePoint) {
        let total = point.total;
        match point.figure.as_str() {
            ASKED => {
                self.asked += total;
                *match Phase::parse(&point.state) {
                    Some(Phase::Completed) => &mut self.completed,
                    Some(Phase::Refused) => &mut self.refused,
                    Some(Phase::Failed) => &mut self.failed,
                    Some(Phase::Cancelled | Phase::Superseded) => &mut self.withdrawn,
                    _ => &mut self.open,
                } += total;
            }
            ACKNOWLEDGED => self.acknowledged += total,
            REPLAYED => self.replayed += total,
            ANSWERED => {
                self.answered += total;
                match point.state.as_str() {
                    MATCHED => self.matched += total,
                    REVIEW => self.doubtful += total,
                    _ => {}
                }
            }
            DUPLICATE => self.duplicates += total,
            REVIEWED => self.reviews += total,
            CLOCK if point.kind != "acknowledgement" => match point.state.as_str() {
                KEPT => self.in_time += total,
                MISSED => self.late += total,
                _ => {}
            },
            TURNAROUND => {
                let place = BOUNDS_S.iter().position(|bound| bound.to_string() == point.state);
                self.times[place.unwrap_or(PLACES - 1)] += total;
                self.median_within_s = self.within(50);
                self.p95_within_s = self.within(95);
            }
            _ => {}
        }
    }

    /// Within which bound so many of 100 were (nearest rank).
    fn within(&self, per_cent: i64) -> Option<String> {
        let all: i64 = self.times.iter().sum();
        let rank = (all * per_cent + 99) / 100;
        let mut seen = 0;
        let place = self.times.iter().position(|count| {
            seen += count;
            seen >= rank && all > 0
        })?;
        Some(BOUNDS_S.get(place).map_or_else(|| LONGER.to_owned(), i64::to_string))
    }
}

/// A bound for people.
pub fn bound_text(bound: Option<&str>) -> String {
    let Some(bound) = bound else { return "-".to_owned() };
    match bound.parse::<i64>() {
        Ok(seconds) if seconds >= 86_400 => format!("{} d", seconds / 86_400),
        Ok(seconds) if seconds >= 3_600 => format!("{} h", seconds / 3_600),
        Ok(seconds) => format!("{} min", seconds / 60),
        Err(_) => "over 7 d".to_owned(),
    }
}

/// A count for people, with its change since the period before.
pub fn change_text(now: i64, before: i64) -> String {
    match now - before {
        0 => format!("{now}"),
        change => format!("{now} ({change:+})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(figure: &str, kind: &str, state: &str, total: i64) -> FigurePoint {
        FigurePoint {
            begin_ms: 0,
            figure: figure.into(),
            kind: kind.into(),
            state: state.into(),
            total,
        }
    }

    #[test]
    fn each_figure_has_its_place() {
        let mut card = CardFigures::default();
        for (figure, kind, state, total) in [
            (ASKED, "single", "completed", 5),
            (ASKED, "single", "superseded", 1),
            (ASKED, "bulk", "awaiting_partner", 2),
            (ANSWERED, "member-match", "matched", 3),
            (ANSWERED, "member-match", "review", 1),
            (ANSWERED, "member-match", "none", 1),
            (CLOCK, "business-day", KEPT, 6),
            (CLOCK, "week", MISSED, 1),
            (CLOCK, "acknowledgement", MISSED, 9),
            (DUPLICATE, "", "", 2),
            ("of a newer version", "", "", 100),
        ] {
            card.add(&point(figure, kind, state, total));
        }
        assert_eq!((card.asked, card.completed, card.withdrawn, card.open), (8, 5, 1, 2));
        assert_eq!((card.answered, card.matched, card.doubtful), (5, 3, 1));
        assert_eq!((card.in_time, card.late, card.duplicates), (6, 1, 2));
        assert_eq!(card.counts().len(), CARD_COUNTS.len());
        assert_eq!((card.median_within_s, card.p95_within_s), (None, None));
    }

    #[test]
    fn times_are_told_by_the_bound_that_holds_them() {
        let mut card = CardFigures::default();
        for (state, total) in [("300", 1), ("60", 10), (LONGER, 1)] {
            card.add(&point(TURNAROUND, "single", state, total));
        }
        assert_eq!(card.median_within_s.as_deref(), Some("60"));
        assert_eq!(card.p95_within_s.as_deref(), Some(LONGER));
        for (bound, text) in [
            (None, "-"),
            (Some("60"), "1 min"),
            (Some("14400"), "4 h"),
            (Some("604800"), "7 d"),
            (Some(LONGER), "over 7 d"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
        assert_eq!(change_text(3, 3), "3");
        assert_eq!(change_text(3, 1), "3 (+2)");
        assert_eq!(change_text(1, 3), "1 (-2)");
    }
}

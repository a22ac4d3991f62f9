//! Reads the figures of a period, of one partner or of all, day by day and beside the period before; and how this server stands.

use super::figures::{CARD_COUNTS, CardFigures};
use super::period::CardPeriod;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::figures::tally::{ANSWERED, ASKED};
use crate::ops::reconciliation::row::csv_line;
use crate::ops::slo::read::{self as slo, REST, SloReport};
use crate::store::figures::{self, ALL_PARTNERS, FigureGrain, FigurePoint, FigureSpan};
use crate::store::{Db, alert_figures, jobs};
use serde::Serialize;
use std::collections::BTreeMap;

/// The name of all partners, which no partner can have.
pub const ALL: &str = "(all)";
/// Partners that are named of a period; all others are one.
const PARTNERS: usize = 20;

const DAY_MS: i64 = FigureGrain::Day.ms();

/// A day of a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardDay {
    /// The day of UTC, `YYYY-MM-DD`.
    pub day: String,
    /// Exchanges that we began.
    pub asked: i64,
    /// Matches that partners asked for.
    pub answered: i64,
    /// Clocks that were kept.
    pub in_time: i64,
    /// Clocks that were missed.
    pub late: i64,
}

/// The figures of one partner, or of all, in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scorecard {
    /// The partner, or [`ALL`].
    pub partner: String,
    /// The period.
    pub period: String,
    /// Its first instant.
    pub from: String,
    /// The first instant after it.
    pub until: String,
    /// Whether it is over.
    pub is_over: bool,
    /// When this was read.
    pub made_at: String,
    /// In the period.
    pub figures: CardFigures,
    /// In the period before.
    pub before: CardFigures,
    /// Each day up to now.
    pub days: Vec<CardDay>,
}

/// How much was exchanged with one partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartnerVolume {
    /// The partner; `(rest)` for all that exchanged less.
    pub partner: String,
    /// Exchanges and matches.
    pub exchanged: i64,
}

/// The background work as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceQueue {
    /// Jobs that are due; 5,000 stands for all that are more.
    pub due: i64,
    /// How long the one that was due first has waited, milliseconds.
    pub late_ms: i64,
    /// Jobs that wait for an operator.
    pub parked: i64,
    /// The age of the oldest of them, milliseconds.
    pub oldest_parked_ms: i64,
}

/// How this server does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceReport {
    /// All partners in the period.
    pub card: Scorecard,
    /// With whom most was exchanged, and the rest.
    pub partners: Vec<PartnerVolume>,
    /// How many partners there are in that list and its rest.
    pub partners_active: usize,
    /// Whether so much is on record that the list is of the newest days alone.
    pub partners_are_cut: bool,
    /// Background work now.
    pub queue: ServiceQueue,
    /// What was promised, and how much may still be missed.
    pub slo: SloReport,
}

/// The parts of a time: whole days by rows of days, and the last two days by rows of hours, which may not be added up yet.
fn parts(partner: &str, (from_ms, until_ms): (i64, i64), now_ms: i64) -> [FigureSpan<'_>; 2] {
    let yesterday_ms = FigureGrain::Day.floor(now_ms) - DAY_MS;
    [
        FigureSpan {
            grain: FigureGrain::Day,
            partner,
            from_ms,
            until_ms: until_ms.min(yesterday_ms),
        },
        FigureSpan {
            grain: FigureGrain::Hour,
            partner,
            from_ms: from_ms.max(yesterday_ms),
            until_ms: until_ms.min(now_ms),
        },
    ]
}

fn points(db: &mut Db, partner: &str, time: (i64, i64), now_ms: i64) -> Result<Vec<FigurePoint>, Failure> {
    let mut points = Vec::new();
    for of in parts(partner, time, now_ms) {
        points.extend(figures::points(db, of)?);
    }
    Ok(points)
}

/// The scorecard of a partner, or of all without one, at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database.
pub fn scorecard(db: &mut Db, partner: Option<&str>, period: &CardPeriod, now_ms: i64) -> Result<Scorecard, Failure> {
    let of = partner.unwrap_or(ALL_PARTNERS);
    let now = points(db, of, (period.from_ms, period.until_ms), now_ms)?;
    let earlier = points(db, of, (period.before_ms, period.from_ms), now_ms)?;
    let sum = |points: &[FigurePoint]| {
        let mut sum = CardFigures::default();
        points.iter().for_each(|point| sum.add(point));
        sum
    };
    Ok(Scorecard {
        partner: partner.unwrap_or(ALL).to_owned(),
        period: period.name.clone(),
        from: rfc3339_ms(period.from_ms),
        until: rfc3339_ms(period.until_ms),
        is_over: period.until_ms <= now_ms,
        made_at: rfc3339_ms(now_ms),
        figures: sum(&now),
        before: sum(&earlier),
        days: days(&now, period, now_ms),
    })
}

/// Each day of a period up to now, also those without anything.
fn days(points: &[FigurePoint], period: &CardPeriod, now_ms: i64) -> Vec<CardDay> {
    let mut by_day: BTreeMap<i64, CardFigures> = BTreeMap::new();
    let mut day_ms = period.from_ms;
    while day_ms < period.until_ms.min(now_ms) {
        by_day.insert(day_ms, CardFigures::default());
        day_ms += DAY_MS;
    }
    for point in points {
        by_day
            .entry(FigureGrain::Day.floor(point.begin_ms))
            .or_default()
            .add(point);
    }
    let day = |(begin_ms, figures): (i64, CardFigures)| CardDay {
        day: rfc3339_ms(begin_ms).chars().take(10).collect(),
        asked: figures.asked,
        answered: figures.answered,
        in_time: figures.in_time,
        late: figures.late,
    };
    by_day.into_iter().map(day).collect()
}

/// How this server does, at `now_ms` (UTC milliseconds).
///
/// # Errors
/// Those of the database, and of [`slo::report`].
pub fn service(db: &mut Db, period: &CardPeriod, now_ms: i64) -> Result<ServiceReport, Failure> {
    let card = scorecard(db, None, period, now_ms)?;
    let mut by_partner: BTreeMap<String, i64> = BTreeMap::new();
    let mut partners_are_cut = false;
    for of in parts(ALL_PARTNERS, (period.from_ms, period.until_ms), now_ms) {
        let (some, is_cut) = figures::by_partner(db, of, [ASKED, ANSWERED])?;
        partners_are_cut |= is_cut;
        for (partner, exchanged) in some {
            *by_partner.entry(partner).or_default() += exchanged;
        }
    }
    let standing = jobs::standing(db, now_ms)?;
    Ok(ServiceReport {
        card,
        partners_active: by_partner.len(),
        partners: busiest(by_partner),
        partners_are_cut,
        queue: ServiceQueue {
            due: alert_figures::due_jobs(db, now_ms)?,
            late_ms: standing.late_ms,
            parked: standing.parked,
            oldest_parked_ms: standing.oldest_parked_ms,
        },
        slo: slo::report(db, now_ms)?,
    })
}

/// With whom most was exchanged, and the rest as one.
fn busiest(by_partner: BTreeMap<String, i64>) -> Vec<PartnerVolume> {
    let volume = |(partner, exchanged): (String, i64)| PartnerVolume { partner, exchanged };
    let mut all: Vec<PartnerVolume> = by_partner.into_iter().map(volume).collect();
    // The sort is stable, so that equal ones stay in the order of their names.
    all.sort_by_key(|one| std::cmp::Reverse(one.exchanged));
    let rest: i64 = all.iter().skip(PARTNERS).map(|one| one.exchanged).sum();
    all.truncate(PARTNERS);
    if rest > 0 {
        all.push(volume((REST.to_owned(), rest)));
    }
    all
}

impl Scorecard {
    /// The scorecard as CSV: a line of the period, and one of the period before.
    pub fn csv(&self) -> String {
        let mut header = vec!["partner", "period"];
        header.extend(CARD_COUNTS.iter().map(|(name, _)| *name));
        header.extend(["median_within_s", "p95_within_s"]);
        let mut text = csv_line(&header);
        for (period, figures) in [(self.period.as_str(), &self.figures), ("before", &self.before)] {
            let mut cells = vec![self.partner.clone(), period.to_owned()];
            cells.extend(figures.counts().iter().map(i64::to_string));
            cells.extend(
                [&figures.median_within_s, &figures.p95_within_s].map(|bound| bound.clone().unwrap_or_default()),
            );
            let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
            text += &csv_line(&cells);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period() -> CardPeriod {
        CardPeriod {
            name: "2026-W48".into(),
            from_ms: 0,
            until_ms: 7 * DAY_MS,
            before_ms: -7 * DAY_MS,
        }
    }

    fn asked(begin_ms: i64, total: i64) -> FigurePoint {
        FigurePoint {
            begin_ms,
            figure: ASKED.into(),
            kind: "single".into(),
            state: "completed".into(),
            total,
        }
    }

    #[test]
    fn a_period_has_each_day_up_to_now() {
        let points = [
            asked(0, 1),
            asked(2 * DAY_MS + 3_600_000, 2),
            asked(2 * DAY_MS + 7_200_000, 3),
        ];
        let found = days(&points, &period(), 2 * DAY_MS + 9_000_000);
        let told: Vec<(&str, i64)> = found.iter().map(|day| (day.day.as_str(), day.asked)).collect();
        assert_eq!(told, [("1970-01-01", 1), ("1970-01-02", 0), ("1970-01-03", 5)]);
    }

    #[test]
    fn days_and_hours_meet_without_a_gap_and_end_with_the_period() {
        let now_ms = 5 * DAY_MS + 1_000;
        let [whole, last] = parts("p", (0, 7 * DAY_MS), now_ms);
        assert_eq!((whole.from_ms, whole.until_ms), (0, 4 * DAY_MS));
        assert_eq!((last.from_ms, last.until_ms), (4 * DAY_MS, now_ms));
        let [whole, last] = parts("p", (0, 7 * DAY_MS), 100 * DAY_MS);
        assert_eq!((whole.until_ms, last.from_ms >= last.until_ms), (7 * DAY_MS, true));
    }

    #[test]
    fn of_ten_thousand_partners_twenty_are_named_and_the_rest_is_one() {
        let all: BTreeMap<String, i64> = (0..10_000).map(|number| (format!("p{number:05}"), 1)).collect();
        let found = busiest(all);
        assert_eq!(found.len(), PARTNERS + 1);
        assert_eq!((found[0].partner.as_str(), found[0].exchanged), ("p00000", 1));
        assert_eq!(
            (found[PARTNERS].partner.as_str(), found[PARTNERS].exchanged),
            (REST, 9_980)
        );
    }

    #[test]
    fn csv_has_both_periods_and_guards_its_cells() {
        let card = Scorecard {
            partner: "=acme".into(),
            period: "2026-W48".into(),
            from: String::new(),
            until: String::new(),
            is_over: false,
            made_at: String::new(),
            figures: CardFigures {
                asked: 7,
                ..CardFigures::default()
            },
            before: CardFigures::default(),
            days: Vec::new(),
        };
        let csv = card.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("partner,period,asked,completed,"), "{csv}");
        assert!(lines[1].starts_with("\"'=acme\",2026-W48,7,0,"), "{csv}");
        assert!(lines[2].starts_with("\"'=acme\",before,0,"), "{csv}");
    }
}

//! The report of a month as values, and as CSV: the figures of the month beside those of the month before, by partner.

use super::figures::{COUNTS, MonthFigures};
use super::read::{MonthByPartner, MonthCounted, counted};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::ops::reconciliation::row::csv_line;
use chrono::{DateTime, Datelike as _, Utc};
use chrono_tz::Tz;
use serde::Serialize;
use std::collections::BTreeSet;

/// The name of the line of all partners, which no partner can have.
pub const TOTAL: &str = "(all)";

/// A month of the payer's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonthSpan {
    /// Its name, `YYYY-MM`.
    pub name: String,
    /// Its first instant, UTC milliseconds.
    pub from_ms: i64,
    /// The first instant after it.
    pub until_ms: i64,
}

impl MonthSpan {
    fn of(year: i32, month: u32, zone: Tz) -> Option<MonthSpan> {
        let name = format!("{year:04}-{month:02}");
        let (first_ms, last_ms) = when::range_in(&name, zone)?;
        Some(MonthSpan {
            name,
            from_ms: first_ms,
            until_ms: last_ms + 1,
        })
    }

    /// The year and the number of a month, such as `2026-10`.
    fn numbers(text: &str) -> Option<(i32, u32)> {
        let (year, month) = text.split_once('-')?;
        let is_month =
            text.len() == 7 && year.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        Some((year.parse().ok()?, month.parse().ok()?)).filter(|(_, month)| is_month && (1..=12).contains(month))
    }

    fn before(year: i32, month: u32) -> (i32, u32) {
        match month {
            1 => (year - 1, 12),
            month => (year, month - 1),
        }
    }

    /// The month of this name that has begun at `now_ms` (UTC milliseconds), or the last one that is over; and the month before it.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for what is no month, and for one that has not begun.
    pub fn asked(text: Option<&str>, zone: Tz, now_ms: i64) -> Result<(MonthSpan, MonthSpan), Failure> {
        let wrong = |remedy: &str| Failure::new(Fault::ParameterInvalid).at("--month").remedy(remedy);
        let (year, month) = match text {
            Some(text) => MonthSpan::numbers(text).ok_or_else(|| wrong("Give a month as 2026-10."))?,
            None => {
                let now = DateTime::<Utc>::from_timestamp_millis(now_ms).unwrap_or_default();
                let here = now.with_timezone(&zone);
                MonthSpan::before(here.year(), here.month())
            }
        };
        let (year_before, month_before) = MonthSpan::before(year, month);
        let spans = MonthSpan::of(year, month, zone).zip(MonthSpan::of(year_before, month_before, zone));
        let (span, before) = spans.ok_or_else(|| wrong("Give a month as 2026-10."))?;
        match span.from_ms > now_ms {
            true => Err(wrong("Give a month that has begun.")),
            false => Ok((span, before)),
        }
    }
}

/// The figures of one partner, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MonthLine {
    /// The id of the partner, or [`TOTAL`].
    pub partner: String,
    /// In the month.
    pub figures: MonthFigures,
    /// In the month before.
    pub before: MonthFigures,
}

/// The report of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MonthReport {
    /// The payer.
    pub payer: String,
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The month before.
    pub month_before: String,
    /// The time zone of the month and of business days.
    pub time_zone: String,
    /// When the report was made.
    pub made_at: String,
    /// Whether the month is over.
    pub is_over: bool,
    /// All partners together.
    pub total: MonthLine,
    /// Each partner with which something was exchanged in one of the two months, by id.
    pub partners: Vec<MonthLine>,
}

/// Makes the report of a month. Waits on this thread.
///
/// # Errors
/// Those of [`MonthSpan::asked`] and of the store.
pub fn made(ctx: &Context, month: Option<&str>, partner: Option<&str>) -> Result<MonthReport, Failure> {
    let (zone, now_ms) = (ctx.payer.time_zone, ctx.clock.now_ms());
    let (span, before) = MonthSpan::asked(month, zone, now_ms)?;
    let count = |span: &MonthSpan| {
        let what = MonthCounted {
            partner,
            from_ms: span.from_ms,
            until_ms: span.until_ms,
            now_ms,
            zone,
        };
        counted(&ctx.store, what)
    };
    let (now, earlier) = (count(&span)?, count(&before)?);
    let partners: BTreeSet<&String> = now.partners.keys().chain(earlier.partners.keys()).collect();
    let of = |counts: &MonthByPartner, id: &String| counts.partners.get(id).cloned().unwrap_or_default();
    let lines = partners.into_iter().map(|id| MonthLine {
        partner: id.clone(),
        figures: of(&now, id),
        before: of(&earlier, id),
    });
    Ok(MonthReport {
        payer: ctx.payer.name.clone(),
        month: span.name,
        month_before: before.name,
        time_zone: zone.name().to_owned(),
        made_at: rfc3339_ms(now_ms),
        is_over: span.until_ms <= now_ms,
        partners: lines.collect(),
        total: MonthLine {
            partner: TOTAL.to_owned(),
            figures: now.total.clone(),
            before: earlier.total.clone(),
        },
    })
}

impl MonthReport {
    /// All lines, that of all partners first.
    pub fn lines(&self) -> impl Iterator<Item = &MonthLine> {
        std::iter::once(&self.total).chain(&self.partners)
    }

    /// The report as CSV: for each partner, and for all, a line of the month and one of the month before.
    pub fn csv(&self) -> String {
        let mut header = vec!["month", "partner"];
        header.extend(COUNTS);
        header.extend([
            "end_to_end_median_ms",
            "end_to_end_p95_ms",
            "review_median_ms",
            "reasons",
        ]);
        let mut text = csv_line(&header);
        for line in self.lines() {
            for (month, figures) in [(&self.month, &line.figures), (&self.month_before, &line.before)] {
                text += &csv_of(month, &line.partner, figures);
            }
        }
        text
    }
}

fn csv_of(month: &str, partner: &str, figures: &MonthFigures) -> String {
    let mut cells = vec![month.to_owned(), partner.to_owned()];
    cells.extend(figures.counts().iter().map(u64::to_string));
    let times = [
        figures.end_to_end_median_ms,
        figures.end_to_end_p95_ms,
        figures.review_median_ms,
    ];
    cells.extend(times.map(|time| time.map(|time| time.to_string()).unwrap_or_default()));
    let reasons: Vec<String> = figures
        .reasons
        .iter()
        .map(|(code, count)| format!("{code} {count}"))
        .collect();
    cells.push(reasons.join("; "));
    let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
    csv_line(&cells)
}

/// Milliseconds for people: the two largest units.
pub fn time_text(time_ms: Option<i64>) -> String {
    let Some(seconds) = time_ms.map(|time_ms| time_ms / 1_000) else {
        return "-".to_owned();
    };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A count for people, with its change since the month before.
pub fn trend_text(now: u64, before: u64) -> String {
    match now.cmp(&before) {
        std::cmp::Ordering::Equal => format!("{now}"),
        std::cmp::Ordering::Greater => format!("{now} (+{})", now - before),
        std::cmp::Ordering::Less => format!("{now} (-{})", before - now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::parse_rfc3339_ms;

    const NEW_YORK: Tz = chrono_tz::America::New_York;

    #[test]
    fn a_month_is_of_the_payers_time_zone_and_the_last_one_without_a_name() {
        let now_ms = parse_rfc3339_ms("2026-11-01T03:00:00Z").expect("a time");
        // It is still October in New York.
        let (span, before) = MonthSpan::asked(None, NEW_YORK, now_ms).expect("a month");
        assert_eq!((span.name.as_str(), before.name.as_str()), ("2026-09", "2026-08"));
        assert_eq!(rfc3339_ms(span.from_ms), "2026-09-01T04:00:00.000Z");
        assert_eq!(rfc3339_ms(span.until_ms), "2026-10-01T04:00:00.000Z");
        let (january, before) = MonthSpan::asked(Some("2026-01"), NEW_YORK, now_ms).expect("a month");
        assert_eq!((january.name.as_str(), before.name.as_str()), ("2026-01", "2025-12"));
        assert!(
            MonthSpan::asked(Some("2026-10"), NEW_YORK, now_ms).is_ok(),
            "it has begun"
        );
    }

    #[test]
    fn a_month_ahead_and_what_is_no_month_are_refused() {
        let now_ms = parse_rfc3339_ms("2026-11-15T03:00:00Z").expect("a time");
        for wrong in [
            "2026-12",
            "9999-01",
            "2026-13",
            "2026-00",
            "2026",
            "2026-1",
            "26-10",
            "2026-10-01",
            "october",
            "",
            "0001-01",
        ] {
            let failure = MonthSpan::asked(Some(wrong), NEW_YORK, now_ms).expect_err(wrong);
            assert_eq!(failure.fault(), Fault::ParameterInvalid, "{wrong}");
        }
    }

    #[test]
    fn times_and_trends_are_for_people() {
        for (ms, text) in [
            (None, "-"),
            (Some(4_000), "4 s"),
            (Some(61_000), "1 min 1 s"),
            (Some(3_660_000), "1 h 1 min"),
            (Some(90_000_000), "1 d 1 h"),
        ] {
            assert_eq!(time_text(ms), text);
        }
        assert_eq!(trend_text(3, 3), "3");
        assert_eq!(trend_text(3, 1), "3 (+2)");
        assert_eq!(trend_text(1, 3), "1 (-2)");
    }

    #[test]
    fn csv_has_a_line_of_each_month_and_guards_its_cells() {
        let line = |partner: &str| MonthLine {
            partner: partner.into(),
            figures: MonthFigures {
                asked: 2,
                reasons: [("EX-009".to_owned(), 1), ("EX-012".to_owned(), 1)].into(),
                ..MonthFigures::default()
            },
            before: MonthFigures::default(),
        };
        let report = MonthReport {
            payer: "P".into(),
            month: "2026-10".into(),
            month_before: "2026-09".into(),
            time_zone: "UTC".into(),
            made_at: "2026-11-01T00:00:00.000Z".into(),
            is_over: true,
            total: line(TOTAL),
            partners: vec![line("-acme")],
        };
        let csv = report.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 5);
        assert!(lines[0].starts_with("month,partner,asked,completed,"));
        assert!(
            lines[1].starts_with("2026-10,(all),2,0,") && lines[1].ends_with("EX-009 1; EX-012 1"),
            "{csv}"
        );
        assert!(lines[3].starts_with("2026-10,\"'-acme\",2,"), "{csv}");
        assert!(lines[4].starts_with("2026-09,"), "{csv}");
    }
}

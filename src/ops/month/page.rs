//! The report of a month as a page for people: one HTML file without scripts and without anything from elsewhere, which prints as it stands.

use super::figures::MonthFigures;
use super::report::{MonthLine, MonthReport, time_text, trend_text};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}\
h1,h2{line-height:1.2}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;vertical-align:top;\
padding:.3rem .6rem;border-bottom:1px solid #ccc}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
@media print{body{margin:0;max-width:none;font-size:11px}section{break-inside:avoid}}";

/// A count of the figures.
type Count = fn(&MonthFigures) -> u64;
/// A time of the figures.
type Time = fn(&MonthFigures) -> Option<i64>;

/// What stands about exchanges that we began.
const ASKED: &[(&str, Count)] = &[
    ("Began", |one| one.asked),
    ("Completed", |one| one.completed),
    ("Refused", |one| one.refused),
    ("Failed", |one| one.failed),
    ("Withdrawn", |one| one.withdrawn),
    ("Open", |one| one.open),
    ("Ended without a person", |one| one.without_person),
    ("Acknowledged", |one| one.acknowledged),
    ("Within one business day", |one| one.asked_in_time),
    ("Later", |one| one.asked_late),
];
/// What stands about matches that partners asked for.
const ANSWERED: &[(&str, Count)] = &[
    ("Matches asked for", |one| one.answered),
    ("Matched", |one| one.matched),
    ("Nobody matched", |one| one.not_matched),
    ("Consent refused", |one| one.consent_refused),
    ("Refused by the guessing guard", |one| one.guarded),
    ("Decided otherwise", |one| one.decided_otherwise),
    ("In doubt", |one| one.doubtful),
    ("Within one business day", |one| one.answered_in_time),
    ("Later", |one| one.answered_late),
    ("Repeated requests", |one| one.duplicates),
];
/// What stands about reviews.
const REVIEWED: &[(&str, Count)] = &[
    ("Opened", |one| one.reviews),
    ("Member confirmed", |one| one.reviews_confirmed),
    ("No candidate", |one| one.reviews_rejected),
    ("Waiting", |one| one.reviews_waiting),
];
/// Times of exchanges.
const ASKED_TIMES: &[(&str, Time)] = &[
    ("Median", |one| one.end_to_end_median_ms),
    ("95 of 100 within", |one| one.end_to_end_p95_ms),
];
/// Times of reviews.
const REVIEWED_TIMES: &[(&str, Time)] = &[("Median", |one| one.review_median_ms)];

/// The page of a report.
pub fn html(report: &MonthReport) -> String {
    let title = format!("Exchanges of {}, {}", report.payer, report.month);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p {
                    "Made at " (report.made_at) ". The month and its business days are of the time zone " (report.time_zone) ". "
                    "In parentheses: the change since " (report.month_before) "; at times, the time of that month."
                }
                @if !report.is_over { p { strong { "The month is not over." } } }
                (section(report, "Exchanges that we began", ASKED, ASKED_TIMES))
                (section(report, "Matches that partners asked us for", ANSWERED, &[]))
                (section(report, "Reviews of doubtful matches", REVIEWED, REVIEWED_TIMES))
                (reasons(report))
            }
        }
    };
    page.into_string()
}

fn section(report: &MonthReport, title: &str, counts: &[(&str, Count)], times: &[(&str, Time)]) -> Markup {
    html! {
        section {
            h2 { (title) }
            div class="wide" {
                table {
                    tr {
                        th scope="col" { "Partner" }
                        @for (name, _) in counts { th scope="col" { (name) } }
                        @for (name, _) in times { th scope="col" { (name) } }
                    }
                    @for line in report.lines() { (row(line, counts, times)) }
                }
            }
        }
    }
}

fn row(line: &MonthLine, counts: &[(&str, Count)], times: &[(&str, Time)]) -> Markup {
    html! {
        tr {
            th scope="row" { (line.partner) }
            @for (_, count) in counts { td class="n" { (trend_text(count(&line.figures), count(&line.before))) } }
            @for (_, time) in times {
                td class="n" { (time_text(time(&line.figures))) " (" (time_text(time(&line.before))) ")" }
            }
        }
    }
}

fn reasons(report: &MonthReport) -> Markup {
    html! {
        section {
            h2 { "Why exchanges were refused or failed" }
            @if report.total.figures.reasons.is_empty() {
                p { "None was." }
            } @else {
                table {
                    tr { th scope="col" { "Partner" } th scope="col" { "Fault" } th scope="col" { "Exchanges" } }
                    @for line in report.lines() {
                        @for (code, count) in &line.figures.reasons {
                            tr { th scope="row" { (line.partner) } td { (code) }
                                td class="n" { (trend_text(*count, line.before.reasons.get(code).copied().unwrap_or_default())) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::TOTAL;
    use super::*;

    #[test]
    fn a_page_has_every_partner_and_escapes_what_it_shows() {
        let line = |partner: &str, asked: u64| MonthLine {
            partner: partner.into(),
            figures: MonthFigures {
                asked,
                reasons: [("EX-012".to_owned(), 4)].into(),
                end_to_end_median_ms: Some(3_660_000),
                ..MonthFigures::default()
            },
            before: MonthFigures {
                asked: 1,
                ..MonthFigures::default()
            },
        };
        let report = MonthReport {
            payer: "Old <Payer>".into(),
            month: "2026-10".into(),
            month_before: "2026-09".into(),
            time_zone: "UTC".into(),
            made_at: "2026-10-20T00:00:00.000Z".into(),
            is_over: false,
            total: line(TOTAL, 8),
            partners: vec![line("<b>acme</b>", 8)],
        };
        let page = html(&report);
        for part in [
            "Exchanges of Old &lt;Payer&gt;, 2026-10",
            "&lt;b&gt;acme&lt;/b&gt;",
            "8 (+7)",
            "1 h 1 min (-)",
            "4 (+4)",
            "The month is not over.",
            "@media print",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }
}

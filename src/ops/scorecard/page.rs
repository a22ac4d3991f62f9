//! Scorecards and the view of this server as pages for people: HTML with pictures in SVG, without scripts and without anything from elsewhere,
//! by the style sheet of all pages. They print as they stand.

use super::figures::{CARD_COUNTS, CardFigures, bound_text, change_text};
use super::read::{CardDay, Scorecard, ServiceReport};
use crate::ops::month::report::time_text;
use crate::ops::slo::read::SloItem;
use crate::secret::sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::sync::LazyLock;

/// The style sheet of all pages, and what only pictures need.
const STYLE: &str = concat!(
    include_str!("../../http/page/style.css"),
    "svg{display:block;width:100%;height:auto;max-width:46rem;margin:.5rem 0}\n",
    ".well{fill:var(--text)}.ill{fill:var(--error)}.other{fill:var(--link)}\n",
    "svg text{fill:var(--soft);font-size:11px}svg line{stroke:var(--line)}td.count{text-align:right;font-variant-numeric:tabular-nums}\n",
    "@media (max-width:40rem){table{font-size:.8rem}th,td{padding-right:.35rem;overflow-wrap:anywhere}thead th{white-space:normal}}\n",
    "@media print{section{break-inside:avoid}}\n",
);

/// The Content-Security-Policy of these pages: the one style sheet, by its digest, and nothing else.
pub static CARD_POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Width and height of a picture, and of what stands above and below its bars.
const WIDTH: i64 = 720;
const HEIGHT: i64 = 160;
const TOP: i64 = 16;
const BOTTOM: i64 = 20;

/// The page of a scorecard.
pub fn scorecard(card: &Scorecard, payer: &str) -> String {
    let title = format!("{}, {}", card.partner, card.period);
    page(&title, payer, &html! { (head(card)) (pictures(card)) (table(card)) })
}

/// The page of how this server does.
pub fn service(report: &ServiceReport, payer: &str) -> String {
    let card = &report.card;
    let title = format!("Service, {}", card.period);
    page(
        &title,
        payer,
        &html! {
            (head(card))
            (objectives(report))
            (queue(report))
            (pictures(card))
            (table(card))
            (partners(report))
        },
    )
}

fn page(title: &str, payer: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { p.brand { "Causeway " span { (payer) } } }
                main id="main" { h1 { (title) } (body) }
            }
        }
    };
    page.into_string()
}

fn head(card: &Scorecard) -> Markup {
    html! {
        p.note {
            "From " (card.from) " until before " (card.until) ". Made at " (card.made_at)
            ". In parentheses is the change since the period before."
        }
        @if !card.is_over { p { strong { "The period is not over." } } }
    }
}

fn pictures(card: &Scorecard) -> Markup {
    html! {
        section {
            h2 { "Exchanges and matches by day" }
            (bars(&card.days, "Exchanges that were asked, above matches that were answered", exchanged))
            p.note { "From below: matches that were answered, then exchanges that were asked." }
        }
        section {
            h2 { "Clocks by day" }
            (bars(&card.days, "Clocks that were missed, above clocks that were kept", clocked))
            p.note { "From below: clocks that were kept, then clocks that were missed." }
        }
    }
}

/// What was asked and answered on a day, with the classes of their colors.
fn exchanged(day: &CardDay) -> [(i64, &'static str); 2] {
    [(day.asked, "other"), (day.answered, "well")]
}

/// The clocks of a day.
fn clocked(day: &CardDay) -> [(i64, &'static str); 2] {
    [(day.late, "ill"), (day.in_time, "well")]
}

/// Two values of each day, one on the other. The last one stands below.
fn bars(days: &[CardDay], label: &str, of: fn(&CardDay) -> [(i64, &'static str); 2]) -> Markup {
    let sum = |day: &CardDay| of(day).iter().map(|(value, _)| *value).sum::<i64>();
    let most = days.iter().map(sum).max().unwrap_or(0).max(1);
    let count = i64::try_from(days.len()).unwrap_or(1).max(1);
    let (room, step) = (HEIGHT - TOP - BOTTOM, (WIDTH / count).max(1));
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) {
            title { (label) }
            line x1="0" x2=(WIDTH) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
            text x="0" y="11" { "most in a day: " (most) }
            @for (place, day) in (0_i64..).zip(days) {
                @let [above, below] = of(day);
                @let below_height = below.0 * room / most;
                @let above_height = above.0 * room / most;
                @let left = place * step;
                @let floor = HEIGHT - BOTTOM;
                g {
                    title { (day.day) ": " (below.0) ", " (above.0) }
                    rect class=(below.1) x=(left) y=(floor - below_height) width=((step - 1).max(1)) height=(below_height) {}
                    rect class=(above.1) x=(left) y=(floor - below_height - above_height) width=((step - 1).max(1)) height=(above_height) {}
                }
            }
            @if let Some(day) = days.first() { text x="0" y=(HEIGHT - 4) { (day.day) } }
            @if let Some(day) = days.last() { text x=(WIDTH) y=(HEIGHT - 4) text-anchor="end" { (day.day) } }
        }
    }
}

fn table(card: &Scorecard) -> Markup {
    let rows = CARD_COUNTS.iter().zip(card.figures.counts()).zip(card.before.counts());
    html! {
        section {
            h2 { "Figures" }
            table {
                thead { tr { th scope="col" { "Figure" } th scope="col" { (card.period) } } }
                tbody {
                    @for (((_, text), now), before) in rows {
                        tr { th scope="row" { (text) } td.count { (change_text(now, before)) } }
                    }
                    (bound_row("Half of the complete exchanges within", card, |one| one.median_within_s.as_deref()))
                    (bound_row("95 of 100 within", card, |one| one.p95_within_s.as_deref()))
                }
            }
        }
    }
}

fn bound_row(text: &str, card: &Scorecard, of: fn(&CardFigures) -> Option<&str>) -> Markup {
    html! {
        tr { th scope="row" { (text) }
            td.count { (bound_text(of(&card.figures))) " (before: " (bound_text(of(&card.before))) ")" } }
    }
}

/// A number for people; a dash where there is none.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn objectives(report: &ServiceReport) -> Markup {
    html! {
        section {
            h2 { "Promises" }
            table {
                thead { tr {
                    th scope="col" { "Objective" } th scope="col" { "State" } th scope="col" { "Target" } th scope="col" { "Kept" }
                    th scope="col" { "Missed" } th scope="col" { "Budget left" }
                } }
                tbody { @for item in &report.slo.items { (objective(item)) } }
            }
        }
    }
}

fn objective(item: &SloItem) -> Markup {
    html! {
        tr {
            th scope="row" { (item.objective) }
            td { (item.state.code()) }
            td.count { (item.target_percent) " % in " (item.window_days) " days" }
            td.count { (number(item.share_percent)) " %" }
            td.count { (item.missed) }
            td.count { (number(item.budget_left_percent)) " %" }
        }
    }
}

fn queue(report: &ServiceReport) -> Markup {
    let queue = &report.queue;
    html! {
        section {
            h2 { "Background work" }
            dl.facts {
                dt { "Due" } dd { (queue.due) }
                dt { "Late" } dd { (time_text(Some(queue.late_ms))) }
                dt { "Parked" } dd { (queue.parked) }
                dt { "Oldest parked" } dd { (time_text(Some(queue.oldest_parked_ms).filter(|_| queue.parked > 0))) }
            }
        }
    }
}

fn partners(report: &ServiceReport) -> Markup {
    html! {
        section {
            h2 { "Partners" }
            p { "Active in the period: " (report.partners_active) "." }
            @if report.partners_are_cut { p { strong { "There is so much on record that this list is of the newest days alone." } } }
            table {
                thead { tr { th scope="col" { "Partner" } th scope="col" { "Exchanges and matches" } } }
                tbody { @for one in &report.partners { tr { th scope="row" { (one.partner) } td.count { (one.exchanged) } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(partner: &str, days: i64) -> Scorecard {
        let day = |number: i64| CardDay {
            day: format!("2026-11-{:02}", number % 30 + 1),
            asked: number,
            answered: 1,
            in_time: 2,
            late: number % 2,
        };
        Scorecard {
            partner: partner.into(),
            period: "2026-11".into(),
            from: "2026-11-01T00:00:00.000Z".into(),
            until: "2026-12-01T00:00:00.000Z".into(),
            is_over: false,
            made_at: "2026-11-29T08:00:00.000Z".into(),
            figures: CardFigures {
                asked: 8,
                median_within_s: Some("3600".into()),
                ..CardFigures::default()
            },
            before: CardFigures {
                asked: 1,
                ..CardFigures::default()
            },
            days: (0..days).map(day).collect(),
        }
    }

    #[test]
    fn a_page_escapes_what_it_shows_and_has_no_script() {
        let page = scorecard(&card("<b>acme</b>", 29), "Old <Payer>");
        for part in [
            "&lt;b&gt;acme&lt;/b&gt;, 2026-11",
            "Old &lt;Payer&gt;",
            "8 (+7)",
            "1 h (before: -)",
            "The period is not over.",
            "prefers-color-scheme:dark",
            "@media print",
            "max-width:40rem",
            "<svg viewBox=\"0 0 720 160\" role=\"img\"",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http:") && !page.contains("https:"));
        assert_eq!(page.matches("<rect").count(), 2 * 2 * 29);
    }

    #[test]
    fn a_quarter_fits_into_a_picture_and_nothing_has_one_too() {
        for days in [0, 1, 92] {
            let card = card("acme", days);
            let page = scorecard(&card, "P");
            assert!(!page.contains("=\"-"), "no negative size with {days} days");
            assert!(page.contains("most in a day: "));
        }
        assert!(CARD_POLICY.contains("style-src 'sha256-") && CARD_POLICY.starts_with("default-src 'none'"));
    }
}

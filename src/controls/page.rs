//! A report of controls as a page for people: one HTML file without scripts and without anything from elsewhere.

use super::report::{ControlFinding, ControlReport, ControlResult};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// Timelines that a page shows of one control; the report for programs has all.
const SHOWN: usize = 20;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}\
h1,h2{line-height:1.2}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;\
border-bottom:1px solid #ccc}code{overflow-wrap:anywhere}.holds{color:#0a5c2b}.failed{color:#a1161b;font-weight:700}.not-run{color:#5a5a5a}";

/// The page of a report. `sum` is the digest of the report for programs, hexadecimal.
pub fn html(report: &ControlReport, sum: &str) -> String {
    let title = format!(
        "Controls of {}, {}",
        report.payer,
        report.at.get(..10).unwrap_or(&report.at)
    );
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
                p { "Result: " (result(report.result)) "." }
                table {
                    tr { th scope="row" { "Run at" } td { (report.at) } }
                    tr { th scope="row" { "Seed" } td { (report.seed) } }
                    tr { th scope="row" { "Sample of each kind" } td {
                        @match report.sample { Some(most) => { (most) } None => { "all" } }
                    } }
                    tr { th scope="row" { "Program" } td { (report.software) } }
                    tr { th scope="row" { "SHA-256 of the report for programs" } td { code { (sum) } } }
                }
                h2 { "Controls" }
                table {
                    tr { th scope="col" { "Control" } th scope="col" { "Shows" } th scope="col" { "Owner" } th scope="col" { "Checked" }
                        th scope="col" { "Defects" } th scope="col" { "Result" } }
                    @for one in &report.controls {
                        tr { td { a href={ "#" (one.control) } { (one.control) } } td { (one.shows) } td { (one.owner) }
                            td { (one.checked) } td { (one.defects) } td { (result(one.result)) } }
                    }
                }
                @for one in &report.controls { (section(one)) }
            }
        }
    };
    page.into_string()
}

fn result(result: ControlResult) -> Markup {
    html! { span class=(result.code()) { (result.code()) } }
}

fn section(one: &ControlFinding) -> Markup {
    html! {
        h2 id=(one.control) { (one.control) }
        p { (one.shows) " " (result(one.result)) "." }
        @if !one.found.is_empty() {
            table {
                tr { th scope="col" { "What" } th scope="col" { "Id" } th scope="col" { "Why" } }
                @for defect in &one.found {
                    tr { td { (defect.what) } td { code { (defect.id) } } td { (defect.why) } }
                }
            }
            @if one.defects > one.found.len() as u64 { p { "The first " (one.found.len()) " of " (one.defects) "." } }
        }
        @if !one.facts.is_empty() {
            table { @for (name, value) in &one.facts { tr { th scope="row" { (name) } td { (value) } } } }
        }
        @for timeline in one.rebuilt.iter().take(SHOWN) {
            h3 { (timeline.what) " " code { (timeline.id) } }
            table {
                tr { th scope="col" { "At" } th scope="col" { "Entry" } th scope="col" { "State after it" } }
                @for state in &timeline.states { tr { td { (state.at) } td { (state.action) } td { (state.state) } } }
            }
        }
        @if one.rebuilt.len() > SHOWN {
            p { "The report for programs has " (one.rebuilt.len()) " of them." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::ControlDefect;
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_page_says_what_failed_and_escapes_what_it_shows() {
        let report = ControlReport {
            format: "f",
            software: "causeway/0",
            payer: "Old <Payer>".into(),
            at: "2026-11-28T21:26:00.000Z".into(),
            seed: 7,
            sample: Some(20),
            result: ControlResult::Failed,
            controls: vec![ControlFinding {
                control: "rebuild",
                shows: "It can be rebuilt.",
                owner: "auditor",
                every: "month",
                result: ControlResult::Failed,
                checked: 3,
                defects: 1,
                found: vec![ControlDefect {
                    what: "exchange",
                    id: "<b>".into(),
                    why: "phase".into(),
                }],
                facts: BTreeMap::from([("exchanges", "3".to_owned())]),
                rebuilt: Vec::new(),
            }],
        };
        let page = html(&report, "ab");
        for part in [
            "Controls of Old &lt;Payer&gt;, 2026-11-28",
            "&lt;b&gt;",
            "class=\"failed\"",
            "<td>7</td>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }
}

//! The report as one HTML page: no scripts, no external resources, usable with a keyboard and a screen reader.

use super::{ConformanceReport, Exchange, Tested, count, plain, told};
use crate::surroundings::rfc3339_ms;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem;color:#1b1b1b;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ccc}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6rem}code{overflow-wrap:anywhere}\
.fail,.error{color:#9b1c1c;font-weight:bold}.data{color:#7a4b00;font-weight:bold}.pass{color:#1a5c2a}.skip,.omit{color:#555}\
a:focus,summary:focus{outline:3px solid #1a4fa0}\
@media (prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#262626}.fail,.error{color:#ff9b9b}.data{color:#f0c070}.pass{color:#8fd9a2}.skip,.omit{color:#bbb}a{color:#9cc4ff}}";

/// The whole page.
pub fn page(report: &ConformanceReport) -> String {
    let good = if report.is_good() {
        "nothing failed"
    } else {
        "not conformant"
    };
    let base = plain(&report.base_url);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "Conformance of " (base) ": " (good) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Conformance report: " (good) }
                    p {
                        "Server " code { (base) } ", from " (rfc3339_ms(report.started_ms)) " to " (rfc3339_ms(report.ended_ms)) ". "
                        (report.tested.len()) " tests: " (told(report.counts())) "."
                    }
                    p { "This report holds what the server answered: treat it as confidential." }
                    nav aria-label="Suites" {
                        ul {
                            @for (suite, tested) in report.suites() {
                                li { a href={ "#" (suite) } { (suite) } ": " (told(count(tested.into_iter()))) }
                            }
                        }
                    }
                    @for (suite, tested) in report.suites() {
                        (section(suite, &tested))
                    }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn section(suite: &str, tested: &[&Tested]) -> Markup {
    html! {
        section aria-labelledby=(suite) {
            h2 id=(suite) { (suite) }
            table {
                caption { "Tests of " (suite) }
                thead {
                    tr {
                        th scope="col" { "Verdict" }
                        th scope="col" { "Test" }
                        th scope="col" { "Requirement" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for one in tested {
                        (row(one))
                    }
                }
            }
        }
    }
}

fn row(one: &Tested) -> Markup {
    let word = one.verdict.word();
    html! {
        tr {
            td class=(word) { (word) }
            th scope="row" { code { (one.test.id) } br; (one.test.title) }
            td { (one.test.requirement) }
            td {
                (plain(one.verdict.reason()))
                @for exchange in &one.exchanges {
                    details {
                        summary { (exchange.method) " " (plain(&exchange.url)) ": " (exchange.status) }
                        pre { (plain(&whole(exchange))) }
                    }
                }
            }
        }
    }
}

/// The request and the answer as text.
fn whole(exchange: &Exchange) -> String {
    let headers = |all: &[(String, String)]| {
        all.iter()
            .map(|(name, value)| format!("{name}: {value}\n"))
            .collect::<String>()
    };
    format!(
        "{}\n{}\n\n{}\n{}",
        headers(&exchange.request_headers),
        exchange.request_body,
        headers(&exchange.headers),
        exchange.body
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_page_is_whole_and_runs_nothing() {
        let page = page(&sample());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        for word in [
            "lang=\"en\"",
            "<h1>",
            "scope=\"col\"",
            "<caption>",
            "id=\"fhir-core\"",
            "(hidden)",
            "not conformant",
        ] {
            assert!(page.contains(word), "{word}");
        }
        assert!(!page.contains("<script") && !page.contains("src=") && page.contains("&lt;script&gt;"));
    }
}

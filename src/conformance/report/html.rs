//! The report as one HTML page: no script, nothing fetched, readable with a keyboard and by a screen reader.

use super::{Report, Tested, count, escape, told};
use crate::clock::rfc3339_ms;
use std::fmt::Write as _;

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:70rem;padding:1rem;color:#1b1b1b;background:#fff}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ccc}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:.6rem}code{overflow-wrap:anywhere}\
.fail,.error{color:#9b1c1c;font-weight:bold}.data{color:#7a4b00;font-weight:bold}.pass{color:#1a5c2a}.skip,.omit{color:#555}\
a:focus,summary:focus{outline:3px solid #1a4fa0}\
@media (prefers-color-scheme:dark){body{color:#eee;background:#161616}pre{background:#262626}.fail,.error{color:#ff9b9b}.data{color:#f0c070}.pass{color:#8fd9a2}.skip,.omit{color:#bbb}a{color:#9cc4ff}}";

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let good = if report.is_good() {
        "nothing failed"
    } else {
        "not conformant"
    };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Conformance of {base}: {good}</title><style>{STYLE}</style></head>\n<body><main>\n<h1>Conformance report: {good}</h1>\n\
         <p>Server <code>{base}</code>, from {} to {}. {} tests: {}.</p>\n<p>This report holds what the server answered: treat it as confidential.</p>\n",
        rfc3339_ms(report.started_ms),
        rfc3339_ms(report.ended_ms),
        report.tested.len(),
        told(report.counts()),
        base = escape(&report.base_url),
    );
    out.push_str("<nav aria-label=\"Suites\"><ul>\n");
    for (suite, tested) in report.suites() {
        let _ = writeln!(
            out,
            "<li><a href=\"#{0}\">{0}</a>: {1}</li>",
            escape(suite),
            told(count(tested.into_iter()))
        );
    }
    out.push_str("</ul></nav>\n");
    for (suite, tested) in report.suites() {
        let suite = escape(suite);
        let _ = writeln!(
            out,
            "<section aria-labelledby=\"{suite}\">\n<h2 id=\"{suite}\">{suite}</h2>\n<table><caption>Tests of {suite}</caption><thead><tr>\
             <th scope=\"col\">Verdict</th><th scope=\"col\">Test</th><th scope=\"col\">Requirement</th><th scope=\"col\">Why</th></tr></thead><tbody>"
        );
        for one in tested {
            row(&mut out, one);
        }
        out.push_str("</tbody></table>\n</section>\n");
    }
    out.push_str("</main></body></html>\n");
    out
}

fn row(out: &mut String, one: &Tested) {
    let word = one.verdict.word();
    let _ = write!(
        out,
        "<tr><td class=\"{word}\">{word}</td><th scope=\"row\"><code>{}</code><br>{}</th><td>{}</td><td>{}",
        escape(&one.test.id),
        escape(&one.test.title),
        escape(one.test.requirement),
        escape(one.verdict.reason())
    );
    for exchange in &one.exchanges {
        let headers = |all: &[(String, String)]| {
            all.iter()
                .map(|(name, value)| format!("{name}: {value}\n"))
                .collect::<String>()
        };
        let _ = write!(
            out,
            "<details><summary>{} {}: {}</summary><pre>{}</pre></details>",
            escape(&exchange.method),
            escape(&exchange.url),
            exchange.status,
            escape(&format!(
                "{}\n{}\n\n{}\n{}",
                headers(&exchange.request_headers),
                exchange.request_body,
                headers(&exchange.headers),
                exchange.body
            ))
        );
    }
    out.push_str("</td></tr>\n");
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

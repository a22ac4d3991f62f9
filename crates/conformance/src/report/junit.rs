//! JUnit XML for build servers: one `testsuite` for each suite. Tests that were skipped or omitted, or that found a fault in the data, are
//! `skipped`.

use super::{ConformanceReport, TestVerdict, count, plain};
use std::fmt::Write as _;

/// The report as an XML document.
pub fn document(report: &ConformanceReport) -> String {
    let [_, failures, ..] = report.counts();
    let errors = report.counts()[4];
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let took = seconds(report.ended_ms.saturating_sub(report.started_ms));
    let tests = report.tested.len();
    let _ = writeln!(
        out,
        "<testsuites name=\"causeway conformance\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{took}\">"
    );
    for (suite, tested) in report.suites() {
        let [_, failures, skips, omits, errors, data] = count(tested.iter().copied());
        let took = seconds(tested.iter().map(|one| one.took_ms).sum());
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{}\" time=\"{took}\">",
            escape(suite),
            tested.len(),
            skips + omits + data
        );
        for one in tested {
            let class = format!("{suite}.{}", one.test.group());
            let name = one.test.id.rsplit('/').next().unwrap_or("");
            let took = seconds(one.took_ms);
            let _ = write!(
                out,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{took}\"",
                escape(&class),
                escape(name)
            );
            let reason = escape(one.verdict.reason());
            let element = match &one.verdict {
                TestVerdict::Pass => {
                    out.push_str("/>\n");
                    continue;
                }
                TestVerdict::Fail(_) => "failure",
                TestVerdict::Error(_) => "error",
                TestVerdict::Skip(_) | TestVerdict::Omit(_) | TestVerdict::Data(_) => "skipped",
            };
            let asked: Vec<String> = one
                .exchanges
                .iter()
                .map(|exchange| {
                    escape(&format!(
                        "{} {} -> {}\n{}",
                        exchange.method, exchange.url, exchange.status, exchange.body
                    ))
                })
                .collect();
            let _ = writeln!(
                out,
                ">\n      <{element} message=\"{reason}\">{}: {}\n{}</{element}>\n    </testcase>",
                escape(one.test.requirement),
                escape(&one.test.title),
                asked.join("\n")
            );
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Escapes text for an element or for an attribute in double quotes. The escapes of HTML are valid in XML.
fn escape(text: &str) -> String {
    maud::Render::render(&plain(text)).into_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn every_verdict_has_its_element() {
        let text = document(&sample());
        assert!(
            text.contains("tests=\"6\" failures=\"1\" errors=\"1\" time=\"60.500\""),
            "{text}"
        );
        assert!(text.contains("skipped=\"3\"") && text.matches("<testcase ").count() == 6);
        assert!(text.contains("message=\"because &lt;x&gt; &amp; &quot;y&quot;\u{fffd}\""));
        assert!(!text.contains("<script>") && !text.contains('\u{1}'));
        assert_eq!(text.matches('<').count(), text.matches('>').count());
    }
}

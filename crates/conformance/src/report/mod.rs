//! The result of a run and its output formats: a table for people, JSON, JUnit XML, and an HTML page.

pub mod html;
pub mod json;
pub mod junit;
pub mod table;

use super::stop::Stop;
use super::test::Test;
pub use super::wire::Exchange;

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestVerdict {
    /// The server meets the requirement.
    Pass,
    /// The server does not meet it.
    Fail(String),
    /// The test could not be run.
    Skip(String),
    /// The requirement does not apply.
    Omit(String),
    /// The test reached no result.
    Error(String),
    /// The server's data is at fault. This is reported, but is not a failure of the server.
    Data(String),
}

impl From<Stop> for TestVerdict {
    fn from(stop: Stop) -> TestVerdict {
        match stop {
            Stop::Fail(why) => TestVerdict::Fail(why),
            Stop::Skip(why) => TestVerdict::Skip(why),
            Stop::Omit(why) => TestVerdict::Omit(why),
            Stop::Error(why) => TestVerdict::Error(why),
            Stop::Data(why) => TestVerdict::Data(why),
        }
    }
}

impl TestVerdict {
    /// The codes of the verdicts, in the order of the counts.
    pub const WORDS: [&'static str; 6] = ["pass", "fail", "skip", "omit", "error", "data"];

    /// One of [`TestVerdict::WORDS`].
    pub fn word(&self) -> &'static str {
        match self {
            TestVerdict::Pass => "pass",
            TestVerdict::Fail(_) => "fail",
            TestVerdict::Skip(_) => "skip",
            TestVerdict::Omit(_) => "omit",
            TestVerdict::Error(_) => "error",
            TestVerdict::Data(_) => "data",
        }
    }

    /// The reason for a verdict other than a pass.
    pub fn reason(&self) -> &str {
        match self {
            TestVerdict::Pass => "",
            TestVerdict::Fail(why)
            | TestVerdict::Skip(why)
            | TestVerdict::Omit(why)
            | TestVerdict::Error(why)
            | TestVerdict::Data(why) => why,
        }
    }

    /// Whether the run fails because of this verdict.
    pub fn is_bad(&self) -> bool {
        matches!(self, TestVerdict::Fail(_) | TestVerdict::Error(_))
    }
}

/// A test and its result.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The test.
    pub test: Test,
    /// What it found.
    pub verdict: TestVerdict,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// The exchanged messages, if the test failed.
    pub exchanges: Vec<Exchange>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct ConformanceReport {
    /// The base URL of the server.
    pub base_url: String,
    /// When it began, UTC milliseconds.
    pub started_ms: i64,
    /// When it ended, UTC milliseconds.
    pub ended_ms: i64,
    /// All tests, in the order in which they ran.
    pub tested: Vec<Tested>,
}

impl ConformanceReport {
    /// How many tests have each verdict, in the order of [`TestVerdict::WORDS`].
    pub fn counts(&self) -> [usize; 6] {
        count(self.tested.iter())
    }

    /// Whether no test failed.
    pub fn is_good(&self) -> bool {
        !self.tested.iter().any(|one| one.verdict.is_bad())
    }

    /// The suites that were run, in order, each with its tests.
    pub fn suites(&self) -> Vec<(&str, Vec<&Tested>)> {
        let mut suites: Vec<(&str, Vec<&Tested>)> = Vec::new();
        for one in &self.tested {
            match suites.last_mut().filter(|(suite, _)| *suite == one.test.suite()) {
                Some((_, tests)) => tests.push(one),
                None => suites.push((one.test.suite(), vec![one])),
            }
        }
        suites
    }
}

fn count<'a>(tested: impl Iterator<Item = &'a Tested>) -> [usize; 6] {
    let mut counts = [0; 6];
    for one in tested {
        let at = TestVerdict::WORDS
            .iter()
            .position(|word| *word == one.verdict.word())
            .unwrap_or(4);
        counts[at] += 1;
    }
    counts
}

/// Counts such as `3 pass, 1 fail`, without those that are zero.
fn told(counts: [usize; 6]) -> String {
    let parts = counts.iter().zip(TestVerdict::WORDS).filter(|(count, _)| **count > 0);
    parts
        .map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Replaces characters that XML 1.0 or HTML cannot contain.
fn plain(text: &str) -> String {
    let is_held = |c: char| matches!(c, '\n' | '\t') || !(c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
    text.chars().map(|c| if is_held(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::catalog;
    use super::*;

    /// A report with one test of each verdict.
    pub(super) fn sample() -> ConformanceReport {
        let why = || "because <x> & \"y\"\u{1}".to_owned();
        let verdicts = [
            TestVerdict::Pass,
            TestVerdict::Fail(why()),
            TestVerdict::Skip(why()),
            TestVerdict::Omit(why()),
            TestVerdict::Error(why()),
            TestVerdict::Data(why()),
        ];
        let exchange = Exchange {
            method: "GET".to_owned(),
            url: "https://p.example/fhir/Goal?a=1&b=2".to_owned(),
            request_headers: vec![("authorization".to_owned(), "(hidden)".to_owned())],
            request_body: String::new(),
            status: 500,
            headers: vec![("x".to_owned(), "<y>".to_owned())],
            body: "</pre><script>alert(1)</script>".to_owned(),
        };
        let tested = catalog::all().into_iter().zip(verdicts).map(|(test, verdict)| Tested {
            exchanges: if verdict.is_bad() {
                vec![exchange.clone()]
            } else {
                Vec::new()
            },
            test,
            verdict,
            took_ms: 12,
        });
        ConformanceReport {
            base_url: "https://p.example/fhir".to_owned(),
            started_ms: 1_795_000_000_000,
            ended_ms: 1_795_000_060_500,
            tested: tested.collect(),
        }
    }

    #[test]
    fn counts_follow_the_verdicts() {
        let report = sample();
        assert_eq!((report.counts(), report.is_good()), ([1; 6], false));
        assert_eq!(told(report.counts()), "1 pass, 1 fail, 1 skip, 1 omit, 1 error, 1 data");
        assert_eq!(report.suites().len(), 1);
        assert_eq!(
            plain("a<b>&\"\u{1}\n\r\u{e9}\u{ffff}"),
            "a<b>&\"\u{fffd}\n\u{fffd}\u{e9}\u{fffd}"
        );
    }
}

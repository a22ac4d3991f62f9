//! The outcome of a run and the forms it is told in: a table for people, JSON, JUnit XML, one HTML page.

pub mod html;
pub mod json;
pub mod junit;
pub mod table;

use super::Stop;
use super::catalog::Test;
pub use super::wire::Exchange;

/// What a test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server does what the requirement says.
    Pass,
    /// It does not.
    Fail(String),
    /// It could not be tried.
    Skip(String),
    /// The requirement does not apply.
    Omit(String),
    /// No verdict was reached.
    Error(String),
    /// The data that the server holds is at fault: told, and no failure of the server.
    Data(String),
}

impl From<Stop> for Verdict {
    fn from(stop: Stop) -> Verdict {
        match stop {
            Stop::Fail(why) => Verdict::Fail(why),
            Stop::Skip(why) => Verdict::Skip(why),
            Stop::Omit(why) => Verdict::Omit(why),
            Stop::Error(why) => Verdict::Error(why),
            Stop::Data(why) => Verdict::Data(why),
        }
    }
}

impl Verdict {
    /// The words of the verdicts, in the order in which counts are told.
    pub const WORDS: [&'static str; 6] = ["pass", "fail", "skip", "omit", "error", "data"];

    /// One of [`Verdict::WORDS`].
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Skip(_) => "skip",
            Verdict::Omit(_) => "omit",
            Verdict::Error(_) => "error",
            Verdict::Data(_) => "data",
        }
    }

    /// Why, for all but a pass.
    pub fn reason(&self) -> &str {
        match self {
            Verdict::Pass => "",
            Verdict::Fail(why) | Verdict::Skip(why) | Verdict::Omit(why) | Verdict::Error(why) | Verdict::Data(why) => {
                why
            }
        }
    }

    /// Whether the run must not count as good.
    pub fn is_bad(&self) -> bool {
        matches!(self, Verdict::Fail(_) | Verdict::Error(_))
    }
}

/// One test and what it found.
#[derive(Clone, Debug)]
pub struct Tested {
    /// The test.
    pub test: Test,
    /// What it found.
    pub verdict: Verdict,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// What was exchanged, when it failed.
    pub exchanges: Vec<Exchange>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The server.
    pub base_url: String,
    /// When it began, UTC milliseconds.
    pub started_ms: i64,
    /// When it ended, UTC milliseconds.
    pub ended_ms: i64,
    /// Every test, in the order of the run.
    pub tested: Vec<Tested>,
}

impl Report {
    /// How many tests have each verdict, in the order of [`Verdict::WORDS`].
    pub fn counts(&self) -> [usize; 6] {
        count(self.tested.iter())
    }

    /// Whether nothing failed.
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
        let at = Verdict::WORDS
            .iter()
            .position(|word| *word == one.verdict.word())
            .unwrap_or(4);
        counts[at] += 1;
    }
    counts
}

/// `3 pass, 1 fail`, without what is none.
fn told(counts: [usize; 6]) -> String {
    let parts = counts.iter().zip(Verdict::WORDS).filter(|(count, _)| **count > 0);
    parts
        .map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Text for XML and HTML; characters that XML 1.0 does not have are replaced.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::catalog;
    use super::*;

    /// One test of each verdict.
    pub(super) fn sample() -> Report {
        let why = || "because <x> & \"y\"\u{1}".to_owned();
        let verdicts = [
            Verdict::Pass,
            Verdict::Fail(why()),
            Verdict::Skip(why()),
            Verdict::Omit(why()),
            Verdict::Error(why()),
            Verdict::Data(why()),
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
        Report {
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
        assert_eq!(escape("a<b>&\"\u{1}\u{e9}"), "a&lt;b&gt;&amp;&quot;\u{fffd}\u{e9}");
    }
}

//! The report for people at a terminal: one line for each test that did not pass, then counts for each suite.

use super::{ConformanceReport, TestVerdict, count, told};

/// The header of [`rows`].
pub const HEADER: [&str; 4] = ["verdict", "test", "requirement", "why"];

/// The tests that did not pass, worst first.
pub fn rows(report: &ConformanceReport) -> Vec<Vec<String>> {
    let rank = |verdict: &TestVerdict| match verdict {
        TestVerdict::Error(_) => 0,
        TestVerdict::Fail(_) => 1,
        TestVerdict::Data(_) => 2,
        TestVerdict::Skip(_) => 3,
        TestVerdict::Omit(_) => 4,
        TestVerdict::Pass => 5,
    };
    let mut all: Vec<_> = report
        .tested
        .iter()
        .filter(|one| one.verdict != TestVerdict::Pass)
        .collect();
    all.sort_by_key(|one| rank(&one.verdict));
    all.iter()
        .map(|one| {
            vec![
                one.verdict.word().to_owned(),
                one.test.id.clone(),
                one.test.requirement.to_owned(),
                one.verdict.reason().replace(['\n', '\r'], " "),
            ]
        })
        .collect()
}

/// One line for each suite and one for the total.
pub fn summary(report: &ConformanceReport) -> Vec<String> {
    let mut lines: Vec<String> = report
        .suites()
        .into_iter()
        .map(|(suite, tested)| format!("{suite}: {}", told(count(tested.into_iter()))))
        .collect();
    lines.push(format!("{} tests: {}", report.tested.len(), told(report.counts())));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_worst_stands_first_and_passes_are_only_counted() {
        let rows = rows(&sample());
        assert_eq!(
            rows.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(),
            ["error", "fail", "data", "skip", "omit"]
        );
        assert_eq!(
            summary(&sample()).last().map(String::as_str),
            Some("6 tests: 1 pass, 1 fail, 1 skip, 1 omit, 1 error, 1 data")
        );
    }
}

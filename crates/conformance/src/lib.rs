//! The conformance runner: tests any payer's server against the requirements of the guides, and reports the result of each test.
//!
//! It uses only the server's HTTP interface and must not use this program's own handlers, store or search. The requirements are in tables
//! ([`catalog`], [`guides`], `parameters`); `conformance/requirements.tsv` links each test to a requirement. Reports contain the server's
//! answers, so they are as confidential as the members used for testing.

mod bundle;
pub mod catalog;
mod checks;
mod ended_run;
mod found;
pub mod guides;
mod holdings;
mod parameters;
pub mod report;
mod runs;
mod session;
mod settings;
mod shape;
mod stop;
mod surroundings;
pub mod test;
mod unusable;
mod when;
mod wire;

pub use report::{ConformanceReport, TestVerdict, Tested};
pub use settings::ClientSettings;
pub use surroundings::Surroundings;
pub use unusable::Unusable;

use session::Session;
use test::Test;

/// Runs `tests` one after the other against the server at `base_url` and returns the report.
///
/// `progress` is called after each test.
///
/// # Errors
/// [`Unusable`] for settings that cannot be used. A server that does not conform is not an error of this function.
pub async fn run(
    base_url: &str,
    settings: ClientSettings,
    tests: &[Test],
    around: Surroundings,
    progress: &mut dyn FnMut(&Tested),
) -> Result<ConformanceReport, Unusable> {
    let started_ms = (around.now_ms)();
    let mut session = Session::new(base_url, settings, around.clone())?;
    let mut tested = Vec::with_capacity(tests.len());
    for test in tests {
        let before_ms = (around.now_ms)();
        session.wire.begin();
        let verdict = match checks::run(&test.check, &mut session).await {
            Ok(()) => TestVerdict::Pass,
            Err(stop) => TestVerdict::from(stop),
        };
        let exchanges = if matches!(verdict, TestVerdict::Fail(_) | TestVerdict::Error(_)) {
            session.wire.exchanges()
        } else {
            Vec::new()
        };
        let one = Tested {
            test: test.clone(),
            verdict,
            took_ms: (around.now_ms)().saturating_sub(before_ms),
            exchanges,
        };
        progress(&one);
        tested.push(one);
    }
    Ok(ConformanceReport {
        base_url: session.base_url().to_owned(),
        started_ms,
        ended_ms: (around.now_ms)(),
        tested,
    })
}

//! The conformance runner: asks any payer's server what the guides demand and says, test by test, what it found.
//!
//! It knows a server only by its wire: nothing here may look at this program's own handlers, store or search. What it demands
//! stands in tables ([`catalog`], [`guides`], `parameters`); `conformance/requirements.tsv` ties every test to a requirement.
//! Reports hold what the server answered, so they are as confidential as the members that are used for testing.

mod bundle;
pub mod catalog;
mod checks;
mod found;
pub mod guides;
mod parameters;
pub mod report;
mod session;
mod settings;
mod shape;
mod when;
mod wire;

pub use report::{Report, Tested, Verdict};
pub use settings::Settings;

use crate::clock::Clock;
use crate::error::Failure;
use crate::ids::Ids;
use catalog::Test;
use session::Session;

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The server does not do what the requirement says.
    Fail(String),
    /// What the server holds is at fault, as far as can be seen from outside, and not what it does.
    Data(String),
    /// It could not be tried: the data or the client's settings do not allow it.
    Skip(String),
    /// The requirement does not apply to this server.
    Omit(String),
    /// No verdict: the connection broke, or the runner could not go on.
    Error(String),
}

/// What a check gives.
pub(crate) type Checked<T = ()> = Result<T, Stop>;

pub(crate) fn fail<T>(text: impl Into<String>) -> Checked<T> {
    Err(Stop::Fail(text.into()))
}

pub(crate) fn skip<T>(text: impl Into<String>) -> Checked<T> {
    Err(Stop::Skip(text.into()))
}

/// Fails with `text` unless `held`.
pub(crate) fn demand(held: bool, text: impl FnOnce() -> String) -> Checked {
    if held { Ok(()) } else { Err(Stop::Fail(text())) }
}

/// Runs `tests` one after the other against the server at `base_url` and gives the report.
///
/// `progress` is told of every test that is over.
///
/// # Errors
/// [`crate::error::Fault::ConfigInvalid`], [`crate::error::Fault::InputUnreadable`] for settings that cannot be used. What the server does wrong
/// is no error of this function.
pub async fn run(
    base_url: &str,
    settings: Settings,
    tests: &[Test],
    clock: Clock,
    ids: Ids,
    progress: &mut dyn FnMut(&Tested),
) -> Result<Report, Failure> {
    let started_ms = clock.now_ms();
    let mut session = Session::new(base_url, settings, clock.clone(), ids)?;
    let mut tested = Vec::with_capacity(tests.len());
    for test in tests {
        let before_ms = clock.now_ms();
        session.wire.begin();
        let verdict = match checks::run(&test.check, &mut session).await {
            Ok(()) => Verdict::Pass,
            Err(stop) => Verdict::from(stop),
        };
        let exchanges = if matches!(verdict, Verdict::Fail(_) | Verdict::Error(_)) {
            session.wire.exchanges()
        } else {
            Vec::new()
        };
        let one = Tested {
            test: test.clone(),
            verdict,
            took_ms: clock.now_ms().saturating_sub(before_ms),
            exchanges,
        };
        progress(&one);
        tested.push(one);
    }
    Ok(Report {
        base_url: session.base_url().to_owned(),
        started_ms,
        ended_ms: clock.now_ms(),
        tested,
    })
}

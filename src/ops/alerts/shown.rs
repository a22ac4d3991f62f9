//! The alerts as operators and metrics see them: each row of the table, and whether it is raised now.
//!
//! Names no member. Reads only.

use super::gather::gather;
use super::judge::{RaisedAlert, judge};
use super::table::{ALERTS, Alert};
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::telemetry::metrics as families;
use serde::Serialize;

/// Partners that are named of one alert.
const PARTNERS: usize = 50;
/// Time that a server gets for the work that waited while it was not there, milliseconds.
const CATCH_UP_MS: i64 = 30_000;

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    /// It is raised.
    Raised,
    /// It is not.
    Quiet,
    /// Only a running server can say, and this process is none.
    NotJudged,
}

impl AlertState {
    /// Its name.
    pub const fn code(self) -> &'static str {
        match self {
            AlertState::Raised => "raised",
            AlertState::Quiet => "quiet",
            AlertState::NotJudged => "not-judged",
        }
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AlertItem {
    /// Its code.
    pub alert: &'static str,
    /// Whether it is raised.
    pub state: AlertState,
    /// `page` or `ticket`.
    pub severity: &'static str,
    /// Who acts.
    pub owner: &'static str,
    /// How soon.
    pub within: &'static str,
    /// How much raises it; 0 when it is not raised.
    pub count: i64,
    /// What was found.
    pub says: Option<String>,
    /// The partners that it is about, at most 50.
    pub partners: Vec<String>,
    /// What it means.
    pub meaning: &'static str,
    /// When it is raised.
    pub condition: &'static str,
    /// What to do.
    pub steps: &'static [&'static str],
}

/// Returns all alerts as they stand at `now_ms` (UTC milliseconds), in the order of the table.
///
/// # Errors
/// Those of the database.
pub fn items(db: &mut Db, now_ms: i64) -> Result<Vec<AlertItem>, Failure> {
    let figures = gather(db, now_ms)?;
    let (raised, is_serving) = (judge(&figures, now_ms), figures.process.is_some());
    let item = |alert: &'static Alert| item(alert, raised.iter().find(|one| one.code == alert.code), is_serving);
    Ok(ALERTS.iter().map(item).collect())
}

fn item(alert: &'static Alert, raised: Option<&RaisedAlert>, is_serving: bool) -> AlertItem {
    let state = match raised {
        Some(_) => AlertState::Raised,
        None if alert.is_of_process && !is_serving => AlertState::NotJudged,
        None => AlertState::Quiet,
    };
    let mut partners = raised.map(|raised| raised.partners.clone()).unwrap_or_default();
    partners.truncate(PARTNERS);
    AlertItem {
        alert: alert.code,
        state,
        severity: alert.severity.code(),
        owner: alert.owner.code(),
        within: alert.within.code(),
        count: raised.map_or(0, |raised| raised.count),
        says: raised.map(|raised| raised.says.clone()),
        partners,
        meaning: alert.meaning,
        condition: alert.condition,
        steps: alert.steps,
    }
}

/// Shows all alerts as quiet in the metrics of this process, until they are judged.
pub fn begin() {
    for alert in ALERTS {
        metrics::gauge!(families::ALERTS, "alert" => alert.code).set(0.0);
    }
}

/// Judges the alerts and sets their metrics. Waits on this thread. When the store does not answer, the metrics stay as they are. So they do in
/// the first 30 s after `listening_ms`, when this server began to listen (UTC milliseconds): work that waited for the server is not stuck.
#[allow(clippy::cast_precision_loss)] // counts of this size are exact
pub fn tell(ctx: &Context, listening_ms: i64) {
    let now_ms = ctx.clock.now_ms();
    if catches_up(listening_ms, now_ms) {
        return;
    }
    match ctx.store.read_blocking(|db| items(db, now_ms)) {
        Ok(items) => {
            for item in items {
                metrics::gauge!(families::ALERTS, "alert" => item.alert).set(item.count as f64);
            }
        }
        Err(failure) => {
            tracing::debug!(fault = failure.fault().code(), "the alerts could not be judged");
        }
    }
}

/// Whether a server that listens since `listening_ms` may still catch up at `now_ms`. A clock that was set back does not make it new again.
fn catches_up(listening_ms: i64, now_ms: i64) -> bool {
    (0..CATCH_UP_MS).contains(&(now_ms - listening_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_catches_up_for_a_short_time_after_its_start() {
        let started_ms = 1_800_000_000_000;
        assert!(catches_up(started_ms, started_ms));
        assert!(catches_up(started_ms, started_ms + CATCH_UP_MS - 1));
        assert!(!catches_up(started_ms, started_ms + CATCH_UP_MS));
        assert!(!catches_up(started_ms, started_ms - 1), "the clock was set back");
    }
}

//! Time, waiting and new ids, which the caller provides, so that a run can be repeated.

use chrono::{DateTime, SecondsFormat, Utc};
use std::sync::Arc;
use std::time::Duration;

/// Where time and new ids come from.
#[derive(Clone)]
pub struct Surroundings {
    /// UTC milliseconds now.
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// An id that no server knows yet.
    pub new_id: Arc<dyn Fn() -> String + Send + Sync>,
    /// How long a second of `Retry-After` is waited for between two polls of a run: a second, but for a server that the caller has to itself.
    pub poll_second: Duration,
}

/// UTC milliseconds as an RFC 3339 instant.
pub(super) fn rfc3339_ms(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

//! Signs of this process that no row has, for its alerts: when it was last scraped, what its log lost, how often it repeated an answer, and
//! when its TLS files end.
//!
//! They are counted in memory and start again with the process. Nothing here judges them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The kinds of TLS files, as the metric of their ends names them.
pub const TLS_FILES: &[&str] = &["certificate", "authority", "list"];

/// The codes of all alerts, as the metric of raised ones names them; the table is `ops::alerts`.
pub const ALERT_CODES: &[&str] = &[
    "partner-failing",
    "partner-slow",
    "match-rate-fallen",
    "consents-ended",
    "consents-expiring",
    "tls-expiring",
    "queue-growth",
    "parked-growth",
    "worker-stuck",
    "exchange-clock",
    "reviews-overdue",
    "budget-burn",
    "replay-volume",
    "ledger-lag",
    "log-dropping",
    "traces-lost",
    "scrape-missing",
];

/// Minutes that a [`RecentCount`] remembers.
const MINUTES: usize = 60;
/// Length of a minute, milliseconds.
const MINUTE_MS: i64 = 60_000;

/// A count of what happened in the last hour, by minutes.
pub struct RecentCount(Mutex<[(i64, u64); MINUTES]>);

impl RecentCount {
    /// Nothing happened yet.
    #[allow(clippy::new_without_default)] // only statics are made of it
    pub const fn new() -> RecentCount {
        RecentCount(Mutex::new([(-1, 0); MINUTES]))
    }

    /// Notes that `more` happened at `now_ms` (UTC milliseconds).
    pub fn add(&self, now_ms: i64, more: u64) {
        let minute = now_ms.max(0) / MINUTE_MS;
        // The remainder is below the number of places.
        let place = usize::try_from(minute % MINUTES as i64).unwrap_or(0);
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, count) = &mut minutes[place];
        if *of == minute {
            *count = count.saturating_add(more);
        } else {
            (*of, *count) = (minute, more);
        }
    }

    /// How much happened in the last `minutes` before `now_ms` (UTC milliseconds), the minute that has begun included; 60 at most.
    pub fn within(&self, now_ms: i64, minutes: i64) -> u64 {
        let last = now_ms.max(0) / MINUTE_MS;
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = counts
            .iter()
            .filter(|(of, _)| *of > last - minutes.min(MINUTES as i64) && *of <= last);
        recent.map(|(_, count)| *count).sum()
    }
}

/// Log lines that were lost.
pub static LOG_LOST: RecentCount = RecentCount::new();
/// Spans of traces that were lost.
pub static SPANS_LOST: RecentCount = RecentCount::new();
/// Requests for a match that were answered.
pub static ANSWERED: RecentCount = RecentCount::new();
/// Those of them that got an earlier answer again, by their key.
pub static REPEATED: RecentCount = RecentCount::new();

/// Readings of the metrics.
static SCRAPES: RecentCount = RecentCount::new();
/// When the metrics were last read, UTC milliseconds; 0 for never.
static SCRAPED_MS: AtomicI64 = AtomicI64::new(0);

/// Notes that somebody reads the metrics at `now_ms` (UTC milliseconds).
pub fn scraped(now_ms: i64) {
    SCRAPES.add(now_ms, 1);
    SCRAPED_MS.store(now_ms, Ordering::Relaxed);
}

/// When the metrics of this process were last read (UTC milliseconds), and how often in the hour that ended then; `None` when nobody has
/// read them.
pub fn last_scrape() -> Option<(i64, u64)> {
    let at_ms = SCRAPED_MS.load(Ordering::Relaxed);
    (at_ms > 0).then(|| (at_ms, SCRAPES.within(at_ms, 60)))
}

/// One kind of TLS files, and when the first of them ends, in seconds since 1970.
pub type TlsEnd = (&'static str, i64);

static TLS_ENDS: Mutex<Option<Vec<TlsEnd>>> = Mutex::new(None);

/// Notes when the TLS files of this process end: one row for each kind that has files, with a word of [`TLS_FILES`].
pub fn tell_tls_ends(ends: Vec<TlsEnd>) {
    *TLS_ENDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
}

/// When the TLS files in force in this process end. `None` in a process that serves nobody.
pub fn tls_ends() -> Option<Vec<TlsEnd>> {
    TLS_ENDS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_forgets_what_is_older_than_its_window() {
        let count = RecentCount::new();
        assert_eq!(count.within(0, 15), 0);
        count.add(0, 2);
        count.add(59_999, 1);
        count.add(14 * MINUTE_MS, 4);
        assert_eq!(count.within(14 * MINUTE_MS, 15), 7);
        assert_eq!(count.within(15 * MINUTE_MS, 15), 4, "the first minute is over");
        assert_eq!(count.within(29 * MINUTE_MS, 15), 0);
        count.add(60 * MINUTE_MS, 1);
        assert_eq!(
            count.within(60 * MINUTE_MS, 60),
            5,
            "its place is that of the first minute"
        );
        count.add(-5, 9);
        assert_eq!(count.within(-5, 1), 9, "a time before 1970 is the first minute");
    }
}

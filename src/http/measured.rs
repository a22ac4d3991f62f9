//! Counts answered requests. Each thread keeps the counters it has used, so that a request looks up no names of metrics.

use crate::telemetry::metrics as families;
use metrics::{Counter, Histogram};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

/// The counters of one thread. There are as many as there are routes, statuses and faults that occurred.
#[derive(Default)]
struct Kept {
    requests: HashMap<(&'static str, u16, &'static str), Counter>,
    seconds: HashMap<&'static str, Histogram>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Counts a request: its route, the status of its answer, the code of its fault or an empty text, and the time it took.
pub(super) fn request(route: &'static str, status: u16, fault: &'static str, took: Duration) {
    KEPT.with_borrow_mut(|kept| {
        let requests = kept.requests.entry((route, status, fault));
        let counter = requests.or_insert_with(
            || metrics::counter!(families::REQUESTS, "route" => route, "status" => status.to_string(), "fault" => fault),
        );
        counter.increment(1);
        let seconds = kept.seconds.entry(route);
        let histogram = seconds.or_insert_with(|| metrics::histogram!(families::SECONDS, "route" => route));
        histogram.record(took.as_secs_f64());
    });
}

//! The bounded queue between what is traced and the thread that sends: handing over a span never waits, and beyond [`SPANS_MOST`] waiting
//! spans each further one is dropped and counted.

use super::record::SpanRecord;
use crate::clock::Clock;
use crate::telemetry::{metrics as families, signs};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most spans that may wait.
pub const SPANS_MOST: usize = 2_048;
/// Most spans that are sent together.
pub const SENT_MOST: usize = 256;
/// How long a span is kept for others to be sent with it.
const GATHER: Duration = Duration::from_secs(1);

/// A queue of ended spans. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SpanQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when one of the two sides has something to do that it does not know of yet.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<SpanRecord>,
    /// Whether the process ends: no more spans are taken, and those that wait are sent at once.
    is_closed: bool,
    /// Whether the sending thread has ended.
    is_done: bool,
}

impl SpanQueue {
    /// Hands over an ended span, or drops and counts it. Never waits for the collector.
    pub fn put(&self, span: SpanRecord) {
        let mut state = self.state();
        if state.is_closed || state.waiting.len() >= SPANS_MOST {
            drop(state);
            return lost("no-room", 1);
        }
        state.waiting.push_back(span);
        let is_awaited = state.waiting.len() == 1 || state.waiting.len() == SENT_MOST;
        drop(state);
        if is_awaited {
            self.0.changed.notify_all();
        }
    }

    /// Waits for spans, and then a moment for others to go with them; at most [`SENT_MOST`]. `None` when there will be no more.
    pub fn take(&self) -> Option<Vec<SpanRecord>> {
        let mut state = self.state();
        while state.waiting.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while state.waiting.len() < SENT_MOST && !state.is_closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        let count = state.waiting.len().min(SENT_MOST);
        Some(state.waiting.drain(..count).collect())
    }

    /// Waits for this time, or until the process ends. Returns whether it ends.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.state();
        while !state.is_closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait(state, left);
        }
        state.is_closed
    }

    /// Whether the process ends.
    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Takes no more spans, and waits at most `limit` until those that wait are sent or given up.
    pub fn close(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut state = self.state();
        state.is_closed = true;
        self.0.changed.notify_all();
        while !state.is_done {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait(state, left);
        }
    }

    /// Says that nobody takes spans any more.
    pub fn done(&self) {
        let mut state = self.state();
        (state.is_closed, state.is_done) = (true, true);
        self.0.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        let waited = self.0.changed.wait_timeout(state, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts spans that the collector has taken.
pub fn sent(spans: u64) {
    metrics::counter!(families::SPANS, "outcome" => "sent").increment(spans);
}

/// Counts spans that were lost: for `no-room` in the queue, or `not-taken` by the collector.
pub fn lost(why: &'static str, spans: u64) {
    metrics::counter!(families::SPANS, "outcome" => why).increment(spans);
    signs::SPANS_LOST.add(Clock::System.now_ms(), spans);
}

#[cfg(test)]
mod tests {
    use super::super::context::SpanContext;
    use super::super::words::SpanName;
    use super::*;

    fn span() -> SpanRecord {
        let context = SpanContext {
            trace: [1; 16],
            span: [2; 8],
            is_kept: true,
        };
        SpanRecord::new(SpanName::Job, context, None, 0)
    }

    #[test]
    fn a_queue_that_nobody_empties_takes_so_many_and_never_waits() {
        let queue = SpanQueue::default();
        let began = Instant::now();
        for _ in 0..SPANS_MOST + 500 {
            queue.put(span());
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        let mut taken = 0;
        while taken < SPANS_MOST {
            let some = queue.take().expect("spans");
            assert!(some.len() <= SENT_MOST);
            taken += some.len();
        }
        assert_eq!(taken, SPANS_MOST, "the others were dropped");
        queue.close(Duration::ZERO);
        assert_eq!(queue.take(), None);
        queue.put(span());
        assert_eq!(queue.take(), None, "no more are taken");
    }

    #[test]
    fn the_end_of_the_process_waits_for_what_was_taken_and_no_longer_than_it_may() {
        let queue = SpanQueue::default();
        queue.put(span());
        let own = queue.clone();
        let thread = std::thread::spawn(move || {
            let mut taken = 0;
            while let Some(some) = own.take() {
                taken += some.len();
            }
            own.done();
            taken
        });
        queue.close(Duration::from_secs(120));
        assert_eq!(thread.join().expect("ended"), 1);
        assert!(queue.pause(Duration::from_secs(10)), "nobody waits any more");

        let began = Instant::now();
        SpanQueue::default().close(Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
    }
}

//! Bytes that wait in memory for a slow peer, counted in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count with a maximum. Clones share it.
#[derive(Clone, Debug)]
pub struct Queue {
    held: Arc<AtomicUsize>,
    max: usize,
}

impl Queue {
    /// At most `max` bytes.
    pub fn new(max: usize) -> Queue {
        Queue {
            held: Arc::default(),
            max,
        }
    }

    /// Nothing yet, of this queue.
    pub fn begin(&self) -> Queued {
        Queued {
            queue: self.clone(),
            bytes: 0,
        }
    }
}

/// Bytes of one request or answer; they are given back when this is dropped.
#[derive(Debug)]
pub struct Queued {
    queue: Queue,
    bytes: usize,
}

impl Queued {
    /// Counts further bytes; false when there is no room for them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let before = self.queue.held.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.queue.max {
            self.queue.held.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_bounded_in_all_and_given_back() {
        let queue = Queue::new(10);
        let (mut one, mut other) = (queue.begin(), queue.begin());
        assert!(one.grow(6) && other.grow(4));
        assert!(!other.grow(1));
        drop(one);
        assert!(other.grow(6));
        drop(other);
        assert_eq!(queue.held.load(Ordering::Acquire), 0);
    }
}

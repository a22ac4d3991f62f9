//! Counts bytes that wait in memory for slow peers: in total, for each partner, and for each stranger's address.
//!
//! Partners: one partner may use at most an eighth, and all together at most three quarters. Small bodies may use the last quarter too, and
//! twice the share of their partner.
//!
//! Strangers: one address may use at most a sixteenth, and all addresses together at most half. Small bodies and answers, such as token
//! requests, may use a further quarter. The last quarter is reserved for proven addresses; all addresses of one partner together may use an
//! eighth in this way, and beyond it they are as any other address.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest body or answer that counts as small.
const SMALL_BYTES: usize = 8 * 1024;

/// A byte count with a maximum. Clones share it.
#[derive(Clone, Debug)]
pub struct ByteQueue {
    held: ByteCount,
    max: usize,
}

/// A count of bytes. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ByteCount(Arc<AtomicUsize>);

impl ByteCount {
    fn grow(&self, bytes: usize, most: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::AcqRel);
        let has_room = before.saturating_add(bytes) <= most;
        if !has_room {
            self.shrink(bytes);
        }
        has_room
    }

    fn shrink(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// [`Self::grow`], but without a limit while nothing but `mine` is counted here.
    fn grow_or_alone(&self, bytes: usize, mine: usize, most: usize) -> bool {
        let is_alone = self.held() == mine;
        self.grow(bytes, if is_alone { usize::MAX } else { most })
    }

    /// The bytes that are counted.
    pub fn held(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl ByteQueue {
    /// A queue of at most `max` bytes.
    pub fn new(max: usize) -> ByteQueue {
        ByteQueue {
            held: ByteCount::default(),
            max,
        }
    }

    /// Starts a count of zero bytes for a partner whose bytes are counted in `held`.
    pub fn begin_partners(&self, held: &ByteCount) -> Queued {
        Queued {
            queue: self.clone(),
            own: held.clone(),
            is_partners: true,
            sponsor: None,
            bytes: 0,
            sponsored: 0,
        }
    }

    /// Like [`ByteQueue::begin_partners`], for a stranger at an address whose bytes are counted in `held`. `sponsor` counts what is used of
    /// the share of the partner that was seen there recently, by all its addresses.
    pub fn begin_at(&self, held: &ByteCount, sponsor: Option<ByteCount>) -> Queued {
        let mut queued = self.begin_partners(held);
        queued.is_partners = false;
        queued.sponsor = sponsor;
        queued
    }
}

/// The bytes of one request or answer; they are released when this is dropped.
#[derive(Debug)]
pub struct Queued {
    queue: ByteQueue,
    /// The bytes of the partner, or of the stranger's address.
    own: ByteCount,
    is_partners: bool,
    /// The share of the partner that was seen at the stranger's address.
    sponsor: Option<ByteCount>,
    bytes: usize,
    /// How many of the bytes are in the share of `sponsor`.
    sponsored: usize,
}

impl Queued {
    /// Counts further bytes; returns false when there is no room for them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let max = self.queue.max;
        if let Some(sponsor) = self.sponsor.clone()
            && sponsor.grow_or_alone(bytes, 0, max / 8)
        {
            if self.takes(bytes, max, max / 8) {
                self.sponsored += bytes;
                return true;
            }
            sponsor.shrink(bytes);
        }
        let is_small = self.bytes.saturating_add(bytes) <= SMALL_BYTES;
        let (in_all, of_owner) = match (self.is_partners, is_small) {
            (true, true) => (max, max / 4),
            // A single body may use everything, so that none is too large to be received.
            (true, false) if self.queue.held.held() == self.bytes => (max, max),
            (true, false) => (max - max / 4, max / 8),
            (false, true) => (max - max / 4, max / 8),
            (false, false) => (max / 2, max / 16),
        };
        self.takes(bytes, in_all, of_owner)
    }

    /// Counts further bytes. A partner's only body may exceed its share, and so may an address's first bytes.
    fn takes(&mut self, bytes: usize, in_all: usize, of_owner: usize) -> bool {
        let mine = if self.is_partners { self.bytes } else { 0 };
        if !self.own.grow_or_alone(bytes, mine, of_owner) {
            return false;
        }
        if !self.queue.held.grow(bytes, in_all) {
            self.own.shrink(bytes);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Raises the count to `bytes`; returns false when there is no room.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes);
        missing == 0 || self.grow(missing)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.queue.held.shrink(self.bytes);
        self.own.shrink(self.bytes);
        if let Some(sponsor) = &self.sponsor {
            sponsor.shrink(self.sponsored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_queued_is_bounded_in_all_and_given_back() {
        let queue = ByteQueue::new(10);
        let begin = || queue.begin_partners(&ByteCount::default());
        let (mut one, mut other) = (begin(), begin());
        assert!(one.grow(6) && other.grow(4));
        assert!(!other.grow(1));
        drop(one);
        assert!(other.grow(6));
        drop(other);
        assert_eq!(queue.held.held(), 0);
    }

    /// As many counts of this size as there is room for.
    fn filled(queue: &ByteQueue, address: &ByteCount, sponsor: Option<&ByteCount>, bytes: usize) -> Vec<Queued> {
        all_that_fit(bytes, || queue.begin_at(address, sponsor.cloned()))
    }

    fn all_that_fit(bytes: usize, begin: impl Fn() -> Queued) -> Vec<Queued> {
        let one = || {
            let mut queued = begin();
            queued.grow(bytes).then_some(queued)
        };
        std::iter::from_fn(one).take(10_000).collect()
    }

    #[test]
    fn t_b07_one_partners_bodies_leave_room_for_those_of_others() {
        let queue = ByteQueue::new(64 << 20);
        let partners: Vec<ByteCount> = (0..10).map(|_| ByteCount::default()).collect();
        let of_one = all_that_fit(1 << 20, || queue.begin_partners(&partners[0]));
        assert_eq!(of_one.len(), 8, "an eighth");
        assert!(queue.begin_partners(&partners[0]).grow(5_000), "a small one beyond it");
        assert!(queue.begin_partners(&partners[1]).grow(1 << 20), "another partner's");
        let of_all: Vec<Queued> = partners
            .iter()
            .flat_map(|partner| all_that_fit(1 << 20, || queue.begin_partners(partner)))
            .collect();
        assert_eq!(of_one.len() + of_all.len(), 48, "three quarters");
        let mut small = queue.begin_partners(&partners[9]);
        assert!(small.grow(5_000) && !small.grow(5_000), "room for small ones is left");
        drop((of_one, of_all, small));
        assert!(queue.held.held() == 0 && partners.iter().all(|partner| partner.held() == 0));
    }

    #[test]
    fn the_only_body_may_fill_a_small_queue_piece_by_piece() {
        let queue = ByteQueue::new(1 << 20);
        let mut only = queue.begin_partners(&ByteCount::default());
        assert!((0..32).all(|_| only.grow(32 << 10)) && !only.grow(1));
    }

    #[test]
    fn t_b07_all_addresses_of_a_partner_have_one_share_of_strangers_bytes() {
        const MAX: usize = 8 << 20;
        let queue = ByteQueue::new(MAX);
        let (hostile, other) = (ByteCount::default(), ByteCount::default());
        let addresses: Vec<ByteCount> = (0..20).map(|_| ByteCount::default()).collect();
        let held: Vec<Queued> = addresses
            .iter()
            .flat_map(|address| filled(&queue, address, Some(&hostile), 200_000))
            .collect();
        assert!(hostile.held() <= MAX / 8 && queue.held.held() <= MAX / 2);
        let small: Vec<Queued> = addresses
            .iter()
            .flat_map(|address| filled(&queue, address, Some(&hostile), 4_096))
            .collect();
        assert!(queue.held.held() <= MAX - MAX / 4 + MAX / 8);
        assert_eq!(filled(&queue, &ByteCount::default(), Some(&other), 50_000).len(), 20);
        drop((held, small));
        assert!(queue.begin_at(&ByteCount::default(), None).grow(4_096));
        assert!(queue.held.held() == 0 && hostile.held() == 0 && other.held() == 0);
    }

    #[test]
    fn t_b07_one_address_and_all_strangers_leave_room_for_small_requests_and_for_partners_addresses() {
        const MAX: usize = 8 << 20;
        let queue = ByteQueue::new(MAX);
        let addresses: Vec<ByteCount> = (0..40).map(|_| ByteCount::default()).collect();
        let of_one = filled(&queue, &addresses[0], None, 32 << 10);
        assert_eq!(of_one.len(), 16, "a sixteenth of all");
        assert!(
            queue.begin_at(&addresses[0], None).grow(1000),
            "a small one of that address still has room"
        );
        let of_all: Vec<Queued> = addresses
            .iter()
            .flat_map(|address| filled(&queue, address, None, 32 << 10))
            .collect();
        assert_eq!(of_one.len() + of_all.len(), 128, "half of all");
        let mut one = queue.begin_at(&ByteCount::default(), None);
        assert!(
            one.grow(4000) && one.grow(4000) && !one.grow(4000),
            "a small one beside them"
        );
        drop(one);
        let small: Vec<Queued> = addresses
            .iter()
            .flat_map(|address| filled(&queue, address, None, 8 << 10))
            .collect();
        assert_eq!(small.len(), 256, "a quarter");
        let partners = filled(&queue, &ByteCount::default(), Some(&ByteCount::default()), 64 << 10);
        assert_eq!(partners.len(), 16, "an address of a partner's, whatever strangers hold");
        drop((of_one, of_all, small, partners));
        assert!(queue.held.held() == 0 && addresses.iter().all(|address| address.held() == 0));
        // A single answer may be larger than the share of its address.
        assert!(queue.begin_at(&addresses[0], None).grow(1 << 20));
    }
}

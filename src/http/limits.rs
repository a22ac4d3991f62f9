//! Limits for partners, checked before any work: requests in flight in total and for each partner, requests a second and connections of one
//! partner, and the memory that one partner's answers take while they wait to be read.

use crate::error::Fault;
use crate::http::edge::{Rate, UsedRate};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Most bytes of one partner's answers that may wait in memory; beyond this the partner's next request waits.
const ANSWER_BYTES: usize = 12 * 1024 * 1024;
/// Bytes that are reserved for an answer of unknown size while it is made.
pub const MAKING_BYTES: usize = 2 * 1024 * 1024;
/// How many times slower a partner's requests are taken while the disk of the store is nearly full, because each of them is written to the
/// ledger there.
const SCARCE: u32 = 50;
/// Longest wait for room, of a request whose answer has not begun.
pub const ROOM_WAIT: Duration = Duration::from_secs(10);
/// The same, of an answer in the middle: refusing it then would break it off.
pub const STREAM_WAIT: Duration = Duration::from_secs(120);

/// Counts requests in flight. Clones share the counts.
#[derive(Clone)]
pub struct RequestLimits {
    all: Arc<AtomicUsize>,
    all_max: usize,
    partners: ShareCounts,
    rooms: Arc<Mutex<HashMap<String, PartnerRoom>>>,
    /// The rate of one partner: ordinarily, and while room on the disk is scarce.
    rates: [Rate; 2],
    /// What each partner has used of its rate; there are as many partners as are registered.
    used: Arc<Mutex<HashMap<String, UsedRate>>>,
}

/// A request in flight; it is counted until this is dropped.
pub struct InFlight {
    all: Arc<AtomicUsize>,
}

impl RequestLimits {
    /// At most `all_max` requests at once, and `partner_max` of one partner. A partner has `partner_rate` requests a second, and four times as
    /// many at once.
    pub fn new(all_max: usize, partner_max: usize, partner_rate: u32) -> Self {
        let scarce = (partner_rate / SCARCE).max(1);
        RequestLimits {
            all: Arc::default(),
            all_max,
            partners: ShareCounts::new(partner_max),
            rooms: Arc::default(),
            rates: [partner_rate, scarce].map(|rate| Rate::new(rate, rate.saturating_mul(4))),
            used: Arc::default(),
        }
    }

    /// The memory limit for this partner's answers.
    pub fn room(&self, id: &str) -> PartnerRoom {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        match rooms.get(id) {
            Some(room) => room.clone(),
            None => rooms.entry(id.to_owned()).or_default().clone(),
        }
    }

    /// Takes a request from this partner's rate. `is_scarce`: the disk of the store is nearly full.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the rate is used up.
    pub fn asks(&self, id: &str, is_scarce: bool, now: Instant) -> Result<(), Fault> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let used = match used.get_mut(id) {
            Some(used) => used,
            None => used.entry(id.to_owned()).or_insert_with(|| UsedRate::none(now)),
        };
        let is_given = used.take(self.rates[usize::from(is_scarce)], 1, now);
        if is_given { Ok(()) } else { Err(Fault::RateLimited) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when the server is at its limit.
    pub fn enter(&self) -> Result<InFlight, Fault> {
        let guard = InFlight {
            all: Arc::clone(&self.all),
        };
        if self.all.fetch_add(1, Ordering::AcqRel) >= self.all_max {
            return Err(Fault::Overloaded);
        }
        Ok(guard)
    }

    /// Counts a partner's request.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the partner is at its limit.
    pub fn enter_partner(&self, id: &str) -> Result<HeldShare, Fault> {
        self.partners.enter(id).ok_or(Fault::RateLimited)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The memory that one partner's answers take. Clones share it.
#[derive(Clone, Default)]
pub struct PartnerRoom(Arc<RoomState>);

#[derive(Default)]
struct RoomState {
    held: AtomicUsize,
    freed: Notify,
}

impl PartnerRoom {
    /// Waits at most `wait` until there is room, and takes `bytes` of it. A single answer may exceed the limit, so that no answer is too large to be sent.
    ///
    /// # Errors
    /// [`Fault::RateLimited`] when the partner does not read its other answers in time.
    pub async fn enter(&self, bytes: usize, wait: Duration) -> Result<HeldRoom, Fault> {
        let entered = async {
            loop {
                let mut freed = std::pin::pin!(self.0.freed.notified());
                freed.as_mut().enable();
                if let Some(held) = self.try_enter(bytes) {
                    return held;
                }
                freed.await;
            }
        };
        if let Some(held) = self.try_enter(bytes) {
            return Ok(held);
        }
        tokio::time::timeout(wait, entered)
            .await
            .map_err(|_| Fault::RateLimited)
    }

    /// Takes `bytes` of the room at once, also beyond its limit: what is in memory already. Later answers wait for it.
    pub fn take(&self, bytes: usize) -> HeldRoom {
        let mut held = HeldRoom {
            room: self.clone(),
            bytes: 0,
        };
        held.resize(bytes);
        held
    }

    fn try_enter(&self, bytes: usize) -> Option<HeldRoom> {
        let add = |held: usize| (held < ANSWER_BYTES).then_some(held + bytes);
        let added = self.0.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        added.is_ok().then(|| HeldRoom {
            room: self.clone(),
            bytes,
        })
    }
}

/// The room that an answer takes; it is released when this is dropped.
pub struct HeldRoom {
    room: PartnerRoom,
    bytes: usize,
}

impl HeldRoom {
    /// Changes the room that the answer takes to `bytes`.
    pub fn resize(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            self.room.0.held.fetch_add(bytes - self.bytes, Ordering::AcqRel);
        } else {
            self.room.0.held.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
            self.room.0.freed.notify_waiters();
        }
        self.bytes = bytes;
    }
}

impl Drop for HeldRoom {
    fn drop(&mut self) {
        self.resize(0);
    }
}

/// Counts what each owner holds at once, up to one maximum for all owners. Clones share the counts.
#[derive(Clone)]
pub struct ShareCounts {
    held: Arc<Mutex<HashMap<String, usize>>>,
    max: usize,
}

/// One thing that is held; it is counted until this is dropped.
pub struct HeldShare {
    held: Arc<Mutex<HashMap<String, usize>>>,
    id: String,
}

impl ShareCounts {
    /// At most `max` for each owner.
    pub fn new(max: usize) -> Self {
        ShareCounts {
            held: Arc::default(),
            max,
        }
    }

    /// Counts one more for `id`; `None` when `id` has reached the maximum.
    pub fn enter(&self, id: &str) -> Option<HeldShare> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(id.to_owned()).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(HeldShare {
            held: Arc::clone(&self.held),
            id: id.to_owned(),
        })
    }
}

impl Drop for HeldShare {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t_b07_answers_of_one_partner_wait_for_their_room_and_others_do_not() {
        let limits = RequestLimits::new(8, 8, 1);
        let long = Duration::from_secs(120);
        let (room, other) = (limits.room("a"), limits.room("b"));
        let mut first = room.enter(MAKING_BYTES, long).await.expect("room");
        first.resize(ANSWER_BYTES + 5);
        assert!(other.enter(1, long).await.is_ok());
        let waits = limits.room("a");
        let waiting = tokio::spawn(async move { waits.enter(1, long).await.map(|held| held.bytes) });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(first);
        assert_eq!(waiting.await.expect("a task"), Ok(1));
        assert_eq!(room.0.held.load(Ordering::Acquire), 0);
    }

    #[test]
    fn t_f14_a_partner_asks_at_its_rate_and_slower_while_the_disk_is_nearly_full() {
        let limits = RequestLimits::new(8, 8, 100);
        let now = Instant::now();
        let given = |id: &str, is_scarce, at| (0..1000).filter(|_| limits.asks(id, is_scarce, at).is_ok()).count();
        assert_eq!(given("a", false, now), 400);
        assert_eq!(given("b", false, now), 400, "another partner's is its own");
        assert_eq!(given("a", false, now + Duration::from_secs(1)), 100);
        let later = now + Duration::from_secs(10);
        assert_eq!(given("a", true, later), 8);
        assert_eq!(given("a", true, later + Duration::from_secs(2)), 4);
    }

    #[test]
    fn a_partner_at_its_limit_is_told_so_and_others_are_not() {
        let limits = RequestLimits::new(2, 1, 1);
        let first = limits.enter_partner("a").expect("first");
        assert_eq!(limits.enter_partner("a").err(), Some(Fault::RateLimited));
        assert!(limits.enter_partner("b").is_ok());
        drop(first);
        assert!(limits.enter_partner("a").is_ok());
        let (one, two) = (limits.enter(), limits.enter());
        assert!(one.is_ok() && two.is_ok());
        assert_eq!(limits.enter().err(), Some(Fault::Overloaded));
        drop(one);
        assert!(limits.enter().is_ok());
    }
}

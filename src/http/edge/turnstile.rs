//! Places for handshakes, and whether another connection waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval_at};

/// Time that every handshake is given; a longer one may go on only while no other waits for its place. A build without optimization takes
/// ten times as long for a handshake.
const FIRM: Duration = Duration::from_millis(if cfg!(debug_assertions) { 3000 } else { 500 });
/// Time between checks of whether another handshake waits.
const LOOK: Duration = Duration::from_millis(100);

/// A fixed number of places.
#[derive(Debug)]
pub struct Turnstile {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Counts one waiting handshake until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Waiting<'a> {
        waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Turnstile {
    /// A turnstile with `places` places.
    pub fn new(places: usize) -> Turnstile {
        Turnstile {
            places: Arc::new(Semaphore::new(places)),
            waiting: AtomicUsize::new(0),
        }
    }

    async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = Waiting::begin(&self.waiting);
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// The places of one handshake; they are released when this is dropped. The default has none.
#[derive(Default)]
pub struct Handshake {
    taken: Vec<(Arc<Turnstile>, OwnedSemaphorePermit)>,
}

impl Handshake {
    /// Waits for a place at this turnstile.
    pub async fn begin(turnstile: Arc<Turnstile>) -> Option<Handshake> {
        let mut handshake = Handshake::default();
        handshake.enter(turnstile).await?;
        Some(handshake)
    }

    /// Waits for a place at this turnstile as well.
    pub async fn enter(&mut self, turnstile: Arc<Turnstile>) -> Option<()> {
        let place = turnstile.enter().await?;
        self.taken.push((turnstile, place));
        Some(())
    }

    /// Runs `work` and returns its result; `None` when it took longer than [`FIRM`] while another handshake waited for the place.
    pub async fn while_nobody_waits<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut look = interval_at(Instant::now() + FIRM, LOOK);
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return Some(done),
                _ = look.tick() => {
                    if self.taken.iter().any(|(turnstile, _)| turnstile.is_waited_for()) {
                        return None;
                    }
                }
            }
        }
    }
}

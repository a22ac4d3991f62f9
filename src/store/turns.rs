//! Places that several askers share fairly: each asker has its own queue, and a free place goes to the next queue in turn.
//!
//! An asker holds no more places than its share, so an asker with many requests waits for itself and does not delay others. Waiters that
//! have given up are skipped. This module does not know what a place is used for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// A set of shared places. Clones share the same set.
#[derive(Clone)]
pub struct SharedPlaces(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Most waiters of one asker.
    waiting_max: usize,
}

#[derive(Default)]
struct State {
    free: usize,
    lines: HashMap<String, Line>,
    /// The askers whose queue is not empty; the next one is first.
    round: VecDeque<String>,
}

/// The queue of one asker.
#[derive(Default)]
struct Line {
    held: usize,
    share: usize,
    waiting: VecDeque<oneshot::Sender<TurnPlace>>,
    is_in_round: bool,
}

/// A place. It is given back when this value is dropped.
pub struct TurnPlace {
    shared: Arc<Shared>,
    asker: String,
}

impl SharedPlaces {
    /// Makes so many places. Each asker may have at most `waiting_max` waiters besides the places it holds.
    pub fn new(places: usize, waiting_max: usize) -> SharedPlaces {
        SharedPlaces(Arc::new(Shared {
            state: Mutex::new(State {
                free: places.max(1),
                ..State::default()
            }),
            waiting_max,
        }))
    }

    /// Waits for a place for `asker`, which holds at most `share` places at once (at least one). Returns `None` when its queue is full.
    pub async fn take(&self, asker: &str, share: usize) -> Option<TurnPlace> {
        let waited_for = match self.0.enter(asker, share) {
            Entered::In(turn) => return Some(turn),
            Entered::Waits(waited_for) => waited_for,
            Entered::Full => return None,
        };
        waited_for.await.ok()
    }
}

enum Entered {
    In(TurnPlace),
    Waits(oneshot::Receiver<TurnPlace>),
    Full,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, asker: &str, share: usize) -> Entered {
        let mut state = self.lock();
        let State { free, lines, round } = &mut *state;
        if !lines.contains_key(asker) {
            lines.insert(asker.to_owned(), Line::default());
        }
        let Some(line) = lines.get_mut(asker) else {
            return Entered::Full;
        };
        line.share = share.max(1);
        if *free > 0 && line.held < line.share {
            // This overtakes nobody: an asker that waits while a place is free already holds its whole share.
            *free -= 1;
            line.held += 1;
            return Entered::In(self.turn(asker));
        }
        line.waiting.retain(|waiter| !waiter.is_closed());
        if line.waiting.len() >= self.waiting_max {
            return Entered::Full;
        }
        let (sender, receiver) = oneshot::channel();
        line.waiting.push_back(sender);
        if !std::mem::replace(&mut line.is_in_round, true) {
            round.push_back(asker.to_owned());
        }
        Entered::Waits(receiver)
    }

    fn turn(self: &Arc<Self>, asker: &str) -> TurnPlace {
        TurnPlace {
            shared: Arc::clone(self),
            asker: asker.to_owned(),
        }
    }

    /// Takes a place back. Returns the asker and the waiter who get it next.
    fn leave(&self, asker: &str) -> Option<(String, oneshot::Sender<TurnPlace>)> {
        let mut state = self.lock();
        state.free += 1;
        if let Some(line) = state.lines.get_mut(asker) {
            line.held -= 1;
        }
        state.forget(asker);
        state.next()
    }
}

impl State {
    /// Returns the next waiter that has not given up and whose asker is below its share.
    fn next(&mut self) -> Option<(String, oneshot::Sender<TurnPlace>)> {
        for _ in 0..self.round.len() {
            let asker = self.round.pop_front()?;
            let Some(line) = self.lines.get_mut(&asker) else {
                continue;
            };
            line.waiting.retain(|waiter| !waiter.is_closed());
            if line.waiting.is_empty() {
                line.is_in_round = false;
                self.forget(&asker);
                continue;
            }
            if line.held >= line.share {
                self.round.push_back(asker);
                continue;
            }
            let waiter = line.waiting.pop_front()?;
            line.held += 1;
            self.free -= 1;
            match line.waiting.is_empty() {
                true => line.is_in_round = false,
                false => self.round.push_back(asker.clone()),
            }
            return Some((asker, waiter));
        }
        None
    }

    fn forget(&mut self, asker: &str) {
        let is_idle = |line: &Line| line.held == 0 && line.waiting.is_empty() && !line.is_in_round;
        if self.lines.get(asker).is_some_and(is_idle) {
            self.lines.remove(asker);
        }
    }
}

impl Drop for TurnPlace {
    fn drop(&mut self) {
        // Sent without the lock: when the waiter has given up meanwhile, the place is dropped, and this code runs again.
        if let Some((asker, waiter)) = self.shared.leave(&self.asker) {
            let _ = waiter.send(self.shared.turn(&asker));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::task::Poll;

    /// Polls the future once.
    async fn look<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|context| {
            Poll::Ready(match future.as_mut().poll(context) {
                Poll::Ready(done) => Some(done),
                Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test]
    async fn who_asks_much_waits_for_itself_and_the_others_take_turns() {
        let turns = SharedPlaces::new(2, 10);
        let first = turns.take("much", 1).await.expect("a place");
        let (mut second, mut third) = (pin!(turns.take("much", 1)), pin!(turns.take("much", 1)));
        assert!(look(second.as_mut()).await.is_none() && look(third.as_mut()).await.is_none());
        // One place is free, but only for other askers.
        let other = turns.take("other", 2).await.expect("a place");
        let mut another = pin!(turns.take("other", 2));
        assert!(look(another.as_mut()).await.is_none());
        drop(first);
        let second = look(second.as_mut()).await.flatten().expect("its turn");
        drop(second);
        let another = look(another.as_mut()).await.flatten().expect("the other line's turn");
        drop((other, another));
        assert!(look(third.as_mut()).await.flatten().is_some());
    }

    #[tokio::test]
    async fn who_has_gone_is_passed_over_and_a_line_has_an_end() {
        let turns = SharedPlaces::new(1, 2);
        let held = turns.take("a", 1).await.expect("a place");
        {
            let (mut gone, mut also) = (pin!(turns.take("a", 1)), pin!(turns.take("a", 1)));
            assert!(look(gone.as_mut()).await.is_none() && look(also.as_mut()).await.is_none());
            assert!(turns.take("a", 1).await.is_none(), "two wait, and no third");
        }
        let mut stays = pin!(turns.take("a", 1));
        assert!(look(stays.as_mut()).await.is_none(), "those who went made room");
        drop(held);
        let turn = look(stays.as_mut()).await.flatten().expect("its turn");
        drop(turn);
        assert!(turns.0.lock().lines.is_empty(), "nothing is kept of who holds nothing");
        assert_eq!(turns.0.lock().free, 1);
    }
}

//! The turns in which reads run on the threads that answer.
//!
//! A change of threads costs more than a short read. A read whose length is not known runs on the answering thread for as long as its
//! asker's reads are quick; after a slow one the asker's reads run elsewhere until it has shown enough quick ones. On each answering thread
//! an asker has one such read, and then waits for its next turn until what others have ready there was looked at; while others ask, it has
//! one on all of these threads. This module must never hold a lock while a read runs.

use crate::store::company::OthersAsking;
use crate::store::turns::{SharedPlaces, TurnPlace};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longest quick read, with the time in which other threads had the processor. Other requests wait so long for the thread.
const QUICK: Duration = Duration::from_millis(25);
/// Quick reads in turn that make up for a slow one: one in a thousand may be slow on the answering thread.
const OWED: u32 = 1_000;
/// How many reads of one asker may wait for their turn on one thread.
const WAITING: usize = 4_096;
/// More places than there are askers: each asker has a share of one.
const PLACES: usize = usize::MAX / 2;

thread_local! {
    /// The turns on this thread.
    static HERE: SharedPlaces = SharedPlaces::new(PLACES, WAITING);
}

/// The askers whose reads may run on the threads that answer.
pub(super) struct QuickAskers {
    /// Who owes quick reads, and how many.
    owing: Mutex<HashMap<String, u32>>,
    /// The turns on all threads together.
    everywhere: SharedPlaces,
    company: OthersAsking,
}

/// The turn of an asker's read on an answering thread. The next one comes when this is dropped.
pub(super) struct QuickTurn {
    _here: TurnPlace,
    _everywhere: Option<TurnPlace>,
}

impl QuickTurn {
    /// Ends the turn when this thread has looked for what else came, and has run what was ready before that.
    pub(super) fn ends(self) {
        tokio::spawn(async move {
            tokio::task::yield_now().await;
            drop(self);
        });
    }
}

impl QuickAskers {
    /// Nobody owes anything. `company` tells whether others ask.
    pub(super) fn new(company: OthersAsking) -> QuickAskers {
        QuickAskers {
            owing: Mutex::default(),
            everywhere: SharedPlaces::new(PLACES, WAITING),
            company,
        }
    }

    /// Who asks beside whom.
    pub(super) fn company(&self) -> &OthersAsking {
        &self.company
    }

    fn owing(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.owing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of this asker's next read on this thread. `None`: it owes quick reads, or too many of its reads wait.
    pub(super) async fn turn(&self, asker: &str) -> Option<QuickTurn> {
        if self.owing().contains_key(asker) {
            return None;
        }
        let here = HERE.with(SharedPlaces::clone).take(asker, 1).await?;
        let everywhere = match self.company.is_there() {
            true => Some(self.everywhere.take(asker, 1).await?),
            false => None,
        };
        // A read may have been slow meanwhile.
        (!self.owing().contains_key(asker)).then_some(QuickTurn {
            _here: here,
            _everywhere: everywhere,
        })
    }

    /// Notes how long a read of this asker took.
    pub(super) fn note(&self, asker: &str, took: Duration) {
        let mut owing = self.owing();
        if took > QUICK {
            owing.insert(asker.to_owned(), OWED);
            return;
        }
        let paid = owing.get_mut(asker).is_some_and(|owed| {
            *owed -= 1;
            *owed == 0
        });
        if paid {
            owing.remove(asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::pin::{Pin, pin};
    use std::rc::Rc;
    use std::task::Poll;

    /// The turn, if it has come.
    async fn look(mut turn: Pin<&mut impl Future<Output = Option<QuickTurn>>>) -> Option<QuickTurn> {
        poll_fn(|context| {
            Poll::Ready(match turn.as_mut().poll(context) {
                Poll::Ready(turn) => Some(turn.expect("it owes nothing")),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Askers of whom one is alone.
    fn alone() -> QuickAskers {
        QuickAskers::new(OthersAsking::default())
    }

    async fn may(askers: &QuickAskers, asker: &str) -> bool {
        askers.turn(asker).await.is_some()
    }

    /// A thread with the runtime of one that answers.
    fn on_another_thread<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.expect("a runtime").block_on(work())
            });
            thread.join().expect("done")
        })
    }

    #[tokio::test]
    async fn t_b07_an_asker_has_one_read_at_a_time_on_the_threads_that_answer() {
        let company = OthersAsking::default();
        let askers = QuickAskers::new(company.clone());
        company.came("b");
        let turn = askers.turn("a").await.expect("its turn");
        let mut second = pin!(askers.turn("a"));
        assert!(look(second.as_mut()).await.is_none() && may(&askers, "b").await);
        on_another_thread(async || {
            // Whoever came before the thread began may be gone.
            company.came("c");
            assert!(look(pin!(askers.turn("a"))).await.is_none(), "not elsewhere either");
            assert!(may(&askers, "b").await);
        });
        drop(turn);
        assert!(look(second.as_mut()).await.is_some());
    }

    #[tokio::test]
    async fn t_b07_an_asker_has_one_read_on_each_thread_until_another_asks() {
        let company = OthersAsking::default();
        let askers = QuickAskers::new(company.clone());
        let elsewhere = || on_another_thread(async || look(pin!(askers.turn("a"))).await.is_some());
        {
            let _turn = askers.turn("a").await.expect("its turn");
            assert!(look(pin!(askers.turn("a"))).await.is_none());
            assert!(elsewhere(), "nobody else asks");
        }
        company.came("b");
        let _turn = askers.turn("a").await.expect("its turn");
        on_another_thread(async || {
            company.came("c");
            assert!(look(pin!(askers.turn("a"))).await.is_none(), "somebody else asks");
        });
    }

    #[tokio::test]
    async fn t_b07_a_read_on_an_answering_thread_lets_what_is_ready_there_go_first() {
        let askers = Rc::new(alone());
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (read, others) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
                let reads = (0..8).map(|_| {
                    let (askers, read, others) = (Rc::clone(&askers), Rc::clone(&read), Rc::clone(&others));
                    tokio::task::spawn_local(async move {
                        let turn = askers.turn("a").await.expect("its turn");
                        let before = read.replace(read.get() + 1);
                        assert!(others.get() >= before, "{before} reads without another's turn");
                        turn.ends();
                    })
                });
                let reads: Vec<_> = reads.collect();
                // What others do, which is ready again whenever the thread has looked.
                while read.get() < 8 {
                    others.set(others.get() + 1);
                    tokio::task::yield_now().await;
                }
                for read in reads {
                    read.await.expect("read");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn t_b07_one_slow_read_is_made_up_for_by_a_thousand_quick_ones() {
        let (askers, quick) = (alone(), Duration::from_millis(1));
        assert!(may(&askers, "a").await);
        askers.note("a", quick);
        assert!(may(&askers, "a").await);
        askers.note("a", Duration::from_millis(26));
        assert!(!may(&askers, "a").await && may(&askers, "b").await);
        for _ in 0..999 {
            askers.note("a", quick);
            assert!(!may(&askers, "a").await);
        }
        askers.note("a", quick);
        assert!(may(&askers, "a").await);
        askers.note("a", Duration::from_millis(26));
        askers.note("a", quick);
        askers.note("a", Duration::from_secs(2));
        for _ in 0..1_000 {
            assert!(!may(&askers, "a").await);
            askers.note("a", quick);
        }
        assert!(may(&askers, "a").await && askers.owing().is_empty());
    }

    #[tokio::test]
    async fn t_b07_who_waits_while_a_read_is_slow_gets_no_turn_on_the_thread() {
        let askers = alone();
        let turn = askers.turn("a").await.expect("its turn");
        let mut second = pin!(askers.turn("a"));
        assert!(look(second.as_mut()).await.is_none());
        askers.note("a", Duration::from_secs(1));
        drop(turn);
        assert!(second.await.is_none());
    }
}

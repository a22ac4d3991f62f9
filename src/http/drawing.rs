//! A queue for rendering HTML pages, which takes many times the processor time and memory of the JSON that they show.
//!
//! Only one stranger's page is rendered at a time; for partners, as many as half the processors, in fair turns. When a client disconnects
//! while it waits, nothing is rendered. Pages are rendered on a few dedicated threads, because every thread keeps part of the memory that
//! it once used, and a page uses much.

use crate::error::Fault;
use crate::store::turns::{SharedPlaces, TurnPlace};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::sync::oneshot;

/// Most strangers' pages that may wait; beyond this the answer is 503.
const STRANGERS_WAITING: usize = 8;
/// Most pages of one partner that may wait. Their memory has a bound of its own: the answer that is to be drawn takes of the partner's room
/// for answers. This is what a partner may have in flight unless the configuration says otherwise.
const PARTNER_WAITING: usize = 256;
/// Longest wait for a turn.
const WAIT: Duration = Duration::from_secs(10);

/// Who asks for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageAsker {
    /// A client that is not known to be a partner.
    Stranger,
    /// This partner.
    Partner(String),
}

/// The queues for rendering pages.
pub struct Drawing {
    strangers: Table,
    partners: Table,
}

type Work = Box<dyn FnOnce() + Send>;

/// A queue of turns, and as many threads as turns at once.
struct Table {
    turns: SharedPlaces,
    work: Sender<Work>,
}

/// The right to render one page.
pub struct Pen {
    turn: TurnPlace,
    work: Sender<Work>,
}

impl Table {
    fn new(places: usize, waiting: usize) -> Table {
        let (work, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..places.max(1) {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("pages".into());
            if let Err(error) = thread.spawn(move || draw_all(&queue)) {
                tracing::error!(cause = %error, "a thread for pages could not be started");
            }
        }
        Table {
            turns: SharedPlaces::new(places, waiting),
            work,
        }
    }

    async fn take(&self, asker: &str) -> Option<Pen> {
        let turn = self.turns.take(asker, 1).await?;
        Some(Pen {
            turn,
            work: self.work.clone(),
        })
    }
}

/// Renders pages until the queue is closed. A page that panics does not affect others.
fn draw_all(queue: &Mutex<Receiver<Work>>) {
    loop {
        let work = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = work else { return };
        let _ = catch_unwind(AssertUnwindSafe(work));
    }
}

impl Drawing {
    /// Queues that fit the number of processors of this machine.
    pub fn of_this_machine() -> Drawing {
        let processors = available_parallelism().map_or(2, NonZeroUsize::get);
        Drawing {
            strangers: Table::new(1, STRANGERS_WAITING),
            partners: Table::new(processors / 2, PARTNER_WAITING),
        }
    }

    /// Waits for a turn to render a page.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when too many are waiting, or the wait takes too long.
    pub async fn turn(&self, asker: &PageAsker) -> Result<Pen, Fault> {
        let turn = async {
            match asker {
                PageAsker::Stranger => self.strangers.take("").await,
                PageAsker::Partner(id) => self.partners.take(id).await,
            }
        };
        let turn = tokio::time::timeout(WAIT, turn).await.ok().flatten();
        turn.ok_or(Fault::Overloaded)
    }
}

impl Pen {
    /// Renders a page on a dedicated thread. The turn ends with the work, even when the client has disconnected.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the work panicked.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
        let (told, drawn) = oneshot::channel();
        let turn = self.turn;
        let work = Box::new(move || {
            let drawn = work();
            drop(turn);
            let _ = told.send(drawn);
        });
        self.work.send(work).map_err(|_| Fault::Internal)?;
        drawn.await.map_err(|_| Fault::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_of_one_partner_wait_for_each_other_and_none_is_refused() {
        let drawing = Drawing::of_this_machine();
        let asker = PageAsker::Partner("busy".to_owned());
        let pages = (0..40).map(|n| {
            let turn = drawing.turn(&asker);
            async move { turn.await?.run(move || n).await }
        });
        let drawn = futures_util::future::join_all(pages).await;
        assert_eq!(drawn.len(), 40);
        assert!(drawn.iter().enumerate().all(|(n, page)| *page == Ok(n)));
    }
}

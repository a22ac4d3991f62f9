//! Pooled connections to PostgreSQL: a bounded number of places, and deadlines of our own over waiting for a place, over connecting
//! and over each statement.
//!
//! libpq waits for an answer as long as its connection stands, and no safe code can close that connection under it
//! (`docs/adr/0010-calls-are-given-up.md`). So a call that is not answered in time is given up: whoever waits for it is told, its
//! place is free for another, its connection is never used again, and it may not commit any more. The thread ends when libpq does;
//! of such threads there is a bounded number. This module never says what a call does.

use super::Db;
use super::connect::Manager;
use super::session;
use super::sqlstate;
use super::url::StoreUrl;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, SimpleConnection as _, TransactionManager};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Longest wait for a place.
pub(super) const PLACE: Duration = Duration::from_secs(5);
/// How long one statement may run where nobody waits at the other end of a request: commands, and what is done before serving.
const LIMIT: Duration = Duration::from_secs(30);
/// Calls that were given up and have not ended yet; with so many only a call now and then is begun, to see whether the database
/// answers again.
const HANGING: usize = 64;
/// With so many of them no answer lets the others follow: their threads are taken from those that serve.
const HANGING_MOST: usize = 4 * HANGING;
/// Longest time between two such calls.
const PROBE: Duration = Duration::from_secs(30);
/// A connection that lay idle so long is asked first whether it still stands: what ends it in between (a restart, a balancer, a time
/// limit) is not seen here.
const DOUBT: Duration = Duration::from_millis(200);
/// Age at which a connection is closed when it comes back.
const AGE: Duration = Duration::from_secs(1_800);

mod watch;

type Transactions = <Db as Connection>::TransactionManager;

/// The pool. Clones share it; its connections close when the last one goes.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    url: StoreUrl,
    /// What each session sets so that it looks into the schema of the store alone.
    search_path: Option<String>,
    places: usize,
    limit_ms: AtomicU64,
    state: Mutex<State>,
    freed: Condvar,
    /// The database would lose what is acknowledged: nothing is written.
    unsafe_now: AtomicBool,
    /// A new session would lose it; ours do not.
    warned: AtomicBool,
    told_language: AtomicBool,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    out: Vec<Out>,
    /// Calls that were given up and have not ended yet.
    hanging: usize,
    /// When the last of them was given up, and when the last call was answered.
    given_up: Option<Instant>,
    answered: Option<Instant>,
    /// When a call was last let through though too many hang, while that one is out.
    probed: Option<Instant>,
    /// When a look at what the database promises began that has not ended yet.
    checking: Option<Instant>,
    next: u64,
}

impl State {
    /// Whether another call may begin. With many hanging calls one goes ahead, the less often the more of them hang; when it is
    /// answered, the others follow.
    fn lets_begin(&mut self) -> bool {
        let is_answered = self.answered > self.given_up && self.hanging < HANGING_MOST;
        if self.hanging < HANGING || is_answered {
            return true;
        }
        let more = u64::try_from(self.hanging - HANGING).unwrap_or(u64::MAX);
        let wait = Duration::from_secs(more.saturating_add(1)).min(PROBE);
        let is_due = self.probed.is_none_or(|at| at.elapsed() >= wait);
        if is_due {
            self.probed = Some(Instant::now());
        }
        is_due
    }
}

struct Idle {
    db: Db,
    line: Arc<Line>,
    born: Instant,
    since: Instant,
}

/// A call that has a place.
struct Out {
    number: u64,
    line: Arc<Line>,
    waiting: Waiting,
}

/// Who waits for a call; both are let go when it is given up.
#[derive(Default)]
pub(super) struct Waiting {
    /// The place in the queue of requests.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// Told when the call is given up.
    pub(super) told: Option<oneshot::Sender<()>>,
}

/// One connection, as far as others look at it while it is being used.
pub(super) struct Line {
    began: Instant,
    /// Milliseconds from `began` to the last sign of our own side: a statement was sent, or was answered.
    heard_ms: AtomicU64,
    late: AtomicBool,
}

impl Line {
    fn new() -> Arc<Line> {
        Arc::new(Line {
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            late: AtomicBool::new(false),
        })
    }

    fn hear(&self) {
        self.heard_ms.store(millis(self.began.elapsed()), Ordering::Relaxed);
    }

    fn silence_ms(&self) -> u64 {
        millis(self.began.elapsed()).saturating_sub(self.heard_ms.load(Ordering::Relaxed))
    }

    /// Whether the call was given up; it may not commit any more.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a call is answered that was given up.
pub(super) fn given_up() -> Failure {
    Failure::new(Fault::StoreSlow).because("the database did not answer in time; the connection was given up")
}

impl Pool {
    /// A pool of so many places, none of them used yet.
    ///
    /// # Errors
    /// [`Fault::Internal`] without a thread to watch it; those of a first connection.
    pub(super) fn open(url: &StoreUrl, search_path: Option<String>, places: u32) -> Result<Pool, Failure> {
        let shared = Arc::new(Shared {
            url: url.clone(),
            search_path,
            places: usize::try_from(places).unwrap_or(usize::MAX).max(1),
            limit_ms: AtomicU64::new(millis(LIMIT)),
            state: Mutex::default(),
            freed: Condvar::new(),
            unsafe_now: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            told_language: AtomicBool::new(false),
        });
        let watched = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("store-watch".into())
            .spawn(move || watch::watch(&watched))
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let pool = Pool(shared);
        drop(pool.get(Waiting::default())?);
        Ok(pool)
    }

    /// From now on the server lets one statement run so long, and we wait a little longer for its answer.
    pub(super) fn limit_statements(&self, limit: Duration) {
        self.0.limit_ms.store(millis(limit), Ordering::Relaxed);
        let idle = std::mem::take(&mut self.0.lock().idle);
        drop(idle);
    }

    /// Refuses to write while the database would lose it.
    ///
    /// # Errors
    /// [`Fault::StoreUnsafe`].
    pub(super) fn may_write(&self) -> Result<(), Failure> {
        match self.0.unsafe_now.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(Fault::StoreUnsafe).because("a durability setting is unsafe; the log names it")),
        }
    }

    /// A connection. Waits on this thread, at most [`PLACE`] for a place.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when no place became free in time; [`Fault::StoreUnavailable`] when the database cannot be reached, and
    /// when too many calls hang already.
    pub(super) fn get(&self, waiting: Waiting) -> Result<Leased, Failure> {
        let until = Instant::now() + PLACE;
        let mut state = self.0.lock();
        while state.out.len() >= self.0.places {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new(Fault::Overloaded).because("no place in the pool of connections became free"));
            }
            state = self
                .0
                .freed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if !state.lets_begin() {
            return Err(Failure::new(Fault::StoreUnavailable).because("too many calls wait for a silent database"));
        }
        let idle = state.idle.pop();
        let line = idle.as_ref().map_or_else(Line::new, |idle| Arc::clone(&idle.line));
        line.hear();
        let number = state.next;
        state.next += 1;
        state.out.push(Out {
            number,
            line: Arc::clone(&line),
            waiting,
        });
        drop(state);
        let mut leased = Leased {
            shared: Arc::clone(&self.0),
            number,
            line,
            is_reused: idle.is_some(),
            born: idle.as_ref().map_or_else(Instant::now, |idle| idle.born),
            is_spoiled: false,
            db: None,
        };
        let in_doubt = idle.as_ref().is_some_and(|idle| idle.since.elapsed() > DOUBT);
        match idle {
            Some(idle) => leased.db = Some(idle.db),
            None => leased.db = Some(self.0.connect(&leased.line)?),
        }
        if in_doubt && leased.db()?.batch_execute("SELECT 1").is_err() {
            leased.renew()?;
        }
        Ok(leased)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, line: &Arc<Line>) -> Result<Db, Failure> {
        let mut db = Manager::open(&self.url).map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
        if let Db::Pg(pg) = &mut db {
            line.hear();
            if let Some(path) = &self.search_path {
                pg.batch_execute(path)?;
            }
            session::prepare(pg, Duration::from_millis(self.limit_ms.load(Ordering::Relaxed)))?;
            self.judge(&session::promises(pg)?);
            let line = Arc::clone(line);
            pg.set_instrumentation(move |_: diesel::connection::InstrumentationEvent<'_>| line.hear());
        }
        Ok(db)
    }
}

/// A connection in use. It goes back to the pool when it is dropped, unless it is late or spoiled.
pub(super) struct Leased {
    shared: Arc<Shared>,
    number: u64,
    line: Arc<Line>,
    db: Option<Db>,
    born: Instant,
    is_reused: bool,
    is_spoiled: bool,
}

impl Leased {
    /// The connection.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] after one that could not be renewed.
    pub(super) fn db(&mut self) -> Result<&mut Db, Failure> {
        self.db
            .as_mut()
            .ok_or_else(|| Failure::new(Fault::StoreUnavailable).because("the connection is gone"))
    }

    /// What others see of it.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Whether it lay idle before, so that its other end may have gone unnoticed.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Takes a new connection in place of one that turned out to be dead. What lies idle is dropped too.
    ///
    /// # Errors
    /// As [`Pool::get`].
    pub(super) fn renew(&mut self) -> Result<(), Failure> {
        let idle = std::mem::take(&mut self.shared.lock().idle);
        drop(idle);
        self.db = None;
        self.line.hear();
        self.db = Some(self.shared.connect(&self.line)?);
        self.born = Instant::now();
        self.is_reused = false;
        Ok(())
    }

    /// Does not give the connection back after a failure that says that another one would serve better.
    pub(super) fn mind(&mut self, failure: &Failure) {
        self.is_spoiled |= sqlstate::spoils(failure);
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        let mut db = self.db.take();
        let is_lost = self.is_spoiled || db.as_mut().is_some_and(is_lost);
        let is_broken = self.is_spoiled
            || std::thread::panicking()
            || self.born.elapsed() > AGE
            || db.as_mut().is_none_or(diesel::r2d2::R2D2Connection::is_broken);
        let mut state = self.shared.lock();
        let mut gone = Vec::new();
        let place = state.out.iter().position(|out| out.number == self.number);
        let out = place.map(|place| state.out.swap_remove(place));
        match out {
            Some(_) => state.answered = Some(Instant::now()),
            None => state.hanging -= 1,
        }
        if is_lost {
            // The others came the same way, and may have ended with it.
            gone = std::mem::take(&mut state.idle);
        }
        if let (Some(_), false) = (&out, is_broken)
            && let Some(db) = db.take()
        {
            state.idle.push(Idle {
                db,
                line: Arc::clone(&self.line),
                born: self.born,
                since: Instant::now(),
            });
        }
        drop(state);
        self.shared.freed.notify_one();
        drop((out, gone, db));
    }
}

/// Whether the connection itself has ended.
fn is_lost(db: &mut Db) -> bool {
    Transactions::transaction_manager_status_mut(db)
        .transaction_depth()
        .is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_many_hanging_calls_one_tries_and_its_answer_lets_the_others_follow() {
        let mut state = State {
            hanging: HANGING - 1,
            ..State::default()
        };
        assert!(state.lets_begin() && state.lets_begin());
        state.hanging = HANGING;
        state.given_up = Some(Instant::now());
        assert!(state.lets_begin(), "one tries");
        assert!(!state.lets_begin(), "the others wait for it");
        state.probed = Instant::now().checked_sub(PROBE);
        assert!(state.lets_begin(), "after a while another one tries");
        state.answered = Some(Instant::now());
        assert!(state.lets_begin() && state.lets_begin(), "it was answered");
        state.given_up = Some(Instant::now());
        assert!(!state.lets_begin(), "silent again");
        state.answered = Some(Instant::now());
        state.hanging = HANGING_MOST;
        assert!(!state.lets_begin(), "too many threads hang");
    }
}

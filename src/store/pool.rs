//! Pooled connections to PostgreSQL: a limited number of places, and deadlines of this server over
//! waiting for a place, over connecting, and over each statement.
//!
//! libpq waits for an answer as long as its connection is open, and no safe code can close the connection meanwhile
//! (`docs/adr/0010-calls-are-given-up.md`). So a call that is not answered in time is given up: its caller gets an error, its place becomes
//! free, its connection is not used again, and it may not commit any more. Its thread ends when libpq returns; the number of such threads
//! is limited. This module knows nothing about what a call does.

use super::Db;
use super::connect::Manager;
use super::session;
use super::sqlstate;
use super::turns::TurnPlace;
use super::url::StoreUrl;
use super::work::StoreCounts;
use crate::error::{Failure, Fault};
use diesel::connection::{Connection, SimpleConnection as _, TransactionManager};
use diesel::pg::PgConnection;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Longest wait for a place in the pool.
pub(super) const PLACE: Duration = Duration::from_secs(5);
/// How long one statement may run when no request waits for it: in commands, and before a server starts serving.
const LIMIT: Duration = Duration::from_secs(30);
/// When this many calls were given up and have not ended yet, only single calls are let
/// through, to test whether the database answers again.
const HANGING: usize = 64;
/// With this many hanging calls, even an answer does not let others through: their threads are missing for serving requests.
pub const HANGING_MOST: usize = 2 * HANGING;
/// Longest time between two such test calls.
const PROBE: Duration = Duration::from_secs(30);
/// A connection that was idle for longer is tested before use, because nothing tells this process when it was
/// closed meanwhile (by a restart, a load balancer, a time limit).
const DOUBT: Duration = Duration::from_millis(200);
/// A connection of this age is closed when it is returned.
const AGE: Duration = Duration::from_secs(1_800);

/// Message for a database whose sessions are shared by a pooler.
const SHARED: &str = "there is a connection pooler in transaction or statement mode in front of the database";

pub(super) mod watch;

type Transactions = <Db as Connection>::TransactionManager;

/// The pool. Clones share it; its connections close when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    url: StoreUrl,
    /// The statement by which each session restricts its search path to the schema of the store.
    search_path: Option<String>,
    places: usize,
    limit_ms: AtomicU64,
    state: Mutex<State>,
    freed: Condvar,
    /// The database's settings could lose acknowledged writes: nothing is written.
    unsafe_now: AtomicBool,
    /// A pooler gives our sessions to other clients between transactions: nothing is read or written.
    shared_now: AtomicBool,
    /// A warning was logged that new sessions would have an unsafe setting; our own sessions do not.
    warned: AtomicBool,
    told_language: AtomicBool,
    work: Arc<StoreCounts>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    out: Vec<Out>,
    /// How many calls were given up and have not ended yet.
    hanging: usize,
    /// When the last call was given up, and when the last one was answered.
    given_up: Option<Instant>,
    answered: Option<Instant>,
    /// When a call was last answered on a connection that existed at the last successful check.
    answered_of_old: Option<Instant>,
    /// When a test call was last let through although too many hang.
    probed: Option<Instant>,
    /// When the current check of the database's settings began; `None` while none is running.
    checking: Option<Instant>,
    /// When such a check last succeeded.
    looked: Option<Instant>,
    /// The verdict of the last check that hung so long that the database was considered silent.
    silence: Option<Silence>,
    /// The connections used for these checks, while no check is running.
    looking: Option<Looking>,
    next: u64,
    /// How often it changed whether our sessions belong to us alone.
    changes: u64,
}

/// The database is considered silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    at: Instant,
    /// If set, only connections made before this instant, the last successful check, are silent; newer ones are answered.
    made_before: Option<Instant>,
}

/// The two connections for checks. They take no place of the pool, so a check waits for the database only.
struct Looking(PgConnection, PgConnection);

impl State {
    /// Whether another call may begin. When many calls hang, single test calls are let through, less often
    /// the more calls hang; when one is answered, the others follow.
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
    since: Instant,
}

/// A call that has a place.
struct Out {
    number: u64,
    line: Arc<Line>,
    waiting: Waiting,
}

/// What the caller of a call holds; both are released when the call is given up.
#[derive(Default)]
pub(super) struct Waiting {
    /// Its place in the queue of requests.
    pub(super) permit: Option<TurnPlace>,
    /// Receives a message when the call is given up.
    pub(super) told: Option<oneshot::Sender<()>>,
}

/// The state of one connection that other threads see while it is used.
pub(super) struct Line {
    began: Instant,
    /// Milliseconds from `began` to when the connection was made; a dead connection is replaced.
    made_ms: AtomicU64,
    /// Milliseconds from `began` to the last activity: a statement was sent or answered.
    heard_ms: AtomicU64,
    late: AtomicBool,
}

impl Line {
    fn new() -> Arc<Line> {
        Arc::new(Line {
            began: Instant::now(),
            made_ms: AtomicU64::new(0),
            heard_ms: AtomicU64::new(0),
            late: AtomicBool::new(false),
        })
    }

    fn hear(&self) {
        self.heard_ms.store(millis(self.began.elapsed()), Ordering::Relaxed);
    }

    /// When the connection was made, or its making began.
    fn made(&self) -> Instant {
        self.began + Duration::from_millis(self.made_ms.load(Ordering::Relaxed))
    }

    fn silence_ms(&self) -> u64 {
        millis(self.began.elapsed()).saturating_sub(self.heard_ms.load(Ordering::Relaxed))
    }

    /// Whether the call was given up; it then must not commit.
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Acquire)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the failure of a call that was given up.
pub(super) fn given_up() -> Failure {
    Failure::new(Fault::StoreSlow).because("the database did not answer in time; the connection was given up")
}

impl Pool {
    /// Makes an empty pool with so many places and without a watching thread ([`watch::open`] starts one).
    fn new(url: &StoreUrl, search_path: Option<String>, places: u32, work: &Arc<StoreCounts>) -> Pool {
        let shared = Arc::new(Shared {
            url: url.clone(),
            search_path,
            places: usize::try_from(places).unwrap_or(usize::MAX).max(1),
            limit_ms: AtomicU64::new(millis(LIMIT)),
            state: Mutex::default(),
            freed: Condvar::new(),
            unsafe_now: AtomicBool::new(false),
            shared_now: AtomicBool::new(false),
            warned: AtomicBool::new(false),
            told_language: AtomicBool::new(false),
            work: Arc::clone(work),
        });
        Pool(shared)
    }

    /// From now on the server ends a statement after `limit`, and this pool waits a little longer for its answer.
    /// Idle connections are closed, because they have the old limit.
    pub(super) fn limit_statements(&self, limit: Duration) {
        self.0.limit_ms.store(millis(limit), Ordering::Relaxed);
        let idle = std::mem::take(&mut self.0.lock().idle);
        drop(idle);
    }

    /// Refuses to write while the database could lose the write.
    ///
    /// # Errors
    /// [`Fault::StoreUnsafe`].
    pub(super) fn may_write(&self) -> Result<(), Failure> {
        if self.0.shared_now.load(Ordering::Relaxed) {
            return Err(Failure::new(Fault::StoreUnsafe).because(SHARED));
        }
        match self.0.unsafe_now.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(Fault::StoreUnsafe).because("a durability setting is unsafe; the log names it")),
        }
    }

    /// Takes a connection. Blocks this thread, at most [`PLACE`] for a place.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when no place becomes free in time; [`Fault::StoreUnavailable`] when
    /// the database cannot be reached or too many calls hang already.
    pub(super) fn get(&self, waiting: Waiting) -> Result<Leased, Failure> {
        self.0.demand_own_sessions()?;
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
        // It may have been a long wait. Under the lock, so that what is taken is of now.
        self.0.demand_own_sessions()?;
        let changes = state.changes;
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
            changes,
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

    /// Refuses to ask anything of a session that others use too.
    fn demand_own_sessions(&self) -> Result<(), Failure> {
        match self.shared_now.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Failure::new(Fault::StoreUnavailable).because(SHARED)),
        }
    }

    fn connect(&self, line: &Arc<Line>) -> Result<Db, Failure> {
        let mut pg = self.session(line)?;
        session::forget_statements(&mut pg)?;
        let mut db = Db::Pg(pg);
        let (line, work) = (Arc::clone(line), Arc::clone(&self.work));
        db.set_instrumentation(move |event: diesel::connection::InstrumentationEvent<'_>| {
            line.hear();
            work.note(&event);
        });
        Ok(db)
    }

    /// Opens a new session with the settings that the store needs.
    fn session(&self, line: &Line) -> Result<PgConnection, Failure> {
        let db = Manager::open(&self.url).map_err(|error| Failure::new(Fault::StoreUnavailable).because(error))?;
        let Db::Pg(mut pg) = db else {
            return Err(Failure::new(Fault::Internal).because("a file has no pool of sessions"));
        };
        line.hear();
        if let Some(path) = &self.search_path {
            pg.batch_execute(path)?;
        }
        session::prepare(&mut pg, Duration::from_millis(self.limit_ms.load(Ordering::Relaxed)))?;
        self.judge(&session::promises(&mut pg)?);
        Ok(pg)
    }
}

/// A connection in use. It returns to the pool when it is dropped, unless its call was given up or the connection is unusable.
pub(super) struct Leased {
    shared: Arc<Shared>,
    number: u64,
    line: Arc<Line>,
    db: Option<Db>,
    /// [`State::changes`] when the connection was taken or made.
    changes: u64,
    is_reused: bool,
    is_spoiled: bool,
}

impl Leased {
    /// The connection.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] when the connection could not be replaced.
    pub(super) fn db(&mut self) -> Result<&mut Db, Failure> {
        self.db
            .as_mut()
            .ok_or_else(|| Failure::new(Fault::StoreUnavailable).because("the connection is gone"))
    }

    /// The state of the connection that other threads see.
    pub(super) fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line)
    }

    /// Whether the connection was idle before, so that it may have been closed unnoticed.
    pub(super) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Replaces a connection that turned out to be closed. All idle connections are closed too.
    ///
    /// # Errors
    /// As [`Pool::get`].
    pub(super) fn renew(&mut self) -> Result<(), Failure> {
        let mut state = self.shared.lock();
        let idle = std::mem::take(&mut state.idle);
        self.changes = state.changes;
        drop(state);
        drop(idle);
        self.db = None;
        self.shared.demand_own_sessions()?;
        self.line.hear();
        self.line
            .made_ms
            .store(millis(self.line.began.elapsed()), Ordering::Relaxed);
        self.db = Some(self.shared.connect(&self.line)?);
        self.is_reused = false;
        Ok(())
    }

    /// After a failure that makes the connection unusable, does not return it to the pool.
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
            || self.line.made().elapsed() > AGE
            || db.as_mut().is_none_or(diesel::r2d2::R2D2Connection::is_broken);
        let mut state = self.shared.lock();
        let mut gone = Vec::new();
        let place = state.out.iter().position(|out| out.number == self.number);
        let out = place.map(|place| state.out.swap_remove(place));
        match out {
            Some(_) => state.note_answer(&self.line),
            None => state.hanging -= 1,
        }
        // A connection made before or while sessions were shared may hold statements of another session.
        let is_of_before = self.changes != state.changes;
        if is_lost {
            // The idle connections used the same path, and may be closed too.
            gone = std::mem::take(&mut state.idle);
        }
        if let (Some(_), false) = (&out, is_broken || is_of_before)
            && let Some(db) = db.take()
        {
            state.idle.push(Idle {
                db,
                line: Arc::clone(&self.line),
                since: Instant::now(),
            });
        }
        drop(state);
        self.shared.freed.notify_one();
        drop((out, gone, db));
    }
}

/// Whether the connection itself is closed.
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

//! Watches over a pool: gives up calls that are not answered in time, closes old connections, and checks the database's settings.

use super::{AGE, Idle, LIMIT, Line, Looking, Out, Pool, Shared, Silence, State, Waiting, millis};
use crate::error::{Failure, Fault};
use crate::store::pooler;
use crate::store::session::{self, Promises, keeps};
use crate::store::url::StoreUrl;
use crate::store::work::StoreCounts;
use crate::telemetry::metrics as families;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How much later than the server's statement timeout this process gives a call up.
const GRACE: Duration = Duration::from_millis(1_500);
/// A connection that was idle for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Time between two looks at the running calls, and between two checks of the database's settings.
const TICK: Duration = Duration::from_millis(200);
const CHECK: Duration = Duration::from_secs(1);
/// When a check hangs for longer, the database is considered silent; a request's call that has had no answer for as long is then given up.
const SILENT: Duration = Duration::from_secs(2);
/// If any call is answered this long after a hanging check began, the database is not silent.
const ANSWERED: Duration = Duration::from_millis(500);
/// When a tick took longer, this process itself was stopped meanwhile.
const STOOD: Duration = Duration::from_secs(1);
/// When a check hangs for longer, another one is started.
const CHECK_HANGS: Duration = Duration::from_secs(10);

/// Opens a pool with so many places and a watching thread, and makes one connection to show that the database can be reached.
///
/// # Errors
/// [`Fault::Internal`] when the watching thread cannot be started; those of the first connection.
pub(in crate::store) fn open(
    url: &StoreUrl,
    search_path: Option<String>,
    places: u32,
    work: &Arc<StoreCounts>,
) -> Result<Pool, Failure> {
    let pool = Pool::new(url, search_path, places, work);
    let watched = Arc::downgrade(&pool.0);
    std::thread::Builder::new()
        .name("store-watch".into())
        .spawn(move || watch(&watched))
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    drop(pool.get(Waiting::default())?);
    Ok(pool)
}

/// Watches over a pool until it is dropped. This thread never waits for the database.
fn watch(pool: &Weak<Shared>) {
    let (mut ticked, mut checked) = (Instant::now(), Instant::now());
    loop {
        std::thread::sleep(TICK);
        let Some(shared) = pool.upgrade() else { return };
        if ticked.elapsed() > STOOD {
            shared.begin_check_anew();
        }
        ticked = Instant::now();
        shared.give_up_late();
        if checked.elapsed() < CHECK {
            continue;
        }
        checked = Instant::now();
        shared.close_old();
        if !shared.begins_check() {
            continue;
        }
        let pool = Pool(shared);
        let spawned = std::thread::Builder::new().name("store-check".into()).spawn(move || {
            check(&pool);
            pool.0.lock().checking = None;
        });
        if let Err(error) = spawned {
            tracing::warn!(cause = %error, "the database's durability settings could not be read");
        }
    }
}

/// Reads the durability settings again, and tests whether our sessions belong to us alone.
fn check(pool: &Pool) {
    let kept = pool.0.lock().looking.take();
    let looked = match kept.map(|looking| pool.0.look(looking)) {
        // A connection that was closed meanwhile is no evidence about the database: try again with new ones.
        None | Some(Err(_)) => pool.0.new_looking().and_then(|looking| pool.0.look(looking)),
        Some(done) => done,
    };
    match looked {
        Ok(looking) => {
            let mut state = pool.0.lock();
            state.looking = looking;
            state.looked = Some(Instant::now());
        }
        Err(failure) => {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "the database could not be looked at");
        }
    }
}

impl Shared {
    fn new_looking(&self) -> Result<Looking, Failure> {
        let line = Line::new();
        Ok(Looking(self.session(&line)?, self.session(&line)?))
    }

    /// Checks the settings, and returns the connections unless their sessions are shared with other clients.
    fn look(&self, mut looking: Looking) -> Result<Option<Looking>, Failure> {
        let Looking(first, second) = &mut looking;
        self.judge(&session::promises(first)?);
        let are_apart = pooler::are_apart(first, second).or_else(|failure| match &self.url {
            // A pooler in statement mode closes a connection that begins a transaction.
            StoreUrl::Postgres(address) if pooler::ends_at_begin(address) => Ok(false),
            _ => Err(failure),
        })?;
        self.note_sessions(are_apart);
        Ok(are_apart.then_some(looking))
    }

    /// Records whether our sessions belong to us alone. On a change, idle connections are closed, and connections in use are not pooled again.
    fn note_sessions(&self, are_apart: bool) {
        let mut state = self.lock();
        if self.shared_now.swap(!are_apart, Ordering::Relaxed) != are_apart {
            return;
        }
        state.changes += 1;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
        if are_apart {
            tracing::info!("our database sessions are our own again; requests are accepted");
        } else {
            tracing::error!(
                "there is a connection pooler in transaction or statement mode in front of the database now: nothing is read or written until \
                 it has pool_mode = session again"
            );
        }
    }

    /// This process was stopped for a while: a running check counts as begun only now.
    fn begin_check_anew(&self) {
        let mut state = self.lock();
        state.checking = state.checking.map(|_| Instant::now());
    }

    /// Records what the database's settings promise now, and logs each change.
    pub(super) fn judge(&self, promises: &Promises) {
        match promises.broken() {
            Some((setting, value)) => {
                if !self.unsafe_now.swap(true, Ordering::Relaxed) {
                    tracing::error!(
                        setting,
                        value,
                        "the database would lose acknowledged work: nothing is written until this setting is on again"
                    );
                }
            }
            None => {
                if self.unsafe_now.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database keeps acknowledged work again; writes are accepted");
                }
            }
        }
        let unsafe_for_others = !keeps(&promises.of_new_sessions);
        if unsafe_for_others != self.warned.swap(unsafe_for_others, Ordering::Relaxed) && unsafe_for_others {
            tracing::warn!(
                value = promises.of_new_sessions,
                "synchronous_commit is unsafe for new sessions; ours have it on, but the next start will be refused"
            );
        }
        if !promises.is_english() && !self.told_language.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the database's messages are not in English, so some errors may be mistaken for others: \
                 let a superuser run ALTER ROLE … SET lc_messages = 'C'"
            );
        }
    }

    /// Gives up the calls that have waited too long for an answer. Idle connections are closed with them: they used the same path.
    fn give_up_late(&self) {
        let limit_ms = self.limit_ms.load(Ordering::Relaxed);
        let mut state = self.lock();
        // Only while serving: when no request waits, there is time for a database that was only stopped for a while.
        let told = (limit_ms < millis(LIMIT)).then(|| state.note_silence()).flatten();
        let is_late = |out: &Out| {
            let silence = Duration::from_millis(out.line.silence_ms());
            let is_meant = || told.is_some_and(|told| silence >= told.at.elapsed() && told.means(&out.line));
            silence > Duration::from_millis(limit_ms) + GRACE || (silence > SILENT && is_meant())
        };
        if !state.out.iter().any(is_late) {
            return;
        }
        let (late, out): (Vec<Out>, Vec<Out>) = std::mem::take(&mut state.out).into_iter().partition(is_late);
        state.out = out;
        for out in &late {
            out.line.late.store(true, Ordering::Release);
        }
        state.hanging += late.len();
        state.given_up = Some(Instant::now());
        let hanging = state.hanging;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        self.freed.notify_all();
        tracing::warn!(
            calls = late.len(),
            hanging,
            "the database did not answer in time; these connections are given up, and new ones are made"
        );
        metrics::counter!(families::GIVEN_UP).increment(u64::try_from(late.len()).unwrap_or(u64::MAX));
        for Out { waiting, .. } in late {
            drop(waiting.permit);
            if let Some(told) = waiting.told {
                let _ = told.send(());
            }
        }
        drop(idle);
    }

    /// Whether another check may begin: a silent database must not take up one thread after another.
    fn begins_check(&self) -> bool {
        let mut state = self.lock();
        let hangs = state.checking.is_some_and(|at| at.elapsed() < CHECK_HANGS);
        if !hangs {
            state.checking = Some(Instant::now());
        }
        !hangs
    }

    fn close_old(&self) {
        let mut state = self.lock();
        let (old, idle): (Vec<Idle>, Vec<Idle>) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|idle| idle.since.elapsed() > IDLE || idle.line.made().elapsed() > AGE);
        state.idle = idle;
        drop(state);
        drop(old);
    }
}

impl Silence {
    /// Whether a connection is one of those that are not answered.
    fn means(&self, line: &Line) -> bool {
        self.made_before.is_none_or(|before| line.made() < before)
    }
}

impl State {
    /// Records that a call on this connection was answered.
    pub(super) fn note_answer(&mut self, line: &Line) {
        let now = Instant::now();
        self.answered = Some(now);
        if self.looked.is_none_or(|at| line.made() < at) {
            self.answered_of_old = Some(now);
        }
    }

    /// Returns the verdict of a check that hangs while no call is answered on connections that existed at the last successful check: the
    /// database is silent, or, when newer connections are answered, only the older ones are, as after a failover. Closes idle ones of them.
    fn note_silence(&mut self) -> Option<Silence> {
        let began = self.checking.filter(|began| began.elapsed() > SILENT);
        if let Some(began) = began
            && self.silence.is_none_or(|told| told.at < began)
        {
            let is_answered = |at: Option<Instant>| at.is_some_and(|at| at >= began + ANSWERED);
            if !is_answered(self.answered_of_old) {
                tracing::warn!("the database does not answer; calls are now given up sooner");
                let told = Silence {
                    at: Instant::now(),
                    made_before: self.looked.filter(|_| is_answered(self.answered)),
                };
                self.silence = Some(told);
                self.idle.retain(|idle| !told.means(&idle.line));
            }
        }
        self.silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_ago() -> Instant {
        Instant::now()
            .checked_sub(SILENT * 2)
            .expect("a machine that runs for some seconds")
    }

    fn hanging(answered: Option<Instant>) -> State {
        State {
            checking: Some(long_ago()),
            answered,
            answered_of_old: answered,
            ..State::default()
        }
    }

    #[test]
    fn a_database_is_silent_when_a_look_hangs_and_nothing_else_is_answered() {
        assert!(State::default().note_silence().is_none());
        assert!(hanging(Some(long_ago())).note_silence().is_some());
        assert!(hanging(Some(Instant::now())).note_silence().is_none());
        let mut state = hanging(None);
        let told = state.note_silence().expect("silent");
        assert_eq!(state.note_silence(), Some(told), "once for each look");
        assert!(told.means(&Line::new()), "nothing is answered");
    }

    #[test]
    fn after_a_failover_the_older_connections_are_silent_and_newer_ones_are_not() {
        let old = Line::new();
        std::thread::sleep(Duration::from_millis(5));
        let mut state = hanging(None);
        state.looked = Some(Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let new = Line::new();
        state.note_answer(&new);
        assert!(state.answered.is_some() && state.answered_of_old.is_none());
        state.note_answer(&old);
        assert!(state.answered_of_old.is_some());

        let mut state = hanging(Some(long_ago()));
        state.looked = Some(long_ago());
        state.note_answer(&new);
        let told = state.note_silence().expect("the older ones are silent");
        assert_eq!(told.made_before, state.looked);
        assert!(!told.means(&new));
    }
}

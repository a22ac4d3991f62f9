//! What looks after a pool: calls that are not answered in time, connections that lie idle for long, and what the database promises.

use super::{AGE, Idle, Out, Pool, Shared, Waiting, millis};
use crate::store::Db;
use crate::store::session::{self, Promises, keeps};
use crate::telemetry::metrics as families;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What our deadline is later than the one that the server holds a statement to.
const GRACE: Duration = Duration::from_millis(1_500);
/// Age at which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(600);
/// Time between looks at the calls that are out, and between looks at what the database promises.
const TICK: Duration = Duration::from_millis(200);
const CHECK: Duration = Duration::from_secs(2);
/// How long a look may hang before another one is begun beside it.
const CHECK_HANGS: Duration = Duration::from_secs(10);

/// Looks after a pool until it goes. It never waits for the database itself.
pub(super) fn watch(pool: &Weak<Shared>) {
    let mut checked = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let Some(shared) = pool.upgrade() else { return };
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
            tracing::warn!(cause = %error, "the database's durability settings could not be looked at");
        }
    }
}

/// Reads again what the database promises. Also tells early that an idle connection has gone silent.
fn check(pool: &Pool) {
    let looked = pool.get(Waiting::default()).and_then(|mut leased| {
        let promises = match leased.db()? {
            Db::Pg(pg) => session::promises(pg),
            Db::Sqlite(_) => return Ok(()),
        };
        match promises {
            Ok(promises) => pool.0.judge(&promises),
            Err(failure) => {
                leased.mind(&failure);
                return Err(failure);
            }
        }
        Ok(())
    });
    if let Err(failure) = looked {
        tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "the database could not be looked at");
    }
}

impl Shared {
    /// Takes note of what the database promises now.
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
                    tracing::info!("the database keeps what is acknowledged again; writes are taken");
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
                "the database's messages are not in English, so that some errors are taken for others: \
                 ALTER ROLE … SET lc_messages = 'C' (by a superuser) mends that"
            );
        }
    }

    /// Gives up the calls that have waited too long for an answer. What lies idle goes with them: it came the same way.
    fn give_up_late(&self) {
        let most_ms = self.limit_ms.load(Ordering::Relaxed) + millis(GRACE);
        let is_late = |out: &Out| out.line.silence_ms() > most_ms;
        let mut state = self.lock();
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

    /// Whether another look may begin: a silent database is not given one thread after the other.
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
            .partition(|idle| idle.since.elapsed() > IDLE || idle.born.elapsed() > AGE);
        state.idle = idle;
        drop(state);
        drop(old);
    }
}

//! The loop of a worker: looks for work, runs it, renews leases, and hands unfinished jobs back when the process stops.
//!
//! It looks for work at a fixed interval, when the next job is due, when a job ends, and when it is woken. The interval alone would be
//! enough for correctness.

use super::held::HeldJob;
use super::runner::Runner;
use crate::error::{Failure, Fault};
use crate::store::jobs::QueueStanding;
use crate::telemetry::metrics as families;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

/// Time between two updates of the queue's metrics.
const STANDING: Duration = Duration::from_secs(30);
/// Time limit for handing jobs back; after that, their leases expire.
const HAND_BACK: Duration = Duration::from_secs(3);

/// A running worker. It stops when it is drained, or with its runtime.
pub struct RunningWorker {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    drained: watch::Sender<Option<Instant>>,
    ended: JoinHandle<()>,
}

impl Runner {
    /// Starts the worker. Must be called inside a Tokio runtime.
    pub fn start(self) -> RunningWorker {
        show(&QueueStanding::default());
        self.begin(false)
    }

    /// Starts the worker beside another one of this process, for work that must not wait for its places. It does not prepare the queue, so
    /// none of its work recurs; and a bell of its own must wake it ([`crate::context::WorkBell`] wakes one worker). As [`Runner::start`].
    pub fn start_beside(self) -> RunningWorker {
        self.begin(true)
    }

    fn begin(self, is_prepared: bool) -> RunningWorker {
        let wake = Arc::new(Notify::new());
        let (stop, stopping) = watch::channel(false);
        let (drained, until) = watch::channel(None);
        let work = Loop {
            runner: self,
            wake: Arc::clone(&wake),
            stopping,
            until,
            running: Vec::new(),
            tasks: JoinSet::new(),
            of_task: HashMap::new(),
            is_prepared,
            complained: false,
        };
        RunningWorker {
            wake,
            stop,
            drained,
            ended: tokio::spawn(work.run()),
        }
    }

    /// Runs all jobs that are due now, one after the other and without timers. Returns the number of attempts. For tests and simulations.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn run_due(&self) -> Result<usize, Failure> {
        let mut attempts = 0;
        loop {
            let claimed = self.claim(self.settings.permits, &[]).await?.held;
            if claimed.is_empty() {
                return Ok(attempts);
            }
            for held in claimed {
                let work = async { self.record(&held, self.attempt(&held).await).await };
                work.instrument(held.span()).await?;
                attempts += 1;
            }
        }
    }
}

impl RunningWorker {
    /// Makes it look for work now, for example after a commit that enqueued some.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Makes it claim no more jobs.
    pub fn stop_claiming(&self) {
        self.stop.send_replace(true);
    }

    /// Stops it: claims no more jobs, lets running jobs end for at most `within`, and hands the others back.
    pub async fn drain(self, within: Duration) {
        self.stop_claiming();
        self.drained.send_replace(Some(Instant::now() + within));
        if self.ended.await.is_err() {
            tracing::error!("the worker ended by a panic; what it had is claimed again when its leases end");
        }
    }
}

struct Loop {
    runner: Runner,
    wake: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    until: watch::Receiver<Option<Instant>>,
    running: Vec<HeldJob>,
    tasks: JoinSet<()>,
    /// The job of each task.
    of_task: HashMap<Id, String>,
    is_prepared: bool,
    /// Whether it has logged that the store is unavailable, so that this is logged once.
    complained: bool,
}

impl Loop {
    async fn run(mut self) {
        let settings = *self.runner.settings();
        let offset = settings.poll.mul_f64(self.runner.chance.unit());
        let bell = self.runner.ctx.bell.clone();
        let mut look = Instant::now() + offset;
        let mut renew = tokio::time::interval(settings.renew_every());
        let mut standing = tokio::time::interval_at(Instant::now() + offset, STANDING);
        renew.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if *self.stopping.borrow() {
                return self.finish().await;
            }
            tokio::select! {
                changed = self.stopping.changed() => if changed.is_err() {
                    // The owner of this worker was dropped, and the process is about to end.
                    return;
                },
                () = self.wake.notified() => look = Instant::now(),
                () = bell.rings() => look = Instant::now(),
                Some(ended) = self.tasks.join_next_with_id() => {
                    self.ended(ended);
                    look = Instant::now();
                }
                _ = renew.tick() => self.renew().await,
                _ = standing.tick() => self.tell_standing().await,
                () = sleep_until(look) => look = Instant::now() + self.look().await,
            }
        }
    }

    /// Claims jobs for the free places and starts them. Returns how long to wait before looking again.
    async fn look(&mut self) -> Duration {
        let poll = self.runner.settings().poll;
        match self.claim().await {
            Ok(wait) => {
                if std::mem::take(&mut self.complained) {
                    tracing::info!("background work goes on");
                }
                wait
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "background work waits for the store");
                }
                poll
            }
        }
    }

    async fn claim(&mut self) -> Result<Duration, Failure> {
        let settings = *self.runner.settings();
        if !self.is_prepared {
            self.runner.prepare().await?;
            self.is_prepared = true;
        }
        let free = settings.permits.saturating_sub(self.running.len());
        let claimed = self.runner.claim(free, &self.running).await?;
        if *self.stopping.borrow() {
            // It was told to stop while the store was asked: nothing begins any more, and others need not wait for these leases.
            self.runner.hand_back(&claimed.held).await?;
            return Ok(settings.poll);
        }
        let is_full = claimed.held.len() == free;
        for held in &claimed.held {
            let (runner, held) = (self.runner.clone(), held.clone());
            let job = held.job().id.clone();
            let span = held.span();
            let work = async move {
                let outcome = runner.attempt(&held).await;
                if let Err(failure) = runner.record(&held, outcome).await {
                    let (job, kind) = (&held.job().id, &held.job().kind);
                    tracing::warn!(job, kind, fault = failure.fault().code(), cause = ?failure.cause(),
                        "the result of a job could not be written; it is done again when its lease ends");
                }
            };
            let task = self.tasks.spawn(work.instrument(span));
            self.of_task.insert(task.id(), job);
        }
        self.running.extend(claimed.held);
        // When all places are taken, the loop continues when a job ends.
        Ok(if is_full {
            settings.poll
        } else {
            wait(claimed.next_in_ms, settings.poll)
        })
    }

    /// The lease of its job is not renewed any more, also when the task fell.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (task, fell) = match ended {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), Some(error.is_panic())),
        };
        let Some(job) = self.of_task.remove(&task) else { return };
        if let Some(panicked) = fell {
            tracing::error!(
                job,
                panicked,
                "the task of a job ended without a result; it is done again when its lease ends"
            );
        }
        self.running.retain(|held| held.job().id != job);
    }

    async fn renew(&mut self) {
        if let Err(failure) = self.runner.renew(&self.running).await {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "leases could not be renewed");
        }
    }

    async fn tell_standing(&self) {
        let standing = match self.runner.standing().await {
            Ok(standing) => standing,
            Err(failure) => {
                if failure.fault() != Fault::Overloaded {
                    tracing::debug!(
                        fault = failure.fault().code(),
                        "the queue of jobs could not be looked at"
                    );
                }
                return;
            }
        };
        show(&standing);
    }

    /// Lets running jobs end in time, and hands the others back.
    async fn finish(mut self) {
        let mut renew = tokio::time::interval(self.runner.settings().renew_every());
        loop {
            let until = *self.until.borrow();
            if self.tasks.is_empty() || until.is_some_and(|until| until <= Instant::now()) {
                break;
            }
            let end = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                changed = self.until.changed() => if changed.is_err() {
                    return;
                },
                _ = renew.tick() => self.renew().await,
                () = end => {}
            }
        }
        if self.running.is_empty() {
            return;
        }
        tracing::info!(jobs = self.running.len(), "handing back jobs that did not end in time");
        match tokio::time::timeout(HAND_BACK, self.runner.hand_back(&self.running)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "jobs could not be handed back");
            }
            Err(_) => tracing::warn!("jobs could not be handed back in time"),
        }
    }
}

/// Sets the metrics of the queue.
#[allow(clippy::cast_precision_loss)] // counts and ages of this size are exact
fn show(standing: &QueueStanding) {
    metrics::gauge!(families::JOBS_PARKED).set(standing.parked as f64);
    metrics::gauge!(families::JOBS_PARKED_AGE).set((standing.oldest_parked_ms / 1000) as f64);
    metrics::gauge!(families::JOBS_LATE).set((standing.late_ms / 1000) as f64);
}

/// How long to wait before looking for work again, at most `longest`.
fn wait(next_in_ms: Option<i64>, longest: Duration) -> Duration {
    match next_in_ms.map(u64::try_from) {
        // A job that is overdue and was not claimed is not one that this process can run.
        None | Some(Err(_) | Ok(0)) => longest,
        Some(Ok(wait_ms)) => Duration::from_millis(wait_ms).min(longest),
    }
}

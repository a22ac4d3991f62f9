//! The operations of a worker: claim, attempt, record, renew, hand back. [`super::poll`] calls them in a loop with timers; tests and
//! simulations call them in any order and leave out those that a crash would prevent.

use super::claim::{Round, had};
use super::held::HeldJob;
use super::result::{AttemptOutcome, NextAttempt, Recorded, Tried, class_of};
use super::retry::FailureClass;
use super::{Chance, JobStep, NewJob, RunnerSettings, Write, enqueue};
use crate::clock::Clock;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::store::Db;
use crate::store::jobs::{self as rows, QueueStanding};
use crate::telemetry::metrics as families;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// A worker of this process.
#[derive(Clone)]
pub struct Runner {
    ctx: Context,
    settings: RunnerSettings,
    steps: Arc<BTreeMap<&'static str, Arc<dyn JobStep>>>,
    chance: Chance,
}

/// The result of a claim.
#[derive(Default)]
pub struct Claimed {
    /// The newly claimed jobs.
    pub held: Vec<HeldJob>,
    /// Milliseconds until the next job of any kind is due: `None` when there is no job, negative when one is overdue.
    pub next_in_ms: Option<i64>,
}

impl Runner {
    /// A worker that can run these steps.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] for a step that may take longer than its lease, or for two steps with the same name.
    pub fn new(
        ctx: &Context,
        settings: RunnerSettings,
        steps: Vec<Arc<dyn JobStep>>,
        chance: Chance,
    ) -> Result<Runner, Failure> {
        settings.demand(&steps)?;
        Ok(Runner {
            ctx: ctx.clone(),
            settings,
            steps: Arc::new(steps.into_iter().map(|step| (step.kind().name, step)).collect()),
            chance,
        })
    }

    /// Its settings.
    pub fn settings(&self) -> &RunnerSettings {
        &self.settings
    }

    /// Its source of randomness.
    pub(super) fn chance(&self) -> &Chance {
        &self.chance
    }

    /// The time that leases are based on: `None` for PostgreSQL's own clock, which workers on several hosts share; this process's clock for
    /// SQLite and in tests.
    fn given_ms(&self) -> Option<i64> {
        match (&self.ctx.clock, self.ctx.store.url().sqlite_path()) {
            (Clock::System, None) => None,
            _ => Some(self.ctx.clock.now_ms()),
        }
    }

    /// Adds the rows of recurring work. On SQLite, which only one process uses, also ends the leases of the previous process.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn prepare(&self) -> Result<(), Failure> {
        let (given, is_alone) = (self.given_ms(), self.ctx.store.url().sqlite_path().is_some());
        let (ids, kinds): (Vec<String>, Vec<_>) = self
            .steps
            .values()
            .map(|step| step.kind())
            .filter(|kind| kind.every.is_some())
            .map(|kind| (self.ctx.ids.new_id(self.ctx.clock.now_ms()), kind))
            .unzip();
        let write = move |db: &mut Db| {
            let now_ms = rows::time(db, given)?;
            if is_alone {
                rows::recover(db, now_ms)?;
            }
            for (id, kind) in ids.iter().zip(&kinds) {
                let new = NewJob {
                    kind,
                    partner: None,
                    key: kind.name,
                    payload: "",
                    due_ms: now_ms,
                };
                enqueue(db, id, &new, now_ms)?;
            }
            Ok(())
        };
        self.ctx.store.write(write).await
    }

    /// Claims jobs that are due, at most `free` of them; `running` are the jobs that this process is running.
    ///
    /// While others wait, one partner gets no more than its share.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn claim(&self, free: usize, running: &[HeldJob]) -> Result<Claimed, Failure> {
        let given = self.given_ms();
        let (next_ms, now_ms) = self
            .ctx
            .store
            .read(move |db| Ok((rows::next_ms(db)?, rows::time(db, given)?)))
            .await?;
        let next_in_ms = next_ms.map(|next_ms| next_ms - now_ms);
        if free == 0 || next_in_ms.is_none_or(|wait_ms| wait_ms > 0) {
            return Ok(Claimed {
                held: Vec::new(),
                next_in_ms,
            });
        }
        let round = Round {
            kinds: self.steps.keys().copied().collect(),
            not: running.iter().map(|held| held.job().id.clone()).collect(),
            had: had(running),
            share: self.settings.share(),
            free,
            lease_ms: i64::try_from(self.settings.lease.as_millis()).unwrap_or(i64::MAX),
            token: self.chance.token().to_vec(),
        };
        let token = round.token.clone();
        // Taken before the transaction begins, so that the lease ends no earlier than this.
        let good_until = Instant::now() + self.settings.lease.saturating_sub(self.settings.skew());
        let (claimed, looped) = self
            .ctx
            .store
            .write(move |db| {
                let now_ms = rows::time(db, given)?;
                round.claim(db, now_ms)
            })
            .await?;
        for due in &claimed {
            failpoint::pass(&due.kind, "claimed");
        }
        for due in looped {
            let (job, kind) = (due.id, due.kind);
            metrics::counter!(families::JOBS, "outcome" => "parked").increment(1);
            tracing::error!(
                job,
                kind,
                claims = due.claims,
                class = FailureClass::CrashLoop.row().code,
                "a job is parked: whoever had it ended without a result, again and again"
            );
        }
        let held = claimed
            .into_iter()
            .map(|due| HeldJob::new(self.ctx.clone(), due, token.clone(), good_until))
            .collect();
        Ok(Claimed { held, next_in_ms })
    }

    /// Makes one attempt. It ends when the step ends, when its time limit is over, or when the lease is lost.
    pub async fn attempt(&self, held: &HeldJob) -> AttemptOutcome {
        let Some(step) = self.steps.get(held.job().kind.as_str()).map(Arc::clone) else {
            return AttemptOutcome::Failed(Failure::new(Fault::Internal).because("no step of this kind"));
        };
        let time = step.kind().timeout;
        let own = held.clone();
        // A task of its own, so that a panic is caught with it.
        let mut doing = JoinSet::new();
        doing.spawn(async move { step.run(own).await });
        // When the wait ends for another reason, the task is aborted because its set is dropped.
        let ended = tokio::select! {
            biased;
            ended = doing.join_next() => ended,
            () = held.lost() => return AttemptOutcome::Lost,
            () = tokio::time::sleep(time) => return AttemptOutcome::TimedOut,
        };
        match ended {
            Some(Ok(Ok(ending))) => AttemptOutcome::Ended(ending),
            Some(Ok(Err(failure))) if failure.fault() == Fault::LeaseLost => {
                held.lose();
                AttemptOutcome::Lost
            }
            Some(Ok(Err(failure))) => AttemptOutcome::Failed(failure),
            Some(Err(error)) if error.is_panic() => AttemptOutcome::Panicked,
            Some(Err(_)) | None => AttemptOutcome::Lost,
        }
    }

    /// Writes the result of an attempt with its business rows, if the lease is still held.
    ///
    /// # Errors
    /// Those of the store; the lease then expires, and the work is done again.
    pub async fn record(&self, held: &HeldJob, outcome: AttemptOutcome) -> Result<Recorded, Failure> {
        let tried = self.tried(held);
        let (next, write) = match outcome {
            AttemptOutcome::Lost => {
                tracing::warn!(
                    job = held.job().id,
                    kind = held.job().kind,
                    "the lease of a job was lost; its step was ended"
                );
                metrics::counter!(families::JOBS, "outcome" => "lost").increment(1);
                return Ok(Recorded::Dropped);
            }
            AttemptOutcome::Ended(ending) => (tried.after(ending.what), ending.write),
            AttemptOutcome::Failed(failure) => (tried.failed(&self.log(held, failure)), None),
            AttemptOutcome::TimedOut => (tried.again(FailureClass::Timeout.row(), None), None),
            AttemptOutcome::Panicked => (tried.fell(), None),
        };
        let has_rows = write.is_some();
        match self.settle(held, next, write).await {
            // The business rows failed, not the row of the job.
            Err(failure) if has_rows && class_of(&failure) == FailureClass::Failed => {
                self.settle(held, tried.failed(&self.log(held, failure)), None).await
            }
            recorded => recorded,
        }
    }

    /// Logs a failure of a step, and returns it.
    fn log(&self, held: &HeldJob, failure: Failure) -> Failure {
        let (job, kind) = (&held.job().id, &held.job().kind);
        tracing::warn!(job, kind, fault = failure.fault().code(), cause = ?failure.cause(), "the step of a job failed");
        failure
    }

    async fn settle(&self, held: &HeldJob, next: NextAttempt, write: Option<Write>) -> Result<Recorded, Failure> {
        let (given, own) = (self.given_ms(), held.clone());
        let kept = self
            .ctx
            .store
            .write(move |db| {
                let now_ms = rows::time(db, given)?;
                own.settle(db, next.settled(now_ms), write.as_ref(), now_ms)
            })
            .await;
        let (job, kind) = (&held.job().id, &held.job().kind);
        match kept {
            Err(failure) if failure.fault() == Fault::LeaseLost => {
                held.lose();
                metrics::counter!(families::JOBS_STALE).increment(1);
                tracing::warn!(
                    job,
                    kind,
                    "stale_commit_rejected: another worker has the job; this result was dropped"
                );
                return Ok(Recorded::Dropped);
            }
            kept => kept?,
        }
        failpoint::pass(kind, "settled");
        metrics::counter!(families::JOBS, "outcome" => next.metric()).increment(1);
        match next {
            NextAttempt::Park { class } => tracing::error!(
                job,
                kind,
                class,
                "a job is parked; `causeway jobs list` says what to do"
            ),
            NextAttempt::Retry { wait_ms, class } | NextAttempt::Fell { wait_ms, class } => {
                tracing::warn!(job, kind, class, wait_ms, "a job did not end well, and is tried again");
            }
            NextAttempt::Done | NextAttempt::At { .. } | NextAttempt::After { .. } => {
                tracing::debug!(job, kind, "a job ended")
            }
        }
        Ok(Recorded::Kept)
    }

    /// What is known about a job when its attempt has ended.
    fn tried(&self, held: &HeldJob) -> Tried {
        let job = held.job();
        let every = self.steps.get(job.kind.as_str()).and_then(|step| step.kind().every);
        Tried {
            every_ms: every.map(|every| i64::try_from(every.as_millis()).unwrap_or(i64::MAX)),
            attempts: job.attempts,
            claims: job.claims,
            unit: self.chance.unit(),
        }
    }

    /// Renews the leases of these jobs. A job whose lease was lost is ended.
    ///
    /// # Errors
    /// Those of the store; a lease that is not renewed in time counts as lost.
    pub async fn renew(&self, running: &[HeldJob]) -> Result<(), Failure> {
        if running.is_empty() {
            return Ok(());
        }
        let lease = self.settings.lease;
        let (given, lease_ms) = (self.given_ms(), i64::try_from(lease.as_millis()).unwrap_or(i64::MAX));
        let good_until = Instant::now() + lease.saturating_sub(self.settings.skew());
        let own = running.to_vec();
        let renewed = self
            .ctx
            .store
            .write(move |db| {
                let until_ms = rows::time(db, given)? + lease_ms;
                own.iter()
                    .map(|held| rows::renew(db, held.lease(), until_ms))
                    .collect::<Result<Vec<bool>, Failure>>()
            })
            .await?;
        for (held, renewed) in running.iter().zip(renewed) {
            if renewed {
                held.renewed(good_until);
            } else {
                held.lose();
            }
        }
        Ok(())
    }

    /// Hands these jobs back, as if they had not been claimed. Their steps are ended.
    ///
    /// # Errors
    /// Those of the store; the leases then expire.
    pub async fn hand_back(&self, running: &[HeldJob]) -> Result<(), Failure> {
        for held in running {
            held.lose();
        }
        if running.is_empty() {
            return Ok(());
        }
        let (given, own) = (self.given_ms(), running.to_vec());
        self.ctx
            .store
            .write(move |db| {
                let now_ms = rows::time(db, given)?;
                for held in &own {
                    rows::hand_back(db, held.lease(), now_ms)?;
                }
                Ok(())
            })
            .await
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
                let outcome = self.attempt(&held).await;
                self.record(&held, outcome).await?;
                attempts += 1;
            }
        }
    }

    /// The state of the queue, for the metrics.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(&self) -> Result<QueueStanding, Failure> {
        let given = self.given_ms();
        let read = move |db: &mut Db| {
            let now_ms = rows::time(db, given)?;
            rows::standing(db, now_ms)
        };
        self.ctx.store.read(read).await
    }
}

/// How long to wait before looking for work again, at most `longest`.
pub(super) fn wait(next_in_ms: Option<i64>, longest: Duration) -> Duration {
    match next_in_ms.map(u64::try_from) {
        // A job that is overdue and was not claimed is not one that this process can run.
        None | Some(Err(_) | Ok(0)) => longest,
        Some(Ok(wait_ms)) => Duration::from_millis(wait_ms).min(longest),
    }
}

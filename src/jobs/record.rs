//! The last step of a job: the result of an attempt is written with its business rows, in one transaction and only while the lease is held.
//! [`super::result`] decides how the job continues.

use super::Write;
use super::held::HeldJob;
use super::result::{AttemptOutcome, NextAttempt, Recorded, Tried, class_of};
use super::retry::FailureClass;
use super::runner::Runner;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::store::Db;
use crate::store::jobs::{self as rows, Settled};
use crate::telemetry::metrics as families;
use crate::telemetry::spans::{self, SpanKey, SpanNote, SpanValue};
use tracing::Span;

impl Runner {
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
                spans::put(&Span::current(), SpanKey::Outcome, "lost");
                return Ok(Recorded::Dropped);
            }
            AttemptOutcome::Ended(ending) => (tried.after(ending.what), ending.write),
            AttemptOutcome::Failed(failure) => (tried.failed(&self.log(held, failure)), None),
            AttemptOutcome::TimedOut => (tried.again(FailureClass::Timeout.row(), None), None),
            AttemptOutcome::Panicked if self.brief(&held.job().kind).is_some() => {
                (tried.again(FailureClass::Panic.row(), None), None)
            }
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
                settle(db, &own, next.settled(now_ms), write.as_ref(), now_ms)
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
        trace(next);
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
            claims: held.claims(),
            unit: self.chance.unit(),
        }
    }
}

/// Says in the span of the attempt how the job goes on.
fn trace(next: NextAttempt) {
    let span = Span::current();
    spans::put(&span, SpanKey::Outcome, next.metric());
    match next {
        NextAttempt::Retry { wait_ms, class } | NextAttempt::Fell { wait_ms, class } => {
            let attributes = vec![
                (SpanKey::Class, SpanValue::Word(class)),
                (SpanKey::WaitMs, SpanValue::Count(wait_ms)),
            ];
            spans::note_in(&span, SpanNote::Retry, attributes);
            spans::fail(&span);
        }
        NextAttempt::Park { class } => {
            spans::note_in(&span, SpanNote::Parked, vec![(SpanKey::Class, SpanValue::Word(class))]);
            spans::fail(&span);
        }
        NextAttempt::Done | NextAttempt::At { .. } | NextAttempt::After { .. } => {}
    }
}

/// Writes the result of a job, with its business rows. A job that is done is deleted first, so that the business rows may enqueue the
/// same work again.
fn settle(
    db: &mut Db,
    held: &HeldJob,
    settled: Settled<'_>,
    write: Option<&Write>,
    now_ms: i64,
) -> Result<(), Failure> {
    if !rows::settle(db, held.lease(), settled, now_ms)? {
        return Err(Fault::LeaseLost.into());
    }
    if let Some(write) = write {
        write(db)?;
    }
    failpoint::pass(&held.job().kind, "before-settle");
    Ok(())
}

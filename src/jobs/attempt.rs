//! The second step of a job: the worker runs its step, and finds out how the attempt ended. It writes nothing but the span of a trace.

use super::held::HeldJob;
use super::result::AttemptOutcome;
use super::runner::Runner;
use crate::error::{Failure, Fault};
use crate::telemetry::spans::{self, SpanKey, SpanName, SpanNote, SpanValue};
use std::sync::Arc;
use tokio::task::JoinSet;
use tracing::{Instrument as _, Span};

impl HeldJob {
    /// Opens the span of an attempt at this job, from its claim to the record of its result.
    pub(super) fn span(&self) -> Span {
        let (span, job) = (spans::open(SpanName::Job), self.job());
        spans::put_id(&span, SpanKey::Job, &job.id);
        spans::put_id(&span, SpanKey::JobKind, &job.kind);
        spans::put(
            &span,
            SpanKey::Attempt,
            SpanValue::count(job.attempts.saturating_add(1)),
        );
        if let Some(partner) = &job.partner {
            spans::put_id(&span, SpanKey::Partner, partner);
        }
        span
    }
}

impl Runner {
    /// Makes one attempt. It ends when the step ends, when its time limit is over, or when the lease is lost.
    pub async fn attempt(&self, held: &HeldJob) -> AttemptOutcome {
        let Some(step) = self.steps.get(held.job().kind.as_str()).map(Arc::clone) else {
            return AttemptOutcome::Failed(Failure::new(Fault::Internal).because("no step of this kind"));
        };
        let time = step.kind().timeout;
        let own = held.clone();
        // A task of its own, so that a panic is caught with it.
        let mut doing = JoinSet::new();
        let work = async move { step.run(own).await };
        doing.spawn(work.instrument(Span::current()));
        // When the wait ends for another reason, the task is aborted because its set is dropped.
        let ended = tokio::select! {
            biased;
            ended = doing.join_next() => ended,
            () = held.lost() => return AttemptOutcome::Lost,
            () = tokio::time::sleep(time) => {
                spans::note(SpanNote::Timeout, Vec::new());
                return AttemptOutcome::TimedOut;
            }
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
}

//! The second step of a job: the worker runs its step, and finds out how the attempt ended. It writes nothing.

use super::held::HeldJob;
use super::result::AttemptOutcome;
use super::runner::Runner;
use crate::error::{Failure, Fault};
use std::sync::Arc;
use tokio::task::JoinSet;

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
}

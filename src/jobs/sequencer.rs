//! The sequencer of the ledger as a job: one process of a store runs a round at a time, and another one takes over when its lease ends.

use super::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::audit::sequencer::Sequencer;
use crate::error::{Failure, Fault};
use std::sync::Arc;
use std::time::Duration;

/// Gives the entries of the ledger their places in its tree, and signs checkpoints.
pub static LEDGER_TREE: WorkKind = WorkKind {
    name: "ledger-tree",
    priority: Priority::First,
    every: Some(Duration::from_millis(800)),
    timeout: Duration::from_secs(4),
    renews: false,
    safe_because: "an entry has one place, and a tree that has grown in the meantime is not written over",
};

/// The step.
pub struct SequencerStep(pub Arc<Sequencer>);

impl JobStep for SequencerStep {
    fn kind(&self) -> &'static WorkKind {
        &LEDGER_TREE
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let sequencer = Arc::clone(&self.0);
        Box::pin(async move {
            let now_ms = held.ctx().clock.now_ms();
            let round =
                tokio::task::spawn_blocking(move || sequencer.round(held.ctx(), &|write| held.write_blocking(write)))
                    .await;
            match round {
                Ok(more) => Ok(if more? {
                    AttemptEnding::again(now_ms)
                } else {
                    AttemptEnding::done()
                }),
                // The panic continues in the task of this step.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Failure::new(Fault::Internal).because(error)),
            }
        })
    }
}

//! The job that ends an erasure whose command was broken off.

use super::kind::ERASE;
use super::run::finish;
use crate::bulk::files::BulkFiles;
use crate::error::{Failure, Fault};
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};

/// Does the work of [`ERASE`].
pub struct ErasureStep {
    /// Where the files of bulk jobs are.
    pub files: BulkFiles,
}

impl JobStep for ErasureStep {
    fn kind(&self) -> &'static WorkKind {
        &ERASE
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let files = self.files.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || finish(held.ctx(), &files, &held.job().key)).await;
            match done {
                Ok(done) => done.map(|()| AttemptEnding::done()),
                // The panic continues in the task of this step.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Failure::new(Fault::Internal).because(error)),
            }
        })
    }
}

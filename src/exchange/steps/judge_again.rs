//! Judges again what an earlier version of the gate kept apart, after an upgrade. Safe to repeat: what this version has judged is not due.

use super::access::PartnerAccess;
use super::blocking::blocking;
use crate::error::{Failure, Fault};
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::records::ingest::{IngestScope, IngestWriter, due_again, judge_again};
use std::time::Duration;

/// The work.
pub static JUDGE_AGAIN: WorkKind = WorkKind {
    name: "judge-quarantine",
    priority: Priority::Last,
    every: Some(Duration::from_secs(86_400)),
    timeout: Duration::from_secs(2 * 3_600),
    renews: true,
    safe_because: "it does not judge again what this version has judged, and recognizes stored resources by their content",
};

/// The step that does it.
pub struct JudgeAgain(pub PartnerAccess);

impl JobStep for JudgeAgain {
    fn kind(&self) -> &'static WorkKind {
        &JUDGE_AGAIN
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let vault = self.0.vault().clone();
        Box::pin(async move {
            blocking(move || {
                let (ctx, writer) = (held.ctx().clone(), IngestWriter::Leased(held.clone()));
                let mut last = String::new();
                while let Some(id) = due_again(&ctx, &last)? {
                    let judged = IngestScope::reopen(&ctx, &vault, &id).and_then(|scope| judge_again(&scope, &writer));
                    match judged {
                        Ok(counts) => tracing::info!(exchange = %id, stored = counts.stored, "quarantined resources were judged again"),
                        // Another one may be readable: this one's key or body is gone.
                        Err(failure) if matches!(failure.fault(), Fault::SealKeys | Fault::SealBroken) => {
                            tracing::warn!(exchange = %id, fault = failure.fault().code(), "quarantined resources cannot be read");
                        }
                        Err(failure) => return Err(failure),
                    }
                    last = id;
                }
                Ok::<_, Failure>(())
            })
            .await?;
            Ok(AttemptEnding::done())
        })
    }
}

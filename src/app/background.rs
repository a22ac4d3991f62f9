//! The background work of this program: the list of all steps, and the start of the runner.
//!
//! Work that must not depend on the table of jobs is done by timers of the process instead: what only this process has (counts in memory,
//! writes that the store has not taken yet, the round trip to the store), and the missing ends of disclosures, which must be written even
//! when the disk is full.

use crate::audit::sequencer::Sequencer;
use crate::bulk::asking::{AskInBulk, EndLateRuns, gather};
use crate::bulk::end::{self, BulkEnd};
use crate::bulk::export::ExportStep;
use crate::bulk::files::BulkFiles;
use crate::bulk::group_match::MatchStep;
use crate::config::Config;
use crate::context::Context;
use crate::erasure::ErasureStep;
use crate::error::Failure;
use crate::evidence::step::PacketStep;
use crate::exchange::steps::{JudgeAgain, PartnerAccess, PartnerSessions};
use crate::exchange::{self, watch};
use crate::figures;
use crate::jobs::sequencer::SequencerStep;
use crate::jobs::sweeps::{self, ROSTER, Sweep};
use crate::jobs::{Chance, JobStep, Runner, RunnerSettings, RunningWorker};
use crate::records::index;
use crate::retention;
use crate::witness::send;
use std::sync::Arc;

/// The steps that need only the store.
pub fn steps() -> Vec<Arc<dyn JobStep>> {
    let mut steps = sweeps::of_the_store();
    steps.push(Sweep::step(&ROSTER, |held| index::catch_up(held.ctx())));
    steps.push(watch::step());
    steps.push(retention::job::step());
    steps.push(figures::job::step());
    steps
}

/// Starts the background work of this process. `access` leads to partners; without it, exchanges wait for a process that has it.
/// `ledger` signs the ledger; without it, another process does. Must be called inside a Tokio runtime.
///
/// # Errors
/// [`crate::error::Fault::ConfigInvalid`] when a lease is too short for a step.
pub fn start(
    ctx: &Context,
    config: &Config,
    access: Option<&PartnerAccess>,
    ledger: Option<&Arc<Sequencer>>,
) -> Result<RunningWorker, Failure> {
    let mut steps = steps();
    if let Some(sequencer) = ledger {
        steps.push(Arc::new(SequencerStep(Arc::clone(sequencer))));
        steps.push(Arc::new(PacketStep(Arc::clone(sequencer))));
    }
    if let Some(witnesses) = send::step(config)? {
        steps.push(Arc::new(witnesses));
    }
    let (files, keep_ms) = (BulkFiles::new(config), config.bulk.keep_ms);
    if files.are_objects() {
        let probed = files.clone();
        tokio::task::spawn_blocking(move || look_at(&probed));
    }
    steps.push(Arc::new(ExportStep {
        files: files.clone(),
        keep_ms,
    }));
    steps.push(Arc::new(MatchStep {
        files: files.clone(),
        keep_ms,
    }));
    steps.push(Arc::new(BulkEnd {
        files: files.clone(),
        keep_ms,
    }));
    steps.push(end::of_groups(config.bulk.group_ms));
    steps.push(Arc::new(EndLateRuns));
    steps.push(Arc::new(ErasureStep { files: files.clone() }));
    if let Some(access) = access {
        steps.push(Arc::new(AskInBulk {
            access: access.clone(),
            files,
            chance: Chance::System,
        }));
        let sessions: Arc<dyn PartnerSessions> = Arc::new(access.clone());
        steps.extend(exchange::job_steps(&sessions, &Chance::System, gather));
        steps.push(Arc::new(JudgeAgain(access.clone())));
    }
    let jobs = &config.jobs;
    let settings = RunnerSettings {
        permits: jobs.at_once,
        poll: jobs.poll,
        lease: jobs.lease,
    };
    Ok(Runner::new(ctx, settings, steps, Chance::System)?.start())
}

/// Says in the log when files of bulk jobs cannot be kept. Nothing else waits for that: jobs try again, and all other requests are served.
fn look_at(files: &BulkFiles) {
    if let Err(failure) = files.probe() {
        tracing::error!(fault = failure.fault().code(), cause = ?failure.cause(), "the object store of exports.url cannot be used; bulk jobs wait for it");
    }
}

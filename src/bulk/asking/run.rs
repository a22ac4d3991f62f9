//! A run under a lease: its row, its way to the partner, and its folder.

use super::kind::RunStep;
use super::wire::RunWire;
use crate::bulk::files::BulkFiles;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::carried::CarriedStep;
use crate::exchange::steps::StepName;
use crate::jobs::{Chance, HeldJob};
use crate::partner::peer::{CallEnd, CallFailure};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, RUNNING, RunMemberRow};

/// A run that this process works on.
pub(super) struct AskingRun {
    pub held: HeldJob,
    pub row: BulkRunRow,
    pub wire: RunWire,
    pub files: BulkFiles,
    pub chance: Chance,
}

/// What a step of a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunNext {
    /// The next step, at once.
    Step(RunStep),
    /// The same step, at this time (UTC milliseconds).
    Wait(i64),
    /// The end.
    End,
}

impl AskingRun {
    pub fn ctx(&self) -> &Context {
        self.held.ctx()
    }

    pub fn now_ms(&self) -> i64 {
        self.ctx().clock.now_ms()
    }

    /// The members for whom the run still works, in this state.
    pub async fn carried(&self, state: &'static [&'static str]) -> Result<Vec<RunMemberRow>, Failure> {
        let id = self.row.id.clone();
        let mut members = self.ctx().store.read(move |db| rows::members(db, &id)).await?;
        members.retain(|one| one.carried == 1 && state.contains(&one.state.as_str()));
        Ok(members)
    }

    /// Begins the run: no members are added to it any more.
    pub async fn begin(&mut self) -> Result<(), Failure> {
        RUNNING.clone_into(&mut self.row.state);
        self.row.updated_ms = self.now_ms();
        let row = self.row.clone();
        let begun = self.held.advance(move |db: &mut Db| {
            rows::lock(db)?;
            rows::replace(db, &row)
        });
        begun.await
    }

    /// Writes the row of the run before a step is done. That is repeated after a crash in the step, so the run does not get on by it.
    pub async fn note(&mut self) -> Result<(), Failure> {
        self.row.updated_ms = self.now_ms();
        let row = self.row.clone();
        self.held.write(move |db: &mut Db| rows::replace(db, &row)).await
    }

    /// Writes the row of the run, which got on.
    pub async fn save(&mut self) -> Result<(), Failure> {
        self.row.updated_ms = self.now_ms();
        let row = self.row.clone();
        self.held.advance(move |db: &mut Db| rows::replace(db, &row)).await
    }
}

/// The step that the run does for this member's exchange.
pub(super) fn step_of(member: &RunMemberRow, step: StepName) -> CarriedStep<'_> {
    CarriedStep {
        exchange_id: &member.exchange_id,
        step,
        attempt: member.attempt,
    }
}

/// The partner understood, and what it gives cannot be used.
pub(super) fn refused(fault: Fault) -> CallFailure {
    CallFailure::new(CallEnd::Refused(fault))
}

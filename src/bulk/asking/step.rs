//! The engine of a run: does its steps one after another, records each result before the next step begins, and gives the run up when a step
//! fails for good, or an operator ends it. Then all its members go on alone, from where they stand.

use super::alone::all_alone;
use super::kind::{AFTER_STEP, ASK, ATTEMPTS, BEFORE_STEP, RunStep};
use super::members::{ASKED, FETCHING, LEFT, MATCHED};
use super::question::put;
use super::run::{AskingRun, RunNext, step_of};
use super::wire::{RunWire, TokenFor};
use super::{answer, export, fetch, land, question, receipt, reply, reuse};
use crate::bulk::files::BulkFiles;
use crate::bulk::kinds::END;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::carried::is_waiting;
use crate::exchange::retry::RETRY_AFTER_MOST_MS;
use crate::exchange::steps::{PartnerAccess, StepName};
use crate::failpoint;
use crate::jobs::{self, AttemptEnding, Chance, Doing, HeldJob, JobStep, NewJob, WorkKind};
use crate::partner::peer::{CallEnd, CallFailure};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, BulkRunRow, CANCELLED, DONE, FAILED, GATHERING, RUNNING};
use crate::store::partners;
use std::sync::Arc;
use std::time::Duration;

/// The first wait after a step that failed, milliseconds; it doubles with each further one.
const RETRY_MS: i64 = 2_000;
/// Time between two looks whether an operator ended the run, while its files are fetched.
const LOOK: Duration = Duration::from_secs(2);
/// When files that could not be removed at the end of a run are removed again, milliseconds.
const LEFT_MS: i64 = 600_000;

/// Does [`ASK`].
pub struct AskInBulk {
    /// The way to partners.
    pub access: PartnerAccess,
    /// Where what comes is kept.
    pub files: BulkFiles,
    /// Chance, for waits.
    pub chance: Chance,
}

impl JobStep for AskInBulk {
    fn kind(&self) -> &'static WorkKind {
        &ASK
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let id = held.job().key.clone();
            let read = move |db: &mut Db| {
                let row = rows::find(db, &id)?.filter(|row| [GATHERING, RUNNING].contains(&row.state.as_str()));
                let partner = match &row {
                    Some(row) => partners::by_id(db, &row.partner_id)?,
                    None => None,
                };
                Ok(row.zip(partner))
            };
            let Some((row, partner)) = held.ctx().store.read(read).await? else {
                return Ok(AttemptEnding::done());
            };
            let is_open = partner.is_active() && partner.endpoint.is_some();
            let mut run = AskingRun {
                wire: RunWire::new(self.access.clone(), partner, &row.id),
                row,
                held,
                files: self.files.clone(),
                chance: self.chance.clone(),
            };
            match is_open {
                true => run.work().await,
                // Each exchange finds out what that means for it.
                false => run.stopped().await,
            }
        })
    }
}

/// What the work that runs at the partner is asked about with.
fn of_step(step: Option<RunStep>) -> TokenFor {
    match step {
        Some(RunStep::AskMatch | RunStep::AwaitMatch | RunStep::EndMatch) | None => TokenFor::Match,
        Some(_) => TokenFor::Export,
    }
}

/// Comes back when an operator has asked for the end of the run.
async fn cancel_asked(ctx: Context, id: String) {
    loop {
        tokio::time::sleep(LOOK).await;
        let own = id.clone();
        // A store that fails now is told by the step.
        if let Ok(true) = ctx.store.read(move |db| rows::is_cancel_asked(db, &own)).await {
            return;
        }
    }
}

impl AskingRun {
    async fn work(&mut self) -> Result<AttemptEnding, Failure> {
        if self.row.state == GATHERING {
            self.begin().await?;
        }
        loop {
            let Some(step) = RunStep::parse(&self.row.step) else {
                return self.give_up(Fault::WorkflowUnknown).await;
            };
            if self.is_cancel_asked().await? {
                return self.cancel(step).await;
            }
            if self.now_ms() > self.row.deadline_ms && step != RunStep::EndExport {
                return self.over(step, Fault::DeadlineOver).await;
            }
            let step = self.wanted(step).await?;
            failpoint::pass(BEFORE_STEP, step.code());
            let went = match step {
                RunStep::Fetch => {
                    let (ctx, id) = (self.ctx().clone(), self.row.id.clone());
                    tokio::select! {
                        went = self.step(step) => went,
                        // What came of a file that is not whole goes with the folder of the run.
                        () = cancel_asked(ctx, id) => continue,
                    }
                }
                _ => self.step(step).await,
            };
            failpoint::pass(AFTER_STEP, step.code());
            // Whoever asked while the step was done does not wait until the partner is asked again.
            if matches!(went, Ok(RunNext::Wait(_)) | Err(_)) && self.is_cancel_asked().await? {
                continue;
            }
            match went {
                Ok(RunNext::Step(next)) => {
                    next.code().clone_into(&mut self.row.step);
                    self.row.failed = 0;
                    self.save().await?;
                }
                Ok(RunNext::Wait(due_ms)) => {
                    self.row.failed = 0;
                    self.row.updated_ms = self.now_ms();
                    let row = self.row.clone();
                    return Ok(AttemptEnding::again(due_ms).with(Arc::new(move |db| rows::replace(db, &row))));
                }
                Ok(RunNext::End) => return self.end(DONE, None).await,
                Err(failure) => return self.failed(step, failure).await,
            }
        }
    }

    async fn is_cancel_asked(&self) -> Result<bool, Failure> {
        let id = self.row.id.clone();
        self.ctx().store.read(move |db| rows::is_cancel_asked(db, &id)).await
    }

    /// The step that is done: this one, or the end of what runs at the partner when no exchange waits for it any more, because all were
    /// cancelled, paused, or lost their opt-in meanwhile.
    async fn wanted(&mut self, step: RunStep) -> Result<RunStep, Failure> {
        let (end, of) = match step {
            RunStep::AwaitMatch => (RunStep::EndMatch, StepName::MemberMatch),
            RunStep::AwaitExport | RunStep::Fetch | RunStep::HandOut => (RunStep::EndExport, StepName::Retrieve),
            _ => return Ok(step),
        };
        let members = self.carried(&[ASKED, MATCHED, FETCHING]).await?;
        if step == RunStep::HandOut && members.is_empty() {
            // All have what is theirs since a process ended: the receipt comes next, as it would have then.
            return Ok(step);
        }
        let own = members.clone();
        let waits = move |db: &mut Db| {
            for member in &own {
                // One whose answer was taken down before a crash waits for the export.
                let of = if member.state == MATCHED {
                    StepName::Retrieve
                } else {
                    of
                };
                if is_waiting(db, step_of(member, of))? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if self.ctx().store.read(waits).await? {
            return Ok(step);
        }
        tracing::info!(
            bulk.run = self.row.id,
            "nobody waits for a bulk run any more; it is ended at the partner"
        );
        end.code().clone_into(&mut self.row.step);
        let row = self.row.clone();
        let write = move |db: &mut Db| {
            for member in &members {
                put(db, member, (0, member.attempt, LEFT))?;
            }
            rows::replace(db, &row)
        };
        self.held.write(write).await?;
        Ok(end)
    }

    async fn step(&mut self, step: RunStep) -> Result<RunNext, CallFailure> {
        match step {
            RunStep::AskMatch => match reuse::reuse(self).await? {
                Some(next) => Ok(next),
                None => question::ask(self).await,
            },
            RunStep::AwaitMatch => answer::read(self).await,
            RunStep::EndMatch => {
                self.end_there(TokenFor::Match).await;
                question::forget(self).await?;
                Ok(RunNext::Step(RunStep::AskExport))
            }
            RunStep::AskExport => export::ask(self).await,
            RunStep::AwaitExport => export::read(self).await,
            RunStep::Fetch => fetch::fetch(self).await,
            RunStep::HandOut => land::hand_out(self).await,
            RunStep::CheckReceipt => receipt::check(self).await,
            RunStep::AnswerReceipt => reply::answer(self).await,
            RunStep::EndExport => {
                self.end_there(TokenFor::Export).await;
                Ok(RunNext::End)
            }
        }
    }

    /// Deletes what runs at the partner. If that fails, it expires there.
    async fn end_there(&mut self, what: TokenFor) {
        if self.row.status_url.is_none() {
            return;
        }
        if let Err(failure) = self.delete(what).await {
            tracing::warn!(bulk.run = self.row.id, end = ?failure.end, status = failure.facts.status,
                "a bulk job could not be deleted at the partner");
        }
        self.row.status_url = None;
    }

    async fn delete(&mut self, what: TokenFor) -> Result<(), CallFailure> {
        let ctx = self.ctx().clone();
        let peer = self.wire.peer(&ctx).await?;
        let token = self.wire.token(&ctx, what).await?;
        let status = answer::status(self, &peer)?;
        peer.end_bulk(&status, &token, &self.wire.correlation).await
    }

    /// What follows from a step that failed: it is tried again after a wait, or the run is given up.
    async fn failed(&mut self, step: RunStep, failure: CallFailure) -> Result<AttemptEnding, Failure> {
        if failure.end == CallEnd::Own(Fault::LeaseLost) {
            return Err(Fault::LeaseLost.into());
        }
        let cause = failure.cause.as_deref().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(bulk.run = self.row.id, step = step.code(), end = ?failure.end, status = failure.facts.status,
            issues = %failure.issues, cause, "a step of a bulk run failed");
        let wait_long = failure.retry_after_ms.is_some_and(|wait| wait > RETRY_AFTER_MOST_MS);
        let is_final = matches!(failure.end, CallEnd::Refused(_) | CallEnd::Trust(_)) || wait_long;
        self.row.failed += 1;
        if is_final || self.row.failed >= ATTEMPTS {
            return self.over(step, failure.fault()).await;
        }
        if failure.end == CallEnd::Unauthorized {
            self.wire.forget_tokens();
        }
        let asked_ms = failure
            .retry_after_ms
            .and_then(|wait| i64::try_from(wait).ok())
            .unwrap_or(0);
        let wait_ms = (RETRY_MS << self.row.failed.min(10)).max(asked_ms);
        self.row.updated_ms = self.now_ms();
        let row = self.row.clone();
        let write = move |db: &mut Db| rows::replace(db, &row);
        Ok(AttemptEnding::again(self.now_ms() + wait_ms).with(Arc::new(write)))
    }

    /// What follows from a step that cannot be done: the run is given up, or ends without an answer to the receipt.
    async fn over(&mut self, step: RunStep, fault: Fault) -> Result<AttemptEnding, Failure> {
        if !step.is_after_members() {
            return self.give_up(fault).await;
        }
        receipt::give_up(self, fault).await?;
        RunStep::EndExport.code().clone_into(&mut self.row.step);
        self.row.failed = 0;
        self.row.updated_ms = self.now_ms();
        let row = self.row.clone();
        Ok(AttemptEnding::again(self.now_ms()).with(Arc::new(move |db| rows::replace(db, &row))))
    }

    /// Ends the run because its partner is not asked any more.
    async fn stopped(&mut self) -> Result<AttemptEnding, Failure> {
        let fault = Fault::PartnerStopped;
        match RunStep::parse(&self.row.step) {
            Some(step) if step.is_after_members() => {
                receipt::give_up(self, fault).await?;
                self.end(DONE, None).await
            }
            _ => self.give_up(fault).await,
        }
    }

    /// Ends the run because an operator asked for it.
    async fn cancel(&mut self, step: RunStep) -> Result<AttemptEnding, Failure> {
        tracing::warn!(bulk.run = self.row.id, step = step.code(), "a bulk run is cancelled");
        self.end_there(of_step(Some(step))).await;
        self.end(CANCELLED, None).await
    }

    async fn give_up(&mut self, fault: Fault) -> Result<AttemptEnding, Failure> {
        tracing::error!(
            bulk.run = self.row.id,
            fault = fault.code(),
            step = self.row.step,
            "a bulk run is given up; its members are asked for one by one"
        );
        let what = of_step(RunStep::parse(&self.row.step));
        if fault != Fault::PartnerStopped {
            self.end_there(what).await;
        }
        self.end(FAILED, Some(fault)).await
    }

    /// Ends the run: whoever it still works for goes on alone, and what it kept is removed.
    async fn end(&mut self, state: &str, fault: Option<Fault>) -> Result<AttemptEnding, Failure> {
        all_alone(&self.held, &self.row.id).await?;
        let (files, id) = (self.files.clone(), self.row.id.clone());
        let removed = fetch::blocking(move || files.remove(&id)).await;
        if let Err(failure) = &removed {
            tracing::warn!(bulk.run = self.row.id, cause = ?failure.cause(), "the files of a bulk run are still there");
        }
        let (are_left, new_id) = (removed.is_err(), self.ctx().ids.new_id(self.now_ms()));
        let now_ms = self.now_ms();
        let row = BulkRunRow {
            state: state.to_owned(),
            fault: fault.map(|fault| fault.code().to_owned()),
            ended_ms: Some(now_ms),
            updated_ms: now_ms,
            progress: None,
            ..self.row.clone()
        };
        let write = move |db: &mut Db| {
            if are_left {
                // Nothing names them any more.
                let end = NewJob {
                    kind: &END,
                    partner: Some(&row.partner_id),
                    key: &row.id,
                    payload: "",
                    due_ms: now_ms + LEFT_MS,
                };
                jobs::enqueue(db, &new_id, &end, now_ms)?;
            }
            rows::replace(db, &row)
        };
        Ok(AttemptEnding::done().with(Arc::new(write)))
    }
}

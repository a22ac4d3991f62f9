//! Judges again what an earlier version of the gate kept apart, after an upgrade, where the exchange, the opt-in and the partner still permit
//! that it is stored. Safe to repeat: what this version has judged is not due, and what came of it is told once, also after a crash.

use super::super::kind::WORKFLOW;
use super::super::permit::{PermitTerms, demand};
use super::super::phase::Phase;
use super::access::PartnerAccess;
use super::blocking::blocking;
use crate::audit::{Action, Actor, LedgerEvent, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::records::ingest::{
    IngestPermit, IngestScope, IngestWriter, due_again, is_withdrawn, judge_again, next_owed, owe_counts, take_owed,
};
use crate::secret::random;
use crate::store::Db;
use crate::store::exchanges::{self, ExchangeRow};
use crate::telemetry::Correlation;
use std::sync::Arc;
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
            let ctx = held.ctx().clone();
            let (plain, _give_up) = IngestWriter::leased(&held, None);
            blocking(move || {
                let mut last = String::new();
                // What a crash left untold.
                while let Some(id) = next_owed(&ctx, &last)? {
                    note(&ctx, &plain, &id)?;
                    last = id;
                }
                last.clear();
                while let Some(id) = due_again(&ctx, &last)? {
                    plain.go_on()?;
                    let (writer, _own) = IngestWriter::leased(&held, Some(permit_to_judge_again(&ctx, &id)));
                    let judged = IngestScope::reopen(&ctx, &vault, &id).and_then(|scope| {
                        let own = id.clone();
                        writer.write_blocking(move |db| owe_counts(db, &own))?;
                        let judged = judge_again(&scope, &writer, &plain);
                        // Also when it was broken off: what was stored until then is told.
                        note(&ctx, &plain, &id)?;
                        judged
                    });
                    match judged {
                        Ok(counts) => tracing::info!(exchange = %id, stored = counts.stored, "quarantined resources were judged again"),
                        // Another one may be readable: this one's key or body is gone. Or it is not permitted, now or any more.
                        Err(failure) if is_of_one(failure.fault()) => {
                            tracing::warn!(exchange = %id, fault = failure.fault().code(), "quarantined resources stay in quarantine");
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

/// Whether a failure is one exchange's own.
fn is_of_one(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::SealKeys
            | Fault::SealBroken
            | Fault::NothingReceived
            | Fault::OptInRevoked
            | Fault::OptInOver
            | Fault::PartnerStopped
            | Fault::WorkflowUnknown
            | Fault::ExchangeUnknown
            | Fault::ExchangeMoveRefused
    )
}

/// Whether something more of this exchange may be stored; asked in each transaction that does.
pub fn permit_to_judge_again(ctx: &Context, id: &str) -> IngestPermit {
    let (clock, id) = (ctx.clock.clone(), id.to_owned());
    Arc::new(move |db| {
        let (row, terms) = standing(db, &id)?;
        if row.workflow > WORKFLOW {
            return Err(Fault::WorkflowUnknown.into());
        }
        // One that runs judges all of it itself. One that ended without its record, or that a person looks at, takes nothing more in.
        let waits = row.parked_at_ms.is_some() && row.phase == Phase::PartiallyResolved.code();
        if !(waits || row.phase == Phase::Completed.code()) {
            return Err(Fault::ExchangeMoveRefused.into());
        }
        if is_withdrawn(db, &id)? {
            return Err(Fault::NothingReceived.into());
        }
        demand(db, &terms, clock.now_ms())
    })
}

fn standing(db: &mut Db, id: &str) -> Result<(ExchangeRow, PermitTerms), Failure> {
    let row = exchanges::find(db, id)?.ok_or(Fault::ExchangeUnknown)?;
    let ask = exchanges::ask_of(db, id)?.ok_or(Fault::ExchangeUnknown)?;
    let terms = PermitTerms {
        opt_in_id: ask.opt_in_id,
        member_id: row.member_id.clone().unwrap_or_default(),
        partner_id: row.partner_id.clone(),
    };
    Ok((row, terms))
}

/// Tells the exchange and the ledger what is stored now, where that has changed and was not told yet.
fn note(ctx: &Context, writer: &IngestWriter, id: &str) -> Result<(), Failure> {
    let (ctx, id) = (ctx.clone(), id.to_owned());
    writer.write_blocking(move |db| {
        let Some((before, now)) = take_owed(db, &id)?.filter(|(before, now)| before != now) else {
            return Ok(());
        };
        let taken = now.stored.saturating_sub(before.stored);
        let (row, terms) = standing(db, &id)?;
        let big = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(mut result) = exchanges::result_of(db, &id)? {
            result.stored = big(now.stored);
            result.unchanged = big(now.unchanged);
            result.quarantined = big(now.quarantined.values().sum());
            result.count_as_received();
            exchanges::put_result(db, &result)?;
        }
        let at_ms = ctx.clock.now_ms();
        let correlation = Correlation::of(ctx.ids.new_id(at_ms), random(), Some(&row.correlation_id), None, None);
        let actor = Actor {
            kind: "system",
            ..Actor::default()
        };
        let mut entry = LedgerEvent::new(Action::ExchangeJudgedAgain, actor, correlation);
        entry.partner = Some(terms.partner_id);
        entry.exchange = Some(id.clone());
        entry.object = Some(Object {
            kind: "Patient",
            id: terms.member_id,
        });
        entry.policy_version = Some(row.policy_version);
        entry.counts.insert("stored".into(), taken);
        for (reason, count) in &now.quarantined {
            entry.counts.insert(format!("quarantined.{reason}"), *count);
        }
        ledger::append(db, &entry, &ctx.ids.new_id(at_ms), ctx.clock.now_us())
    })
}

//! The job that makes a packet: it waits until a checkpoint covers the last entry that was there when it was asked for.

use super::make::{MadePacket, PacketTerms, make};
use super::scope::PacketScope;
use crate::audit::packet_sealing;
use crate::audit::sequencer::Sequencer;
use crate::audit::{Action, Actor, LedgerEvent, Object, ledger};
use crate::error::{ActWithin, Failure, Fault, RunbookRow};
use crate::jobs::runbook::parked;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::secret::{hex, sha256};
use crate::store::evidence::{self as rows, MadeFigures, PacketRow, WAITING};
use crate::store::{erasures, retention};
use crate::telemetry::Correlation;
use std::sync::Arc;
use std::time::Duration;

/// Makes an evidence packet.
pub static EVIDENCE_PACKET: WorkKind = WorkKind {
    name: "evidence-packet",
    priority: Priority::Ordinary,
    every: None,
    timeout: Duration::from_secs(600),
    renews: true,
    safe_because: "a packet takes its bytes once, while it waits for them",
};

/// What people do when it is parked.
pub fn runbook() -> RunbookRow {
    parked(
        &EVIDENCE_PACKET,
        ActWithin::Day,
        "An evidence packet that was asked for is not made. The evidence itself is in the ledger.",
    )
}

/// Time until a checkpoint is looked for again, milliseconds; one is signed each four seconds while there is news.
const AGAIN_MS: i64 = 500;

/// The step; only a process that has the key of the log has it.
pub struct PacketStep(pub Arc<Sequencer>);

impl JobStep for PacketStep {
    fn kind(&self) -> &'static WorkKind {
        &EVIDENCE_PACKET
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let sequencer = Arc::clone(&self.0);
        Box::pin(async move {
            // Ends of disclosures are written after their answers.
            held.ctx().store.flush().await;
            match tokio::task::spawn_blocking(move || attempt(&held, &sequencer)).await {
                Ok(ending) => ending,
                // The panic continues in the task of this step.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Failure::new(Fault::Internal).because(error)),
            }
        })
    }
}

fn attempt(held: &HeldJob, sequencer: &Sequencer) -> Result<AttemptEnding, Failure> {
    let (ctx, id) = (held.ctx(), held.job().key.clone());
    let found = ctx.store.read_blocking(|db| rows::find(db, &id))?;
    let Some(row) = found.filter(|row| row.state == WAITING) else {
        return Ok(AttemptEnding::done());
    };
    let log = sequencer.signing_log(ctx)?;
    let terms = PacketTerms {
        asked_us: row.asked_us,
        at_note: row.at_note.clone(),
        with_phi: row.with_phi != 0,
    };
    let made = PacketScope::of(&row).and_then(|scope| make(ctx, &log, &scope, &terms));
    match made {
        Ok(made) => {
            let is_kept = match made {
                Some(packet) => keep(held, &row, packet)?,
                None => false,
            };
            if !is_kept {
                return Ok(AttemptEnding::again(ctx.clock.now_ms() + AGAIN_MS));
            }
        }
        Err(failure) if is_final(failure.fault()) => {
            tracing::warn!(packet = id, fault = failure.fault().code(), cause = ?failure.cause(), "an evidence packet cannot be made");
            give_up(held, &row, failure.fault())?;
        }
        Err(failure) => return Err(failure),
    }
    Ok(AttemptEnding::done())
}

/// Whether a later attempt would fail in the same way.
fn is_final(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::PacketTooLarge
            | Fault::EvidenceMissing
            | Fault::ExchangeUnknown
            | Fault::CaseUnknown
            | Fault::ParameterInvalid
            | Fault::StoreDamaged
    )
}

/// Stores a packet. Returns false when a member was erased meanwhile, of whom it may tell, or retention deleted something: then it is made again.
fn keep(held: &HeldJob, row: &PacketRow, packet: MadePacket) -> Result<bool, Failure> {
    let ctx = held.ctx();
    let at_us = ctx.clock.now_us();
    let digest = sha256(&packet.bytes);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let figures = MadeFigures {
        size: number(packet.size),
        entries: number(packet.entries),
        sha256: hex(&digest),
        made_ms: at_us / 1000,
    };
    let mut entry = entry(row, Action::EvidenceMade);
    entry.response_digest = Some(digest);
    entry.bytes = Some(packet.bytes.len() as u64);
    let pieces = packet_sealing::pieces(ctx, &row.id, &packet.bytes, &|write| held.write_blocking(write))?;
    let (entry_id, id) = (ctx.ids.new_id(at_us / 1000), row.id.clone());
    held.write_alone_blocking(move |db| {
        // No erasure begins between this look and the commit, and no run of retention deletes anything.
        retention::lock(db)?;
        if erasures::touched_since(db, packet.read_after)? {
            return Ok(false);
        }
        if rows::made(db, &id, &figures, (&pieces, &packet.tells_of))? {
            ledger::append(db, &entry, &entry_id, at_us)?;
        }
        Ok(true)
    })
}

fn give_up(held: &HeldJob, row: &PacketRow, fault: Fault) -> Result<(), Failure> {
    let ctx = held.ctx();
    let at_us = ctx.clock.now_us();
    let mut entry = entry(row, Action::EvidenceFailed);
    (entry.outcome.class, entry.outcome.reason) = ("failed", Some(fault.code()));
    let (entry_id, id) = (ctx.ids.new_id(at_us / 1000), row.id.clone());
    held.write_blocking(move |db| match rows::failed(db, &id, fault.code(), at_us / 1000)? {
        true => ledger::append(db, &entry, &entry_id, at_us),
        false => Ok(()),
    })
}

fn entry(row: &PacketRow, action: Action) -> LedgerEvent {
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(action, actor, Correlation::internal(row.id.clone()));
    entry.object = Some(packet_object(&row.id));
    entry
}

/// A packet as the object of an entry.
pub(super) fn packet_object(id: &str) -> Object {
    Object {
        kind: "EvidencePacket",
        id: id.to_owned(),
    }
}

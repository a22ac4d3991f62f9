//! Asking for a packet, over `/ops/v1` and by commands: what is asked for, the job that makes it, and the entry that says who asked are one
//! transaction.

use super::scope::{PacketAsked, PacketScope};
use super::step::{EVIDENCE_PACKET, packet_object};
use crate::audit::log::key_of;
use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{NewJob, enqueue};
use crate::policy::is_same_person;
use crate::secret::member_keys::MemberKeys;
use crate::security::Operator;
use crate::store::evidence::{self as rows, ERASED, FAILED, PacketRow, WAITING};
use crate::store::{Db, ledger_tree, member_keys};

/// What the entry says of a packet that is asked for with personal values.
const WITH_PHI: &str = "with-phi";

/// What the ledger says that somebody looks at who takes this packet.
pub fn look_at(row: &PacketRow) -> &'static str {
    match row.with_phi {
        0 => "evidence",
        _ => "evidence-with-phi",
    }
}

/// Returns the write that asks for a packet; it returns the id of the packet. Ring the bell of the context after the commit.
///
/// # Errors
/// Of the write: those of [`PacketAsked::scope`] and of [`PacketAsked::at_note`]; [`Fault::NotFound`] when the store has no log yet.
pub fn ask(
    ctx: &Context,
    asked: PacketAsked,
    by: WithdrawnBy,
) -> impl FnMut(&mut Db) -> Result<String, Failure> + Send + 'static {
    let ctx = ctx.clone();
    let at_us = ctx.clock.now_us();
    let [id, entry_id, job_id] = [(); 3].map(|()| ctx.ids.new_id(at_us / 1000));
    move |db| {
        let scope = asked.scope(db, (&ctx.payer, &ctx.member_keys), at_us / 1000)?;
        let log = ledger_tree::log(db)?.ok_or_else(no_log)?;
        let row = PacketRow {
            id: id.clone(),
            kind: scope.kind().to_owned(),
            subject: scope.subject().map(str::to_owned),
            from_ms: scope.times().map(|times| times.0),
            to_ms: scope.times().map(|times| times.1),
            at_note: asked.at_note(&key_of(&log)?)?,
            asked_by: by.operator.clone(),
            asked_us: at_us,
            state: WAITING.to_owned(),
            fault: None,
            size: None,
            entries: None,
            bytes: None,
            sha256: None,
            made_ms: None,
            with_phi: i64::from(asked.with_phi),
        };
        rows::ask(db, &row)?;
        let job = NewJob {
            kind: &EVIDENCE_PACKET,
            partner: None,
            key: &id,
            payload: "",
            due_ms: at_us / 1000,
        };
        enqueue(db, &job_id, &job, at_us / 1000)?;
        let mut entry = LedgerEvent::new(Action::EvidenceAsked, Operator::actor(by.role), by.correlation.clone());
        entry.object = Some(match &scope {
            // Who looks at a member is found by the member.
            PacketScope::Member(id) => Object {
                kind: "Patient",
                id: id.clone(),
            },
            _ => packet_object(&id),
        });
        entry.outcome.reason = asked.with_phi.then_some(WITH_PHI);
        entry.note = Some(OperatorNote {
            operator: by.operator.clone(),
            reason: by.reason.clone(),
        });
        ledger::append(db, &entry, &entry_id, at_us)?;
        Ok(id.clone())
    }
}

fn no_log() -> Failure {
    Failure::new(Fault::NotFound).remedy("The log of the ledger begins when a server or worker starts.")
}

/// A packet that was asked for.
///
/// # Errors
/// [`Fault::PacketUnknown`]; those of the database.
pub fn find(db: &mut Db, id: &str) -> Result<PacketRow, Failure> {
    rows::find(db, id)?.ok_or_else(|| Fault::PacketUnknown.into())
}

/// Refuses a packet that opens values to who asked for it, where an act needs two people.
///
/// # Errors
/// [`Fault::PolicySecondNeeded`].
pub fn demand_second(ctx: &Context, row: &PacketRow, operator: &str) -> Result<(), Failure> {
    if row.with_phi == 0 || !ctx.policy_four_eyes || !is_same_person(&row.asked_by, operator) {
        return Ok(());
    }
    Err(Failure::new(Fault::PolicySecondNeeded)
        .remedy("It opens values of persons: another operator must take it, with `causeway evidence get` or over HTTP.")
        .because(format!("packet {} opens values", row.id)))
}

/// The bytes of a packet.
///
/// # Errors
/// [`Fault::PacketNotMade`] while it waits; the fault for which it could not be made; [`Fault::PacketErased`]; [`Fault::SealKeys`] when it is
/// sealed and its key cannot be had; [`Fault::StoreDamaged`]; those of the database.
pub fn content(db: &mut Db, row: &PacketRow, keys: &MemberKeys) -> Result<Vec<u8>, Failure> {
    match (row.state.as_str(), row.fault.as_deref()) {
        (WAITING, _) => Err(Fault::PacketNotMade.into()),
        (FAILED, code) => {
            let fault = Fault::ALL.iter().find(|fault| Some(fault.code()) == code);
            Err(fault.copied().unwrap_or(Fault::Internal).into())
        }
        (ERASED, _) => Err(Fault::PacketErased.into()),
        _ => {
            let opener = member_keys::opener(db, keys)?;
            rows::content(db, row, &opener)
        }
    }
}

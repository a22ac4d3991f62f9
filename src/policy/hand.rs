//! Who gives a command on policies, and the ledger entry that records it in the transaction of the command.

use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::security::{Operator, operator};
use crate::store::Db;
use crate::telemetry::Correlation;

/// The role of who works on the host, where roles do not bind.
const HOST: &str = "host";

/// Who gives a command, and why.
#[derive(Clone, Debug)]
pub struct PolicyHand {
    /// The operator and the reason. They are kept where they can be erased.
    pub note: OperatorNote,
    /// The operator's role.
    pub role: &'static str,
    /// Whose token let the operator in; none on the host.
    pub holder: Option<Operator>,
}

impl PolicyHand {
    /// What begins the write of each command: it fails once the token that let the operator in is revoked or has ended.
    pub(super) fn hold(&self, ctx: &Context) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
        let mut holds = self.holder.as_ref().map(|holder| operator::hold(ctx, holder));
        move |db| match &mut holds {
            Some(holds) => holds(db),
            None => Ok(()),
        }
    }
}

impl From<OperatorNote> for PolicyHand {
    fn from(note: OperatorNote) -> PolicyHand {
        PolicyHand {
            note,
            role: HOST,
            holder: None,
        }
    }
}

/// The version that a command is about, as the ledger names it.
#[derive(Clone, Debug)]
pub(super) struct Acted {
    /// SHA-256 of its text, hexadecimal.
    pub id: String,
    /// As what decisions or views cite it.
    pub version: String,
}

/// The entry of a command on a version.
pub(super) fn entry(ctx: &Context, action: Action, about: &Acted, hand: &PolicyHand) -> LedgerEvent {
    // The person's name is in the note, which can be erased.
    let actor = Operator::actor(hand.role);
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    let mut entry = LedgerEvent::new(action, actor, correlation);
    entry.object = Some(Object {
        kind: "policy",
        id: about.id.clone(),
    });
    entry.policy_version = Some(about.version.clone());
    entry.note = Some(hand.note.clone());
    entry
}

/// Runs one command on a policy: its work and its ledger entry in one transaction.
pub(super) fn act(
    ctx: &Context,
    action: Action,
    about: Acted,
    hand: &PolicyHand,
    mut work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let at_us = ctx.clock.now_us();
    let entry = entry(ctx, action, &about, hand);
    let entry_id = ctx.ids.new_id(at_us / 1000);
    let mut holds = hand.hold(ctx);
    ctx.store.write_blocking(move |db| {
        holds(db)?;
        work(db)?;
        ledger::append(db, &entry, &entry_id, at_us)
    })
}

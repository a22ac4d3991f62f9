//! What people decide about identity: the queue of doubtful matches, and the links between partners' identifiers and members.
//!
//! An act, its ledger entry, and its changes of links and grants are one transaction. Nothing here answers a partner: until a review is
//! decided, the partner gets "no match", and after that the consent is checked again for the next request. The content of a request is kept
//! only as long as somebody may have to look at it.

mod acts;
mod entry;
mod link_steps;
pub mod links;
mod opening;
mod order;
mod question;
pub mod runbook;
mod state;

pub use acts::{act_digest, perform};
pub use opening::{DoubtfulMatch, FieldNote, Ranked, again, candidate_rows, opened, proposed};
pub use order::{Act, Choice, Done, ReviewActor, ReviewerCommand};
pub use question::{OTHER_NUMBERS, SHOWN, ShownPerson, asked, key};
pub use state::{Event, MOVES, ReviewState, after};

use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::telemetry::Correlation;

/// Returns the write that records in the ledger that the operator of `note`, in this role, is about to see a review or the links of a member,
/// and why; the list when `about` is `None`. The caller runs it as a reserved write before anything is shown; when it fails, nothing may be shown.
pub fn viewed(
    ctx: &Context,
    role: &'static str,
    note: OperatorNote,
    correlation: &Correlation,
    about: Option<Object>,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let actor = Actor {
        kind: "operator",
        id: Some(role.to_owned()),
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::ReviewViewed, actor, correlation.clone());
    entry.note = Some(note);
    entry.object = about;
    let id = ctx.ids.new_id(at_us / 1000);
    move |db| ledger::append(db, &entry, &id, at_us)
}

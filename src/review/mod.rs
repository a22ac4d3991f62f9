//! What a person decides about identity: the queue of doubtful matches, and the links between partners' numbers and our members.
//!
//! An act, its ledger entry, and what it does to links and grants are one transaction. Nothing here answers a partner: to one
//! who asks, a review is no match until it is decided, and then consent is judged anew. What was asked is kept only while
//! somebody may have to look at it.

mod acts;
pub mod links;
mod opening;
mod question;
mod state;

pub use acts::{Act, By, Choice, Done, Order, perform, perform_blocking};
pub use opening::{Doubt, Note, Ranked, again, candidate_rows, opened, proposed};
pub use question::{SHOWN, Subject, asked, key};
pub use state::{Event, MOVES, State, after};

use crate::audit::{Action, Actor, Entry, Object, Outcome, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::secret::sha256;
use crate::store::Db;
use crate::telemetry::Correlation;

/// The entry of something that was done to a review, or to links: in what role; who it was stands beside it, where it can be
/// erased. The digest is of the act as it is kept beside the review, so that it cannot be changed there unnoticed.
fn entry(action: Action, by: &By, object: Object, partner: &str, what: &'static str, act: &str) -> Entry {
    let actor = Actor {
        kind: "operator",
        id: Some("reviewer".to_owned()),
        ..Actor::default()
    };
    let mut entry = Entry::new(action, actor, by.correlation.clone());
    entry.note = Some(crate::audit::Note {
        operator: by.hand.clone(),
        reason: String::new(),
    });
    entry.partner = Some(partner.to_owned()).filter(|partner| !partner.is_empty());
    entry.object = Some(object);
    entry.outcome = Outcome {
        class: "ok",
        http: None,
        reason: Some(what),
    };
    entry.request_digest = Some(sha256(act.as_bytes()));
    entry
}

/// Notes in the ledger, durably, that `hand` in this role is about to see one review, or the list when there is none. Call it
/// before anything is shown.
///
/// # Errors
/// Those of the store: then nothing may be shown.
pub async fn viewed(
    ctx: &Context,
    role: &'static str,
    hand: &str,
    correlation: &Correlation,
    review: Option<&str>,
) -> Result<(), Failure> {
    let write = viewing(ctx, role, hand, correlation, review);
    ctx.store.reserved().write(write).await
}

/// [`viewed`], waiting on this thread.
///
/// # Errors
/// As [`viewed`].
pub fn viewed_blocking(
    ctx: &Context,
    role: &'static str,
    hand: &str,
    correlation: &Correlation,
    review: Option<&str>,
) -> Result<(), Failure> {
    let write = viewing(ctx, role, hand, correlation, review);
    ctx.store.reserved().write_blocking(write)
}

fn viewing(
    ctx: &Context,
    role: &'static str,
    hand: &str,
    correlation: &Correlation,
    review: Option<&str>,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let actor = Actor {
        kind: "operator",
        id: Some(role.to_owned()),
        ..Actor::default()
    };
    let mut entry = Entry::new(Action::ReviewViewed, actor, correlation.clone());
    entry.note = Some(crate::audit::Note {
        operator: hand.to_owned(),
        reason: String::new(),
    });
    entry.object = review.map(|id| Object {
        kind: "Review",
        id: id.to_owned(),
    });
    let id = ctx.ids.new_id(at_us / 1000);
    move |db| ledger::append(db, &entry, &id, at_us)
}

//! Who looks at what: each view of decisions, grants, consents, disclosures, traces and the ledger is an entry before it is shown.

use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::consent::REASON_MAX;
use crate::context::Context;
use crate::error::Failure;
use crate::ids::is_one_line;
use crate::security::Operator;
use crate::store::Db;
use crate::telemetry::Correlation;

/// Somebody who is about to be shown something.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// Name of the token, or the user of the host.
    pub operator: String,
    /// Role of the token; `host` for a command.
    pub role: &'static str,
    /// Why; empty where no reason is asked for.
    pub reason: String,
    /// The ids of the request.
    pub correlation: Correlation,
}

/// Why somebody looks, as it is kept: one line of 1 to [`REASON_MAX`] characters, without the spaces around it. `None` for anything else.
pub fn access_reason(text: &str) -> Option<&str> {
    let text = text.trim();
    (is_one_line(text) && text.chars().count() <= REASON_MAX).then_some(text)
}

/// What to write before `what` is shown; `object` names the one thing that is asked about, if it is one.
pub fn viewed(
    ctx: &Context,
    viewer: &Viewer,
    what: &'static str,
    object: Option<Object>,
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    appending(ctx, entry_of(viewer, what, object))
}

/// As [`viewed`], of something that is sealed for the recipient with this key: its digest stands where that of a request does.
pub fn viewed_sealed(
    ctx: &Context,
    viewer: &Viewer,
    (what, object): (&'static str, Option<Object>),
    recipient_sha256: &[u8; 32],
) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let mut entry = entry_of(viewer, what, object);
    entry.request_digest = Some(*recipient_sha256);
    appending(ctx, entry)
}

fn entry_of(viewer: &Viewer, what: &'static str, object: Option<Object>) -> LedgerEvent {
    let mut entry = LedgerEvent::new(
        Action::OperatorViewed,
        Operator::actor(viewer.role),
        viewer.correlation.clone(),
    );
    entry.outcome.reason = Some(what);
    entry.object = object;
    entry.note = Some(OperatorNote {
        operator: viewer.operator.clone(),
        reason: viewer.reason.clone(),
    });
    entry
}

fn appending(ctx: &Context, entry: LedgerEvent) -> impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(at_us / 1000);
    move |db| ledger::append(db, &entry, &id, at_us)
}

/// The Patient that a view is about.
pub fn patient(id: &str) -> Object {
    Object {
        kind: "Patient",
        id: id.to_owned(),
    }
}

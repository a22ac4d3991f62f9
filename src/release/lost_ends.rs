//! The ends of disclosures that nobody lived to write: after a crash, *begun* stands in the ledger alone.
//!
//! What is written then says only that the end is unknown: the member's data may have been disclosed.

use crate::audit::{Action, Actor, Entry, Object, Outcome, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::store::ends;
use crate::store::entries::EntryRow;
use crate::telemetry::Correlation;

/// Disclosures that are looked at in one write, and such writes of one sweep.
const ROWS: i64 = 500;
const STEPS: usize = 200;

/// Writes the ends that are missing of disclosures that began before `before_ms` (UTC milliseconds), which must be so long ago that
/// none of them still runs; how many that were. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn close_lost(ctx: &Context, before_ms: i64) -> Result<usize, Failure> {
    let mut closed = 0;
    for _ in 0..STEPS {
        let (ids, now_us) = (ctx.ids.clone(), ctx.clock.now_us());
        let (open, is_full) = ctx.store.reserved().write_blocking(move |db| {
            let next = ends::next(db, before_ms, ROWS)?;
            if !ends::follow(db, &next)? {
                return Ok((0, false));
            }
            for begun in &next.open {
                ledger::append(db, &unknown(begun), &ids.new_id(now_us / 1000), now_us)?;
            }
            Ok((next.open.len(), next.is_full))
        })?;
        closed += open;
        if !is_full {
            break;
        }
    }
    if closed > 0 {
        tracing::warn!(
            disclosures = closed,
            "the end of these disclosures was lost; the ledger says that they may have been made"
        );
    }
    Ok(closed)
}

fn unknown(begun: &EntryRow) -> Entry {
    let ids = begun.ids();
    let correlation = Correlation::of(
        ids.request_id,
        crate::secret::random(),
        Some(&ids.correlation_id),
        None,
        None,
    );
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = Entry::new(Action::DisclosureCompleted, actor, correlation);
    entry.partner.clone_from(&begun.partner_id);
    entry.object = begun.subject.clone().map(|id| Object { kind: "Patient", id });
    entry.outcome = Outcome {
        class: "unknown",
        http: None,
        reason: None,
    };
    entry.begun = Some(begun.id.clone());
    entry
}

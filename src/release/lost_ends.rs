//! Writes the missing end entries of disclosures: after a crash, only *begun* is in the ledger.
//!
//! Such an end says only that the end is unknown, so that the member's data may have been disclosed. A disclosure that failed before
//! anything could be sent gets an end as failed when the store answers again ([`close_unsent`]). An end that was written after the member was
//! erased loses what leads to the member, as its beginning did.

use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::ends::{self, UncutEnd};
use crate::store::entries::EntryRow;
use crate::store::{Db, correlations, erased_entries, retention};
use crate::telemetry::Correlation;
use std::sync::Arc;

/// The kind of object of an entry about a file of many members.
pub(super) const FILE: &str = "bulk-file";
/// The kind of object of an entry about a file in which no line belongs to one member alone.
pub(super) const JOB: &str = "bulk-job";

/// Disclosures that are looked at in one step, and most steps of one sweep.
const ROWS: i64 = 500;
const STEPS: usize = 2_000;

/// Writes the missing end entries of disclosures that began before `before_ms` (UTC milliseconds). This must be so long ago that none of
/// them is still running. Returns how many were written. Blocks the thread.
///
/// The ledger is read on a connection for reads; only what was found is written, in short writes, so that other writes do not wait.
///
/// # Errors
/// Those of the store.
pub fn close_lost(ctx: &Context, before_ms: i64) -> Result<usize, Failure> {
    let mut closed = 0;
    for _ in 0..STEPS {
        let next = ctx.store.read_blocking(|db| {
            let mut next = ends::next(db, before_ms, ROWS)?;
            match correlations::open(db, &ctx.member_keys, &mut next.open) {
                // The end is written all the same, with this server's own id of the request.
                Err(failure) if failure.fault() == Fault::SealKeys => {}
                opened => opened?,
            }
            Ok(next)
        })?;
        if !next.is_further() {
            break;
        }
        let is_full = next.is_full;
        let (ids, now_us) = (ctx.ids.clone(), ctx.clock.now_us());
        let written = ctx.store.reserved().write_blocking(move |db| {
            let may_cut = may_cut(db, &next.uncut)?;
            let is_mine = match may_cut {
                true => ends::follow(db, &next)?,
                false => ends::hold(db, &next)?,
            };
            if !is_mine {
                return Ok(None);
            }
            let mut written = 0;
            for begun in &next.open {
                // Where no progress is stored, another process may have written this end.
                if may_cut || ends::open(db, &begun.id)?.is_some() {
                    ledger::append(db, &end(begun, "unknown"), &ids.new_id(now_us / 1000), now_us)?;
                    written += 1;
                }
            }
            if may_cut {
                next.uncut.iter().try_for_each(|end| erased_entries::cut_end(db, end))?;
            }
            Ok(Some((written, may_cut)))
        })?;
        // Without an answer another process looks for them just now.
        let Some((written, is_done)) = written else { break };
        closed += written;
        if !is_full || !is_done {
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

/// Whether this role may cut from beside these ends what an erasure or retention had cut from beside their beginnings before they were written.
/// While it may not, they are looked at again by each sweep.
fn may_cut(db: &mut Db, ends: &[UncutEnd]) -> Result<bool, Failure> {
    if ends.is_empty() || retention::may_delete_beside_entries(db)? {
        return Ok(true);
    }
    tracing::warn!(
        ends = ends.len(),
        "ends of disclosures that came after an erasure keep what leads to the member, because this role may not empty that: \
         grant its rights again with `causeway migrate --grant`"
    );
    Ok(false)
}

/// The ids of a *begun* entry and of the end that it gets if nothing is sent. They are made together, so that an end that is written by two
/// tasks at once is one row.
#[derive(Clone, Debug)]
pub(super) struct EntryIds {
    /// Of the *begun* entry.
    pub(super) begun: String,
    /// Of its end.
    pub(super) end: String,
}

/// Writes the end entries of disclosures of which nothing was sent because the store did not confirm their *begun* entry. Those whose
/// *begun* entry is missing need no end. Does not wait. An entry that is committed only later is left to [`close_lost`].
pub(super) fn close_unsent(ctx: &Context, begun: Vec<EntryIds>) {
    if begun.is_empty() || ctx.store.url().sqlite_path().is_some() {
        // The writer of a SQLite file knows what was committed.
        return;
    }
    let now_us = ctx.clock.now_us();
    for ids in begun {
        // A write of its own for each: one that finds its end written by another task fails on the key, and with it nothing else.
        ctx.store
            .write_surely(Arc::new(move |db| match ends::open(db, &ids.begun)? {
                Some(row) => ledger::append(db, &end(&row, "failed"), &ids.end, now_us),
                None => Ok(()),
            }));
    }
}

fn end(begun: &EntryRow, class: &'static str) -> LedgerEvent {
    let ids = begun.ids();
    let correlation = Correlation::of(
        ids.request_id,
        crate::secret::random_of_many(),
        Some(&ids.correlation_id),
        None,
        None,
    );
    let actor = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::DisclosureCompleted, actor, correlation);
    entry.partner.clone_from(&begun.partner_id);
    let kind = kind_of(begun);
    entry.object = begun.subject.clone().map(|id| Object { kind, id });
    entry.outcome = EntryOutcome {
        class,
        http: None,
        reason: None,
    };
    entry.begun = Some(begun.id.clone());
    entry
}

/// What the object of a disclosure is.
fn kind_of(begun: &EntryRow) -> &'static str {
    let entry: serde_json::Value = serde_json::from_slice(&begun.entry).unwrap_or_default();
    let kind = entry["object"]["kind"].as_str();
    [FILE, JOB]
        .into_iter()
        .find(|known| kind == Some(*known))
        .unwrap_or("Patient")
}

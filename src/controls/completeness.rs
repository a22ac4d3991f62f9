//! The control *completeness*: business rows chosen by chance have their entries, and entries chosen by chance have their rows.

use super::entry_rows;
use super::report::ControlFindings;
use super::row_entries;
use super::sample::{HowMany, each, settled};
use super::told::ROWS_WITH_ENTRIES;
use crate::audit::Action;
use crate::context::Context;
use crate::error::Failure;
use crate::jobs::Chance;
use crate::retention::shortest;
use crate::store::control_rows::{self, RowKind};
use crate::store::{Store, entries};

/// Entries that are added to the index by subject in one transaction.
const INDEXED: i64 = 5_000;
/// Answered receipts that one query reads.
const READ: i64 = 500;

/// Looks at what was chosen, both ways. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(ctx: &Context, chance: &Chance, many: HowMany) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let (store, now_us) = (&ctx.store, ctx.clock.now_us());
    index(ctx, now_us)?;
    let periods = store.read_blocking(|db| shortest(db, &ctx.keeping, now_us / 1000))?;
    for (kind, name) in ROWS_WITH_ENTRIES {
        let all = each(store, *kind, (chance, many), &mut |id| {
            findings.look();
            if let Some(why) = settled(store, |db| row_entries::untold(db, *kind, id), Option::is_none)? {
                findings.defect(name, id, why);
            }
            Ok(())
        })?;
        findings.fact(name, all);
    }
    receipts(store, &mut findings)?;
    let all = each(store, RowKind::Entry, (chance, many), &mut |id| {
        findings.look();
        if let Some(why) = settled(store, |db| entry_rows::wrong(db, id, &periods, now_us), Option::is_none)? {
            findings.defect("entry", id, why);
        }
        Ok(())
    })?;
    findings.fact("entry", all);
    Ok(findings)
}

/// Brings the index of entries by subject up to date, as the sweep of a server does, so that no look reads the whole ledger.
fn index(ctx: &Context, now_us: i64) -> Result<(), Failure> {
    if ctx.store.read_only().is_some() {
        return Ok(());
    }
    while ctx
        .store
        .write_blocking(move |db| entries::index(db, now_us, INDEXED))?
        == INDEXED
    {}
    Ok(())
}

/// The entries that runs of ours name as the answers to receipts. They are few.
fn receipts(store: &Store, findings: &mut ControlFindings) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let rows = store.read_blocking(|db| control_rows::answered_receipts(db, &after, READ))?;
        let Some((last, _)) = rows.last() else { return Ok(()) };
        after.clone_from(last);
        for (run, entry_id) in rows {
            findings.look();
            let found = store.read_blocking(|db| control_rows::entry(db, entry_id.as_deref().unwrap_or_default()))?;
            let is_told = found.is_some_and(|(row, _)| {
                row.action == Action::BulkReceiptAnswered.code() && row.subject.is_none_or(|subject| subject == run)
            });
            if !is_told {
                findings.defect(
                    "bulk run",
                    &run,
                    "the ledger has no entry that its receipt was answered",
                );
            }
        }
    }
}

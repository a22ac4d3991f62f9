//! Controls: what a monthly review asks of this server, answered from its own evidence and dated. The register says what each control shows and
//! who answers for it; a run chooses by a seed, looks, and makes one report.
//!
//! A control reads. It changes no business row, asks no partner and shows nobody's data: a report names rows and entries by their ids. What a
//! run writes is its own: the last run of each control, and one entry of the ledger.

mod completeness;
mod consistency;
mod drill;
mod drill_stage;
mod entry_rows;
mod found;
mod idempotency;
mod matched;
pub mod page;
mod rebuild;
pub mod register;
pub mod report;
mod row_entries;
mod sample;
mod shares;
mod told;
mod transformation;

pub use sample::HowMany;
pub use told::{RowOfEntry, row_of};

use crate::audit::note::Checkpoint;
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, OperatorNote, ledger};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::Chance;
use crate::secret::sha256;
use crate::store::Db;
use crate::store::control_runs::{self, ControlRunRow};
use crate::telemetry::Correlation;
use register::{
    COMPLETENESS, CONSISTENCY, CONTROLS, Control, DISCLOSED_SHARES, IDEMPOTENCY, OUTAGE_DRILL, PARTNER_CHECKPOINTS,
    REBUILD, TRANSFORMATION,
};
use report::{ControlFinding, ControlFindings, ControlReport, ControlResult};

/// The format of reports.
const FORMAT: &str = "causeway-controls/1";

/// What a run is asked for.
#[derive(Clone, Debug)]
pub struct ControlsAsked {
    /// By what everything is chosen.
    pub seed: u32,
    /// How much is looked at.
    pub many: HowMany,
    /// Only these controls; all when empty.
    pub only: Vec<&'static Control>,
    /// Checkpoints of this ledger that were kept elsewhere.
    pub outside: Vec<Checkpoint>,
}

/// Runs the controls that are asked for, and makes the report. `tell` hears which control begins. Writes nothing but the index of entries that a
/// server's sweep writes as well. Waits on this thread.
///
/// # Errors
/// Those of the store; what is wrong with the evidence is in the report.
pub fn run(
    ctx: &Context,
    asked: &ControlsAsked,
    tell: &mut dyn FnMut(&'static Control),
) -> Result<ControlReport, Failure> {
    let at_ms = ctx.clock.now_ms();
    let mut controls = Vec::new();
    for (place, control) in (0_u64..).zip(CONTROLS) {
        if !asked.only.is_empty() && !asked.only.contains(&control) {
            continue;
        }
        tell(control);
        // Each control has a sequence of its own, so that it chooses the same by itself as among others.
        let chance = Chance::seeded(u64::from(asked.seed) << 8 | place);
        let end = look(ctx, control, &chance, asked, at_ms)?.end();
        controls.push(ControlFinding {
            control: control.id,
            shows: control.shows,
            owner: control.owner,
            every: control.every,
            result: end.result,
            checked: end.checked,
            defects: end.defects,
            found: end.listed,
            facts: end.facts,
            rebuilt: end.rebuilt,
        });
    }
    let has_failed = controls.iter().any(|one| one.result == ControlResult::Failed);
    Ok(ControlReport {
        format: FORMAT,
        software: concat!("causeway/", env!("CARGO_PKG_VERSION")),
        payer: ctx.payer.name.clone(),
        at: rfc3339_ms(at_ms),
        seed: asked.seed,
        sample: match asked.many {
            HowMany::Some(most) => Some(most),
            HowMany::All => None,
        },
        result: match has_failed {
            true => ControlResult::Failed,
            false => ControlResult::Holds,
        },
        controls,
    })
}

fn look(
    ctx: &Context,
    control: &Control,
    chance: &Chance,
    asked: &ControlsAsked,
    at_ms: i64,
) -> Result<ControlFindings, Failure> {
    let (store, many) = (&ctx.store, asked.many);
    match control.id {
        REBUILD => rebuild::run(ctx, chance, many),
        COMPLETENESS => completeness::run(ctx, chance, many),
        IDEMPOTENCY => idempotency::run(ctx, chance, many),
        CONSISTENCY => consistency::run(store, &asked.outside),
        PARTNER_CHECKPOINTS => consistency::of_partners(store),
        DISCLOSED_SHARES => shares::run(store, chance, many),
        TRANSFORMATION => transformation::run(store, chance, many),
        OUTAGE_DRILL => drill::run(asked.seed, at_ms),
        _ => Err(Failure::new(Fault::Internal).because("a control that nothing looks for")),
    }
}

/// The bytes of a report for programs, over which its digest is.
///
/// # Errors
/// [`Fault::Internal`].
pub fn bytes(report: &ControlReport) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(report).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes the last run of each control of a report, and the entry that the controls ran, in one transaction. `note` says who ran them. Waits
/// on this thread.
///
/// # Errors
/// Those of the store.
pub fn record(ctx: &Context, report: &ControlReport, note: OperatorNote) -> Result<(), Failure> {
    let (now_us, sum) = (ctx.clock.now_us(), sha256(&bytes(report)?));
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let entry = entry(report, sum, note, &entry_id);
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows: Vec<ControlRunRow> = report
        .controls
        .iter()
        .map(|one| ControlRunRow {
            control: one.control.to_owned(),
            last_run_ms: now_us / 1000,
            result: one.result.code().to_owned(),
            seed: i64::from(report.seed),
            checked: number(one.checked),
            defects: number(one.defects),
            report_sha256: sum.to_vec(),
            entry_id: entry_id.clone(),
        })
        .collect();
    ctx.store.reserved().write_blocking(move |db: &mut Db| {
        rows.iter().try_for_each(|row| control_runs::put(db, row))?;
        ledger::append(db, &entry, &entry_id, now_us)
    })
}

/// The entry of a run: who ran the controls, how many failed, and the digest of the report.
fn entry(report: &ControlReport, sum: [u8; 32], note: OperatorNote, entry_id: &str) -> LedgerEvent {
    let actor = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::ControlsRan, actor, Correlation::internal(entry_id.to_owned()));
    entry.note = Some(note);
    entry.response_digest = Some(sum);
    entry.outcome = EntryOutcome {
        class: match report.result {
            ControlResult::Failed => "failed",
            _ => "ok",
        },
        http: None,
        reason: None,
    };
    for one in &report.controls {
        *entry.counts.entry(one.result.code().to_owned()).or_insert(0) += 1;
    }
    let (checked, defects) = (
        report.controls.iter().map(|one| one.checked),
        report.controls.iter().map(|one| one.defects),
    );
    entry.counts.insert("checked".to_owned(), checked.sum());
    entry.counts.insert("defects".to_owned(), defects.sum());
    entry
}

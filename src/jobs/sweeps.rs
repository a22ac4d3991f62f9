//! The sweeps, which keep the store small and its tables in order. Each sweep consists of many transactions and may stop after any of them.

use super::{AttemptEnding, Doing, HeldJob, JobStep, Priority, WorkKind};
use crate::audit::correlation_sealing::seal_correlations;
use crate::audit::deletion::deletion;
use crate::audit::ledger;
use crate::audit::note_sealing::{NotesWrite, seal_notes};
use crate::audit::packet_sealing::seal_packets;
use crate::error::{Failure, Fault};
use crate::keeping::DataKind;
use crate::keeping::table::ALERT_MS;
use crate::store::{alert_episodes, authorizations, console, entries, guesses, idempotency, sign_ins, tokens};
use std::sync::Arc;
use std::time::Duration;

const fn sweep(name: &'static str, every_s: u64, safe_because: &'static str) -> WorkKind {
    WorkKind {
        name,
        priority: Priority::First,
        every: Some(Duration::from_secs(every_s)),
        timeout: Duration::from_secs(600),
        renews: true,
        safe_because,
    }
}

/// Deletes expired assertion ids, tokens, links, sessions and sign-ins of the console, idempotency rows and guesses, and alerts that ended long ago.
pub static EXPIRED: WorkKind = sweep(
    "expired",
    60,
    "it deletes only rows that have expired for everybody, and a deleted row cannot be deleted again",
);
/// Indexes the ledger by the member that an entry is about, and seals the reasons beside its entries, evidence packets, and the correlation ids
/// that callers chose.
pub static LEDGER_INDEX: WorkKind = sweep(
    "ledger-index",
    60,
    "each row of the index is written once, and what is sealed is not found again",
);
/// Marks prior authorizations as ended whose period is over.
pub static AUTHORIZATIONS: WorkKind = sweep(
    "authorizations",
    900,
    "it does not select authorizations that have ended",
);
/// Adds what is missing in the matcher's index, and counts the roster.
pub static ROSTER: WorkKind = sweep(
    "roster",
    3_600,
    "it leaves existing rows alone, and the same count makes no new state",
);

/// Most idempotency rows that one run deletes.
const IDEMPOTENCY_ROWS: i64 = 1_000;
/// Most guesses that one run deletes; each failed match leaves several.
const GUESS_ROWS: i64 = 20_000;
/// Ledger entries that are indexed in one write, and most such writes in one run.
const INDEX_ROWS: i64 = 5_000;
const INDEX_STEPS: usize = 100;
/// Resources whose prior authorizations are marked as ended in one write.
const AUTHORIZATION_ROWS: usize = 1_000;

type Work = dyn Fn(&HeldJob) -> Result<(), Failure> + Send + Sync;

/// A step that blocks its thread.
pub struct Sweep {
    kind: &'static WorkKind,
    work: Arc<Work>,
}

impl Sweep {
    /// Makes `work` a step of this kind. It must write through the [`HeldJob`], and check between its pieces whether the lease is lost.
    pub fn step(
        kind: &'static WorkKind,
        work: impl Fn(&HeldJob) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Arc<dyn JobStep> {
        Arc::new(Sweep {
            kind,
            work: Arc::new(work),
        })
    }
}

impl JobStep for Sweep {
    fn kind(&self) -> &'static WorkKind {
        self.kind
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        let work = Arc::clone(&self.work);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&held)).await;
            match done {
                Ok(done) => done.map(|()| AttemptEnding::done()),
                // The panic continues in the task of this step.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(Failure::new(Fault::Internal).because(error)),
            }
        })
    }
}

/// The sweeps that need only the store.
pub fn of_the_store() -> Vec<Arc<dyn JobStep>> {
    vec![
        Sweep::step(&EXPIRED, drop_expired),
        Sweep::step(&LEDGER_INDEX, index_ledger),
        Sweep::step(&AUTHORIZATIONS, end_authorizations),
    ]
}

fn drop_expired(held: &HeldJob) -> Result<(), Failure> {
    let clock = &held.ctx().clock;
    let (lasting_ms, surely_ms, at_us) = (clock.lasting_ms(), clock.surely_ms(), clock.now_us());
    let (entry_id, periods) = (held.ctx().ids.new_id(at_us / 1000), Arc::clone(&held.ctx().keeping));
    held.write_blocking(move |db| {
        tokens::prune(db, lasting_ms, surely_ms)?;
        console::prune(db, lasting_ms)?;
        sign_ins::prune(db, lasting_ms)?;
        let kept_ms = periods.ms(DataKind::Idempotency);
        let gone = idempotency::sweep(db, surely_ms, IDEMPOTENCY_ROWS)?;
        if !gone.is_empty() {
            let rows: Vec<_> = gone
                .iter()
                .map(|(key, end_ms)| (key.as_str(), end_ms - kept_ms))
                .collect();
            let entry = deletion(DataKind::Idempotency, &rows, &periods, &entry_id);
            ledger::append(db, &entry, &entry_id, at_us)?;
        }
        guesses::sweep(db, surely_ms, GUESS_ROWS)?;
        alert_episodes::prune(db, surely_ms - ALERT_MS)?;
        Ok(())
    })
}

fn index_ledger(held: &HeldJob) -> Result<(), Failure> {
    let now_us = held.ctx().clock.now_us();
    for _ in 0..INDEX_STEPS {
        if held.write_blocking(move |db| entries::index(db, now_us, INDEX_ROWS))? < INDEX_ROWS {
            break;
        }
    }
    let commit = |write: NotesWrite| held.write_blocking(write);
    let alone = |write: NotesWrite| held.write_alone_blocking(write);
    let sealed = seal_notes(held.ctx(), &commit)
        .and_then(|_| seal_packets(held.ctx(), &commit))
        .and_then(|_| seal_correlations(held.ctx(), &alone));
    if let Err(failure) = sealed {
        if failure.fault() != Fault::SealKeys {
            return Err(failure);
        }
        // They stay plain meanwhile, and the index goes on.
        tracing::error!(
            fault = failure.fault().code(),
            remedy = failure.remedy_text(),
            "operators' reasons, evidence packets and callers' correlation ids cannot be sealed"
        );
    }
    Ok(())
}

fn end_authorizations(held: &HeldJob) -> Result<(), Failure> {
    let now_ms = held.ctx().clock.surely_ms();
    let limit = i64::try_from(AUTHORIZATION_ROWS).unwrap_or(i64::MAX);
    while held.write_blocking(move |db| authorizations::end(db, now_ms, limit))? == AUTHORIZATION_ROWS {}
    Ok(())
}

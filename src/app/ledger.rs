//! The log of the ledger in a process: it is opened at the start, and what is new is signed at the end.

use crate::audit::log::{OpenLog, demand_consistent, in_use};
use crate::audit::log_files::LogFiles;
use crate::audit::sequencer::Sequencer;
use crate::config::{Config, Jobs};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use crate::jobs::sequencer::SequencerStep;
use crate::jobs::{Chance, Runner, RunnerSettings};
use crate::store::{Db, ledger_tree};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time after which the end of a process begins no more rounds for the last checkpoint.
const LAST: Duration = Duration::from_secs(3);
/// Time between two looks for the job.
const LOOK: Duration = Duration::from_millis(50);
/// How long before the end of a process its last entries are looked for, milliseconds.
const YOUNG_MS: i64 = 15_000;

/// Checks the ledger against what was signed before, and opens its log. Returns none when this process lacks the key and must leave signing
/// to others. Blocks the thread.
///
/// # Errors
/// [`Fault::LedgerForked`]: this process must not start; those of the store.
pub(super) fn open(ctx: &Context, config: &Config) -> Result<Option<Arc<Sequencer>>, Failure> {
    let files = LogFiles::new(config.ledger_folder());
    demand(ctx, config)?;
    match OpenLog::open(ctx, &files) {
        Ok(log) => Ok(Some(Arc::new(Sequencer::new(files, Some(log))))),
        Err(failure) => {
            tracing::error!(fault = failure.fault().code(), at = ?failure.expressions(), cause = ?failure.cause(),
                "this process cannot sign the ledger");
            let lacks_key = failure.fault() == Fault::LedgerKey;
            Ok((!lacks_key).then(|| Arc::new(Sequencer::new(files, None))))
        }
    }
}

/// Checks the ledger against what was signed before. Blocks the thread.
///
/// # Errors
/// As [`open`].
pub(super) fn demand(ctx: &Context, config: &Config) -> Result<(), Failure> {
    let files = LogFiles::new(config.ledger_folder());
    match in_use(ctx, &files)? {
        Some(row) => demand_consistent(ctx, &row, &files),
        None => Ok(()),
    }
}

/// Gives the last entries of this process their places, and signs them, unless another process does.
pub(super) async fn close(ctx: &Context, jobs: &Jobs, sequencer: &Arc<Sequencer>) {
    sequencer.close();
    if ctx.store.url().sqlite_path().is_some() {
        // No other process has the store.
        let (store, ctx, sequencer) = (ctx.store.clone(), ctx.clone(), Arc::clone(sequencer));
        let round = move || sequencer.round(&ctx, &|write| store.write_blocking(write));
        if let Ok(Err(failure)) = tokio::task::spawn_blocking(round).await {
            unsigned(&failure);
        }
        return;
    }
    let settings = RunnerSettings {
        permits: 1,
        poll: jobs.poll,
        lease: jobs.lease,
    };
    let step = Arc::new(SequencerStep(Arc::clone(sequencer)));
    let Ok(runner) = Runner::new(ctx, settings, vec![step], Chance::System) else {
        return;
    };
    let (until, began_ms) = (Instant::now() + LAST, ctx.clock.now_ms());
    if let Err(failure) = last_rounds(ctx, &runner, until, began_ms).await {
        unsigned(&failure);
    }
}

/// Takes the job whenever no other process has it, until what was written until `began_ms` (UTC milliseconds) is signed, by whichever process.
///
/// # Errors
/// The last failure when the time is over: one alone ends nothing.
async fn last_rounds(ctx: &Context, runner: &Runner, until: Instant, began_ms: i64) -> Result<(), Failure> {
    let (mut is_added, mut last) = (false, None);
    while Instant::now() < until {
        if !is_added {
            // A process that ends before its first look for work has not added the job.
            let added = runner.prepare().await;
            is_added = added.is_ok();
            last = added.err().or(last);
        }
        last = runner.run_due().await.err().or(last);
        match ctx.store.read(move |db| is_signed(db, began_ms)).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(failure) => last = Some(failure),
        }
        tokio::time::sleep(LOOK).await;
    }
    last.map_or(Ok(()), Err)
}

/// Whether the tree has the entries with ids until `began_ms` (UTC milliseconds), and the newest checkpoint covers the tree.
fn is_signed(db: &mut Db, began_ms: i64) -> Result<bool, Failure> {
    let Some(log) = ledger_tree::log(db)? else {
        return Ok(false);
    };
    let Some(last) = ledger_tree::checkpoint(db, log.no)? else {
        return Ok(false);
    };
    if last.size != ledger_tree::tree(db, log.no)?.size {
        return Ok(false);
    }
    let (young, later) = (before_all_of(began_ms - YOUNG_MS), before_all_of(began_ms + 1));
    let missing = ledger_tree::missing(db, log.no, &young, 1)?;
    // What came later is of others.
    Ok(missing.first().is_none_or(|(id, _)| *id >= later))
}

fn unsigned(failure: &Failure) {
    tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "the last checkpoint was not signed");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger::{NewEntry, append};
    use crate::store::ledger_tree::{CheckpointRow, Growth, LeafRow, LogRow};
    use crate::store::{Store, StoreOptions, StoreUrl};

    const BEGAN_MS: i64 = 1_800_000_000_000;

    fn id(at_ms: i64) -> String {
        format!("{}-x", before_all_of(at_ms))
    }

    fn write(db: &mut Db, at_ms: i64) -> Result<(), Failure> {
        let entry = NewEntry {
            id: id(at_ms),
            at_us: at_ms * 1000,
            action: "server.stopped",
            partner_id: None,
            exchange_id: None,
            correlation_id: "c".to_owned(),
            request_id: None,
            entry: b"{}".to_vec(),
            subject: None,
            salt: [7; 32],
            note: None,
        };
        append(db, &entry)
    }

    fn place(db: &mut Db, at_ms: i64) -> Result<(), Failure> {
        let from = ledger_tree::tree(db, 1)?;
        let leaf = LeafRow {
            log: 1,
            entry_id: id(at_ms),
            idx: from.size,
        };
        let growth = Growth {
            from,
            leaves: vec![leaf],
            tiles: Vec::new(),
            edge: Vec::new(),
            settled: String::new(),
        };
        ledger_tree::grow(db, &growth)
    }

    /// Signs a checkpoint by a clock that is ahead.
    fn sign(db: &mut Db, size: i64) -> Result<(), Failure> {
        let row = CheckpointRow {
            log: 1,
            size,
            root: vec![0; 32],
            note: "a checkpoint".to_owned(),
            signed_ms: BEGAN_MS + 1_000,
        };
        ledger_tree::put_checkpoint(db, &row)
    }

    #[test]
    fn what_a_process_wrote_is_signed_when_the_tree_has_it_whatever_a_clock_says() {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let work = |db: &mut Db| {
            let mut found = vec![is_signed(db, BEGAN_MS)?];
            let log = LogRow {
                no: 1,
                log_id: "l".to_owned(),
                origin: "payer.example/audit/l".to_owned(),
                public_key: vec![0; 32],
                began_ms: 1,
            };
            ledger_tree::begin(db, &log)?;
            found.push(is_signed(db, BEGAN_MS)?);
            sign(db, 0)?;
            found.push(is_signed(db, BEGAN_MS)?);
            write(db, BEGAN_MS)?;
            found.push(is_signed(db, BEGAN_MS)?);
            place(db, BEGAN_MS)?;
            found.push(is_signed(db, BEGAN_MS)?);
            sign(db, 1)?;
            found.push(is_signed(db, BEGAN_MS)?);
            write(db, BEGAN_MS + 1)?;
            found.push(is_signed(db, BEGAN_MS)?);
            Ok(found)
        };
        let found = store.write_blocking(work).expect("written");
        // No log; no checkpoint; nothing to sign; not in the tree; not signed; signed; and what came later is of others.
        assert_eq!(found, [false, false, true, false, false, true, true]);
    }
}

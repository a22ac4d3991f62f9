//! Gives committed entries their index, appends them to the tree, and signs checkpoints. One round at a time, by whoever holds the job.
//!
//! A round reads entries that are committed and writes leaves, tiles and edge in one transaction of its own; no request waits for it. It
//! never signs a tree that does not extend what was signed before.

use super::log::{OpenLog, demand_consistent};
use super::log_files::LogFiles;
use super::note::Checkpoint;
use super::tree::edge::TreeEdge;
use super::tree::leaf_hash;
use super::tree::tiles::tile_bytes;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::ids::before_all_of;
use crate::store::Db;
use crate::store::ledger_tree::{self as rows, CheckpointRow, Growth, LeafRow, TileRow, TreeRow};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Entries that one transaction appends.
const BATCH: i64 = 2_000;
/// How long a round appends before it hands the job back.
const ROUND: Duration = Duration::from_millis(2_500);
/// Time between two checkpoints while there are new entries, milliseconds.
const SIGN_MS: i64 = 4_000;
/// How far back an ordinary round looks for entries that were committed late, and how far back a sweep does, milliseconds.
const YOUNG_MS: i64 = 15_000;
const SETTLED_MS: i64 = 120_000;
/// Time between two sweeps, and between two counts of all entries, milliseconds.
const SWEEP_MS: i64 = 60_000;
const COUNT_MS: i64 = 600_000;
/// The name of the points at which a test can end this process.
pub const POINT: &str = "ledger";
/// The points, in the order in which they are passed: around the writes of the edge, of the leaves and of the tiles and their commit; around
/// the signature, the file with the checkpoint, and its row; and around handing it out. Those of appending are those of each commit.
pub const POINTS: [&str; 15] = [
    "read",
    "grow-begun",
    "edge-written",
    "leaves-written",
    "growing",
    "grown",
    "signing",
    "signed",
    "keep-written",
    "keep-renamed",
    "kept",
    "storing",
    "stored",
    "handing",
    "handed",
];

/// A write of a round. It may run more than once.
pub type RoundWrite = Box<dyn FnMut(&mut Db) -> Result<(), Failure> + Send>;
/// Commits a write, only while the job is held.
pub type Commit<'w> = &'w dyn Fn(RoundWrite) -> Result<(), Failure>;

/// What a process remembers between rounds.
#[derive(Default)]
struct Remembered {
    log: Option<Arc<OpenLog>>,
    swept_ms: Option<i64>,
    counted_ms: Option<i64>,
    /// The place of the last entry that a round has looked at, where the store keeps an order of entries.
    last: Option<i64>,
}

/// The sequencer of this process.
pub struct Sequencer {
    files: LogFiles,
    remembered: Mutex<Remembered>,
    closing: AtomicBool,
    forked: AtomicBool,
}

impl Sequencer {
    /// The sequencer of the log that is open; without one, the first round opens it.
    pub fn new(files: LogFiles, log: Option<OpenLog>) -> Sequencer {
        Sequencer {
            files,
            remembered: Mutex::new(Remembered {
                log: log.map(Arc::new),
                ..Remembered::default()
            }),
            closing: AtomicBool::new(false),
            forked: AtomicBool::new(false),
        }
    }

    /// From now on a round signs whatever is new, because this process ends.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// Whether the tree contradicts what was signed: the process must disclose nothing more, and end.
    pub fn is_forked(&self) -> bool {
        self.forked.load(Ordering::Acquire)
    }

    /// The log in use, with its key. Waits for a round that is under way. Blocks the thread.
    ///
    /// # Errors
    /// [`Fault::LedgerForked`] when nothing may be signed; [`Fault::LedgerKey`]; those of the store.
    pub fn signing_log(&self, ctx: &Context) -> Result<Arc<OpenLog>, Failure> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        match self.is_forked() {
            true => Err(Fault::LedgerForked.into()),
            false => self.log(ctx, &mut remembered),
        }
    }

    /// One round. Returns whether more entries wait. Blocks the thread.
    ///
    /// # Errors
    /// [`Fault::LedgerForked`], after which the process must end; [`Fault::LedgerKey`]; those of `commit` and of the store.
    pub fn round(&self, ctx: &Context, commit: Commit<'_>) -> Result<bool, Failure> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.log(ctx, &mut remembered).and_then(|log| {
            let more = append_missing(ctx, &log, &mut remembered, commit)?;
            self.sign(ctx, &log, commit)?;
            Ok(more)
        });
        if let Err(failure) = &done
            && failure.fault() == Fault::LedgerForked
        {
            tracing::error!(fault = failure.fault().code(), cause = ?failure.cause(), "audit_fork: nothing is signed");
            self.forked.store(true, Ordering::Release);
        }
        done
    }

    /// The log in use: the one that this process has open, unless an operator began a new one.
    fn log(&self, ctx: &Context, remembered: &mut Remembered) -> Result<Arc<OpenLog>, Failure> {
        let newest = ctx.store.read_blocking(rows::log)?.map(|row| row.no);
        match &remembered.log {
            Some(log) if Some(log.row.no) == newest => Ok(Arc::clone(log)),
            _ => {
                *remembered = Remembered::default();
                let log = Arc::new(OpenLog::open(ctx, &self.files)?);
                remembered.log = Some(Arc::clone(&log));
                Ok(log)
            }
        }
    }

    fn sign(&self, ctx: &Context, log: &OpenLog, commit: Commit<'_>) -> Result<(), Failure> {
        let (no, now_ms) = (log.row.no, ctx.clock.now_ms());
        let (tree, last) = ctx
            .store
            .read_blocking(|db| Ok((rows::tree(db, no)?, rows::checkpoint(db, no)?)))?;
        if let Some(last) = &last {
            let is_due = !(0..SIGN_MS).contains(&(now_ms - last.signed_ms)) || self.closing.load(Ordering::Acquire);
            if last.size == tree.size || !is_due {
                return Ok(());
            }
        }
        demand_consistent(ctx, &log.row, &log.files)?;
        let edge = edge_of(&tree)?;
        let checkpoint = Checkpoint {
            origin: log.key.name.clone(),
            size: edge.size(),
            root: edge.root(),
        };
        failpoint::pass(POINT, "signing");
        let note = log
            .key
            .note(&checkpoint, &log.signing.sign(checkpoint.text().as_bytes()));
        failpoint::pass(POINT, "signed");
        // Before anybody can see it, so that a database that is put back cannot forget it.
        log.files.keep(&log.row.log_id, &note)?;
        failpoint::pass(POINT, "kept");
        let row = CheckpointRow {
            log: no,
            size: tree.size,
            root: checkpoint.root.to_vec(),
            note,
            signed_ms: now_ms,
        };
        commit(Box::new(move |db| {
            rows::put_checkpoint(db, &row)?;
            failpoint::pass(POINT, "storing");
            Ok(())
        }))?;
        failpoint::pass(POINT, "stored");
        Ok(())
    }
}

fn edge_of(tree: &TreeRow) -> Result<TreeEdge, Failure> {
    let size = u64::try_from(tree.size).unwrap_or(0);
    TreeEdge::from_bytes(size, &tree.edge)
        .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("the edge of the ledger's tree does not read"))
}

/// Appends the entries that are not in the tree. Returns whether it stopped before the last of them.
///
/// Ids sort by time, so an ordinary round looks at the last seconds only; where the store knows which entries came since the last round, it
/// begins with the first of them. A sweep looks at all that was not yet swept, and a count finds out whether entries came even later than
/// that.
fn append_missing(
    ctx: &Context,
    log: &OpenLog,
    remembered: &mut Remembered,
    commit: Commit<'_>,
) -> Result<bool, Failure> {
    let (no, now_ms, began) = (log.row.no, ctx.clock.now_ms(), Instant::now());
    let is_due = |last: Option<i64>, every| last.is_none_or(|last| !(0..every).contains(&(now_ms - last)));
    let mut tree = ctx.store.read_blocking(|db| rows::tree(db, no))?;
    let sweeps = is_due(remembered.swept_ms, SWEEP_MS);
    let old = before_all_of(now_ms - SETTLED_MS);
    let mut after = match sweeps {
        // Not beyond what is old now: what was settled before the clock was set back may be in the future.
        true => (&tree.settled).min(&old).clone(),
        false => tree.settled.clone().max(before_all_of(now_ms - YOUNG_MS)),
    };
    let counts = is_due(remembered.counted_ms, COUNT_MS);
    if counts {
        let (entries, leaves) = ctx.store.read_blocking(|db| rows::counts(db, no, &tree.settled))?;
        if leaves > entries {
            tracing::error!(
                entries,
                leaves,
                "entries of the ledger are gone; `causeway audit verify` says which"
            );
        }
        if entries > leaves {
            after.clear();
        }
    }
    let is_ordinary = !sweeps && !counts;
    let arrived = ctx.store.read_blocking(|db| rows::arrived(db, remembered.last))?;
    if let (true, Some(_), Some(arrived)) = (is_ordinary, remembered.last, &arrived) {
        let Some(mut before) = arrived.least.clone() else {
            return Ok(false);
        };
        // What is shorter sorts before, so that the first of them is looked at, too.
        before.pop();
        after = after.max(before);
    }
    loop {
        let missing = ctx.store.read_blocking(|db| rows::missing(db, no, &after, BATCH))?;
        let is_last = missing.len() < usize::try_from(BATCH).unwrap_or(usize::MAX);
        if let Some((id, _)) = missing.last() {
            after.clone_from(id);
        }
        let upto = if is_last { &old } else { (&after).min(&old) };
        let settled = if sweeps {
            tree.settled.clone().max(upto.clone())
        } else {
            tree.settled.clone()
        };
        if !missing.is_empty() || settled != tree.settled {
            tree = grow(tree, &missing, settled, commit)?;
        }
        if is_last {
            break;
        }
        if began.elapsed() > ROUND {
            return Ok(true);
        }
    }
    if sweeps {
        remembered.swept_ms = Some(now_ms);
    }
    if counts {
        remembered.counted_ms = Some(now_ms);
    }
    remembered.last = arrived.map(|arrived| arrived.last);
    Ok(false)
}

/// Appends these entries in one transaction, and returns the tree with them.
fn grow(tree: TreeRow, entries: &[(String, Vec<u8>)], settled: String, commit: Commit<'_>) -> Result<TreeRow, Failure> {
    let (mut edge, mut tiles, log) = (edge_of(&tree)?, Vec::new(), tree.log);
    let mut leaves = Vec::with_capacity(entries.len());
    for (entry_id, entry) in entries {
        let idx = i64::try_from(edge.size()).unwrap_or(i64::MAX);
        leaves.push(LeafRow {
            log,
            entry_id: entry_id.clone(),
            idx,
        });
        edge.push(leaf_hash(entry), &mut |full| {
            let (level, n) = (i64::from(full.level), i64::try_from(full.n).unwrap_or(i64::MAX));
            tiles.push(TileRow {
                log,
                level,
                n,
                hashes: tile_bytes(&full.hashes),
            });
        });
    }
    let size = i64::try_from(edge.size()).unwrap_or(i64::MAX);
    let grown = TreeRow {
        log,
        size,
        edge: edge.to_bytes(),
        settled: settled.clone(),
    };
    let growth = Growth {
        from: tree,
        leaves,
        tiles,
        edge: grown.edge.clone(),
        settled,
    };
    failpoint::pass(POINT, "read");
    commit(Box::new(move |db| {
        rows::grow(db, &growth)?;
        failpoint::pass(POINT, "growing");
        Ok(())
    }))?;
    failpoint::pass(POINT, "grown");
    Ok(grown)
}

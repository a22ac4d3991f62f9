//! The log in use: which it is, its key, its tiles in the store, and the rule of every start and signature: the tree extends each
//! checkpoint that was signed before, or nothing is signed and the process ends.

use super::log_files::LogFiles;
use super::note::{Checkpoint, LogKey};
use super::packet::manifest::manifest_text;
use super::tree::TreeHash;
use super::tree::edge::TreeEdge;
use super::tree::proof::{TileSource, root_at};
use super::tree::tiles::{TileAt, WIDTH, tile_from};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::ed25519::Ed25519Key;
use crate::secret::{hex, random};
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::store::{Db, failed_on_duplicate};

/// The log of this store, with the key that signs its checkpoints.
#[derive(Debug)]
pub struct OpenLog {
    /// Its row.
    pub row: LogRow,
    /// Its public key.
    pub key: LogKey,
    pub(super) signing: Ed25519Key,
    pub(super) files: LogFiles,
}

/// Returns the public key of a log.
///
/// # Errors
/// [`Fault::StoreDamaged`] when its row holds none.
pub fn key_of(row: &LogRow) -> Result<LogKey, Failure> {
    let public = row.public_key.as_slice().try_into();
    let public = public.map_err(|_| Failure::new(Fault::StoreDamaged).because("the log has no public key"))?;
    Ok(LogKey {
        name: row.origin.clone(),
        public,
    })
}

/// The log of the store; none when no log has begun. Blocks the thread.
///
/// # Errors
/// [`Fault::LedgerForked`] when the store has no log, and beside it are checkpoints that were signed: it is an older store, or its log was
/// deleted. Only a store in a file has the folder for itself. Those of the store and of the files.
pub fn in_use(ctx: &Context, files: &LogFiles) -> Result<Option<LogRow>, Failure> {
    // Before the row is looked for, because a log has its row before it has a checkpoint.
    let has_signed = ctx.store.url().sqlite_path().is_some() && files.has_checkpoints()?;
    match ctx.store.read_blocking(rows::log)? {
        None if has_signed => {
            let cause = "the store has no log, and the folder of its key has checkpoints";
            Err(Failure::new(Fault::LedgerForked).because(cause))
        }
        row => Ok(row),
    }
}

impl OpenLog {
    /// Opens the log of the store, or begins the first one. Blocks the thread.
    ///
    /// # Errors
    /// [`Fault::LedgerKey`] when its key is not in the folder, or is another one; those of [`in_use`].
    pub fn open(ctx: &Context, files: &LogFiles) -> Result<OpenLog, Failure> {
        if let Some(row) = in_use(ctx, files)? {
            return OpenLog::of(row, files);
        }
        match OpenLog::begin(ctx, files, 1, |_| Ok(())) {
            // Another process was first.
            Err(failure) if failed_on_duplicate(&failure) => {
                let row = ctx.store.read_blocking(rows::log)?;
                OpenLog::of(row.ok_or(Fault::StoreDamaged)?, files)
            }
            begun => begun,
        }
    }

    /// Begins log `no` with a new key; `with` writes in the same transaction. Blocks the thread.
    ///
    /// # Errors
    /// A duplicate key when there is a log of this number; [`Fault::LedgerKey`]; those of the store and of `with`.
    pub fn begin(
        ctx: &Context,
        files: &LogFiles,
        no: i64,
        mut with: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
    ) -> Result<OpenLog, Failure> {
        let log_id = hex(&random::<8>());
        let signing = files.make(&log_id)?;
        let host = ctx.payer.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        let row = LogRow {
            no,
            origin: format!("{host}/audit/{log_id}"),
            log_id,
            public_key: signing.public().to_vec(),
            began_ms: ctx.clock.now_ms(),
        };
        let written = {
            let row = row.clone();
            ctx.store.reserved().write_blocking(move |db| {
                rows::begin(db, &row)?;
                with(db)
            })
        };
        if let Err(failure) = written {
            // A commit in doubt may have been made, and the key would be lost.
            if failed_on_duplicate(&failure) {
                files.forget(&row.log_id);
            }
            return Err(failure);
        }
        Ok(OpenLog {
            key: key_of(&row)?,
            row,
            signing,
            files: files.clone(),
        })
    }

    /// Signs the manifest of an evidence packet of this log.
    pub fn sign_manifest(&self, manifest: &[u8]) -> String {
        let text = manifest_text(&self.key.name, manifest);
        self.key.signed(&text, &self.signing.sign(text.as_bytes()))
    }

    fn of(row: LogRow, files: &LogFiles) -> Result<OpenLog, Failure> {
        let signing = files.key(&row.log_id)?;
        let key = key_of(&row)?;
        if signing.public() != key.public {
            return Err(Failure::new(Fault::LedgerKey).because("the file holds the key of another log"));
        }
        Ok(OpenLog {
            row,
            key,
            signing,
            files: files.clone(),
        })
    }
}

/// Checks that the tree of the store extends the checkpoints that were signed before: the last one in the store, and the last one in
/// `files`. Blocks the thread.
///
/// # Errors
/// [`Fault::LedgerForked`] when it does not; those of the store and of the files.
pub fn demand_consistent(ctx: &Context, row: &LogRow, files: &LogFiles) -> Result<(), Failure> {
    let (key, log) = (key_of(row)?, row.no);
    let forked = |cause: &'static str| Failure::new(Fault::LedgerForked).because(cause);
    let kept = files.checkpoint(&row.log_id)?;
    let stored = ctx
        .store
        .read_blocking(|db| rows::checkpoint(db, log))?
        .map(|stored| stored.note);
    for note in [stored, kept].into_iter().flatten() {
        let signed = key.open(&note).map_err(|defect| forked(defect.text()))?;
        let found = ctx.store.read_blocking(|db| {
            let mut tiles = StoreTiles::open(db, log)?;
            match tiles.size() < signed.size {
                true => Ok(None),
                false => root_at(&mut tiles, signed.size).map(Some),
            }
        })?;
        match found {
            None => {
                return Err(forked(
                    "the ledger has fewer entries than a checkpoint that was signed before",
                ));
            }
            Some(root) if root != signed.root => {
                return Err(forked(
                    "the tree of the ledger does not extend a checkpoint that was signed before",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The last signed checkpoint of a log, with its text.
///
/// # Errors
/// [`Fault::NotFound`] when none was signed; [`Fault::StoreDamaged`] when it does not read; those of the database.
pub fn last_checkpoint(db: &mut Db, row: &LogRow) -> Result<(Checkpoint, String), Failure> {
    let stored = rows::checkpoint(db, row.no)?.ok_or_else(|| {
        Failure::new(Fault::NotFound)
            .remedy("No checkpoint was signed yet: a server signs one seconds after it starts.")
    })?;
    let checkpoint = key_of(row)?.open(&stored.note);
    let checkpoint = checkpoint.map_err(|defect| Failure::new(Fault::StoreDamaged).because(defect.text()))?;
    Ok((checkpoint, stored.note))
}

/// The tiles of the tree in the store.
pub struct StoreTiles<'d> {
    db: &'d mut Db,
    log: i64,
    edge: TreeEdge,
}

impl StoreTiles<'_> {
    /// The tiles of this log, as far as its tree has come now.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] when the edge does not read; those of the database.
    pub fn open(db: &mut Db, log: i64) -> Result<StoreTiles<'_>, Failure> {
        let tree = rows::tree(db, log)?;
        let size = u64::try_from(tree.size).unwrap_or(0);
        let edge = TreeEdge::from_bytes(size, &tree.edge)
            .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("the edge of the ledger's tree does not read"))?;
        Ok(StoreTiles { db, log, edge })
    }

    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }
}

impl TileSource for StoreTiles<'_> {
    fn tile(&mut self, at: TileAt) -> Result<Vec<TreeHash>, Failure> {
        let own = TileAt::of(at.level, at.n, self.edge.size());
        let hashes = match own.width {
            WIDTH => stored_tile(self.db, self.log, at)?.unwrap_or_default(),
            _ => self.edge.tile(at.level).to_vec(),
        };
        hashes.get(..at.width).map(<[TreeHash]>::to_vec).ok_or_else(|| {
            Failure::new(Fault::StoreDamaged).because(format!("{} of the ledger is missing or too short", at.path()))
        })
    }
}

/// A full tile as it is stored; none when it is not there or does not read.
pub(super) fn stored_tile(db: &mut Db, log: i64, at: TileAt) -> Result<Option<Vec<TreeHash>>, Failure> {
    let n = i64::try_from(at.n).unwrap_or(i64::MAX);
    Ok(rows::tile(db, log, i64::from(at.level), n)?.and_then(|bytes| tile_from(&bytes)))
}

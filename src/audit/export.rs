//! Exports the ledger, as far as its last checkpoint covers it, into a folder: the checkpoint, those that
//! witnesses confirmed before, the public key, tiles, and entries.

use super::cosigned::{confirmed_before, last_cosigned};
use super::folder::{CHECKPOINT, KEY, WITNESSED};
use super::log::{StoreTiles, key_of};
use super::note::Checkpoint;
use super::tree::proof::TileSource as _;
use super::tree::tiles::{TileAt, WIDTH, all, put_entry, tile_bytes};
use crate::error::{Failure, Fault};
use crate::store::Store;
use crate::store::ledger_tree::{self as rows, LogRow};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(path.display().to_string())
        .remedy("Name a folder that is not there yet or is empty, and that can be written.")
        .because(error)
}

/// Exports the log into `folder`, which must be empty or not there. Returns the checkpoint. Blocks the thread.
///
/// # Errors
/// [`Fault::NotFound`] when nothing was signed yet; [`Fault::InputUnreadable`] for a folder that cannot be used; [`Fault::StoreDamaged`] when
/// a tile or an entry is missing; those of the store.
pub fn export(store: &Store, row: &LogRow, folder: &Path) -> Result<Checkpoint, Failure> {
    let ((checkpoint, note), before) = store.read_blocking(|db| {
        let last = last_cosigned(db, row)?;
        let before = confirmed_before(db, row.no, last.0.size)?;
        Ok((last, before))
    })?;
    let is_free = match fs::read_dir(folder) {
        Ok(mut inside) => inside.next().is_none(),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(error) => return Err(unwritable(folder, error)),
    };
    if !is_free {
        return Err(unwritable(folder, ErrorKind::DirectoryNotEmpty.into()));
    }
    for at in all(checkpoint.size) {
        let hashes = store.read_blocking(|db| StoreTiles::open(db, row.no)?.tile(at))?;
        write(&folder.join(at.path()), &tile_bytes(&hashes))?;
        if at.level == 0 {
            write(&folder.join(at.entries_path()), &bundle(store, row.no, at)?)?;
        }
    }
    write(&folder.join(KEY), format!("{}\n", key_of(row)?.text()).as_bytes())?;
    for (number, note) in (1..).zip(before) {
        write(&folder.join(WITNESSED).join(number.to_string()), note.as_bytes())?;
    }
    write(&folder.join(CHECKPOINT), note.as_bytes())?;
    Ok(checkpoint)
}

fn bundle(store: &Store, log: i64, at: TileAt) -> Result<Vec<u8>, Failure> {
    let first = i64::try_from(at.n).unwrap_or(i64::MAX) * WIDTH as i64;
    let limit = i64::try_from(at.width).unwrap_or(i64::MAX);
    let leaves = store.read_blocking(|db| rows::leaves(db, log, first, limit))?;
    let mut bundle = Vec::new();
    for (place, index) in (first..).take(at.width).enumerate() {
        let entry = leaves
            .get(place)
            .filter(|leaf| leaf.0 == index)
            .and_then(|leaf| leaf.2.as_deref());
        if !entry.is_some_and(|entry| put_entry(&mut bundle, entry)) {
            let cause =
                format!("the entry with index {index} is missing or too long; `causeway audit verify` says more");
            return Err(Failure::new(Fault::StoreDamaged).because(cause));
        }
    }
    Ok(bundle)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| unwritable(folder, error))?;
    fs::write(path, bytes).map_err(|error| unwritable(path, error))
}

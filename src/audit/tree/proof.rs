//! Proofs over tiles: that a tree has an entry, and that it extends an older one (RFC 6962, section 2.1; checked as RFC 9162 says).

use super::tiles::{TileAt, WIDTH};
use super::{TreeHash, node_hash, root_of, split};
use crate::error::{Failure, Fault};
use crate::secret::sha256;

/// Where the tiles of a tree come from.
pub trait TileSource {
    /// The hashes of a tile, exactly as many as `at.width`.
    ///
    /// # Errors
    /// Those of where it is stored.
    fn tile(&mut self, at: TileAt) -> Result<Vec<TreeHash>, Failure>;
}

struct Walk<'s, S> {
    source: &'s mut S,
    size: u64,
    last: Option<(TileAt, Vec<TreeHash>)>,
}

impl<S: TileSource> Walk<'_, S> {
    /// The hash of the entries `from..to`, where `from` is a multiple of a power of two that is not below their number.
    fn range(&mut self, from: u64, to: u64) -> Result<TreeHash, Failure> {
        let count = to - from;
        if count.is_power_of_two() {
            return self.whole(count.ilog2(), from);
        }
        let middle = from + split(count);
        let (left, right) = (self.range(from, middle)?, self.range(middle, to)?);
        Ok(node_hash(&left, &right))
    }

    /// The hash of the `2^height` entries from `from` on.
    fn whole(&mut self, height: u32, from: u64) -> Result<TreeHash, Failure> {
        let level = height / 8;
        let (node, count) = (from >> (8 * level), 1_usize << (height % 8));
        let at = TileAt::of(u8::try_from(level).unwrap_or(u8::MAX), node / WIDTH as u64, self.size);
        let first = (node % WIDTH as u64) as usize;
        if self.last.as_ref().is_none_or(|(tile, _)| *tile != at) {
            self.last = Some((at, self.source.tile(at)?));
        }
        let hashes = self
            .last
            .as_ref()
            .and_then(|(_, hashes)| hashes.get(first..first + count));
        hashes
            .map(root_of)
            .ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a tile of the ledger is too short"))
    }

    fn path(&mut self, index: u64, from: u64, to: u64, path: &mut Vec<TreeHash>) -> Result<(), Failure> {
        if to - from == 1 {
            return Ok(());
        }
        let middle = from + split(to - from);
        let other = if index < middle {
            self.path(index, from, middle, path)?;
            self.range(middle, to)?
        } else {
            self.path(index, middle, to, path)?;
            self.range(from, middle)?
        };
        path.push(other);
        Ok(())
    }

    fn extension(&mut self, older: u64, from: u64, to: u64, path: &mut Vec<TreeHash>) -> Result<(), Failure> {
        if older == to {
            // The verifier has the hash of the whole older tree already.
            if from > 0 {
                path.push(self.range(from, to)?);
            }
            return Ok(());
        }
        let middle = from + split(to - from);
        let other = if older <= middle {
            self.extension(older, from, middle, path)?;
            self.range(middle, to)?
        } else {
            self.extension(older, middle, to, path)?;
            self.range(from, middle)?
        };
        path.push(other);
        Ok(())
    }
}

fn beyond() -> Failure {
    Failure::new(Fault::ParameterInvalid).remedy("Give an index or a size that the tree has.")
}

/// The root of the tree of the first `size` entries.
///
/// # Errors
/// Those of the source.
pub fn root_at<S: TileSource>(source: &mut S, size: u64) -> Result<TreeHash, Failure> {
    match size {
        0 => Ok(sha256(b"")),
        _ => Walk {
            source,
            size,
            last: None,
        }
        .range(0, size),
    }
}

/// The proof that entry `index` is in the tree of the first `size` entries.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an index that the tree does not have; those of the source.
pub fn inclusion<S: TileSource>(source: &mut S, index: u64, size: u64) -> Result<Vec<TreeHash>, Failure> {
    if index >= size {
        return Err(beyond());
    }
    let mut path = Vec::new();
    Walk {
        source,
        size,
        last: None,
    }
    .path(index, 0, size, &mut path)?;
    Ok(path)
}

/// The proof that the tree of the first `newer` entries extends that of the first `older`.
///
/// # Errors
/// [`Fault::ParameterInvalid`] when `older` is larger; those of the source.
pub fn consistency<S: TileSource>(source: &mut S, older: u64, newer: u64) -> Result<Vec<TreeHash>, Failure> {
    if older > newer {
        return Err(beyond());
    }
    let mut path = Vec::new();
    if older > 0 {
        Walk {
            source,
            size: newer,
            last: None,
        }
        .extension(older, 0, newer, &mut path)?;
    }
    Ok(path)
}

/// Whether `path` proves that the entry with the hash `leaf` is entry `index` of the tree with this size and root.
pub fn includes(root: &TreeHash, size: u64, index: u64, leaf: &TreeHash, path: &[TreeHash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for other in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(other, &hash);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node / 2, last / 2);
            }
        } else {
            hash = node_hash(&hash, other);
        }
        (node, last) = (node / 2, last / 2);
    }
    last == 0 && hash == *root
}

/// Whether `path` proves that the tree `newer` (size and root) extends the tree `older`.
pub fn extends(older: (u64, &TreeHash), newer: (u64, &TreeHash), path: &[TreeHash]) -> bool {
    if older.0 > newer.0 {
        return false;
    }
    if older.0 == 0 {
        return path.is_empty();
    }
    if older.0 == newer.0 {
        return path.is_empty() && older.1 == newer.1;
    }
    let mut path = path.iter();
    let first = if older.0.is_power_of_two() {
        Some(older.1)
    } else {
        path.next()
    };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (older.0 - 1, newer.0 - 1);
    while node % 2 == 1 {
        (node, last) = (node / 2, last / 2);
    }
    let (mut old_root, mut new_root) = (*first, *first);
    for other in path {
        if last == 0 {
            return false;
        }
        if node % 2 == 1 || node == last {
            old_root = node_hash(other, &old_root);
            new_root = node_hash(other, &new_root);
            while node % 2 == 0 && node != 0 {
                (node, last) = (node / 2, last / 2);
            }
        } else {
            new_root = node_hash(&new_root, other);
        }
        (node, last) = (node / 2, last / 2);
    }
    last == 0 && old_root == *older.1 && new_root == *newer.1
}

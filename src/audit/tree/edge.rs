//! The growing edge of a tree: its size, and the hashes of the tiles that are not full yet. This is all that appending needs.

use super::tiles::{HASH_BYTES, WIDTH};
use super::{TreeHash, root_of};
use crate::secret::sha256;

/// A tile that became full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullTile {
    /// Its level; 0 holds hashes of entries.
    pub level: u8,
    /// Its number in its level.
    pub n: u64,
    /// Its hashes.
    pub hashes: Vec<TreeHash>,
}

/// The edge of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeEdge {
    size: u64,
    /// For each level, the hashes of its last tile; never as many as a tile holds.
    levels: Vec<Vec<TreeHash>>,
}

impl TreeEdge {
    /// How many entries the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the tile of this level that is not full.
    pub fn tile(&self, level: u8) -> &[TreeHash] {
        self.levels.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// How many levels have had a hash.
    pub fn levels(&self) -> u8 {
        u8::try_from(self.levels.len()).unwrap_or(u8::MAX)
    }

    /// Appends the hash of an entry; each tile that it fills is handed to `full`.
    pub fn push(&mut self, leaf: TreeHash, full: &mut dyn FnMut(FullTile)) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::new());
            }
            self.levels[at].push(hash);
            if self.levels[at].len() < WIDTH {
                break;
            }
            let hashes = std::mem::take(&mut self.levels[at]);
            hash = root_of(&hashes);
            let n = (self.size >> (8 * (u32::from(level) + 1))) - 1;
            full(FullTile { level, n, hashes });
        }
    }

    /// The root of the tree.
    pub fn root(&self) -> TreeHash {
        let mut rest: Option<TreeHash> = None;
        for tile in &self.levels {
            let nodes: Vec<TreeHash> = tile.iter().copied().chain(rest).collect();
            rest = (!nodes.is_empty()).then(|| root_of(&nodes));
        }
        rest.unwrap_or_else(|| sha256(b""))
    }

    /// The edge as it is stored: for each level a byte with the number of hashes, and the hashes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for tile in &self.levels {
            bytes.push(u8::try_from(tile.len()).unwrap_or(u8::MAX));
            bytes.extend(tile.iter().flatten());
        }
        bytes
    }

    /// Reads what [`TreeEdge::to_bytes`] wrote of a tree of `size` entries; `None` when it is not that.
    pub fn from_bytes(size: u64, mut bytes: &[u8]) -> Option<TreeEdge> {
        let mut levels = Vec::new();
        while let Some((count, rest)) = bytes.split_first() {
            let (tile, rest) = rest.split_at_checked(usize::from(*count) * HASH_BYTES)?;
            levels.push(
                tile.chunks_exact(HASH_BYTES)
                    .filter_map(|hash| hash.try_into().ok())
                    .collect(),
            );
            bytes = rest;
        }
        let edge = TreeEdge { size, levels };
        let is_whole = |level: u8| {
            edge.tile(level).len() as u64 == (size.checked_shr(8 * u32::from(level)).unwrap_or(0)) % WIDTH as u64
        };
        (0..8).all(is_whole).then_some(edge)
    }
}

//! Where the hashes of a tree are stored: tiles of 256 hashes, as C2SP tlog-tiles has them, and bundles of 256 entries.

use super::TreeHash;

/// Hashes of a full tile, and entries of a full bundle.
pub const WIDTH: usize = 256;
/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;
/// Longest entry that a bundle can hold.
pub const ENTRY_BYTES: usize = 65_535;

/// One tile of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TileAt {
    /// Its level; 0 holds hashes of entries.
    pub level: u8,
    /// Its number in its level.
    pub n: u64,
    /// How many hashes it has in this tree.
    pub width: usize,
}

impl TileAt {
    /// Tile `n` of `level` in a tree of `size` entries; its width is 0 when the tree has none.
    pub fn of(level: u8, n: u64, size: u64) -> TileAt {
        let nodes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
        let width = nodes.saturating_sub(n.saturating_mul(WIDTH as u64)).min(WIDTH as u64);
        TileAt {
            level,
            n,
            width: width as usize,
        }
    }

    /// Its path in an export.
    pub fn path(&self) -> String {
        path(&format!("tile/{}", self.level), self.n, self.width)
    }

    /// The path of the entries below it, when it is of level 0.
    pub fn entries_path(&self) -> String {
        path("tile/entries", self.n, self.width)
    }
}

/// All tiles of a tree of `size` entries.
pub fn all(size: u64) -> impl Iterator<Item = TileAt> {
    (0..8).flat_map(move |level| of_level(level, size))
}

/// The tiles of one level in a tree of `size` entries.
pub fn of_level(level: u8, size: u64) -> impl Iterator<Item = TileAt> {
    let nodes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    (0..nodes.div_ceil(WIDTH as u64)).map(move |n| TileAt::of(level, n, size))
}

/// The path of the n-th: groups of three digits, of which all but the last begin with an x.
fn path(prefix: &str, n: u64, width: usize) -> String {
    let mut digits = format!("{:03}", n % 1_000);
    let mut rest = n / 1_000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1_000);
        rest /= 1_000;
    }
    match width {
        WIDTH => format!("{prefix}/{digits}"),
        partial => format!("{prefix}/{digits}.p/{partial}"),
    }
}

/// The bytes of a tile.
pub fn tile_bytes(hashes: &[TreeHash]) -> Vec<u8> {
    hashes.concat()
}

/// Reads a tile; `None` when its length is not that of whole hashes.
pub fn tile_from(bytes: &[u8]) -> Option<Vec<TreeHash>> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    rest.is_empty().then(|| hashes.to_vec())
}

/// Adds an entry to a bundle: its length in two bytes, and its bytes. Returns false for an entry that is too long.
#[must_use]
pub fn put_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// Reads a bundle. Returns its entries, and whether it ends where an entry ends.
pub fn entries_of(mut bundle: &[u8]) -> (Vec<&[u8]>, bool) {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let Some((entry, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            return (entries, false);
        };
        entries.push(entry);
        bundle = rest;
    }
    (entries, bundle.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        for (n, width, path) in [
            (0, WIDTH, "tile/0/000"),
            (67, WIDTH, "tile/0/067"),
            (1_234_067, WIDTH, "tile/0/x001/x234/067"),
            (273, 112, "tile/0/273.p/112"),
        ] {
            assert_eq!(TileAt { level: 0, n, width }.path(), path);
        }
        let last = TileAt {
            level: 0,
            n: 1_000,
            width: 5,
        };
        assert_eq!(last.entries_path(), "tile/entries/x001/000.p/5");
    }

    #[test]
    fn a_tree_of_seventy_thousand_has_the_tiles_of_the_specification() {
        let tiles: Vec<TileAt> = all(70_000).collect();
        assert_eq!(tiles.iter().filter(|tile| tile.level == 0).count(), 274);
        assert_eq!(TileAt::of(0, 273, 70_000).width, 112);
        assert_eq!(TileAt::of(1, 1, 70_000).width, 17);
        assert_eq!(TileAt::of(2, 0, 70_000).width, 1);
        assert_eq!(tiles.len(), 274 + 2 + 1);
        assert_eq!(all(0).count(), 0);
    }

    #[test]
    fn a_bundle_that_is_cut_off_says_so() {
        let mut bundle = Vec::new();
        assert!(put_entry(&mut bundle, b"one") && put_entry(&mut bundle, b""));
        assert!(!put_entry(&mut bundle, &[0; ENTRY_BYTES + 1]));
        assert_eq!(entries_of(&bundle), (vec![b"one".as_slice(), b""], true));
        assert!(!entries_of(&bundle[..bundle.len() - 1]).1);
        assert!(!entries_of(&bundle[..4]).1);
    }
}

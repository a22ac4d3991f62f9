//! The Merkle tree of RFC 6962 over the bytes of ledger entries: its hashes.
//!
//! Pure. [`edge`] grows a tree, [`tiles`] says where its hashes are stored (C2SP tlog-tiles), [`proof`] makes and checks proofs.

pub mod edge;
pub mod proof;
pub mod tiles;

use crate::secret::{sha256, sha256_of};

/// A hash of the tree.
pub type TreeHash = [u8; 32];

/// The hash of an entry: SHA-256 of a zero byte and the entry's bytes as they are stored.
pub fn leaf_hash(entry: &[u8]) -> TreeHash {
    sha256_of(&[&[0], entry])
}

/// The hash of a node: SHA-256 of a one byte and its two children.
pub fn node_hash(left: &TreeHash, right: &TreeHash) -> TreeHash {
    sha256_of(&[&[1], left, right])
}

/// The hash over these nodes of one height, of which only the last may stand for less than the others.
pub fn root_of(nodes: &[TreeHash]) -> TreeHash {
    match nodes {
        [] => sha256(b""),
        [one] => *one,
        _ => {
            let (left, right) = nodes.split_at(split(nodes.len() as u64) as usize);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// The largest power of two below `count`, which is at least two.
pub(super) fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::edge::TreeEdge;
    use super::proof::{self, TileSource};
    use super::tiles::TileAt;
    use super::*;
    use crate::error::Failure;
    use crate::secret::hex;
    use std::collections::HashMap;

    /// The leaves of the examples in the certificate transparency sources.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    /// A tree in memory, as the store keeps it.
    struct Grown {
        edge: TreeEdge,
        tiles: HashMap<(u8, u64), Vec<TreeHash>>,
    }

    impl Grown {
        fn of(leaves: impl Iterator<Item = TreeHash>) -> Grown {
            let (mut edge, mut tiles) = (TreeEdge::default(), HashMap::new());
            for leaf in leaves {
                edge.push(leaf, &mut |tile| {
                    tiles.insert((tile.level, tile.n), tile.hashes);
                });
            }
            Grown { edge, tiles }
        }
    }

    impl TileSource for Grown {
        fn tile(&mut self, at: TileAt) -> Result<Vec<TreeHash>, Failure> {
            let stored = self.tiles.get(&(at.level, at.n));
            let hashes = stored.map_or_else(|| self.edge.tile(at.level), Vec::as_slice);
            Ok(hashes[..at.width].to_vec())
        }
    }

    fn numbered(count: u64) -> impl Iterator<Item = TreeHash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes()))
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        for (count, root) in ROOTS.iter().enumerate() {
            let leaves: Vec<TreeHash> = LEAVES[..count].iter().map(|leaf| leaf_hash(leaf)).collect();
            assert_eq!(&hex(&root_of(&leaves)), root);
            assert_eq!(&hex(&Grown::of(leaves.into_iter()).edge.root()), root);
        }
    }

    #[test]
    fn a_grown_edge_has_the_root_of_all_leaves_and_survives_its_bytes() {
        for count in [1, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 65_537, 66_000] {
            let grown = Grown::of(numbered(count));
            let leaves: Vec<TreeHash> = numbered(count).collect();
            assert_eq!(grown.edge.root(), root_of(&leaves), "{count}");
            let read = TreeEdge::from_bytes(count, &grown.edge.to_bytes()).expect("an edge");
            assert_eq!(read, grown.edge, "{count}");
            assert_eq!(TreeEdge::from_bytes(count + 1, &grown.edge.to_bytes()), None, "{count}");
        }
    }

    #[test]
    fn proofs_of_tiles_hold_and_no_other_does() {
        let size = 66_000;
        let leaves: Vec<TreeHash> = numbered(size).collect();
        let mut grown = Grown::of(numbered(size));
        for n in [1, 2, 255, 256, 257, 300, 65_536, 65_537, size] {
            let root = proof::root_at(&mut grown, n).expect("a root");
            assert_eq!(root, root_of(&leaves[..n as usize]), "{n}");
            for index in [0, 1, 254, 255, 256, n - 1].into_iter().filter(|index| *index < n) {
                let path = proof::inclusion(&mut grown, index, n).expect("a proof");
                let leaf = leaves[index as usize];
                assert!(proof::includes(&root, n, index, &leaf, &path), "{index} in {n}");
                assert!(!proof::includes(&root, n, index, &[7; 32], &path));
                assert!(n == 1 || !proof::includes(&root, n, (index + 1) % n, &leaf, &path));
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!proof::includes(&root, n, index, &leaf, shorter));
                }
            }
            for m in [0, 1, 2, 255, 256, 257, 65_535, 65_536, n]
                .into_iter()
                .filter(|m| *m <= n)
            {
                let path = proof::consistency(&mut grown, m, n).expect("a proof");
                let older = proof::root_at(&mut grown, m).expect("a root");
                assert!(proof::extends((m, &older), (n, &root), &path), "{m} to {n}");
                assert!(
                    m == 0 || !proof::extends((m, &[7; 32]), (n, &root), &path),
                    "{m} to {n}"
                );
                assert!(
                    m == 0 || !proof::extends((m, &older), (n, &[7; 32]), &path),
                    "{m} to {n}"
                );
            }
        }
        assert!(proof::inclusion(&mut grown, size, size).is_err());
        assert!(proof::consistency(&mut grown, size + 1, size).is_err());
    }
}

//! What an entry about a file of many members commits to: the share of each.
//!
//! Pure. A share can be shown to be in the file without showing another one: with its line, its salt, and the hashes beside its way to the
//! root.

use super::canonical::digest_of;
use super::tree::{TreeHash, leaf_hash, root_of};
use crate::secret::Mac;

/// The root of the tree of RFC 6962 over commitments to these lines, one for each member of a file, in their order. The commitment to the line at
/// place `n` is that to a field `member/n` under `secret`.
pub fn members_root(secret: &[u8; 32], lines: impl Iterator<Item = String>) -> TreeHash {
    let salts = Mac::new(secret);
    let leaves: Vec<TreeHash> = lines
        .enumerate()
        .map(|(place, line)| leaf_hash(&digest_of(&format!("member/{place}"), &salts, &line)))
        .collect();
    root_of(&leaves)
}

#[cfg(test)]
mod tests {
    use super::super::commitment;
    use super::super::tree::node_hash;
    use super::*;
    use crate::secret::hex;

    #[test]
    fn the_root_is_over_salted_commitments_in_order() {
        let lines = || ["ana c-1 regular 0 10 1", "ben c-2 sensitive 10 5 1"].map(str::to_owned);
        let root = members_root(&[7; 32], lines().into_iter());
        let leaf = |place: usize| {
            let salts = Mac::new(&[7; 32]);
            let field = format!("member/{place}");
            let digest = digest_of(&field, &salts, &lines()[place]);
            assert_eq!(hex(&digest), commitment(&field, &[7; 32], &lines()[place]));
            leaf_hash(&digest)
        };
        assert_eq!(root, node_hash(&leaf(0), &leaf(1)));
        assert_ne!(root, members_root(&[8; 32], lines().into_iter()), "the salts count");
        assert_ne!(
            root,
            members_root(&[7; 32], lines().into_iter().rev()),
            "the order counts"
        );
    }
}

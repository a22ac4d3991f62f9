//! What an entry about a file of many members commits to: the share of each.
//!
//! Pure. A share can be shown to be in the file without showing another one: with its line, its salt, and the leaves of the others, which tell
//! nothing about them. Each has a salt of its own: without the line and the salt of an erased share nobody can open it, or try out what it was,
//! and its leaf still stands for it.

use super::canonical::digest_of;
use super::tree::{TreeHash, leaf_hash, root_of};
use crate::secret::Mac;

/// The leaf of the member at this place of a file: over the commitment to the line, as to a field `member/<place>` under `salt`.
pub fn member_leaf(place: i64, salt: &[u8; 32], line: &str) -> TreeHash {
    leaf_hash(&digest_of(&format!("member/{place}"), &Mac::new(salt), line))
}

/// The root of the tree of RFC 6962 over the leaves of the members of a file, in their order.
pub fn members_root(leaves: &[TreeHash]) -> TreeHash {
    root_of(leaves)
}

#[cfg(test)]
mod tests {
    use super::super::commitment;
    use super::super::tree::node_hash;
    use super::*;
    use crate::secret::hex;

    #[test]
    fn the_root_is_over_salted_commitments_in_order() {
        let lines = ["ana c-1 regular 0 10 1", "ben c-2 sensitive 10 5 1"];
        let [ana, ben] = [0, 1].map(|place| member_leaf(place as i64, &[7; 32], lines[place]));
        for (place, leaf) in [ana, ben].into_iter().enumerate() {
            let field = format!("member/{place}");
            let digest = digest_of(&field, &Mac::new(&[7; 32]), lines[place]);
            assert_eq!(hex(&digest), commitment(&field, &[7; 32], lines[place]));
            assert_eq!(leaf, leaf_hash(&digest));
        }
        assert_eq!(members_root(&[ana, ben]), node_hash(&ana, &ben));
        assert_ne!(ana, member_leaf(0, &[8; 32], lines[0]), "the salt counts");
        assert_ne!(ana, member_leaf(1, &[7; 32], lines[0]), "the place counts");
    }
}

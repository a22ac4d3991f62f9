//! The proofs of a packet: one C2SP `tlog-proof` for each entry, each whole by itself.

use crate::audit::tree::TreeHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const HEAD: &str = "c2sp.org/tlog-proof@v1\n";

/// The proof that an entry has this index in the tree that a checkpoint signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// The index.
    pub index: u64,
    /// The hashes of the path, from the leaf on.
    pub path: Vec<TreeHash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

/// The file with the proof of an entry.
pub fn proof_path(index: u64) -> String {
    format!("proofs/{index}.tlog-proof")
}

impl TlogProof {
    /// The text, as the specification has it.
    pub fn text(&self) -> String {
        let path: String = self
            .path
            .iter()
            .map(|hash| format!("{}\n", STANDARD.encode(hash)))
            .collect();
        format!("{HEAD}index {}\n{path}\n{}", self.index, self.checkpoint)
    }

    /// Reads what [`TlogProof::text`] wrote; `None` when it is not that.
    pub fn read(text: &str) -> Option<TlogProof> {
        let (own, checkpoint) = text.strip_prefix(HEAD)?.split_once("\n\n")?;
        let mut lines = own.split('\n');
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok();
        let read = TlogProof {
            index,
            path: lines.map(hash).collect::<Option<_>>()?,
            checkpoint: checkpoint.to_owned(),
        };
        (read.text() == text).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_read_as_it_was_written_and_no_other_text_is() {
        for path in [Vec::new(), vec![[1; 32], [2; 32]]] {
            let proof = TlogProof {
                index: 12,
                path,
                checkpoint: "a\n13\nb\n\n\u{2014} a c\n".to_owned(),
            };
            assert_eq!(TlogProof::read(&proof.text()), Some(proof.clone()));
            for broken in ["", "index 12", &proof.text().replace("index 12", "index 012")] {
                assert_eq!(TlogProof::read(broken), None, "{broken}");
            }
        }
    }
}

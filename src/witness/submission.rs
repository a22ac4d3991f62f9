//! The body of an `add-checkpoint` request: the size that the witness confirmed last, a proof that the new tree extends that one, and the
//! new checkpoint.
//!
//! Pure.

use crate::audit::tree::TreeHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Most hashes of a proof.
const PROOF_MOST: usize = 63;

/// A request to confirm a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Number of entries of the checkpoint that the witness is thought to have confirmed last; 0 for none.
    pub old: u64,
    /// The proof that the new tree extends that one.
    pub proof: Vec<TreeHash>,
    /// The signed note of the new checkpoint.
    pub note: String,
}

impl Submission {
    /// Reads a body; `None` when it is not written as the specification says.
    pub fn read(body: &[u8]) -> Option<Submission> {
        let (head, note) = std::str::from_utf8(body).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let size = lines.next()?.strip_prefix("old ")?;
        let old: u64 = size.parse().ok()?;
        if old.to_string() != size {
            return None;
        }
        let proof: Vec<TreeHash> = lines
            .map(|line| STANDARD.decode(line).ok()?.try_into().ok())
            .collect::<Option<_>>()?;
        (proof.len() <= PROOF_MOST).then(|| Submission {
            old,
            proof,
            note: note.to_owned(),
        })
    }

    /// The body.
    pub fn text(&self) -> String {
        let proof: String = self
            .proof
            .iter()
            .map(|hash| format!("{}\n", STANDARD.encode(hash)))
            .collect();
        format!("old {}\n{proof}\n{}", self.old, self.note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_its_text_and_nothing_else_is_one() {
        let note = "payer.example/audit/1\n7\nVlVr9YkYhVdE7oP1b9oYxOZ6Uo7Gf0S1ZrJkz4m2Q3s=\n\n\u{2014} x y\n";
        for proof in [vec![], vec![[1; 32], [2; 32]]] {
            let asked = Submission {
                old: 5,
                proof,
                note: note.to_owned(),
            };
            assert_eq!(Submission::read(asked.text().as_bytes()), Some(asked));
        }
        let hash = STANDARD.encode([0; 32]);
        for wrong in [
            String::new(),
            format!("old 05\n\n{note}"),
            format!("old -1\n\n{note}"),
            format!("old +1\n\n{note}"),
            format!("size 5\n\n{note}"),
            format!("old 5\nAAAA\n\n{note}"),
            format!("old 5\n{}\n{note}", format!("{hash}\n").repeat(PROOF_MOST + 1)),
            "old 5\n".to_owned(),
        ] {
            assert_eq!(Submission::read(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}

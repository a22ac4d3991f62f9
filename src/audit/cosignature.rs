//! Cosignatures: how a witness confirms that it has seen a checkpoint, and that the checkpoint extends all that it has seen before (C2SP
//! `tlog-cosignature`, with Ed25519).
//!
//! Pure: whoever has the private key signs.

use super::note::{Checkpoint, SignatureLine, key_hash, key_text, parts, read_key, signature_line};
use crate::secret::ed25519::is_signed;

/// The type of a cosignature by an Ed25519 key.
const COSIGNATURE: u8 = 4;

/// The public key of a witness, with its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WitnessKey {
    /// The name of the witness.
    pub name: String,
    /// The Ed25519 key.
    pub public: [u8; 32],
}

/// What the lines of a note say of one witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessWord {
    /// It confirms the checkpoint; the time of its clock, seconds since 1970.
    Confirmed(u64),
    /// A line claims to be its own, and is not.
    Forged,
    /// It says nothing.
    Silent,
}

/// What a witness signs: the text of the checkpoint, under its own heading and time.
fn message(text: &str, at_s: u64) -> String {
    format!("cosignature/v1\ntime {at_s}\n{text}")
}

impl WitnessKey {
    /// The key as the specification writes it: name, key hash, and key.
    pub fn text(&self) -> String {
        key_text(&self.name, COSIGNATURE, &self.public)
    }

    /// Reads what [`WitnessKey::text`] wrote; `None` when it is not that.
    pub fn parse(text: &str) -> Option<WitnessKey> {
        let (name, public) = read_key(text, COSIGNATURE)?;
        Some(WitnessKey { name, public })
    }

    /// The line that confirms a checkpoint, with its newline. `sign` signs with the private key.
    pub fn line(&self, checkpoint: &Checkpoint, at_s: u64, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let signature = sign(message(&checkpoint.text(), at_s).as_bytes());
        let signed = [at_s.to_be_bytes().as_slice(), &signature].concat();
        let hash = key_hash(&self.name, COSIGNATURE, &self.public);
        signature_line(&self.name, hash, &signed)
    }

    /// What a note says of this witness. Lines of others are ignored.
    pub fn word(&self, note: &str) -> WitnessWord {
        let Some((text, signatures)) = parts(note) else {
            return WitnessWord::Silent;
        };
        let hash = key_hash(&self.name, COSIGNATURE, &self.public);
        let mut word = WitnessWord::Silent;
        for line in signatures.split('\n').filter_map(SignatureLine::read) {
            if line.name != self.name || line.hash != hash {
                continue;
            }
            let said = line.signature.split_first_chunk::<8>().and_then(|(at, signature)| {
                let at_s = u64::from_be_bytes(*at);
                is_signed(&self.public, message(&text, at_s).as_bytes(), signature).then_some(at_s)
            });
            match said {
                Some(at_s) => return WitnessWord::Confirmed(at_s),
                None => word = WitnessWord::Forged,
            }
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::LogKey;
    use crate::secret::ed25519::Ed25519Key;

    #[test]
    fn a_cosignature_confirms_one_checkpoint_and_no_other() {
        let (signing, _) = Ed25519Key::make().expect("a key");
        let key = WitnessKey {
            name: "witness.example/w1".to_owned(),
            public: signing.public(),
        };
        assert_eq!(WitnessKey::parse(&key.text()), Some(key.clone()));
        assert_eq!(LogKey::parse(&key.text()), None, "a key of another kind");
        let (log, _) = Ed25519Key::make().expect("a key");
        let log_key = LogKey {
            name: "payer.example/audit/1".to_owned(),
            public: log.public(),
        };
        let of = |size| {
            let checkpoint = Checkpoint {
                origin: log_key.name.clone(),
                size,
                root: [7; 32],
            };
            let note = log_key.note(&checkpoint, &log.sign(checkpoint.text().as_bytes()));
            (checkpoint, note)
        };
        let (checkpoint, note) = of(300);
        let line = key.line(&checkpoint, 1_800_000_000, |bytes| signing.sign(bytes));
        let both = format!("{note}{line}");
        assert_eq!(key.word(&both), WitnessWord::Confirmed(1_800_000_000));
        assert_eq!(
            log_key.open(&both),
            Ok(checkpoint),
            "the log's own signature still counts"
        );
        assert_eq!(key.word(&note), WitnessWord::Silent);
        assert_eq!(key.word(&format!("{}{line}", of(301).1)), WitnessWord::Forged);
        let other = WitnessKey {
            name: "witness.example/w2".to_owned(),
            ..key.clone()
        };
        assert_eq!(other.word(&both), WitnessWord::Silent);
        assert_eq!(
            key.word(&format!("{both}{line}")),
            WitnessWord::Confirmed(1_800_000_000)
        );
        assert_eq!(key.word(""), WitnessWord::Silent);
    }

    #[test]
    fn the_cosignature_of_the_specification_has_its_time() {
        let line = "\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
        let read = SignatureLine::read(line).expect("a line");
        assert_eq!((read.name, read.signature.len()), ("witness.example.com/w1", 72));
        assert_eq!(read.signature[..8], 1_679_315_147_u64.to_be_bytes());
    }
}

//! Checkpoints of the ledger as C2SP signed notes: their text, the keys that sign them, and reading them.
//!
//! Pure: whoever has the private key signs.

use super::tree::TreeHash;
use crate::secret::ed25519::is_signed;
use crate::secret::{hex, sha256_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The type of an Ed25519 signature in a note, before its public key.
const ED25519: u8 = 1;
/// With this begins each line of a signature.
const DASH: &str = "\u{2014} ";

/// Most bytes of a note that comes from others.
pub const NOTE_MOST: usize = 4_096;

/// What a checkpoint says: a log, and size and root of its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log.
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
}

/// The public key of a log, with the name that its signatures have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// The name; also the origin of the checkpoints.
    pub name: String,
    /// The Ed25519 key.
    pub public: [u8; 32],
}

/// Why a note is no checkpoint of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteDefect {
    /// It is not written as a signed checkpoint is.
    Malformed,
    /// It is of another log.
    OtherLog,
    /// It has no signature by this key.
    NotSigned,
    /// The signature is not that of the text.
    WrongSignature,
}

impl NoteDefect {
    /// What to tell people.
    pub fn text(self) -> &'static str {
        match self {
            NoteDefect::Malformed => "the checkpoint is not a signed checkpoint",
            NoteDefect::OtherLog => "the checkpoint is of another log",
            NoteDefect::NotSigned => "the checkpoint is not signed by this key",
            NoteDefect::WrongSignature => "the signature of the checkpoint is wrong",
        }
    }
}

impl Checkpoint {
    /// The text that is signed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// What a note of somebody else says, whoever signed it: for a record, never for a decision. `None` when it is too long, or not written as
    /// a signed checkpoint is.
    pub fn unverified(note: &str) -> Option<Checkpoint> {
        let is_plain = note.chars().all(|letter| letter == '\n' || !letter.is_control());
        if note.len() > NOTE_MOST || !is_plain {
            return None;
        }
        let (text, signatures) = parts(note)?;
        signatures
            .split('\n')
            .all(|line| SignatureLine::read(line).is_some())
            .then(|| Checkpoint::parse(&text))?
    }

    fn parse(text: &str) -> Option<Checkpoint> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok()?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        let is_size = number.to_string() == size && i64::try_from(number).is_ok();
        let is_plain = is_size && !origin.is_empty() && lines.all(|line| !line.is_empty());
        is_plain.then(|| Checkpoint {
            origin: origin.to_owned(),
            size: number,
            root,
        })
    }
}

/// The key hash, which stands before each signature. `kind` is the type of the signatures of the key.
pub(super) fn key_hash(name: &str, kind: u8, public: &[u8; 32]) -> [u8; 4] {
    let digest = sha256_of(&[name.as_bytes(), b"\n", &[kind], public]);
    [digest[0], digest[1], digest[2], digest[3]]
}

/// A key as the specification writes it.
pub(super) fn key_text(name: &str, kind: u8, public: &[u8; 32]) -> String {
    let hash = hex(&key_hash(name, kind, public));
    let key = [&[kind], public.as_slice()].concat();
    format!("{name}+{hash}+{}", STANDARD.encode(key))
}

/// Reads what [`key_text`] wrote, with a key of this type: its name and the key.
pub(super) fn read_key(text: &str, kind: u8) -> Option<(String, [u8; 32])> {
    let mut parts = text.trim().splitn(3, '+');
    let (name, hash, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = STANDARD.decode(key).ok()?;
    let (found, public) = key.split_first()?;
    let public: [u8; 32] = public.try_into().ok()?;
    let is_whole = *found == kind && !name.is_empty() && hex(&key_hash(name, kind, &public)) == hash;
    is_whole.then(|| (name.to_owned(), public))
}

/// The line of a signature, with its newline.
pub(super) fn signature_line(name: &str, hash: [u8; 4], signature: &[u8]) -> String {
    let signed = STANDARD.encode([hash.as_slice(), signature].concat());
    format!("{DASH}{name} {signed}\n")
}

/// The text of a note with its last newline, and the lines of its signatures without theirs.
pub(super) fn parts(note: &str) -> Option<(String, &str)> {
    let (text, signatures) = note.rsplit_once("\n\n")?;
    Some((format!("{text}\n"), signatures.strip_suffix('\n')?))
}

/// A line with a signature.
pub(super) struct SignatureLine<'n> {
    /// Who signed, by name.
    pub name: &'n str,
    /// The hash of the key.
    pub hash: [u8; 4],
    /// The signature.
    pub signature: Vec<u8>,
}

impl SignatureLine<'_> {
    /// Reads a line without its newline.
    pub fn read(line: &str) -> Option<SignatureLine<'_>> {
        let (name, signed) = line.strip_prefix(DASH)?.split_once(' ')?;
        let signed = STANDARD.decode(signed).ok()?;
        let (hash, signature) = signed.split_first_chunk::<4>()?;
        Some(SignatureLine {
            name,
            hash: *hash,
            signature: signature.to_vec(),
        })
    }
}

impl LogKey {
    fn hash(&self) -> [u8; 4] {
        key_hash(&self.name, ED25519, &self.public)
    }

    /// The key as the specification writes it: name, key hash, and key.
    pub fn text(&self) -> String {
        key_text(&self.name, ED25519, &self.public)
    }

    /// Reads what [`LogKey::text`] wrote; `None` when it is not that.
    pub fn parse(text: &str) -> Option<LogKey> {
        let (name, public) = read_key(text, ED25519)?;
        Some(LogKey { name, public })
    }

    /// The note of a checkpoint with its signature.
    pub fn note(&self, checkpoint: &Checkpoint, signature: &[u8]) -> String {
        self.signed(&checkpoint.text(), signature)
    }

    /// Reads a note, and checks its signature by this key. Signatures by other keys are ignored.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteDefect> {
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteDefect::Malformed)?;
        let text = format!("{text}\n");
        let checkpoint = Checkpoint::parse(&text).ok_or(NoteDefect::Malformed)?;
        if checkpoint.origin != self.name {
            return Err(NoteDefect::OtherLog);
        }
        self.demand_signed(&text, signatures)?;
        Ok(checkpoint)
    }

    /// A note of this text with its signature. The text ends with a newline, and is not that of a checkpoint.
    pub fn signed(&self, text: &str, signature: &[u8]) -> String {
        let line = signature_line(&self.name, self.hash(), signature);
        format!("{text}\n{line}")
    }

    /// Checks that the lines after a text sign it by this key. Signatures by other keys are ignored.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn demand_signed(&self, text: &str, signatures: &str) -> Result<(), NoteDefect> {
        let signatures = signatures.strip_suffix('\n').ok_or(NoteDefect::Malformed)?;
        for line in signatures.split('\n') {
            let signed = SignatureLine::read(line).ok_or(NoteDefect::Malformed)?;
            if signed.name == self.name && signed.hash == self.hash() {
                return match is_signed(&self.public, text.as_bytes(), &signed.signature) {
                    true => Ok(()),
                    false => Err(NoteDefect::WrongSignature),
                };
            }
        }
        Err(NoteDefect::NotSigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ed25519::Ed25519Key;

    #[test]
    fn the_key_of_the_specification_is_read_and_written() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = LogKey::parse(text).expect("a key");
        assert_eq!((key.name.as_str(), key.text().as_str()), ("PeterNeumann", text));
        assert_eq!(LogKey::parse(&text.replace("c74f", "c74e")), None);
    }

    #[test]
    fn a_note_is_opened_by_its_key_and_not_when_a_byte_changed() {
        let (signing, _) = Ed25519Key::make().expect("a key");
        let key = LogKey {
            name: "payer.example/audit/1".to_owned(),
            public: signing.public(),
        };
        let checkpoint = Checkpoint {
            origin: key.name.clone(),
            size: 300,
            root: [7; 32],
        };
        let note = key.note(&checkpoint, &signing.sign(checkpoint.text().as_bytes()));
        assert_eq!(key.open(&note), Ok(checkpoint));
        assert_eq!(
            key.open(&note.replace("\n300\n", "\n301\n")),
            Err(NoteDefect::WrongSignature)
        );
        assert_eq!(
            key.open(&note.replace("payer.example/audit/1\n3", "other\n3")),
            Err(NoteDefect::OtherLog)
        );
        let (other, _) = Ed25519Key::make().expect("a key");
        let other = LogKey {
            public: other.public(),
            ..key.clone()
        };
        assert_eq!(other.open(&note), Err(NoteDefect::NotSigned));
        for broken in ["", "\n\n", &note[..note.len() - 2], &note.replace("\n\n", "\n")] {
            assert!(key.open(broken).is_err(), "{broken:?}");
            assert_eq!(Checkpoint::unverified(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn a_note_of_somebody_else_is_read_if_it_is_short_and_plain() {
        let signed = "payer.example/audit/1\n7\nVlVr9YkYhVdE7oP1b9oYxOZ6Uo7Gf0S1ZrJkz4m2Q3s=\n\n\u{2014} payer.example/audit/1 q83vEjRWeJ8=\n";
        let read = Checkpoint::unverified(signed).expect("a checkpoint");
        assert_eq!((read.origin.as_str(), read.size), ("payer.example/audit/1", 7));
        let longer = signed.replacen('\n', &"x".repeat(NOTE_MOST), 1);
        for other in [
            longer.as_str(),
            &signed.replace("/1\n7", "/\u{1b}[2J\n7"),
            &signed.replace("\n7\n", "\n07\n"),
            &signed.replace("\u{2014} ", "- "),
            &signed[..signed.len() - 1],
        ] {
            assert_eq!(Checkpoint::unverified(other), None, "{other:?}");
        }
    }
}

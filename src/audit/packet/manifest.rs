//! The manifest of a packet: which files it has, with their digests, and the note by which the key of the log signs it.

use super::archive::PackedFile;
use crate::audit::note::{Checkpoint, LogKey, NoteDefect};
use crate::secret::{hex, sha256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The name of this form of packets; also the first line of what is signed, so that nothing that is signed here reads as a checkpoint.
pub const SCHEMA: &str = "causeway-evidence-packet/1";
/// The file of the manifest; the first of a packet.
pub const MANIFEST: &str = "manifest.json";
/// The file of its signature; the second one.
pub const SIGNED: &str = "manifest.note";
/// The file of the signed checkpoint.
pub const CHECKPOINT: &str = "checkpoint";
/// The file of the entries: the bytes of each on a line.
pub const ENTRIES: &str = "entries.jsonl";

/// What a packet has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketManifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program that made it.
    pub software: String,
    /// The name of the log.
    pub origin: String,
    /// The checkpoint that covers all entries of the packet.
    pub checkpoint: ManifestCheckpoint,
    /// What was asked for.
    pub scope: Value,
    /// When the last entry was written that the checkpoint covers: rows beside the ledger are told as they were then.
    pub as_of: String,
    /// How many entries it has.
    pub entries: u64,
    /// How many values of its entries it opens; none when it was not asked for with them.
    #[serde(default)]
    pub opened: Option<u64>,
    /// Its files in their order, but for the manifest and its signature.
    pub files: Vec<ListedFile>,
}

/// The checkpoint of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestCheckpoint {
    /// How many entries the log had.
    pub size: u64,
    /// The root over them, hexadecimal.
    pub root: String,
}

impl From<&Checkpoint> for ManifestCheckpoint {
    fn from(checkpoint: &Checkpoint) -> ManifestCheckpoint {
        ManifestCheckpoint {
            size: checkpoint.size,
            root: hex(&checkpoint.root),
        }
    }
}

/// A file of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

impl From<&PackedFile> for ListedFile {
    fn from(file: &PackedFile) -> ListedFile {
        ListedFile {
            path: file.path.clone(),
            bytes: file.bytes.len() as u64,
            sha256: hex(&sha256(&file.bytes)),
        }
    }
}

impl PacketManifest {
    /// The bytes of the file; `None` when the scope has no JSON.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}

/// The text that is signed for these bytes of a manifest: the schema, the name of the log, and the digest.
pub fn manifest_text(origin: &str, manifest: &[u8]) -> String {
    format!("{SCHEMA}\n{origin}\n{}\n", STANDARD.encode(sha256(manifest)))
}

/// Checks that a note signs these bytes of a manifest by this key, and says nothing else.
///
/// # Errors
/// What is wrong with it.
pub fn demand_signed(key: &LogKey, note: &str, manifest: &[u8]) -> Result<(), NoteDefect> {
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteDefect::Malformed)?;
    let mut lines = text.split('\n');
    if lines.next() != Some(SCHEMA) || signatures.matches('\n').count() != 1 {
        return Err(NoteDefect::Malformed);
    }
    if lines.next() != Some(key.name.as_str()) {
        return Err(NoteDefect::OtherLog);
    }
    let expected = manifest_text(&key.name, manifest);
    if format!("{text}\n") != expected {
        return Err(NoteDefect::WrongSignature);
    }
    key.demand_signed(&expected, signatures)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::ed25519::Ed25519Key;

    #[test]
    fn a_manifest_is_signed_by_its_log_and_by_no_other() {
        let (signing, _) = Ed25519Key::make().expect("a key");
        let key = LogKey {
            name: "payer.example/audit/1".to_owned(),
            public: signing.public(),
        };
        let text = manifest_text(&key.name, b"{}\n");
        let note = key.signed(&text, &signing.sign(text.as_bytes()));
        assert_eq!(demand_signed(&key, &note, b"{}\n"), Ok(()));
        assert_eq!(demand_signed(&key, &note, b"{} "), Err(NoteDefect::WrongSignature));
        assert_eq!(Checkpoint::unverified(&note), None, "it never reads as a checkpoint");
        assert!(key.open(&note).is_err());
        let other = LogKey {
            name: "payer.example/audit/2".to_owned(),
            ..key.clone()
        };
        assert_eq!(demand_signed(&other, &note, b"{}\n"), Err(NoteDefect::OtherLog));
        let (stranger, _) = Ed25519Key::make().expect("a key");
        let stranger = LogKey {
            public: stranger.public(),
            ..key.clone()
        };
        assert_eq!(demand_signed(&stranger, &note, b"{}\n"), Err(NoteDefect::NotSigned));
        for at in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(demand_signed(&key, &changed, b"{}\n").is_err(), "byte {at}");
            }
        }
    }
}

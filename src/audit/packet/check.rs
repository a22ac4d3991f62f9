//! Checks a packet with nothing but the public key of its log: every byte is signed, and every entry is in the tree of the checkpoint.

use super::archive::{ArchiveDefect, PackedFile, unpack};
use super::manifest::{CHECKPOINT, ENTRIES, ListedFile, MANIFEST, PacketManifest, SCHEMA, SIGNED, demand_signed};
use super::opened::{OPENED, demand_opened};
use super::proofs::{TlogProof, proof_path};
use crate::audit::cosignature::WitnessKey;
use crate::audit::note::{Checkpoint, LogKey, NoteDefect};
use crate::audit::tree::{leaf_hash, proof};
use crate::audit::verdict::{LedgerResult, WitnessSaid, newest_word};
use crate::clock::rfc3339_ms;
use crate::secret::hex;
use serde::Serialize;

/// What checking a packet found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PacketVerdict {
    /// The result.
    pub result: LedgerResult,
    /// The name of the log.
    pub origin: String,
    /// How many entries the packet has.
    pub entries: u64,
    /// How many values of its entries it opens; none when it was not asked for with them.
    pub opened: Option<u64>,
    /// How many files its manifest lists.
    pub files: u64,
    /// How many entries the checkpoint covers.
    pub checkpoint: Option<u64>,
    /// The root that it signs.
    pub root: Option<String>,
    /// How many entries the checkpoint covers that it was compared with.
    pub against: Option<u64>,
    /// How many entries the checkpoint covers that the witness confirmed, if a witness was asked for.
    pub witnessed: Option<u64>,
    /// When the witness confirmed it, by its own clock.
    pub witnessed_at: Option<String>,
    /// The first file that is not as it was signed.
    pub bad_file: Option<String>,
    /// The index of the first entry that is not proved.
    pub first_bad: Option<u64>,
    /// What is wrong.
    pub why: Option<String>,
}

/// What is wrong with a packet, and where.
struct Wrong {
    result: LedgerResult,
    file: Option<String>,
    index: Option<u64>,
    why: String,
}

impl Wrong {
    fn new(result: LedgerResult, why: impl Into<String>) -> Wrong {
        Wrong {
            result,
            file: None,
            index: None,
            why: why.into(),
        }
    }

    fn tampered(why: impl Into<String>) -> Wrong {
        Wrong::new(LedgerResult::Tampered, why)
    }

    fn incomplete(why: impl Into<String>) -> Wrong {
        Wrong::new(LedgerResult::Incomplete, why)
    }

    fn in_file(self, path: &str) -> Wrong {
        Wrong {
            file: Some(path.to_owned()),
            ..self
        }
    }

    fn at(self, index: u64) -> Wrong {
        Wrong {
            index: Some(index),
            ..self
        }
    }
}

/// Checks the bytes of a packet with the public key of its log; if given, also against a checkpoint of this log that was kept elsewhere, and
/// for the cosignature of a witness.
pub fn verify_packet(
    bytes: &[u8],
    key: &LogKey,
    against: Option<&Checkpoint>,
    witness: Option<&WitnessKey>,
) -> PacketVerdict {
    let mut verdict = PacketVerdict {
        result: LedgerResult::Ok,
        origin: key.name.clone(),
        entries: 0,
        opened: None,
        files: 0,
        checkpoint: None,
        root: None,
        against: against.map(|against| against.size),
        witnessed: None,
        witnessed_at: None,
        bad_file: None,
        first_bad: None,
        why: None,
    };
    if let Err(wrong) = look(bytes, key, (against, witness), &mut verdict) {
        verdict.result = wrong.result;
        verdict.bad_file = wrong.file;
        verdict.first_bad = wrong.index;
        verdict.why = Some(wrong.why);
    }
    verdict
}

fn look(
    bytes: &[u8],
    key: &LogKey,
    (against, witness): (Option<&Checkpoint>, Option<&WitnessKey>),
    verdict: &mut PacketVerdict,
) -> Result<(), Wrong> {
    let files = unpack(bytes).map_err(container)?;
    let (manifest, files) = signed_manifest(&files, key)?;
    verdict.files = manifest.files.len() as u64;
    demand_files(&manifest.files, files)?;
    let note = text_of(find(files, CHECKPOINT)?)?;
    let signed = key
        .open(note)
        .map_err(|defect| Wrong::tampered(defect.text()).in_file(CHECKPOINT))?;
    (verdict.checkpoint, verdict.root) = (Some(signed.size), Some(hex(&signed.root)));
    let told = &manifest.checkpoint;
    if (told.size, told.root.as_str()) != (signed.size, hex(&signed.root).as_str()) || manifest.origin != key.name {
        return Err(Wrong::tampered("the manifest names another checkpoint than the packet has").in_file(MANIFEST));
    }
    let entries = proved(files, &signed, note)?;
    verdict.entries = entries.len() as u64;
    if verdict.entries != manifest.entries {
        return Err(
            Wrong::tampered("the packet has another number of entries than its manifest says").in_file(ENTRIES),
        );
    }
    opened(files, manifest.opened, &entries)?;
    verdict.opened = manifest.opened;
    if let Some(against) = against {
        compare(&signed, against)?;
    }
    match witness.map(|witness| newest_word(key, witness, &[note.to_owned()])) {
        None => Ok(()),
        Some(WitnessSaid::Confirmed(checkpoint, at_s)) => {
            verdict.witnessed = Some(checkpoint.size);
            let at_ms = i64::try_from(at_s).unwrap_or(i64::MAX).saturating_mul(1000);
            verdict.witnessed_at = Some(rfc3339_ms(at_ms));
            Ok(())
        }
        Some(WitnessSaid::Forged) => {
            Err(Wrong::tampered("a line claims to be the cosignature of the witness, and is not").in_file(CHECKPOINT))
        }
        Some(WitnessSaid::Nothing) => {
            Err(Wrong::incomplete("there is no cosignature of the witness").in_file(CHECKPOINT))
        }
    }
}

fn container(defect: ArchiveDefect) -> Wrong {
    let (wrong, file) = match defect {
        ArchiveDefect::Truncated(file) => (Wrong::incomplete("the packet is cut off"), file),
        ArchiveDefect::Altered(file) => (Wrong::tampered("the packet is not an archive as it is packed"), file),
    };
    Wrong { file, ..wrong }
}

/// The manifest, if the key of the log signed it, and the files after it and its signature.
fn signed_manifest<'f>(files: &'f [PackedFile], key: &LogKey) -> Result<(PacketManifest, &'f [PackedFile]), Wrong> {
    let [manifest, note, rest @ ..] = files else {
        return Err(Wrong::incomplete("the packet has no manifest").in_file(MANIFEST));
    };
    for (file, path) in [(manifest, MANIFEST), (note, SIGNED)] {
        if file.path != path {
            let why = format!("{} stands in the place of {path}", file.path);
            return Err(Wrong::tampered(why).in_file(&file.path));
        }
    }
    demand_signed(key, text_of(note)?, &manifest.bytes).map_err(|defect| {
        let why = match defect {
            NoteDefect::Malformed => "the signature of the manifest does not read",
            NoteDefect::OtherLog => "the packet is of another log",
            NoteDefect::NotSigned => "the manifest is not signed by this key",
            NoteDefect::WrongSignature => "the signature of the manifest is wrong",
        };
        Wrong::tampered(why).in_file(SIGNED)
    })?;
    let read: Option<PacketManifest> = serde_json::from_slice(&manifest.bytes).ok();
    match read {
        Some(read) if read.schema == SCHEMA => Ok((read, rest)),
        _ => Err(Wrong::incomplete("the manifest is of a form that is not known here").in_file(MANIFEST)),
    }
}

/// Checks that the packet has exactly these files.
fn demand_files(expected: &[ListedFile], files: &[PackedFile]) -> Result<(), Wrong> {
    for (expected, file) in expected.iter().zip(files) {
        if *expected != ListedFile::from(file) {
            let why = match expected.path == file.path {
                true => format!("{} is not the file that was signed", file.path),
                false => format!("{} stands in the place of {}", file.path, expected.path),
            };
            return Err(Wrong::tampered(why).in_file(&file.path));
        }
    }
    if let Some(missing) = expected.get(files.len()) {
        return Err(Wrong::incomplete(format!("{} is missing", missing.path)).in_file(&missing.path));
    }
    match files.get(expected.len()) {
        Some(more) => Err(Wrong::tampered(format!("{} is not in the manifest", more.path)).in_file(&more.path)),
        None => Ok(()),
    }
}

fn find<'f>(files: &'f [PackedFile], path: &str) -> Result<&'f PackedFile, Wrong> {
    let found = files.iter().find(|file| file.path == path);
    found.ok_or_else(|| Wrong::incomplete(format!("{path} is missing")).in_file(path))
}

fn text_of(file: &PackedFile) -> Result<&str, Wrong> {
    std::str::from_utf8(&file.bytes)
        .map_err(|_| Wrong::tampered(format!("{} is not text", file.path)).in_file(&file.path))
}

/// Checks that each entry has a proof, and each proof an entry. Returns the entries with their indexes.
fn proved<'f>(files: &'f [PackedFile], signed: &Checkpoint, note: &str) -> Result<Vec<(u64, &'f [u8])>, Wrong> {
    let entries = find(files, ENTRIES)?;
    let mut lines: Vec<&'f [u8]> = entries.bytes.split(|byte| *byte == b'\n').collect();
    if lines.pop() != Some(b"") {
        return Err(Wrong::incomplete("the last entry is cut off").in_file(ENTRIES));
    }
    let proofs: Vec<&PackedFile> = files.iter().filter(|file| file.path.starts_with("proofs/")).collect();
    let mut found: Vec<(u64, &'f [u8])> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let Some(file) = proofs.get(place) else {
            return Err(Wrong::incomplete(format!("entry {} of the packet has no proof", place + 1)).in_file(ENTRIES));
        };
        let wrong = |why: &str| Wrong::tampered(format!("{}: {why}", file.path)).in_file(&file.path);
        let read = TlogProof::read(text_of(file)?).ok_or_else(|| wrong("it is no proof"))?;
        let index = read.index;
        if file.path != proof_path(index) || found.last().is_some_and(|(last, _)| index <= *last) {
            return Err(wrong("its index is not in its place").at(index));
        }
        if read.checkpoint != note {
            return Err(wrong("it is a proof for another checkpoint").at(index));
        }
        if !proof::includes(&signed.root, signed.size, index, &leaf_hash(line), &read.path) {
            return Err(wrong("the ledger does not have this entry in this place").at(index));
        }
        found.push((index, *line));
    }
    match proofs.get(lines.len()) {
        Some(more) => Err(Wrong::tampered(format!("{} proves no entry of the packet", more.path)).in_file(&more.path)),
        None => Ok(found),
    }
}

/// Checks that each value that the packet opens is the one to which its entry is committed.
fn opened(files: &[PackedFile], expected: Option<u64>, entries: &[(u64, &[u8])]) -> Result<(), Wrong> {
    let Some(expected) = expected else {
        return match files.iter().any(|file| file.path == OPENED) {
            true => Err(Wrong::tampered("the manifest does not say that values are opened").in_file(OPENED)),
            false => Ok(()),
        };
    };
    let text = text_of(find(files, OPENED)?)?;
    demand_opened(text, expected, entries).map_err(|defect| Wrong {
        index: defect.index,
        ..Wrong::tampered(defect.why).in_file(OPENED)
    })
}

/// Compares the checkpoint with one that was kept elsewhere. Only one of the same size can be compared without the rest of the ledger.
fn compare(signed: &Checkpoint, against: &Checkpoint) -> Result<(), Wrong> {
    if signed.size != against.size {
        let (older, newer) = (signed.size.min(against.size), signed.size.max(against.size));
        let why = format!(
            "the kept checkpoint covers {} entries, and that of the packet {}: only `audit consistency {older} {newer}`, or an \
             export, can show that one extends the other",
            against.size, signed.size
        );
        return Err(Wrong::incomplete(why).in_file(CHECKPOINT));
    }
    match signed.root == against.root {
        true => Ok(()),
        false => {
            let why = "the checkpoint that it is compared with has another root: the ledger has two histories";
            Err(Wrong::new(LedgerResult::Forked, why).in_file(CHECKPOINT))
        }
    }
}

//! Evidence packets in memory: whatever is changed in one, our verifier and the one in Python find it, and say the same.
//!
//! `CAUSEWAY_TEST_SEED` sets the first seed, which is printed.

use super::{Log, PythonBatch, numbered};
use causeway::audit::commitment;
use causeway::audit::note::{Checkpoint, LogKey};
use causeway::audit::packet::archive::{PackedFile, pack, unpack};
use causeway::audit::packet::check::{PacketVerdict, verify_packet};
use causeway::audit::packet::manifest::{
    CHECKPOINT, ENTRIES, ListedFile, MANIFEST, PacketManifest, SCHEMA, SIGNED, manifest_text,
};
use causeway::audit::packet::opened::{OPENED, OpenedValue};
use causeway::audit::packet::proofs::{TlogProof, proof_path};
use causeway::audit::tree::proof::{TileSource, inclusion};
use causeway::audit::tree::tiles::TileAt;
use causeway::audit::tree::{TreeHash, leaf_hash};
use causeway::audit::verify::LedgerResult;
use causeway::error::Failure;
use causeway::jobs::Chance;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Entries of the ledger, all in one tile, and those that the packet has.
const SIZE: usize = 200;
const CHOSEN: [u64; 4] = [0, 7, 128, 199];

struct Leaves(Vec<TreeHash>);

impl TileSource for Leaves {
    fn tile(&mut self, at: TileAt) -> Result<Vec<TreeHash>, Failure> {
        assert_eq!((at.level, at.n), (0, 0), "one tile has them all");
        Ok(self.0[..at.width].to_vec())
    }
}

/// The files of a packet but for its manifest.
fn files(log: &Log, entries: &[Vec<u8>]) -> (Checkpoint, Vec<PackedFile>) {
    let note = log.note(entries);
    let checkpoint = log.key.open(&note).expect("signed");
    let mut leaves = Leaves(entries.iter().map(|entry| leaf_hash(entry)).collect());
    let (mut lines, mut proofs) = (Vec::new(), Vec::new());
    for index in CHOSEN {
        lines.extend_from_slice(&entries[index as usize]);
        lines.push(b'\n');
        let proof = TlogProof {
            index,
            path: inclusion(&mut leaves, index, checkpoint.size).expect("a proof"),
            checkpoint: note.clone(),
        };
        proofs.push(PackedFile::text(&proof_path(index), proof.text()));
    }
    let mut files = vec![PackedFile::text(CHECKPOINT, note), PackedFile::text(ENTRIES, lines)];
    files.append(&mut proofs);
    files.push(PackedFile::text("timeline.json", "[]\n"));
    (checkpoint, files)
}

/// The packet of these files, signed by the key of the log.
fn signed(log: &Log, checkpoint: &Checkpoint, files: &[PackedFile]) -> Vec<u8> {
    opening(log, checkpoint, files, None)
}

/// The same, with so many opened values by its manifest.
fn opening(log: &Log, checkpoint: &Checkpoint, files: &[PackedFile], opened: Option<u64>) -> Vec<u8> {
    let manifest = PacketManifest {
        schema: SCHEMA.to_owned(),
        software: "causeway/test".to_owned(),
        origin: log.key.name.clone(),
        checkpoint: checkpoint.into(),
        scope: json!({ "kind": "exchange", "id": "x" }),
        as_of: "2026-11-28T00:00:00.000Z".to_owned(),
        entries: CHOSEN.len() as u64,
        opened,
        files: files.iter().map(ListedFile::from).collect(),
    };
    let manifest = manifest.bytes().expect("JSON");
    let text = manifest_text(&log.key.name, &manifest);
    let note = log.key.signed(&text, &log.signing.sign(text.as_bytes()));
    let mut all = vec![PackedFile::text(MANIFEST, manifest), PackedFile::text(SIGNED, note)];
    all.extend_from_slice(files);
    pack(&all)
}

fn packet(log: &Log) -> Vec<u8> {
    let (checkpoint, files) = files(log, &numbered(SIZE));
    signed(log, &checkpoint, &files)
}

/// Both verifiers, of which the one in Python reads a file.
struct Both {
    folder: tempfile::TempDir,
    python: PythonBatch,
}

impl Both {
    fn new() -> Both {
        Both {
            folder: tempfile::tempdir().expect("a folder"),
            python: PythonBatch::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("packet.tar")
    }

    /// What ours says, once the other one has said the same: the exit code, the first bad file and the first bad index.
    #[track_caller]
    fn say(&mut self, bytes: &[u8], key: &LogKey, against: Option<&str>) -> PacketVerdict {
        std::fs::write(self.path(), bytes).expect("written");
        let kept = against.map(|note| {
            let path = self.folder.path().join("kept");
            std::fs::write(&path, note).expect("written");
            path
        });
        let kept = kept.as_deref().map(Path::display);
        let more = kept.map_or(String::new(), |path| format!(" --against '{path}'"));
        let line = format!("'{}' --key '{}'{more}", self.path().display(), key.text());
        let (code, first_bad, said) = self.python.told(&line);
        let told: Value = serde_json::from_str(&said).expect("JSON");
        let against = against.map(|note| key.open(note).expect("a checkpoint of this log"));
        let ours = verify_packet(bytes, key, against.as_ref(), None);
        assert_eq!(code, super::exit(ours.result), "{said}\n{ours:?}");
        assert_eq!(first_bad, ours.first_bad, "{said}\n{ours:?}");
        assert_eq!(told["bad_file"].as_str(), ours.bad_file.as_deref(), "{said}\n{ours:?}");
        ours
    }
}

#[test]
fn a_packet_is_found_to_be_whole_and_each_flipped_byte_is_found() {
    let seed = std::env::var("CAUSEWAY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(15);
    println!("CAUSEWAY_TEST_SEED={seed}");
    let chance = Chance::seeded(seed);
    let (log, mut both) = (Log::new(), Both::new());
    let whole = packet(&log);
    let verdict = both.say(&whole, &log.key, None);
    assert_eq!(
        (verdict.result, verdict.entries, verdict.checkpoint),
        (LedgerResult::Ok, 4, Some(SIZE as u64))
    );
    let place = |most: usize| ((chance.unit() * most as f64) as usize).min(most - 1);
    for round in 0..1_500 {
        let (at, bit) = (place(whole.len()), 1_u8 << place(8));
        let mut changed = whole.clone();
        changed[at] ^= bit;
        let found = match round % 5 {
            0 => both.say(&changed, &log.key, None),
            _ => verify_packet(&changed, &log.key, None, None),
        };
        assert_ne!(found.result, LedgerResult::Ok, "seed {seed}: byte {at}, bit {bit}");
        assert!(found.why.is_some(), "seed {seed}: byte {at}, bit {bit}");
    }
}

#[test]
fn opened_values_are_those_of_the_commitments_or_the_packet_is_refused() {
    let (log, mut both) = (Log::new(), Both::new());
    let (secret, mut entries) = ([7; 32], numbered(SIZE));
    let entry = json!({ "note_commit": commitment("note", &secret, "a complaint"), "v": 1 });
    entries[7] = entry.to_string().into_bytes();
    let (checkpoint, plain) = files(&log, &entries);
    let value = OpenedValue::of(7, "note", (&secret, "a complaint"), &entry).expect("opens");
    let mut with = |text: &str, opened: Option<u64>| {
        let files = [plain.as_slice(), &[PackedFile::text(OPENED, text)]].concat();
        both.say(&opening(&log, &checkpoint, &files, opened), &log.key, None)
    };
    let found = with(&value.line(), Some(1));
    assert_eq!((found.result, found.opened), (LedgerResult::Ok, Some(1)));
    assert_eq!(with("", Some(0)).result, LedgerResult::Ok);
    let line = value.line();
    let other = line.replace("complaint", "compliment");
    let elsewhere = line.replace("\"index\":7", "\"index\":0");
    let no_entry = line.replace("\"index\":7", "\"index\":8");
    let salt = value.salt.as_str();
    let capitals = line.replace(salt, &salt.to_uppercase());
    let spaced = line.replace(salt, &format!("{} {}", &salt[..2], &salt[2..]));
    let longer = line.replace(salt, &format!("{salt}00"));
    let yes = line.replace("\"index\":7", "\"index\":true");
    let fraction = line.replace("\"index\":7", "\"index\":7.0");
    let twice = line.replace("\"index\":7", "\"index\":7,\"index\":7");
    let more = line.replace("\"index\":7", "\"index\":7,\"more\":1");
    let below = line.replace("\"index\":7", "\"index\":-1");
    let half = line.replace("complaint", "\\ud800");
    for changed in [
        &capitals, &spaced, &longer, &yes, &fraction, &twice, &more, &below, &half,
    ] {
        assert_ne!(changed, &line);
    }
    for (text, opened, index) in [
        (other.as_str(), Some(1), Some(7)),
        (elsewhere.as_str(), Some(1), Some(0)),
        (no_entry.as_str(), Some(1), Some(8)),
        (line.as_str(), Some(2), None),
        (line.as_str(), None, None),
        (line.trim_end(), Some(1), None),
        ("[]\n", Some(1), None),
        (capitals.as_str(), Some(1), Some(7)),
        (spaced.as_str(), Some(1), Some(7)),
        (longer.as_str(), Some(1), Some(7)),
        (yes.as_str(), Some(1), None),
        (fraction.as_str(), Some(1), None),
        (twice.as_str(), Some(1), None),
        (more.as_str(), Some(1), None),
        (below.as_str(), Some(1), None),
        (half.as_str(), Some(1), None),
    ] {
        let found = with(text, opened);
        assert_eq!(
            (found.result, found.bad_file.as_deref(), found.first_bad),
            (LedgerResult::Tampered, Some(OPENED), index),
            "{text}"
        );
    }
    let missing = both.say(&opening(&log, &checkpoint, &plain, Some(1)), &log.key, None);
    assert_eq!(missing.result, LedgerResult::Incomplete);
}

#[test]
fn a_packet_that_is_cut_off_is_incomplete() {
    let (log, mut both) = (Log::new(), Both::new());
    let whole = packet(&log);
    for part in [
        0,
        1,
        511,
        512,
        700,
        1_024,
        whole.len() / 2,
        whole.len() - 513,
        whole.len() - 1,
    ] {
        let found = both.say(&whole[..part], &log.key, None);
        assert_eq!(found.result, LedgerResult::Incomplete, "{part}: {found:?}");
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert_eq!(both.say(&longer, &log.key, None).result, LedgerResult::Tampered);
}

#[test]
fn what_another_key_signed_and_what_contradicts_a_kept_checkpoint_is_found() {
    let (log, other, mut both) = (Log::new(), Log::new(), Both::new());
    let whole = packet(&log);
    let by_other = both.say(&packet(&other), &log.key, None);
    assert_eq!(
        (by_other.result, by_other.bad_file.as_deref()),
        (LedgerResult::Tampered, Some(SIGNED))
    );
    let named_otherwise = LogKey {
        name: "payer.example/audit/4567".to_owned(),
        ..log.key.clone()
    };
    let found = both.say(&whole, &named_otherwise, None);
    assert_eq!(found.why.as_deref(), Some("the packet is of another log"));

    // Another log's checkpoint in a packet that the right key signed.
    let (checkpoint, mut files) = files(&log, &numbered(SIZE));
    let strange = LogKey {
        name: "other.example/audit/1".to_owned(),
        ..other.key.clone()
    };
    let note = strange.note(&checkpoint, &other.signing.sign(checkpoint.text().as_bytes()));
    files[0] = PackedFile::text(CHECKPOINT, note);
    let found = both.say(&signed(&log, &checkpoint, &files), &log.key, None);
    assert_eq!(
        (found.result, found.bad_file.as_deref()),
        (LedgerResult::Tampered, Some(CHECKPOINT))
    );

    let kept = log.note(&numbered(SIZE));
    assert_eq!(both.say(&whole, &log.key, Some(&kept)).result, LedgerResult::Ok);
    let mut rewritten = numbered(SIZE);
    rewritten[3] = b"{\"action\":\"rewritten\"}".to_vec();
    let found = both.say(&whole, &log.key, Some(&log.note(&rewritten)));
    assert_eq!(found.result, LedgerResult::Forked);
    let older = log.note(&numbered(SIZE - 1));
    let found = both.say(&whole, &log.key, Some(&older));
    assert_eq!(
        found.result,
        LedgerResult::Incomplete,
        "one cannot be compared with the other"
    );
}

#[test]
fn what_the_real_key_signed_is_still_proved_entry_by_entry() {
    let (log, mut both) = (Log::new(), Both::new());
    let (checkpoint, whole) = files(&log, &numbered(SIZE));
    let mut say = |change: &dyn Fn(&mut Vec<PackedFile>)| {
        let mut files = whole.clone();
        change(&mut files);
        both.say(&signed(&log, &checkpoint, &files), &log.key, None)
    };
    let edited = say(&|files| {
        let text = String::from_utf8(files[1].bytes.clone()).expect("text");
        files[1].bytes = text.replace("test.128", "test.129").into_bytes();
    });
    assert_eq!((edited.result, edited.first_bad), (LedgerResult::Tampered, Some(128)));
    let swapped = say(&|files| files.swap(3, 4));
    assert_eq!(swapped.result, LedgerResult::Tampered);
    let unproved = say(&|files| {
        files.remove(5);
    });
    assert_eq!(unproved.result, LedgerResult::Incomplete);
    let left_over = say(&|files| {
        let text = String::from_utf8(files[1].bytes.clone()).expect("text");
        let three: Vec<&str> = text.split_inclusive('\n').take(3).collect();
        files[1].bytes = three.concat().into_bytes();
    });
    assert_eq!(left_over.result, LedgerResult::Tampered);
    let gone = say(&|files| {
        files.remove(0);
    });
    assert_eq!(gone.result, LedgerResult::Incomplete);
    assert_eq!(unpack(&packet(&log)).expect("a packet").len(), whole.len() + 2);
}

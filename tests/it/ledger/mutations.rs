//! Seeded mutations of an exported ledger: both verifiers find each, with the same exit code and the same first bad index.
//!
//! `CAUSEWAY_LEDGER_MUTATIONS` sets how many are made, `CAUSEWAY_LEDGER_SEED` the first seed.

use super::{Files, Log, bundle, exit, ours, place, python, write};
use causeway::audit::note::Checkpoint;
use causeway::audit::tree::leaf_hash;
use causeway::audit::tree::tiles::HASH_BYTES;
use causeway::audit::verify::LedgerResult;
use causeway::jobs::Chance;

const ENTRIES: usize = 700;
/// The size of the checkpoint that was kept elsewhere.
const KEPT: usize = 300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    Edit,
    Delete,
    Insert,
    Swap,
    Truncate,
    FileGone,
    Surplus,
    Tile,
    EntryAndTile,
    UpperTile,
    Checkpoint,
    OtherKey,
    Rewritten,
    RolledBack,
    Forked,
}

const ALL: [Mutation; 15] = [
    Mutation::Edit,
    Mutation::Delete,
    Mutation::Insert,
    Mutation::Swap,
    Mutation::Truncate,
    Mutation::FileGone,
    Mutation::Surplus,
    Mutation::Tile,
    Mutation::EntryAndTile,
    Mutation::UpperTile,
    Mutation::Checkpoint,
    Mutation::OtherKey,
    Mutation::Rewritten,
    Mutation::RolledBack,
    Mutation::Forked,
];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

fn entries() -> Vec<Vec<u8>> {
    (0..ENTRIES)
        .map(|n| format!("{{\"action\":\"test.{n}\",\"v\":1}}").into_bytes())
        .collect()
}

/// A mutated export, which results are right, and the first bad index where one exists.
struct Mutated {
    files: Files,
    right: &'static [LedgerResult],
    first_bad: Option<u64>,
}

const TAMPERED: &[LedgerResult] = &[LedgerResult::Tampered];
const FORKED: &[LedgerResult] = &[LedgerResult::Forked];
const DETECTED: &[LedgerResult] = &[LedgerResult::Tampered, LedgerResult::Incomplete];

/// Changes the bundle of the entry with this index.
fn rebundle(files: &mut Files, entries: &[Vec<u8>], index: usize, change: impl FnOnce(&mut Vec<Vec<u8>>, usize)) {
    let (path, _, at) = place(index, ENTRIES);
    let first = index - at;
    let mut inside = entries[first..entries.len().min(first + 256)].to_vec();
    change(&mut inside, at);
    files.insert(path, bundle(&inside));
}

fn flip(bytes: &mut [u8], pick: &mut dyn FnMut(usize) -> usize) {
    let at = pick(bytes.len());
    bytes[at] ^= 1 << pick(8);
}

#[allow(clippy::too_many_lines)] // one arm for each mutation
fn mutate(mutation: Mutation, log: &Log, pick: &mut dyn FnMut(usize) -> usize) -> Mutated {
    let entries = entries();
    let mut files = log.export(&entries);
    let index = pick(ENTRIES);
    let (path, tile, at) = place(index, ENTRIES);
    let mut first_bad = Some(index as u64);
    let mut right = TAMPERED;
    match mutation {
        Mutation::Edit => rebundle(&mut files, &entries, index, |inside, at| flip(&mut inside[at], pick)),
        Mutation::Delete => rebundle(&mut files, &entries, index, |inside, at| {
            inside.remove(at);
        }),
        Mutation::Insert => rebundle(&mut files, &entries, index, |inside, at| {
            inside.insert(at, b"new".to_vec())
        }),
        Mutation::Swap => {
            let other = index - at + pick(256_usize.min(ENTRIES - (index - at)));
            if other == index {
                return mutate(Mutation::Edit, log, pick);
            }
            rebundle(&mut files, &entries, index, |inside, at| inside.swap(at, other % 256));
            first_bad = Some(index.min(other) as u64);
        }
        Mutation::Truncate => {
            let bytes = files.get_mut(&path).expect("a bundle");
            bytes.truncate(pick(bytes.len()));
            (right, first_bad) = (DETECTED, None);
        }
        Mutation::FileGone => {
            let names: Vec<String> = files.keys().cloned().collect();
            files.remove(&names[pick(names.len())]);
            (right, first_bad) = (&[LedgerResult::Incomplete], None);
        }
        Mutation::Surplus => {
            files.insert("tile/entries/003".to_owned(), bundle(&[b"more".to_vec()]));
            first_bad = None;
        }
        Mutation::Tile => {
            let bytes = files.get_mut(&tile).expect("a tile");
            flip(&mut bytes[at * HASH_BYTES..(at + 1) * HASH_BYTES], pick);
        }
        Mutation::EntryAndTile => {
            let mut entry = entries[index].clone();
            flip(&mut entry, pick);
            let bytes = files.get_mut(&tile).expect("a tile");
            bytes[at * HASH_BYTES..(at + 1) * HASH_BYTES].copy_from_slice(&leaf_hash(&entry));
            rebundle(&mut files, &entries, index, |inside, at| inside[at] = entry);
            // The tile does not say which of its entries it was; the entries after the last full tile hang on the root alone.
            first_bad = (index < 512).then_some((index - at) as u64);
        }
        Mutation::UpperTile => {
            flip(files.get_mut("tile/1/000.p/2").expect("a tile"), pick);
            first_bad = None;
        }
        Mutation::Checkpoint => {
            let bytes = files.get_mut("checkpoint").expect("a checkpoint");
            flip(bytes, pick);
            (right, first_bad) = (DETECTED, None);
        }
        Mutation::OtherKey | Mutation::Rewritten | Mutation::Forked | Mutation::RolledBack => {
            let mut others = entries;
            let index = index % KEPT;
            match mutation {
                Mutation::RolledBack | Mutation::Forked => others.truncate(index),
                _ => flip(&mut others[index], pick),
            }
            if mutation == Mutation::Forked {
                others.extend((0..ENTRIES).map(|n| format!("forked {n}").into_bytes()));
            }
            // It has the name of the log, and for the first kind another key under it.
            let mut other = Log::new();
            other.key.name.clone_from(&log.key.name);
            let signer = if mutation == Mutation::OtherKey { &other } else { log };
            files = signer.export(&others);
            (right, first_bad) = match mutation {
                Mutation::OtherKey => (TAMPERED, None),
                Mutation::RolledBack => (FORKED, Some(index as u64)),
                _ => (FORKED, None),
            };
        }
    }
    Mutated {
        files,
        right,
        first_bad,
    }
}

#[test]
fn both_verifiers_find_every_mutation() {
    let (count, seed) = (
        number("CAUSEWAY_LEDGER_MUTATIONS", 30),
        number("CAUSEWAY_LEDGER_SEED", 1),
    );
    println!("{count} mutations from seed {seed} on");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("export");
    let log = Log::new();
    let kept = log.note(&entries()[..KEPT]);
    write(&folder, &log.export(&entries()));
    for against in [None, Some(kept.as_str())] {
        let verdict = ours(&folder, &log.key, against);
        assert_eq!((verdict.result, verdict.why), (LedgerResult::Ok, None));
        let (code, _, said) = python(&folder, &log.key, against);
        assert_eq!(code, 0, "{said}");
    }
    for round in 0..count {
        let chance = Chance::seeded(seed + round);
        let mut pick = |below: usize| (chance.unit() * below as f64) as usize;
        let mutation = ALL[round as usize % ALL.len()];
        let mutated = mutate(mutation, &log, &mut pick);
        let told = format!("{mutation:?}, seed {}", seed + round);
        write(&folder, &mutated.files);
        let verdict = ours(&folder, &log.key, Some(&kept));
        assert!(mutated.right.contains(&verdict.result), "{told}: {verdict:?}");
        if mutated.first_bad.is_some() {
            assert_eq!(verdict.first_bad, mutated.first_bad, "{told}: {verdict:?}");
        }
        let (code, first_bad, said) = python(&folder, &log.key, Some(&kept));
        assert_eq!(
            (code, first_bad),
            (exit(verdict.result), verdict.first_bad),
            "{told}: {verdict:?} and {said}"
        );
        if matches!(mutation, Mutation::Rewritten | Mutation::RolledBack | Mutation::Forked) {
            // Nothing but a checkpoint that was kept elsewhere tells these.
            assert_eq!(ours(&folder, &log.key, None).result, LedgerResult::Ok, "{told}");
        }
    }
}

#[test]
fn both_verifiers_end_whatever_size_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("export");
    let log = Log::new();
    for (size, first_bad) in [(1_u64 << 40, Some(512)), (1 << 63, None)] {
        let mut files = log.export(&entries());
        let checkpoint = Checkpoint {
            origin: log.key.name.clone(),
            size,
            root: [7; 32],
        };
        let note = log
            .key
            .note(&checkpoint, &log.signing.sign(checkpoint.text().as_bytes()));
        files.insert("checkpoint".to_owned(), note.clone().into_bytes());
        write(&folder, &files);
        let verdict = ours(&folder, &log.key, None);
        assert_eq!(
            (verdict.result, verdict.first_bad),
            (LedgerResult::Incomplete, first_bad)
        );
        let (code, found, said) = python(&folder, &log.key, None);
        assert_eq!((code, found), (3, first_bad), "{said}");

        // More digits than Python reads as a number.
        let note = note.replacen(&size.to_string(), &"9".repeat(5_000), 1);
        files.insert("checkpoint".to_owned(), note.into_bytes());
        write(&folder, &files);
        assert_eq!(ours(&folder, &log.key, None).result, LedgerResult::Incomplete);
        let (code, _, said) = python(&folder, &log.key, None);
        assert_eq!(code, 3, "{said}");
    }
    // A link to a folder outside.
    write(&folder, &log.export(&entries()));
    std::os::unix::fs::symlink("/", folder.join("tile/link")).expect("a link");
    assert_eq!(ours(&folder, &log.key, None).result, LedgerResult::Tampered);
    let (code, _, said) = python(&folder, &log.key, None);
    assert_eq!(code, 1, "{said}");
}

//! Seeded mutations of an exported ledger: both verifiers find each, with the same exit code and the same first bad index.
//!
//! `CAUSEWAY_TEST_MUTATIONS` sets how many are made, `CAUSEWAY_TEST_SEED` the first seed. Only the files that change are written.

use super::{Files, Log, PythonBatch, bundle, exit, numbered, ours, place, python, write};
use causeway::audit::note::LogKey;
use causeway::audit::tree::leaf_hash;
use causeway::audit::tree::tiles::{HASH_BYTES, WIDTH, all, entries_of};
use causeway::jobs::Chance;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of the two exports. The second has tiles of three levels, among them a full one above the entries; one round in `RARELY` is on it.
const SIZES: [usize; 2] = [700, 66_000];
const RARELY: u64 = 47;
/// The size of the older of the two checkpoints that were kept elsewhere; the other one covers all entries.
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
    Bundle,
    LowerTile,
    UpperTile,
    EntryAndTile,
    Checkpoint,
    KeyFile,
    TwoFiles,
    Rebuilt,
    OtherKey,
    OtherKeyGiven,
    Rewritten,
    RolledBack,
    Forked,
}

const ALL: [Mutation; 20] = [
    Mutation::Edit,
    Mutation::Delete,
    Mutation::Insert,
    Mutation::Swap,
    Mutation::Truncate,
    Mutation::FileGone,
    Mutation::Surplus,
    Mutation::Bundle,
    Mutation::LowerTile,
    Mutation::UpperTile,
    Mutation::EntryAndTile,
    Mutation::Checkpoint,
    Mutation::KeyFile,
    Mutation::TwoFiles,
    Mutation::Rebuilt,
    Mutation::OtherKey,
    Mutation::OtherKeyGiven,
    Mutation::Rewritten,
    Mutation::RolledBack,
    Mutation::Forked,
];

/// The first bad index that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    At(u64),
    Nowhere,
    /// The one that both say.
    Agreed,
}

/// A mutated export: the files that differ (none for one that is gone), the key that the auditor was given, and what is right.
struct Mutated {
    changes: BTreeMap<String, Option<Vec<u8>>>,
    key: Option<LogKey>,
    right: &'static [i32],
    first: First,
}

const TAMPERED: &[i32] = &[1];
const USAGE: &[i32] = &[2];
const DETECTED: &[i32] = &[1, 3];
const FORKED: &[i32] = &[70];

type Pick<'p> = &'p mut dyn FnMut(usize) -> usize;

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Other bytes, made from these.
fn scrambled(bytes: &[u8], pick: Pick<'_>) -> Vec<u8> {
    loop {
        let mut other = bytes.to_vec();
        let at = pick(bytes.len());
        let end = bytes.len().min(at + 1 + pick(40));
        match pick(5) {
            0 => other[at] ^= 1 << pick(8),
            1 => drop(other.drain(at..end)),
            2 => drop(other.splice(at..at, bytes[at..end].iter().rev().copied())),
            3 => other[at..end].fill(0),
            _ => other.truncate(at),
        }
        if other != bytes {
            return other;
        }
    }
}

/// Changes the list of entries up to `upto` in one of four ways, and keeps its length if `padded`.
fn relisted(entries: &[Vec<u8>], upto: usize, padded: bool, pick: Pick<'_>) -> Vec<Vec<u8>> {
    let (mut others, index) = (entries.to_vec(), pick(upto));
    match pick(4) {
        0 => others[index] = scrambled(&others[index], pick),
        1 => drop(others.remove(index)),
        2 => others.insert(index, b"new".to_vec()),
        _ => others.swap(index, (index + 1 + pick(upto - 1)) % upto),
    }
    if padded {
        others.resize(entries.len(), b"more".to_vec());
    }
    others
}

/// An export on the disk that is put back after each mutation.
struct Base {
    log: Log,
    entries: Vec<Vec<u8>>,
    files: Files,
    folder: PathBuf,
    /// The checkpoints that were kept elsewhere, and their files.
    kept: [(usize, String, PathBuf); 2],
}

impl Base {
    fn new(within: &Path, size: usize) -> Base {
        let (log, entries, folder) = (Log::new(), numbered(size), within.join(size.to_string()));
        let files = log.export(&entries);
        write(&folder, &files);
        let kept = [KEPT, size].map(|upto| {
            let (note, path) = (log.note(&entries[..upto]), within.join(format!("{size}-{upto}")));
            fs::write(&path, &note).expect("kept");
            (upto, note, path)
        });
        Base {
            log,
            entries,
            files,
            folder,
            kept,
        }
    }

    fn put(&self, name: &str, bytes: Option<&Vec<u8>>) {
        let path = self.folder.join(name);
        match bytes {
            Some(bytes) => {
                fs::create_dir_all(path.parent().expect("a folder")).expect("made");
                fs::write(path, bytes).expect("written");
            }
            None => fs::remove_file(path).expect("removed"),
        }
    }

    /// The files that differ from those of this export.
    fn differing(&self, files: &Files) -> BTreeMap<String, Option<Vec<u8>>> {
        let names = self.files.keys().chain(files.keys());
        names
            .filter(|name| self.files.get(*name) != files.get(*name))
            .map(|name| (name.clone(), files.get(name).cloned()))
            .collect()
    }

    /// The entries of the bundle of this one, changed.
    fn rebundled(&self, index: usize, change: impl FnOnce(&mut Vec<Vec<u8>>, usize)) -> (String, Option<Vec<u8>>) {
        let (path, _, at) = place(index, self.entries.len());
        let first = index - at;
        let mut inside = self.entries[first..self.entries.len().min(first + WIDTH)].to_vec();
        change(&mut inside, at);
        (path, Some(bundle(&inside)))
    }

    /// The file under this name scrambled, and the first index that this concerns.
    fn scrambled(&self, name: &str, pick: Pick<'_>) -> (String, Option<Vec<u8>>, First) {
        let old = &self.files[name];
        let new = scrambled(old, pick);
        let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let size = self.entries.len() as u64;
        let mut tiles = all(size);
        let first = if let Some(at) = all(size).find(|at| at.level == 0 && at.entries_path() == name) {
            // The entry in whose bytes, or in whose length, they begin to differ.
            let ends = entries_of(old).0.into_iter().scan(0, |end, entry| {
                *end += 2 + entry.len();
                Some(*end)
            });
            First::At(at.n * WIDTH as u64 + ends.filter(|end| *end <= same).count() as u64)
        } else if let Some(at) = tiles.find(|at| at.path() == name) {
            let within = match at.level == 0 && new.len() == old.len() {
                true => (same / HASH_BYTES) as u64,
                false => 0,
            };
            First::At(((at.n * WIDTH as u64) << (8 * u32::from(at.level))) + within)
        } else {
            First::Nowhere
        };
        (name.to_owned(), Some(new), first)
    }

    /// The name of a file of this export under `folder`.
    fn file(&self, folder: &str, pick: Pick<'_>) -> String {
        let names: Vec<&String> = self.files.keys().filter(|name| name.starts_with(folder)).collect();
        names[pick(names.len())].clone()
    }

    /// A mutation of this export, which a checkpoint over `upto` entries was kept of.
    #[allow(clippy::too_many_lines)] // one arm for each mutation
    fn mutated(&self, mutation: Mutation, upto: usize, pick: Pick<'_>) -> Mutated {
        let entries = &self.entries;
        let index = pick(entries.len());
        let (path, tile, at) = place(index, entries.len());
        let mut first = First::At(index as u64);
        let mut right = TAMPERED;
        let changes = match mutation {
            Mutation::Edit => {
                let other = match pick(4) {
                    0 => Vec::new(),
                    1 => vec![b'x'; 65_535],
                    _ => scrambled(&entries[index], pick),
                };
                vec![self.rebundled(index, |inside, at| inside[at] = other)]
            }
            Mutation::Delete => vec![self.rebundled(index, |inside, at| drop(inside.remove(at)))],
            Mutation::Insert => vec![self.rebundled(index, |inside, at| inside.insert(at, b"new".to_vec()))],
            Mutation::Swap => {
                let other = (index + 1 + pick(entries.len() - 1)) % entries.len();
                first = First::At(index.min(other) as u64);
                match place(other, entries.len()).0 == path {
                    true => vec![self.rebundled(index, |inside, at| inside.swap(at, other % WIDTH))],
                    false => [(index, other), (other, index)]
                        .map(|(to, from)| self.rebundled(to, |inside, at| inside[at].clone_from(&entries[from])))
                        .into(),
                }
            }
            Mutation::Truncate => {
                let bytes = &self.files[&path];
                let bytes = &bytes[..pick(bytes.len())];
                (right, first) = (DETECTED, First::At((index - at + entries_of(bytes).0.len()) as u64));
                vec![(path, Some(bytes.to_vec()))]
            }
            Mutation::FileGone => {
                let name = self.file("", pick);
                right = &[3];
                first = all(entries.len() as u64)
                    .find(|at| at.path() == name || at.level == 0 && at.entries_path() == name)
                    .map_or(First::Nowhere, |at| {
                        First::At((at.n * WIDTH as u64) << (8 * u32::from(at.level)))
                    });
                vec![(name, None)]
            }
            Mutation::Surplus => {
                let names = [
                    "tile/entries/999",
                    "tile/0/999.p/7",
                    "tile/5/000",
                    "tile/entries/000.p/9",
                    "tile/x",
                ];
                first = First::Nowhere;
                vec![(names[pick(names.len())].to_owned(), Some(bundle(&[b"more".to_vec()])))]
            }
            Mutation::EntryAndTile => {
                let other = scrambled(&entries[index], pick);
                let mut hashes = self.files[&tile].clone();
                hashes[at * HASH_BYTES..(at + 1) * HASH_BYTES].copy_from_slice(&leaf_hash(&other));
                // The tile does not say which of its entries it was; the entries after the last full tile hang on the root alone.
                first = match index < entries.len() / WIDTH * WIDTH {
                    true => First::At((index - at) as u64),
                    false => First::Agreed,
                };
                vec![
                    self.rebundled(index, |inside, at| inside[at] = other),
                    (tile, Some(hashes)),
                ]
            }
            Mutation::TwoFiles => {
                (right, first) = (DETECTED, First::Agreed);
                let names = [self.file("tile/entries", pick), self.file("", pick)];
                let changed = names.map(|name| self.scrambled(&name, pick));
                changed.map(|(name, bytes, _)| (name, bytes)).into()
            }
            Mutation::Bundle | Mutation::LowerTile | Mutation::UpperTile | Mutation::Checkpoint | Mutation::KeyFile => {
                right = DETECTED;
                let name = match mutation {
                    Mutation::Bundle => path,
                    Mutation::LowerTile => tile,
                    Mutation::UpperTile => match entries.len() > SIZES[0] {
                        true => self.file(["tile/1", "tile/2"][pick(2)], pick),
                        false => self.file("tile/1", pick),
                    },
                    Mutation::Checkpoint => "checkpoint".to_owned(),
                    _ => "key".to_owned(),
                };
                let (name, bytes, at) = self.scrambled(&name, pick);
                first = at;
                vec![(name, bytes)]
            }
            Mutation::Rebuilt
            | Mutation::OtherKey
            | Mutation::OtherKeyGiven
            | Mutation::Rewritten
            | Mutation::RolledBack
            | Mutation::Forked => return self.whole(mutation, upto, pick),
        };
        Mutated {
            changes: changes.into_iter().collect(),
            key: None,
            right,
            first,
        }
    }

    /// A mutation of the whole export: everything in it is made anew, and fits.
    fn whole(&self, mutation: Mutation, upto: usize, pick: Pick<'_>) -> Mutated {
        let (size, mut other) = (self.entries.len(), Log::new());
        // It has the name of the log.
        other.key.name.clone_from(&self.log.key.name);
        let (mut signer, mut first, mut right, mut key) = (&self.log, First::Nowhere, FORKED, None);
        let mut others = match mutation {
            Mutation::RolledBack | Mutation::Forked => self.entries[..pick(upto)].to_vec(),
            Mutation::Rebuilt => relisted(&self.entries, size, true, pick),
            _ => relisted(&self.entries, upto, false, pick),
        };
        match mutation {
            Mutation::RolledBack => first = First::At(others.len() as u64),
            Mutation::Forked => others.extend((0..size).map(|n| format!("forked {n}").into_bytes())),
            Mutation::Rebuilt => right = TAMPERED,
            Mutation::OtherKey => (signer, right) = (&other, TAMPERED),
            Mutation::OtherKeyGiven => (signer, right, key) = (&other, USAGE, Some(other.key.clone())),
            _ => {}
        }
        let mut files = signer.export(&others);
        if mutation == Mutation::Rebuilt {
            files.insert("checkpoint".to_owned(), self.files["checkpoint"].clone());
        }
        if mutation == Mutation::Rewritten && others.len() < upto {
            // One entry fewer than the newest checkpoint covers.
            first = First::At(others.len() as u64);
        }
        Mutated {
            changes: self.differing(&files),
            key,
            right,
            first,
        }
    }

    /// What our verifier says: exit code, first bad index.
    fn ours(&self, key: &LogKey, against: Option<&str>) -> (i32, Option<u64>) {
        if against.is_some_and(|note| key.open(note).is_err()) {
            return (USAGE[0], None);
        }
        let verdict = ours(&self.folder, key, against);
        (exit(verdict.result), verdict.first_bad)
    }

    fn assert_whole(&self, batch: &mut PythonBatch) {
        for (_, note, path) in &self.kept {
            assert_eq!(self.ours(&self.log.key, Some(note.as_str())), (0, None));
            let (code, _, said) = batch.ask(&self.folder, &self.log.key, path);
            assert_eq!(code, 0, "{said}");
        }
    }
}

#[test]
fn both_verifiers_find_every_mutation() {
    let (count, seed) = (number("CAUSEWAY_TEST_MUTATIONS", 300), number("CAUSEWAY_TEST_SEED", 1));
    println!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_MUTATIONS={count}");
    let folder = tempfile::tempdir().expect("a folder");
    let bases = SIZES.map(|size| Base::new(folder.path(), size));
    let mut batch = PythonBatch::new();
    bases.iter().for_each(|base| base.assert_whole(&mut batch));
    for round in 0..count {
        let chance = Chance::seeded(seed + round);
        let mut pick = |below: usize| (chance.unit() * below as f64) as usize;
        let mutation = ALL[round as usize % ALL.len()];
        let base = &bases[usize::from(round % RARELY == RARELY - 1)];
        let (upto, note, path) = &base.kept[pick(base.kept.len())];
        let mutated = base.mutated(mutation, *upto, &mut pick);
        let told = format!("{mutation:?} of {}, seed {}", base.entries.len(), seed + round);
        assert!(!mutated.changes.is_empty(), "{told}");
        for (name, bytes) in &mutated.changes {
            base.put(name, bytes.as_ref());
        }
        let key = mutated.key.as_ref().unwrap_or(&base.log.key);
        let (code, first) = base.ours(key, Some(note.as_str()));
        assert!(mutated.right.contains(&code), "{told}: {code}, {first:?}");
        match mutated.first {
            First::At(index) => assert_eq!(first, Some(index), "{told}"),
            First::Nowhere => assert_eq!(first, None, "{told}"),
            First::Agreed => {}
        }
        let (found, there, said) = batch.ask(&base.folder, key, path);
        assert_eq!((found, there), (code, first), "{told}: {said}");
        if round < ALL.len() as u64 {
            // As a process of its own, it ends with the same exit code.
            let (alone, there, said) = python(&base.folder, key, Some(note.as_str()));
            assert_eq!((alone, there), (code, first), "{told}: {said}");
        }
        if matches!(mutation, Mutation::Rewritten | Mutation::RolledBack | Mutation::Forked) {
            // Nothing but a checkpoint that was kept elsewhere tells these.
            assert_eq!(base.ours(key, None), (0, None), "{told}");
        }
        for name in mutated.changes.keys() {
            base.put(name, base.files.get(name));
        }
    }
    bases.iter().for_each(|base| base.assert_whole(&mut batch));
}

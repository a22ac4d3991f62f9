//! Verifies a ledger: that its entries have the root that its checkpoint signs, that its tiles are those of its entries, and that it extends
//! a checkpoint that was kept elsewhere. It trusts nothing but the public key.

use super::cosignature::WitnessKey;
use super::note::{Checkpoint, LogKey, NoteDefect};
use super::tree::edge::TreeEdge;
use super::tree::tiles::{TileAt, WIDTH, of_level};
use super::tree::{TreeHash, leaf_hash, root_of};
pub use super::verdict::{LedgerResult, LedgerVerdict};
use super::verdict::{WitnessSaid, newest_word};
use super::verified::{FoundEntries, VerifiedLedger};
use crate::error::Failure;
use crate::secret::hex;
use std::collections::BTreeMap;

/// How many levels a tree can have.
const LEVELS: u8 = 8;

/// A checkpoint that the ledger must extend, in words.
struct Outside {
    checkpoint: Checkpoint,
    what: &'static str,
}

/// A defect, and the first index that it concerns.
struct Defect {
    result: LedgerResult,
    at: u64,
    why: String,
}

/// What one walk over all entries found.
#[derive(Default)]
struct Walked {
    edge: TreeEdge,
    roots: BTreeMap<u64, TreeHash>,
    /// What is wrong with the entries, so that the walk ended there.
    broken: Option<Defect>,
    /// The first entry whose hash is not in its tile.
    differs: Option<u64>,
    /// The first tile that is not that of the entries.
    tile: Option<Defect>,
}

/// Verifies `ledger` with the public key of its log, and, if given, against a checkpoint of this log that was kept elsewhere, and against the
/// newest one that a witness has confirmed.
///
/// # Errors
/// Those of where the ledger is stored; what is wrong with the ledger itself is in the result.
pub fn verify(
    ledger: &mut dyn VerifiedLedger,
    key: &LogKey,
    against: Option<&Checkpoint>,
    witness: Option<&WitnessKey>,
) -> Result<LedgerVerdict, Failure> {
    let mut outside: Vec<Outside> = Vec::new();
    outside.extend(against.map(|checkpoint| Outside {
        checkpoint: checkpoint.clone(),
        what: "the checkpoint that it is compared with",
    }));
    let said = match witness {
        Some(witness) => Some(newest_word(key, witness, &ledger.confirmed()?)),
        None => None,
    };
    if let Some(WitnessSaid::Confirmed(checkpoint, _)) = &said {
        outside.push(Outside {
            checkpoint: checkpoint.clone(),
            what: "the checkpoint that the witness confirmed",
        });
    }
    let mut verdict = verify_against(ledger, key, &outside)?;
    verdict.against = against.map(|against| against.size);
    if let Some(said) = said {
        verdict.hear(&said);
    }
    Ok(verdict)
}

fn verify_against(
    ledger: &mut dyn VerifiedLedger,
    key: &LogKey,
    outside: &[Outside],
) -> Result<LedgerVerdict, Failure> {
    let mut verdict = LedgerVerdict {
        result: LedgerResult::Ok,
        origin: key.name.clone(),
        entries: 0,
        checkpoint: None,
        root: None,
        against: None,
        witnessed: None,
        witnessed_at: None,
        first_bad: None,
        why: None,
    };
    let Some(note) = ledger.note()? else {
        verdict.set(LedgerResult::Incomplete, None, "there is no checkpoint");
        return Ok(verdict);
    };
    let signed = match key.open(&note) {
        Ok(signed) => signed,
        Err(defect) => {
            let result = match defect {
                NoteDefect::Malformed => LedgerResult::Incomplete,
                _ => LedgerResult::Tampered,
            };
            verdict.set(result, None, defect.text());
            return Ok(verdict);
        }
    };
    (verdict.checkpoint, verdict.root) = (Some(signed.size), Some(hex(&signed.root)));
    let size = ledger.size(signed.size);
    if size < signed.size {
        verdict.set(
            LedgerResult::Forked,
            Some(size),
            "the ledger has fewer entries than its last checkpoint",
        );
        return Ok(verdict);
    }
    let mut wanted = vec![signed.size];
    wanted.extend(outside.iter().map(|one| one.checkpoint.size));
    let walked = walk(ledger, size, &wanted)?;
    verdict.entries = walked.edge.size();
    judge(ledger, key, (&signed, outside), size, &walked, &mut verdict)?;
    Ok(verdict)
}

/// Judges what the walk found.
fn judge(
    ledger: &mut dyn VerifiedLedger,
    key: &LogKey,
    (signed, outside): (&Checkpoint, &[Outside]),
    size: u64,
    walked: &Walked,
    verdict: &mut LedgerVerdict,
) -> Result<(), Failure> {
    if walked.roots.get(&signed.size) != Some(&signed.root) {
        // What comes after a place that cannot be read is not the first, whatever size is signed.
        let upto = walked.broken.as_ref().map_or(signed.size, |broken| broken.at);
        let first = match first_bad(ledger, signed, upto)? {
            Some(first) => Some(first),
            None => walked.differs.or(walked.broken.as_ref().map(|broken| broken.at)),
        };
        match &walked.broken {
            Some(broken) => verdict.set(broken.result, first, broken.why.clone()),
            None => verdict.set(
                LedgerResult::Tampered,
                first,
                "the entries are not those that the checkpoint signs",
            ),
        }
        return Ok(());
    }
    if let Some(broken) = &walked.broken {
        verdict.set(broken.result, Some(broken.at), broken.why.clone());
    } else if let Some(index) = walked.differs {
        verdict.set(
            LedgerResult::Tampered,
            Some(index),
            "the tile of this entry has another hash",
        );
    } else if let Some(tile) = &walked.tile {
        verdict.set(tile.result, Some(tile.at), tile.why.clone());
    } else if let Some(name) = ledger.surplus(size)? {
        verdict.set(
            LedgerResult::Tampered,
            None,
            format!("{name} does not belong to the ledger that the checkpoint signs"),
        );
    } else if let Some((result, why)) = ledger.key_beside(key)? {
        verdict.set(result, None, why);
    } else {
        for Outside { checkpoint, what } in outside {
            if checkpoint.size > size {
                let why = format!("the ledger has fewer entries than {what}");
                verdict.set(LedgerResult::Forked, Some(size), why);
                break;
            }
            if walked.roots.get(&checkpoint.size) != Some(&checkpoint.root) {
                let why = format!("the ledger does not extend {what}: its history was changed");
                verdict.set(LedgerResult::Forked, None, why);
                break;
            }
        }
    }
    Ok(())
}

/// Hashes all entries, and compares tiles with them.
fn walk(ledger: &mut dyn VerifiedLedger, size: u64, wanted: &[u64]) -> Result<Walked, Failure> {
    let mut walked = Walked::default();
    if wanted.contains(&0) {
        walked.roots.insert(0, walked.edge.root());
    }
    for at in of_level(0, size) {
        let found = ledger.entries(at)?;
        let tile = ledger.tile(at)?;
        if tile.is_none() && walked.tile.is_none() {
            walked.tile = Some(missing(at));
        }
        let mut full = Vec::new();
        for (place, entry) in found.entries.iter().take(at.width).enumerate() {
            let (index, hash) = (walked.edge.size(), leaf_hash(entry));
            if walked.differs.is_none() && tile.as_ref().is_some_and(|tile| tile.get(place) != Some(&hash)) {
                walked.differs = Some(index);
            }
            walked.edge.push(hash, &mut |tile| full.push(tile));
            if wanted.contains(&(index + 1)) {
                walked.roots.insert(index + 1, walked.edge.root());
            }
        }
        walked.broken = broken(at, &found);
        if walked.broken.is_some() {
            return Ok(walked);
        }
        for tile in full.into_iter().filter(|tile| tile.level > 0) {
            compare(
                ledger,
                TileAt {
                    level: tile.level,
                    n: tile.n,
                    width: WIDTH,
                },
                &tile.hashes,
                &mut walked.tile,
            )?;
        }
    }
    for level in 1..LEVELS {
        let hashes = walked.edge.tile(level);
        if !hashes.is_empty() {
            let n = (size >> (8 * u32::from(level))) / WIDTH as u64;
            let at = TileAt {
                level,
                n,
                width: hashes.len(),
            };
            compare(ledger, at, hashes, &mut walked.tile)?;
        }
    }
    Ok(walked)
}

/// What is wrong with the entries below a tile of level 0, besides their hashes.
fn broken(at: TileAt, found: &FoundEntries) -> Option<Defect> {
    let first = at.n * WIDTH as u64 + found.entries.len().min(at.width) as u64;
    let count = found.entries.len();
    let (result, why) = match found.broken {
        Some(why) => (LedgerResult::Incomplete, format!("{}: {why}", at.entries_path())),
        None if count < at.width => (
            LedgerResult::Tampered,
            format!("{} has too few entries", at.entries_path()),
        ),
        None if count > at.width => (
            LedgerResult::Tampered,
            format!("{} has too many entries", at.entries_path()),
        ),
        None => return None,
    };
    Some(Defect { result, at: first, why })
}

fn missing(at: TileAt) -> Defect {
    let first = (at.n * WIDTH as u64) << (8 * u32::from(at.level));
    Defect {
        result: LedgerResult::Incomplete,
        at: first,
        why: format!("{} is missing, or has another length", at.path()),
    }
}

fn compare(
    ledger: &mut dyn VerifiedLedger,
    at: TileAt,
    hashes: &[TreeHash],
    defect: &mut Option<Defect>,
) -> Result<(), Failure> {
    let found = ledger.tile(at)?;
    if defect.is_none() {
        *defect = match found {
            None => Some(missing(at)),
            Some(found) if found != hashes => Some(Defect {
                result: LedgerResult::Tampered,
                why: format!("{} is not that of the entries", at.path()),
                ..missing(at)
            }),
            Some(_) => None,
        };
    }
    Ok(())
}

/// Tiles that hang together with the signed root.
struct TrustedTiles<'l> {
    ledger: &'l mut dyn VerifiedLedger,
    size: u64,
    is_edge_trusted: bool,
    /// The last tile of each level.
    last: Vec<Option<(u64, Option<Vec<TreeHash>>)>>,
}

impl TrustedTiles<'_> {
    /// The hashes of a tile, if the signed root vouches for them.
    fn tile(&mut self, level: u8, n: u64) -> Result<Option<Vec<TreeHash>>, Failure> {
        if let Some((_, known)) = self.last[usize::from(level)].as_ref().filter(|(last, _)| *last == n) {
            return Ok(known.clone());
        }
        let at = TileAt::of(level, n, self.size);
        let found = self.ledger.tile(at)?;
        let trusted = match found {
            Some(hashes) if at.width == WIDTH => {
                let expected = self.node(level + 1, n)?;
                (expected == Some(root_of(&hashes))).then_some(hashes)
            }
            found => found.filter(|_| self.is_edge_trusted),
        };
        self.last[usize::from(level)] = Some((n, trusted.clone()));
        Ok(trusted)
    }

    fn node(&mut self, level: u8, n: u64) -> Result<Option<TreeHash>, Failure> {
        let tile = self.tile(level, n / WIDTH as u64)?;
        Ok(tile.and_then(|hashes| hashes.get((n % WIDTH as u64) as usize).copied()))
    }
}

/// The root over the tiles that are not full, if all of them are there.
fn edge_root(ledger: &mut dyn VerifiedLedger, size: u64) -> Result<Option<TreeHash>, Failure> {
    let mut rest: Option<TreeHash> = None;
    for level in 0..LEVELS {
        let n = size.checked_shr(8 * u32::from(level)).unwrap_or(0) / WIDTH as u64;
        let at = TileAt::of(level, n, size);
        if at.width > 0 {
            let Some(hashes) = ledger.tile(at)? else {
                return Ok(None);
            };
            let nodes: Vec<TreeHash> = hashes.into_iter().chain(rest).collect();
            rest = Some(root_of(&nodes));
        }
    }
    Ok(rest)
}

/// The index of the first entry up to `upto` that is not the one that the signed root vouches for; where a tile was changed together with its
/// entries, the first index of that tile.
fn first_bad(ledger: &mut dyn VerifiedLedger, signed: &Checkpoint, upto: u64) -> Result<Option<u64>, Failure> {
    let is_edge_trusted = edge_root(ledger, signed.size)? == Some(signed.root);
    let last = vec![None; usize::from(LEVELS) + 1];
    let mut trusted = TrustedTiles {
        ledger,
        size: signed.size,
        is_edge_trusted,
        last,
    };
    for at in of_level(0, signed.size).take_while(|at| at.n * WIDTH as u64 <= upto) {
        let first = at.n * WIDTH as u64;
        let tile = trusted.tile(0, at.n)?;
        let node = match at.width {
            WIDTH => trusted.node(1, at.n)?,
            _ => None,
        };
        if tile.is_none() && node.is_none() {
            // Nothing here is vouched for.
            continue;
        }
        let found = trusted.ledger.entries(at)?;
        let hashes: Vec<TreeHash> = found.entries.iter().map(|entry| leaf_hash(entry)).collect();
        match tile {
            Some(tile) if tile != hashes => {
                let same = tile.iter().zip(&hashes).take_while(|(tile, hash)| tile == hash).count();
                return Ok(Some(first + same as u64));
            }
            None if node != Some(root_of(&hashes)) => return Ok(Some(first)),
            _ => {}
        }
    }
    Ok(None)
}

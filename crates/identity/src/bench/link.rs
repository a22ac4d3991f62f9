//! Linking two files record by record. The weights are estimated from the files themselves, unlabelled, and a pair is linked at
//! nine to one for it: a bound that no file moves. Neither household nor guard: there is no request here that may be a relative's.
//!
//! One-to-one is not assumed: each record of the second file is linked to its best record of the first, if that is good enough
//! and the next is not as good.

use super::csv::Table;
use super::member::person;
use crate::blocking;
use crate::compare::compare;
use crate::field::Levels;
use crate::person::Profile;
use crate::policy::Policy;
use crate::train::{Patterns, Strangers, bits, train};
use std::collections::HashMap;
use std::io;

/// A link of a row of the second file to a row of the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Row of the first file.
    pub a: usize,
    /// Row of the second file.
    pub b: usize,
    /// Bits for the link, the share of such pairs counted in.
    pub total: f64,
}

/// Gives the columns of a file the names of the benchmark: `ours = theirs` a line; `ours = theirs + theirs` joins two by a space.
///
/// # Errors
/// `InvalidData` for a line of another form or a column that is not there.
pub fn map(table: &mut Table, map: &str) -> io::Result<()> {
    for line in map
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what}: {line}"));
        let (ours, theirs) = line.split_once('=').ok_or_else(|| invalid("expected ours = theirs"))?;
        let theirs: Vec<&str> = theirs.split('+').map(str::trim).collect();
        if !theirs.iter().all(|column| table.has(column)) {
            return Err(invalid("no such column"));
        }
        table.join(&theirs, ours.trim());
    }
    Ok(())
}

/// A key that more records share is left to the other keys.
const CROWD: usize = 300;
/// A pair is linked when it is at least nine times as likely as not.
const ODDS: f64 = 9.0;
/// Pairs drawn to learn what strangers share.
const RANDOM_PAIRS: usize = 200_000;
const STRIDE: usize = 7_919;

/// Links `b` to `a`; `start` is where the estimate begins.
pub fn link(a: &Table, b: &Table, start: &Policy) -> Vec<Link> {
    let profiles =
        |table: &Table| -> Vec<Profile> { (0..table.len()).map(|row| Profile::from(&person(table, row))).collect() };
    let (first, second) = (profiles(a), profiles(b));
    let facts = first.iter().collect();
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    for (row, profile) in first.iter().enumerate() {
        for key in blocking::of_file(profile) {
            index.entry(key).or_default().push(row);
        }
    }
    let mut patterns = Patterns::default();
    let mut pairs: Vec<(usize, usize, Levels)> = Vec::new();
    for (row, asked) in second.iter().enumerate() {
        let mut rows: Vec<usize> = blocking::of_file(asked)
            .iter()
            .filter_map(|key| index.get(key).filter(|rows| rows.len() <= CROWD))
            .flatten()
            .copied()
            .collect();
        rows.sort_unstable();
        rows.dedup();
        for a in rows {
            if let Some(held) = first.get(a) {
                let levels = compare(asked, held, &facts).levels;
                patterns.add(levels);
                pairs.push((a, row, levels));
            }
        }
    }
    // Pairs that share a key agree because they share it; what strangers share is learnt from pairs drawn over both files.
    let mut random = Patterns::default();
    for step in 0..RANDOM_PAIRS.min(first.len() * second.len()) {
        let (x, y) = (
            step % second.len(),
            (step / second.len() * STRIDE + step * 31) % first.len(),
        );
        if let (Some(asked), Some(held)) = (second.get(x), first.get(y)) {
            random.add(compare(asked, held, &facts).levels);
        }
    }
    let found = train(&patterns, start, &Strangers::FromRandom(random));
    let same = found.same * patterns.pairs() as f64 / (first.len() as f64 * second.len() as f64);
    let prior = (same / (1.0 - same)).log2();
    let mut best: Vec<Option<(Link, f64)>> = vec![None; second.len()];
    for (a, b, levels) in pairs {
        let total = bits(&levels, &found.policy) + prior;
        let one = Link { a, b, total };
        if let Some(place) = best.get_mut(b) {
            *place = match place.take() {
                Some((top, _)) if total > top.total => Some((one, top.total)),
                Some((top, next)) => Some((top, next.max(total))),
                None => Some((one, f64::NEG_INFINITY)),
            };
        }
    }
    best.into_iter()
        .flatten()
        .filter(|(top, next)| top.total >= ODDS.log2() && top.total > *next)
        .map(|(top, _)| top)
        .collect()
}

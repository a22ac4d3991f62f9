//! Links two files record by record. The weights are estimated from the files themselves, without labels, and a pair is linked when the
//! odds are at least nine to one. This bound is the same for all files. Household rules and guards are not used, because there is no
//! request that could be about a relative.
//!
//! The links need not be one-to-one: each record of the second file is linked to its best record in the first file, if the odds are high
//! enough and the next-best record has a lower weight.

use super::csv::CsvTable;
use super::member::person;
use crate::blocking;
use crate::compare::compare;
use crate::field::Levels;
use crate::person::Profile;
use crate::policy::MatchingPolicy;
use crate::train::{Patterns, Strangers, bits, train};
use std::collections::HashMap;
use std::io;

/// A link of a row of the second file to a row of the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowLink {
    /// Row of the first file.
    pub a: usize,
    /// Row of the second file.
    pub b: usize,
    /// Weight of the pair in bits, including the prior.
    pub total: f64,
}

/// Renames the columns of a file to the names of the benchmark. Each line is `ours = theirs`; `ours = theirs + theirs` joins two columns
/// with a space.
///
/// # Errors
/// `InvalidData` for a malformed line or a missing column.
pub fn map(table: &mut CsvTable, map: &str) -> io::Result<()> {
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

/// Keys that more records share are not used.
const CROWD: usize = 300;
/// The odds above which a pair is linked.
const ODDS: f64 = 9.0;
/// Number of random pairs from which the agreement of strangers is learned.
const RANDOM_PAIRS: usize = 200_000;
const STRIDE: usize = 7_919;

/// Links records of `b` to records of `a`; `start` is the policy with which the estimation begins.
pub fn link(a: &CsvTable, b: &CsvTable, start: &MatchingPolicy) -> Vec<RowLink> {
    let profiles =
        |table: &CsvTable| -> Vec<Profile> { (0..table.len()).map(|row| Profile::from(&person(table, row))).collect() };
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
    // Pairs with a common key agree more often than strangers do. The agreement of strangers is therefore learned from random pairs.
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
    let mut best: Vec<Option<(RowLink, f64)>> = vec![None; second.len()];
    for (a, b, levels) in pairs {
        let total = bits(&levels, &found.policy) + prior;
        let one = RowLink { a, b, total };
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

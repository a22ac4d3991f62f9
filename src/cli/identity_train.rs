//! Where `identity train` takes its pairs from: two files, or the store's own members and decisions. Nobody labels anything, and
//! no value of anybody leaves: what is counted are levels.

use crate::error::{Failure, Fault};
use crate::identity::{Level, MatchingPolicy, Point, Profile};
use crate::store::ops_queries::{self, DecisionFilter, LIMIT_MAX};
use crate::store::{Store, identity as rows};
use causeway_identity::Levels;
use causeway_identity::bench::csv::CsvTable;
use causeway_identity::bench::member;
use causeway_identity::compare::compare;
use causeway_identity::train::{Estimate, Patterns, Strangers, train};
use serde_json::Value;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Members that are compared with others blindly, to learn what strangers share.
const DRAWN: usize = 4_000;
/// Others that each is compared with.
const OTHERS: usize = 20;
/// Profiles read at once.
const PAGE: i64 = 5_000;

/// Pairs to learn from.
#[derive(Debug, Default)]
pub struct Sample {
    /// Requests with the candidates that were found for them.
    pub pairs: Patterns,
    /// Pairs drawn blindly, nearly all of them strangers.
    pub random: Patterns,
    /// Size of the roster.
    pub records: u64,
}

impl Sample {
    /// Estimates a policy, starting at `start`.
    pub fn train(&self, start: &MatchingPolicy) -> Estimate {
        train(
            &self.pairs,
            start,
            &Strangers::FromRoster(self.random.clone(), self.records),
        )
    }
}

/// Pairs of two files.
pub fn of_files(records: &CsvTable, queries: &CsvTable, start: &MatchingPolicy) -> Sample {
    let roster = member::roster(records);
    let held = roster.profiles();
    let mut sample = Sample {
        records: roster.facts().records(),
        ..Sample::default()
    };
    let found = member::on_all_cores(queries.len(), |row| {
        let ranked = member::answer(&roster, queries, row, start, Point::Safe)
            .decision
            .ranked;
        let asked = Profile::from(&member::person(queries, row));
        let others = (0..OTHERS).filter_map(|step| held.get(strided(row, step, held.len())));
        let drawn: Vec<Levels> = others.map(|one| compare(&asked, one, roster.facts()).levels).collect();
        (ranked.iter().map(|one| one.levels).collect::<Vec<_>>(), drawn)
    });
    for (pairs, drawn) in found {
        pairs.into_iter().for_each(|levels| sample.pairs.add(levels));
        drawn.into_iter().for_each(|levels| sample.random.add(levels));
    }
    sample
}

/// Pairs of the store: what its decisions kept of each candidate, and members drawn blindly.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`] for a profile that cannot be read.
pub fn of_store(store: &Store) -> Result<Sample, Failure> {
    let mut sample = Sample::default();
    let roster = store.read_blocking(|db| store.roster(db))?;
    sample.records = roster.facts.records();
    let mut filter = DecisionFilter {
        limit: LIMIT_MAX,
        ..DecisionFilter::default()
    };
    let mut seen = HashSet::new();
    loop {
        let page = store.read_blocking(|db| ops_queries::decisions(db, &filter, None))?;
        for row in &page {
            // Who asks again for somebody it has, or asks the same again, teaches nothing new, and must not teach it twice.
            let mut hasher = DefaultHasher::new();
            match &row.patient_id {
                Some(patient) => (&row.partner_id, patient).hash(&mut hasher),
                None => (&row.partner_id, "", &row.detail).hash(&mut hasher),
            }
            let again = !seen.insert(hasher.finish());
            if !again {
                decided(&row.detail, &mut sample.pairs)?;
            }
        }
        match page.last() {
            Some(last) if page.len() as i64 > LIMIT_MAX => filter.cursor = Some(last.id.clone()),
            _ => break,
        }
    }
    let held = drawn(store, sample.records)?;
    for row in 0..held.len() {
        for other in (0..OTHERS)
            .map(|step| strided(row, step, held.len()))
            .filter(|other| *other != row)
        {
            sample
                .random
                .add(compare(&held[row], &held[other], &roster.facts).levels);
        }
    }
    Ok(sample)
}

/// The levels of the candidates of one decision that the matcher took.
fn decided(detail: &str, pairs: &mut Patterns) -> Result<(), Failure> {
    let detail: Value =
        serde_json::from_str(detail).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    for candidate in detail["candidates"].as_array().into_iter().flatten() {
        // Decisions of an older method have no weights and other levels.
        let (Some(fields), true) = (candidate["fields"].as_object(), candidate["weights"].is_object()) else {
            continue;
        };
        let names = fields
            .iter()
            .filter_map(|(field, level)| Some((field.as_str(), level.as_str()?)));
        let levels = Levels::named(names);
        if levels != Levels::default() && levels.0.iter().any(|level| *level != Level::Missing) {
            pairs.add(levels);
        }
    }
    Ok(())
}

/// Members spread over the whole roster.
fn drawn(store: &Store, records: u64) -> Result<Vec<Profile>, Failure> {
    let every = (usize::try_from(records).unwrap_or(usize::MAX) / DRAWN).max(1);
    let (mut held, mut after, mut seen) = (Vec::new(), 0, 0usize);
    loop {
        let page = store.read_blocking(|db| rows::page(db, after, PAGE))?;
        let Some((last, _)) = page.last() else { return Ok(held) };
        after = *last;
        for (_, bytes) in &page {
            seen += 1;
            if seen.is_multiple_of(every) {
                let profile = Profile::unpack(bytes);
                held.push(
                    profile.ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a profile cannot be read"))?,
                );
            }
        }
    }
}

/// Another place for each step, spread by two primes; no randomness, so that the same input gives the same policy.
fn strided(row: usize, step: usize, length: usize) -> usize {
    (row.wrapping_mul(7_919).wrapping_add(step.wrapping_mul(104_729))) % length.max(1)
}

//! Weights in bits and their sum. Fields that relatives share count as one bundle, so that a household never adds up to a match.

use crate::comparison::Comparison;
use crate::facts::Facts;
use crate::field::{FIELDS, Field, Level, Levels};
use crate::policy::MatchingPolicy;

/// The weight of each field, and the total including the prior.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Weight of each field in bits, before the bundle is limited.
    pub weights: [f64; FIELDS],
    /// Bits of the fields that belong to the person alone.
    pub individual: f64,
    /// Bits of the fields that the household shares, after they are limited.
    pub household: f64,
    /// Total bits: individual and household, less the logarithm of the population.
    pub total: f64,
}

/// The greatest negative weight of all contradicting household fields together, because people move, marry and change plans at the same
/// time.
const HOUSEHOLD_FLOOR: f64 = -9.0;

/// Computes the score of a comparison.
pub fn score(compared: &Comparison, facts: &Facts, policy: &MatchingPolicy) -> Score {
    let levels = &compared.levels;
    let mut score = Score::default();
    for field in Field::ALL {
        score.weights[field as usize] = match (field, levels.of(field)) {
            (_, Level::Missing) => 0.0,
            (Field::Given, Level::Exact) => by_share(policy, field, compared.given_share, policy.given_bits),
            (Field::Family, Level::Exact) => by_share(policy, field, compared.family_share, policy.family_bits),
            (_, level) => policy.weight(field, level),
        };
    }
    for field in Field::ALL.into_iter().filter(|field| !field.of_household()) {
        score.individual += score.weights[field as usize];
    }
    score.individual += match levels.of(Field::MemberId) {
        Level::Exact => policy.dependent_bits[0],
        Level::Remote => policy.dependent_bits[1],
        _ => 0.0,
    };
    score.household = household(&score.weights, policy);
    score.total = score.individual + score.household - population(facts, policy).log2();
    score
}

/// The number of people with whom the person could be confused.
pub fn population(facts: &Facts, policy: &MatchingPolicy) -> f64 {
    (facts.records() as f64).max(policy.population).max(1.0)
}

fn by_share(policy: &MatchingPolicy, field: Field, share: f64, [least, most]: [f64; 2]) -> f64 {
    let m = policy.shares(field, Level::Exact).m;
    if share > 0.0 {
        (m / share).log2().max(least).min(most)
    } else {
        policy.weight(field, Level::Exact)
    }
}

/// The bits of the household: the strongest field counts in full, the others in part, and contradictions count at most up to the floor.
pub(crate) fn household(weights: &[f64; FIELDS], policy: &MatchingPolicy) -> f64 {
    let mut shared: Vec<f64> = Field::ALL
        .into_iter()
        .filter(|field| field.of_household())
        .map(|field| weights[field as usize])
        .collect();
    shared.sort_by(|a, b| b.total_cmp(a));
    let for_it: f64 = shared
        .iter()
        .zip(policy.household_shares)
        .map(|(weight, share)| weight.max(0.0) * share)
        .sum();
    let against: f64 = shared.iter().map(|weight| weight.min(0.0)).sum();
    for_it.min(policy.household_cap) + against.max(HOUSEHOLD_FLOOR)
}

/// The expected number of strangers in the whole population who satisfy these levels by chance, which limits a deterministic rule.
///
/// Each field of the person alone counts; of the fields that a household shares, only the rarest counts.
pub fn collisions(needs: &[(Field, &[Level])], facts: &Facts, policy: &MatchingPolicy) -> f64 {
    let chance =
        |field: Field, levels: &[Level]| -> f64 { levels.iter().map(|level| policy.shares(field, *level).u).sum() };
    let own: f64 = needs
        .iter()
        .filter(|(field, _)| !field.of_household())
        .map(|(field, levels)| chance(*field, levels))
        .product();
    let shared = needs
        .iter()
        .filter(|(field, _)| field.of_household())
        .map(|(field, levels)| chance(*field, levels))
        .fold(1.0, f64::min);
    own * shared * population(facts, policy)
}

/// Whether the levels satisfy a rule.
pub fn satisfies(levels: &Levels, needs: &[(Field, &[Level])]) -> bool {
    needs.iter().all(|(field, any)| levels.is(*field, any))
}

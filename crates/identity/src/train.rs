//! Estimates a policy's shares from pairs that nobody labelled: expectation-maximisation over levels, fields taken as independent.
//!
//! Pure and deterministic: the same pairs give the same policy. It starts from a policy and may not reverse what the policy
//! means: an estimate never lets agreement count against a person or contradiction for one.

use crate::field::{FIELDS, Field, LEVELS, Level, Levels};
use crate::policy::{LevelShares, MatchingPolicy};
use std::collections::BTreeMap;

/// How often each combination of levels was seen.
#[derive(Clone, Debug, Default)]
pub struct Patterns(BTreeMap<[Level; FIELDS], u64>);

impl Patterns {
    /// Counts one pair.
    pub fn add(&mut self, levels: Levels) {
        *self.0.entry(levels.0).or_default() += 1;
    }

    /// Number of pairs.
    pub fn pairs(&self) -> u64 {
        self.0.values().sum()
    }

    fn iter(&self) -> impl Iterator<Item = (Levels, f64)> + '_ {
        self.0.iter().map(|(levels, count)| (Levels(*levels), *count as f64))
    }
}

/// What is learnt of strangers.
#[derive(Clone, Debug)]
pub enum Strangers {
    /// The shares among strangers come with the pairs: right when the pairs were found by blocking and are decided among.
    FromPairs,
    /// They come from pairs drawn blindly, nearly all of them strangers: right for a policy that must hold for any blocking.
    FromRandom(Patterns),
    /// The same for requests against a roster of so many records, where most pairs that share a key are relatives: what a
    /// household shares counts as one bundle, and a pair starts as one in the roster.
    FromRoster(Patterns, u64),
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The start with new shares.
    pub policy: MatchingPolicy,
    /// Share of the pairs that are of one person.
    pub same: f64,
    /// Rounds until nothing moved.
    pub rounds: usize,
}

const ROUNDS: usize = 200;
/// Pairs that each level is thought to have been seen in beforehand, spread as the starting policy says.
const BELIEF: f64 = 2.0;
/// Bits that a share may move from the start when its level was never seen; each doubling of what was seen allows one more.
const UNSEEN_BITS: f64 = 1.0;
/// Shares stay clear of 0, so that one pair never decides everything.
const LEAST: f64 = 1e-7;

/// Estimates shares from `pairs`, starting at `start`.
pub fn train(pairs: &Patterns, start: &MatchingPolicy, strangers: &Strangers) -> Estimate {
    let mut policy = start.clone();
    let random = match strangers {
        Strangers::FromRandom(random) | Strangers::FromRoster(random, _) => Some(random),
        Strangers::FromPairs => None,
    };
    if let Some(random) = random {
        let mut counts = Counts::default();
        for (levels, count) in random.iter() {
            counts.add(&levels, 0.0, count);
        }
        counts.write(&mut policy, start, false, true);
    }
    let all = pairs.pairs() as f64;
    let mut estimate = Estimate {
        policy,
        same: 0.2,
        rounds: 0,
    };
    if all == 0.0 {
        return estimate;
    }
    for round in 1..=ROUNDS {
        let mut counts = Counts::default();
        let mut same = 0.0;
        for (levels, count) in pairs.iter() {
            let p = match strangers {
                Strangers::FromRoster(_, records) => {
                    let bits = bundled(&levels, &estimate.policy) - (*records as f64).max(2.0).log2();
                    1.0 / (1.0 + (-bits).exp2())
                }
                _ => posterior(&levels, &estimate.policy, estimate.same),
            };
            same += p * count;
            counts.add(&levels, p * count, (1.0 - p) * count);
        }
        let moved = (same / all - estimate.same).abs();
        estimate.same = (same / all).clamp(1e-9, 1.0 - 1e-9);
        estimate.rounds = round;
        counts.write(&mut estimate.policy, start, true, random.is_none());
        if moved < 1e-9 {
            break;
        }
    }
    estimate
}

/// Probability that a pair with these levels is of one person, when `same` of all pairs are.
pub fn posterior(levels: &Levels, policy: &MatchingPolicy, same: f64) -> f64 {
    let bits = bits(levels, policy) + (same / (1.0 - same)).log2();
    1.0 / (1.0 + (-bits).exp2())
}

/// Sum of the weights, every field counted whole.
pub fn bits(levels: &Levels, policy: &MatchingPolicy) -> f64 {
    Field::ALL
        .into_iter()
        .filter(|field| levels.of(*field) != Level::Missing)
        .map(|field| policy.weight(field, levels.of(field)))
        .sum()
}

/// Sum of the weights with the household as one bundle.
fn bundled(levels: &Levels, policy: &MatchingPolicy) -> f64 {
    let mut weights = [0.0; FIELDS];
    for field in Field::ALL {
        if levels.of(field) != Level::Missing {
            weights[field as usize] = policy.weight(field, levels.of(field));
        }
    }
    let own: f64 = Field::ALL
        .into_iter()
        .filter(|field| !field.of_household())
        .map(|field| weights[field as usize])
        .sum();
    own + crate::score::household(&weights, policy)
}

#[derive(Default)]
struct Counts {
    same: [[f64; LEVELS]; FIELDS],
    strangers: [[f64; LEVELS]; FIELDS],
}

impl Counts {
    fn add(&mut self, levels: &Levels, same: f64, strangers: f64) {
        for field in Field::ALL {
            let level = levels.of(field) as usize;
            self.same[field as usize][level] += same;
            self.strangers[field as usize][level] += strangers;
        }
    }

    fn write(&self, policy: &mut MatchingPolicy, start: &MatchingPolicy, same: bool, strangers: bool) {
        for field in Field::ALL {
            let sum = |counts: &[[f64; LEVELS]; FIELDS]| -> f64 {
                field
                    .levels()
                    .iter()
                    .map(|level| counts[field as usize][*level as usize])
                    .sum()
            };
            let believed = |pick: fn(LevelShares) -> f64| -> f64 {
                field.levels().iter().map(|l| pick(start.shares(field, *l))).sum()
            };
            let (all_same, all_strangers) = (sum(&self.same), sum(&self.strangers));
            let (m_sum, u_sum) = (believed(|s| s.m), believed(|s| s.u));
            for level in field.levels() {
                let old = policy.shares(field, *level);
                let first = start.shares(field, *level);
                let share = |count: f64, all: f64, believed: f64| {
                    let found = (count + BELIEF * believed) / (all + BELIEF);
                    let far = (UNSEEN_BITS + (1.0 + count).log2()).exp2();
                    found.clamp(believed / far, believed * far).clamp(LEAST, 1.0)
                };
                let m = share(self.same[field as usize][*level as usize], all_same, first.m / m_sum);
                let u = share(
                    self.strangers[field as usize][*level as usize],
                    all_strangers,
                    first.u / u_sum,
                );
                let mut new = LevelShares {
                    m: if same { m } else { old.m },
                    u: if strangers { u } else { old.u },
                };
                // Exact agreement never speaks against a person, contradiction never for one.
                if *level == Level::Exact {
                    new.m = new.m.max(new.u);
                } else if *level == Level::Differ {
                    new.u = new.u.max(new.m);
                }
                policy.set_shares(field, *level, new);
            }
            in_order(policy, field, strangers);
        }
    }
}

/// Nothing weighs more than exact agreement, nothing less than contradiction: what was seen too seldom to tell gives way. Where the
/// shares of strangers are not learnt in this round they stay as they are, and the other share gives way alone.
fn in_order(policy: &mut MatchingPolicy, field: Field, strangers: bool) {
    let [most, least] = [Level::Exact, Level::Differ].map(|level| policy.weight(field, level));
    for level in field.levels() {
        let weight = policy.weight(field, *level);
        let mut shares = policy.shares(field, *level);
        if weight > most {
            if strangers {
                shares.u = (shares.m / most.exp2()).min(1.0);
            }
            shares.m = shares.m.min(shares.u * most.exp2());
        } else if weight < least {
            shares.m = (shares.u * least.exp2()).min(1.0);
        }
        policy.set_shares(field, *level, shares);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a fixed seed; no randomness in the crate.
    fn next(state: &mut u64) -> f64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn shares_that_made_the_pairs_are_found_again() {
        let (mut state, mut pairs) = (7, Patterns::default());
        for _ in 0..20_000 {
            let same = next(&mut state) < 0.1;
            let mut levels = Levels::default();
            for (field, m, u) in [
                (Field::Given, 0.9, 0.01),
                (Field::Family, 0.8, 0.02),
                (Field::Birth, 0.95, 0.001),
                (Field::Gender, 0.98, 0.5),
            ] {
                let agrees = next(&mut state) < if same { m } else { u };
                levels.set(field, if agrees { Level::Exact } else { Level::Differ });
            }
            pairs.add(levels);
        }
        let found = train(&pairs, &MatchingPolicy::default(), &Strangers::FromPairs);
        assert!((found.same - 0.1).abs() < 0.01, "{}", found.same);
        for (field, m, u) in [
            (Field::Given, 0.9, 0.01),
            (Field::Family, 0.8, 0.02),
            (Field::Gender, 0.98, 0.5),
        ] {
            let shares = found.policy.shares(field, Level::Exact);
            assert!(
                (shares.m - m).abs() < 0.03 && (shares.u - u).abs() < 0.02,
                "{field:?} {shares:?}"
            );
        }
    }

    #[test]
    fn what_was_never_seen_does_not_come_to_outweigh_agreement() {
        let start = MatchingPolicy::default();
        let (mut pairs, mut strangers) = (Patterns::default(), Patterns::default());
        for at in 0..80_000u32 {
            let mut levels = Levels::default();
            for field in Field::ALL {
                levels.set(field, if at % 500 == 0 { Level::Exact } else { Level::Differ });
            }
            strangers.add(levels);
            if at % 8 == 0 {
                Field::ALL.into_iter().for_each(|field| levels.set(field, Level::Exact));
                pairs.add(levels);
            }
        }
        let trained = train(&pairs, &start, &Strangers::FromRoster(strangers, 2_000)).policy;
        for field in Field::ALL {
            for level in field.levels() {
                let weight = trained.weight(field, *level);
                let (most, least) = (
                    trained.weight(field, Level::Exact),
                    trained.weight(field, Level::Differ),
                );
                assert!(
                    least - 1e-9 <= weight && weight <= most + 1e-9,
                    "{field:?} {level:?}: {weight}"
                );
                if ![Level::Exact, Level::Differ].contains(level) {
                    let moved = (weight - start.weight(field, *level)).abs();
                    assert!(
                        moved <= 4.0 || weight >= most - 1e-9,
                        "{field:?} {level:?} moved {moved} bits unseen"
                    );
                }
            }
        }
        assert!(MatchingPolicy::parse(&trained.canonical()).is_ok());
    }

    #[test]
    fn no_pairs_change_nothing_and_the_result_is_a_policy() {
        let start = MatchingPolicy::default();
        assert_eq!(train(&Patterns::default(), &start, &Strangers::FromPairs).policy, start);
        let mut pairs = Patterns::default();
        pairs.add(Levels::default());
        let trained = train(&pairs, &start, &Strangers::FromPairs).policy;
        assert!(MatchingPolicy::parse(&trained.canonical()).is_ok());
    }
}

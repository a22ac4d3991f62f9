//! Decides again from a decision record: what other numbers would have made of the levels that were recorded.
//!
//! A record holds levels, weights to a tenth of a bit, and the first guard that applied; it holds no value and no profile. So the result is
//! the decision that [`decide`](crate::decide()) would have taken, or what the record lacks to say. It never guesses.

use crate::comparison::Comparison;
use crate::evidence::{Evidence, evidence};
use crate::facts::Facts;
use crate::field::{FIELDS, Field, Level, Levels};
use crate::guard::Guard;
use crate::policy::{Bounds, MatchingPolicy, Point};
use crate::rules;
use crate::score::score;
use std::collections::HashMap;

/// The kind of an outcome, without whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// One person matches.
    Match,
    /// A reviewer decides.
    Review,
    /// Nobody matches.
    None,
}

impl OutcomeKind {
    /// Its name in a decision record.
    pub const fn code(self) -> &'static str {
        match self {
            OutcomeKind::Match => "match",
            OutcomeKind::Review => "review",
            OutcomeKind::None => "none",
        }
    }
}

/// A candidate as recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordedCandidate {
    /// How its fields compared.
    pub levels: Levels,
    /// Bits of each field, to a tenth.
    pub weights: [f64; FIELDS],
    /// Bits in all, to a tenth.
    pub total: f64,
}

/// A decision as recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedDecision {
    /// What was decided about identity.
    pub outcome: OutcomeKind,
    /// The first guard that applied.
    pub guard: Option<Guard>,
    /// Bits by which the best person led the next one; `None` without another.
    pub margin: Option<f64>,
    /// Records of the roster then.
    pub records: u64,
    /// The best candidates, best first.
    pub candidates: Vec<RecordedCandidate>,
    /// How many candidates were compared.
    pub compared: usize,
}

/// What other numbers make of a recorded decision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecidedAgain {
    /// The outcome; `None` when the record lacks what it depends on.
    pub outcome: Option<OutcomeKind>,
    /// The guard that applies, as far as that is known.
    pub guard: Option<Guard>,
    /// Bits of the best candidate.
    pub total: Option<f64>,
    /// Bits that it needs.
    pub needed: Option<f64>,
    /// Bits by which it leads the next person.
    pub margin: Option<f64>,
    /// What the record lacks.
    pub lacks: Vec<&'static str>,
}

/// Two numbers of which one was rounded to a tenth are equal within this.
const ROUNDED: f64 = 0.06;
const NAME: &str = "how common a name is, which the record holds only up to a limit";
const ORDER: &str = "what guards read of the candidate that would come first";
const FURTHER: &str = "the candidates beyond those that a record keeps";
const LATER: &str = "the guards after the first one that applied";
const TENTHS: &str = "more than tenths of a bit, so near a bound";
const POINT: &str = "what a guard of the other operating point reads";

/// Decides again with the numbers `new` what was decided with the numbers `old`.
pub fn decide_again(
    once: &RecordedDecision,
    old: (&MatchingPolicy, Point),
    new: (&MatchingPolicy, Point),
) -> DecidedAgain {
    if once.candidates.is_empty() {
        return DecidedAgain {
            outcome: Some(OutcomeKind::None),
            ..DecidedAgain::default()
        };
    }
    let facts = Facts::from_counts(once.records, [(); 4].map(|()| HashMap::new()));
    let mut again = Again {
        once,
        old,
        new,
        facts: &facts,
        same: old.1 == new.1 && old.0 == new.0,
        said: DecidedAgain::default(),
    };
    again.run();
    again.said
}

struct Again<'a> {
    once: &'a RecordedDecision,
    old: (&'a MatchingPolicy, Point),
    new: (&'a MatchingPolicy, Point),
    facts: &'a Facts,
    same: bool,
    said: DecidedAgain,
}

impl Again<'_> {
    fn lacks(&mut self, what: &'static str) {
        if !self.said.lacks.contains(&what) {
            self.said.lacks.push(what);
        }
    }

    fn run(&mut self) {
        let totals: Vec<f64> = (0..self.once.candidates.len()).map(|at| self.total(at)).collect();
        let top = totals.first().copied().unwrap_or_default();
        self.said.total = Some(top);
        if !self.same {
            if self.once.compared > self.once.candidates.len() {
                self.lacks(FURTHER);
            }
            let by_total = self.once.candidates.is_sorted_by(|a, b| a.total >= b.total - ROUNDED);
            if !by_total || totals.iter().skip(1).any(|other| *other > top + ROUNDED) {
                self.lacks(ORDER);
            }
        }
        let levels = self.once.candidates[0].levels;
        let (old, new) = (self.old.0.bounds(self.old.1), self.new.0.bounds(self.new.1));
        let needed = needed(&levels, new);
        self.said.needed = Some(needed);
        self.said.margin = self.margin(&totals, old, new);
        let moved = (top - self.once.candidates[0].total).abs() > f64::EPSILON;
        let has_rule = rules::first(&levels, self.facts, self.new.0).is_some();
        let guard = self.guard(&levels, |again, guard| match guard {
            Guard::Rival => match again.said.margin {
                None => false,
                Some(margin) => {
                    let known = !moved && old.margin == new.margin;
                    again.below(margin, new.margin, known, Guard::Rival)
                }
            },
            _ => {
                !has_rule && {
                    let known = !moved && self::needed(&levels, old) == needed;
                    again.below(top, needed, known, Guard::Weak)
                }
            }
        });
        self.said.guard = guard;
        let outcome = match guard {
            None => OutcomeKind::Match,
            Some(guard) if guard.row().always_review => OutcomeKind::Review,
            Some(_) => {
                let known = !moved && old.review == new.review && self.once.outcome != OutcomeKind::Match;
                let is_below = match (top - new.review).abs() <= ROUNDED {
                    false => top < new.review,
                    true if known => self.once.outcome == OutcomeKind::None,
                    true => {
                        self.lacks(TENTHS);
                        top < new.review
                    }
                };
                if is_below {
                    OutcomeKind::None
                } else {
                    OutcomeKind::Review
                }
            }
        };
        if self.said.lacks.is_empty() {
            self.said.outcome = Some(outcome);
        }
    }

    /// The bits of a candidate under the new numbers: the recorded ones, moved by what the numbers change.
    fn total(&mut self, at: usize) -> f64 {
        let one = &self.once.candidates[at];
        if self.same {
            return one.total;
        }
        let given_share = self.share(at, Field::Given);
        let family_share = self.share(at, Field::Family);
        let compared = Comparison {
            levels: one.levels,
            given_share,
            family_share,
        };
        let by = |policy| score(&compared, self.facts, policy).total;
        one.total + by(self.new.0) - by(self.old.0)
    }

    /// The share of the roster that bears a name, from what its agreement weighed.
    fn share(&mut self, at: usize, field: Field) -> f64 {
        let one = &self.once.candidates[at];
        if one.levels.of(field) != Level::Exact {
            return 0.0;
        }
        let bits = |policy: &MatchingPolicy| match field {
            Field::Given => policy.given_bits,
            _ => policy.family_bits,
        };
        let (weight, [least, most]) = (one.weights[field as usize], bits(self.old.0));
        let m = self.old.0.shares(field, Level::Exact).m;
        let is_limited = weight <= least + ROUNDED || weight >= most - ROUNDED;
        let is_other = bits(self.old.0) != bits(self.new.0) || m != self.new.0.shares(field, Level::Exact).m;
        if is_limited && is_other {
            self.lacks(NAME);
        }
        m / weight.exp2()
    }

    /// Bits by which the best person leads the next one. Of records that are of the same person, the recorded lead shows which they are.
    fn margin(&mut self, totals: &[f64], old: Bounds, new: Bounds) -> Option<f64> {
        if self.same {
            return self.once.margin;
        }
        let recorded = &self.once.candidates;
        let lead = |at: usize| recorded[0].total - recorded[at].total;
        let rival = self
            .once
            .margin
            .and_then(|margin| (1..recorded.len()).find(|at| (lead(*at) - margin).abs() <= 2.0 * ROUNDED));
        if self.once.margin.is_some() && rival.is_none() {
            // The next person is beyond the candidates that are kept.
            self.lacks(FURTHER);
        }
        let near = |margin: f64, bounds: Bounds| margin < 2.0 * bounds.margin.max(1.0);
        let mut found = None;
        for at in 1..recorded.len() {
            let margin = totals[0] - totals[at];
            let was_same = rival.is_none_or(|rival| at < rival);
            let is_rival = match was_same {
                // A record of the same person counts when it is far.
                true => !near(margin, new),
                false if near(lead(at), old) || !near(margin, new) => true,
                false => {
                    self.lacks(ORDER);
                    true
                }
            };
            if is_rival {
                found = Some(margin);
                break;
            }
        }
        found
    }

    /// Whether `bits` are below `bound`. So near the bound that rounding decides, the recorded guard says it, if nothing has `moved`.
    fn below(&mut self, bits: f64, bound: f64, known: bool, guard: Guard) -> bool {
        if (bits - bound).abs() > ROUNDED {
            return bits < bound;
        }
        if !known {
            self.lacks(TENTHS);
            return bits < bound;
        }
        self.once.guard == Some(guard)
    }

    /// The first guard that applies. `by_numbers` judges those that read bits.
    fn guard(&mut self, levels: &Levels, by_numbers: impl Fn(&mut Self, Guard) -> bool) -> Option<Guard> {
        let recorded = self.once.guard;
        for guard in Guard::ALL {
            if matches!(guard, Guard::Rival | Guard::Weak) {
                if by_numbers(self, guard) {
                    return Some(guard);
                }
                continue;
            }
            let reads_point = match guard {
                Guard::SsnContradicts => levels.of(Field::Ssn) == Level::Differ,
                Guard::ThinContradicted => matches!(evidence(levels), Evidence::Thin | Evidence::Faint),
                _ => false,
            };
            if reads_point && self.old.1 != self.new.1 {
                self.lacks(POINT);
            }
            match recorded {
                Some(first) if first == guard => return Some(guard),
                // A guard after the first one that applied: nobody knows, unless nothing applied.
                Some(first) if (first as usize) < guard as usize => self.lacks(LATER),
                _ => {}
            }
        }
        None
    }
}

fn needed(levels: &Levels, bounds: Bounds) -> f64 {
    let renamed = levels.is(Field::Family, &[Level::Differ, Level::Alike]);
    match evidence(levels) {
        Evidence::Thin if renamed => bounds.renamed,
        Evidence::Faint => bounds.faint,
        Evidence::Thin => bounds.thin,
        _ => bounds.accept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(total: f64) -> RecordedCandidate {
        let mut levels = Levels::default();
        for field in [Field::Given, Field::Family, Field::Birth, Field::Ssn, Field::Address] {
            levels.set(field, Level::Exact);
        }
        let mut weights = [0.0; FIELDS];
        (weights[Field::Given as usize], weights[Field::Family as usize]) = (8.0, 8.0);
        RecordedCandidate { levels, weights, total }
    }

    fn decision(outcome: OutcomeKind, guard: Option<Guard>, total: f64) -> RecordedDecision {
        RecordedDecision {
            outcome,
            guard,
            margin: None,
            records: 10,
            candidates: vec![candidate(total)],
            compared: 1,
        }
    }

    fn policy(change: impl Fn(String) -> String) -> MatchingPolicy {
        MatchingPolicy::parse(&change(MatchingPolicy::default().canonical())).expect("a policy")
    }

    #[test]
    fn the_same_numbers_decide_the_same_however_near_the_bound() {
        let ships = MatchingPolicy::default();
        let by = (&ships, Point::Safe);
        let accept = ships.bounds(Point::Safe).accept;
        for (outcome, guard, total) in [
            (OutcomeKind::Match, None, 30.0),
            (OutcomeKind::Match, None, accept),
            (OutcomeKind::Review, Some(Guard::Weak), accept),
            (OutcomeKind::Review, Some(Guard::BirthDiffers), 25.0),
            (OutcomeKind::None, Some(Guard::BirthDiffers), -5.0),
        ] {
            let again = decide_again(&decision(outcome, guard, total), by, by);
            // A rule of the catalog holds for these levels, so that weakness never applies.
            if guard == Some(Guard::Weak) {
                continue;
            }
            assert_eq!((again.outcome, again.guard), (Some(outcome), guard), "{again:?}");
        }
        let nobody = RecordedDecision {
            candidates: Vec::new(),
            compared: 0,
            ..decision(OutcomeKind::None, None, 0.0)
        };
        assert_eq!(decide_again(&nobody, by, by).outcome, Some(OutcomeKind::None));
    }

    #[test]
    fn stricter_bounds_turn_a_match_into_a_review_or_into_nothing() {
        let ships = MatchingPolicy::default();
        let strict = policy(|text| {
            let lines = text.lines().map(|line| match line.split_once(" = ") {
                Some((key, _)) if key.starts_with("rule.") => format!("{key} = 0\n"),
                Some((key @ ("safe.accept" | "safe.thin" | "safe.faint" | "safe.renamed"), _)) => {
                    format!("{key} = 5000\n")
                }
                _ => format!("{line}\n"),
            });
            lines.collect()
        });
        let once = decision(OutcomeKind::Match, None, 30.0);
        let again = decide_again(&once, (&ships, Point::Safe), (&strict, Point::Safe));
        assert_eq!(
            (again.outcome, again.guard, again.needed),
            (Some(OutcomeKind::Review), Some(Guard::Weak), Some(5000.0)),
            "{again:?}"
        );
        let back = RecordedDecision {
            outcome: OutcomeKind::Review,
            guard: Some(Guard::Weak),
            ..once
        };
        let again = decide_again(&back, (&strict, Point::Safe), (&ships, Point::Safe));
        assert_eq!(
            again.outcome, None,
            "whether the guard after it applied is not on record"
        );
        assert_eq!(again.lacks, [LATER]);
    }

    #[test]
    fn what_the_record_lacks_is_said_and_not_guessed() {
        let ships = MatchingPolicy::default();
        let [least, most] = ships.given_bits;
        let mut once = decision(OutcomeKind::Match, None, 30.0);
        once.candidates[0].weights[Field::Given as usize] = most;
        let wide = policy(|text| {
            let line = format!("given.bits = {least} {most}\n");
            assert!(text.contains(&line), "{text}");
            text.replace(&line, &format!("given.bits = {least} {}\n", most + 1.0))
        });
        let again = decide_again(&once, (&ships, Point::Safe), (&wide, Point::Safe));
        assert_eq!((again.outcome, again.lacks.as_slice()), (None, [NAME].as_slice()));
        once.compared = 9;
        let again = decide_again(&once, (&ships, Point::Safe), (&wide, Point::Safe));
        assert!(again.lacks.contains(&FURTHER));
    }
}

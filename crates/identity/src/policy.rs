//! The policy: every number that affects a decision, as a text that can be compared and addressed by its hash. Contains no rules.

use crate::catalogue::{CATALOGUE, RULES};
use crate::field::{FIELDS, Field, LEVELS, Level};
use std::fmt::Write as _;
use std::sync::LazyLock;

const DEFAULT: &str = include_str!("default.policy");

/// A named balance between automatic matches and reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Point {
    /// Doubtful matches go to a reviewer.
    #[default]
    Safe,
    /// Fewer reviews, for a payer that accepts a slightly higher risk.
    Balanced,
}

impl Point {
    /// The name in the configuration and in a decision record.
    pub const fn code(self) -> &'static str {
        match self {
            Point::Safe => "safe",
            Point::Balanced => "balanced",
        }
    }
}

/// The thresholds of a decision, as total bits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// For an automatic match.
    pub accept: f64,
    /// For an automatic match when there is only thin evidence in addition to name and birth date.
    pub thin: f64,
    /// For an automatic match when that evidence is only the state.
    pub faint: f64,
    /// For an automatic match of somebody who moved and changed the family name.
    pub renamed: f64,
    /// For a review.
    pub review: f64,
    /// The margin over the next person.
    pub margin: f64,
}

/// How often a level occurs among pairs of the same person and among pairs of strangers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LevelShares {
    /// Among pairs of the same person.
    pub m: f64,
    /// Among pairs of strangers.
    pub u: f64,
}

/// All numbers that affect decisions.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchingPolicy {
    pub(crate) shares: [[LevelShares; LEVELS]; FIELDS],
    pub(crate) given_bits: [f64; 2],
    pub(crate) family_bits: [f64; 2],
    pub(crate) household_shares: [f64; 4],
    pub(crate) household_cap: f64,
    pub(crate) dependent_bits: [f64; 2],
    pub(crate) population: f64,
    pub(crate) rule_bounds: [f64; RULES],
    safe: Bounds,
    balanced: Bounds,
}

/// Why a text is not a valid policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Line number from 1; 0 when a line is missing.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for PolicyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for PolicyError {}

impl Default for MatchingPolicy {
    /// The built-in policy. A test parses it, so the empty policy in `unwrap_or_else` is never used.
    fn default() -> Self {
        MatchingPolicy::parse(DEFAULT).unwrap_or_else(|_| MatchingPolicy::empty())
    }
}

/// Most bits that a name, or the dependent digits of a number, may be worth.
const NAME_BITS_MOST: f64 = 16.0;
/// Most bits that a household may be worth; a household alone must never make a match.
const HOUSEHOLD_CAP_MOST: f64 = 24.0;
/// Difference in bits that rounding alone may cause between two weights.
const ROUNDING: f64 = 1e-6;

impl MatchingPolicy {
    fn empty() -> MatchingPolicy {
        MatchingPolicy {
            shares: [[LevelShares::default(); LEVELS]; FIELDS],
            given_bits: [0.0; 2],
            family_bits: [0.0; 2],
            household_shares: [0.0; 4],
            household_cap: 0.0,
            dependent_bits: [0.0; 2],
            population: 1.0,
            rule_bounds: [0.0; RULES],
            safe: Bounds {
                accept: f64::INFINITY,
                ..Bounds::default()
            },
            balanced: Bounds {
                accept: f64::INFINITY,
                ..Bounds::default()
            },
        }
    }

    /// Reads a policy. Every number must be given exactly once, and each share must be above 0 and at most 1.
    ///
    /// # Errors
    /// The first line that is unknown, repeated, malformed or out of range; line 0 for a missing number.
    pub fn parse(text: &str) -> Result<MatchingPolicy, PolicyError> {
        let mut policy = MatchingPolicy::empty();
        let mut seen: Vec<&str> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let fail = |what: &str| PolicyError {
                line: number,
                what: what.to_owned(),
            };
            let (key, values) = line.split_once('=').ok_or_else(|| fail("expected key = numbers"))?;
            let key = key.trim();
            if seen.contains(&key) {
                return Err(fail("repeated"));
            }
            seen.push(key);
            let values: Vec<f64> = values
                .split_whitespace()
                .map(|value| value.parse().ok().filter(|n: &f64| n.is_finite()))
                .collect::<Option<_>>()
                .ok_or_else(|| fail("not a number"))?;
            if let ("rule.collisions", [bound]) = (key, values.as_slice()) {
                // One bound for all rules: the older form of policies, before each rule had its own.
                policy.rule_bounds = [*bound; RULES];
                seen.extend(RULE_KEYS.iter().map(String::as_str));
                continue;
            }
            let places = policy.places(key).ok_or_else(|| fail("unknown key"))?;
            if places.len() != values.len() {
                return Err(fail("wrong count of numbers"));
            }
            for (place, value) in places.into_iter().zip(&values) {
                *place = *value;
            }
            let is_share = split_share(key).is_some();
            if is_share && values.iter().any(|v| *v <= 0.0 || *v > 1.0) {
                return Err(fail("a share is above 0 and at most 1"));
            }
        }
        for key in keys() {
            if !seen.contains(&key.as_str()) {
                return Err(PolicyError {
                    line: 0,
                    what: format!("missing {key}"),
                });
            }
        }
        Ok(policy)
    }

    /// Returns what is absurd about the policy, if anything: for example, that a typing error has a higher weight than agreement, or that
    /// no evidence is needed.
    pub fn absurdity(&self) -> Option<String> {
        for field in Field::ALL {
            let [most, least] = [Level::Exact, Level::Differ].map(|level| self.weight(field, level));
            let wrong = field.levels().iter().find(|level| {
                let weight = self.weight(field, **level);
                weight > most + ROUNDING || weight < least - ROUNDING
            });
            if let Some(level) = wrong {
                let (field, level) = (field.code(), level.code());
                return Some(format!(
                    "{field}.{level} weighs more than agreement or less than contradiction"
                ));
            }
            if most < -ROUNDING || least > ROUNDING {
                return Some(format!(
                    "{}: agreement counts against, or contradiction for",
                    field.code()
                ));
            }
        }
        for (point, bounds) in [("safe", self.safe), ("balanced", self.balanced)] {
            let needed = [bounds.accept, bounds.thin, bounds.faint, bounds.renamed];
            if bounds.review <= 0.0 || bounds.margin < 0.0 || needed.iter().any(|bits| *bits < bounds.review) {
                return Some(format!(
                    "{point}: a match needs at least the bits of a review, a review more than 0, a margin 0 or more"
                ));
            }
        }
        for (name, [least, most]) in [("given.bits", self.given_bits), ("family.bits", self.family_bits)] {
            if least > most || least < 0.0 || most > NAME_BITS_MOST {
                return Some(format!("{name}: from 0 to {NAME_BITS_MOST}, the less first"));
            }
        }
        let [own, others] = self.dependent_bits;
        if !(0.0..=NAME_BITS_MOST).contains(&own) || !(-NAME_BITS_MOST..=0.0).contains(&others) {
            return Some("dependent.bits: the first counts for a person, the second against".to_owned());
        }
        let shares = self.household_shares.iter().all(|share| (0.0..=1.0).contains(share));
        let rules = self.rule_bounds.iter().all(|bound| (0.0..=1.0).contains(bound));
        if self.population < 1.0 || !rules || !shares || !(0.0..=HOUSEHOLD_CAP_MOST).contains(&self.household_cap) {
            return Some("population below 1, a rule's bound or a household share outside 0 to 1, or a cap beyond what a person needs".to_owned());
        }
        None
    }

    /// The canonical text of the numbers, from which the content address is computed. Comments and the order of lines in the source do not
    /// matter.
    pub fn canonical(&self) -> String {
        let mut copy = self.clone();
        let mut text = String::new();
        for key in keys() {
            let _ = write!(text, "{key} =");
            for value in copy.places(&key).into_iter().flatten() {
                let _ = write!(text, " {value}");
            }
            text.push('\n');
        }
        text
    }

    /// The thresholds of an operating point.
    pub fn bounds(&self, point: Point) -> Bounds {
        match point {
            Point::Safe => self.safe,
            Point::Balanced => self.balanced,
        }
    }

    /// How many strangers in the whole population may satisfy the deterministic rule with this index by chance, for the rule to apply; 0
    /// switches it off.
    pub fn rule_bound(&self, at: usize) -> f64 {
        self.rule_bounds.get(at).copied().unwrap_or(0.0)
    }

    /// The shares of one level.
    pub fn shares(&self, field: Field, level: Level) -> LevelShares {
        self.shares[field as usize][level as usize]
    }

    /// Replaces the shares of one level; see [`crate::train`].
    pub fn set_shares(&mut self, field: Field, level: Level, shares: LevelShares) {
        self.shares[field as usize][level as usize] = shares;
    }

    /// The weight of a level in bits; 0 for a missing field.
    pub fn weight(&self, field: Field, level: Level) -> f64 {
        let LevelShares { m, u } = self.shares(field, level);
        if m > 0.0 && u > 0.0 { (m / u).log2() } else { 0.0 }
    }

    fn places(&mut self, key: &str) -> Option<Vec<&mut f64>> {
        if let Some((field, level)) = split_share(key) {
            let shares = &mut self.shares[field as usize][level as usize];
            return Some(vec![&mut shares.m, &mut shares.u]);
        }
        if let Some(rule) = key.strip_prefix("rule.") {
            let at = CATALOGUE.iter().position(|known| known.name == rule)?;
            return self.rule_bounds.get_mut(at).map(|bound| vec![bound]);
        }
        let bounds = match key.split('.').next() {
            Some("safe") => &mut self.safe,
            _ => &mut self.balanced,
        };
        Some(match key {
            "given.bits" => self.given_bits.iter_mut().collect(),
            "family.bits" => self.family_bits.iter_mut().collect(),
            "household.shares" => self.household_shares.iter_mut().collect(),
            "household.cap" => vec![&mut self.household_cap],
            "dependent.bits" => self.dependent_bits.iter_mut().collect(),
            "population" => vec![&mut self.population],
            "safe.accept" | "balanced.accept" => vec![&mut bounds.accept],
            "safe.thin" | "balanced.thin" => vec![&mut bounds.thin],
            "safe.faint" | "balanced.faint" => vec![&mut bounds.faint],
            "safe.renamed" | "balanced.renamed" => vec![&mut bounds.renamed],
            "safe.review" | "balanced.review" => vec![&mut bounds.review],
            "safe.margin" | "balanced.margin" => vec![&mut bounds.margin],
            _ => return None,
        })
    }
}

fn split_share(key: &str) -> Option<(Field, Level)> {
    let (field, level) = key.split_once('.')?;
    let field = Field::ALL.into_iter().find(|f| f.code() == field)?;
    let level = field.levels().iter().copied().find(|l| l.code() == level)?;
    Some((field, level))
}

static RULE_KEYS: LazyLock<Vec<String>> =
    LazyLock::new(|| CATALOGUE.iter().map(|rule| format!("rule.{}", rule.name)).collect());

fn keys() -> Vec<String> {
    let shares = Field::ALL.into_iter().flat_map(|field| {
        field
            .levels()
            .iter()
            .map(move |level| format!("{}.{}", field.code(), level.code()))
    });
    let others = [
        "given.bits",
        "family.bits",
        "household.shares",
        "household.cap",
        "dependent.bits",
        "population",
        "safe.accept",
        "safe.thin",
        "safe.faint",
        "safe.renamed",
        "safe.review",
        "safe.margin",
        "balanced.accept",
        "balanced.thin",
        "balanced.faint",
        "balanced.renamed",
        "balanced.review",
        "balanced.margin",
    ];
    shares
        .chain(others.map(str::to_owned))
        .chain(RULE_KEYS.iter().cloned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_that_ships_reads_back_from_its_canonical_text() {
        let policy = MatchingPolicy::parse(DEFAULT).expect("ships");
        assert_eq!(MatchingPolicy::parse(&policy.canonical()).as_ref(), Ok(&policy));
        assert!(policy.weight(Field::Birth, Level::Exact) > 13.0);
    }

    #[test]
    fn a_policy_that_would_match_strangers_is_refused() {
        for (from, to) in [
            ("safe.accept = 10", "safe.accept = -500"),
            ("safe.margin = 6", "safe.margin = -50"),
            ("safe.thin = 12", "safe.thin = 2"),
            ("balanced.review = 3", "balanced.review = 0"),
            ("population = 10000", "population = -5"),
            ("given.bits = 4 10", "given.bits = 500 500"),
            ("household.cap = 20", "household.cap = 200"),
            ("dependent.bits = 3 -2", "dependent.bits = 300 -2"),
            ("given.slip = 0.02 0.001", "given.slip = 0.02 0.0000001"),
            ("birth.differ = 0.006 0.99", "birth.differ = 0.9 0.1"),
        ] {
            assert!(DEFAULT.contains(from), "{from}");
            let policy = MatchingPolicy::parse(&DEFAULT.replace(from, to)).expect("what is stored can still be read");
            assert!(policy.absurdity().is_some(), "{to}");
        }
        assert_eq!(MatchingPolicy::default().absurdity(), None);
    }

    #[test]
    fn a_policy_with_one_bound_for_all_rules_is_still_read() {
        let rules = |line: &&str| line.starts_with("rule.");
        let mut text: Vec<&str> = DEFAULT.lines().filter(|line| !rules(line)).collect();
        text.push("rule.collisions = 0.001");
        assert_eq!(MatchingPolicy::parse(&text.join("\n")), MatchingPolicy::parse(DEFAULT));
        text.push("rule.ssn+given+family = 0.5");
        assert!(MatchingPolicy::parse(&text.join("\n")).is_err(), "one or the other");
    }

    #[test]
    fn a_policy_with_a_hole_or_a_stranger_is_refused() {
        let cut = DEFAULT.replace("population = 10000\n", "");
        assert_eq!(
            MatchingPolicy::parse(&cut).map_err(|e| e.what),
            Err("missing population".into())
        );
        for line in [
            "given.exact = 1 1",
            "nothing = 1",
            "population = x",
            "population",
            "ssn.near = 1 1",
        ] {
            assert!(MatchingPolicy::parse(&format!("{DEFAULT}{line}\n")).is_err(), "{line}");
        }
        assert!(MatchingPolicy::parse(&DEFAULT.replace("given.exact = 0.895", "given.exact = 0")).is_err());
    }
}

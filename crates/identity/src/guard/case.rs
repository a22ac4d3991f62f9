//! The input of the guards; a guard depends on nothing else.

use crate::company::Company;
use crate::evidence::Evidence;
use crate::facts::Facts;
use crate::field::Levels;
use crate::person::Profile;
use crate::policy::Point;

/// The best candidate, and everything that a guard may depend on.
#[derive(Clone, Copy)]
pub(crate) struct GuardCase<'a> {
    pub levels: Levels,
    /// What agrees in addition to name and birth date, derived from the levels.
    pub evidence: Evidence,
    pub company: Company,
    /// Whether either side has a suffix such as Jr.
    pub suffixed: bool,
    pub point: Point,
    pub asked: &'a Profile,
    pub record: &'a Profile,
    /// Index of `record` in `held`.
    pub best: usize,
    pub held: &'a [&'a Profile],
    pub facts: &'a Facts,
    /// Bits by which this candidate leads the next person, and how many are needed.
    pub margin: f64,
    pub margin_needed: f64,
    /// Total bits of this candidate, and how many are needed.
    pub total: f64,
    pub needed: f64,
    /// Whether a deterministic rule holds.
    pub has_rule: bool,
    /// Whether another record of the same person has a number from the request that this one lacks.
    pub other_card: bool,
}

//! What comparing two people gives.

use crate::field::Levels;

/// Levels of all fields but the member number, and the shares of the names that agree.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comparison {
    /// The level of each field.
    pub levels: Levels,
    /// Share of the roster that bears the first name both have.
    pub given_share: f64,
    /// Share of the roster that bears the family name both have.
    pub family_share: f64,
}

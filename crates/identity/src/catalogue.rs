//! The deterministic rules: combinations of fields that are enough for a match when nothing contradicts. No rule depends only on an
//! identifier, or only on name and birth date.

use crate::field::Field::{Address, Birth, Email, Family, Given, MemberId, Middle, Phone, Ssn};
use crate::field::Level::{Exact, Nickname, Part, Partial, Remote, Slip, Swapped};
use crate::field::{Field, Level};

/// A field, and the levels that satisfy the rule.
pub type FieldNeed = (Field, &'static [Level]);

/// A combination of fields that is enough for a match.
#[derive(Clone, Copy, Debug)]
pub struct MatchRule {
    /// Its name in a decision record.
    pub name: &'static str,
    /// The levels that each field must have.
    pub needs: &'static [FieldNeed],
}

const SAME_GIVEN: FieldNeed = (Given, &[Exact, Nickname]);
const SAME_FAMILY: FieldNeed = (Family, &[Exact, Part, Slip]);
const SAME_DAY: FieldNeed = (Birth, &[Exact]);
const SLIPPED_DAY: FieldNeed = (Birth, &[Swapped, Slip]);

/// Number of rules.
pub const RULES: usize = 12;

/// The rules, strongest first; the decision record names the first one that holds.
pub const CATALOGUE: [MatchRule; RULES] = [
    MatchRule {
        name: "ssn+birth-date+given",
        needs: &[(Ssn, &[Exact]), SAME_DAY, (Given, &[Exact, Nickname, Slip])],
    },
    MatchRule {
        name: "ssn+given+family",
        needs: &[(Ssn, &[Exact]), SAME_GIVEN, SAME_FAMILY],
    },
    MatchRule {
        name: "member-id+given+birth-date",
        needs: &[(MemberId, &[Exact]), SAME_GIVEN, SAME_DAY],
    },
    MatchRule {
        name: "subscriber-id+given+family+birth-date",
        needs: &[(MemberId, &[Partial, Slip, Remote]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    MatchRule {
        name: "ssn4+given+family+birth-date",
        needs: &[(Ssn, &[Partial]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    MatchRule {
        name: "email+given+birth-date",
        needs: &[(Email, &[Exact]), SAME_GIVEN, SAME_DAY],
    },
    MatchRule {
        name: "address+given+family+birth-date",
        needs: &[(Address, &[Exact, Slip]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    MatchRule {
        name: "phone+given+family+birth-date",
        needs: &[(Phone, &[Exact]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    MatchRule {
        name: "member-id+given+birth-slip",
        needs: &[(MemberId, &[Exact]), (Given, &[Exact]), SLIPPED_DAY, SAME_FAMILY],
    },
    MatchRule {
        name: "ssn4+given+family+birth-slip",
        needs: &[(Ssn, &[Partial]), SAME_GIVEN, SAME_FAMILY, SLIPPED_DAY],
    },
    MatchRule {
        name: "email+given+family+birth-slip",
        needs: &[(Email, &[Exact]), SAME_GIVEN, SAME_FAMILY, SLIPPED_DAY],
    },
    MatchRule {
        name: "middle+given+family+birth-date",
        needs: &[(Middle, &[Exact]), (Given, &[Exact]), (Family, &[Exact]), SAME_DAY],
    },
];

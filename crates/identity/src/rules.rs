//! Deterministic rules: combinations of fields that are enough when nothing contradicts. Each is worth what its chance of a
//! collision says; the policy bounds it. No rule rests on an identifier alone or on name and birth date alone.

use crate::facts::Facts;
use crate::field::Field::{Address, Birth, Email, Family, Given, MemberId, Middle, Phone, Ssn};
use crate::field::Level::{Exact, Nickname, Part, Partial, Remote, Slip, Swapped};
use crate::field::{Field, Level, Levels};
use crate::policy::Policy;
use crate::score::{collisions, satisfies};

/// What one field must be.
pub type Need = (Field, &'static [Level]);

/// A combination of fields that is enough.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name in a decision record.
    pub name: &'static str,
    /// What each field must be.
    pub needs: &'static [Need],
}

const SAME_GIVEN: Need = (Given, &[Exact, Nickname]);
const SAME_FAMILY: Need = (Family, &[Exact, Part, Slip]);
const SAME_DAY: Need = (Birth, &[Exact]);
const SLIPPED_DAY: Need = (Birth, &[Swapped, Slip]);

/// The catalogue, strongest first; the first rule that holds is named.
pub const CATALOGUE: &[Rule] = &[
    Rule {
        name: "ssn+birth-date+given",
        needs: &[(Ssn, &[Exact]), SAME_DAY, (Given, &[Exact, Nickname, Slip])],
    },
    Rule {
        name: "ssn+given+family",
        needs: &[(Ssn, &[Exact]), SAME_GIVEN, SAME_FAMILY],
    },
    Rule {
        name: "member-id+given+birth-date",
        needs: &[(MemberId, &[Exact]), SAME_GIVEN, SAME_DAY],
    },
    Rule {
        name: "subscriber-id+given+family+birth-date",
        needs: &[(MemberId, &[Partial, Slip, Remote]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    Rule {
        name: "ssn4+given+family+birth-date",
        needs: &[(Ssn, &[Partial]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    Rule {
        name: "email+given+birth-date",
        needs: &[(Email, &[Exact]), SAME_GIVEN, SAME_DAY],
    },
    Rule {
        name: "address+given+family+birth-date",
        needs: &[(Address, &[Exact, Slip]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    Rule {
        name: "phone+given+family+birth-date",
        needs: &[(Phone, &[Exact]), SAME_GIVEN, SAME_FAMILY, SAME_DAY],
    },
    Rule {
        name: "member-id+given+birth-slip",
        needs: &[(MemberId, &[Exact]), (Given, &[Exact]), SLIPPED_DAY, SAME_FAMILY],
    },
    Rule {
        name: "ssn4+given+family+birth-slip",
        needs: &[(Ssn, &[Partial]), SAME_GIVEN, SAME_FAMILY, SLIPPED_DAY],
    },
    Rule {
        name: "email+given+family+birth-slip",
        needs: &[(Email, &[Exact]), SAME_GIVEN, SAME_FAMILY, SLIPPED_DAY],
    },
    Rule {
        name: "middle+given+family+birth-date",
        needs: &[(Middle, &[Exact]), (Given, &[Exact]), (Family, &[Exact]), SAME_DAY],
    },
];

/// The first rule that holds and whose chance of a collision is within the policy's bound.
pub fn first(levels: &Levels, facts: &Facts, policy: &Policy) -> Option<&'static str> {
    CATALOGUE
        .iter()
        .find(|rule| satisfies(levels, rule.needs) && collisions(rule.needs, facts, policy) <= policy.rule_collisions)
        .map(|rule| rule.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_rests_on_an_identifier_alone_or_on_name_and_birth_date_alone() {
        for rule in CATALOGUE {
            let has = |field| rule.needs.iter().any(|(f, _)| *f == field);
            let own_name_or_day = [Given, Birth].into_iter().filter(|f| has(*f)).count();
            assert!(own_name_or_day >= 1 && rule.needs.len() >= 3, "{}", rule.name);
            assert!(
                rule.needs.iter().any(|(f, _)| ![Given, Family, Birth].contains(f)),
                "{}",
                rule.name
            );
        }
    }

    #[test]
    fn the_policy_that_ships_accepts_the_strong_rules() {
        let (facts, policy) = (Facts::default(), Policy::default());
        let passing = |name: &str| {
            CATALOGUE
                .iter()
                .any(|rule| rule.name == name && collisions(rule.needs, &facts, &policy) <= policy.rule_collisions)
        };
        assert!(passing("ssn+birth-date+given") && passing("member-id+given+birth-date"));
    }
}

//! Deterministic rules: combinations of fields that are enough when nothing contradicts. Each is worth what its chance of a
//! collision says; the policy bounds it. No rule rests on an identifier alone or on name and birth date alone.

use crate::facts::Facts;
use crate::field::Field::{Address, Birth, Email, Family, Given, MemberId, Middle, Phone, Ssn};
use crate::field::Level::{Exact, Nickname, Part, Partial, Remote, Slip, Swapped};
use crate::field::{Field, Level, Levels};
use crate::policy::Policy;
use crate::score::{collisions, satisfies};
use serde::Serialize;

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

/// How many rules there are.
pub const RULES: usize = 12;

/// The catalogue, strongest first; the first rule that holds is named.
pub const CATALOGUE: [Rule; RULES] = [
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

/// The first rule that holds and whose chance of a collision is within its bound in the policy.
pub fn first(levels: &Levels, facts: &Facts, policy: &Policy) -> Option<&'static str> {
    let holds = |(at, rule): &(usize, &Rule)| satisfies(levels, rule.needs) && is_in_force(*at, rule, facts, policy);
    CATALOGUE.iter().enumerate().find(holds).map(|(_, rule)| rule.name)
}

fn is_in_force(at: usize, rule: &Rule, facts: &Facts, policy: &Policy) -> bool {
    let bound = policy.rule_bound(at);
    bound > 0.0 && collisions(rule.needs, facts, policy) <= bound
}

/// A rule as a policy has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleRow {
    /// Its name.
    pub name: &'static str,
    /// What each field must be.
    pub needs: Vec<(Field, Vec<Level>)>,
    /// Strangers of the whole population who would satisfy it by chance.
    pub collisions: f64,
    /// How many of these it may have.
    pub bound: f64,
    /// Whether it decides.
    pub in_force: bool,
}

/// The catalogue under a policy, for a roster.
pub fn table(facts: &Facts, policy: &Policy) -> Vec<RuleRow> {
    let row = |(at, rule): (usize, &Rule)| RuleRow {
        name: rule.name,
        needs: rule
            .needs
            .iter()
            .map(|(field, levels)| (*field, levels.to_vec()))
            .collect(),
        collisions: collisions(rule.needs, facts, policy),
        bound: policy.rule_bound(at),
        in_force: is_in_force(at, rule, facts, policy),
    };
    CATALOGUE.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT_TEXT: &str = include_str!("default.policy");

    #[test]
    fn no_rule_rests_on_an_identifier_alone_or_on_name_and_birth_date_alone() {
        for rule in &CATALOGUE {
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
        let rows = table(&facts, &policy);
        let passing = |name: &str| rows.iter().any(|row| row.name == name && row.in_force);
        assert!(passing("ssn+birth-date+given") && passing("member-id+given+birth-date"));
        let off = DEFAULT_TEXT.replace("rule.ssn+birth-date+given = 0.001", "rule.ssn+birth-date+given = 0");
        let off = Policy::parse(&off).expect("a policy");
        assert!(
            !table(&facts, &off)
                .iter()
                .any(|row| row.name == "ssn+birth-date+given" && row.in_force)
        );
    }
}

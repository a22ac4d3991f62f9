//! Which deterministic rule holds under a policy: the policy limits how likely chance agreement may be for a rule to apply.

use crate::catalogue::{CATALOGUE, MatchRule};
use crate::facts::Facts;
use crate::field::{Field, Level, Levels};
use crate::policy::MatchingPolicy;
use crate::score::{collisions, satisfies};
use serde::Serialize;

/// The first rule that is satisfied and whose expected number of chance agreements is within its bound in the policy.
pub fn first(levels: &Levels, facts: &Facts, policy: &MatchingPolicy) -> Option<&'static str> {
    let holds =
        |(at, rule): &(usize, &MatchRule)| satisfies(levels, rule.needs) && is_in_force(*at, rule, facts, policy);
    CATALOGUE.iter().enumerate().find(holds).map(|(_, rule)| rule.name)
}

fn is_in_force(at: usize, rule: &MatchRule, facts: &Facts, policy: &MatchingPolicy) -> bool {
    let bound = policy.rule_bound(at);
    bound > 0.0 && collisions(rule.needs, facts, policy) <= bound
}

/// A rule as it applies under a policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleRow {
    /// Its name.
    pub name: &'static str,
    /// The levels that each field must have.
    pub needs: Vec<(Field, Vec<Level>)>,
    /// Expected number of strangers in the whole population who satisfy it by chance.
    pub collisions: f64,
    /// The greatest number of such strangers that the policy allows.
    pub bound: f64,
    /// Whether the rule applies.
    pub in_force: bool,
}

/// All rules under a policy, for a roster.
pub fn table(facts: &Facts, policy: &MatchingPolicy) -> Vec<RuleRow> {
    let row = |(at, rule): (usize, &MatchRule)| RuleRow {
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
    use crate::field::Field::{Birth, Family, Given};

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
        let (facts, policy) = (Facts::default(), MatchingPolicy::default());
        let rows = table(&facts, &policy);
        let passing = |name: &str| rows.iter().any(|row| row.name == name && row.in_force);
        assert!(passing("ssn+birth-date+given") && passing("member-id+given+birth-date"));
        let off = DEFAULT_TEXT.replace("rule.ssn+birth-date+given = 0.001", "rule.ssn+birth-date+given = 0");
        let off = MatchingPolicy::parse(&off).expect("a policy");
        assert!(
            !table(&facts, &off)
                .iter()
                .any(|row| row.name == "ssn+birth-date+given" && row.in_force)
        );
    }
}

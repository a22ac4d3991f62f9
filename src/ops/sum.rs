//! How the bits of a candidate add up to its total: fields, prior, what a household shares, dependents of one card. Values in, values out;
//! it decides nothing.

use super::detail::{ComparedCandidate, DecisionDetail};
use crate::identity::Field;
use serde::Serialize;

/// What is added to the bits of the fields to get a candidate's total. All in bits, to a tenth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BitSum {
    /// The prior, with which every candidate begins.
    pub prior: f64,
    /// What the member number says about who of a family is meant, besides that it is the family's.
    pub dependent: f64,
    /// What is taken off because a household shares family name, telephone, address and card: together they count up to a limit.
    pub household_limit: f64,
    /// What rounding each number to a tenth leaves.
    pub rounding: f64,
    /// The total.
    pub total: f64,
}

impl BitSum {
    /// The sum of a compared candidate; `None` for records that do not hold all of it.
    pub fn of(candidate: &ComparedCandidate, prior: Option<f64>) -> Option<BitSum> {
        let individual = tenths(candidate.individual?);
        let household = tenths(candidate.household?);
        let total = tenths(candidate.total?);
        if candidate.weights.is_empty() {
            return None;
        }
        let weigh = |of_household: bool| -> i64 {
            let fields = Field::ALL
                .into_iter()
                .filter(|field| field.of_household() == of_household);
            fields
                .filter_map(|field| candidate.weight(field.code()))
                .map(tenths)
                .sum()
        };
        let (own, shared) = (weigh(false), weigh(true));
        let prior = prior.map_or(total - individual - household, tenths);
        // The matcher adds these bits for the levels `exact` and `remote` of the member number alone.
        let dependent = match candidate.level(Field::MemberId.code()) {
            "exact" | "remote" => individual - own,
            _ => 0,
        };
        let household_limit = household - shared;
        let rounding = total - prior - own - dependent - shared - household_limit;
        let bits = |tenths: i64| tenths as f64 / 10.0;
        Some(BitSum {
            prior: bits(prior),
            dependent: bits(dependent),
            household_limit: bits(household_limit),
            rounding: bits(rounding),
            total: bits(total),
        })
    }

    /// The sums of the candidates of a decision, in their order.
    pub fn all(detail: &DecisionDetail) -> Vec<Option<BitSum>> {
        let prior = detail.thresholds.prior;
        detail.candidates.iter().map(|one| BitSum::of(one, prior)).collect()
    }

    /// The lines of the sum besides the fields, with what they are for people.
    pub fn lines(&self) -> [(&'static str, f64); 4] {
        [
            ("every candidate begins with", self.prior),
            ("which family member", self.dependent),
            ("limit of a household", self.household_limit),
            ("rounding", self.rounding),
        ]
    }
}

/// Tenths of a bit. What a record holds is far below the limits of the type.
fn tenths(bits: f64) -> i64 {
    (bits * 10.0).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn candidate(value: serde_json::Value) -> ComparedCandidate {
        serde_json::from_value(value).expect("a candidate")
    }

    fn added(one: &ComparedCandidate, sum: &BitSum) -> i64 {
        let fields: i64 = one
            .weights
            .values()
            .filter_map(serde_json::Value::as_f64)
            .map(tenths)
            .sum();
        fields + sum.lines().map(|(_, bits)| tenths(bits)).into_iter().sum::<i64>()
    }

    #[test]
    fn fields_prior_and_limit_add_up_to_the_total() {
        let one = candidate(json!({
            "fields": {"given": "exact", "family": "exact", "phone": "exact", "address": "exact", "member_id": "exact"},
            "weights": {"given": 8.1, "family": 6.3, "phone": 11.3, "address": 11.8, "member_id": 12.8},
            "individual": 10.1, "household": 20.0, "total": 12.5,
        }));
        let sum = BitSum::of(&one, Some(-17.6)).expect("a sum");
        assert_eq!((sum.prior, sum.dependent, sum.household_limit), (-17.6, 2.0, -22.2));
        assert_eq!(sum.rounding, 0.0);
        assert_eq!(added(&one, &sum), 125);
    }

    #[test]
    fn a_record_without_a_prior_or_with_rounded_numbers_adds_up_too() {
        for prior in [None, Some(-17.7), Some(-17.5)] {
            let one = candidate(json!({
                "fields": {"given": "exact", "phone": "differ"},
                "weights": {"given": 8.1, "phone": -3.3},
                "individual": 8.2, "household": -3.3, "total": -12.7,
            }));
            let sum = BitSum::of(&one, prior).expect("a sum");
            assert_eq!(sum.dependent, 0.0);
            assert_eq!(added(&one, &sum), -127, "{prior:?}");
        }
    }

    #[test]
    fn a_record_of_before_that_holds_no_weights_has_no_sum() {
        for old in [
            json!({}),
            json!({"total": 3.0}),
            json!({"individual": 1.0, "household": 1.0, "total": 1.0}),
        ] {
            assert_eq!(BitSum::of(&candidate(old), None), None);
        }
    }
}

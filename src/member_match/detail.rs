//! The details of a match in its decision record, as JSON: comparison levels, weights, totals, thresholds, the guard that applied, and the
//! roster. Holds no value of the request or of a record, and no member's id.

use super::identify::Judgement;
use crate::identity::{Field, Level, MatchOutcome, Rules};
use crate::store::matching::NAMED;
use serde::{Serialize, Serializer};

/// The detail of a decision.
#[derive(Serialize)]
struct Detail<'a> {
    outcome: &'static str,
    guard: Option<&'static str>,
    point: &'static str,
    /// Bits by which the best candidate leads the next one, to a tenth; `null` when there is no other candidate.
    margin: Option<f64>,
    thresholds: Thresholds,
    roster: RosterState<'a>,
    candidates: Vec<Compared>,
    candidates_count: usize,
    consent: Consent,
    /// The review of this question before this request, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<Review<'a>>,
    dialect: &'a str,
}

/// The review of a question.
#[derive(Serialize)]
struct Review<'a> {
    id: &'a str,
    state: &'a str,
}

impl<'a> From<(&'a str, &'a str)> for Review<'a> {
    fn from((id, state): (&'a str, &'a str)) -> Self {
        Review { id, state }
    }
}

/// The thresholds that were in force, in bits.
#[derive(Serialize)]
struct Thresholds {
    accept: f64,
    thin: f64,
    review: f64,
    margin: f64,
    /// The threshold that the best candidate had to reach, given the evidence about it.
    needed: Option<f64>,
    /// The prior: the bits with which every candidate starts before anything is compared.
    prior: Option<f64>,
}

#[derive(Serialize)]
struct RosterState<'a> {
    no: i64,
    digest: &'a str,
    records: u64,
}

#[derive(Serialize)]
struct Compared {
    fields: Map<Level>,
    /// Bits of each field that was compared, before the fields that a household shares are limited to one bundle.
    weights: Map<f64>,
    individual: f64,
    household: f64,
    total: f64,
    rule: Option<&'static str>,
}

/// Values by field, written as a JSON object in this order.
struct Map<T>(Vec<(Field, T)>);

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, value)))
    }
}

/// How the consent was judged.
#[derive(Serialize)]
struct Consent {
    decision: &'static str,
    rule: &'static str,
}

impl From<Result<&'static str, &'static str>> for Consent {
    fn from(judged: Result<&'static str, &'static str>) -> Self {
        let decision = if judged.is_ok() { "permit" } else { "refuse" };
        let (Ok(rule) | Err(rule)) = judged;
        Consent { decision, rule }
    }
}

/// The details of a decision by the consent alone: the rule that it breaks, and that no member was looked up.
pub(super) fn without_look_up(rule: &'static str, dialect: &str) -> String {
    let consent = Consent {
        decision: "refuse",
        rule,
    };
    serde_json::json!({
        "outcome": "not-tried", "identity": "not-tried", "guard": null, "margin": null, "candidates": [], "candidates_count": 0,
        "consent": consent, "dialect": dialect,
    })
    .to_string()
}

impl Judgement {
    /// The details as JSON. `consent` is the scope that is permitted, or the rule that the consent breaks.
    pub fn detail(&self, rules: &Rules, consent: Result<&'static str, &'static str>, dialect: &str) -> String {
        self.detail_after(rules, consent, None, dialect)
    }

    /// Like [`Judgement::detail`], with the id and state of an earlier review of this question.
    pub(super) fn detail_after(
        &self,
        rules: &Rules,
        consent: Result<&'static str, &'static str>,
        review: Option<(&str, &str)>,
        dialect: &str,
    ) -> String {
        Detail::new(self, rules, Consent::from(consent), review.map(Review::from), dialect).json()
    }
}

impl<'a> Detail<'a> {
    fn new(
        identity: &'a Judgement,
        rules: &Rules,
        consent: Consent,
        review: Option<Review<'a>>,
        dialect: &'a str,
    ) -> Self {
        let record = identity.decision.record(NAMED);
        let bounds = identity.decision.bounds;
        let candidates = record.candidates.into_iter().map(|one| Compared {
            fields: Map(one.fields.iter().map(|row| (row.field, row.level)).collect()),
            weights: Map(one
                .fields
                .iter()
                .filter(|row| row.level != Level::Missing)
                .map(|row| (row.field, row.weight))
                .collect()),
            individual: one.individual,
            household: one.household,
            total: one.total,
            rule: one.rule,
        });
        Detail {
            outcome: match identity.outcome {
                MatchOutcome::Match(_) => "match",
                MatchOutcome::Review(_) => "review",
                MatchOutcome::None => "none",
            },
            guard: identity.reason.map(|guard| guard.code()),
            point: rules.point.code(),
            margin: record.margin,
            thresholds: Thresholds {
                accept: bounds.accept,
                thin: bounds.thin,
                review: bounds.review,
                margin: bounds.margin,
                needed: identity.decision.needed,
                prior: record.prior,
            },
            roster: RosterState {
                no: identity.roster.no,
                digest: &identity.roster.digest,
                records: identity.roster.facts.records(),
            },
            candidates: candidates.collect(),
            candidates_count: identity.compared,
            consent,
            review,
            dialect,
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}

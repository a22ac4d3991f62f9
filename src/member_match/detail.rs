//! What a decision record says of a match, as JSON: levels, weights, totals, what was needed, the guard that spoke, the roster it was
//! taken in. Never a value of the request or of a record, and nobody's id.

use super::identify::Judgement;
use super::record::KEPT_CANDIDATES;
use crate::identity::{Field, Level, Outcome, Rules};
use serde::{Serialize, Serializer};

/// The detail of a decision.
#[derive(Serialize)]
struct Detail<'a> {
    outcome: &'static str,
    guard: Option<&'static str>,
    point: &'static str,
    /// Bits over the next person, to a tenth; none when there is no other.
    margin: Option<f64>,
    thresholds: Thresholds,
    roster: RosterState<'a>,
    candidates: Vec<Compared>,
    candidates_count: usize,
    consent: Consent,
    /// What a person said on this question before, if anything.
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

/// Bits that were needed.
#[derive(Serialize)]
struct Thresholds {
    accept: f64,
    thin: f64,
    review: f64,
    margin: f64,
    /// Which of these the best candidate needed, by the evidence it has.
    needed: Option<f64>,
    /// Bits that everybody starts with: how unlikely one of the roster is before anything is compared.
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
    /// Bits of each field that says something, before what a household shares is cut to one bundle.
    weights: Map<f64>,
    individual: f64,
    household: f64,
    total: f64,
    rule: Option<&'static str>,
}

/// Fields in their order.
struct Map<T>(Vec<(Field, T)>);

impl<T: Serialize> Serialize for Map<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field, value)))
    }
}

/// What the consent came to.
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

/// The detail of a decision that the consent alone took: which rule did not hold, and that identity was not tried.
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
    /// The detail of the decision record. `consent` is the scope permitted, or the rule that refuses.
    pub fn detail(&self, rules: &Rules, consent: Result<&'static str, &'static str>, dialect: &str) -> String {
        self.detail_after(rules, consent, None, dialect)
    }

    /// The same where a person may have said something before: id and state of the review of this question.
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
        let record = identity.decision.record(KEPT_CANDIDATES);
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
                Outcome::Match(_) => "match",
                Outcome::Review(_) => "review",
                Outcome::None => "none",
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

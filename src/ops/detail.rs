//! What a decision record says of a match, read back: levels, weights, totals, what was needed and the guard that spoke.
//!
//! Records of before lack some of it, so that nothing is needed. Never a value of the request or of a record, and nobody's id.

use crate::error::{Failure, Fault};
use crate::identity::Guard;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The detail of a decision.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DecisionDetail {
    /// `not-tried` where the consent was refused by itself.
    pub identity: Option<String>,
    /// Code of the guard that spoke.
    pub guard: Option<String>,
    /// Bits over the next person.
    pub margin: Option<f64>,
    /// Bits that were needed.
    pub thresholds: BitsNeeded,
    /// The roster in which it was taken.
    pub roster: RosterSeen,
    /// Those who came near, best first; not more than are kept.
    pub candidates: Vec<ComparedCandidate>,
    /// How many there were.
    pub candidates_count: u64,
    /// What the consent came to.
    pub consent: ConsentJudged,
    /// What a person said on this question before.
    pub review: Option<ReviewSaid>,
}

/// Bits that were needed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct BitsNeeded {
    pub accept: Option<f64>,
    pub thin: Option<f64>,
    pub review: Option<f64>,
    pub margin: Option<f64>,
    /// Which of these the best candidate needed, by the evidence it has.
    pub needed: Option<f64>,
    /// Bits that everybody starts with.
    pub prior: Option<f64>,
}

/// A state of the roster.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct RosterSeen {
    pub no: i64,
    pub digest: String,
    pub records: u64,
}

/// A candidate: how its fields compared.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ComparedCandidate {
    /// Codes of levels by codes of fields, in the order of comparing.
    pub fields: Map<String, Value>,
    /// Bits by codes of fields.
    pub weights: Map<String, Value>,
    /// Bits of what is the person's own.
    pub individual: Option<f64>,
    /// Bits of what a household shares.
    pub household: Option<f64>,
    /// Bits in all.
    pub total: Option<f64>,
    /// The deterministic rule that holds.
    pub rule: Option<String>,
}

impl ComparedCandidate {
    /// Code of the level of a field; `missing` where nothing is kept of it.
    pub fn level(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or("missing")
    }

    /// Bits of a field, if it says something.
    pub fn weight(&self, field: &str) -> Option<f64> {
        self.weights.get(field).and_then(Value::as_f64)
    }
}

/// What the consent came to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ConsentJudged {
    /// `permit` or `refuse`.
    pub decision: Option<String>,
    /// The scope permitted, or the rule that refuses.
    pub rule: Option<String>,
}

/// The review of a question.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ReviewSaid {
    pub id: Option<String>,
    pub state: Option<String>,
}

impl DecisionDetail {
    /// That of a stored record.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for one that does not read as a detail.
    pub fn of(detail: &Value) -> Result<DecisionDetail, Failure> {
        DecisionDetail::deserialize(detail).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
    }

    /// That of a stored record, from its text.
    ///
    /// # Errors
    /// As [`DecisionDetail::of`].
    pub fn read(text: &str) -> Result<DecisionDetail, Failure> {
        serde_json::from_str(text).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
    }

    /// The guard that spoke.
    pub fn guard(&self) -> Option<Guard> {
        self.guard.as_deref().and_then(guard)
    }

    /// Whether anybody was looked up.
    pub fn is_tried(&self) -> bool {
        self.identity.as_deref() != Some("not-tried")
    }
}

/// The guard of this code.
pub fn guard(code: &str) -> Option<Guard> {
    Guard::ALL.into_iter().find(|guard| guard.code() == code)
}

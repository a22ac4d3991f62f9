//! A decision in rows for people and for the ledger: levels, weights, totals, guard and rule. It holds no value of the request or of a
//! record.

use crate::decide::{Decision, MatchOutcome};
use crate::field::{Field, Level};
use crate::guard::Guard;
use serde::Serialize;
use std::fmt::Write as _;

/// One field of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FieldRow {
    /// The field.
    pub field: Field,
    /// How it compared.
    pub level: Level,
    /// Its weight in bits, before the fields of a household are limited.
    pub weight: f64,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateRecord {
    /// Index into the candidates of the decision.
    pub candidate: usize,
    /// All fields, including missing ones.
    pub fields: Vec<FieldRow>,
    /// Bits of the fields that belong to the person alone.
    pub individual: f64,
    /// Bits of the fields that a household shares, after they are limited.
    pub household: f64,
    /// Total bits, including the prior.
    pub total: f64,
    /// The deterministic rule that holds, if any.
    pub rule: Option<&'static str>,
}

/// A decision for the ledger and for `match explain`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DecisionRecord {
    /// The result.
    pub outcome: MatchOutcome,
    /// The guard that applied, if any.
    pub guard: Option<Guard>,
    /// Bits by which the best person leads the next one; `None` when there is no other.
    pub margin: Option<f64>,
    /// Bits needed for an automatic match.
    pub accept: f64,
    /// Bits needed for a review.
    pub review: f64,
    /// Margin needed for an automatic match.
    pub margin_needed: f64,
    /// The prior, with which every candidate starts; negative. `None` without a candidate.
    pub prior: Option<f64>,
    /// The best candidates, best first.
    pub candidates: Vec<CandidateRecord>,
}

impl Decision {
    /// The decision with its `top` best candidates.
    pub fn record(&self, top: usize) -> DecisionRecord {
        let row = |field: Field, one: &crate::candidate::Scored| FieldRow {
            field,
            level: one.levels.of(field),
            weight: tenth(one.score.weights[field as usize]),
        };
        let candidates = self.ranked.iter().take(top).map(|one| CandidateRecord {
            candidate: one.candidate,
            fields: Field::ALL.into_iter().map(|field| row(field, one)).collect(),
            individual: tenth(one.score.individual),
            household: tenth(one.score.household),
            total: tenth(one.score.total),
            rule: one.rule,
        });
        DecisionRecord {
            outcome: self.outcome,
            guard: self.guard,
            margin: self.margin.is_finite().then(|| tenth(self.margin)),
            accept: self.bounds.accept,
            review: self.bounds.review,
            margin_needed: self.bounds.margin,
            prior: self.ranked.first().map(|one| {
                let score = &one.score;
                tenth(score.total - score.individual - score.household)
            }),
            candidates: candidates.collect(),
        }
    }
}

/// Rounds to a tenth of a bit. More precision would reveal how common a name is, and so the name.
fn tenth(bits: f64) -> f64 {
    (bits * 10.0).round() / 10.0
}

impl DecisionRecord {
    /// The decision as a table for support staff.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let outcome = match self.outcome {
            MatchOutcome::Match(i) => format!("match: candidate {i}"),
            MatchOutcome::Review(i) => format!("review: best candidate {i}"),
            MatchOutcome::None => "none".to_owned(),
        };
        let _ = writeln!(text, "{outcome}");
        if let Some(guard) = self.guard {
            let _ = writeln!(text, "not automatic because: {}", guard.words());
        }
        let margin = self.margin.map_or("no other person".to_owned(), |margin| {
            format!("{margin:.1} (needs {:.1})", self.margin_needed)
        });
        let _ = writeln!(
            text,
            "needs {:.1} to match, {:.1} for a review; margin {margin}",
            self.accept, self.review
        );
        for one in &self.candidates {
            let rule = one.rule.map_or(String::new(), |rule| format!(", rule {rule}"));
            let _ = writeln!(
                text,
                "\ncandidate {}: {:.1} bits (own {:.1}, household {:.1}){rule}",
                one.candidate, one.total, one.individual, one.household
            );
            for row in &one.fields {
                let weight = if row.level == Level::Missing {
                    "-".to_owned()
                } else {
                    format!("{:+.1}", row.weight)
                };
                let _ = writeln!(text, "  {:<10} {:<11} {weight:>6}", row.field.code(), row.level.code());
            }
        }
        text
    }
}

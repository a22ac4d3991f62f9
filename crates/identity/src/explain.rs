//! A decision as rows that a person can read and a ledger can keep: levels, weights, totals, guard and rule. Never a value of
//! either side.

use crate::decide::{Decision, Outcome};
use crate::field::{Field, Level};
use crate::guard::Guard;
use serde::Serialize;
use std::fmt::Write as _;

/// One field of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FieldRow {
    /// Which field.
    pub field: Field,
    /// How it compared.
    pub level: Level,
    /// Its weight in bits, before the household is cut.
    pub weight: f64,
}

/// One candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateRow {
    /// Index into the candidates of the decision.
    pub candidate: usize,
    /// Every field, missing ones too.
    pub fields: Vec<FieldRow>,
    /// Bits of the person's own fields.
    pub individual: f64,
    /// Bits of the household, after the cut.
    pub household: f64,
    /// Bits over the prior.
    pub total: f64,
    /// The deterministic rule that holds.
    pub rule: Option<&'static str>,
}

/// A decision for the ledger and for `match explain`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// What was decided.
    pub outcome: Outcome,
    /// The guard that spoke.
    pub guard: Option<Guard>,
    /// Bits over the second person; none when there is no other.
    pub margin: Option<f64>,
    /// Bits that an automatic match needed.
    pub accept: f64,
    /// Bits that a review needed.
    pub review: f64,
    /// Margin that was needed.
    pub margin_needed: f64,
    /// Bits that every candidate starts with, below 0; none without a candidate.
    pub prior: Option<f64>,
    /// The best candidates, best first.
    pub candidates: Vec<CandidateRow>,
}

impl Decision {
    /// The decision with its `top` best candidates.
    pub fn record(&self, top: usize) -> Record {
        let row = |field: Field, one: &crate::decide::Scored| FieldRow {
            field,
            level: one.levels.of(field),
            weight: tenth(one.score.weights[field as usize]),
        };
        let candidates = self.ranked.iter().take(top).map(|one| CandidateRow {
            candidate: one.candidate,
            fields: Field::ALL.into_iter().map(|field| row(field, one)).collect(),
            individual: tenth(one.score.individual),
            household: tenth(one.score.household),
            total: tenth(one.score.total),
            rule: one.rule,
        });
        Record {
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

/// Bits to a tenth: more would tell names apart by how common they are.
fn tenth(bits: f64) -> f64 {
    (bits * 10.0).round() / 10.0
}

impl Record {
    /// A table for a support person.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let outcome = match self.outcome {
            Outcome::Match(i) => format!("match: candidate {i}"),
            Outcome::Review(i) => format!("review: best candidate {i}"),
            Outcome::None => "none".to_owned(),
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

impl Guard {
    /// The reason in words.
    pub const fn words(self) -> &'static str {
        match self {
            Guard::IdContradicts => "the member number sent is another's",
            Guard::SsnContradicts => "the social security number differs",
            Guard::Generation => "one is Jr, the other Sr",
            Guard::BirthGeneration => "the birth years are a generation apart",
            Guard::BirthMissing => "there is no birth date and not enough else",
            Guard::BirthDiffers => "the birth date differs",
            Guard::BirthSlip => "the birth date differs slightly and not enough else agrees",
            Guard::GivenDiffers => "the first name differs: perhaps a twin or a relative",
            Guard::FamilyDiffers => "the family name differs and not enough else agrees",
            Guard::GenderDiffers => "the gender differs and the first name is not the same",
            Guard::SeveralPeople => "the names sent are those of several people",
            Guard::NothingElse => "name and birth date agree, nothing else does",
            Guard::ThinContradicted => "little else agrees, and something contradicts",
            Guard::SharedNumber => "another record of this person bears the same member number",
            Guard::OtherCard => "another record of this person bears a number that was sent, and this one does not",
            Guard::Rival => "another person is nearly as likely",
            Guard::Weak => "there is not enough evidence",
        }
    }
}

//! A match decision as a table that a support person understands. Reads a decision item; shows levels and weights, never a value.

use super::decisions::DecisionItem;
use super::detail::{ComparedCandidate, ConsentJudged};
use super::sum::BitSum;
use crate::consent::RULES;
use crate::error::Failure;
use crate::identity::{Field, Level};

/// Width of the names before the lines.
pub const NAME: usize = 20;

/// A decision for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToldDecision {
    /// What is said of the whole, each with its name.
    pub lines: Vec<(&'static str, String)>,
    /// How many candidates there are.
    pub candidates: Option<String>,
    /// The candidates, so many side by side as were asked for.
    pub tables: Vec<CandidateTable>,
}

/// Candidates side by side: a row for each field, then for each part of the sum.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct CandidateTable {
    pub header: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// A decision in words, with `abreast` candidates side by side.
///
/// # Errors
/// As [`super::detail::DecisionDetail::of`].
pub fn told(item: &DecisionItem, abreast: usize) -> Result<ToldDecision, Failure> {
    let detail = item.detail()?;
    let mut told = ToldDecision::default();
    let mut line = |name: &'static str, value: String| told.lines.push((name, value));
    line("decision", format!("{}, {}", item.id, item.created_at));
    line(
        "partner",
        format!("{}, correlation {}", item.partner, item.correlation_id),
    );
    line("outcome", outcome(&item.outcome));
    if let Some(guard) = detail.guard() {
        line("not automatic", guard.words().to_owned());
    }
    if let Some(review) = detail.review.as_ref()
        && let Some(state) = &review.state
    {
        line("a person", format!("review {} is {state}", said(&review.id)));
    }
    line("consent", consent_words(&detail.consent));
    line("policy", item.policy_version.clone());
    if !detail.is_tried() {
        line(
            "identity",
            "not compared, because the consent was refused first".to_owned(),
        );
        return Ok(told);
    }
    let roster = &detail.roster;
    line(
        "roster",
        format!(
            "{} records; state {}, digest {}",
            roster.records, roster.no, roster.digest
        ),
    );
    let needed = &detail.thresholds;
    line(
        "bits needed",
        format!(
            "{} for a match ({} if little besides name and birth date agrees), and {} more than the next candidate; {} for a review",
            bits(needed.accept),
            bits(needed.thin),
            bits(needed.margin),
            bits(needed.review)
        ),
    );
    if let Some(bits) = needed.needed {
        line(
            "bits needed here",
            format!("{bits:.1} for a match, given what agrees besides name and birth date"),
        );
    }
    line(
        "lead",
        detail.margin.map_or("there is no other candidate".to_owned(), |bits| {
            format!("{bits:.1} bits more than the next candidate")
        }),
    );
    let shown = &detail.candidates;
    told.candidates = Some(match shown.len() {
        0 => "no member is similar enough to be compared".to_owned(),
        some => format!("{some} of {} candidates, best first", detail.candidates_count),
    });
    let sums = BitSum::all(&detail);
    let both: Vec<(usize, &ComparedCandidate, Option<BitSum>)> = shown
        .iter()
        .zip(sums)
        .enumerate()
        .map(|(at, (one, sum))| (at + 1, one, sum))
        .collect();
    told.tables = both.chunks(abreast.max(1)).map(candidates).collect();
    Ok(told)
}

/// How the consent was judged. Its rules are named by what must hold, so a refusal says which one does not.
pub fn consent_words(judged: &ConsentJudged) -> String {
    let rule = said(&judged.rule);
    match judged.decision.as_deref() {
        None => "not judged".to_owned(),
        Some("permit") => format!("permitted under the policy {rule}"),
        Some(_) if rule == "revoked" => "refused: the member or this payer withdrew it".to_owned(),
        Some(_) => match RULES.iter().find(|known| known.name == rule) {
            Some(known) => {
                let row = known.fault.row();
                format!(
                    "refused: {} ({}; the rule \"{rule}\" does not hold)",
                    row.text, row.code
                )
            }
            None => format!("refused: the rule \"{rule}\" does not hold"),
        },
    }
}

fn said(word: &Option<String>) -> &str {
    word.as_deref().unwrap_or("-")
}

fn bits(bits: Option<f64>) -> String {
    bits.map_or("-".to_owned(), |bits| format!("{bits:?}"))
}

fn candidates(abreast: &[(usize, &ComparedCandidate, Option<BitSum>)]) -> CandidateTable {
    let mut header = vec!["FIELD".to_owned()];
    for (place, ..) in abreast {
        header.extend([format!("CANDIDATE {place}"), "BITS".to_owned()]);
    }
    let mut rows = Vec::new();
    for field in Field::ALL {
        let mut row = vec![field.words().to_owned()];
        for (_, one, _) in abreast {
            let code = one.level(field.code());
            let level = Level::ALL.into_iter().find(|level| level.code() == code);
            let words = level.map_or(code, |level| level.words(field));
            row.extend([words.to_owned(), signed(one.weight(field.code()))]);
        }
        rows.push(row);
    }
    let mut sums = |name: &str, bits: &dyn Fn(&ComparedCandidate, Option<&BitSum>) -> Option<f64>| {
        let found: Vec<Option<f64>> = abreast.iter().map(|(_, one, sum)| bits(one, sum.as_ref())).collect();
        if found.iter().flatten().any(|bits| *bits != 0.0) {
            let cells = found.into_iter().flat_map(|bits| [String::new(), signed(bits)]);
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        }
    };
    for (at, (name, _)) in BitSum::default().lines().into_iter().enumerate() {
        sums(name, &|_, sum| sum.map(|sum| sum.lines()[at].1));
    }
    sums("total", &|one, _| one.total);
    let rules = abreast
        .iter()
        .flat_map(|(_, one, _)| [said(&one.rule).to_owned(), String::new()]);
    rows.push(std::iter::once("rule that fits".to_owned()).chain(rules).collect());
    CandidateTable { header, rows }
}

fn signed(bits: Option<f64>) -> String {
    bits.map_or_else(String::new, |bits| format!("{bits:+.1}"))
}

fn outcome(word: &str) -> String {
    let meaning = match word {
        "matched" => "one member fits, and the consent permits the disclosure",
        "review" => "a person must decide; the partner got no match",
        "none" => "no member fits",
        "consent" => "one member fits, but the consent cannot be honored",
        "consent-first" => "the consent was refused before any member was looked up",
        "guarded" => "one member fits, but too many guesses came near that record; the partner got no match",
        "gate" => "the request was refused, because its consent names other parties or another person",
        _ => return word.to_owned(),
    };
    format!("{word}: {meaning}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(outcome: &str, policy_version: &str, detail: Value) -> String {
        let item = DecisionItem {
            id: "d1".to_owned(),
            created_at: "2026-07-01T16:00:00.000Z".to_owned(),
            partner: "new-payer".to_owned(),
            correlation_id: "c1".to_owned(),
            outcome: outcome.to_owned(),
            policy_version: policy_version.to_owned(),
            detail,
            ..DecisionItem::default()
        };
        let told = super::told(&item, 2).expect("a detail");
        let lines = told.lines.iter().map(|(name, value)| format!("{name}: {value}"));
        let cells = told
            .tables
            .iter()
            .flat_map(|table| &table.rows)
            .map(|row| row.join(" | "));
        lines
            .chain(told.candidates.clone())
            .chain(cells)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_decision_reads_as_a_table_without_values() {
        let detail = json!({
                "guard": "id_contradicts", "margin": null, "point": "safe", "consent": {"decision": "permit", "rule": "regular"},
                "roster": {"no": 3, "records": 10, "digest": "abc"},
                "thresholds": {"accept": 10.0, "thin": 12.0, "review": 3.0, "margin": 6.0}, "candidates_count": 4,
                "candidates": [{"fields": {"given": "exact", "ssn": "exact", "member_id": "differ", "phone": "missing"},
                    "weights": {"given": 8.8, "ssn": 20.8, "member_id": -6.1}, "individual": 29.6, "household": -6.1, "total": 13.9, "rule": null}],
        });
        let table = told("review", "fs-3:safe:0a1b2c3d4e5f", detail);
        for part in [
            "review: a person must decide",
            "the member number sent is another's",
            "10 records; state 3",
            "first name | the same | +8.8",
            "member number | differs | -6.1",
            "every candidate begins with |  | -9.6",
            "total |  | +13.9",
            "1 of 4 candidates",
            "there is no other",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
    }

    #[test]
    fn a_decision_by_the_consent_alone_says_that_identity_was_not_tried() {
        let detail = json!({
            "identity": "not-tried", "candidates": [], "consent": {"decision": "refuse", "rule": "not-ended"},
        });
        let table = told("consent-first", "hrex-consent:3", detail);
        for part in [
            "refused before any member was looked up",
            "consent: refused: The consent is not in force at this time. (CO-019; the rule \"not-ended\" does not hold)",
            "not compared, because the consent was refused",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        assert!(!table.contains("bits needed"), "{table}");
    }

    #[test]
    fn a_consent_that_was_judged_is_told_by_what_failed_and_not_by_the_name_of_a_rule_alone() {
        let told = |decision: Option<&str>, rule: &str| {
            consent_words(&ConsentJudged {
                decision: decision.map(str::to_owned),
                rule: Some(rule.to_owned()),
            })
        };
        assert_eq!(told(None, "regular"), "not judged");
        assert_eq!(
            told(Some("permit"), "sensitive"),
            "permitted under the policy sensitive"
        );
        assert_eq!(
            told(Some("refuse"), "revoked"),
            "refused: the member or this payer withdrew it"
        );
        assert!(
            told(Some("refuse"), "recipient-is-the-caller")
                .contains("CO-012; the rule \"recipient-is-the-caller\" does not hold")
        );
        assert_eq!(
            told(Some("refuse"), "of-old"),
            "refused: the rule \"of-old\" does not hold"
        );
    }

    #[test]
    fn an_old_or_empty_detail_still_reads() {
        for detail in [
            json!({"candidates": []}),
            json!({}),
            json!({"guard": null, "margin": null, "review": null}),
        ] {
            let table = told("none", "", detail);
            assert!(table.contains("no member is similar enough"));
        }
    }
}

//! The runbook: what people do about each fault, each state, each kind of work and each alert, put together from the tables that stand beside
//! what they are about.
//!
//! A read model only, the same for the command, for `/ops/v1` and for the page. It reads no store, decides nothing, and names no member.

use crate::error::{ContactKind, Failure, Fault, RunbookAbout, RunbookRow, RunbookStep};
use crate::ops::alerts;
use crate::{alerting, bulk, erasure, evidence, exchange, figures, jobs, retention, review, witness};
use serde::Serialize;

/// Most codes that are named to whoever asks for one that is not there.
const NEAR: usize = 3;
/// How alike such a code must be, from 0 to 1.
const LIKELY: f64 = 0.6;
/// Longest text that is compared with codes, in bytes.
const CODE_BYTES: usize = 64;

/// An entry of the runbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunbookItem {
    /// Its code: `SV-002`, `phase.completed`, `work.bulk-export`.
    pub code: String,
    /// What it is about: `fault`, `phase`, `work` and so on.
    pub about: &'static str,
    /// What happened, or what the state means.
    pub meaning: &'static str,
    /// Who owns it.
    pub owner: &'static str,
    /// Who that is.
    pub owner_is: &'static str,
    /// How soon the owner has to act.
    pub act_within: &'static str,
    /// What that means.
    pub act_when: &'static str,
    /// What the table of faults says that ends it.
    pub remedy: Option<&'static str>,
    /// Whether a replay is safe.
    pub replay: &'static str,
    /// When it is.
    pub replay_when: &'static str,
    /// Which person decides.
    pub person: &'static str,
    /// When, and what.
    pub person_when: &'static str,
    /// Who is told next.
    pub escalation: &'static str,
    /// When.
    pub escalation_when: &'static str,
    /// Which contact of the partner to call.
    pub contact: Option<&'static str>,
    /// What this contact is for.
    pub contact_for: Option<&'static str>,
    /// The steps, in order.
    pub steps: Vec<RunbookItemStep>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunbookItemStep {
    /// The command, if it is one; a word in capitals stands for a value.
    pub command: Option<String>,
    /// What to do, or what the command is for.
    pub text: &'static str,
}

/// Every row, in the order of the tables.
pub fn rows() -> Vec<RunbookRow> {
    let mut rows: Vec<RunbookRow> = Fault::ALL.iter().map(|fault| fault.runbook()).collect();
    rows.extend(exchange::runbook::states());
    rows.extend(bulk::runbook::states());
    rows.extend(review::runbook::states());
    rows.extend(jobs::runbook::states());
    rows.extend(jobs::runbook::work());
    rows.extend(exchange::runbook::work());
    rows.extend(bulk::runbook::work());
    rows.push(retention::job::runbook());
    rows.push(figures::job::runbook());
    rows.push(erasure::runbook());
    rows.push(evidence::step::runbook());
    rows.push(witness::runbook::work());
    rows.push(alerting::kind::runbook());
    rows.extend(alerts::runbook::rows());
    rows
}

/// All entries, or those about `about`.
pub fn list(about: Option<RunbookAbout>) -> Vec<RunbookItem> {
    let all = rows().into_iter();
    let wanted = all.filter(|row| about.is_none_or(|about| row.about == about));
    wanted.map(|row| RunbookItem::of(&row)).collect()
}

/// The entry with this code, in whichever case it is written. An alert is found by the code that `causeway alerts` prints, too.
///
/// # Errors
/// `otherwise` when there is none; its remedy names the codes that are most alike, and never what was asked.
pub fn find(code: &str, otherwise: Fault) -> Result<RunbookItem, Failure> {
    let rows = rows();
    let by_id = rows.iter().find(|row| row.id().eq_ignore_ascii_case(code));
    let is_alert = |row: &&RunbookRow| row.about == RunbookAbout::Alert && row.code.eq_ignore_ascii_case(code);
    match by_id.or_else(|| rows.iter().find(is_alert)) {
        Some(row) => Ok(RunbookItem::of(row)),
        None => Err(Failure::new(otherwise).remedy(unknown(&near(code, &rows)))),
    }
}

fn unknown(near: &[String]) -> String {
    let all = "`causeway runbook` and /ops/v1/runbook list all codes.";
    match near {
        [] => format!("The runbook has no such code. {all}"),
        near => format!(
            "The runbook has no such code; the nearest are {}. {all}",
            near.join(", ")
        ),
    }
}

/// The codes that are most like this text, the most likely first.
fn near(wrong: &str, rows: &[RunbookRow]) -> Vec<String> {
    if wrong.len() > CODE_BYTES {
        return Vec::new();
    }
    let wrong = wrong.to_ascii_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&wrong, &known.to_ascii_lowercase());
    let mut found: Vec<(f64, String)> = rows
        .iter()
        .map(|row| (row.id(), row.code))
        .map(|(id, own)| (likeness(&id).max(likeness(own)), id))
        .filter(|(likeness, _)| *likeness > LIKELY)
        .collect();
    // Of codes that are equally alike the first of the tables comes first.
    found.sort_by(|one, other| other.0.total_cmp(&one.0));
    found.truncate(NEAR);
    found.into_iter().map(|(_, id)| id).collect()
}

impl RunbookItem {
    /// The entry of this row.
    pub fn of(row: &RunbookRow) -> RunbookItem {
        let procedure = row.procedure;
        RunbookItem {
            code: row.id(),
            about: row.about.code(),
            meaning: row.meaning,
            owner: procedure.owner.code(),
            owner_is: procedure.owner.text(),
            act_within: row.within.code(),
            act_when: row.within.text(),
            remedy: row.remedy,
            replay: procedure.replay.code(),
            replay_when: procedure.replay.text(),
            person: procedure.person.code(),
            person_when: procedure.person.text(),
            escalation: procedure.escalate.code(),
            escalation_when: procedure.escalate.text(),
            contact: procedure.contact.map(ContactKind::code),
            contact_for: procedure.contact.map(ContactKind::text),
            steps: procedure.steps.iter().map(RunbookItemStep::of).collect(),
        }
    }
}

impl RunbookItemStep {
    fn of(step: &RunbookStep) -> RunbookItemStep {
        match *step {
            RunbookStep::Run(command, text) => RunbookItemStep {
                command: Some(format!("causeway {}", command.line())),
                text,
            },
            RunbookStep::Do(text) => RunbookItemStep { command: None, text },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_entry_has_a_code_of_its_own_and_is_found_by_it_in_any_case() {
        let rows = rows();
        let codes: BTreeSet<String> = rows.iter().map(RunbookRow::id).collect();
        assert_eq!(codes.len(), rows.len(), "a code stands twice");
        for row in &rows {
            let (id, steps) = (row.id(), row.procedure.steps);
            assert!(!steps.is_empty() && row.meaning.ends_with('.'), "{id}");
            let found = find(&id.to_ascii_uppercase(), Fault::ParameterInvalid).expect("an entry");
            assert_eq!(found.code, id);
            assert!(
                id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
                "{id}"
            );
        }
    }

    #[test]
    fn an_alert_is_found_by_the_code_that_operators_see() {
        for alert in alerts::table::ALERTS {
            let found = find(alert.code, Fault::ParameterInvalid).expect("an entry");
            assert_eq!(found.code, format!("alert.{}", alert.code));
            assert_eq!(found, find(&found.code, Fault::ParameterInvalid).expect("an entry"));
        }
    }

    #[test]
    fn each_part_of_the_runbook_has_entries() {
        for about in RunbookAbout::ALL {
            let entries = list(Some(*about));
            assert!(!entries.is_empty(), "{}", about.code());
            assert!(entries.iter().all(|one| one.about == about.code()));
        }
        assert_eq!(list(None).len(), rows().len());
    }

    #[test]
    fn a_wrong_code_is_told_with_the_nearest_and_never_repeated() {
        for (wrong, nearest) in [
            ("SV-02", "SV-002"),
            ("manual_reviev", "phase.manual_review"),
            ("jobs.parked", "job.parked"),
            ("bulk-exports", "work.bulk-export"),
        ] {
            let failure = find(wrong, Fault::ParameterInvalid).expect_err("no entry");
            assert_eq!(failure.fault(), Fault::ParameterInvalid);
            let told = failure.operator_remedy_text();
            assert!(told.contains(nearest), "{wrong}: {told}");
        }
        for strange in ["", "%%%%%%", &"x".repeat(10_000)] {
            let failure = find(strange, Fault::NotFound).expect_err("no entry");
            assert!(
                failure
                    .operator_remedy_text()
                    .starts_with("The runbook has no such code.")
            );
        }
    }
}

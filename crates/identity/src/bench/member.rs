//! Answers member-match requests from a file against a roster from a file.

use super::csv::CsvTable;
use crate::address::WrittenAddress;
use crate::decide::{Decision, MatchOutcome};
use crate::index::Roster;
use crate::person::{Person, PersonName, Profile};
use crate::policy::{MatchingPolicy, Point};

/// One row of the result.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// Row of the request.
    pub query: usize,
    /// Row of the roster in the outcome, if there is one.
    pub record: Option<usize>,
    /// The decision; its candidates are indexes into `candidates`.
    pub decision: Decision,
    /// Rows of the roster that were compared.
    pub candidates: Vec<u32>,
}

/// The person in a row, read by the column names of the benchmark. Missing columns are treated as empty.
pub fn person(table: &CsvTable, row: usize) -> Person {
    let cell = |column: &str| table.cell(row, column).to_owned();
    let some = |column: &str| -> Vec<String> {
        let value = cell(column);
        if value.is_empty() { vec![] } else { vec![value] }
    };
    Person {
        names: vec![PersonName {
            given: [cell("first_name"), cell("middle_name")]
                .into_iter()
                .filter(|name| !name.is_empty())
                .collect(),
            family: cell("last_name"),
            suffix: cell("suffix"),
        }],
        birth_date: cell("birth_date"),
        gender: cell("gender"),
        ssn: cell("ssn"),
        ssn_last4: cell("ssn_last4"),
        addresses: vec![WrittenAddress {
            line: cell("address_line"),
            city: cell("city"),
            state: cell("state"),
            zip: cell("zip"),
        }],
        phones: some("phone"),
        emails: some("email"),
        member_ids: some("member_id"),
        subscriber_ids: some("subscriber_id"),
        ..Person::default()
    }
}

/// Reads a roster and normalizes its names on all cores.
pub fn roster(table: &CsvTable) -> Roster {
    Roster::new(on_all_cores(table.len(), |row| Profile::from(&person(table, row))))
}

/// Runs `work` for each row on all cores, and returns the results in order.
pub fn on_all_cores<T: Send>(rows: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = rows.div_ceil(cores).max(1);
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..rows)
            .step_by(share)
            .map(|from| scope.spawn(move || (from..(from + share).min(rows)).map(work).collect::<Vec<T>>()))
            .collect();
        let mut all = Vec::with_capacity(rows);
        for part in parts {
            match part.join() {
                Ok(part) => all.extend(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// Answers one request.
pub fn answer(roster: &Roster, queries: &CsvTable, row: usize, policy: &MatchingPolicy, point: Point) -> ResultRow {
    let asked = Profile::from(&person(queries, row));
    let found = roster.search(&asked, policy, point);
    let candidates: Vec<u32> = found
        .held
        .iter()
        .filter_map(|(number, _)| u32::try_from(*number).ok())
        .collect();
    let decision = found.decision;
    let record = match decision.outcome {
        MatchOutcome::Match(i) | MatchOutcome::Review(i) => {
            candidates.get(i).and_then(|number| usize::try_from(*number).ok())
        }
        MatchOutcome::None => None,
    };
    ResultRow {
        query: row,
        record,
        decision,
        candidates,
    }
}

/// The name of an outcome in a result file.
pub fn word(outcome: MatchOutcome) -> &'static str {
    match outcome {
        MatchOutcome::Match(_) => "match",
        MatchOutcome::Review(_) => "review",
        MatchOutcome::None => "none",
    }
}

//! Member-match requests against a roster.

use super::csv::Table;
use crate::decide::{Decision, Outcome};
use crate::index::Roster;
use crate::person::{Address, Person, PersonName, Profile};
use crate::policy::{Point, Policy};

/// One row of the result.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Row of the request.
    pub query: usize,
    /// Row of the roster that the outcome names.
    pub record: Option<usize>,
    /// The decision; its candidates are indices into `candidates`.
    pub decision: Decision,
    /// Rows of the roster that were compared.
    pub candidates: Vec<u32>,
}

/// The person a row describes, by the column names of the benchmark. Columns that are not there say nothing.
pub fn person(table: &Table, row: usize) -> Person {
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
        addresses: vec![Address {
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

/// Reads a roster, folding names on all cores.
pub fn roster(table: &Table) -> Roster {
    Roster::new(on_all_cores(table.len(), |row| Profile::from(&person(table, row))))
}

/// What `work` gives for each row, in order, made on all cores.
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
pub fn answer(roster: &Roster, queries: &Table, row: usize, policy: &Policy, point: Point) -> Answer {
    let asked = Profile::from(&person(queries, row));
    let found = roster.search(&asked, policy, point);
    let candidates: Vec<u32> = found
        .held
        .iter()
        .filter_map(|(number, _)| u32::try_from(*number).ok())
        .collect();
    let decision = found.decision;
    let record = match decision.outcome {
        Outcome::Match(i) | Outcome::Review(i) => candidates.get(i).and_then(|number| usize::try_from(*number).ok()),
        Outcome::None => None,
    };
    Answer {
        query: row,
        record,
        decision,
        candidates,
    }
}

/// The word for an outcome in a result file.
pub fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Match(_) => "match",
        Outcome::Review(_) => "review",
        Outcome::None => "none",
    }
}

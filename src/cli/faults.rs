//! `causeway faults`: the one table of faults.

use crate::error::Fault;
use crate::ops::{Whole, faults};
use crate::terminal::{Exit, Out};

/// Prints the table, for people or as one JSON document.
pub fn run(out: &mut Out) -> Exit {
    if out.json {
        out.value(&Whole::from(faults::table()));
    } else {
        let rows: Vec<Vec<String>> = Fault::ALL
            .iter()
            .map(|fault| {
                let row = fault.row();
                vec![
                    row.code.into(),
                    row.http.to_string(),
                    row.issue.into(),
                    row.severity.code().into(),
                    row.retry.code().into(),
                    row.owner.code().into(),
                    row.within.code().into(),
                    row.text.into(),
                    fault.operator_remedy().unwrap_or(row.remedy).into(),
                ]
            })
            .collect();
        out.table(
            &[
                "CODE", "HTTP", "ISSUE", "SEVERITY", "RETRY", "OWNER", "ACT", "WHAT", "NEXT",
            ],
            &rows,
        );
    }
    Exit::Done
}

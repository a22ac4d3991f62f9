//! `causeway faults`: the one table of faults.

use super::{Exit, Out};
use crate::error::Fault;
use serde_json::{Value, json};

/// Prints the table, for people or as one JSON document.
pub fn run(out: &mut Out) -> Exit {
    if out.json {
        out.value(&table());
    } else {
        let rows: Vec<Vec<String>> = Fault::ALL
            .iter()
            .map(|fault| {
                let row = fault.row();
                vec![
                    row.code.into(),
                    row.http.to_string(),
                    row.issue.into(),
                    row.retry.code().into(),
                    row.text.into(),
                    row.remedy.into(),
                ]
            })
            .collect();
        out.table(&["CODE", "HTTP", "ISSUE", "RETRY", "WHAT", "NEXT"], &rows);
    }
    Exit::Done
}

/// The table as JSON: `{"items": [...]}`.
pub fn table() -> Value {
    let items: Vec<Value> = Fault::ALL
        .iter()
        .map(|fault| {
            let row = fault.row();
            json!({"code": row.code, "http": row.http, "issue": row.issue, "severity": row.severity.code(),
                "retry": row.retry.code(), "text": row.text, "remedy": row.remedy})
        })
        .collect();
    json!({"items": items, "next": null})
}

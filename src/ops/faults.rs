//! The fault table as an operator's list.

use crate::error::Fault;
use serde_json::{Value, json};

/// The table as JSON: `{"items": [...]}`.
pub fn table() -> Value {
    let items: Vec<Value> = Fault::ALL
        .iter()
        .map(|fault| {
            let row = fault.row();
            json!({"code": row.code, "http": row.http, "issue": row.issue, "severity": row.severity.code(),
                "retry": row.retry.code(), "text": row.text, "remedy": row.remedy,
                "operator_remedy": fault.operator_remedy().unwrap_or(row.remedy)})
        })
        .collect();
    json!({"items": items, "next": null})
}

//! The fault table as an operator's list.

use crate::error::Fault;
use serde::Serialize;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaultItem {
    /// Its code.
    pub code: &'static str,
    /// The HTTP status that is answered.
    pub http: u16,
    /// The FHIR issue type.
    pub issue: &'static str,
    /// The FHIR severity.
    pub severity: &'static str,
    /// Whether to try again.
    pub retry: &'static str,
    /// What happened.
    pub text: &'static str,
    /// What to do, for the partner.
    pub remedy: &'static str,
    /// What to do, for the operator.
    pub operator_remedy: &'static str,
    /// Who has to act so that it ends.
    pub owner: &'static str,
    /// How soon.
    pub act_within: &'static str,
}

/// The table.
pub fn table() -> Vec<FaultItem> {
    let item = |fault: &Fault| {
        let row = fault.row();
        FaultItem {
            code: row.code,
            http: row.http,
            issue: row.issue,
            severity: row.severity.code(),
            retry: row.retry.code(),
            text: row.text,
            remedy: row.remedy,
            operator_remedy: fault.operator_remedy().unwrap_or(row.remedy),
            owner: row.owner.code(),
            act_within: row.within.code(),
        }
    };
    Fault::ALL.iter().map(item).collect()
}

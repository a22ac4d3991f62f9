//! A ledger entry as FHIR `AuditEvent`s, in the patterns of IHE's Basic Audit Log Patterns (BALP).
//!
//! Without side effects: the same entry, with the same values beside it, is always the same bytes. A profile is named only where the event
//! has all that the profile asks for. What the ledger does not record is marked as not known, and never made up.

mod access;
mod activity;
mod change;
mod consent;
mod disclosure;
mod entry;
mod parts;
mod table;
mod token;

#[cfg(test)]
mod tests;

pub use entry::{AuditedEnd, AuditedEntry, AuditedFacts};
pub use table::is_told;

use crate::context::Payer;
use serde_json::Value;

/// Returns the events of an entry, the first with the entry's id. An entry that ends a disclosure has none: the events of the entry that
/// began the disclosure tell both.
pub fn events(entry: &AuditedEntry, payer: &Payer) -> Vec<Value> {
    table::patterns(&entry.facts.action)
        .iter()
        .filter_map(|(suffix, pattern)| {
            let draft = pattern.draft(entry, payer)?;
            Some(draft.event(&format!("{}{suffix}", entry.id), entry, payer))
        })
        .collect()
}

/// Returns the id of the entry of which this is an event.
pub fn entry_id(event_id: &str) -> &str {
    event_id.split_once('.').map_or(event_id, |(entry, _)| entry)
}

/// Whether this event is a disclosure, as an accounting of disclosures lists it.
pub fn is_disclosure(event: &Value) -> bool {
    let id = event["id"].as_str().unwrap_or_default();
    id.strip_prefix(entry_id(id)) == Some(table::DISCLOSURE)
}

//! What has no pattern of its own in BALP: looks at the ledger, starts and stops, alarms, changes of what this server trusts.

use super::entry::AuditedEntry;
use super::parts::{
    APPLICATION, AuditCode, AuditOutcome, DESTINATION, DOMAIN_RESOURCE, EventDraft, RECIPIENT, REST, SOURCE, client,
    dcm, details, named, object, operator, patient, request_id, server,
};
use crate::context::Payer;

/// What kind of activity it is, in DICOM's codes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivityKind(AuditCode, Option<AuditCode>, &'static str);

pub(super) const LOOK: ActivityKind = ActivityKind(dcm("110101", "Audit Log Used"), None, "R");
pub(super) const LOOK_AT_MEMBER: ActivityKind = ActivityKind(dcm("110110", "Patient Record"), None, "R");
pub(super) const DECISION: ActivityKind = ActivityKind(dcm("110110", "Patient Record"), None, "U");
pub(super) const ERASED: ActivityKind = ActivityKind(dcm("110110", "Patient Record"), None, "D");
pub(super) const IMPORT: ActivityKind = ActivityKind(dcm("110107", "Import"), None, "C");
pub(super) const ALARM: ActivityKind = ActivityKind(dcm("110113", "Security Alert"), None, "E");
pub(super) const SETTING: ActivityKind = ActivityKind(
    dcm("110113", "Security Alert"),
    Some(dcm("110131", "Security Configuration")),
    "U",
);
pub(super) const START: ActivityKind = ActivityKind(
    dcm("110100", "Application Activity"),
    Some(dcm("110120", "Application Start")),
    "E",
);
pub(super) const STOP: ActivityKind = ActivityKind(
    dcm("110100", "Application Activity"),
    Some(dcm("110121", "Application Stop")),
    "E",
);
pub(super) const RUNNING: ActivityKind = ActivityKind(dcm("110100", "Application Activity"), None, "E");
pub(super) const REFUSED: ActivityKind = ActivityKind(REST, None, "E");

/// The activity, with who did it and what it was about.
pub(super) fn activity(kind: ActivityKind, entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let facts = &entry.facts;
    let agents = match facts.actor.kind.as_str() {
        "system" => vec![server(payer, APPLICATION, true)],
        "operator" => vec![operator(entry, RECIPIENT), server(payer, APPLICATION, false)],
        _ => vec![client(entry, SOURCE), server(payer, DESTINATION, false)],
    };
    let about = facts.object.kind.as_deref().filter(|kind| *kind != "Patient");
    let about = about.and_then(|kind| named(kind, entry.subject.as_deref(), facts.object.id_commit.as_deref()));
    let about = about.map(|what| {
        let mut entity = object(what, DOMAIN_RESOURCE);
        if !facts.counts.is_empty() {
            let counts = facts.counts.iter();
            entity["detail"] = details(counts.map(|(name, count)| (name.as_str(), count.to_string())));
        }
        entity
    });
    let entities = [about, patient(entry), request_id(entry)];
    EventDraft {
        profiles: Vec::new(),
        kind: kind.0,
        subtypes: kind.1.into_iter().collect(),
        action: kind.2,
        outcome: AuditOutcome::of(entry),
        agents,
        entities: entities.into_iter().flatten().collect(),
    }
}

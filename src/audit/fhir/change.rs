//! Something that is on record here was made or changed: BALP's Create and Update.

use super::entry::AuditedEntry;
use super::parts::{
    AuditOutcome, DESTINATION, DOMAIN_RESOURCE, EventDraft, REST, SOURCE, client, named, object, operator_system,
    patient, request_id, rest, server,
};
use crate::context::Payer;
use serde_json::json;

/// Which of the two it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangeKind {
    interaction: &'static str,
    action: &'static str,
    with_patient: &'static str,
    without: &'static str,
}

pub(super) const CREATE: ChangeKind = ChangeKind {
    interaction: "create",
    action: "C",
    with_patient: "IHE.BasicAudit.PatientCreate",
    without: "IHE.BasicAudit.Create",
};

pub(super) const UPDATE: ChangeKind = ChangeKind {
    interaction: "update",
    action: "U",
    with_patient: "IHE.BasicAudit.PatientUpdate",
    without: "IHE.BasicAudit.Update",
};

/// A change by a client or an operator.
pub(super) fn change(kind: ChangeKind, entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let outcome = AuditOutcome::of(entry);
    let about = &entry.facts.object;
    let name = about.kind.as_deref().unwrap_or("a record");
    let what = named(name, entry.subject.as_deref(), about.id_commit.as_deref());
    let by = match entry.is_by_client() {
        true => client(entry, SOURCE),
        false => operator_system(entry, payer, SOURCE),
    };
    let profile = match &entry.patient {
        Some(_) => kind.with_patient,
        None => kind.without,
    };
    let entities = [
        Some(object(
            what.unwrap_or_else(|| json!({"display": name})),
            DOMAIN_RESOURCE,
        )),
        patient(entry),
        request_id(entry),
    ];
    EventDraft {
        profiles: outcome.is_success().then_some(profile).into_iter().collect(),
        kind: REST,
        subtypes: vec![rest(kind.interaction)],
        action: kind.action,
        outcome,
        agents: vec![by, server(payer, DESTINATION, false)],
        entities: entities.into_iter().flatten().collect(),
    }
}

//! Read, Query, and operations: what a client asked this server for, or this server a partner.

use super::entry::AuditedEntry;
use super::parts::{
    AuditCode, AuditOutcome, DESTINATION, DOMAIN_RESOURCE, EventDraft, JOB, RECIPIENT, REST, SOURCE, TOKEN_USE, client,
    named, object, operator, operator_system, partner, patient, query, request_id, rest, server, token_use,
};
use crate::context::Payer;
use serde_json::json;

/// How an answer to a client ended: an answer whose end is not known may have been sent.
pub(super) fn outcome(entry: &AuditedEntry) -> AuditOutcome {
    if entry.facts.action != "disclosure.begun" {
        return AuditOutcome::of(entry);
    }
    match &entry.end {
        Some(end) if end.is_complete => AuditOutcome("0", None),
        Some(_) => AuditOutcome("4", Some("The answer was cut off; a part of it was sent.".to_owned())),
        None => AuditOutcome(
            "4",
            Some("The end is not recorded; the data may have been disclosed.".to_owned()),
        ),
    }
}

/// A client's read, search or operation on what is released.
pub(super) fn access(entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    match entry.facts.interaction.as_deref() {
        Some("read") => read(entry, payer, rest("read")),
        Some("vread") => read(entry, payer, rest("vread")),
        Some("search-type") => search(entry, payer),
        _ => operation(entry, payer),
    }
}

/// The profile for an event with a Patient, the one without, or none where it did not succeed; and that of the token.
fn profiles(
    entry: &AuditedEntry,
    outcome: &AuditOutcome,
    (with, without): (&'static str, &'static str),
) -> Vec<&'static str> {
    let own = match &entry.patient {
        _ if !outcome.is_success() => None,
        Some(_) => Some(with),
        None => Some(without),
    };
    let token = token_use(entry).map(|_| TOKEN_USE);
    own.into_iter().chain(token).collect()
}

/// BALP's Read and PatientRead. The ledger has the type of what was read, never its id.
fn read(entry: &AuditedEntry, payer: &Payer, subtype: AuditCode) -> EventDraft {
    let outcome = outcome(entry);
    let types = entry.end.as_ref().map(|end| &end.counts);
    let what = match types.and_then(|types| types.keys().next()) {
        Some(rtype) => json!({"type": rtype, "display": rtype}),
        None => json!({"display": "a resource"}),
    };
    let entities = [Some(object(what, DOMAIN_RESOURCE)), patient(entry), request_id(entry)];
    let agents = [
        Some(client(entry, DESTINATION)),
        Some(server(payer, SOURCE, false)),
        token_use(entry),
    ];
    EventDraft {
        profiles: profiles(entry, &outcome, ("IHE.BasicAudit.PatientRead", "IHE.BasicAudit.Read")),
        kind: REST,
        subtypes: vec![subtype],
        action: "R",
        outcome,
        agents: agents.into_iter().flatten().collect(),
        entities: entities.into_iter().flatten().collect(),
    }
}

/// BALP's Query and PatientQuery.
fn search(entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let outcome = outcome(entry);
    EventDraft {
        profiles: profiles(entry, &outcome, ("IHE.BasicAudit.PatientQuery", "IHE.BasicAudit.Query")),
        subtypes: vec![rest("search-type")],
        outcome,
        ..asked(entry, payer, None)
    }
}

/// An operation of a client. BALP has no profile for operations; the form is that of its queries.
pub(super) fn operation(entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let words = entry
        .facts
        .action
        .starts_with("member-match.")
        .then_some("Patient/$member-match");
    EventDraft {
        profiles: token_use(entry).map(|_| TOKEN_USE).into_iter().collect(),
        subtypes: vec![rest("operation")],
        outcome: outcome(entry),
        ..asked(entry, payer, words)
    }
}

fn asked(entry: &AuditedEntry, payer: &Payer, words: Option<&str>) -> EventDraft {
    let facts = &entry.facts;
    let kind = facts.object.kind.as_deref().filter(|kind| *kind != "Patient");
    let about = kind.and_then(|kind| named(kind, entry.subject.as_deref(), facts.object.id_commit.as_deref()));
    let entities = [
        Some(query(words)),
        // In the profiles the query is the only object of its kind.
        about
            .filter(|_| facts.interaction.as_deref() != Some("search-type"))
            .map(|what| object(what, JOB)),
        patient(entry),
        request_id(entry),
    ];
    let by = match entry.is_by_client() {
        true => client(entry, SOURCE),
        false => operator_system(entry, payer, SOURCE),
    };
    let agents = [Some(by), Some(server(payer, DESTINATION, false)), token_use(entry)];
    EventDraft {
        profiles: Vec::new(),
        kind: REST,
        subtypes: Vec::new(),
        action: "E",
        outcome: AuditOutcome::of(entry),
        agents: agents.into_iter().flatten().collect(),
        entities: entities.into_iter().flatten().collect(),
    }
}

/// A step of an exchange in which this server asks the partner, or somebody's act on one.
pub(super) fn exchange(entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let asker = match entry.facts.actor.kind.as_str() {
        "operator" => Some(operator(entry, RECIPIENT)),
        _ => None,
    };
    let by_itself = asker.is_none();
    let about = named("Exchange", entry.facts.exchange.as_deref(), None).map(|what| object(what, JOB));
    let agents = [
        asker,
        Some(server(payer, SOURCE, by_itself)),
        Some(partner(entry, DESTINATION, false)),
    ];
    EventDraft {
        profiles: Vec::new(),
        kind: REST,
        subtypes: vec![rest("operation")],
        action: "E",
        outcome: AuditOutcome::of(entry),
        agents: agents.into_iter().flatten().collect(),
        entities: [about, patient(entry), request_id(entry)]
            .into_iter()
            .flatten()
            .collect(),
    }
}

//! Privacy disclosures: a member's data that left, as its source, and that came, as its recipient.

use super::access::outcome;
use super::entry::AuditedEntry;
use super::parts::{
    AuditCode, AuditOutcome, DESTINATION, EventDraft, REPORT, SOURCE, client, consent, dcm, details, in_words, object,
    partner, patient, request_id, server, token_use,
};
use crate::context::Payer;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DISCLOSE: AuditCode = AuditCode(
    "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
    "disclose",
    "Disclose Record Lifecycle Event",
);

/// What was disclosed: how many resources of which types, never which.
fn data(counts: &BTreeMap<String, u64>, more: &[(&str, Option<String>)]) -> Value {
    let words = in_words(counts);
    let display = words.unwrap_or_else(|| "a part of the record".to_owned());
    let mut entity = object(json!({"display": display}), REPORT);
    let facts: Vec<(&str, String)> = more
        .iter()
        .filter_map(|(name, value)| Some((*name, value.clone()?)))
        .collect();
    if !facts.is_empty() {
        entity["detail"] = details(facts);
    }
    entity
}

/// A partner got data of a member: BALP's disclosure at its source. None without a member.
pub(super) fn source(entry: &AuditedEntry, payer: &Payer) -> Option<EventDraft> {
    let whose = patient(entry)?;
    let facts = &entry.facts;
    let none = BTreeMap::new();
    let counts = entry.end.as_ref().map_or(&none, |end| &end.counts);
    let more = [
        ("bytes", entry.end.as_ref().map(|end| end.bytes.to_string())),
        (
            "consent_rule",
            facts.consent.as_ref().map(|consent| consent.rule.clone()),
        ),
        ("policy_version", facts.policy_version.clone()),
    ];
    let agents = [
        Some(server(payer, SOURCE, false)),
        Some(client(entry, DESTINATION)),
        token_use(entry),
    ];
    let entities = [
        Some(whose),
        Some(data(counts, &more)),
        consent(entry),
        request_id(entry),
    ];
    Some(EventDraft {
        profiles: vec!["IHE.BasicAudit.PrivacyDisclosure.Source"],
        kind: dcm("110106", "Export"),
        subtypes: vec![DISCLOSE],
        action: "R",
        outcome: outcome(entry),
        agents: agents.into_iter().flatten().collect(),
        entities: entities.into_iter().flatten().collect(),
    })
}

/// This server got data of a member from a partner: BALP's disclosure at its recipient. None without a member.
pub(super) fn recipient(entry: &AuditedEntry, payer: &Payer) -> Option<EventDraft> {
    let whose = patient(entry)?;
    let facts = &entry.facts;
    let more = [
        ("exchange", facts.exchange.clone()),
        ("policy_version", facts.policy_version.clone()),
    ];
    let entities = [
        Some(whose),
        Some(data(&facts.counts, &more)),
        consent(entry),
        request_id(entry),
    ];
    Some(EventDraft {
        profiles: vec!["IHE.BasicAudit.PrivacyDisclosure.Recipient"],
        kind: dcm("110107", "Import"),
        subtypes: vec![DISCLOSE],
        action: "C",
        outcome: AuditOutcome::of(entry),
        agents: vec![partner(entry, SOURCE, false), server(payer, DESTINATION, true)],
        entities: entities.into_iter().flatten().collect(),
    })
}

//! The decision whether a consent permits: BALP's AuthZconsent, for whoever asks without a user behind.

use super::entry::AuditedEntry;
use super::parts::{
    APPLICATION, AUTHZ_SUBTYPES, AuditCode, AuditOutcome, EventDraft, RECIPIENT, client, client_who, consent, dcm,
    observer, partner_who, patient, role_player, token_use,
};
use crate::context::Payer;

const ORGANIZATION: AuditCode = AuditCode(
    "http://terminology.hl7.org/CodeSystem/v3-RoleClass",
    "PROV",
    "healthcare provider",
);
const AUTHORIZER: AuditCode = AuditCode(
    "http://terminology.hl7.org/CodeSystem/extra-security-role-type",
    "authserver",
    "authorization server",
);
const SUBTYPE: AuditCode = AuditCode(
    AUTHZ_SUBTYPES,
    "AuthZ-Consent",
    "Authorization Decision using Roles and Consent",
);

/// The decision that the entry cites. None where it cites none, or no member or no partner is known. The profile wants a user and an
/// organization: here both are the partner, whose system asks.
pub(super) fn decision(entry: &AuditedEntry, payer: &Payer) -> Option<EventDraft> {
    let (whose, under) = (patient(entry)?, consent(entry)?);
    let cited = entry.facts.consent.as_ref()?;
    entry.facts.partner.as_ref()?;
    let outcome = match cited.decision.as_str() {
        "permit" => AuditOutcome("0", Some(format!("permit: {}", cited.rule))),
        decision => AuditOutcome("8", Some(format!("{decision}: {}", cited.rule))),
    };
    let mut asking = client(entry, APPLICATION);
    if let Some(agent) = asking.as_object_mut() {
        // The profile has no place for it.
        agent.remove("altId");
        agent.insert("requestor".to_owned(), false.into());
        if let Some(token) = token_use(entry) {
            agent.insert("policy".to_owned(), token["policy"].clone());
        }
    }
    Some(EventDraft {
        profiles: vec!["IHE.BasicAudit.AuthZconsent"],
        kind: dcm("110113", "Security Alert"),
        subtypes: vec![SUBTYPE],
        action: "E",
        outcome,
        agents: vec![
            asking,
            role_player(RECIPIENT, &client_who(entry), true),
            role_player(ORGANIZATION, &partner_who(entry), false),
            role_player(AUTHORIZER, &observer(payer), false),
        ],
        entities: vec![whose, under],
    })
}

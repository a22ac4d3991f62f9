//! A client asked for an access token: the event of IHE's Get Access Token (ITI-71).

use super::entry::AuditedEntry;
use super::parts::{APPLICATION, AuditCode, AuditOutcome, EventDraft, USER_AGENTS, client, dcm, query, server};
use crate::context::Payer;

const SUBTYPE: AuditCode = AuditCode("urn:ihe:event-type-code", "ITI-71", "Get Access Token");
const AUTH_SERVER: AuditCode = AuditCode(USER_AGENTS, "AuthzOauthService", "OAuth Authorization Server");

/// A token that was granted or refused. The request itself has a secret in it and is not recorded.
pub(super) fn token(entry: &AuditedEntry, payer: &Payer) -> EventDraft {
    let outcome = AuditOutcome::of(entry);
    let profile = outcome.is_success().then_some("IHE.IUA.71");
    EventDraft {
        profiles: profile.into_iter().collect(),
        kind: dcm("110114", "User Authentication"),
        subtypes: vec![SUBTYPE],
        action: "E",
        outcome,
        agents: vec![client(entry, APPLICATION), server(payer, AUTH_SERVER, false)],
        entities: vec![query(Some("POST /oauth/token"))],
    }
}

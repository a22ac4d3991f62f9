//! What an event is made of: what the bytes of a ledger entry say, and the values beside it that open its commitments.
//!
//! Entries leave out what they do not have, so that nothing here is needed. Values that were erased are absent.

use serde::Deserialize;
use std::collections::BTreeMap;

/// An entry with what stands beside it.
#[derive(Clone, Debug, Default)]
pub struct AuditedEntry {
    /// Its id.
    pub id: String,
    /// What its bytes say.
    pub facts: AuditedFacts,
    /// The id of its object, if it was not erased.
    pub subject: Option<String>,
    /// The Patient concerned, if that is known.
    pub patient: Option<String>,
    /// The consent to which it is committed, if that is known.
    pub consent: Option<String>,
    /// The operator who acted.
    pub operator: Option<String>,
    /// The operator's reason.
    pub reason: Option<String>,
    /// How the disclosure that it began has ended, if that is known.
    pub end: Option<AuditedEnd>,
}

/// How a disclosure ended.
#[derive(Clone, Debug, Default)]
pub struct AuditedEnd {
    /// Whether all of the answer was sent.
    pub is_complete: bool,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Resources that were sent, by type.
    pub counts: BTreeMap<String, u64>,
}

/// What the bytes of an entry say, as far as events tell it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AuditedFacts {
    pub action: String,
    pub actor: AuditedActor,
    pub consent: Option<AuditedConsent>,
    pub counts: BTreeMap<String, u64>,
    pub exchange: Option<String>,
    pub interaction: Option<String>,
    pub object: AuditedObject,
    pub outcome: AuditedOutcome,
    pub partner: Option<String>,
    pub policy_version: Option<String>,
    pub request_id: String,
    pub ts: String,
}

/// Who acted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AuditedActor {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Option<String>,
    pub client_id: Option<String>,
    pub cert_sha256: Option<String>,
    pub jti_sha256: Option<String>,
}

/// The consent that was judged.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AuditedConsent {
    pub decision: String,
    pub id_commit: String,
    pub rule: String,
}

/// What it was about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AuditedObject {
    pub kind: Option<String>,
    pub id_commit: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct AuditedOutcome {
    pub class: String,
    pub reason: Option<String>,
}

impl AuditedEntry {
    /// Whether a partner's client acted, or somebody who may be one.
    pub(super) fn is_by_client(&self) -> bool {
        !matches!(self.facts.actor.kind.as_str(), "operator" | "system")
    }

    /// The name of the client, or of the partner whose it is.
    pub(super) fn client(&self) -> Option<&str> {
        let actor = &self.facts.actor;
        actor.client_id.as_deref().or(actor.id.as_deref())
    }
}

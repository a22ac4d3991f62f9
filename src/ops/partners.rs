//! The registered partners as operators see them.

use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::partner::PartnerContacts;
use crate::store::guesses::Tallied;
use crate::store::partners::PartnerRow;
use crate::store::{Db, guesses, partners};
use causeway_jose::{KeySet, PublicKey};
use serde::Serialize;
use serde_json::Value;

/// A partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartnerItem {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Its National Provider Identifier.
    pub npi: String,
    /// `active` or `suspended`.
    pub status: String,
    /// Why it was suspended.
    pub reason: Option<String>,
    /// `required`, `optional` or `off`.
    pub mtls: String,
    /// Counts the changes of its registration.
    pub version: i64,
    /// Until when its matches are turned away by the guessing guard.
    pub match_locked_until: Option<String>,
    /// URI name of its client certificate.
    pub certificate_uri: Option<String>,
    /// Whom to call there.
    pub contacts: Option<PartnerContacts>,
}

/// All partners; whose matching is locked is so at `now_ms`.
///
/// # Errors
/// Those of the database.
pub fn list(db: &mut Db, now_ms: i64) -> Result<Vec<PartnerItem>, Failure> {
    let (rows, locks) = (partners::list(db)?, guesses::locks(db, now_ms)?);
    let locked = |id: &str| locks.iter().find(|(locked, _)| locked == id);
    let item = |row: PartnerRow| PartnerItem {
        match_locked_until: locked(&row.id).map(|(_, until_ms)| rfc3339_ms(*until_ms)),
        contacts: row.contacts.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        certificate_uri: row.certificate_uri,
        id: row.id,
        name: row.name,
        npi: row.npi,
        status: row.status,
        reason: row.status_reason,
        mtls: row.mtls,
        version: row.version,
    };
    Ok(rows.into_iter().map(item).collect())
}

/// A registration, whole but for secrets, of which it has none.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegisteredPartner {
    /// Its id.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Its National Provider Identifier.
    pub npi: String,
    /// Its OAuth client id.
    pub client_id: String,
    /// `active` or `suspended`.
    pub status: String,
    /// Why it was suspended.
    pub status_reason: Option<String>,
    /// URI name of its client certificate.
    pub certificate_uri: Option<String>,
    /// `required`, `optional` or `off`.
    pub mtls: String,
    /// What it may be granted.
    pub scopes: Vec<String>,
    /// Versions of the guides that it speaks, as they are stored.
    pub dialect: Option<Value>,
    /// The keys of a set that is kept here.
    pub keys: Option<Vec<PartnerKey>>,
    /// The address of a set that is not.
    pub jwks_url: Option<String>,
    /// Its FHIR endpoint, for us as its client.
    pub endpoint: Option<String>,
    /// Whom to call there.
    pub contacts: Option<PartnerContacts>,
    /// Counts the changes of the registration.
    pub version: i64,
    /// When it was added.
    pub created_at: String,
    /// When it was last changed.
    pub updated_at: String,
    /// What the guessing guard has counted, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<MatchingTally>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartnerKey {
    /// Its id in the set.
    pub kid: String,
    /// Its thumbprint (RFC 7638).
    pub thumbprint: String,
    /// The algorithms that it may be used with.
    pub algorithms: Vec<&'static str>,
}

/// What the guessing guard has counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatchingTally {
    /// Until when matches are turned away.
    pub locked_until: Option<String>,
    /// Whether the share of failures raised the alarm.
    pub alarmed: bool,
    /// Different guesses that failed.
    pub failed: i64,
    /// Members newly granted.
    pub granted: i64,
}

impl RegisteredPartner {
    /// The registration of this row, with what was counted of its matches if that is given.
    pub fn of(row: PartnerRow, tallied: Option<&Tallied>) -> RegisteredPartner {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
        let endpoint = row.endpoint.as_deref().and_then(parsed);
        let set = row.jwks.as_deref().and_then(|text| KeySet::parse(text.as_bytes()).ok());
        RegisteredPartner {
            scopes: row.scopes.split(' ').map(str::to_owned).collect(),
            dialect: parsed(&row.dialect),
            keys: set.map(|set| set.keys().iter().map(PartnerKey::of).collect()),
            endpoint: endpoint.and_then(|endpoint| Some(endpoint.get("fhir")?.as_str()?.to_owned())),
            contacts: row.contacts.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            id: row.id,
            name: row.name,
            npi: row.npi,
            client_id: row.client_id,
            status: row.status,
            status_reason: row.status_reason,
            certificate_uri: row.certificate_uri,
            mtls: row.mtls,
            jwks_url: row.jwks_url,
            version: row.version,
            created_at: rfc3339_ms(row.created_ms),
            updated_at: rfc3339_ms(row.updated_ms),
            matching: tallied.map(MatchingTally::of),
        }
    }
}

impl PartnerKey {
    fn of(key: &PublicKey) -> PartnerKey {
        PartnerKey {
            kid: key.kid.clone(),
            thumbprint: key.thumbprint.clone(),
            algorithms: key.algorithms().collect(),
        }
    }
}

impl MatchingTally {
    fn of(tallied: &Tallied) -> MatchingTally {
        MatchingTally {
            locked_until: tallied.locked_until_ms.map(rfc3339_ms),
            alarmed: tallied.alarmed,
            failed: tallied.failed,
            granted: tallied.granted,
        }
    }
}

//! What the read models take from the bytes of a ledger entry.
//!
//! Entries leave out what they do not have, so that nothing here is needed; members that are not listed are passed over.

use crate::error::{Failure, Fault};
use crate::store::entries::EntryRow;
use serde::Deserialize;
use std::collections::BTreeMap;

/// An entry, as far as it is told.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct EntryFacts {
    pub(super) request_id: String,
    pub(super) actor: ActorFacts,
    pub(super) object: ObjectFacts,
    pub(super) outcome: OutcomeFacts,
    pub(super) consent: ConsentFacts,
    pub(super) policy_version: Option<String>,
    /// Id of the entry of the disclosure that this one ends.
    pub(super) begun: Option<String>,
    pub(super) bytes: Option<u64>,
    pub(super) counts: BTreeMap<String, u64>,
}

/// Who did it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ActorFacts {
    pub(super) id: Option<String>,
    pub(super) client_id: Option<String>,
}

/// What it was done to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ObjectFacts {
    pub(super) kind: Option<String>,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct OutcomeFacts {
    pub(super) class: Option<String>,
    pub(super) http: Option<u16>,
    pub(super) reason: Option<String>,
}

/// The consent that was judged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ConsentFacts {
    pub(super) id_commit: Option<String>,
    pub(super) rule: Option<String>,
}

impl EntryFacts {
    /// Those of a row.
    ///
    /// # Errors
    /// [`Fault::StoreDamaged`] for what is no entry.
    pub(super) fn of(row: &EntryRow) -> Result<EntryFacts, Failure> {
        serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))
    }

    /// By what a client is known.
    pub(super) fn client(&self) -> Option<&str> {
        self.actor.id.as_deref().or(self.actor.client_id.as_deref())
    }

    /// Whether it stands for refusals that were counted.
    pub(super) fn is_count(&self) -> bool {
        self.object.kind.as_deref() == Some("refusals")
    }

    /// How many refusals it stands for, of those that were counted.
    pub(super) fn refusals(&self) -> Option<u64> {
        self.counts.get("refusals").copied()
    }
}

/// How a disclosure ended; nothing but `begun` where nobody knows.
#[derive(Clone, Debug, Default)]
pub(super) struct DisclosureEnd {
    pub(super) outcome: &'static str,
    pub(super) ended_at: Option<String>,
    pub(super) http: Option<u16>,
    pub(super) bytes: Option<u64>,
    pub(super) resources: Option<BTreeMap<String, u64>>,
}

//! Something that happened, as a trace tells it: members that every event has, and those of its kind.

use super::disclosures::Under;
use serde::Serialize;
use std::collections::BTreeMap;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceItem {
    /// Id of its ledger entry.
    pub id: String,
    /// When it happened.
    pub at: String,
    /// What: the action of the entry; `disclosure` for one that began, with its end.
    pub action: String,
    /// The partner it concerns.
    pub partner: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// The HTTP status that was answered.
    pub http: Option<u16>,
    /// Fault code, or the reason that the entry names.
    pub reason: Option<String>,
    /// What the fault code means.
    pub text: Option<&'static str>,
    /// Our id of the request.
    pub request_id: String,
    /// The correlation id, where it is ours or was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Which client somebody said it was, who was not known to be it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_client: Option<String>,
    /// Which operator acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// What it was about.
    #[serde(flatten)]
    pub about: About,
    /// What was counted and not listed.
    #[serde(flatten)]
    pub count: Count,
}

/// What an event was about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum About {
    Nothing {},
    Review {
        review_id: Option<String>,
    },
    Consent {
        consent_id: Option<String>,
    },
    Grant {
        grant_id: Option<String>,
    },
    Match {
        decision_id: String,
        grant_id: Option<String>,
        consent_id: Option<String>,
    },
    Disclosure(Disclosed),
}

/// A disclosure, with its end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disclosed {
    #[serde(skip)]
    pub(super) outcome: &'static str,
    #[serde(skip)]
    pub(super) http: Option<u16>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Bytes that went out.
    pub bytes: Option<u64>,
    /// Resources that went out, by type.
    pub resources: Option<BTreeMap<String, u64>>,
    /// Under what it was.
    #[serde(flatten)]
    pub under: Option<Under>,
}

/// Refusals that were counted and not listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)]
pub enum Count {
    Nothing {},
    /// This event stands for so many.
    Counted {
        counted: u64,
        minute: Option<String>,
        note: String,
    },
    /// So many more like this one.
    Further {
        further: u64,
        note: String,
    },
}

/// The ids that an event names.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct TraceIds<'a> {
    pub decision: Option<&'a str>,
    pub grant: Option<&'a str>,
    pub consent: Option<&'a str>,
    pub review: Option<&'a str>,
}

impl TraceItem {
    /// The ids that it names.
    pub fn ids(&self) -> TraceIds<'_> {
        let mut ids = TraceIds::default();
        match &self.about {
            About::Nothing {} => {}
            About::Review { review_id } => ids.review = review_id.as_deref(),
            About::Consent { consent_id } => ids.consent = consent_id.as_deref(),
            About::Grant { grant_id } => ids.grant = grant_id.as_deref(),
            About::Match {
                decision_id,
                grant_id,
                consent_id,
            } => {
                ids.decision = Some(decision_id);
                ids.grant = grant_id.as_deref();
                ids.consent = consent_id.as_deref();
            }
            About::Disclosure(Disclosed { under, .. }) => {
                let id = |of: fn(&Under) -> &Option<String>| under.as_ref().and_then(|under| of(under).as_deref());
                ids.decision = id(|under| &under.decision_id);
                ids.grant = id(|under| &under.grant_id);
                ids.consent = id(|under| &under.consent_id);
            }
        }
        ids
    }

    /// Bytes that went out, of a disclosure that ended.
    pub fn bytes(&self) -> Option<u64> {
        match &self.about {
            About::Disclosure(disclosed) => disclosed.bytes,
            _ => None,
        }
    }

    /// What is to be said of refusals that were counted.
    pub fn note(&self) -> Option<&str> {
        match &self.count {
            Count::Nothing {} => None,
            Count::Counted { note, .. } | Count::Further { note, .. } => Some(note),
        }
    }
}

/// So many refusals in words.
pub(super) fn refusals(which: &str, number: u64) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {which}refusal{plural}", grouped(number))
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

//! One business event, and its canonical bytes (RFC 8785: sorted keys, strings and small integers).

use crate::clock::rfc3339_us;
use crate::secret::{hex, hmac_sha256, sha256_of};
use crate::telemetry::Correlation;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

macro_rules! actions {
    ($($name:ident => $code:literal,)+) => {
        /// What happened, as `<area>.<what>`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $(#[doc = $code] $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Action] = &[$(Action::$name,)+];

            /// The code, such as `token.issued`.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Action::$name => $code,)+
                }
            }
        }
    };
}

actions! {
    TokenIssued => "token.issued",
    TokenRefused => "token.refused",
    TokenRevoked => "token.revoked",
    MatchBegun => "member-match.begun",
    MatchMatched => "member-match.matched",
    MatchRefused => "member-match.refused",
    DisclosureBegun => "disclosure.begun",
    DisclosureCompleted => "disclosure.completed",
    DisclosureRefused => "disclosure.refused",
    ConsentRecorded => "consent.recorded",
    ConsentRevoked => "consent.revoked",
    PartnerAdded => "partner.added",
    PartnerSuspended => "partner.suspended",
    PartnerResumed => "partner.resumed",
    PartnerRotated => "partner.rotated",
    ReviewOpened => "review.opened",
    ReviewDecided => "review.decided",
    ReviewProposed => "review.proposed",
    ReviewDeferred => "review.deferred",
    ReviewTaken => "review.taken",
    ReviewReopened => "review.reopened",
    ReviewViewed => "review.viewed",
    LinkMoved => "link.moved",
    LinkTakenBack => "link.taken-back",
    PartnerLocked => "partner.locked",
    PartnerUnlocked => "partner.unlocked",
    GuessAlarmed => "guess.alarmed",
    PolicyImported => "policy.imported",
    PolicyActivated => "policy.activated",
    PolicyShadowStarted => "policy.shadow-started",
    PolicyShadowEnded => "policy.shadow-ended",
    RequestRefused => "request.refused",
    OperatorTokenIssued => "operator.token-issued",
    OperatorImported => "operator.imported",
    OperatorViewed => "operator.viewed",
    OperatorGrantRevoked => "operator.grant-revoked",
    ServerStarted => "server.started",
    ServerStopped => "server.stopped",
}

/// Who did it.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// `partner`, `operator`, `system` or `unknown`.
    pub kind: &'static str,
    /// Partner id or operator role; ours, never a person's name.
    pub id: Option<String>,
    /// OAuth client id, when one authenticated.
    pub client_id: Option<String>,
    /// SHA-256 of the client certificate (DER).
    pub certificate_sha256: Option<[u8; 32]>,
    /// SHA-256 of the token's or assertion's `jti`.
    pub jti_sha256: Option<[u8; 32]>,
}

/// What it was done to. The id goes into the entry only as a salted commitment.
#[derive(Clone, Debug)]
pub struct Object {
    /// FHIR type or our word, such as `Patient` or `partner`.
    pub kind: &'static str,
    /// The plain id; kept beside the entry where it can be erased.
    pub id: String,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `ok`, `refused` or `failed`.
    pub class: &'static str,
    /// HTTP status answered, if any.
    pub http: Option<u16>,
    /// Fault code, or the verdict of a review.
    pub reason: Option<&'static str>,
}

/// The consent that was judged.
#[derive(Clone, Debug)]
pub struct ConsentNote {
    /// Id of the consent record; committed, not written.
    pub id: String,
    /// `permit` or `refuse`.
    pub decision: &'static str,
    /// The row of the decision table that applied.
    pub rule: &'static str,
}

/// Which operator acted, and what for. Only commitments go into the entry; the texts are kept where they can be erased.
#[derive(Clone, Debug)]
pub struct Note {
    /// Who: the name of the token, or the user of the host.
    pub operator: String,
    /// Why, in the operator's words; empty where nobody is asked for a reason, as for a view.
    pub reason: String,
}

/// A business event before it is bytes. Absent fields are left out of the bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What happened.
    pub action: Action,
    /// Who did it.
    pub actor: Actor,
    /// The partner concerned.
    pub partner: Option<String>,
    /// What it was done to.
    pub object: Option<Object>,
    /// The exchange it belongs to.
    pub exchange: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The ids of the request.
    pub correlation: Correlation,
    /// SHA-256 of the request body as received.
    pub request_digest: Option<[u8; 32]>,
    /// SHA-256 of the answer's body.
    pub response_digest: Option<[u8; 32]>,
    /// Bytes disclosed.
    pub bytes: Option<u64>,
    /// How many of what: resources by type, what an import did, refusals that are not listed singly.
    pub counts: BTreeMap<String, u64>,
    /// Id of the entry of the disclosure that this one ends.
    pub begun: Option<String>,
    /// The consent that was judged.
    pub consent: Option<ConsentNote>,
    /// Version of the policy that decided.
    pub policy_version: Option<String>,
    /// Which operator acted, and what for.
    pub note: Option<Note>,
}

impl Entry {
    /// An entry with nothing but its action, actor and correlation.
    pub fn new(action: Action, actor: Actor, correlation: Correlation) -> Self {
        Entry {
            action,
            partner: if actor.kind == "partner" {
                actor.id.clone()
            } else {
                None
            },
            actor,
            object: None,
            exchange: None,
            outcome: Outcome {
                class: "ok",
                http: None,
                reason: None,
            },
            correlation,
            request_digest: None,
            response_digest: None,
            bytes: None,
            counts: BTreeMap::new(),
            begun: None,
            consent: None,
            policy_version: None,
            note: None,
        }
    }

    /// The canonical bytes: one JSON object, keys sorted at every level, commitments salted
    /// from `salt`, the secret of this entry.
    pub fn bytes(&self, at_us: i64, salt: &[u8; 32]) -> Vec<u8> {
        let mut actor = Fields::default();
        actor.opt("cert_sha256", self.actor.certificate_sha256.map(|d| hex(&d)));
        actor.opt("client_id", self.actor.client_id.clone());
        actor.opt("id", self.actor.id.clone());
        actor.opt("jti_sha256", self.actor.jti_sha256.map(|d| hex(&d)));
        actor.text("type", self.actor.kind);

        let mut root = Fields::default();
        root.text("action", self.action.code());
        root.value("actor", actor.object());
        root.opt("begun", self.begun.clone());
        if let Some(bytes) = self.bytes {
            root.value("bytes", Value::from(bytes));
        }
        if let Some(consent) = &self.consent {
            let mut note = Fields::default();
            note.text("decision", consent.decision);
            note.text("id_commit", &commitment("consent", salt, &consent.id));
            note.text("rule", consent.rule);
            root.value("consent", note.object());
        }
        root.text("correlation_id", &self.correlation.correlation_id);
        if !self.counts.is_empty() {
            let mut counts = Fields::default();
            for (what, number) in &self.counts {
                counts.value(what, Value::from(*number));
            }
            root.value("counts", counts.object());
        }
        root.opt("exchange", self.exchange.clone());
        if let Some(note) = self.note.as_ref().filter(|note| !note.reason.is_empty()) {
            root.text("note_commit", &commitment("note", salt, &note.reason));
        }
        if let Some(object) = &self.object {
            let mut note = Fields::default();
            note.text("id_commit", &commitment("object", salt, &object.id));
            note.text("kind", object.kind);
            root.value("object", note.object());
        }
        if let Some(note) = &self.note {
            root.text("operator_commit", &commitment("operator", salt, &note.operator));
        }
        let mut outcome = Fields::default();
        outcome.text("class", self.outcome.class);
        if let Some(http) = self.outcome.http {
            outcome.value("http", Value::from(http));
        }
        outcome.opt("reason", self.outcome.reason.map(str::to_owned));
        root.value("outcome", outcome.object());
        root.opt("partner", self.partner.clone());
        root.opt("policy_version", self.policy_version.clone());
        root.opt("req_digest", self.request_digest.map(|d| hex(&d)));
        root.text("request_id", &self.correlation.request_id);
        root.opt("resp_digest", self.response_digest.map(|d| hex(&d)));
        root.text("software", concat!("causeway/", env!("CARGO_PKG_VERSION")));
        root.text("ts", &rfc3339_us(at_us));
        root.value("v", Value::from(1));
        root.object().to_string().into_bytes()
    }
}

/// The salt of one field, from the secret of its entry: showing one field's salt to an auditor opens no other field.
pub fn field_salt(entry_secret: &[u8; 32], field: &str) -> [u8; 32] {
    hmac_sha256(entry_secret, field.as_bytes())
}

/// `SHA-256("px-audit-v1" || field || salt || value)`, hexadecimal, with the field's own salt.
pub fn commitment(field: &str, entry_secret: &[u8; 32], value: &str) -> String {
    let salt = field_salt(entry_secret, field);
    hex(&sha256_of(&[b"px-audit-v1", field.as_bytes(), &salt, value.as_bytes()]))
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn value(&mut self, key: &str, value: Value) {
        debug_assert!(
            self.0.keys().next_back().is_none_or(|last| last.as_str() < key),
            "keys are written in order: {key}"
        );
        self.0.insert(key.to_owned(), value);
    }

    fn text(&mut self, key: &str, value: &str) {
        self.value(key, Value::from(value));
    }

    fn opt(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.value(key, Value::from(value));
        }
    }

    fn object(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_canonical_and_hide_the_subject() {
        let correlation = Correlation::internal("r-1".into());
        let mut entry = Entry::new(
            Action::DisclosureBegun,
            Actor {
                kind: "partner",
                id: Some("p".into()),
                ..Actor::default()
            },
            correlation,
        );
        entry.object = Some(Object {
            kind: "Patient",
            id: "ana-lima".into(),
        });
        entry.consent = Some(ConsentNote {
            id: "c-9".into(),
            decision: "permit",
            rule: "regular",
        });
        entry.begun = Some("e-1".into());
        entry.bytes = Some(9);
        entry.counts = BTreeMap::from([("Patient".to_owned(), 1), ("Coverage".to_owned(), 2)]);
        entry.note = Some(Note {
            operator: "ana".into(),
            reason: "called".into(),
        });
        let text = String::from_utf8(entry.bytes(1_000_000, &[7; 32])).expect("utf-8");
        assert!(
            !text.contains("ana-lima") && !text.contains("c-9") && !text.contains("called"),
            "{text}"
        );
        let parsed: Value = serde_json::from_str(&text).expect("json");
        let mut keys: Vec<_> = parsed.as_object().expect("object").keys().cloned().collect();
        let written = keys.clone();
        keys.sort();
        assert_eq!(keys, written);
        assert_eq!(
            parsed["object"]["id_commit"],
            commitment("object", &[7; 32], "ana-lima")
        );
        assert_eq!(
            parsed["operator_commit"],
            commitment("operator", &[7; 32], "ana"),
            "who acted is committed to as well as why"
        );
        assert_eq!(parsed["counts"].to_string(), r#"{"Coverage":2,"Patient":1}"#);
        assert_ne!(entry.bytes(1_000_000, &[7; 32]), entry.bytes(1_000_000, &[8; 32]));
        assert_ne!(field_salt(&[7; 32], "object"), field_salt(&[7; 32], "consent"));
    }
}

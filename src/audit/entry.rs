//! One business event, and its canonical bytes (RFC 8785: sorted keys, strings and small integers).

use crate::clock::rfc3339_us;
use crate::secret::{hex, hmac_sha256, sha256_of};
use crate::telemetry::Correlation;
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
    ClockJumped => "server.clock-jumped",
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
        let mut bytes = Vec::with_capacity(1_024);
        let mut root = Fields::open(&mut bytes);
        root.text("action", self.action.code());
        root.object("actor", |actor| {
            actor.digest("cert_sha256", self.actor.certificate_sha256.as_ref());
            actor.opt("client_id", self.actor.client_id.as_deref());
            actor.opt("id", self.actor.id.as_deref());
            actor.digest("jti_sha256", self.actor.jti_sha256.as_ref());
            actor.text("type", self.actor.kind);
        });
        root.opt("begun", self.begun.as_deref());
        if let Some(bytes) = self.bytes {
            root.number("bytes", bytes);
        }
        if let Some(consent) = &self.consent {
            root.object("consent", |note| {
                note.text("decision", consent.decision);
                note.text("id_commit", &commitment("consent", salt, &consent.id));
                note.text("rule", consent.rule);
            });
        }
        root.text("correlation_id", &self.correlation.correlation_id);
        if !self.counts.is_empty() {
            root.object("counts", |counts| {
                for (what, number) in &self.counts {
                    counts.number(what, *number);
                }
            });
        }
        root.opt("exchange", self.exchange.as_deref());
        if let Some(note) = self.note.as_ref().filter(|note| !note.reason.is_empty()) {
            root.text("note_commit", &commitment("note", salt, &note.reason));
        }
        if let Some(object) = &self.object {
            root.object("object", |note| {
                note.text("id_commit", &commitment("object", salt, &object.id));
                note.text("kind", object.kind);
            });
        }
        if let Some(note) = &self.note {
            root.text("operator_commit", &commitment("operator", salt, &note.operator));
        }
        root.object("outcome", |outcome| {
            outcome.text("class", self.outcome.class);
            if let Some(http) = self.outcome.http {
                outcome.number("http", u64::from(http));
            }
            outcome.opt("reason", self.outcome.reason);
        });
        root.opt("partner", self.partner.as_deref());
        root.opt("policy_version", self.policy_version.as_deref());
        root.digest("req_digest", self.request_digest.as_ref());
        root.text("request_id", &self.correlation.request_id);
        root.digest("resp_digest", self.response_digest.as_ref());
        root.text("software", concat!("causeway/", env!("CARGO_PKG_VERSION")));
        root.text("ts", &rfc3339_us(at_us));
        root.number("v", 1);
        root.close();
        bytes
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

/// One JSON object, written straight into the bytes of the entry.
struct Fields<'b> {
    bytes: &'b mut Vec<u8>,
    last: String,
}

impl<'b> Fields<'b> {
    fn open(bytes: &'b mut Vec<u8>) -> Fields<'b> {
        bytes.push(b'{');
        Fields {
            bytes,
            last: String::new(),
        }
    }

    fn close(self) {
        self.bytes.push(b'}');
    }

    fn key(&mut self, key: &str) {
        debug_assert!(self.last.as_str() < key, "keys are written in order: {key}");
        if self.bytes.last() != Some(&b'{') {
            self.bytes.push(b',');
        }
        quote(self.bytes, key);
        self.bytes.push(b':');
        if cfg!(debug_assertions) {
            key.clone_into(&mut self.last);
        }
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(self.bytes, value);
    }

    fn opt(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn digest(&mut self, key: &str, value: Option<&[u8; 32]>) {
        if let Some(value) = value {
            self.text(key, &hex(value));
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.bytes.extend_from_slice(value.to_string().as_bytes());
    }

    fn object(&mut self, key: &str, write: impl FnOnce(&mut Fields<'_>)) {
        self.key(key);
        let mut inner = Fields::open(self.bytes);
        write(&mut inner);
        inner.close();
    }
}

/// A JSON string as RFC 8785 has it (section 3.2.2.2): what has to be escaped is, in its shortest form, and nothing else.
fn quote(bytes: &mut Vec<u8>, text: &str) {
    // Nothing fails while a text is written into memory.
    let _ = serde_json::to_writer(bytes, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

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

    #[test]
    fn bytes_are_what_a_json_library_makes_of_them() {
        let odd = "a\"b\\c\n\u{1}\u{7f}é/\u{2028}";
        let actor = Actor {
            kind: "operator",
            id: Some(odd.into()),
            certificate_sha256: Some([0xa5; 32]),
            ..Actor::default()
        };
        let mut entry = Entry::new(Action::OperatorImported, actor, Correlation::internal(odd.into()));
        entry.outcome.reason = Some("RQ-001");
        entry.outcome.http = Some(400);
        entry.counts = BTreeMap::from([("a\"b".to_owned(), u64::MAX >> 11)]);
        let bytes = entry.bytes(1_000_000, &[7; 32]);
        let parsed: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(parsed.to_string().into_bytes(), bytes);
        assert_eq!(parsed["actor"]["id"], odd);
        assert_eq!(parsed["actor"]["cert_sha256"], "a5".repeat(32));
    }
}

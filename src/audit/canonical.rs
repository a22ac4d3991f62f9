//! The canonical bytes of a ledger entry (RFC 8785: sorted keys, strings and small integers), and its commitments.
//!
//! Without side effects: the caller passes the secret from which salts are derived.

use super::entry::{LedgerEvent, RestCall};
use crate::clock::{rfc3339_ms, rfc3339_us};
use crate::secret::{Mac, hex, put_hex, sha256_of};
use std::io::Write as _;

impl LedgerEvent {
    /// Returns the canonical bytes: one JSON object with sorted keys at every level. The salts of its
    /// commitments are derived from `salt`, the secret of this entry.
    pub fn bytes(&self, at_us: i64, salt: &[u8; 32]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1_024);
        self.write(&mut bytes, at_us, &mut Commitments::made(salt));
        bytes
    }

    /// Returns the bytes of an entry whose grant is not known yet, in four pieces. Between them belong: the commitment to the consent's id,
    /// the rule of its consent note (`regular` or `sensitive`), and the commitment to the object's id. `salt` is as in [`LedgerEvent::bytes`].
    pub fn pieces(&self, at_us: i64, salt: &[u8; 32]) -> [Vec<u8>; 4] {
        let mut bytes = Vec::with_capacity(1_024);
        let mut commitments = Commitments::left(salt);
        self.write(&mut bytes, at_us, &mut commitments);
        let mut pieces: [Vec<u8>; 4] = Default::default();
        let mut from = 0;
        let holes = commitments.holes.unwrap_or_default();
        for (piece, to) in pieces.iter_mut().zip(holes.into_iter().chain([bytes.len()])) {
            *piece = bytes[from..to].to_vec();
            from = to;
        }
        pieces
    }

    fn write(&self, bytes: &mut Vec<u8>, at_us: i64, commitments: &mut Commitments<'_>) {
        let mut root = Fields::open(bytes);
        self.write_to_deleted(&mut root, commitments);
        self.write_from_exchange(&mut root, at_us, commitments);
        root.close();
    }

    /// Writes the fields from `action` to `deleted`: names come in their order.
    fn write_to_deleted(&self, root: &mut Fields<'_>, commitments: &mut Commitments<'_>) {
        root.text("action", self.action.code());
        root.object("actor", |actor| {
            actor.digest("cert_sha256", self.actor.certificate_sha256.as_ref());
            actor.opt("client_id", self.actor.client_id.as_deref());
            actor.opt("id", self.actor.id.as_deref());
            actor.digest("jti_sha256", self.actor.jti_sha256.as_ref());
            actor.text("type", self.actor.kind);
        });
        if let Some((_, attempt)) = self.step {
            root.number("attempt", u64::from(attempt));
        }
        root.opt("begun", self.begun.as_deref());
        if let Some(bytes) = self.bytes {
            root.number("bytes", bytes);
        }
        if let Some(consent) = &self.consent {
            root.object("consent", |note| {
                note.text("decision", consent.decision);
                note.commitment("id_commit", "consent", &consent.id, commitments);
                match &mut commitments.holes {
                    None => note.text("rule", consent.rule),
                    Some(holes) => note.hole("rule", holes),
                }
            });
        }
        match self.correlation.own_request_id() {
            // The caller chose it, and it may be a member's number.
            Some(_) => {
                let digest = commitments.of("correlation", &self.correlation.correlation_id);
                root.hex("correlation_commit", &digest);
            }
            None => root.text("correlation_id", &self.correlation.correlation_id),
        }
        if !self.counts.is_empty() {
            root.object("counts", |counts| {
                for (what, number) in &self.counts {
                    counts.number(what, *number);
                }
            });
        }
        if let Some(cut) = self.cut {
            root.number("cut", cut);
        }
        if let Some(decided) = &self.decided {
            root.commitment("decision_commit", "decision", decided, commitments);
        }
        if let Some(deleted) = &self.deleted {
            root.object("deleted", |note| {
                note.text("from", &rfc3339_ms(deleted.from_ms));
                note.text("kind", deleted.kind);
                note.number("rows", deleted.rows);
                note.text("to", &rfc3339_ms(deleted.to_ms));
            });
        }
    }

    /// Writes the fields from `exchange` to `v`.
    fn write_from_exchange(&self, root: &mut Fields<'_>, at_us: i64, commitments: &mut Commitments<'_>) {
        root.opt("exchange", self.exchange.as_deref());
        root.opt("interaction", self.interaction.map(RestCall::code));
        root.opt("legal_basis", self.legal_basis);
        if let Some(members) = &self.members {
            root.object("members", |note| {
                note.number("count", members.count);
                note.digest("root", Some(&members.root));
            });
        }
        if let Some(note) = self.note.as_ref().filter(|note| !note.reason.is_empty()) {
            root.commitment("note_commit", "note", &note.reason, commitments);
        }
        if let Some(object) = &self.object {
            root.object("object", |note| {
                note.commitment("id_commit", "object", &object.id, commitments);
                note.text("kind", object.kind);
            });
        }
        if let Some(note) = &self.note {
            root.commitment("operator_commit", "operator", &note.operator, commitments);
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
        root.opt("step", self.step.map(|(step, _)| step));
        if !self.tables.is_empty() {
            root.object("tables", |tables| {
                for (name, digest) in &self.tables {
                    tables.digest(name, Some(digest));
                }
            });
        }
        root.text("ts", &rfc3339_us(at_us));
        root.number("v", 1);
    }
}

/// How values with a commitment are written.
struct Commitments<'s> {
    secret: &'s [u8; 32],
    /// Derives the salts of the fields; made with the first commitment.
    salts: Option<Mac>,
    /// The positions of the values that are left out, which are written as empty strings. None: all are written as their commitments.
    holes: Option<Vec<usize>>,
}

impl<'s> Commitments<'s> {
    fn made(secret: &'s [u8; 32]) -> Self {
        Commitments {
            secret,
            salts: None,
            holes: None,
        }
    }

    fn left(secret: &'s [u8; 32]) -> Self {
        Commitments {
            holes: Some(Vec::new()),
            ..Commitments::made(secret)
        }
    }

    fn of(&mut self, field: &str, value: &str) -> [u8; 32] {
        digest_of(field, self.salts.get_or_insert_with(|| Mac::new(self.secret)), value)
    }
}

/// Returns what is hashed before the value of a commitment: `"px-audit-v1" || field || salt`.
pub fn commitment_prefix(field: &str, entry_secret: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, field.as_bytes(), &field_salt(entry_secret, field)].concat()
}

/// Returns the salt of one field, derived from the secret of its entry. An auditor who gets one field's salt can open no other field.
pub fn field_salt(entry_secret: &[u8; 32], field: &str) -> [u8; 32] {
    Mac::new(entry_secret).of(field.as_bytes())
}

/// Returns `SHA-256("px-audit-v1" || field || salt || value)`, hexadecimal, with the field's own salt.
pub fn commitment(field: &str, entry_secret: &[u8; 32], value: &str) -> String {
    hex(&digest_of(field, &Mac::new(entry_secret), value))
}

/// The same from the salt of the field, for who has no secret of the entry.
pub fn salted_commitment(field: &str, salt: &[u8; 32], value: &str) -> String {
    hex(&sha256_of(&[DOMAIN, field.as_bytes(), salt, value.as_bytes()]))
}

const DOMAIN: &[u8] = b"px-audit-v1";

pub(super) fn digest_of(field: &str, salts: &Mac, value: &str) -> [u8; 32] {
    let salt = salts.of(field.as_bytes());
    sha256_of(&[DOMAIN, field.as_bytes(), &salt, value.as_bytes()])
}

/// A JSON object that is written directly into the bytes of the entry.
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
            self.hex(key, value);
        }
    }

    fn hex(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.bytes.push(b'"');
        put_hex(value, self.bytes);
        self.bytes.push(b'"');
    }

    fn commitment(&mut self, key: &str, field: &str, value: &str, how: &mut Commitments<'_>) {
        match &mut how.holes {
            None => self.hex(key, &how.of(field, value)),
            Some(holes) => self.hole(key, holes),
        }
    }

    /// Writes an empty string, and records its position so that the text can be inserted later.
    fn hole(&mut self, key: &str, holes: &mut Vec<usize>) {
        self.key(key);
        self.bytes.push(b'"');
        holes.push(self.bytes.len());
        self.bytes.push(b'"');
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // Writing to memory cannot fail.
        let _ = write!(self.bytes, "{value}");
    }

    fn object(&mut self, key: &str, write: impl FnOnce(&mut Fields<'_>)) {
        self.key(key);
        let mut inner = Fields::open(self.bytes);
        write(&mut inner);
        inner.close();
    }
}

/// Writes a JSON string by RFC 8785 (section 3.2.2.2): only what must be escaped is, in its shortest form.
fn quote(bytes: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        bytes.push(b'"');
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(b'"');
    } else {
        // Writing to memory cannot fail.
        let _ = serde_json::to_writer(bytes, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Action, Actor, ConsentNote, MembersNote, Object, OperatorNote};
    use super::*;
    use crate::telemetry::Correlation;
    use serde_json::Value;
    use std::collections::BTreeMap;

    #[test]
    fn bytes_are_canonical_and_hide_the_subject() {
        let correlation = Correlation::internal("r-1".into());
        let mut entry = LedgerEvent::new(
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
        entry.members = Some(MembersNote {
            count: 2,
            root: [3; 32],
        });
        entry.bytes = Some(9);
        entry.cut = Some(1);
        entry.counts = BTreeMap::from([("Patient".to_owned(), 1), ("Coverage".to_owned(), 2)]);
        entry.note = Some(OperatorNote {
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
        assert_eq!(parsed["cut"], 1);
        assert_ne!(entry.bytes(1_000_000, &[7; 32]), entry.bytes(1_000_000, &[8; 32]));
        assert_ne!(field_salt(&[7; 32], "object"), field_salt(&[7; 32], "consent"));
    }

    #[test]
    fn the_record_of_a_decision_is_only_committed_to() {
        let mut entry = LedgerEvent::new(
            Action::MatchMatched,
            Actor::default(),
            Correlation::internal("r-1".into()),
        );
        let without = entry.bytes(1_000_000, &[7; 32]);
        assert!(!String::from_utf8_lossy(&without).contains("decision_commit"));
        let record = r#"{"weights":{"family":9.1}}"#;
        entry.cut = Some(1);
        entry.decided = Some(record.to_owned());
        let text = String::from_utf8(entry.bytes(1_000_000, &[7; 32])).expect("utf-8");
        assert!(!text.contains("weights"), "{text}");
        let committed = commitment("decision", &[7; 32], record);
        assert!(
            text.contains(&format!(r#""cut":1,"decision_commit":"{committed}","outcome""#)),
            "{text}"
        );
        assert_ne!(
            committed,
            commitment("decision", &[8; 32], record),
            "the salt of another entry"
        );
        assert_ne!(
            committed,
            commitment("decision", &[7; 32], r#"{"weights":{"family":9.2}}"#),
            "another weight"
        );
    }

    #[test]
    fn a_callers_correlation_id_is_only_committed_to() {
        let of = |caller: Option<&str>| {
            let correlation = Correlation::of("r-1".into(), [1; 8], caller, None, None);
            let entry = LedgerEvent::new(Action::MatchBegun, Actor::default(), correlation);
            let whole = entry.bytes(1_000_000, &[7; 32]);
            assert_eq!(entry.pieces(1_000_000, &[7; 32]).concat(), whole);
            serde_json::from_slice::<Value>(&whole).expect("JSON")
        };
        let theirs = of(Some("M-0001"));
        assert_eq!(theirs.get("correlation_id"), None);
        assert_eq!(
            theirs["correlation_commit"],
            commitment("correlation", &[7; 32], "M-0001")
        );
        assert!(!theirs.to_string().contains("M-0001"), "{theirs}");
        let ours = of(None);
        assert_eq!(
            (&ours["correlation_id"], &ours["request_id"]),
            (&"r-1".into(), &"r-1".into())
        );
        assert_eq!(ours.get("correlation_commit"), None);
    }

    #[test]
    fn pieces_and_what_belongs_between_them_are_the_bytes() {
        let mut entry = LedgerEvent::new(
            Action::DisclosureBegun,
            Actor::default(),
            Correlation::of("r".into(), [1; 8], Some("theirs"), None, None),
        );
        entry.object = Some(Object {
            kind: "Patient",
            id: "ana-lima".into(),
        });
        entry.consent = Some(ConsentNote {
            id: "c-9".into(),
            decision: "permit",
            rule: "sensitive",
        });
        let whole = entry.bytes(1_000_000, &[7; 32]);
        let between = [
            commitment("consent", &[7; 32], "c-9").into_bytes(),
            b"sensitive".to_vec(),
            commitment("object", &[7; 32], "ana-lima").into_bytes(),
        ];
        let mut between = between.into_iter();
        let put_together: Vec<u8> = entry
            .pieces(1_000_000, &[7; 32])
            .into_iter()
            .flat_map(|piece| [piece, between.next().unwrap_or_default()].concat())
            .collect();
        assert_eq!(String::from_utf8(put_together), String::from_utf8(whole));
        assert_eq!(
            hex(&sha256_of(&[&commitment_prefix("consent", &[7; 32]), b"c-9"])),
            commitment("consent", &[7; 32], "c-9")
        );
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
        let mut entry = LedgerEvent::new(Action::OperatorImported, actor, Correlation::internal(odd.into()));
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

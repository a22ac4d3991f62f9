//! The digest that tells one consent from another, and the form in which a received consent is kept.
//!
//! Two bodies with the same meaning have the same digest: key order, `id`, `meta`, narrative, and the name that the
//! request happens to give its Patient are left out.

use crate::secret::sha256;
use serde_json::{Map, Value};

/// What of a Consent does not belong to its meaning, or is the server's to say.
const DROPPED: [&str; 3] = ["id", "meta", "text"];
/// Stands for the member in the digest.
const MEMBER: &str = "Patient/?";

/// SHA-256 of the canonical form of `consent`; `member` is the local reference that the request uses for its Patient.
pub fn digest(consent: &Map<String, Value>, member: &str) -> [u8; 32] {
    let mut out = Vec::with_capacity(1024);
    object(consent, member, &DROPPED, &mut out);
    sha256(&out)
}

/// The bytes that are kept of a received Consent: as sent, without `id`, `meta` and narrative, which are ours to give.
///
/// Its Patient references are still those of the request; never serve it without rewriting them.
pub fn kept(consent: &Map<String, Value>) -> Vec<u8> {
    let kept: Map<String, Value> = consent
        .iter()
        .filter(|(key, _)| !DROPPED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(kept).to_string().into_bytes()
}

fn object(map: &Map<String, Value>, member: &str, dropped: &[&str], out: &mut Vec<u8>) {
    let mut keys: Vec<&String> = map.keys().filter(|key| !dropped.contains(&key.as_str())).collect();
    keys.sort_unstable();
    out.push(b'{');
    for (index, key) in keys.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(key, out);
        out.push(b':');
        match &map[key] {
            Value::String(reference) if key == "reference" && reference == member => text(MEMBER, out),
            value => write(value, member, out),
        }
    }
    out.push(b'}');
}

fn write(value: &Value, member: &str, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => object(map, member, &[], out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, member, out);
            }
            out.push(b']');
        }
        Value::String(string) => text(string, out),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}

/// Length first, so that no text can pass for structure.
fn text(string: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(string.len().to_string().as_bytes());
    out.push(b'"');
    out.extend_from_slice(string.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(value: &Value, member: &str) -> [u8; 32] {
        digest(value.as_object().expect("object"), member)
    }

    #[test]
    fn the_digest_follows_meaning_and_not_spelling() {
        let one = json!({"id":"a","meta":{"security":[{"code":"R"}]},"status":"active","patient":{"reference":"Patient/1"},"policy":[{"uri":"x"}]});
        let two = json!({"policy":[{"uri":"x"}],"patient":{"reference":"Patient/mp"},"status":"active","id":"b"});
        assert_eq!(of(&one, "Patient/1"), of(&two, "Patient/mp"));
        assert_ne!(of(&one, "Patient/1"), of(&one, "Patient/2"));
        let three = json!({"policy":[{"uri":"y"}],"patient":{"reference":"Patient/mp"},"status":"active"});
        assert_ne!(of(&two, "Patient/mp"), of(&three, "Patient/mp"));
        assert_ne!(of(&json!({"a":"b\",\"c\":\"d"}), ""), of(&json!({"a":"b","c":"d"}), ""));
    }

    #[test]
    fn t_b10_fields_that_are_the_servers_are_not_kept() {
        let sent = json!({"resourceType":"Consent","id":"theirs","meta":{"security":[{"code":"R"}],"source":"#x"},"status":"active"});
        let kept = kept(sent.as_object().expect("object"));
        assert_eq!(
            String::from_utf8_lossy(&kept),
            r#"{"resourceType":"Consent","status":"active"}"#
        );
    }
}

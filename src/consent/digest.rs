//! The digest that identifies a consent, and the form in which a received consent is stored.
//!
//! Two bodies with the same meaning have the same digest: the order of members, `id`, `meta`, the narrative, and the
//! reference by which the request names its Patient do not count.

use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{JsonKind, Value};
use crate::secret::sha256;
use serde_json::Map;

/// Members of a Consent that do not belong to its meaning, or that only the server may set.
const DROPPED: [&str; 3] = ["id", "meta", "text"];
/// Replaces the reference to the member in the digest.
const MEMBER: &str = "Patient/?";

/// Returns the SHA-256 of the canonical form of `consent`. `member` is the local reference by which the request names its Patient.
pub fn digest(consent: Value<'_>, member: &str) -> [u8; 32] {
    let mut out = Vec::with_capacity(1024);
    object(consent, member, &DROPPED, &mut out);
    sha256(&out)
}

/// Returns the bytes of a received Consent to store: as sent, without `id`, `meta` and narrative, which this server sets.
///
/// Its Patient references are still those of the request, so never serve it without rewriting them.
///
/// # Errors
/// [`Fault::Internal`] for anything but a JSON object; a parsed consent always is one.
pub fn kept(consent: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut kept: Map<String, serde_json::Value> =
        serde_json::from_slice(consent).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    kept.retain(|key, _| !DROPPED.contains(&key.as_str()));
    Ok(serde_json::Value::Object(kept).to_string().into_bytes())
}

fn object(object: Value<'_>, member: &str, dropped: &[&str], out: &mut Vec<u8>) {
    let mut members: Vec<Value<'_>> = object.members().filter(|one| !dropped.contains(&one.key())).collect();
    members.sort_unstable_by_key(|one| one.key());
    out.push(b'{');
    for (index, one) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text(one.key(), out);
        out.push(b':');
        if one.key() == "reference" && one.is(member) {
            text(MEMBER, out);
        } else {
            write(one, member, out);
        }
    }
    out.push(b'}');
}

fn write(value: Value<'_>, member: &str, out: &mut Vec<u8>) {
    match value.kind() {
        JsonKind::Object => object(value, member, &[], out),
        JsonKind::Array => {
            out.push(b'[');
            for (index, item) in value.items().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, member, out);
            }
            out.push(b']');
        }
        JsonKind::String => text(&value.text().unwrap_or_default(), out),
        JsonKind::Number => match serde_json::from_slice::<serde_json::Number>(value.raw()) {
            Ok(number) => out.extend_from_slice(number.to_string().as_bytes()),
            // The pre-screen accepts only JSON numbers.
            Err(_) => out.extend_from_slice(value.raw()),
        },
        JsonKind::True | JsonKind::False | JsonKind::Null => out.extend_from_slice(value.raw()),
    }
}

/// Writes the length first, so that a text cannot be mistaken for structure.
fn text(string: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(string.len().to_string().as_bytes());
    out.push(b'"');
    out.extend_from_slice(string.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::prescreen::{ScreenLimits, screen};
    use serde_json::json;

    fn of(value: &serde_json::Value, member: &str) -> [u8; 32] {
        let mut value = value.clone();
        value["resourceType"] = json!("Consent");
        let bytes = value.to_string();
        let screened = screen(bytes.as_bytes(), &ScreenLimits::request()).expect("screened");
        digest(screened.root(), member)
    }

    /// The digest of a stored consent must not change: another canonical text would make every stored consent a new one.
    #[test]
    fn the_digest_of_a_stored_consent_stays() {
        let sent = json!({"resourceType":"Consent","id":"a","text":{"status":"generated"},"status":"active","patient":{"reference":"Patient/1"},
            "provision":{"period":{"start":"2026-01-01"},"extension":[{"url":"u","valueDecimal":1.50},{"url":"é\"\\","valueBoolean":true}]}});
        let written = "{7\"patient:{9\"reference:9\"Patient/?},9\"provision:{9\"extension:[{3\"url:1\"u,12\"valueDecimal:1.5},\
            {3\"url:4\"é\"\\,12\"valueBoolean:true}],6\"period:{5\"start:10\"2026-01-01}},12\"resourceType:7\"Consent,6\"status:6\"active}";
        assert_eq!(of(&sent, "Patient/1"), sha256(written.as_bytes()));
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
        let kept = kept(sent.to_string().as_bytes()).expect("kept");
        assert_eq!(
            String::from_utf8_lossy(&kept),
            r#"{"resourceType":"Consent","status":"active"}"#
        );
    }
}

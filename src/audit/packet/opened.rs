//! The values that a packet opens: each with its salt, so that anybody can compute the commitment that its entry has. Pure; which values a
//! packet opens is decided by whoever makes it.

use crate::audit::canonical::{field_salt, salted_commitment};
use crate::secret::hex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The file of opened values: JSON, one a line.
pub const OPENED: &str = "opened.jsonl";

/// The fields that can be opened, each with the place of its commitment in an entry.
const FIELDS: [(&str, &str); 4] = [
    ("object", "/object/id_commit"),
    ("correlation", "/correlation_commit"),
    ("operator", "/operator_commit"),
    ("note", "/note_commit"),
];

/// A value of an entry, opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedValue {
    /// The index of the entry.
    pub index: u64,
    /// The field: `object`, `correlation`, `operator` or `note`.
    pub field: String,
    /// The salt, 32 bytes in lower-case hexadecimal.
    pub salt: String,
    /// The value.
    pub value: String,
}

/// What is wrong with opened values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedDefect {
    /// The index of the entry whose value it is, where that is known.
    pub index: Option<u64>,
    /// What is wrong.
    pub why: &'static str,
}

impl OpenedValue {
    /// The value of a field of this entry; `None` when the entry is not committed to it. `secret` is that of the entry.
    pub fn of(index: u64, field: &str, (secret, value): (&[u8; 32], &str), entry: &Value) -> Option<OpenedValue> {
        let opened = OpenedValue {
            index,
            field: field.to_owned(),
            salt: hex(&field_salt(secret, field)),
            value: value.to_owned(),
        };
        opened.is_committed(entry).then_some(opened)
    }

    /// Whether this entry is committed to the value.
    pub fn is_committed(&self, entry: &Value) -> bool {
        let place = FIELDS.iter().find(|(field, _)| *field == self.field);
        let committed = place.and_then(|(_, place)| entry.pointer(place)?.as_str());
        match (committed, salt_of(&self.salt)) {
            (Some(committed), Some(salt)) => salted_commitment(&self.field, &salt, &self.value) == committed,
            _ => false,
        }
    }

    /// Its line in the file.
    pub fn line(&self) -> String {
        // A number and three strings always have a JSON.
        let text = serde_json::to_string(self).unwrap_or_default();
        text + "\n"
    }
}

/// Checks the file of opened values: that it has as many as the manifest says (`expected`), and that each is the one to which its entry is
/// committed. `entries` are the bytes of the entries by their indexes, in ascending order.
///
/// # Errors
/// The first value that is wrong.
pub fn demand_opened(text: &str, expected: u64, entries: &[(u64, &[u8])]) -> Result<(), OpenedDefect> {
    let wrong = |index: Option<u64>, why: &'static str| OpenedDefect { index, why };
    let mut lines: Vec<&str> = text.split('\n').collect();
    if lines.pop() != Some("") {
        return Err(wrong(None, "the last opened value is cut off"));
    }
    if lines.len() as u64 != expected {
        let why = "the packet has another number of opened values than its manifest says";
        return Err(wrong(None, why));
    }
    for line in lines {
        let read: OpenedValue = serde_json::from_str(line).map_err(|_| wrong(None, "an opened value does not read"))?;
        let index = Some(read.index);
        let place = entries
            .binary_search_by_key(&read.index, |(index, _)| *index)
            .map_err(|_| wrong(index, "a value is opened of an entry that the packet does not have"))?;
        let entry: Value =
            serde_json::from_slice(entries[place].1).map_err(|_| wrong(index, "the entry is no JSON"))?;
        if !read.is_committed(&entry) {
            return Err(wrong(
                index,
                "the entry is committed to another value than the packet opens",
            ));
        }
    }
    Ok(())
}

/// The bytes of a salt.
fn salt_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 64 || !digits.iter().all(is_digit) {
        return None;
    }
    let mut salt = [0; 32];
    for (byte, pair) in salt.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(salt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::canonical::commitment;
    use serde_json::json;

    const SECRET: [u8; 32] = [7; 32];

    #[test]
    fn a_value_opens_with_its_salt_and_no_other_value_or_field_does() {
        let entry = json!({
            "note_commit": commitment("note", &SECRET, "a complaint"),
            "object": { "id_commit": commitment("object", &SECRET, "p1"), "kind": "Patient" },
        });
        let bytes = entry.to_string();
        let entries = [(4, bytes.as_bytes())];
        let of = |field: &str, value: &str| OpenedValue::of(4, field, (&SECRET, value), &entry);
        let [object, note] = [("object", "p1"), ("note", "a complaint")].map(|(field, value)| of(field, value));
        let (object, note) = (object.expect("opens"), note.expect("opens"));
        assert_eq!(
            (of("object", "p2"), of("operator", "p1"), of("other", "p1")),
            (None, None, None)
        );
        let text = object.line() + &note.line();
        assert_eq!(demand_opened(&text, 2, &entries), Ok(()));
        assert_eq!(demand_opened("", 0, &entries), Ok(()));
        let refused = |text: &str, expected: u64| demand_opened(text, expected, &entries).expect_err(text);
        assert_eq!(refused(&text, 1).index, None);
        assert_eq!(refused(text.trim_end(), 2).index, None);
        assert_eq!(refused("{}\n", 1).index, None);
        for (from, to) in [("p1", "p2"), ("object", "note"), (&object.salt[..6], "000000")] {
            let changed = object.line().replacen(from, to, 1);
            assert_ne!(changed, object.line(), "{from}");
            assert_eq!(refused(&changed, 1).index, Some(4), "{from}");
        }
        let other = OpenedValue { index: 5, ..object };
        assert_eq!(refused(&other.line(), 1).index, Some(5));
    }
}

//! Reads the JSON of an answer: a missing value, or one of another type, is shown as empty.

use serde_json::Value;

/// The text under a key, or the empty text.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("")
}

/// The items of an array, or an empty slice.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

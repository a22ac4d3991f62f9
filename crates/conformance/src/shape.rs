//! A small structural check for all resources: what FHIR's JSON form forbids, and the grammar of common elements.
//!
//! It does not validate profiles; it finds the errors of a broken serializer or a careless proxy.

use super::when::TimeSpan;
use serde_json::Value;

/// What is wrong with `resource`, if anything. Names paths, never values.
pub(super) fn flaw(resource: &Value) -> Option<String> {
    let rtype = resource["resourceType"].as_str().filter(|rtype| !rtype.is_empty());
    let Some(rtype) = rtype else {
        return Some("no resourceType".to_owned());
    };
    if !resource["id"].as_str().is_some_and(is_fhir_id) {
        return Some(format!("{rtype}.id is no id"));
    }
    if let Some(updated) = resource["meta"]["lastUpdated"].as_str()
        && (updated.len() < 20 || TimeSpan::of(updated).is_none())
    {
        return Some(format!("{rtype}.meta.lastUpdated is no instant"));
    }
    walk(resource, rtype)
}

fn walk(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Null if !path.rsplit('.').next().is_some_and(|name| name.starts_with('_')) => {
            Some(format!("{path} is null"))
        }
        Value::String(text) => string(text, path),
        Value::Array(items) if items.is_empty() => Some(format!("{path} is empty")),
        Value::Array(items) => {
            let primitives = items.iter().any(|item| !item.is_object());
            let mut inner = items.iter().filter(|item| !(primitives && item.is_null()));
            inner.find_map(|item| walk(item, path))
        }
        Value::Object(map) if map.is_empty() => Some(format!("{path} is empty")),
        Value::Object(map) => map
            .iter()
            .find_map(|(name, inner)| walk(inner, &format!("{path}.{name}"))),
        _ => None,
    }
}

fn string(text: &str, path: &str) -> Option<String> {
    let name = path.rsplit('.').next().unwrap_or(path);
    if text.is_empty() {
        return Some(format!("{path} is empty"));
    }
    let good = match name {
        "reference" => !text.contains(char::is_whitespace) && (text.starts_with('#') || text.contains(['/', ':'])),
        "system" | "url" | "code" => text.trim() == text,
        "div" => text.starts_with("<div"),
        "birthDate" | "authoredOn" | "recordedDate" | "recorded" | "issued" | "created" => TimeSpan::of(text).is_some(),
        _ if name.ends_with("DateTime") || name.ends_with("Instant") => TimeSpan::of(text).is_some(),
        _ => true,
    };
    (!good).then(|| format!("{path} is not in the form of its type"))
}

/// The references in `resource`, as written.
pub(super) fn references(resource: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(resource, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                match inner.as_str() {
                    Some(text) if name == "reference" => found.push(text.to_owned()),
                    _ => collect(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

/// Whether `resource` has the element at `path` (names joined by dots; `*` ends the name of a choice element) anywhere.
pub(super) fn has(resource: &Value, path: &str) -> bool {
    let (name, rest) = path
        .split_once('.')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    match resource {
        Value::Array(items) => items.iter().any(|item| has(item, path)),
        Value::Object(map) => map.iter().any(|(key, inner)| {
            let named = match name.strip_suffix('*') {
                Some(stem) => key
                    .strip_prefix(stem)
                    .is_some_and(|kind| kind.starts_with(char::is_uppercase)),
                None => key == name || key.strip_prefix('_') == Some(name),
            };
            named && rest.is_none_or(|rest| has(inner, rest))
        }),
        _ => false,
    }
}

/// Whether this is an id (FHIR R4, datatypes, `id`).
fn is_fhir_id(text: &str) -> bool {
    let takes = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(takes)
}

/// The texts of a list; nothing for anything else.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flaws_are_named_by_their_path() {
        let good = json!({"resourceType": "Goal", "id": "1", "meta": {"lastUpdated": "2024-01-01T00:00:00Z"},
            "subject": {"reference": "Patient/1"}, "line": ["a", null], "_line": [null, {"extension": [{"url": "http://x"}]}]});
        assert_eq!(flaw(&good), None);
        let spoils: [(&str, Value); 7] = [
            ("Goal.id", json!({"id": "a/b"})),
            ("meta.lastUpdated", json!({"meta": {"lastUpdated": "2024"}})),
            ("Goal.note is empty", json!({"note": []})),
            ("Goal.code is empty", json!({"code": {}})),
            ("Goal.text is null", json!({"text": null})),
            ("Goal.startDateTime", json!({"startDateTime": "soon"})),
            ("Goal.subject.reference", json!({"subject": {"reference": "nobody"}})),
        ];
        for (said, change) in spoils {
            let mut resource = good.clone();
            for (name, value) in change.as_object().expect("an object") {
                resource[name] = value.clone();
            }
            let flaw = flaw(&resource).expect(said);
            assert!(flaw.contains(said), "{flaw}");
        }
    }

    #[test]
    fn elements_are_found_by_path() {
        let resource = json!({"name": [{"family": "A"}, {"given": ["B"]}], "valueQuantity": {"value": 1}, "valueless": 1,
            "_birthDate": {"extension": [{"url": "http://x"}]}});
        for (path, there) in [
            ("name.given", true),
            ("name.prefix", false),
            ("value*", true),
            ("birthDate", true),
            ("other*", false),
        ] {
            assert_eq!(has(&resource, path), there, "{path}");
        }
        assert!(!has(&json!({"valueless": 1}), "value*"));
    }
}

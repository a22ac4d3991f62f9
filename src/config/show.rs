//! The configuration in force, for `causeway config --effective`: every key, where its value came from, secrets masked.

use super::Config;
use super::keys::KEYS;
use super::values::ValueOrigin;
use serde_json::{Map, Value, json};

/// Every key with value, source, variable and meaning. Passwords in addresses are left out.
pub fn effective(config: &Config) -> Value {
    let mut sections = Map::new();
    for key in KEYS {
        let (section, name) = key.parts();
        let (value, source) = match config.values.0.get(key.name) {
            Some((value, source)) => (masked(key.name, value), *source),
            None => (Value::Null, ValueOrigin::Default),
        };
        let row = json!({
            "value": value,
            "source": match source { ValueOrigin::Default => "default", ValueOrigin::File => "file", ValueOrigin::Environment => "environment" },
            "variable": key.variable(),
            "meaning": key.meaning,
        });
        if let Value::Object(section) = sections.entry(section).or_insert_with(|| Value::Object(Map::new())) {
            section.insert(name.to_owned(), row);
        }
    }
    json!({ "file": config.file.as_ref().map(|file| file.display().to_string()), "sections": sections })
}

fn masked(name: &str, value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) if name == "store.url" || name.ends_with("url") || name.ends_with("endpoint") => {
            Value::from(without_user(text))
        }
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Boolean(switch) => Value::from(*switch),
        toml::Value::Array(items) => items.iter().filter_map(toml::Value::as_str).map(Value::from).collect(),
        _ => Value::Null,
    }
}

/// `scheme://user:password@host/…?password=…` without user, password and query.
fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let host = rest
        .rsplit_once('@')
        .map_or_else(|| rest.to_owned(), |(_, host)| format!("…@{host}"));
    format!("{scheme}://{host}{query}")
}

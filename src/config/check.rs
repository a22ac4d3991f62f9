//! Whether one value is of its key's kind and within its bounds. What several keys have to do with each other is for `sections`.

use super::key::{ConfigKey, ValueKind};
use crate::error::{Failure, Fault};
use std::path::Path;
use toml::Value;

pub(super) fn refuse(name: &str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::ConfigInvalid).at(name).remedy(remedy)
}

/// Checks `value` against the key's kind, and puts relative paths into `folder`.
pub(super) fn typed(key: &ConfigKey, value: Value, folder: &Path) -> Result<Value, Failure> {
    let wrong = |what: &str| refuse(key.name, format!("Write {} as {what}.", key.name));
    let placed = |text: &str| Value::String(folder.join(text).to_string_lossy().into_owned());
    match (key.kind, value) {
        (ValueKind::Text, value @ Value::String(_)) | (ValueKind::Switch, value @ Value::Boolean(_)) => Ok(value),
        (ValueKind::Url, Value::String(text)) => Ok(match text.split_once(':') {
            Some((scheme @ ("sqlite" | "file"), path)) if !path.is_empty() && path != ":memory:" => {
                let path = path.strip_prefix("//").unwrap_or(path);
                Value::String(format!("{scheme}:{}", folder.join(path).display()))
            }
            _ => Value::String(text),
        }),
        (ValueKind::File, Value::String(text)) if !text.is_empty() => Ok(placed(&text)),
        (ValueKind::Files, Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .filter(|text| !text.is_empty())
                    .map(placed)
                    .ok_or_else(|| wrong("a list of file names"))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (ValueKind::Texts, Value::Array(items)) => match items.iter().all(Value::is_str) {
            true => Ok(Value::Array(items)),
            false => Err(wrong("a list of texts in quotes")),
        },
        (ValueKind::Choice(known), Value::String(text)) => match known.contains(&text.as_str()) {
            true => Ok(Value::String(text)),
            false => Err(refuse(key.name, format!("Set {} to {}.", key.name, known.join(" or ")))),
        },
        (ValueKind::Number { least, most, .. }, Value::Integer(number)) => {
            if (least..=most).contains(&number) {
                Ok(Value::Integer(number))
            } else {
                Err(refuse(
                    key.name,
                    format!("Set {} to {least} at least and {most} at most.", key.name),
                ))
            }
        }
        (ValueKind::Text | ValueKind::Choice(_) | ValueKind::Url, _) => Err(wrong("a text in quotes")),
        (ValueKind::Switch, _) => Err(wrong("true or false")),
        (ValueKind::File, _) => Err(wrong("a file name in quotes")),
        (ValueKind::Files, _) => Err(wrong("a list of file names")),
        (ValueKind::Texts, _) => Err(wrong("a list of texts in quotes")),
        (ValueKind::Number { .. }, _) => Err(wrong("a whole number")),
    }
}

/// Reads an environment variable's text as the key's kind; lists are comma separated.
pub(super) fn from_text(key: &ConfigKey, text: &str) -> Result<Value, Failure> {
    Ok(match key.kind {
        ValueKind::Text | ValueKind::Choice(_) | ValueKind::File | ValueKind::Url => Value::String(text.to_owned()),
        ValueKind::Files | ValueKind::Texts => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
        ValueKind::Number { .. } => Value::Integer(
            text.parse()
                .map_err(|_| refuse(key.name, format!("Set {} to a whole number.", key.variable())))?,
        ),
        ValueKind::Switch => Value::Boolean(
            text.parse()
                .map_err(|_| refuse(key.name, format!("Set {} to true or false.", key.variable())))?,
        ),
    })
}

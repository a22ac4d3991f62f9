//! From file and environment to values that are of their keys' kinds and within their bounds. Every refusal names its key.

use super::check::{from_text, refuse, typed};
use super::keys::{self, ConfigKey, KEYS, LATER, LaterKey};
use super::values::{ConfigValues, ValueOrigin};
use crate::error::Failure;
use std::path::Path;
use toml::Value;

impl ConfigValues {
    pub(super) fn take_file(&mut self, text: &str, folder: &Path) -> Result<(), Failure> {
        for (name, (value, _)) in &mut self.0 {
            if let Some(key) = keys::find(name) {
                *value = typed(key, value.clone(), folder)?;
            }
        }
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error
                .span()
                .map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            refuse(
                &format!("line {line}"),
                format!("The file is not TOML: {}.", error.message()),
            )
        })?;
        for (section, content) in table {
            let known = || KEYS.iter().map(|key| key.parts().0);
            if !known().any(|name| name == section) {
                return Err(later_section(&section, &content).unwrap_or_else(|| unknown(&section, known())));
            }
            let Value::Table(content) = content else {
                return Err(refuse(&section, format!("Write [{section}] as a section.")));
            };
            for (name, value) in content {
                let full = format!("{section}.{name}");
                if let Some(later) = keys::later(&full) {
                    return Err(too_early(later));
                }
                let key = keys::find(&full).ok_or_else(|| unknown(&full, KEYS.iter().map(|key| key.name)))?;
                let value = typed(key, value, folder)?;
                self.0.insert(key.name, (value, ValueOrigin::File));
            }
        }
        Ok(())
    }

    pub(super) fn take_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), Failure> {
        let mut database = None;
        for (variable, text) in environment {
            if variable == "DATABASE_URL" && !text.is_empty() {
                database = Some(text);
                continue;
            }
            if !variable.starts_with("CAUSEWAY_") {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.variable() == variable) else {
                if let Some(later) = LATER.iter().find(|later| keys::variable(later.name) == variable) {
                    return Err(too_early(later));
                }
                let squeezed = |name: &str| name.replace("__", "_");
                let meant = KEYS
                    .iter()
                    .map(ConfigKey::variable)
                    .find(|known| squeezed(known) == squeezed(&variable));
                if meant.is_none() && !variable.contains("__") {
                    continue; // such as CAUSEWAY_TEST_…: not of our form
                }
                let known: Vec<String> = KEYS.iter().map(ConfigKey::variable).collect();
                return Err(unknown(&variable, known.iter().map(String::as_str)));
            };
            let value = from_text(key, &text)?;
            self.0
                .insert(key.name, (typed(key, value, Path::new(""))?, ValueOrigin::Environment));
        }
        if let Some(url) = database {
            let name = keys::STORE_URL.name();
            self.0.insert(name, (Value::String(url), ValueOrigin::Environment));
        }
        Ok(())
    }
}

/// A key that a later version reads, so that a key that is taken is a key that works.
fn too_early(later: &LaterKey) -> Failure {
    let version = env!("CARGO_PKG_VERSION");
    refuse(
        later.name,
        format!(
            "Leave {} out: it is for {}, which version {version} does not have.",
            later.name, later.part
        ),
    )
}

/// A section of which all keys are for a later version, whatever stands in it.
fn later_section(section: &str, content: &Value) -> Option<Failure> {
    let mut of_it = LATER
        .iter()
        .filter(|later| later.name.split_once('.').is_some_and(|(own, _)| own == section));
    let first = of_it.clone().next()?;
    let named = of_it.find(|later| {
        let (_, name) = later.name.split_once('.').unwrap_or(("", later.name));
        content.get(name).is_some()
    });
    Some(too_early(named.unwrap_or(first)))
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let remedy = match keys::nearest(name, known) {
        Some(nearest) => format!("There is no such key; did you mean {nearest}?"),
        None => "There is no such key; `causeway config --effective` lists all.".to_owned(),
    };
    refuse(name, remedy)
}

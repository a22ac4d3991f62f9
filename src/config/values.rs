//! The values of all keys, each with where it came from.

use super::check::{refuse, typed};
use super::key::{TypedKey, TypedValue};
use super::keys::KEYS;
use crate::error::Failure;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Value;

/// Where a value came from; shown by `causeway config --effective`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    Default,
    File,
    Environment,
}

/// Values by `section.key`, each of its key's kind.
#[derive(Clone)]
pub(super) struct ConfigValues(pub(super) BTreeMap<&'static str, (Value, ValueOrigin)>);

impl ConfigValues {
    /// The defaults of the table.
    ///
    /// # Errors
    /// Naming a key whose default is not of its own kind or bounds, which the first test finds.
    pub(super) fn defaults() -> Result<ConfigValues, Failure> {
        let mut values = BTreeMap::new();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let written: toml::Table = format!("value = {}", key.default)
                .parse()
                .map_err(|error| refuse(key.name, "Its default is not TOML.").because(error))?;
            for (_, value) in written {
                values.insert(key.name, (typed(key, value, Path::new(""))?, ValueOrigin::Default));
            }
        }
        Ok(ConfigValues(values))
    }

    /// The value of `key`. Nothing stands in for one that is missing: 0 may mean "no limit".
    ///
    /// # Errors
    /// Naming the key when it has neither a value nor a default, or one that the program cannot hold.
    pub(super) fn get<T: TypedValue>(&self, key: &TypedKey<T>) -> Result<T, Failure> {
        key.read(self.0.get(key.name()).map(|(value, _)| value)).ok_or_else(|| {
            refuse(
                key.name(),
                format!("Set {}: it has no value that can be used.", key.name()),
            )
        })
    }
}

/// Says nothing: a store address may hold a password.
impl std::fmt::Debug for ConfigValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values(…)")
    }
}

//! What a key is: how it is written in a file or a variable, and which type its value has in the program.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word that `Unit::word` gives")]
pub enum Unit {
    Seconds,
    Milliseconds,
    Hours,
    Days,
    Years,
    Bytes,
    BytesASecond,
    Percent,
    Connections,
    ConnectionsASecond,
    Requests,
    RequestsASecond,
    Handshakes,
    HandshakesASecond,
    Matches,
    Jobs,
    Members,
}

impl Unit {
    /// The unit as people read it.
    pub fn word(self) -> &'static str {
        match self {
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Hours => "hours",
            Unit::Days => "days",
            Unit::Years => "years",
            Unit::Bytes => "bytes",
            Unit::BytesASecond => "bytes a second",
            Unit::Percent => "percent",
            Unit::Connections => "connections",
            Unit::ConnectionsASecond => "connections a second",
            Unit::Requests => "requests",
            Unit::RequestsASecond => "requests a second",
            Unit::Handshakes => "handshakes",
            Unit::HandshakesASecond => "handshakes a second",
            Unit::Matches => "matches",
            Unit::Jobs => "jobs",
            Unit::Members => "members",
        }
    }
}

/// How a value is written and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Number {
        /// The smallest that is taken.
        least: i64,
        /// The largest that is taken.
        most: i64,
        /// What it counts.
        unit: Unit,
    },
    /// `true` or `false`.
    Switch,
    /// A file; relative ones stand in the configuration file's folder.
    File,
    /// A list of files.
    Files,
    /// A list of texts.
    Texts,
    /// An address whose path, when it names a file, stands in the configuration file's folder.
    Url,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// `section.key`.
    pub name: &'static str,
    /// How it is written.
    pub kind: ValueKind,
    /// The value when nothing is set, as TOML; empty when there is none.
    pub default: &'static str,
    /// A value as people may write it, as TOML.
    pub example: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl ConfigKey {
    /// The environment variable that overrides this key.
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// Section and key.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or((self.name, ""))
    }

    /// The key with an example that is not its default.
    pub(super) const fn like(mut self, example: &'static str) -> ConfigKey {
        self.example = example;
        self
    }
}

/// The environment variable of the key `name`.
pub fn variable(name: &str) -> String {
    format!("CAUSEWAY_{}", name.replacen('.', "__", 1).to_ascii_uppercase())
}

/// A key with the type of its value in the program.
pub(super) struct TypedKey<T> {
    key: ConfigKey,
    value: PhantomData<fn() -> T>,
}

impl<T: TypedValue> TypedKey<T> {
    pub(super) const fn new(key: ConfigKey) -> TypedKey<T> {
        TypedKey {
            key,
            value: PhantomData,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        self.key.name
    }

    /// `value` as the program has it; `None` when there is none that fits. A default that nobody wrote down is never made up here.
    pub(super) fn read(&self, value: Option<&Value>) -> Option<T> {
        T::read(self.key.kind, value)
    }
}

/// What a value of a key can be read as.
pub(super) trait TypedValue: Sized {
    /// The value, which may not be set. `None` when it cannot be this type.
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<Self>;
}

impl TypedValue for String {
    fn read(_: ValueKind, value: Option<&Value>) -> Option<String> {
        value?.as_str().map(str::to_owned)
    }
}

/// A key that may be left out, or set to nothing.
impl TypedValue for Option<String> {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<Option<String>> {
        match value {
            None => Some(None),
            set => String::read(kind, set).map(|text| Some(text).filter(|text| !text.is_empty())),
        }
    }
}

impl TypedValue for Option<PathBuf> {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<Option<PathBuf>> {
        Option::<String>::read(kind, value).map(|file| file.map(PathBuf::from))
    }
}

impl TypedValue for Vec<String> {
    fn read(_: ValueKind, value: Option<&Value>) -> Option<Vec<String>> {
        value?
            .as_array()?
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect()
    }
}

impl TypedValue for Vec<PathBuf> {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<Vec<PathBuf>> {
        Some(
            Vec::<String>::read(kind, value)?
                .into_iter()
                .map(PathBuf::from)
                .collect(),
        )
    }
}

impl TypedValue for bool {
    fn read(_: ValueKind, value: Option<&Value>) -> Option<bool> {
        value?.as_bool()
    }
}

impl TypedValue for i64 {
    fn read(_: ValueKind, value: Option<&Value>) -> Option<i64> {
        value?.as_integer()
    }
}

impl TypedValue for u32 {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<u32> {
        i64::read(kind, value)?.try_into().ok()
    }
}

impl TypedValue for u64 {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<u64> {
        i64::read(kind, value)?.try_into().ok()
    }
}

impl TypedValue for usize {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<usize> {
        i64::read(kind, value)?.try_into().ok()
    }
}

impl TypedValue for Duration {
    fn read(kind: ValueKind, value: Option<&Value>) -> Option<Duration> {
        let number = u64::read(kind, value)?;
        match kind {
            ValueKind::Number {
                unit: Unit::Seconds, ..
            } => Some(Duration::from_secs(number)),
            ValueKind::Number {
                unit: Unit::Milliseconds,
                ..
            } => Some(Duration::from_millis(number)),
            _ => None,
        }
    }
}

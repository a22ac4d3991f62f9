//! From file and environment to checked values. Every refusal names its key.

use super::keys::{self, KEYS, Key, Kind, POLICIES};
use super::{Config, Limits, Log, Oauth, PayerSection, Policy, Server, StoreSection, Tls};
use crate::error::{Failure, Fault};
use crate::store::guesses::Limits as GuessLimits;
use crate::store::{Least, RoomLimits, StoreUrl};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Value;

/// Where a value came from; shown by `causeway config --effective`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File,
    Environment,
}

/// Values by `section.key`, each of its key's kind.
#[derive(Clone)]
pub(super) struct Values(pub(super) BTreeMap<&'static str, (Value, Source)>);

/// Says nothing: a store address may hold a password.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values(…)")
    }
}

fn refuse(name: &str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::ConfigInvalid).at(name).remedy(remedy)
}

impl Values {
    pub(super) fn defaults() -> Self {
        let mut values = BTreeMap::new();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            if let Ok(mut table) = format!("value = {}", key.default).parse::<toml::Table>()
                && let Some(value) = table.remove("value")
            {
                values.insert(key.name, (value, Source::Default));
            }
        }
        Values(values)
    }

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
                return Err(unknown(&section, known()));
            }
            let Value::Table(content) = content else {
                return Err(refuse(&section, format!("Write [{section}] as a section.")));
            };
            for (name, value) in content {
                let full = format!("{section}.{name}");
                let key = keys::find(&full).ok_or_else(|| unknown(&full, KEYS.iter().map(|key| key.name)))?;
                let value = typed(key, value, folder)?;
                self.0.insert(key.name, (value, Source::File));
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
                let squeezed = |name: &str| name.replace("__", "_");
                let meant = KEYS
                    .iter()
                    .map(Key::variable)
                    .find(|known| squeezed(known) == squeezed(&variable));
                if meant.is_none() && !variable.contains("__") {
                    continue; // such as CAUSEWAY_TEST_…: not of our form
                }
                let known: Vec<String> = KEYS.iter().map(Key::variable).collect();
                return Err(unknown(&variable, known.iter().map(String::as_str)));
            };
            let value = from_text(key, &text)?;
            self.0
                .insert(key.name, (typed(key, value, Path::new(""))?, Source::Environment));
        }
        if let Some(url) = database {
            self.0.insert("store.url", (Value::String(url), Source::Environment));
        }
        Ok(())
    }

    fn text(&self, name: &str) -> String {
        self.0
            .get(name)
            .and_then(|(value, _)| value.as_str())
            .unwrap_or_default()
            .to_owned()
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn switch(&self, name: &str) -> bool {
        self.0.get(name).and_then(|(value, _)| value.as_bool()).unwrap_or(false)
    }

    fn number(&self, name: &str) -> i64 {
        self.0
            .get(name)
            .and_then(|(value, _)| value.as_integer())
            .unwrap_or_default()
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or_default()
    }

    fn seconds(&self, name: &str) -> Duration {
        Duration::from_secs(u64::try_from(self.number(name)).unwrap_or_default())
    }

    fn milliseconds(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.number(name)).unwrap_or_default())
    }

    fn files(&self, name: &str) -> Vec<PathBuf> {
        let list = self
            .0
            .get(name)
            .and_then(|(value, _)| value.as_array())
            .map(Vec::as_slice)
            .unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(PathBuf::from).collect()
    }

    fn address(&self, name: &str) -> Result<SocketAddr, Failure> {
        self.text(name)
            .parse()
            .map_err(|_| refuse(name, format!("Write {name} as ADDRESS:PORT, such as 127.0.0.1:8443.")))
    }

    pub(super) fn finish(self, file: Option<PathBuf>) -> Result<Config, Failure> {
        for (name, known) in POLICIES {
            let given = self.text(name);
            if !known.contains(&given.as_str()) {
                return Err(refuse(name, format!("Set {name} to {}.", known.join(" or "))));
            }
        }
        let server = Server {
            fhir_listen: self.address("server.fhir_listen")?,
            ops_listen: self.address("server.ops_listen")?,
            base_url: base_url(&self.text("server.base_url"))?,
        };
        if server.fhir_listen == server.ops_listen && server.fhir_listen.port() != 0 {
            return Err(refuse(
                "server.ops_listen",
                "Let the operations side listen on another address than the partners' side.",
            ));
        }
        let allow_loopback_jwks = self.switch("oauth.allow_loopback_jwks");
        if allow_loopback_jwks && !server.fhir_listen.ip().is_loopback() {
            return Err(refuse(
                "oauth.allow_loopback_jwks",
                "This is for tests: leave it out, or listen on 127.0.0.1 only.",
            ));
        }
        let otlp_endpoint = self.optional("log.otlp_endpoint");
        if otlp_endpoint
            .as_deref()
            .is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://"))
        {
            return Err(refuse(
                "log.otlp_endpoint",
                "Write it as http://HOST:PORT or https://HOST:PORT.",
            ));
        }
        let exports_url = self.text("exports.url");
        if !["file:", "s3://", "gs://", "az://"]
            .iter()
            .any(|scheme| exports_url.len() > scheme.len() && exports_url.starts_with(scheme))
        {
            return Err(refuse(
                "exports.url",
                "Set it to file:PATH, s3://BUCKET, gs://BUCKET or az://CONTAINER.",
            ));
        }
        let tls = Tls {
            certificate: self.optional("tls.certificate").map(PathBuf::from),
            key: self.optional("tls.key").map(PathBuf::from),
            client_ca: self.files("tls.client_ca"),
            client_crl: self.files("tls.client_crl"),
            crl_grace_seconds: self.number("tls.crl_grace_seconds"),
        };
        if tls.certificate.is_some() != tls.key.is_some() {
            return Err(refuse("tls.key", "Set tls.certificate and tls.key together."));
        }
        if tls.client_ca.is_empty() && !tls.client_crl.is_empty() {
            return Err(refuse(
                "tls.client_ca",
                "Revocation lists need the authorities they belong to: set tls.client_ca.",
            ));
        }
        Ok(Config {
            tls,
            store: StoreSection {
                url: StoreUrl::parse(&self.text("store.url"))?,
                connections: u32::try_from(self.number("store.connections")).unwrap_or(8),
            },
            exports_url,
            payer: self.payer()?,
            oauth: Oauth {
                access_token_seconds: u32::try_from(self.number("oauth.access_token_seconds")).unwrap_or(300),
                allow_loopback_jwks,
            },
            policy: Policy {
                matching: self.text("policy.matching"),
                release: self.text("policy.release"),
                retry: self.text("policy.retry"),
                retention: self.text("policy.retention"),
                review_four_eyes: self.switch("policy.review_four_eyes"),
                review_due_hours: u32::try_from(self.number("policy.review_due_hours")).unwrap_or(24),
                guess: self.guess(),
                answer_slot: self.milliseconds("policy.answer_slot_ms"),
            },
            log: Log {
                format: self.text("log.format"),
                level: self.text("log.level"),
                otlp_endpoint,
            },
            limits: self.limits(),
            server,
            file,
            values: self,
        })
    }

    fn payer(&self) -> Result<PayerSection, Failure> {
        for name in ["payer.name", "payer.npi", "payer.member_system", "payer.umb_system"] {
            if self.text(name).trim().is_empty() {
                return Err(refuse(name, format!("Set {name}; it cannot be empty.")));
            }
        }
        let npi = self.text("payer.npi");
        if npi.len() != 10 || !npi.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse(
                "payer.npi",
                "Write the National Provider Identifier as ten digits.",
            ));
        }
        if self.text("payer.member_system") == self.text("payer.umb_system") {
            return Err(refuse(
                "payer.umb_system",
                "Use another system than payer.member_system: one number is on the card, the other must not be.",
            ));
        }
        let time_zone = self.text("payer.time_zone");
        Ok(PayerSection {
            name: self.text("payer.name"),
            npi,
            member_system: self.text("payer.member_system"),
            umb_system: self.text("payer.umb_system"),
            time_zone: time_zone
                .parse()
                .map_err(|_| refuse("payer.time_zone", "Write an IANA time zone, such as America/New_York."))?,
        })
    }

    fn guess(&self) -> GuessLimits {
        GuessLimits {
            per_target: self.number("policy.guess_per_target"),
            per_shared: self.number("policy.guess_per_shared"),
            per_record: self.number("policy.guess_per_record"),
            window_ms: self.number("policy.guess_window_seconds") * 1000,
            ratio_least: self.number("policy.guess_ratio_least"),
            alarm_percent: self.number("policy.guess_alarm_percent"),
            lock_percent: self.number("policy.guess_lock_percent"),
            lock_ms: self.number("policy.guess_lock_seconds") * 1000,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            body_bytes: self.size("limits.body_bytes"),
            head_bytes: self.size("limits.head_bytes"),
            tls: self.seconds("limits.tls_seconds"),
            head: self.seconds("limits.head_seconds"),
            body: self.seconds("limits.body_seconds"),
            handler: self.seconds("limits.handler_seconds"),
            keep_alive: self.seconds("limits.keep_alive_seconds"),
            connections: self.size("limits.connections"),
            connections_per_partner: self.size("limits.connections_per_partner"),
            in_flight: self.size("limits.in_flight"),
            in_flight_per_partner: self.size("limits.in_flight_per_partner"),
            token_failures: u32::try_from(self.number("limits.token_failures")).unwrap_or(u32::MAX),
            token_failures_window: self.seconds("limits.token_failures_seconds"),
            drain: self.seconds("limits.drain_seconds"),
            room: self.room(),
        }
    }
}

impl Values {
    fn room(&self) -> RoomLimits {
        let whole = |name: &str| u64::try_from(self.number(name)).unwrap_or(0);
        let least = |what: &str| Least {
            percent: whole(&format!("limits.free_{what}_percent")),
            bytes: whole(&format!("limits.free_{what}_bytes")),
        };
        RoomLimits {
            exports: least("export"),
            writes: least("write"),
            reserve_bytes: whole("limits.free_reserve_bytes"),
        }
    }
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Failure {
    let remedy = match keys::nearest(name, known) {
        Some(nearest) => format!("There is no such key; did you mean {nearest}?"),
        None => "There is no such key; `causeway config --effective` lists all.".to_owned(),
    };
    refuse(name, remedy)
}

/// Checks `value` against the key's kind, and puts relative paths into `folder`.
fn typed(key: &Key, value: Value, folder: &Path) -> Result<Value, Failure> {
    let wrong = |what: &str| refuse(key.name, format!("Write {} as {what}.", key.name));
    let placed = |text: &str| Value::String(folder.join(text).to_string_lossy().into_owned());
    match (key.kind, value) {
        (Kind::Text, value @ Value::String(_)) | (Kind::Switch, value @ Value::Boolean(_)) => Ok(value),
        (Kind::Url, Value::String(text)) => Ok(match text.split_once(':') {
            Some((scheme @ ("sqlite" | "file"), path)) if !path.is_empty() && path != ":memory:" => {
                let path = path.strip_prefix("//").unwrap_or(path);
                Value::String(format!("{scheme}:{}", folder.join(path).display()))
            }
            _ => Value::String(text),
        }),
        (Kind::File, Value::String(text)) if !text.is_empty() => Ok(placed(&text)),
        (Kind::Files, Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .filter(|text| !text.is_empty())
                    .map(placed)
                    .ok_or_else(|| wrong("a list of file names"))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (Kind::Number(least, most), Value::Integer(number)) => {
            if (least..=most).contains(&number) {
                Ok(Value::Integer(number))
            } else {
                Err(refuse(
                    key.name,
                    format!("Set {} to {least} at least and {most} at most.", key.name),
                ))
            }
        }
        (Kind::Text | Kind::Url, _) => Err(wrong("a text in quotes")),
        (Kind::Switch, _) => Err(wrong("true or false")),
        (Kind::File, _) => Err(wrong("a file name in quotes")),
        (Kind::Files, _) => Err(wrong("a list of file names")),
        (Kind::Number(..), _) => Err(wrong("a whole number")),
    }
}

/// Reads an environment variable's text as the key's kind; lists are comma separated.
fn from_text(key: &Key, text: &str) -> Result<Value, Failure> {
    Ok(match key.kind {
        Kind::Text | Kind::File | Kind::Url => Value::String(text.to_owned()),
        Kind::Files => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
        Kind::Number(..) => Value::Integer(
            text.parse()
                .map_err(|_| refuse(key.name, format!("Set {} to a whole number.", key.variable())))?,
        ),
        Kind::Switch => Value::Boolean(
            text.parse()
                .map_err(|_| refuse(key.name, format!("Set {} to true or false.", key.variable())))?,
        ),
    })
}

fn base_url(text: &str) -> Result<String, Failure> {
    let name = "server.base_url";
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(refuse(
            name,
            "Write an https:// URL; plain http is never served to partners.",
        ));
    };
    if rest.ends_with('/') {
        return Err(refuse(name, "Leave out the slash at its end."));
    }
    let host = rest.split('/').next().unwrap_or_default();
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
    if host.is_empty() || !rest.bytes().all(safe) {
        return Err(refuse(
            name,
            "Write it as https://HOST[:PORT]/PATH, without user, query or fragment.",
        ));
    }
    Ok(text.to_owned())
}

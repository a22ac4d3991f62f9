//! From the values of all keys to the sections of a [`Config`]: what one key alone cannot say of itself.

use super::check::refuse;
use super::key::TypedKey;
use super::keys;
use super::values::{ConfigValues, ValueOrigin};
use super::{
    AddressRange, AlertsConfig, Config, LedgerConfig, LimitsConfig, Oauth, PayerSection, PolicyConfig, ServerConfig,
    StoreSection, Tls,
};
use crate::error::Failure;
use crate::store::guesses::GuessLimits;
use crate::store::{Least, RoomLimits, StoreUrl};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use toml::Value;

impl ConfigValues {
    fn networks(&self, key: &TypedKey<Vec<String>>) -> Result<Vec<AddressRange>, Failure> {
        let name = key.name();
        let read = |text: &String| {
            AddressRange::parse(text).ok_or_else(|| {
                refuse(
                    name,
                    format!(
                        "Write {name} as a list of addresses or networks, such as [\"192.0.2.7\", \"2001:db8::/32\"]."
                    ),
                )
            })
        };
        self.get(key)?.iter().map(read).collect()
    }

    fn address(&self, key: &TypedKey<String>) -> Result<SocketAddr, Failure> {
        let name = key.name();
        self.get(key)?
            .parse()
            .map_err(|_| refuse(name, format!("Write {name} as ADDRESS:PORT, such as 127.0.0.1:8443.")))
    }

    pub(super) fn finish(mut self, file: Option<PathBuf>) -> Result<Config, Failure> {
        let server = self.server()?;
        let allow_loopback_jwks = self.get(&keys::OAUTH_ALLOW_LOOPBACK_JWKS)?;
        if allow_loopback_jwks && !server.is_on_loopback() {
            return Err(refuse(
                keys::OAUTH_ALLOW_LOOPBACK_JWKS.name(),
                "This is for tests: leave it out, or listen on 127.0.0.1 only.",
            ));
        }
        let tls = Tls {
            certificate: self.get(&keys::TLS_CERTIFICATE)?,
            key: self.get(&keys::TLS_KEY)?,
            client_ca: self.get(&keys::TLS_CLIENT_CA)?,
            client_crl: self.get(&keys::TLS_CLIENT_CRL)?,
            crl_grace_seconds: self.get(&keys::TLS_CRL_GRACE_SECONDS)?,
        };
        if tls.certificate.is_some() != tls.key.is_some() {
            return Err(refuse(
                keys::TLS_KEY.name(),
                "Set tls.certificate and tls.key together.",
            ));
        }
        if tls.client_ca.is_empty() && !tls.client_crl.is_empty() {
            return Err(refuse(
                keys::TLS_CLIENT_CA.name(),
                "Revocation lists need the authorities they belong to: set tls.client_ca.",
            ));
        }
        let url = StoreUrl::parse(&self.get(&keys::STORE_URL)?)?;
        self.0
            .entry(keys::STORE_CONNECTIONS.name())
            .or_insert_with(|| (Value::Integer(connections(&url)), ValueOrigin::Default));
        let retention = self.retention()?;
        Ok(Config {
            tls,
            store: StoreSection {
                url,
                connections: self.get(&keys::STORE_CONNECTIONS)?,
                schema: self.get(&keys::STORE_SCHEMA)?,
            },
            payer: self.payer()?,
            oauth: Oauth {
                access_token_seconds: self.get(&keys::OAUTH_ACCESS_TOKEN_SECONDS)?,
                allow_loopback_jwks,
            },
            oidc: self.oidc()?,
            policy: PolicyConfig {
                matching: self.get(&keys::POLICY_MATCHING)?,
                four_eyes: self.get(&keys::POLICY_FOUR_EYES)?,
                review_four_eyes: self.get(&keys::POLICY_REVIEW_FOUR_EYES)?,
                review_due_hours: self.get(&keys::POLICY_REVIEW_DUE_HOURS)?,
                guess: self.guess()?,
                answer_slot: self.get(&keys::POLICY_ANSWER_SLOT_MS)?,
            },
            log: self.log()?,
            alerts: AlertsConfig {
                receivers: self.get(&keys::ALERTS_RECEIVERS)?,
            },
            limits: self.limits()?,
            jobs: self.jobs()?,
            bulk: self.bulk(&retention)?,
            retention,
            ledger: LedgerConfig {
                key_folder: self.get(&keys::LEDGER_KEY_FOLDER)?,
                witnesses: self.get(&keys::LEDGER_WITNESSES)?,
                witness_ca: self.get(&keys::LEDGER_WITNESS_CA)?,
            },
            asking: self.asking()?,
            server,
            file,
            values: self,
        })
    }

    fn server(&self) -> Result<ServerConfig, Failure> {
        let server = ServerConfig {
            fhir_listen: self.address(&keys::SERVER_FHIR_LISTEN)?,
            ops_listen: self.address(&keys::SERVER_OPS_LISTEN)?,
            ops_tls: self.ops_tls()?,
            ops_base_url: self.get(&keys::SERVER_OPS_BASE_URL)?.map(ops_base_url).transpose()?,
            base_url: base_url(&self.get(&keys::SERVER_BASE_URL)?)?,
            proxy_from: self.networks(&keys::SERVER_PROXY_FROM)?,
        };
        if self.get(&keys::SERVER_HTTP2)? {
            return Err(refuse(
                keys::SERVER_HTTP2.name(),
                "HTTP/2 cannot be offered yet: the HTTP library does not limit the streams of a connection, so that one client could use up the server. Leave it out; every client of HTTP/2 speaks HTTP/1.1 too.",
            ));
        }
        if server.fhir_listen == server.ops_listen && server.fhir_listen.port() != 0 {
            return Err(refuse(
                keys::SERVER_OPS_LISTEN.name(),
                "Let the operations side listen on another address than the partners' side.",
            ));
        }
        let is_plain = server
            .ops_base_url
            .as_deref()
            .is_some_and(|url| url.starts_with("http://"));
        if is_plain && (server.ops_tls.is_some() || !server.ops_listen.ip().is_loopback()) {
            return Err(refuse(
                keys::SERVER_OPS_BASE_URL.name(),
                "Write an https:// URL: plain HTTP stays on this machine.",
            ));
        }
        Ok(server)
    }

    /// Certificate and key of the operations side.
    fn ops_tls(&self) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
        match (
            self.get(&keys::SERVER_OPS_CERTIFICATE)?,
            self.get(&keys::SERVER_OPS_KEY)?,
        ) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            _ => Err(refuse(
                keys::SERVER_OPS_KEY.name(),
                "Set server.ops_certificate and server.ops_key together.",
            )),
        }
    }

    fn payer(&self) -> Result<PayerSection, Failure> {
        for key in [
            &keys::PAYER_NAME,
            &keys::PAYER_NPI,
            &keys::PAYER_MEMBER_SYSTEM,
            &keys::PAYER_UMB_SYSTEM,
        ] {
            if self.get(key)?.trim().is_empty() {
                return Err(refuse(key.name(), format!("Set {}; it cannot be empty.", key.name())));
            }
        }
        let npi = self.get(&keys::PAYER_NPI)?;
        if npi.len() != 10 || !npi.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse(
                keys::PAYER_NPI.name(),
                "Write the National Provider Identifier as ten digits.",
            ));
        }
        if self.get(&keys::PAYER_MEMBER_SYSTEM)? == self.get(&keys::PAYER_UMB_SYSTEM)? {
            return Err(refuse(
                keys::PAYER_UMB_SYSTEM.name(),
                "Use another system than payer.member_system: one number is on the card, the other must not be.",
            ));
        }
        let time_zone = self.get(&keys::PAYER_TIME_ZONE)?;
        Ok(PayerSection {
            name: self.get(&keys::PAYER_NAME)?,
            npi,
            member_system: self.get(&keys::PAYER_MEMBER_SYSTEM)?,
            umb_system: self.get(&keys::PAYER_UMB_SYSTEM)?,
            time_zone: time_zone.parse().map_err(|_| {
                refuse(
                    keys::PAYER_TIME_ZONE.name(),
                    "Write an IANA time zone, such as America/New_York.",
                )
            })?,
        })
    }

    pub(super) fn guess(&self) -> Result<GuessLimits, Failure> {
        Ok(GuessLimits {
            per_target: self.get(&keys::POLICY_GUESS_PER_TARGET)?,
            per_shared: self.get(&keys::POLICY_GUESS_PER_SHARED)?,
            per_record: self.get(&keys::POLICY_GUESS_PER_RECORD)?,
            window_ms: self.get(&keys::POLICY_GUESS_WINDOW_SECONDS)? * 1000,
            ratio_least: self.get(&keys::POLICY_GUESS_RATIO_LEAST)?,
            alarm_percent: self.get(&keys::POLICY_GUESS_ALARM_PERCENT)?,
            lock_percent: self.get(&keys::POLICY_GUESS_LOCK_PERCENT)?,
            lock_ms: self.get(&keys::POLICY_GUESS_LOCK_SECONDS)? * 1000,
        })
    }

    pub(super) fn limits(&self) -> Result<LimitsConfig, Failure> {
        Ok(LimitsConfig {
            body_bytes: self.get(&keys::LIMITS_BODY_BYTES)?,
            large_body_bytes: self.get(&keys::BULK_BODY_BYTES)?,
            head_bytes: self.get(&keys::LIMITS_HEAD_BYTES)?,
            tls: self.get(&keys::LIMITS_TLS_SECONDS)?,
            head: self.get(&keys::LIMITS_HEAD_SECONDS)?,
            body: self.get(&keys::LIMITS_BODY_SECONDS)?,
            handler: self.get(&keys::LIMITS_HANDLER_SECONDS)?,
            answer: self.get(&keys::LIMITS_ANSWER_SECONDS)?,
            keep_alive: self.get(&keys::LIMITS_KEEP_ALIVE_SECONDS)?,
            connections: self.get(&keys::LIMITS_CONNECTIONS)?,
            connections_per_partner: self.get(&keys::LIMITS_CONNECTIONS_PER_PARTNER)?,
            in_flight: self.get(&keys::LIMITS_IN_FLIGHT)?,
            in_flight_per_partner: self.get(&keys::LIMITS_IN_FLIGHT_PER_PARTNER)?,
            partner_request_rate: self.get(&keys::LIMITS_PARTNER_REQUEST_RATE)?,
            queued_bytes: self.get(&keys::LIMITS_QUEUED_BYTES)?,
            least_bytes_per_second: self.get(&keys::LIMITS_LEAST_BYTES_PER_SECOND)?,
            handshakes: self.get(&keys::LIMITS_HANDSHAKES)?,
            handshakes_per_address: self.get(&keys::LIMITS_HANDSHAKES_PER_ADDRESS)?,
            handshake_rate: self.get(&keys::LIMITS_HANDSHAKE_RATE)?,
            connection_rate: self.get(&keys::LIMITS_CONNECTION_RATE)?,
            stranger_connections: self.get(&keys::LIMITS_STRANGER_CONNECTIONS)?,
            stranger_connections_per_address: self.get(&keys::LIMITS_STRANGER_CONNECTIONS_PER_ADDRESS)?,
            stranger_request_rate: self.get(&keys::LIMITS_STRANGER_REQUEST_RATE)?,
            stranger_request_rate_in_all: self.get(&keys::LIMITS_STRANGER_REQUEST_RATE_IN_ALL)?,
            stranger_in_flight: self.get(&keys::LIMITS_STRANGER_IN_FLIGHT)?,
            stranger_in_flight_per_address: self.get(&keys::LIMITS_STRANGER_IN_FLIGHT_PER_ADDRESS)?,
            stranger_queued_bytes: self.get(&keys::LIMITS_STRANGER_QUEUED_BYTES)?,
            token_failures: self.get(&keys::LIMITS_TOKEN_FAILURES)?,
            token_failures_window: self.get(&keys::LIMITS_TOKEN_FAILURES_SECONDS)?,
            drain: self.get(&keys::LIMITS_DRAIN_SECONDS)?,
            room: self.room()?,
        })
    }
}

impl ConfigValues {
    fn room(&self) -> Result<RoomLimits, Failure> {
        Ok(RoomLimits {
            exports: Least {
                percent: self.get(&keys::LIMITS_FREE_EXPORT_PERCENT)?,
                bytes: self.get(&keys::LIMITS_FREE_EXPORT_BYTES)?,
            },
            writes: Least {
                percent: self.get(&keys::LIMITS_FREE_WRITE_PERCENT)?,
                bytes: self.get(&keys::LIMITS_FREE_WRITE_BYTES)?,
            },
            reserve_bytes: self.get(&keys::LIMITS_FREE_RESERVE_BYTES)?,
        })
    }
}

/// Pooled connections where the configuration does not say. SQLite's readers are in this process and seldom need many; PostgreSQL's
/// wait for a round trip each.
fn connections(url: &StoreUrl) -> i64 {
    match url.sqlite_path() {
        Some(_) => 8,
        None => 16,
    }
}

fn base_url(text: &str) -> Result<String, Failure> {
    let name = keys::SERVER_BASE_URL.name();
    let Some(rest) = text.strip_prefix("https://") else {
        return Err(refuse(
            name,
            "Write an https:// URL; plain http is never served to partners.",
        ));
    };
    if rest.ends_with('/') {
        return Err(refuse(name, "Leave out the slash at its end."));
    }
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
    if host.is_empty() || !rest.bytes().all(safe) {
        return Err(refuse(
            name,
            "Write it as https://HOST[:PORT]/PATH, without user, query or fragment.",
        ));
    }
    Ok(text.to_owned())
}

/// Scheme, host and port, and nothing after them, as browsers write them in `Host` and `Origin`: in small letters, and without the port that the
/// scheme has anyway. Plain HTTP for this machine alone.
fn ops_base_url(mut text: String) -> Result<String, Failure> {
    let name = keys::SERVER_OPS_BASE_URL.name();
    let wrong = || refuse(name, "Write it as https://HOST[:PORT], without a path.");
    text.make_ascii_lowercase();
    let (scheme, usual, authority) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(authority), _) => ("https", 443, authority),
        (None, Some(authority)) => ("http", 80, authority),
        (None, None) => return Err(wrong()),
    };
    // The colons of an IPv6 address are in brackets.
    let (host, port) = match authority.rsplit_once(':').filter(|(_, port)| !port.contains(']')) {
        Some((host, port)) => (host, port.parse::<u16>().map_err(|_| wrong())?),
        None => (authority, usual),
    };
    let is_name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address = bracketed.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if !(is_name || is_address) || port == 0 {
        return Err(wrong());
    }
    if scheme == "http" && !["localhost", "127.0.0.1", "[::1]"].contains(&host) {
        return Err(refuse(name, "Write an https:// URL: plain HTTP stays on this machine."));
    }
    Ok(match port == usual {
        true => format!("{scheme}://{host}"),
        false => format!("{scheme}://{host}:{port}"),
    })
}

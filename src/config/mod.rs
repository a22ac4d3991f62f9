//! The configuration: one struct for each concern, parsed and checked once, unknown keys refused.
//!
//! File first, then `CAUSEWAY_<SECTION>__<KEY>`, then `DATABASE_URL`. Nothing else in the program reads the environment, but
//! for the credentials of an object store, which its library finds; and nothing here opens a store or a socket. Secrets (the password in a store address) are never printed.

mod bulk;
mod check;
mod exchange;
mod jobs;
mod key;
pub mod keys;
mod load;
mod log;
mod network;
mod oidc;
mod retention;
mod sections;
mod show;
mod sources;
#[cfg(test)]
mod tests;
mod values;

pub use bulk::BulkConfig;
pub use exchange::AskingConfig;
pub use jobs::Jobs;
pub use log::{Log, OtlpConfig};
pub use network::AddressRange;
pub use oidc::OidcConfig;
pub use show::effective;

use crate::context::{Payer, ReviewTerms};
use crate::error::{Failure, Fault};
use crate::keeping::Periods;
use crate::store::guesses::GuessLimits;
use crate::store::{RoomLimits, StoreUrl};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `[server]`: where we listen and what partners call us.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Partners' side: FHIR and OAuth.
    pub fhir_listen: SocketAddr,
    /// Operations side.
    pub ops_listen: SocketAddr,
    /// Certificate chain and key of the operations side; without them it speaks plain HTTP.
    pub ops_tls: Option<(PathBuf, PathBuf)>,
    /// Scheme, host and port of the operations side as people see it.
    pub ops_base_url: Option<String>,
    /// FHIR base URL: https, no slash at its end.
    pub base_url: String,
    /// Balancers that tell the client's address by PROXY protocol v2.
    pub proxy_from: Vec<AddressRange>,
}

impl ServerConfig {
    /// Scheme, host and port of the base URL, under which `/oauth` and `/.well-known` stand.
    pub fn origin(&self) -> &str {
        origin_of(&self.base_url)
    }

    /// Scheme, host and port under which people reach the operations side.
    pub fn ops_origin(&self) -> String {
        match (&self.ops_base_url, &self.ops_tls) {
            (Some(url), _) => url.clone(),
            // Browsers leave the usual port out.
            (None, Some(_)) if self.ops_listen.port() == 443 => "https://localhost".to_owned(),
            (None, Some(_)) => format!("https://localhost:{}", self.ops_listen.port()),
            (None, None) => format!("http://{}", self.ops_listen),
        }
    }

    /// Whether the partners' side can be reached from this machine only.
    pub fn is_on_loopback(&self) -> bool {
        self.fhir_listen.ip().is_loopback()
    }
}

/// `[tls]`: the files of the partners' listener.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM chain, leaf first.
    pub certificate: Option<PathBuf>,
    /// PEM key.
    pub key: Option<PathBuf>,
    /// Authorities of client certificates.
    pub client_ca: Vec<PathBuf>,
    /// Their revocation lists.
    pub client_crl: Vec<PathBuf>,
    /// How long a list outlives its nextUpdate, in seconds.
    pub crl_grace_seconds: i64,
}

impl Tls {
    /// Certificate and key, which `serve` cannot do without.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`] naming the key that is not set or whose file is not there.
    pub fn demand_files(&self) -> Result<(&Path, &Path), Failure> {
        let certificate = demand(self.certificate.as_deref(), keys::TLS_CERTIFICATE.name())?;
        let key = demand(self.key.as_deref(), keys::TLS_KEY.name())?;
        for (name, files) in [
            (keys::TLS_CLIENT_CA.name(), &self.client_ca),
            (keys::TLS_CLIENT_CRL.name(), &self.client_crl),
        ] {
            for file in files {
                there(file, name)?;
            }
        }
        Ok((certificate, key))
    }
}

fn demand<'a>(file: Option<&'a Path>, name: &str) -> Result<&'a Path, Failure> {
    let file = file.ok_or_else(|| {
        Failure::new(Fault::ConfigInvalid).at(name).remedy(format!(
            "Set {name}, or use `causeway serve --dev` to have development certificates made."
        ))
    })?;
    there(file, name)?;
    Ok(file)
}

fn there(file: &Path, name: &str) -> Result<(), Failure> {
    if file.is_file() {
        return Ok(());
    }
    let remedy = format!(
        "Put the file {} there, correct {name}, or use `causeway serve --dev`.",
        file.display()
    );
    Err(Failure::new(Fault::ConfigInvalid).at(name).remedy(remedy))
}

/// `[store]`.
#[derive(Clone, Debug)]
pub struct StoreSection {
    /// Which database.
    pub url: StoreUrl,
    /// Largest number of pooled connections.
    pub connections: u32,
    /// The schema of a PostgreSQL store, where it is not left to the search path.
    pub schema: Option<String>,
}

/// `[payer]`: who we are.
#[derive(Clone, Debug)]
pub struct PayerSection {
    /// Name for people.
    pub name: String,
    /// National Provider Identifier.
    pub npi: String,
    /// System of our member numbers.
    pub member_system: String,
    /// System of our UMB identifiers.
    pub umb_system: String,
    /// Time zone of calendar dates.
    pub time_zone: chrono_tz::Tz,
}

/// `[oauth]`.
#[derive(Clone, Copy, Debug)]
pub struct Oauth {
    /// Life of an access token.
    pub access_token_seconds: u32,
    /// Whether key sets may be fetched from this machine; tests only.
    pub allow_loopback_jwks: bool,
}

/// `[policy]`: names of the built-in policies in force.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    /// Matching.
    pub matching: String,
    /// Whether two operators have to agree on a version of a policy.
    pub four_eyes: bool,
    /// Whether two operators have to agree on a review.
    pub review_four_eyes: bool,
    /// Hours until a review is due.
    pub review_due_hours: u32,
    /// The guessing guard.
    pub guess: GuessLimits,
    /// Answers to a match leave at multiples of this after the request.
    pub answer_slot: Duration,
}

/// `[alerts]`
#[derive(Clone, Debug, Default)]
pub struct AlertsConfig {
    /// The file of the receivers, if there are any.
    pub receivers: Option<PathBuf>,
}

/// `[limits]`: what one request, connection or partner may take.
#[derive(Clone, Copy, Debug)]
pub struct LimitsConfig {
    /// Largest request body.
    pub body_bytes: usize,
    /// Largest body of a bulk match (`bulk.body_bytes`).
    pub large_body_bytes: usize,
    /// Largest request head.
    pub head_bytes: usize,
    /// Time for a TLS handshake.
    pub tls: Duration,
    /// Time for a request head.
    pub head: Duration,
    /// Time for a request body.
    pub body: Duration,
    /// Time for an answer to begin.
    pub handler: Duration,
    /// Time for an answer of many pieces to be read.
    pub answer: Duration,
    /// Idle time of a connection.
    pub keep_alive: Duration,
    /// Open connections in all.
    pub connections: usize,
    /// Open connections of one partner.
    pub connections_per_partner: usize,
    /// Requests of partners worked on at once.
    pub in_flight: usize,
    /// Requests of one partner worked on at once.
    pub in_flight_per_partner: usize,
    /// Requests a second of one partner.
    pub partner_request_rate: u32,
    /// Bytes of partners' request bodies that are being received.
    pub queued_bytes: usize,
    /// Slowest rate of a request body and of a reader.
    pub least_bytes_per_second: usize,
    /// TLS handshakes at once.
    pub handshakes: usize,
    /// TLS handshakes of one address at once.
    pub handshakes_per_address: usize,
    /// TLS handshakes a second of all addresses that are not known as a partner's.
    pub handshake_rate: u32,
    /// New connections a second of an address that is not known as a partner's.
    pub connection_rate: u32,
    /// Open connections of strangers.
    pub stranger_connections: usize,
    /// Open connections of strangers at one address.
    pub stranger_connections_per_address: usize,
    /// Requests of strangers a second of one address.
    pub stranger_request_rate: u32,
    /// Requests of strangers a second of all addresses that are not known as a partner's.
    pub stranger_request_rate_in_all: u32,
    /// Requests of strangers worked on at once.
    pub stranger_in_flight: usize,
    /// Requests of strangers at one address worked on at once.
    pub stranger_in_flight_per_address: usize,
    /// Bytes of strangers' requests and answers that wait.
    pub stranger_queued_bytes: usize,
    /// Failed requests of one client to the OAuth endpoints at once; 0: no limit.
    pub token_failures: u32,
    /// Time in which as many again may fail.
    pub token_failures_window: Duration,
    /// Time for running requests after SIGTERM.
    pub drain: Duration,
    /// How much of a SQLite store's disk is left free.
    pub room: RoomLimits,
}

/// `[ledger]`
#[derive(Clone, Debug, Default)]
pub struct LedgerConfig {
    /// The folder of the signing key; `None` for the one beside the store.
    pub key_folder: Option<PathBuf>,
    /// The witnesses: URL and key each.
    pub witnesses: Vec<String>,
    /// The authorities of the witnesses' certificates.
    pub witness_ca: Vec<PathBuf>,
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[tls]`
    pub tls: Tls,
    /// `[store]`
    pub store: StoreSection,
    /// `[payer]`
    pub payer: PayerSection,
    /// `[oauth]`
    pub oauth: Oauth,
    /// `[oidc]`; `None` when people sign in to the console by links alone.
    pub oidc: Option<OidcConfig>,
    /// `[policy]`
    pub policy: PolicyConfig,
    /// `[log]`
    pub log: Log,
    /// `[alerts]`
    pub alerts: AlertsConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[jobs]`
    pub jobs: Jobs,
    /// `[exports]` and `[bulk]`
    pub bulk: BulkConfig,
    /// `[retention]`, and what other sections say of how long something is kept.
    pub retention: Periods,
    /// `[ledger]`
    pub ledger: LedgerConfig,
    /// `[exchange]`; `None` when partners are not asked.
    pub asking: Option<AskingConfig>,
    /// The file it came from, if any.
    pub file: Option<PathBuf>,
    values: values::ConfigValues,
}

impl Config {
    /// Who we are, for [`crate::context::Context`].
    pub fn payer(&self) -> Payer {
        Payer {
            name: self.payer.name.clone(),
            npi: self.payer.npi.clone(),
            member_system: self.payer.member_system.clone(),
            umb_system: self.payer.umb_system.clone(),
            base_url: self.server.base_url.clone(),
            time_zone: self.payer.time_zone,
        }
    }

    /// How reviews are kept, for [`crate::context::Context`].
    pub fn review(&self) -> ReviewTerms {
        ReviewTerms::new(self.policy.review_four_eyes, self.policy.review_due_hours)
    }

    /// The folder of the ledger's signing key and of the last checkpoint.
    pub fn ledger_folder(&self) -> PathBuf {
        self.ledger
            .key_folder
            .clone()
            .unwrap_or_else(|| self.data_folder().join("ledger"))
    }

    /// The folder of our own files: where the SQLite store is, else `causeway-data`.
    pub fn data_folder(&self) -> PathBuf {
        let beside = self
            .store
            .url
            .sqlite_path()
            .and_then(Path::parent)
            .filter(|folder| !folder.as_os_str().is_empty());
        match (beside, &self.file) {
            (Some(folder), _) => folder.to_path_buf(),
            (None, Some(file)) if self.store.url.sqlite_path().is_none() => {
                file.parent().unwrap_or(Path::new("")).join("causeway-data")
            }
            (None, _) if self.store.url.sqlite_path().is_some() => PathBuf::from("."),
            (None, _) => PathBuf::from("causeway-data"),
        }
    }
}

/// Whether people want colours at a terminal: not with `NO_COLOR` (no-color.org), nor on one that has none.
pub fn wants_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Scheme, host and port of `url`.
pub(crate) fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    match url[start..].find('/') {
        Some(slash) => &url[..start + slash],
        None => url,
    }
}

//! `[log]`: the technical log, and the collector of traces.

use super::check::refuse;
use super::keys;
use super::values::ConfigValues;
use crate::error::Failure;
use reqwest::Url;
use std::path::PathBuf;

/// `[log]`.
#[derive(Clone, Debug)]
pub struct Log {
    /// `auto`, `json` or `text`.
    pub format: String,
    /// Least severe level that is written.
    pub level: String,
    /// Where traces go; `None` when there are none.
    pub otlp: Option<OtlpConfig>,
}

/// The collector of traces.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// Its address, to which the path of the protocol is added.
    pub endpoint: String,
    /// Share of traces that are kept, in percent.
    pub sample_percent: u32,
    /// The authorities of its certificate; those of the system when there are none.
    pub authorities: Vec<PathBuf>,
}

impl ConfigValues {
    pub(super) fn log(&self) -> Result<Log, Failure> {
        let (endpoint, sample_percent) = (
            self.get(&keys::LOG_OTLP_ENDPOINT)?,
            self.get(&keys::LOG_OTLP_SAMPLE_PERCENT)?,
        );
        let authorities = self.get(&keys::LOG_OTLP_CA)?;
        let otlp = match endpoint {
            None => None,
            Some(endpoint) => Some(OtlpConfig {
                endpoint: checked(endpoint)?,
                sample_percent,
                authorities,
            }),
        };
        Ok(Log {
            format: self.get(&keys::LOG_FORMAT)?,
            level: self.get(&keys::LOG_LEVEL)?,
            otlp,
        })
    }
}

/// An address of https, or of this machine. Which addresses are called is judged when the exporter starts.
fn checked(endpoint: String) -> Result<String, Failure> {
    let url = Url::parse(&endpoint).ok().filter(|url| {
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        url.scheme() == "https" || (url.scheme() == "http" && is_here)
    });
    match url.filter(|url| url.query().is_none() && url.fragment().is_none()) {
        Some(_) => Ok(endpoint),
        None => Err(refuse(
            keys::LOG_OTLP_ENDPOINT.name(),
            "Write it as https://HOST[:PORT], or as http://127.0.0.1:PORT for a collector on this machine.",
        )),
    }
}

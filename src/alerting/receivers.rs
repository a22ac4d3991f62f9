//! The receivers that the configuration lists: a TOML file with a name, a URL, a secret and a route for each.
//!
//! Read once when the server starts. Anything wrong in it stops the start, so that nobody waits for alerts that never come. Neither URL nor
//! secret is ever printed: both may open a chat room.

use crate::error::{Failure, Fault, FaultOwner};
use crate::ids::is_fhir_id;
use crate::ops::alerts::table::{Alert, AlertSeverity};
use crate::secret::Secret;
use crate::security::address::{GuardedResolver, check_configured};
use crate::security::secret_file::{secret_of, text_of};
use reqwest::Url;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

/// The key of the configuration.
const KEY: &str = "alerts.receivers";
/// Most receivers, and most bytes of the file.
const MOST: usize = 16;
const FILE_BYTES: u64 = 65_536;
/// Fewest bytes of a secret: as many as the signature has.
const SECRET_LEAST: usize = 32;
/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiverFile {
    #[serde(default)]
    receiver: Vec<ReceiverEntry>,
}

/// One receiver, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiverEntry {
    name: String,
    url: String,
    secret_file: String,
    trust: Option<String>,
    owners: Option<Vec<String>>,
    severities: Option<Vec<String>>,
}

/// Who is told of alerts.
pub struct Receiver {
    /// Its name, which rows and logs have.
    pub name: String,
    /// Where messages go.
    pub(super) url: Url,
    /// By what they are signed.
    pub(super) secret: Secret,
    /// What sends them there, and to no other place.
    pub(super) http: reqwest::Client,
    /// The owners whose alerts it is told; all when empty.
    owners: BTreeSet<&'static str>,
    /// The severities that it is told; all when empty.
    severities: BTreeSet<&'static str>,
}

impl Receiver {
    /// Whether it is told of this alert.
    pub fn wants(&self, alert: &Alert) -> bool {
        let has = |chosen: &BTreeSet<&str>, code: &str| chosen.is_empty() || chosen.contains(code);
        has(&self.owners, alert.owner.code()) && has(&self.severities, alert.severity.code())
    }
}

/// All receivers, in the order of the file.
#[derive(Default)]
pub struct ReceiverList(Vec<Receiver>);

impl ReceiverList {
    /// Reads the receivers from this file; without one there are none. The paths in it begin at its folder.
    ///
    /// # Errors
    /// [`Fault::ConfigInvalid`], which names the receiver and never its URL or secret.
    pub fn read(file: Option<&Path>) -> Result<ReceiverList, Failure> {
        let Some(path) = file else {
            return Ok(ReceiverList::default());
        };
        let text = text_of(path, FILE_BYTES).map_err(|why| {
            refuse(format!(
                "Put the file of receivers there, where the server's user can read it: {why}."
            ))
        })?;
        // The error of the parser repeats a line of the file, which may be a URL.
        let file: ReceiverFile = toml::from_str(&text).map_err(|error| {
            refuse(format!(
                "Write the file of receivers as docs/operators/alerts.md says: {}.",
                error.message().replace('\n', "; ")
            ))
        })?;
        if file.receiver.is_empty() || file.receiver.len() > MOST {
            return Err(refuse(format!("Name 1 to {MOST} receivers, each under [[receiver]].")));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut found: Vec<Receiver> = Vec::new();
        for entry in &file.receiver {
            let receiver = receiver(entry, folder)?;
            if found.iter().any(|other| other.name == receiver.name) {
                return Err(refuse(format!(
                    "Give each receiver a name of its own: {} is there twice.",
                    entry.name
                )));
            }
            found.push(receiver);
        }
        Ok(ReceiverList(found))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The receiver with this name.
    pub fn find(&self, name: &str) -> Option<&Receiver> {
        self.0.iter().find(|receiver| receiver.name == name)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Receiver> {
        self.0.iter()
    }
}

fn refuse(remedy: String) -> Failure {
    Failure::new(Fault::ConfigInvalid).at(KEY).remedy(remedy)
}

fn receiver(entry: &ReceiverEntry, folder: &Path) -> Result<Receiver, Failure> {
    if !is_fhir_id(&entry.name) {
        return Err(refuse(
            "Give each receiver a name of 1 to 64 letters, digits, hyphens and dots.".to_owned(),
        ));
    }
    let of_it = |why: String| refuse(format!("Correct the receiver {}: {why}.", entry.name));
    let (url, is_here) =
        check_configured(&entry.url).map_err(|why| of_it(format!("its url cannot be called, because {why}")))?;
    let owners = chosen(entry.owners.as_deref(), &FaultOwner::ALL.map(FaultOwner::code))
        .map_err(|known| of_it(format!("owners is a list of {known}, or left out for all")))?;
    let severities = [AlertSeverity::Page, AlertSeverity::Ticket].map(AlertSeverity::code);
    let severities = chosen(entry.severities.as_deref(), &severities)
        .map_err(|known| of_it(format!("severities is a list of {known}, or left out for both")))?;
    let secret = secret_of(&folder.join(&entry.secret_file), SECRET_LEAST)
        .map_err(|why| of_it(format!("its secret_file {why}")))?;
    let trust = match &entry.trust {
        None => None,
        Some(name) => {
            Some(text_of(&folder.join(name), FILE_BYTES).map_err(|why| of_it(format!("its file of trust: {why}")))?)
        }
    };
    let http = client(&url, is_here, trust.as_deref())
        .ok_or_else(|| of_it("its trust has no certificate that can be used".to_owned()))?;
    Ok(Receiver {
        name: entry.name.clone(),
        url,
        secret,
        http,
        owners,
        severities,
    })
}

/// The words that were chosen of those that are known; an error has the known ones.
fn chosen(given: Option<&[String]>, known: &[&'static str]) -> Result<BTreeSet<&'static str>, String> {
    let refused = || known.join(", ");
    match given {
        None => Ok(BTreeSet::new()),
        Some([]) => Err(refused()),
        Some(words) => words
            .iter()
            .map(|word| {
                known
                    .iter()
                    .copied()
                    .find(|known| *known == word.as_str())
                    .ok_or_else(refused)
            })
            .collect(),
    }
}

/// The client of one receiver: no redirects, no proxy, and addresses that are judged when they are dialed. `None` when `trust` has no certificate
/// that can be used.
fn client(url: &Url, is_here: bool, trust: Option<&str>) -> Option<reqwest::Client> {
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .https_only(url.scheme() == "https")
        .no_proxy()
        .connect_timeout(CONNECT)
        .dns_resolver(GuardedResolver { loopback: is_here })
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")));
    if let Some(trust) = trust {
        let roots = reqwest::Certificate::from_pem_bundle(trust.as_bytes()).ok()?;
        if roots.is_empty() {
            return None;
        }
        client = client.tls_certs_only(roots);
    }
    client.build().ok()
}

#[cfg(test)]
#[path = "receivers_tests.rs"]
mod tests;

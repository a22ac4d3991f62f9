//! Where a partner's keys come from: its inline set, or its URL, fetched with care and kept no longer than it says.
//!
//! Threat A18: https only, no redirect, 64 KiB, 5 s, public addresses only, at most 60 minutes, refreshed for an unknown `kid`
//! at most once a minute. A failed fetch keeps old keys only up to their own limit; then assertions fail.

use super::address::{GuardedResolver, check_url};
use super::jwk::{KeySet, SET_BYTES};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Time for a whole fetch.
const FETCH: Duration = Duration::from_secs(5);
/// Longest time a set is kept.
const KEEP_MOST_MS: i64 = 3_600_000;
/// Time a set is kept when its host says nothing.
const KEEP_UNSAID_MS: i64 = 300_000;
/// Shortest time between two fetches of one URL.
const REFRESH_MS: i64 = 60_000;
/// Most sets kept at once.
const SETS: usize = 4096;

/// Why there are no keys; for the log and `causeway partner check`, never for the partner's wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKeys(pub String);

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoKeys {}

#[derive(Default)]
struct Fetched {
    keys: Option<Arc<KeySet>>,
    until_ms: i64,
    tried_ms: Option<i64>,
}

type Slot = Arc<tokio::sync::Mutex<Fetched>>;

/// The keys of all partners, as this process knows them. Clones share it.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    loopback: bool,
    roots: Vec<reqwest::Certificate>,
    client: OnceLock<Option<reqwest::Client>>,
    inline: Mutex<HashMap<[u8; 32], Arc<KeySet>>>,
    fetched: Mutex<HashMap<String, Slot>>,
}

impl Keyring {
    /// An empty ring. `loopback` lets key sets of this machine be fetched, for tests.
    pub fn new(loopback: bool) -> Keyring {
        Keyring::trusting(loopback, Vec::new())
    }

    /// As [`Keyring::new`], trusting these authorities besides the system's.
    pub fn trusting(loopback: bool, roots: Vec<reqwest::Certificate>) -> Keyring {
        Keyring(Arc::new(Inner {
            loopback,
            roots,
            client: OnceLock::new(),
            inline: Mutex::default(),
            fetched: Mutex::default(),
        }))
    }

    /// The set of an inline registration, parsed once.
    ///
    /// # Errors
    /// [`NoKeys`] when it is refused.
    pub fn inline(&self, text: &str) -> Result<Arc<KeySet>, NoKeys> {
        let digest = crate::secret::sha256(text.as_bytes());
        let mut known = self.0.inline.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.get(&digest) {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(KeySet::parse(text.as_bytes()).map_err(|refused| NoKeys(refused.to_string()))?);
        if known.len() >= SETS {
            known.clear();
        }
        known.insert(digest, Arc::clone(&keys));
        Ok(keys)
    }

    /// Forgets what was fetched, so that each set is fetched anew when it is needed next.
    pub fn forget(&self) {
        self.0.fetched.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The set at `url`, from the cache while it may be, fetched again when `kid` is not in it.
    ///
    /// # Errors
    /// [`NoKeys`] when it cannot be fetched or is refused, and nothing cached may still be used.
    pub async fn at_url(&self, url: &str, kid: &str, now_ms: i64) -> Result<Arc<KeySet>, NoKeys> {
        let slot = {
            let mut known = self.0.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= SETS && !known.contains_key(url) {
                known.clear();
            }
            Arc::clone(known.entry(url.to_owned()).or_default())
        };
        let mut slot = slot.lock().await;
        let usable = slot.keys.clone().filter(|_| now_ms < slot.until_ms);
        let has_kid = usable.as_ref().is_some_and(|keys| keys.find(kid).is_some());
        let rested = slot
            .tried_ms
            .is_none_or(|tried| !(tried..tried + REFRESH_MS).contains(&now_ms));
        // A set that ran out is fetched at once unless the last try failed; an unknown kid waits its minute.
        let ran_out = slot.keys.is_some() && usable.is_none();
        if has_kid || (!rested && !ran_out) {
            return usable.ok_or_else(|| NoKeys("the last fetch failed less than a minute ago".into()));
        }
        slot.tried_ms = Some(now_ms);
        match self.fetch(url).await {
            Ok((keys, keep_ms)) => {
                let keys = Arc::new(keys);
                slot.keys = Some(Arc::clone(&keys));
                slot.until_ms = now_ms + keep_ms;
                Ok(keys)
            }
            Err(failed) => {
                tracing::warn!(cause = %failed, "a partner's key set could not be fetched");
                if ran_out {
                    slot.keys = None;
                }
                usable.ok_or(failed)
            }
        }
    }

    /// Fetches the set at `url` now, and for how many milliseconds it may be kept.
    ///
    /// # Errors
    /// [`NoKeys`], with the reason.
    pub async fn fetch(&self, url: &str) -> Result<(KeySet, i64), NoKeys> {
        let url = check_url(url, self.0.loopback).map_err(|why| NoKeys(format!("the URL is refused: {why}")))?;
        let client = self.client().ok_or_else(|| NoKeys("no TLS client".into()))?;
        let failed = |error: reqwest::Error| NoKeys(format!("the fetch failed: {}", kind_of(&error)));
        let mut answer = client
            .get(url)
            .header("Accept", "application/json")
            .send()
            .await
            .map_err(failed)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(NoKeys(format!("the host answered {}", answer.status().as_u16())));
        }
        let keep_ms = keep_ms(
            answer
                .headers()
                .get("cache-control")
                .and_then(|value| value.to_str().ok()),
        );
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > SET_BYTES {
                return Err(NoKeys("the set is larger than 64 KiB".into()));
            }
            body.extend_from_slice(&chunk);
        }
        let keys = KeySet::parse(&body).map_err(|refused| NoKeys(format!("the set is refused: {refused}")))?;
        Ok((keys, keep_ms))
    }

    fn client(&self) -> Option<&reqwest::Client> {
        let build = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .https_only(true)
                .no_proxy()
                .timeout(FETCH)
                .connect_timeout(FETCH)
                .pool_max_idle_per_host(0)
                .dns_resolver(GuardedResolver {
                    loopback: self.0.loopback,
                })
                .tls_certs_merge(self.0.roots.clone())
                .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")))
                .build()
                .inspect_err(|error| tracing::error!(cause = %error, "no client for key sets"))
                .ok()
        };
        self.0.client.get_or_init(build).as_ref()
    }
}

/// The kind of a fetch's failure; its full text names the URL, which is the operator's to know and not the log's.
fn kind_of(error: &reqwest::Error) -> &'static str {
    match error {
        _ if error.is_timeout() => "it took longer than 5 s",
        _ if error.is_connect() => "no connection (name, address, port or certificate)",
        _ if error.is_redirect() => "it redirects",
        _ => "the answer broke off",
    }
}

/// For how long an answer with this `Cache-Control` may be kept.
fn keep_ms(header: Option<&str>) -> i64 {
    let Some(header) = header else { return KEEP_UNSAID_MS };
    let mut keep = KEEP_UNSAID_MS;
    for directive in header.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        if directive == "no-store" || directive == "no-cache" {
            return 0;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            keep = seconds
                .trim_matches('"')
                .parse::<i64>()
                .map_or(0, |seconds| seconds.clamp(0, KEEP_MOST_MS / 1000) * 1000);
        }
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_a18_sets_are_kept_no_longer_than_their_host_says() {
        for (header, kept) in [
            (None, KEEP_UNSAID_MS),
            (Some("max-age=60"), 60_000),
            (Some("public, Max-Age=60"), 60_000),
            (Some("max-age=999999999"), KEEP_MOST_MS),
            (Some("max-age=-5"), 0),
            (Some("max-age=soon"), 0),
            (Some("no-store"), 0),
            (Some("max-age=60, no-cache"), 0),
        ] {
            assert_eq!(keep_ms(header), kept, "{header:?}");
        }
    }
}

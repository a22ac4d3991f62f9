//! Finds a partner's keys: in its inline key set, or at its URL, from which a set is fetched and cached no longer than its host allows.
//!
//! Threat A18: https only, no redirects, 64 KiB, 5 s, public addresses only, cached at most 60 minutes, refreshed for an unknown `kid` at
//! most once a minute. When a fetch fails, old keys are used only until their own limit; after that, assertions fail.
//!
//! All requests that wait for a URL share one fetch. Only few may wait, because each holds a place among the requests in flight. A URL is
//! fetched at most once a second, whatever its host says about caching.

use super::address::{GuardedResolver, check_url};
use causeway_jose::{KeySet, SET_BYTES};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Time limit of a whole fetch.
const FETCH: Duration = Duration::from_secs(5);
/// Longest time for which a set is cached.
const KEEP_MOST_MS: i64 = 3_600_000;
/// Time for which a set is cached when its host does not say.
const KEEP_UNSAID_MS: i64 = 300_000;
/// A set that may be cached for less than this is used for [`SHARE`] after it was fetched.
const KEEP_LEAST_MS: i64 = 1000;
/// Shortest time between two fetches of one URL for an unknown `kid` or after a failure.
const REFRESH_MS: i64 = 60_000;
/// Time after a fetch during which all requests use its set, even when the host forbids caching.
const SHARE: Duration = Duration::from_secs(1);
/// Most requests that may wait for one URL.
const WAITING: usize = 4;
/// Most sets that are cached.
const SETS: usize = 4096;

/// Why there are no keys. For the log and `causeway partner check`, never for an answer to the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoKeys(pub String);

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoKeys {}

/// Why [`Keyring::at_url`] returns no keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// They cannot be fetched, or are refused.
    NoKeys(NoKeys),
    /// Too many requests are waiting for them.
    Busy,
}

/// A running fetch, shared by all requests that wait for it.
type Fetching = Shared<BoxFuture<'static, Result<Arc<KeySet>, NoKeys>>>;

#[derive(Default)]
struct Fetched {
    keys: Option<Arc<KeySet>>,
    until_ms: i64,
    /// Until when the set is used whatever its host says about caching.
    shared_until: Option<Instant>,
    tried_ms: Option<i64>,
    fetching: Option<Fetching>,
}

impl Fetched {
    /// The cached set, if it may be used now.
    fn usable(&self, now_ms: i64) -> Option<Arc<KeySet>> {
        let is_fresh = now_ms < self.until_ms || self.shared_until.is_some_and(|until| Instant::now() < until);
        self.keys.clone().filter(|_| is_fresh)
    }
}

/// The state of one URL.
#[derive(Default)]
struct Slot {
    fetched: Mutex<Fetched>,
    waiting: AtomicUsize,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Fetched> {
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a waiting request; `None` when too many are waiting.
    fn wait(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, Ordering::AcqRel) < WAITING).then_some(waiting)
    }
}

/// Counts one waiting request until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The key sets of all partners that this process has cached. Clones share them.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    loopback: bool,
    roots: Vec<reqwest::Certificate>,
    client: OnceLock<Option<reqwest::Client>>,
    inline: Mutex<HashMap<[u8; 32], Arc<KeySet>>>,
    fetched: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Keyring {
    /// An empty keyring. `loopback` allows key sets on this machine, for tests.
    pub fn new(loopback: bool) -> Keyring {
        Keyring::trusting(loopback, Vec::new())
    }

    /// Like [`Keyring::new`], and trusts these certificate authorities in addition to the system's.
    pub fn trusting(loopback: bool, roots: Vec<reqwest::Certificate>) -> Keyring {
        Keyring(Arc::new(Inner {
            loopback,
            roots,
            client: OnceLock::new(),
            inline: Mutex::default(),
            fetched: Mutex::default(),
        }))
    }

    /// The key set of an inline registration, which is parsed only once.
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

    /// Drops all fetched sets, so that each is fetched again when it is next needed.
    pub fn forget(&self) {
        self.0.fetched.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The key set at `url`: from the cache if possible, fetched again when `kid` is not in it.
    ///
    /// # Errors
    /// [`Unavailable::NoKeys`] when the set cannot be fetched or is refused and no cached set may be used; [`Unavailable::Busy`] when too
    /// many requests are waiting for it.
    pub async fn at_url(&self, url: &str, kid: &str, now_ms: i64) -> Result<Arc<KeySet>, Unavailable> {
        let slot = {
            let mut known = self.0.fetched.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= SETS && !known.contains_key(url) {
                known.clear();
            }
            Arc::clone(known.entry(url.to_owned()).or_default())
        };
        let (fetching, _waiting) = {
            let mut fetched = slot.lock();
            let usable = fetched.usable(now_ms);
            if let Some(keys) = usable.as_ref().filter(|keys| keys.find(kid).is_some()) {
                return Ok(Arc::clone(keys));
            }
            let rested = fetched
                .tried_ms
                .is_none_or(|tried| !(tried..tried + REFRESH_MS).contains(&now_ms));
            // An expired set is fetched again at once, unless the last fetch failed; for an unknown `kid`, at most once a minute.
            let ran_out = fetched.keys.is_some() && usable.is_none();
            if fetched.fetching.is_none() && !rested && !ran_out {
                let failed = || Unavailable::NoKeys(NoKeys("the last fetch failed less than a minute ago".into()));
                return usable.ok_or_else(failed);
            }
            let waiting = slot.wait().ok_or(Unavailable::Busy)?;
            let fetching = match &fetched.fetching {
                Some(fetching) => fetching.clone(),
                None => {
                    fetched.tried_ms = Some(now_ms);
                    let begun = self.begin(url.to_owned(), &slot, now_ms);
                    fetched.fetching = Some(begun.clone());
                    begun
                }
            };
            (fetching, waiting)
        };
        fetching.await.map_err(Unavailable::NoKeys)
    }

    /// Starts a fetch in a task of its own, which completes even when no request waits for it any more.
    fn begin(&self, url: String, slot: &Arc<Slot>, now_ms: i64) -> Fetching {
        let (ring, slot) = (self.clone(), Arc::clone(slot));
        let done = Arc::clone(&slot);
        let task = tokio::spawn(async move {
            let outcome = ring.fetch(&url).await;
            let mut fetched = slot.lock();
            fetched.fetching = None;
            match outcome {
                Ok((keys, keep_ms)) => {
                    let keys = Arc::new(keys);
                    fetched.keys = Some(Arc::clone(&keys));
                    fetched.until_ms = now_ms + keep_ms;
                    fetched.shared_until = (keep_ms < KEEP_LEAST_MS).then(|| Instant::now() + SHARE);
                    Ok(keys)
                }
                Err(failed) => {
                    tracing::warn!(cause = %failed, "a partner's key set could not be fetched");
                    let usable = fetched.usable(now_ms);
                    if usable.is_none() {
                        fetched.keys = None;
                    }
                    usable.ok_or(failed)
                }
            }
        });
        let outcome = async move {
            task.await.unwrap_or_else(|_| {
                done.lock().fetching = None;
                Err(NoKeys("the fetch was given up".into()))
            })
        };
        outcome.boxed().shared()
    }

    /// Fetches the set at `url` now, and returns it with the milliseconds for which it may be cached.
    ///
    /// # Errors
    /// [`NoKeys`] with the reason.
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
                .http1_only()
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

/// The kind of a failed fetch. The full text of the error contains the URL, which must not get into the log.
fn kind_of(error: &reqwest::Error) -> &'static str {
    match error {
        _ if error.is_timeout() => "it took longer than 5 s",
        _ if error.is_connect() => "no connection (name, address, port or certificate)",
        _ if error.is_redirect() => "it redirects",
        _ => "the answer was cut off",
    }
}

/// For how many milliseconds an answer with this `Cache-Control` may be cached.
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

//! The files of runs in an object store: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! A file is one object, `PREFIX/RUN/NAME`, which is put once and never changed. Each wait for the store has an end, and whatever the store
//! does wrong is [`Fault::BulkFolder`]. Credentials are found by the library, in the environment and where the cloud has them: nothing here
//! reads, keeps or tells them, and no words of the store's own reach the log.

use crate::error::{Failure, Fault};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig};
use reqwest::Url;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest wait for an answer without a file, or with a part of one.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest wait until the store has a part of a file.
const TAKEN: Duration = Duration::from_secs(20);
/// Longest single attempt at a request, as the library writes it.
const ATTEMPT: &str = "15s";
/// Longest wait for a connection, as the library writes it.
const CONNECT: &str = "4s";
/// Within this time a request that failed begins again.
const AGAIN: Duration = Duration::from_secs(8);
/// How often.
const AGAIN_MOST: usize = 3;
/// Longest time in which the objects of a run are removed; the rest are left to the next attempt.
const REMOVED: Duration = Duration::from_secs(60);
/// A file of more bytes is put in parts of so many. Every store takes parts of this size.
const PART: usize = 5 << 20;
/// Files that are put at once.
const AT_ONCE: usize = 4;
/// Bytes that are read when an object is opened: a small file as a whole.
const FIRST: u64 = 256 << 10;
/// Bytes that are read at once later.
const AHEAD: u64 = 1 << 20;

/// An object store, and the prefix of our objects in it. It is connected to when the first file is written or read.
pub(super) struct Objects {
    url: Url,
    connected: OnceLock<Connected>,
}

struct Connected {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
}

/// One object that can be read.
pub(super) struct StoredObject {
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    length: u64,
    /// What was read last.
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    begins: u64,
    bytes: Bytes,
}

/// The threads that talk to the store; callers wait for them.
fn runtime() -> Result<&'static Runtime, Failure> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("object-store")
        .enable_all()
        .build()
        .map_err(|error| broken(error.to_string()))?;
    Ok(RUNTIME.get_or_init(|| made))
}

fn broken(why: impl Into<String>) -> Failure {
    let why: String = why.into();
    Failure::new(Fault::BulkFolder).because(why)
}

/// What may be told of an error: all before the words of the store's own, which can have names of keys and signatures.
fn told(error: &object_store::Error) -> String {
    let text = error.to_string();
    let end = text.find(['<', '{', '\n', '\u{feff}']).unwrap_or(text.len());
    text[..end].trim_end_matches([' ', ':']).chars().take(400).collect()
}

/// Waits for an answer of the store, so long at most.
async fn within<T>(
    most: Duration,
    what: &str,
    answer: impl Future<Output = object_store::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(most, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(broken(format!("{what}: {}", told(&error)))),
        Err(_) => Err(broken(format!("{what}: no answer in {} seconds", most.as_secs()))),
    }
}

fn again() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        },
        max_retries: AGAIN_MOST,
        retry_timeout: AGAIN,
    }
}

/// A store of this kind, with its settings from the environment and our limits.
macro_rules! connected {
    ($builder:ty, $key:ident, $url:expr) => {{
        let limits = [
            (object_store::ClientConfigKey::Timeout, ATTEMPT),
            (object_store::ClientConfigKey::ConnectTimeout, CONNECT),
        ];
        let begun = <$builder>::from_env().with_url($url.as_str()).with_retry(again());
        let builder = limits.into_iter().fold(begun, |builder, (key, value)| {
            builder.with_config($key::Client(key), value)
        });
        builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
    }};
}

fn connect(url: &Url) -> Result<Connected, Failure> {
    #[cfg(feature = "s3")]
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    #[cfg(feature = "azure")]
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
    #[cfg(feature = "gcs")]
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    let store = match url.scheme() {
        #[cfg(feature = "s3")]
        "s3" => connected!(AmazonS3Builder, AmazonS3ConfigKey, url),
        #[cfg(feature = "gcs")]
        "gs" => connected!(GoogleCloudStorageBuilder, GoogleConfigKey, url),
        #[cfg(feature = "azure")]
        "az" | "abfs" | "abfss" => connected!(MicrosoftAzureBuilder, AzureConfigKey, url),
        other => return Err(broken(format!("this build has no store for {other}"))),
    };
    Ok(Connected {
        store: store.map_err(|error| broken(told(&error)))?,
        prefix: ObjectPath::from_url_path(url.path()).map_err(|error| broken(error.to_string()))?,
    })
}

impl Objects {
    /// The store with this address. Nothing is sent yet.
    pub(super) fn new(url: &Url) -> Option<Objects> {
        Some(Objects {
            url: url.clone(),
            connected: OnceLock::new(),
        })
    }

    fn connected(&self) -> Result<&Connected, Failure> {
        if let Some(connected) = self.connected.get() {
            return Ok(connected);
        }
        // Its clients belong to these threads.
        let _entered = runtime()?.enter();
        let connected = connect(&self.url)?;
        Ok(self.connected.get_or_init(|| connected))
    }

    /// Puts local files as objects of a run with these names, and makes sure that each is there with its length. Blocks this thread, as all
    /// that follows.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn put(&self, job: &str, files: &[(&Path, &str)]) -> Result<(), Failure> {
        let connected = self.connected()?;
        runtime()?.block_on(async {
            let puts = files.iter().map(|(local, name)| connected.put(local, job, name));
            let mut ended = stream::iter(puts).buffer_unordered(AT_ONCE);
            while let Some(put) = ended.next().await {
                put?;
            }
            Ok::<_, Failure>(())
        })
    }

    /// Opens an object of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] when it is not there, or cannot be read.
    pub(super) fn open(&self, job: &str, name: &str) -> Result<StoredObject, Failure> {
        let connected = self.connected()?;
        let (store, path) = (Arc::clone(&connected.store), connected.path(job, name));
        let first = async {
            let asked = GetOptions::new().with_range(Some(GetRange::Bounded(0..FIRST)));
            let found = store.get_opts(&path, asked).await?;
            let length = found.meta.size;
            Ok::<_, object_store::Error>((length, found.bytes().await?))
        };
        let (length, bytes) = runtime()?.block_on(within(ANSWER, "read", first))?;
        if bytes.len() as u64 != length.min(FIRST) {
            return Err(broken("the store gave fewer bytes than it has"));
        }
        Ok(StoredObject {
            store,
            path,
            length,
            window: Mutex::new(Window { begins: 0, bytes }),
        })
    }

    /// The names of all objects of a run.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn names(&self, job: &str) -> Result<Vec<String>, Failure> {
        let connected = self.connected()?;
        runtime()?.block_on(async {
            let mut listed = connected.store.list(Some(&connected.prefix.clone().join(job)));
            let mut names = Vec::new();
            while let Some(found) = within(ANSWER, "list", listed.try_next()).await? {
                names.extend(found.location.filename().map(str::to_owned));
            }
            Ok::<_, Failure>(names)
        })
    }

    /// Removes objects of a run; what is not there any more is passed over.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn remove(&self, job: &str, names: &[String]) -> Result<(), Failure> {
        let connected = self.connected()?;
        let paths: Vec<_> = names.iter().map(|name| Ok(connected.path(job, name))).collect();
        let removing = async {
            let mut removed = connected.store.delete_stream(stream::iter(paths).boxed());
            while let Some(one) = removed.next().await {
                match one {
                    Err(object_store::Error::NotFound { .. }) => {}
                    other => drop(other?),
                }
            }
            Ok::<_, object_store::Error>(())
        };
        match names.is_empty() {
            true => Ok(()),
            false => runtime()?.block_on(within(REMOVED, "remove", removing)),
        }
    }

    /// Puts a small object, reads it, lists it and removes it.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`] with what the store refuses.
    pub(super) fn probe(&self, name: &str) -> Result<(), Failure> {
        let (connected, text) = (self.connected()?, Bytes::from_static(b"causeway"));
        let path = connected.path("probe", name);
        runtime()?.block_on(async {
            let put = connected.store.put(&path, PutPayload::from(text.clone()));
            within(ANSWER, "write", put).await?;
            let read = async { connected.store.get(&path).await?.bytes().await };
            if within(ANSWER, "read", read).await? != text {
                return Err(broken("the store gave other bytes than it was given"));
            }
            Ok::<_, Failure>(())
        })?;
        if !self.names("probe")?.iter().any(|there| there == name) {
            return Err(broken("the store does not list what it was given"));
        }
        self.remove("probe", &[name.to_owned()])
    }
}

impl Connected {
    fn path(&self, job: &str, name: &str) -> ObjectPath {
        self.prefix.clone().join(job).join(name)
    }

    async fn put(&self, local: &Path, job: &str, name: &str) -> Result<(), Failure> {
        let unread = |error: std::io::Error| broken(error.to_string());
        let (mut file, path) = (File::open(local).map_err(unread)?, self.path(job, name));
        let length = file.metadata().map_err(unread)?.len();
        if length <= PART as u64 {
            let mut all = Vec::with_capacity(PART.min(usize::try_from(length).unwrap_or(PART)));
            file.read_to_end(&mut all).map_err(unread)?;
            within(TAKEN, "write", self.store.put(&path, all.into())).await?;
        } else {
            self.put_parts(&mut file, &path).await?;
        }
        let kept = within(ANSWER, "look", self.store.head(&path)).await?.size;
        if kept == length {
            return Ok(());
        }
        let _ = within(ANSWER, "remove", self.store.delete(&path)).await;
        Err(broken(format!(
            "the store says that it has {kept} bytes of a file of {length}"
        )))
    }

    async fn put_parts(&self, file: &mut File, path: &ObjectPath) -> Result<(), Failure> {
        let mut upload = within(ANSWER, "begin to write", self.store.put_multipart(path)).await?;
        let put = async {
            loop {
                let mut part = Vec::with_capacity(PART);
                let read = file.by_ref().take(PART as u64).read_to_end(&mut part);
                if read.map_err(|error| broken(error.to_string()))? == 0 {
                    break;
                }
                within(TAKEN, "write", upload.put_part(part.into())).await?;
            }
            within(TAKEN, "end writing", upload.complete()).await
        };
        let put = put.await;
        match put {
            Ok(_) => Ok(()),
            Err(failure) => {
                let _ = within(ANSWER, "give up writing", upload.abort()).await;
                Err(failure)
            }
        }
    }
}

impl StoredObject {
    /// Its length, as the store says.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Reads the bytes from `at` on, and some more for whoever reads on. Blocks this thread.
    ///
    /// # Errors
    /// [`Fault::BulkFolder`].
    pub(super) fn read_exact(&self, bytes: &mut [u8], at: u64) -> Result<(), Failure> {
        let end = at + bytes.len() as u64;
        if end > self.length {
            return Err(broken("an object is shorter than it should be"));
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = window.part(at, end) {
            bytes.copy_from_slice(there);
            return Ok(());
        }
        let ahead = end.max(at + AHEAD).min(self.length);
        let get = self.store.get_range(&self.path, at..ahead);
        let read = Window {
            begins: at,
            bytes: runtime()?.block_on(within(ANSWER, "read", get))?,
        };
        let part = read.part(at, end).filter(|_| read.bytes.len() as u64 == ahead - at);
        bytes.copy_from_slice(part.ok_or_else(|| broken("the store gave fewer bytes than it was asked for"))?);
        if ahead > end {
            *window = read;
        }
        Ok(())
    }
}

impl Window {
    fn part(&self, at: u64, end: u64) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.begins)?).ok()?;
        let to = usize::try_from(end.checked_sub(self.begins)?).ok()?;
        self.bytes.get(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_gives_only_what_it_has() {
        let window = Window {
            begins: 10,
            bytes: Bytes::from_static(b"abcdef"),
        };
        assert_eq!(window.part(10, 16), Some(&b"abcdef"[..]));
        assert_eq!(window.part(12, 13), Some(&b"c"[..]));
        assert_eq!((window.part(9, 12), window.part(12, 17)), (None, None));
    }

    #[test]
    fn the_words_of_the_store_are_not_told() {
        let error = object_store::Error::Generic {
            store: "S3",
            source: "Server returned non-2xx status code: 403 Forbidden: <?xml?><AWSAccessKeyId>AKIA</AWSAccessKeyId>"
                .into(),
        };
        let said = told(&error);
        assert!(said.ends_with("403 Forbidden") && !said.contains("AKIA"), "{said}");
    }
}

//! Sends traces to the collector: OTLP over HTTP with JSON, from a thread of its own.
//!
//! No request and no job waits for the collector. One that is dead, slow or refuses costs a bounded queue and a try now and then; what it does
//! not take is counted (`causeway_trace_spans_total`) and dropped. Its answers are never followed anywhere.

use crate::config::{Config, OtlpConfig};
use crate::error::{Failure, Fault};
use crate::secret::{hex, random};
use crate::security::address::{GuardedResolver, check_registered};
use crate::telemetry::spans::{self, SpanLayer, SpanQueue, SpanShare};
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Url};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The key of the configuration.
const ENDPOINT: &str = "log.otlp_endpoint";
const AUTHORITIES: &str = "log.otlp_ca";
/// What is added to the address (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// Time for a connection, and for all of a request.
const CONNECT: Duration = Duration::from_secs(2);
const REQUEST: Duration = Duration::from_secs(5);
/// Time for the last spans when the process ends.
const LAST: Duration = Duration::from_secs(1);
/// How often the same spans are sent, and the wait before they are sent again; the wait doubles, up to the longest.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MOST: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are read, and the time for them.
const ANSWER_BYTES: usize = 4_096;
const ANSWER: Duration = Duration::from_millis(500);

/// The queue of this process, once it has an exporter.
static QUEUE: OnceLock<SpanQueue> = OnceLock::new();

/// What sends traces; nothing is sent before [`TraceExporter::run`].
pub(super) struct TraceExporter {
    /// What makes them.
    pub(super) layer: SpanLayer,
    queue: SpanQueue,
    http: Client,
    url: Url,
}

/// What the collector said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It took all but this many.
    Took { rejected: u64 },
    /// It does not want these spans.
    Refused(u16),
    /// It could not be reached, or asks to be asked again, after this many seconds.
    Later(Option<u64>),
}

/// Makes the exporter that the configuration wants; `None` when it wants none. Reads files.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a collector that may not be called, [`Fault::InputUnreadable`] for a file of authorities.
pub(super) fn exporter(config: &Config) -> Result<Option<TraceExporter>, Failure> {
    let Some(otlp) = &config.log.otlp else { return Ok(None) };
    let queue = SpanQueue::default();
    let (url, is_here) = collector(&otlp.endpoint)?;
    Ok(Some(TraceExporter {
        layer: SpanLayer::new(queue.clone(), SpanShare::percent(otlp.sample_percent)),
        queue,
        http: client(otlp, &url, is_here)?,
        url,
    }))
}

/// The URL of a collector, and whether it is on this machine: only there without TLS, and everywhere else a public name or address.
fn collector(endpoint: &str) -> Result<(Url, bool), Failure> {
    let refused = |why: &str| {
        Failure::new(Fault::ConfigInvalid).at(ENDPOINT).remedy(format!(
            "Name another collector: this one cannot be called, because {why}."
        ))
    };
    let is_local = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        matches!(url.scheme(), "http" | "https") && matches!(host, "127.0.0.1" | "[::1]" | "localhost")
    };
    let text = format!("{}{PATH}", endpoint.trim_end_matches('/'));
    match Url::parse(&text).ok().filter(is_local) {
        None => check_registered(&text, false).map(|url| (url, false)).map_err(refused),
        Some(url) if !url.username().is_empty() || url.password().is_some() => Err(refused("it has a user name")),
        Some(url) => Ok((url, true)),
    }
}

/// The client of the collector: no redirects, no proxy, and addresses that are judged when they are dialed.
fn client(otlp: &OtlpConfig, url: &Url, is_here: bool) -> Result<Client, Failure> {
    let unusable = |error: reqwest::Error| {
        Failure::new(Fault::ConfigInvalid)
            .at(AUTHORITIES)
            .because(error.without_url())
    };
    let mut client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .https_only(url.scheme() == "https")
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        // A connection that is kept would not notice its end between two requests.
        .pool_max_idle_per_host(0)
        .dns_resolver(GuardedResolver { loopback: is_here })
        .user_agent(concat!("causeway/", env!("CARGO_PKG_VERSION")));
    let mut roots = Vec::new();
    for path in &otlp.authorities {
        let pem =
            std::fs::read(path).map_err(|error| Failure::new(Fault::InputUnreadable).at(AUTHORITIES).because(error))?;
        let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable)?;
        if found.is_empty() {
            // The system's authorities must not take their place.
            return Err(Failure::new(Fault::ConfigInvalid)
                .at(AUTHORITIES)
                .because("a file without a certificate"));
        }
        roots.extend(found);
    }
    // Where no TLS is spoken, a machine that has no authorities can send too.
    if !roots.is_empty() || url.scheme() == "http" {
        client = client.tls_certs_only(roots);
    }
    client.build().map_err(unusable)
}

impl TraceExporter {
    /// Begins to send, on a thread that ends with the process.
    ///
    /// # Errors
    /// [`Fault::Internal`] when the system gives no thread.
    pub(super) fn run(self) -> Result<(), Failure> {
        let queue = self.queue.clone();
        std::thread::Builder::new()
            .name("traces".into())
            .spawn(move || self.begin())
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        let _ = QUEUE.set(queue);
        Ok(())
    }

    fn begin(&self) {
        // Its own, so that nothing that fills the others delays it.
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => self.send_all(&runtime),
            Err(error) => tracing::error!(cause = %error, "traces cannot be sent"),
        }
        self.queue.done();
    }

    /// Sends what comes until the process ends.
    fn send_all(&self, runtime: &Runtime) {
        let instance = hex(&random::<8>());
        let mut is_well = true;
        while let Some(some) = self.queue.take() {
            let count = u64::try_from(some.len()).unwrap_or(u64::MAX);
            let body = Bytes::from(spans::request(&some, &instance));
            let said = self.send(runtime, &body);
            let rejected = match said {
                Said::Took { rejected } => rejected.min(count),
                Said::Refused(_) | Said::Later(_) => count,
            };
            if rejected > 0 {
                spans::lost("not-taken", rejected);
            }
            spans::sent(count - rejected);
            is_well = tell(said, is_well);
        }
    }

    /// Sends one request, again if that may help. When the process ends, there is one try.
    fn send(&self, runtime: &Runtime, body: &Bytes) -> Said {
        let mut wait = AGAIN;
        for tried in 1.. {
            let time = if self.queue.is_closed() { LAST } else { REQUEST };
            let asked = async { tokio::time::timeout(time, self.post(body.clone())).await };
            let said = runtime.block_on(asked).unwrap_or(Said::Later(None));
            let Said::Later(seconds) = said else { return said };
            let asked_for = Duration::from_secs(seconds.unwrap_or(0));
            if tried == TRIES || self.queue.pause(wait.max(asked_for).min(AGAIN_MOST)) {
                return said;
            }
            wait = (wait * 2).min(AGAIN_MOST);
        }
        Said::Later(None)
    }

    async fn post(&self, body: Bytes) -> Said {
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let Ok(mut answer) = request.send().await else {
            return Said::Later(None);
        };
        let status = answer.status().as_u16();
        if status != 200 {
            return Said::of(status, answer.headers());
        }
        let mut bytes = Vec::new();
        let reading = async {
            while let Ok(Some(piece)) = answer.chunk().await {
                bytes.extend_from_slice(&piece);
                if bytes.len() > ANSWER_BYTES {
                    break;
                }
            }
        };
        // The head has said that the spans were taken. A body that does not end is no reason to send them again.
        let _ = tokio::time::timeout(ANSWER, reading).await;
        Said::Took {
            rejected: rejected(&bytes),
        }
    }
}

impl Said {
    /// What a status other than 200 says (OTLP specification, "OTLP/HTTP Response").
    fn of(status: u16, headers: &HeaderMap) -> Said {
        let after = || headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse::<u64>().ok();
        match status {
            201..=299 => Said::Took { rejected: 0 },
            429 | 502 | 503 | 504 => Said::Later(after()),
            _ => Said::Refused(status),
        }
    }
}

/// How many spans an answer says that it did not take (`partialSuccess.rejectedSpans`, a number or a text).
fn rejected(answer: &[u8]) -> u64 {
    let read: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    let number = &read["partialSuccess"]["rejectedSpans"];
    let text = number.as_str().and_then(|text| text.parse().ok());
    number.as_u64().or(text).unwrap_or(0)
}

/// Says in the log when the collector begins to take spans or ceases to; returns whether it takes them.
fn tell(said: Said, was_well: bool) -> bool {
    let is_well = matches!(said, Said::Took { rejected: 0 });
    match (said, was_well) {
        (Said::Took { rejected: 0 }, false) => tracing::info!("the collector takes traces again"),
        (Said::Took { rejected }, true) if rejected > 0 => {
            tracing::warn!(rejected, "the collector does not take some spans of traces")
        }
        (Said::Refused(status), true) => tracing::warn!(status, "the collector refuses traces; they are dropped"),
        (Said::Later(_), true) => {
            tracing::warn!("the collector of traces does not answer; what it does not take in time is dropped")
        }
        _ => {}
    }
    is_well
}

/// Sends the spans that still wait, and takes no more. Called at the end of a process.
pub(super) fn end() {
    if let Some(queue) = QUEUE.get() {
        queue.close(LAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Instant;

    /// An exporter to a collector that answers each request so, and then says nothing more and does not close.
    fn answered(answer: &'static str) -> TraceExporter {
        crate::security::tls::install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let otlp = OtlpConfig {
            endpoint: format!("http://{}", listener.local_addr().expect("an address")),
            sample_percent: 100,
            authorities: Vec::new(),
        };
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let came = stream.read(&mut [0; 4_096]).is_ok_and(|count| count > 0);
                if came && stream.write_all(answer.as_bytes()).is_ok() {
                    kept.push(stream);
                }
            }
        });
        let (url, is_here) = collector(&otlp.endpoint).expect("may be called");
        let queue = SpanQueue::default();
        TraceExporter {
            layer: SpanLayer::new(queue.clone(), SpanShare::percent(otlp.sample_percent)),
            queue,
            http: client(&otlp, &url, is_here).expect("a client"),
            url,
        }
    }

    #[test]
    fn what_the_head_says_stands_and_a_body_without_end_is_not_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        for (answer, wanted) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
                Said::Took { rejected: 0 },
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"partialSuccess\":{\"rejectedSpans\":\"2\"}}",
                Said::Took { rejected: 2 },
            ),
            (
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
                Said::Refused(302),
            ),
            ("HTTP/1.1 500 No\r\ncontent-length: 9999999\r\n\r\n", Said::Refused(500)),
        ] {
            // A machine that stands still may take longer, but not each time.
            let is_soon = (0..5).any(|_| {
                let exporter = answered(answer);
                let began = Instant::now();
                assert_eq!(exporter.send(&runtime, &Bytes::from_static(b"{}")), wanted, "{answer}");
                began.elapsed() < REQUEST
            });
            assert!(is_soon, "{answer}");
        }
    }

    #[test]
    fn a_collector_is_on_this_machine_or_public_and_of_https() {
        for (endpoint, url, is_here) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces", true),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces", true),
            ("https://[::1]:4318/x", "https://[::1]:4318/x/v1/traces", true),
            ("https://otlp.example.org", "https://otlp.example.org/v1/traces", false),
        ] {
            let found = collector(endpoint).expect("may be called");
            assert_eq!((found.0.as_str(), found.1), (url, is_here));
        }
        for endpoint in [
            "http://otlp.example.org",
            "http://user:pw@127.0.0.1:4318",
            "https://user@otlp.example.org",
            "https://10.0.0.1:4318",
            "https://169.254.169.254",
            "https://collector.internal",
            "http://[fd00::1]:4318",
            "ftp://127.0.0.1",
            "",
        ] {
            let failure = collector(endpoint).expect_err("refused");
            assert_eq!(failure.fault(), Fault::ConfigInvalid, "{endpoint}");
            assert_eq!(failure.expressions(), [ENDPOINT]);
        }
    }

    #[test]
    fn a_file_of_authorities_has_one() {
        crate::security::tls::install_provider();
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").expect("written");
        let (url, is_here) = collector("https://otlp.example.org").expect("may be called");
        for (path, fault) in [
            (empty, Fault::ConfigInvalid),
            (folder.path().join("gone.pem"), Fault::InputUnreadable),
        ] {
            let otlp = OtlpConfig {
                endpoint: url.to_string(),
                sample_percent: 100,
                authorities: vec![path],
            };
            let failure = client(&otlp, &url, is_here).expect_err("refused");
            assert_eq!(failure.fault(), fault);
            assert_eq!(failure.expressions(), [AUTHORITIES]);
        }
    }

    #[test]
    fn what_an_answer_says_is_in_its_status_and_body() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        for status in [429, 502, 503, 504] {
            assert_eq!(Said::of(status, &headers), Said::Later(Some(7)));
            assert_eq!(Said::of(status, &HeaderMap::new()), Said::Later(None));
        }
        for status in [301, 307, 400, 401, 404, 415, 500] {
            assert_eq!(Said::of(status, &headers), Said::Refused(status));
        }
        assert_eq!(Said::of(202, &headers), Said::Took { rejected: 0 });
        for (answer, wanted) in [
            ("", 0),
            ("{}", 0),
            ("no JSON", 0),
            ("{\"partialSuccess\":{}}", 0),
            ("{\"partialSuccess\":{\"rejectedSpans\":\"3\"}}", 3),
            ("{\"partialSuccess\":{\"rejectedSpans\":4}}", 4),
            ("{\"partialSuccess\":{\"rejectedSpans\":-1}}", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), wanted, "{answer}");
        }
    }

    #[test]
    fn a_change_is_told_once() {
        let later = Said::Later(None);
        assert!(!tell(later, true) && !tell(later, false) && !tell(Said::Refused(400), false));
        assert!(tell(Said::Took { rejected: 0 }, false) && tell(Said::Took { rejected: 0 }, true));
    }
}

//! Work that runs on at a partner (Bulk Data Access 2.0.0, asynchronous request pattern): begun, asked about, its manifest, its files, and
//! deleted.
//!
//! Every URL that the partner names must be on its registered origin. Nothing here waits, repeats, or keeps what comes.

use super::body::PeerBody;
use super::failure::{self, CallEnd, CallFacts, CallFailure};
use super::{Peer, PeerAsk};
use crate::clock::parse_rfc3339_ms;
use crate::error::Fault;
use crate::secret::{Secret, sha256};
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

/// Most files of a manifest.
const FILES_MOST: usize = 20_000;
/// Longest text that says how far a partner is.
const PROGRESS_BYTES: usize = 200;

/// What a partner says of work of ours that runs there.
#[derive(Debug)]
pub enum BulkPoll {
    /// It is not done.
    Pending {
        /// How far it is, in the partner's words.
        progress: Option<String>,
        /// How long we are asked to wait, milliseconds.
        retry_after_ms: Option<u64>,
    },
    /// It is done.
    Done(Box<BulkManifest>),
}

/// What there is to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BulkManifest {
    /// What was visible at this time was looked at, UTC milliseconds.
    pub transaction_ms: Option<i64>,
    /// The files.
    pub output: Vec<ManifestFile>,
    /// The files with messages.
    pub error: Vec<ManifestFile>,
    /// The receipt, if the partner gives one.
    pub receipt: Option<ManifestReceipt>,
    /// The checkpoint of the partner's ledger that came with it, as [`CallFacts`] has it.
    pub checkpoint: Option<String>,
}

/// Where the receipt of an export is, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestReceipt {
    /// Where it is, and where it is answered.
    pub url: Url,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// A file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFile {
    /// The type of its resources.
    pub resource_type: String,
    /// Where it is.
    pub url: Url,
    /// How many resources it has, if the partner says so.
    pub resources: Option<u64>,
    /// Its length, if the partner says so.
    pub bytes: Option<u64>,
    /// Its SHA-256, if the partner says so.
    pub sha256: Option<[u8; 32]>,
}

/// A file that arrives.
pub struct FileBody {
    /// The bytes.
    pub body: PeerBody,
    /// The place in the file of the first of them.
    pub from: u64,
    /// The version of the file, with which a later part of it can be asked for.
    pub etag: Option<String>,
}

#[derive(Deserialize)]
struct ReadManifest {
    #[serde(rename = "transactionTime")]
    transaction_time: Option<String>,
    output: Vec<ReadFile>,
    #[serde(default)]
    error: Vec<ReadFile>,
    #[serde(default)]
    extension: serde_json::Value,
}

#[derive(Deserialize)]
struct ReadFile {
    #[serde(rename = "type")]
    resource_type: String,
    url: String,
    count: Option<u64>,
    #[serde(default)]
    extension: serde_json::Value,
}

impl Peer {
    /// Begins work at the partner. Returns its status address.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] for an answer without an address; [`CallEnd::Trust`] for an address on another origin; as [`Peer::send`].
    pub async fn begin_bulk(&self, ask: PeerAsk<'_>) -> Result<(Url, CallFacts), CallFailure> {
        let sent = ask.body.as_ref().map(|(_, bytes)| sha256(bytes));
        let mut request = self.request(ask)?;
        let asynchronous = HeaderValue::from_static("respond-async");
        request
            .headers_mut()
            .insert(HeaderName::from_static("prefer"), asynchronous);
        let answer = self.execute(request).await?;
        if answer.status() != StatusCode::ACCEPTED {
            return Err(self.refusal(answer, sent).await);
        }
        let facts = failure::facts(answer.status(), answer.headers(), sent);
        match text(answer.headers(), "content-location") {
            Some(place) => Ok((self.file_url(place, &facts)?, facts)),
            None => Err(CallFailure::with(CallEnd::ServerFault, facts).because("it has no status address")),
        }
    }

    /// Asks how far work at the partner is.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] for a manifest that cannot be read; [`CallEnd::Trust`] for a file on another origin; [`CallEnd::Refused`] with
    /// [`Fault::PartnerTooMuch`] for too many files; as [`Peer::send`].
    pub async fn poll_bulk(&self, status: &Url, token: &Secret, correlation: &str) -> Result<BulkPoll, CallFailure> {
        let mut request = self.request(PeerAsk::get(status.clone(), Some(token), correlation))?;
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.execute(request).await?;
        let facts = failure::facts(answer.status(), answer.headers(), None);
        match answer.status() {
            StatusCode::ACCEPTED => Ok(BulkPoll::Pending {
                progress: text(answer.headers(), "x-progress").map(plain),
                retry_after_ms: failure::wait_ms(answer.headers()),
            }),
            StatusCode::OK => {
                if let Some(why) = super::unreadable(answer.headers()) {
                    return Err(CallFailure::with(CallEnd::ServerFault, facts).because(why));
                }
                let limits = *self.limits();
                let (bytes, facts) = PeerBody::new(answer, limits, limits.small_bytes, facts).whole().await?;
                Ok(BulkPoll::Done(Box::new(self.manifest(&bytes, &facts)?)))
            }
            _ => Err(self.refusal(answer, None).await),
        }
    }

    fn manifest(&self, bytes: &[u8], facts: &CallFacts) -> Result<BulkManifest, CallFailure> {
        let unreadable = || CallFailure::with(CallEnd::ServerFault, facts.clone()).because("it is not a manifest");
        // The reader's own message would quote the manifest.
        let read: ReadManifest = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        if read.output.len() + read.error.len() > FILES_MOST {
            let too_much = CallEnd::Refused(Fault::PartnerTooMuch);
            return Err(CallFailure::with(too_much, facts.clone()));
        }
        let files = |list: Vec<ReadFile>| -> Result<Vec<ManifestFile>, CallFailure> {
            list.into_iter()
                .map(|file| {
                    let digest = file.extension["sha256"].as_str();
                    Ok(ManifestFile {
                        resource_type: causeway_fhir_types::type_name(&file.resource_type)
                            .ok_or_else(unreadable)?
                            .to_owned(),
                        url: self.file_url(&file.url, facts)?,
                        resources: file.count,
                        bytes: file.extension["bytes"].as_u64(),
                        sha256: digest
                            .map(|digest| digest_of(digest).ok_or_else(unreadable))
                            .transpose()?,
                    })
                })
                .collect()
        };
        let named = &read.extension["receipt"];
        let receipt = match (named["url"].as_str(), named["sha256"].as_str().and_then(digest_of)) {
            (Some(url), Some(sha256)) => Some(ManifestReceipt {
                url: self.file_url(url, facts)?,
                sha256,
            }),
            // Another payer may mean something else by the word.
            _ => None,
        };
        Ok(BulkManifest {
            receipt,
            checkpoint: facts.checkpoint.clone(),
            transaction_ms: read.transaction_time.as_deref().and_then(parse_rfc3339_ms),
            output: files(read.output)?,
            error: files(read.error)?,
        })
    }

    fn file_url(&self, text: &str, facts: &CallFacts) -> Result<Url, CallFailure> {
        self.named(text)
            .map_err(|failure| CallFailure::with(CallEnd::Trust(failure.fault()), facts.clone()))
    }

    /// Fetches a file from the byte `from` on, if it is still the version `etag`; else from its beginning. At most `most` bytes come.
    ///
    /// # Errors
    /// [`CallEnd::ServerFault`] for an answer that is no NDJSON, or another range; as [`Peer::send`].
    pub async fn bulk_file(
        &self,
        ask: PeerAsk<'_>,
        (from, etag): (u64, Option<&str>),
        most: u64,
    ) -> Result<FileBody, CallFailure> {
        let mut request = self.request(ask)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/fhir+ndjson"));
        if let Some(etag) = etag.filter(|_| from > 0)
            && let (Ok(etag), Ok(range)) = (
                HeaderValue::from_str(etag),
                HeaderValue::from_str(&format!("bytes={from}-")),
            )
        {
            headers.insert(HeaderName::from_static("range"), range);
            headers.insert(HeaderName::from_static("if-range"), etag);
        }
        let answer = self.execute(request).await?;
        let status = answer.status();
        if status != StatusCode::OK && status != StatusCode::PARTIAL_CONTENT {
            return Err(self.refusal(answer, None).await);
        }
        let facts = failure::facts(status, answer.headers(), None);
        let unfit = |why: &'static str| CallFailure::with(CallEnd::ServerFault, facts.clone()).because(why);
        if let Some(why) = not_ndjson(answer.headers()) {
            return Err(unfit(why));
        }
        let is_part = status == StatusCode::PARTIAL_CONTENT;
        let range = text(answer.headers(), "content-range").unwrap_or_default();
        if is_part && !range.starts_with(&format!("bytes {from}-")) {
            return Err(unfit("it is another part of the file"));
        }
        let etag = answer.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        Ok(FileBody {
            from: if is_part { from } else { 0 },
            // A weak one does not say that the bytes are the same.
            etag: etag.filter(|etag| etag.starts_with('"')).map(str::to_owned),
            body: PeerBody::new(answer, *self.limits(), most, facts),
        })
    }

    /// Deletes work at the partner. What is not there is deleted.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub async fn end_bulk(&self, status: &Url, token: &Secret, correlation: &str) -> Result<(), CallFailure> {
        let mut request = self.request(PeerAsk::get(status.clone(), Some(token), correlation))?;
        *request.method_mut() = Method::DELETE;
        let answer = self.execute(request).await?;
        match answer.status().as_u16() {
            200 | 202 | 204 | 404 | 410 => Ok(()),
            _ => Err(self.refusal(answer, None).await),
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A SHA-256 in hexadecimal digits.
fn digest_of(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    for (at, byte) in digest.iter_mut().enumerate().filter(|_| is_hex) {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    is_hex.then_some(digest)
}

/// A text of a partner that operators are shown.
fn plain(text: &str) -> String {
    let plain = text
        .chars()
        .filter(|letter| letter.is_ascii_graphic() || *letter == ' ');
    plain.take(PROGRESS_BYTES).collect()
}

/// Why the head of an answer says that it is no file of ours.
fn not_ndjson(headers: &HeaderMap) -> Option<&'static str> {
    let is_plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|encoding| encoding == "identity");
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let is_lines = [
        "application/fhir+ndjson",
        "application/ndjson",
        "application/x-ndjson",
        "ndjson",
    ]
    .contains(&media_type.trim().to_ascii_lowercase().as_str());
    match (is_plain, is_lines) {
        (true, true) => None,
        (false, _) => Some("the file is encoded, which was not asked for"),
        (true, false) => Some("the file is not NDJSON"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::peer;
    use super::*;

    fn read(text: &str) -> Result<BulkManifest, CallEnd> {
        peer()
            .manifest(text.as_bytes(), &CallFacts::default())
            .map_err(|failure| failure.end)
    }

    #[test]
    fn a_manifest_names_files_of_its_own_origin_alone() {
        let found = read(
            r#"{"transactionTime":"2026-01-01T00:00:00Z","request":"x","requiresAccessToken":true,
                "output":[{"type":"Patient","url":"jobs/1/files/a","count":2,"extension":{"bytes":7,
                  "sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
                 {"type":"Goal","url":"https://payer.example/x"}],"error":[]}"#,
        )
        .expect("a manifest");
        assert_eq!(found.output.len(), 2);
        assert_eq!((found.output[0].resources, found.output[0].bytes), (Some(2), Some(7)));
        assert_eq!(found.output[0].sha256, Some(sha256(b"")));
        assert_eq!((found.output[1].sha256, &found.receipt), (None, &None));
        let named = |url: &str| {
            read(&format!(
                r#"{{"output":[],"extension":{{"receipt":{{"url":"{url}","sha256":"{}"}}}}}}"#,
                "ab".repeat(32)
            ))
        };
        let receipt = named("jobs/1/receipt").expect("a manifest").receipt.expect("a receipt");
        assert_eq!(receipt.url.as_str(), "https://payer.example/fhir/jobs/1/receipt");
        assert_eq!(receipt.sha256, [0xab; 32]);
        let else_where = CallEnd::Trust(Fault::PartnerElsewhere);
        assert_eq!(named("https://other.example/receipt"), Err(else_where));
        let other = read(r#"{"output":[],"extension":{"receipt":"none"}}"#).expect("a manifest");
        assert_eq!(other.receipt, None, "the word means something else there");
        let elsewhere = CallEnd::Trust(Fault::PartnerElsewhere);
        for (text, wanted) in [
            (
                r#"{"output":[{"type":"Goal","url":"https://other.example/x"}]}"#,
                elsewhere,
            ),
            (
                r#"{"output":[{"type":"Goal","url":"http://payer.example/x"}]}"#,
                elsewhere,
            ),
            (r#"{"output":[{"type":"Gaol","url":"x"}]}"#, CallEnd::ServerFault),
            (
                r#"{"output":[{"type":"Goal","url":"x","extension":{"sha256":"00"}}]}"#,
                CallEnd::ServerFault,
            ),
            (
                r#"{"output":[{"type":"Goal","url":"x","count":-1}]}"#,
                CallEnd::ServerFault,
            ),
            ("{}", CallEnd::ServerFault),
            ("", CallEnd::ServerFault),
        ] {
            assert_eq!(read(text), Err(wanted), "{text}");
        }
        let many = vec![r#"{"type":"Goal","url":"x"}"#; FILES_MOST + 1].join(",");
        let too_much = CallEnd::Refused(Fault::PartnerTooMuch);
        assert_eq!(read(&format!(r#"{{"output":[{many}]}}"#)), Err(too_much));
    }

    #[test]
    fn only_lines_of_json_are_a_file() {
        let headers = |media_type: &str, encoding: Option<&str>| {
            let mut map = HeaderMap::new();
            map.insert(CONTENT_TYPE, media_type.parse().expect("a value"));
            if let Some(encoding) = encoding {
                map.insert(CONTENT_ENCODING, encoding.parse().expect("a value"));
            }
            not_ndjson(&map).is_none()
        };
        assert!(headers("application/fhir+ndjson; charset=utf-8", None));
        assert!(headers("Application/NDJSON", Some("identity")));
        assert!(!headers("text/html", None) && !headers("application/fhir+json", None));
        assert!(!headers("application/fhir+ndjson", Some("gzip")));
    }

    #[test]
    fn a_partner_says_in_plain_letters_how_far_it_is() {
        assert_eq!(plain("3 of\u{1b}[2J 9"), "3 of[2J 9");
        assert_eq!(plain(&"x".repeat(1_000)).len(), PROGRESS_BYTES);
    }
}

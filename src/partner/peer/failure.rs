//! How a call to a partner failed: whether it was sent, who is at fault, and whether the partner told us to wait.

use crate::audit::note::{Checkpoint, NOTE_MOST};
use crate::error::{Failure, Fault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use std::error::Error;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest wait that is believed, milliseconds: one year.
const WAIT_MAX_MS: u64 = 366 * 86_400_000;

/// Why a call gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// No call was made: others have their turn first.
    TurnOver,
    /// Nothing was sent: no address, no connection, no handshake.
    NotSent,
    /// It was sent, and nothing is known of what became of it.
    Unknown,
    /// The partner told us to wait.
    ToldToWait,
    /// The partner's server failed, or answered what cannot be read.
    ServerFault,
    /// The token was not accepted.
    Unauthorized,
    /// The partner understood and refused.
    Refused(Fault),
    /// A person has to look: certificates, addresses.
    Trust(Fault),
    /// Something of ours failed: the store, a key, the data of the member.
    Own(Fault),
}

/// A call that gave nothing, with what is known of it.
#[derive(Debug)]
pub struct CallFailure {
    /// Why.
    pub end: CallEnd,
    /// What is known of the answer.
    pub facts: Box<CallFacts>,
    /// How long the partner asked us to wait, milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Codes of the OperationOutcome that came, separated by spaces.
    pub issues: String,
    /// The cause, for the log.
    pub cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What is known of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFacts {
    /// HTTP status.
    pub status: Option<u16>,
    /// The partner's `X-Request-Id`.
    pub request_id: Option<String>,
    /// The partner's `Date`, UTC milliseconds.
    pub date_ms: Option<i64>,
    /// SHA-256 of what was sent.
    pub sent_sha256: Option<[u8; 32]>,
    /// SHA-256 of what came.
    pub came_sha256: Option<[u8; 32]>,
    /// Bytes that came.
    pub bytes: u64,
    /// The checkpoint of the partner's ledger that came with it: a signed note that nobody has verified.
    pub checkpoint: Option<String>,
}

impl CallFailure {
    /// A failure without an answer.
    pub fn new(end: CallEnd) -> CallFailure {
        CallFailure {
            end,
            facts: Box::default(),
            retry_after_ms: None,
            issues: String::new(),
            cause: None,
        }
    }

    /// A failure with this answer.
    pub fn with(end: CallEnd, facts: CallFacts) -> CallFailure {
        CallFailure {
            facts: Box::new(facts),
            ..CallFailure::new(end)
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> CallFailure {
        CallFailure {
            cause: Some(cause.into()),
            ..self
        }
    }

    /// The fault of it, where somebody must be told one.
    pub fn fault(&self) -> Fault {
        match self.end {
            CallEnd::Refused(fault) | CallEnd::Trust(fault) | CallEnd::Own(fault) => fault,
            CallEnd::TurnOver | CallEnd::NotSent | CallEnd::Unknown | CallEnd::ToldToWait => Fault::PartnerUnreachable,
            CallEnd::ServerFault => Fault::PartnerAnswer,
            CallEnd::Unauthorized => Fault::PartnerTokenRefused,
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, status {:?}", self.end, self.facts.status)
    }
}

impl From<Failure> for CallFailure {
    fn from(failure: Failure) -> CallFailure {
        CallFailure::new(CallEnd::Own(failure.fault())).because(failure)
    }
}

/// The failure of a request that has no answer.
pub(super) fn of_transport(error: reqwest::Error) -> CallFailure {
    // Its text would tell the URL.
    let error = error.without_url();
    let end = if says_certificate(&error) {
        CallEnd::Trust(Fault::PartnerCertificate)
    } else if error.is_connect() || error.is_builder() {
        CallEnd::NotSent
    } else {
        CallEnd::Unknown
    };
    CallFailure::new(end).because(error)
}

/// Whether TLS failed because of a certificate: theirs here, or ours there.
fn says_certificate(error: &reqwest::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = next {
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = one
            .downcast_ref::<rustls::Error>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(tls) = tls {
            return is_about_certificates(tls);
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    false
}

fn is_about_certificates(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => true,
        rustls::Error::AlertReceived(alert) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::CertificateRequired
        ),
        _ => false,
    }
}

/// The failure that a status other than 200 means.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, facts: CallFacts) -> CallFailure {
    let end = match status.as_u16() {
        300..=399 => CallEnd::Trust(Fault::PartnerRedirects),
        401 => CallEnd::Unauthorized,
        403 => CallEnd::Refused(Fault::PartnerForbids),
        408 | 425 | 429 | 502 | 503 | 504 => CallEnd::ToldToWait,
        400 | 405 | 406 | 411 | 413 | 414 | 415 | 431 | 501 => CallEnd::Refused(Fault::PartnerMisunderstands),
        402..=499 => CallEnd::Refused(Fault::PartnerRefuses),
        _ => CallEnd::ServerFault,
    };
    let retry_after_ms = match end {
        CallEnd::ToldToWait | CallEnd::ServerFault => wait_ms(headers),
        _ => None,
    };
    CallFailure {
        retry_after_ms,
        ..CallFailure::with(end, facts)
    }
}

/// The wait that an answer asks for, milliseconds. A date is read against the partner's own clock. What cannot be read is ignored.
pub(super) fn wait_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds: u64 = text.parse().unwrap_or(u64::MAX);
        return Some(seconds.saturating_mul(1000).min(WAIT_MAX_MS));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    let now = date(headers).unwrap_or_else(SystemTime::now);
    let wait = at.duration_since(now).ok()?;
    Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).min(WAIT_MAX_MS))
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()
}

/// What the head of an answer tells.
pub(super) fn facts(status: StatusCode, headers: &HeaderMap, sent_sha256: Option<[u8; 32]>) -> CallFacts {
    let is_plain = |text: &&str| text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let request_id = headers
        .get("x-request-id")
        .and_then(|value| value.to_str().ok())
        .filter(is_plain);
    let date_ms = date(headers)
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    CallFacts {
        status: Some(status.as_u16()),
        request_id: request_id.map(str::to_owned),
        date_ms,
        sent_sha256,
        came_sha256: None,
        bytes: 0,
        checkpoint: checkpoint(headers),
    }
}

/// The checkpoint that an answer brings along, if it is well-formed. It is kept, and never decides anything.
fn checkpoint(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("x-causeway-checkpoint")?.as_bytes();
    // Base64 has four letters for three bytes.
    if value.len() > NOTE_MOST / 3 * 4 + 4 {
        return None;
    }
    let note = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    Checkpoint::unverified(&note)?;
    Some(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in rows {
            map.insert(*name, value.parse().expect("a value"));
        }
        map
    }

    #[test]
    fn t_e10_a_wait_is_read_against_the_partners_clock_and_capped() {
        const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (retry_after, wanted) in [
            ("7", Some(7_000)),
            ("0", Some(0)),
            ("315360000", Some(WAIT_MAX_MS)),
            ("99999999999999999999999", Some(WAIT_MAX_MS)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60_000)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Sat, 06 Nov 2094 08:49:36 GMT", Some(WAIT_MAX_MS)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                wait_ms(&headers(&[("retry-after", retry_after), ("date", DATE)])),
                wanted,
                "{retry_after}"
            );
        }
        assert_eq!(wait_ms(&HeaderMap::new()), None);
    }

    #[test]
    fn a_checkpoint_of_the_partner_is_kept_if_it_is_one_and_small() {
        const NOTE: &str = "payer.example/audit/1\n7\nVlVr9YkYhVdE7oP1b9oYxOZ6Uo7Gf0S1ZrJkz4m2Q3s=\n\n\u{2014} payer.example/audit/1 q83vEjRWeJ8=\n";
        let came = |value: &str| {
            let facts = facts(StatusCode::OK, &headers(&[("x-causeway-checkpoint", value)]), None);
            facts.checkpoint
        };
        assert_eq!(came(&STANDARD.encode(NOTE)).as_deref(), Some(NOTE));
        let long = NOTE.replacen("payer", &"p".repeat(NOTE_MOST), 1);
        for other in ["", "7", "not base64", &STANDARD.encode("text"), &STANDARD.encode(long)] {
            assert_eq!(came(other), None, "{other}");
        }
        assert_eq!(facts(StatusCode::OK, &HeaderMap::new(), None).checkpoint, None);
    }

    #[test]
    fn each_status_has_one_class() {
        for (status, wanted) in [
            (301, CallEnd::Trust(Fault::PartnerRedirects)),
            (304, CallEnd::Trust(Fault::PartnerRedirects)),
            (400, CallEnd::Refused(Fault::PartnerMisunderstands)),
            (401, CallEnd::Unauthorized),
            (403, CallEnd::Refused(Fault::PartnerForbids)),
            (404, CallEnd::Refused(Fault::PartnerRefuses)),
            (408, CallEnd::ToldToWait),
            (410, CallEnd::Refused(Fault::PartnerRefuses)),
            (415, CallEnd::Refused(Fault::PartnerMisunderstands)),
            (422, CallEnd::Refused(Fault::PartnerRefuses)),
            (425, CallEnd::ToldToWait),
            (429, CallEnd::ToldToWait),
            (500, CallEnd::ServerFault),
            (501, CallEnd::Refused(Fault::PartnerMisunderstands)),
            (502, CallEnd::ToldToWait),
            (503, CallEnd::ToldToWait),
            (504, CallEnd::ToldToWait),
            (599, CallEnd::ServerFault),
            (202, CallEnd::ServerFault),
        ] {
            let code = StatusCode::from_u16(status).expect("a status");
            assert_eq!(
                of_status(code, &HeaderMap::new(), CallFacts::default()).end,
                wanted,
                "{status}"
            );
        }
    }
}

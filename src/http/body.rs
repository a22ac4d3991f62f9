//! Reading a request body: media type, encoding, size and time, before anything is parsed.

use super::{edge, negotiate};
use crate::error::{Failure, Fault};
use crate::http::state::App;
use crate::telemetry::metrics as families;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Bytes beyond the limit that are still read and dropped, so that a client that is still sending can receive its answer.
const DRAIN_BYTES: usize = 32 * 1024 * 1024;
/// The same for a stranger and for the operations side; each piece counts at least so many bytes.
const STRANGERS_DRAIN: usize = 1024 * 1024;
const PIECE_COST: usize = 256;
/// Seconds over which the rate of a body is measured.
const WINDOW_SECONDS: usize = 10;
/// Time limit for the whole body when the application sets no other.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a large body for which it gets a second more than other bodies have.
const LARGE_RATE: usize = 64 * 1024;

/// Reads a FHIR JSON body of at most `limit_bytes`.
///
/// # Errors
/// [`Fault::MediaTypeRefused`], [`Fault::EncodingRefused`], [`Fault::TooLarge`], [`Fault::RequestTimeout`]; [`Fault::ParameterInvalid`] for
/// broken framing; [`Fault::Overloaded`], [`Fault::RateLimited`] and [`Fault::AddressLimited`] when there is no place for the request.
pub async fn fhir_json(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Bytes, Failure> {
    read(
        request,
        payload,
        (limit_bytes, Haste::Whole),
        fhir_json_refused(request),
    )
    .await
}

/// Like [`fhir_json`], for a body that may be large: the time for it grows with what has come, so that only its rate counts.
///
/// # Errors
/// As [`fhir_json`].
pub async fn large_fhir_json(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Bytes, Failure> {
    read(request, payload, (limit_bytes, Haste::Rate), fhir_json_refused(request)).await
}

fn fhir_json_refused(request: &HttpRequest) -> Option<Fault> {
    media_type_refused(request, &["application/fhir+json", "application/json"])
}

/// What the time for a body depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// All of it has the same time.
    Whole,
    /// Its time grows by a second for each [`LARGE_RATE`] bytes that came.
    Rate,
}

impl Haste {
    fn more(self, seen: usize) -> Duration {
        match self {
            Haste::Whole => Duration::ZERO,
            Haste::Rate => Duration::from_secs((seen / LARGE_RATE) as u64),
        }
    }
}

/// Reads a body of at most `limit_bytes`; the caller checks the media type.
///
/// # Errors
/// As [`fhir_json`], without those of the media type.
pub async fn any(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Bytes, Failure> {
    read(request, payload, (limit_bytes, Haste::Whole), None).await
}

/// Reads a body of at most `limit_bytes` that has one of these media types.
///
/// # Errors
/// As [`fhir_json`].
pub async fn of_type(
    request: &HttpRequest,
    payload: Payload,
    limit_bytes: usize,
    allowed: &[&str],
) -> Result<Bytes, Failure> {
    let refused = media_type_refused(request, allowed);
    read(request, payload, (limit_bytes, Haste::Whole), refused).await
}

/// Whether the body has this media type.
pub fn is_of(request: &HttpRequest, essence: &str) -> bool {
    media_type_refused(request, &[essence]).is_none()
}

/// Whether the body is a form (`application/x-www-form-urlencoded`).
pub fn is_form(request: &HttpRequest) -> bool {
    media_type_refused(request, &["application/x-www-form-urlencoded"]).is_none()
}

fn media_type_refused(request: &HttpRequest, allowed: &[&str]) -> Option<Fault> {
    let given = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let mut parts = given.split(';').map(str::trim);
    let essence = parts.next().unwrap_or("").to_ascii_lowercase();
    let parameters_fit = parts.all(|parameter| match parameter.to_ascii_lowercase().split_once('=') {
        Some(("charset", charset)) => charset.trim_matches('"') == "utf-8",
        Some(("fhirversion", version)) => negotiate::is_r4(version),
        _ => true,
    });
    (!allowed.contains(&essence.as_str()) || !parameters_fit).then_some(Fault::MediaTypeRefused)
}

async fn read(
    request: &HttpRequest,
    mut payload: Payload,
    (limit_bytes, haste): (usize, Haste),
    refused: Option<Fault>,
) -> Result<Bytes, Failure> {
    let encoded = request
        .headers()
        .get_all(header::CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut fault = refused.or(encoded.then_some(Fault::EncodingRefused));
    let seat = edge::seat_of(request);
    let mut queued = seat.as_ref().map(|seat| seat.queue());
    let limits = request.app_data::<web::Data<App>>().map(|app| app.config.limits);
    let least = limits.map_or(0, |limits| limits.least_bytes_per_second) * WINDOW_SECONDS;
    let until = Instant::now() + limits.map_or(BODY_TIME, |limits| limits.body);
    let collect = async {
        let mut body = BytesMut::new();
        let (mut seen, mut cost) = (0usize, 0usize);
        let mut window = (Instant::now() + Duration::from_secs(WINDOW_SECONDS as u64), 0usize);
        loop {
            let late = until + haste.more(seen);
            if Instant::now() >= late {
                return Err(Failure::from(Fault::RequestTimeout));
            }
            let piece = match timeout_at(window.0.min(late), payload.next()).await {
                Ok(None) => break,
                Ok(Some(piece)) => piece,
                Err(_) if Instant::now() < window.0 => continue,
                Err(_) if window.1 < least => return Err(Failure::from(Fault::RequestTimeout)),
                Err(_) => {
                    window = (Instant::now() + Duration::from_secs(WINDOW_SECONDS as u64), 0);
                    continue;
                }
            };
            // Broken framing, or a client that has disconnected.
            let piece = piece.map_err(|error| Failure::new(Fault::ParameterInvalid).because(error.to_string()))?;
            window.1 = window.1.saturating_add(piece.len());
            seen = seen.saturating_add(piece.len());
            cost = cost.saturating_add(piece.len().max(PIECE_COST));
            let ends = cost > STRANGERS_DRAIN && seat.as_ref().is_none_or(|seat| seat.is_strangers());
            if fault.is_none() && (seen > limit_bytes || ends) {
                fault = Some(Fault::TooLarge);
                body = BytesMut::new();
            }
            let has_room = fault.is_some() || queued.as_mut().is_none_or(|queued| queued.grow(piece.len()));
            if !has_room {
                return Err(Fault::Overloaded.into());
            }
            if fault.is_none() {
                body.extend_from_slice(&piece);
            } else if ends || seen > DRAIN_BYTES {
                break;
            }
        }
        match fault {
            None => Ok(body.freeze()),
            Some(fault) => Err(fault.into()),
        }
    };
    let body = collect.await;
    match (&body, &seat) {
        (Ok(_), Some(seat)) => seat.body_came()?,
        (Err(failure), _) if failure.fault() == Fault::RequestTimeout => {
            metrics::counter!(families::SLOW_PEERS, "reason" => "body").increment(1);
        }
        _ => {}
    }
    body
}

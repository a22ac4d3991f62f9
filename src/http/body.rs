//! Reading a request body: media type, encoding, size and time, before anything is parsed.

use super::edge::{self, Seat};
use super::negotiate;
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
const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS as u64);
/// Time limit for the whole body when the application sets no other.
const BODY_TIME: Duration = Duration::from_secs(30);
/// Bytes of a large body that are taken at once, and what its taker has in memory beside them.
const PART_BYTES: usize = 256 * 1024;
const TAKER_BYTES: usize = 4 << 20;
/// Bytes of a large body that are still read and dropped after it was refused.
const DRAIN_LEAST: usize = 8 * 1024 * 1024;
/// Bytes of a large body for which it gets a second more than other bodies have.
const LARGE_RATE: usize = 64 * 1024;

/// Reads a FHIR JSON body of at most `limit_bytes`.
///
/// # Errors
/// [`Fault::MediaTypeRefused`], [`Fault::EncodingRefused`], [`Fault::TooLarge`], [`Fault::RequestTimeout`]; [`Fault::ParameterInvalid`] for
/// broken framing; [`Fault::Overloaded`], [`Fault::RateLimited`] and [`Fault::AddressLimited`] when there is no place for the request.
pub async fn fhir_json(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Bytes, Failure> {
    read(request, payload, limit_bytes, fhir_json_refused(request)).await
}

/// Like [`fhir_json`], for a body that may be large: `take` has each part of it as it comes, and may refuse the rest. The time for it grows with
/// what has come, so that only its rate counts; the time that `take` needs is not the peer's. `refused`: why it is refused whatever it says.
///
/// # Errors
/// As [`fhir_json`]; those of `take`.
pub async fn large_fhir_json(
    request: &HttpRequest,
    payload: Payload,
    (limit_bytes, refused): (usize, Option<Failure>),
    take: impl AsyncFnMut(BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let refused = fhir_json_refused(request).map(Failure::from).or(refused);
    came(request, payload, (limit_bytes, Haste::Rate), refused, take).await
}

fn fhir_json_refused(request: &HttpRequest) -> Option<Fault> {
    media_type_refused(request, &["application/fhir+json", "application/json"])
}

/// What the time for a body depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Haste {
    /// All of it has the same time.
    Whole,
    /// Its time grows by a second for each [`LARGE_RATE`] bytes that came. It is taken in parts.
    Rate,
}

impl Haste {
    fn more(self, seen: usize) -> Duration {
        match self {
            Haste::Whole => Duration::ZERO,
            Haste::Rate => Duration::from_secs((seen / LARGE_RATE) as u64),
        }
    }

    /// Bytes that are held until they are taken.
    const fn part(self) -> usize {
        match self {
            Haste::Whole => usize::MAX,
            Haste::Rate => PART_BYTES,
        }
    }

    /// Bytes that memory is counted for, when so many came and so many of them are not taken yet.
    fn counted(self, seen: usize, held: usize) -> usize {
        match self {
            Haste::Whole => held,
            Haste::Rate => seen.min(held + TAKER_BYTES),
        }
    }
}

/// Reads a body of at most `limit_bytes`; the caller checks the media type.
///
/// # Errors
/// As [`fhir_json`], without those of the media type.
pub async fn any(request: &HttpRequest, payload: Payload, limit_bytes: usize) -> Result<Bytes, Failure> {
    read(request, payload, limit_bytes, None).await
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
    read(request, payload, limit_bytes, refused).await
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
    payload: Payload,
    limit_bytes: usize,
    refused: Option<Fault>,
) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    let take = async |bytes: BytesMut| -> Result<(), Failure> {
        whole = bytes;
        Ok(())
    };
    let refused = refused.map(Failure::from);
    came(request, payload, (limit_bytes, Haste::Whole), refused, take).await?;
    Ok(whole.freeze())
}

/// The time in which a body and its parts have to come.
struct BodyTime {
    haste: Haste,
    until: Instant,
    /// When the rate is measured next, and the bytes since it was measured.
    window: (Instant, usize),
    least: usize,
}

impl BodyTime {
    fn of(request: &HttpRequest, haste: Haste) -> BodyTime {
        let limits = request.app_data::<web::Data<App>>().map(|app| app.config.limits);
        let now = Instant::now();
        BodyTime {
            haste,
            until: now + limits.map_or(BODY_TIME, |limits| limits.body),
            window: (now + WINDOW, 0),
            least: limits.map_or(0, |limits| limits.least_bytes_per_second) * WINDOW_SECONDS,
        }
    }

    /// The next piece, after `seen` bytes.
    async fn next(&mut self, payload: &mut Payload, seen: usize) -> Result<Option<Bytes>, Failure> {
        loop {
            let late = self.until + self.haste.more(seen);
            if Instant::now() >= late {
                return Err(Failure::from(Fault::RequestTimeout));
            }
            match timeout_at(self.window.0.min(late), payload.next()).await {
                Ok(None) => return Ok(None),
                Ok(Some(piece)) => {
                    // Broken framing, or a client that has disconnected.
                    let piece =
                        piece.map_err(|error| Failure::new(Fault::ParameterInvalid).because(error.to_string()))?;
                    self.window.1 = self.window.1.saturating_add(piece.len());
                    return Ok(Some(piece));
                }
                Err(_) if Instant::now() < self.window.0 => {}
                Err(_) if self.window.1 < self.least => return Err(Failure::from(Fault::RequestTimeout)),
                Err(_) => self.window = (Instant::now() + WINDOW, 0),
            }
        }
    }

    /// Gives the peer the time back that passed since `began` without it.
    fn waited(&mut self, began: Instant) {
        let passed = began.elapsed();
        self.until += passed;
        self.window.0 += passed;
    }
}

async fn came(
    request: &HttpRequest,
    payload: Payload,
    limits: (usize, Haste),
    refused: Option<Failure>,
    take: impl AsyncFnMut(BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let encoded = request
        .headers()
        .get_all(header::CONTENT_ENCODING)
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let refused = refused.or_else(|| encoded.then(|| Fault::EncodingRefused.into()));
    let seat = edge::seat_of(request);
    let time = BodyTime::of(request, limits.1);
    let taken = taken((time, payload), limits, (seat.as_deref(), refused), take).await;
    match (&taken, &seat) {
        (Ok(()), Some(seat)) => seat.body_came()?,
        (Err(failure), _) if failure.fault() == Fault::RequestTimeout => {
            metrics::counter!(families::SLOW_PEERS, "reason" => "body").increment(1);
        }
        _ => {}
    }
    taken
}

async fn taken(
    (mut time, mut payload): (BodyTime, Payload),
    (limit_bytes, haste): (usize, Haste),
    (seat, mut refused): (Option<&Seat>, Option<Failure>),
    mut take: impl AsyncFnMut(BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut queued = seat.map(Seat::queue);
    let mut body = BytesMut::new();
    let (mut seen, mut cost, mut dropped) = (0usize, 0usize, 0usize);
    while let Some(piece) = time.next(&mut payload, seen).await? {
        seen = seen.saturating_add(piece.len());
        cost = cost.saturating_add(piece.len().max(PIECE_COST));
        let ends = cost > STRANGERS_DRAIN && seat.is_none_or(Seat::is_strangers);
        if refused.is_none() && (seen > limit_bytes || ends) {
            refused = Some(Fault::TooLarge.into());
        }
        if refused.is_some() {
            body = BytesMut::new();
            dropped = dropped.saturating_add(piece.len());
            if ends || (seen > DRAIN_BYTES && dropped > DRAIN_LEAST) {
                break;
            }
            continue;
        }
        let held = haste.counted(seen, body.len() + piece.len());
        if queued.as_mut().is_some_and(|queued| !queued.grow_to(held)) {
            return Err(Fault::Overloaded.into());
        }
        body.extend_from_slice(&piece);
        if body.len() >= haste.part() {
            let began = Instant::now();
            refused = take(body.split()).await.err();
            time.waited(began);
        }
    }
    match refused {
        Some(failure) => Err(failure),
        None => take(body).await,
    }
}

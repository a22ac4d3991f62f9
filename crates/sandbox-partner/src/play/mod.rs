//! Playing the script: from a request and the rules to an answer.

mod bulk;
mod bulk_receipt;
mod discovery;
mod match_body;
mod member_match;
mod noted;
mod observed;
mod receipt;
mod retrieve;
mod route;
mod state;
mod token;
mod treatment;
mod visit;

pub use observed::{SandboxEffect, SandboxReceipt, SandboxRequest, SandboxStray};
pub(crate) use route::FHIR_PATH;
pub(crate) use state::{Certified, Play, secret};
pub(crate) use treatment::{AfterWork, ConnectionFate, Treatment};

use crate::record::{large, squeezed};
use crate::script::{GarbageBody, LargeShape, SandboxAct, SandboxRoute, SandboxTarget};
use crate::wire::{PlayedReply, PlayedRequest, ReplyBody};
use route::AskedRoute;

/// What came of a request before it is sent.
pub(crate) struct Played {
    /// The answer.
    pub(crate) reply: PlayedReply,
    /// How it is sent, and what comes after.
    pub(crate) treatment: Treatment,
}

/// The digest by which a client certificate is known.
pub(crate) fn certified_by(leaf: &[u8]) -> [u8; 32] {
    state::sha256(&[leaf])
}

/// Judges which rules a request meets. Called before anything is waited for, so that the order of arrival counts.
pub(crate) fn meet(play: &Play, request: &PlayedRequest, certified: &Certified) -> (AskedRoute, Treatment, u64) {
    let asked = route::of(play, request);
    let treatment = play.treat(&asked);
    let number = play.saw(request, &asked, certified, &treatment);
    (asked, treatment, number)
}

/// Processes a request and returns its answer.
pub(crate) fn answer(
    play: &Play,
    request: &PlayedRequest,
    certified: &Certified,
    (asked, treatment, number): (AskedRoute, Treatment, u64),
) -> Played {
    let ended = Played {
        reply: PlayedReply::json(200, &serde_json::Value::Null),
        treatment,
    };
    let treatment = &ended.treatment;
    let reply = match &treatment.instead {
        Some(SandboxAct::Answer { processed: false, .. } | SandboxAct::Redirect { .. }) => None,
        _ => Some(worked(play, request, certified, &asked, treatment, number)),
    };
    let reply = match (&treatment.instead, reply) {
        (None, Some(reply)) => reply,
        (None, None) => PlayedReply::outcome(500, "exception", "no answer"),
        (Some(act), reply) => instead(play, request, &asked, act, reply),
    };
    let shown = request.header("x-correlation-id").unwrap_or("").to_owned();
    let mut reply = reply
        .with("Date", play.http_date(treatment.skew_ms))
        .with("X-Request-Id", format!("sandbox-{number}"));
    if !shown.is_empty() {
        reply = reply.with("X-Correlation-Id", shown);
    }
    Played { reply, ..ended }
}

/// Does what was asked for, once for each request or once for each `Idempotency-Key`.
fn worked(
    play: &Play,
    request: &PlayedRequest,
    certified: &Certified,
    asked: &AskedRoute,
    treatment: &Treatment,
    number: u64,
) -> PlayedReply {
    if let Some(replayed) = play.replayed(request, asked) {
        return replayed;
    }
    let by = visit::PlayedVisit {
        play,
        request,
        certified,
        asked,
        treatment,
        number,
    };
    let reply = match asked.route {
        SandboxRoute::Smart => discovery::smart(&by),
        SandboxRoute::Davinci => discovery::davinci(&by),
        SandboxRoute::Jwks => discovery::jwks(&by),
        SandboxRoute::Metadata => discovery::metadata(&by),
        SandboxRoute::Token => token::answer(&by),
        SandboxRoute::MemberMatch => member_match::answer(&by),
        SandboxRoute::Everything => retrieve::everything(&by),
        SandboxRoute::Search => retrieve::search(&by),
        SandboxRoute::Read => retrieve::read(&by),
        SandboxRoute::Receipt => receipt::answer(&by),
        SandboxRoute::BulkMatch => bulk::kick_off_match(&by),
        SandboxRoute::GroupExport => bulk::kick_off_export(&by),
        SandboxRoute::BulkStatus => bulk::status(&by),
        SandboxRoute::BulkFile => bulk::file(&by),
        SandboxRoute::BulkReceipt => bulk_receipt::answer(&by),
        _ => PlayedReply::outcome(404, "not-found", "this payer has no such resource or operation"),
    };
    play.remember_reply(request, asked, &reply);
    reply
}

/// The answer that a rule puts in the place of the right one.
fn instead(
    play: &Play,
    request: &PlayedRequest,
    asked: &AskedRoute,
    act: &SandboxAct,
    right: Option<PlayedReply>,
) -> PlayedReply {
    match act {
        SandboxAct::Answer {
            status,
            retry_after,
            body,
            media_type,
            ..
        } => {
            let media = media_type.as_deref().unwrap_or("text/plain; charset=utf-8");
            let reply = match body {
                Some(body) => PlayedReply::of(*status, media, body.clone().into_bytes()),
                None if asked.route == SandboxRoute::Token => {
                    token::refused(*status, oauth_error(*status), "as scripted")
                }
                None => PlayedReply::outcome(*status, issue_code(*status), "as scripted"),
            };
            match retry_after {
                Some(value) => reply.with("Retry-After", value.clone()),
                None => reply,
            }
        }
        SandboxAct::Redirect { status, to } => {
            PlayedReply::of(*status, "text/plain", Vec::new()).with("Location", target(play, request, to))
        }
        SandboxAct::Garbage(kind) => garbage(*kind, right),
        SandboxAct::LargeBody { bytes, shape } => streamed(large(play.any_record(), &play.base, Some(*bytes), *shape)),
        SandboxAct::Endless => streamed(large(play.any_record(), &play.base, None, LargeShape::Entries)),
        SandboxAct::GzipBomb { bytes } => {
            let inside = large(play.any_record(), &play.base, Some(*bytes), LargeShape::Spaces);
            streamed(squeezed(inside)).with("Content-Encoding", "gzip")
        }
        _ => right.unwrap_or_else(|| PlayedReply::outcome(500, "exception", "no answer")),
    }
}

fn streamed(pieces: Box<dyn Iterator<Item = Vec<u8>> + Send>) -> PlayedReply {
    PlayedReply::stream(pieces)
}

/// The URL of a target.
fn target(play: &Play, request: &PlayedRequest, to: &SandboxTarget) -> String {
    match to {
        SandboxTarget::Elsewhere => format!("{}{}", play.elsewhere, request.target),
        SandboxTarget::Itself => format!("{}{}", play.origin, request.target),
        SandboxTarget::Url(url) => url.clone(),
    }
}

fn garbage(kind: GarbageBody, right: Option<PlayedReply>) -> PlayedReply {
    const FHIR: &str = "application/fhir+json";
    let fhir = |body: Vec<u8>| PlayedReply::of(200, FHIR, body);
    match kind {
        GarbageBody::Empty => fhir(Vec::new()),
        GarbageBody::NotJson => fhir(b"all is well, the record follows by mail".to_vec()),
        GarbageBody::NotUtf8 => {
            fhir(b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"id\":\"\xff\xfe\"}".to_vec())
        }
        GarbageBody::NotFhir => fhir(br#"{"status":"ok","data":[1,2,3]}"#.to_vec()),
        GarbageBody::OtherResource => fhir(br#"{"resourceType":"Basic","id":"x","code":{"text":"surprise"}}"#.to_vec()),
        GarbageBody::Html => {
            let page = b"<!doctype html><title>Sign in</title><p>Please sign in to the provider portal.</p>".to_vec();
            PlayedReply::of(200, "text/html; charset=utf-8", page)
        }
        GarbageBody::Deep => {
            let mut body = b"{\"resourceType\":\"Bundle\",\"extension\":".to_vec();
            body.extend(std::iter::repeat_n(b'[', 100_000));
            body.extend(std::iter::repeat_n(b']', 100_000));
            body.push(b'}');
            fhir(body)
        }
        GarbageBody::RepeatedMember => match right.map(|reply| reply.body) {
            // The right answer with another resourceType in front: which of the two counts?
            Some(ReplyBody::Whole(body)) if body.first() == Some(&b'{') && body.len() > 2 => {
                fhir([b"{\"resourceType\":\"Basic\",".as_slice(), &body[1..]].concat())
            }
            _ => {
                fhir(br#"{"resourceType":"Basic","resourceType":"Bundle","type":"searchset","type":"batch"}"#.to_vec())
            }
        },
    }
}

fn issue_code(status: u16) -> &'static str {
    match status {
        401 => "login",
        403 => "forbidden",
        404 | 410 => "not-found",
        422 => "business-rule",
        429 | 503 => "throttled",
        400..=499 => "invalid",
        502 | 504 => "timeout",
        _ => "exception",
    }
}

fn oauth_error(status: u16) -> &'static str {
    match status {
        401 => "invalid_client",
        429 | 503 => "temporarily_unavailable",
        500..=599 => "server_error",
        _ => "invalid_request",
    }
}

//! `GET Binary/[id]` as raw content: the bytes with the media type that the resource states (FHIR R4 Binary).
//!
//! The content comes from other parties' files. It is sent as a download, so that no browser runs it or guesses its type, and its media
//! type is rebuilt from its parts, so that nothing in it can reach another header.

use super::authorised::Authorised;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::http::conditional::{Conditions, Precondition};
use crate::http::date;
use crate::http::edge;
use crate::http::negotiate;
use crate::http::outgoing;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::release::{self, Outgoing, SentPart};
use crate::store::disclosure::Released;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// The media type of content whose own media type is missing or malformed.
const UNKNOWN: &str = "application/octet-stream";

/// How many times the bytes of a Binary are in memory while it is opened: the row, its text, and its content.
const OPENED: usize = 3;

/// A Binary's content.
struct Content {
    /// Type and subtype.
    media_type: String,
    charset: Option<String>,
    bytes: Vec<u8>,
}

/// Reads one Binary that the caller may see, and answers with its content.
pub(super) async fn content(
    request: &HttpRequest,
    authorised: &Authorised,
    id: &str,
    version: Option<&str>,
    app: &App,
) -> Result<HttpResponse, HttpFailure> {
    let conditions = Conditions::of(request.headers());
    let judge = |row: &Released| conditions.judge(&row.version.to_string(), row.last_updated_ms);
    let is_head = request.method() == Method::HEAD;
    let own = conditions.clone();
    let make = move |row: &Released| {
        let verdict = own.judge(&row.version.to_string(), row.last_updated_ms);
        open(row.bytes(), !is_head && verdict == Precondition::Send)
    };
    let sent = |row: &Released, read: &Result<Content, Failure>| {
        let fits = read
            .as_ref()
            .is_ok_and(|content| negotiate::accepts(request, &content.media_type));
        match (judge(row), read) {
            (_, Err(failure)) => SentPart::Head(failure.fault().row().http),
            (_, Ok(_)) if !fits => SentPart::Head(Fault::NotAcceptable.row().http),
            (Precondition::NotModified, _) => SentPart::Head(304),
            (Precondition::Failed, _) => SentPart::Head(Fault::PreconditionFailed.row().http),
            (Precondition::Send, _) if is_head => SentPart::Head(200),
            (Precondition::Send, Ok(content)) => SentPart::Part(content.bytes.len() as u64),
        }
    };
    let room = async |bytes: usize| {
        edge::waits_for_room(request, bytes.saturating_mul(OPENED)).await?;
        authorised.still_holds(request, app).await
    };
    let name = ("Binary", id, version);
    let (row, read, disclosure) = release::read_and_make(&app.ctx, &authorised.caller, name, room, make, sent).await?;
    let content = read?;
    if !negotiate::accepts(request, &content.media_type) {
        return Err(Fault::NotAcceptable.into());
    }
    let mut response = match judge(&row) {
        Precondition::Send => HttpResponse::Ok(),
        Precondition::NotModified => HttpResponse::NotModified(),
        Precondition::Failed => return Err(Fault::PreconditionFailed.into()),
    };
    response
        .insert_header((header::ETAG, format!("W/\"{}\"", row.version)))
        .insert_header((header::LAST_MODIFIED, date::written(row.last_updated_ms)))
        .insert_header((header::VARY, "Accept"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if judge(&row) == Precondition::NotModified {
        return Ok(response.finish());
    }
    let media_type = match &content.charset {
        Some(charset) => format!("{}; charset={charset}", content.media_type),
        None => content.media_type,
    };
    let bytes = Outgoing::new(disclosure, content.bytes, || outgoing::terms(app, request), false);
    // An id consists of letters, digits, '-' and '.' only, so it needs no quoting.
    response
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", row.id),
        ))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"));
    Ok(outgoing::answer(&mut response, bytes, None))
}

/// Opens a Binary. When its content is not sent (HEAD), only the length is that of the content, and nothing is decoded.
fn open(resource: &[u8], is_sent: bool) -> Result<Content, Failure> {
    let screened = screen(resource, &ScreenLimits::record())?;
    let root = screened.root();
    let (media_type, charset) = root
        .get("contentType")
        .and_then(|value| media_type(&value.text()?))
        .unwrap_or_else(|| (UNKNOWN.to_owned(), None));
    let bytes = match root.get("data").and_then(|value| value.text()) {
        Some(text) if !is_sent => vec![0; decoded_len(&text)],
        Some(text) => {
            // Most have no white space between the letters, and are not copied.
            let text = match text.bytes().any(|byte| byte.is_ascii_whitespace()) {
                true => Cow::Owned(text.split_ascii_whitespace().collect::<String>()),
                false => text,
            };
            STANDARD
                .decode(text.as_bytes())
                .map_err(|_| Failure::new(Fault::StoreDamaged).because("the data of a Binary is no base64"))?
        }
        None => Vec::new(),
    };
    Ok(Content {
        media_type,
        charset,
        bytes,
    })
}

/// The length of what this base64 text stands for.
fn decoded_len(text: &str) -> usize {
    let letters = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
    let padding = text.bytes().filter(|byte| *byte == b'=').count();
    (letters / 4 * 3).saturating_sub(padding)
}

/// The type and subtype, and the charset, of a media type in the grammar of RFC 9110 section 8.3.1; other parameters are dropped.
fn media_type(text: &str) -> Option<(String, Option<String>)> {
    let is_token = |text: &str| {
        (1..=127).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let mut parts = text.split(';').map(str::trim);
    let own = parts.next()?.to_ascii_lowercase();
    let (kind, subtype) = own.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    // The `represent` middleware changes only answers with exactly the media type and charset of FHIR answers. Dropping the charset of a
    // FHIR content type keeps the content unchanged.
    let is_fhir = subtype.contains("fhir");
    let charset = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase())
        .filter(|value| is_token(value) && !is_fhir);
    Some((own, charset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b07_what_is_not_sent_has_its_length_and_is_not_decoded() {
        let binary =
            |data: &str| format!(r#"{{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"{data}"}}"#);
        for data in ["bm90ZQ==", "bm90ZXM=", "bm90ZXMx", "bm90 ZXMx bm8=", "bm90\\nZQ=="] {
            let resource = binary(data);
            let whole = open(resource.as_bytes(), true).expect("its content");
            let head = open(resource.as_bytes(), false).expect("its head");
            assert_eq!(head.bytes.len(), whole.bytes.len(), "{data}");
            assert_eq!(head.media_type, whole.media_type);
        }
        let broken = binary("no base64!");
        assert!(open(broken.as_bytes(), true).is_err());
        assert!(open(broken.as_bytes(), false).is_ok(), "it is not decoded");
    }

    #[test]
    fn a_media_type_is_written_anew_from_its_parts() {
        let own = |kind: &str, charset: Option<&str>| Some((kind.to_owned(), charset.map(str::to_owned)));
        for (text, wanted) in [
            ("text/plain", own("text/plain", None)),
            ("Text/XML ; Charset=\"UTF-8\"; x=y", own("text/xml", Some("utf-8"))),
            ("application/hl7-v3+xml", own("application/hl7-v3+xml", None)),
            (
                "application/fhir+json; charset=utf-8",
                own("application/fhir+json", None),
            ),
            ("text/html\r\nSet-Cookie: a=b", None),
            ("text/plain; charset=a\r\nX: y", own("text/plain", None)),
            ("text", None),
            ("text/", None),
            ("a b/c", None),
            ("", None),
        ] {
            assert_eq!(media_type(text), wanted, "{text:?}");
        }
    }
}

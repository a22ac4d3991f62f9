//! `GET Binary/[id]` as its content: the bytes with the media type that the resource gives them (FHIR R4 Binary).
//!
//! Content comes from files of others. It is sent as a download that no browser runs or guesses the type of, and its media
//! type is written anew from its parts, so that nothing of it gets into another header.

use super::authorised::Authorised;
use crate::app::App;
use crate::clock::http_date;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{Limits, screen};
use crate::http::conditional::{Conditions, Verdict};
use crate::http::negotiate;
use crate::http::reply::HttpFailure;
use crate::release::{self, Sent};
use crate::store::disclosure::Released;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The media type of content whose own is missing or is none.
const UNKNOWN: &str = "application/octet-stream";

/// A Binary's content.
struct Content {
    /// Type and subtype.
    media_type: String,
    charset: Option<String>,
    bytes: Vec<u8>,
}

/// Reads one Binary that the caller may see, and answers its content.
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
    let mut read = Err(Failure::new(Fault::Internal));
    let sent = |row: &Released| {
        read = open(row);
        let fits = read
            .as_ref()
            .is_ok_and(|content| negotiate::accepts(request, &content.media_type));
        match (judge(row), &read) {
            (_, Err(failure)) => Sent::Head(failure.fault().row().http),
            (_, Ok(_)) if !fits => Sent::Head(Fault::NotAcceptable.row().http),
            (Verdict::NotModified, _) => Sent::Head(304),
            (Verdict::Failed, _) => Sent::Head(Fault::PreconditionFailed.row().http),
            (Verdict::Send, _) if is_head => Sent::Head(200),
            (Verdict::Send, Ok(content)) => Sent::Part(content.bytes.len() as u64),
        }
    };
    let row = release::read(&app.ctx, &authorised.caller, "Binary", id, version, sent).await?;
    let content = read?;
    if !negotiate::accepts(request, &content.media_type) {
        return Err(Fault::NotAcceptable.into());
    }
    let mut response = match judge(&row) {
        Verdict::Send => HttpResponse::Ok(),
        Verdict::NotModified => HttpResponse::NotModified(),
        Verdict::Failed => return Err(Fault::PreconditionFailed.into()),
    };
    response
        .insert_header((header::ETAG, format!("W/\"{}\"", row.version)))
        .insert_header((header::LAST_MODIFIED, http_date(row.last_updated_ms)))
        .insert_header((header::VARY, "Accept"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if judge(&row) == Verdict::NotModified {
        return Ok(response.finish());
    }
    let media_type = match &content.charset {
        Some(charset) => format!("{}; charset={charset}", content.media_type),
        None => content.media_type,
    };
    // An id has letters, digits, '-' and '.' only.
    Ok(response
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}\"", row.id),
        ))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .body(content.bytes))
}

fn open(row: &Released) -> Result<Content, Failure> {
    let screened = screen(row.bytes(), &Limits::record())?;
    let root = screened.root();
    let (media_type, charset) = root
        .get("contentType")
        .and_then(|value| media_type(&value.text()?))
        .unwrap_or_else(|| (UNKNOWN.to_owned(), None));
    let bytes = match root.get("data").and_then(|value| value.text()) {
        Some(text) => {
            let text: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
            STANDARD
                .decode(text)
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

/// Type and subtype, and the charset, of a media type in the grammar of RFC 9110 section 8.3.1; other parameters are left out.
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
    // The outer ring gives FHIR answers their form; what is content stays as it is.
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

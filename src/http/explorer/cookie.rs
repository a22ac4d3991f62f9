//! The explorer's two cookies: the handle of a session, and the random value that binds the forms of a browser without a session.
//!
//! Both have the prefix `__Host-`: browsers take them from this very host over TLS only, and for the whole of it (RFC 6265bis section 4.1.3.2).

use crate::secret::{base64url, from_base64url};
use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// The cookie with the handle of a session.
pub const SESSION: &str = "__Host-causeway-session";
/// The cookie with the random value for forms.
pub const FORM: &str = "__Host-causeway-form";
/// Characters of a value: 32 bytes in base64url.
const VALUE_CHARACTERS: usize = 43;

/// The value of a cookie that the request carries exactly once, in the form in which we write it.
pub fn value(headers: &HeaderMap, name: &str) -> Option<[u8; 32]> {
    let mut found = None;
    for line in headers.get_all(header::COOKIE) {
        for pair in line.to_str().ok()?.split(';') {
            let Some((key, text)) = pair.trim().split_once('=') else {
                continue;
            };
            if key != name {
                continue;
            }
            if found.is_some() || text.len() != VALUE_CHARACTERS {
                return None;
            }
            found = Some(<[u8; 32]>::try_from(from_base64url(text)?.as_slice()).ok()?);
        }
    }
    found
}

/// The header that sets a cookie for this many seconds.
pub fn set(name: &str, value: &[u8; 32], seconds: i64) -> Option<HeaderValue> {
    written(name, &base64url(value), seconds.max(0))
}

/// The header that takes a cookie away.
pub fn gone(name: &str) -> Option<HeaderValue> {
    written(name, "", 0)
}

fn written(name: &str, value: &str, seconds: i64) -> Option<HeaderValue> {
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HeaderValue::from_str(&text).ok()
}

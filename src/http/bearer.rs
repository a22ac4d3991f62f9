//! The bearer token of a request.

use crate::error::{Failure, Fault};
use actix_web::HttpRequest;
use actix_web::http::header;

/// The token of the only `Authorization: Bearer` header. A token in the URL is never accepted (RFC 6750 section 5.3).
pub fn bearer(request: &HttpRequest) -> Result<Option<&str>, Failure> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::TokenInvalid.into());
    }
    let text = value.to_str().map_err(|_| Failure::new(Fault::TokenInvalid))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Fault::TokenInvalid.into()),
    }
}

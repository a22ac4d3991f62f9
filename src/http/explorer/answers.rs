//! The explorer's own pages as HTTP answers: never stored, and with the headers of every page.

use crate::http::represent::page_headers;
use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};

/// The answer with this page, and with these cookies.
pub(super) fn page(html: String, cookies: impl IntoIterator<Item = HeaderValue>) -> HttpResponse {
    let mut answer = HttpResponse::Ok().body(html);
    let headers = answer.headers_mut();
    page_headers(headers);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    answer
}

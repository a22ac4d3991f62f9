//! Normalizes a path below the FHIR base: single slashes, and none at the end.
//!
//! Clients that join a base URL with a slash at its end and a path with one at its beginning send `/fhir//Condition`, and some send
//! `/fhir/Condition/?…`. The path is normalized once, in the outermost middleware, so that routing, authorization, log and pages all see
//! the same path. Nothing is decoded: an encoded slash stays encoded and matches no route. Paths outside the FHIR base are not changed.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::http::uri::PathAndQuery;
use actix_web::middleware::Next;

const BASE: &str = "/fhir";

/// The middleware.
pub async fn normalize(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    if let Some(uri) = normal(request.path()).and_then(|path| with_path(request.uri(), &path)) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
    next.call(request).await
}

/// The normal form of a path; `None` when the path is normal already.
fn normal(path: &str) -> Option<String> {
    let below = path.strip_prefix(BASE)?;
    if !below.starts_with('/') || !(below.contains("//") || below.ends_with('/')) {
        return None;
    }
    let mut normal = String::with_capacity(path.len());
    normal.push_str(BASE);
    for segment in below.split('/').filter(|segment| !segment.is_empty()) {
        normal.push('/');
        normal.push_str(segment);
    }
    Some(normal)
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.path_and_query = Some(PathAndQuery::from_maybe_shared(whole).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_below_the_base_are_single_and_none_ends_it() {
        for (path, wanted) in [
            ("/fhir/", "/fhir"),
            ("/fhir//", "/fhir"),
            ("/fhir//Condition", "/fhir/Condition"),
            ("/fhir/Condition/", "/fhir/Condition"),
            ("/fhir///Patient//1///", "/fhir/Patient/1"),
            ("/fhir//Patient/$member-match/", "/fhir/Patient/$member-match"),
            ("/fhir//Patient/a%2Fb/", "/fhir/Patient/a%2Fb"),
            ("/fhir//..//metadata", "/fhir/../metadata"),
        ] {
            assert_eq!(normal(path).as_deref(), Some(wanted), "{path}");
            assert_eq!(normal(wanted), None, "{wanted} is normal");
        }
        for path in [
            "/",
            "/fhir",
            "/fhir/Condition",
            "/fhirs//x",
            "//fhir/Condition",
            "/oauth//token",
            "/oauth/token/",
            "/fhir/a%2F%2Fb",
        ] {
            assert_eq!(normal(path), None, "{path}");
        }
    }

    #[test]
    fn the_query_stays_as_it_was_sent() {
        for (sent, wanted) in [
            (
                "/fhir/Condition/?patient=1&_profile=http://x//y/",
                "/fhir/Condition?patient=1&_profile=http://x//y/",
            ),
            ("/fhir//Condition?", "/fhir/Condition?"),
            ("https://p.example/fhir//metadata", "https://p.example/fhir/metadata"),
        ] {
            let uri: Uri = sent.parse().expect("an address");
            let path = normal(uri.path()).expect("another form");
            assert_eq!(
                with_path(&uri, &path).expect("an address").to_string(),
                wanted,
                "{sent}"
            );
        }
    }
}

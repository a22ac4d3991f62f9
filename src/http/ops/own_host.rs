//! Under which host a request asks, and whether that is this machine's own.
//!
//! It refuses nothing, and knows neither routes nor operators.

use actix_web::HttpRequest;
use actix_web::http::header;
use std::net::IpAddr;

/// Host and port that the request names, in small letters; empty unless it names them exactly once.
pub(super) fn authority(request: &HttpRequest) -> String {
    let mut named = request.headers().get_all(header::HOST);
    match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default().to_ascii_lowercase(),
        _ => String::new(),
    }
}

/// Whether the host of an authority is this machine's own.
pub(super) fn is_of_this_machine(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in [
            "localhost",
            "localhost:9443",
            "127.0.0.1:9443",
            "127.0.0.2",
            "[::1]:9443",
            "[::1]",
        ] {
            assert!(is_of_this_machine(own), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example:9443",
            "10.0.0.1",
            "localhost:",
            "localhost:x",
            "[fe80::1]",
        ] {
            assert!(!is_of_this_machine(other), "{other}");
        }
    }

    #[test]
    fn a_host_that_is_named_twice_is_none() {
        let once = TestRequest::default().append_header((header::HOST, "LOCALHOST:9443"));
        assert_eq!(authority(&once.to_http_request()), "localhost:9443");
        let twice = TestRequest::default()
            .append_header((header::HOST, "localhost"))
            .append_header((header::HOST, "evil.example"));
        assert_eq!(authority(&twice.to_http_request()), "");
    }
}

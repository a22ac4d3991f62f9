//! The requests that a loader sends, as bytes.

use super::child::STATIC;
use super::wire;
use crate::error::{Failure, Fault};
use crate::secret::Secret;

pub(super) fn static_request(bytes: u64) -> Vec<u8> {
    wire::request(
        "GET",
        &format!("{STATIC}{bytes}"),
        "accept: application/fhir+json\r\n",
        b"",
    )
}

pub(super) fn get(token: &Secret, path: &str) -> Vec<u8> {
    let headers = format!(
        "authorization: Bearer {}\r\naccept: application/fhir+json\r\n",
        token.expose()
    );
    wire::request("GET", path, &headers, b"")
}

pub(super) fn match_request(token: &Secret, body: &[u8]) -> Vec<u8> {
    let headers = format!(
        "authorization: Bearer {}\r\naccept: application/fhir+json\r\ncontent-type: application/fhir+json\r\n",
        token.expose()
    );
    wire::request("POST", "/fhir/Patient/$member-match", &headers, body)
}

pub(super) fn broken(error: std::io::Error) -> Failure {
    Failure::new(Fault::PartnerUnreachable).because(error)
}

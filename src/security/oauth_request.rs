//! The raw request of any OAuth endpoint, and the client that it claims to be before anything is verified.

use super::assertion::Assertion;
use super::certificate::PeerCertificate;
use super::form::FormFields;
use crate::error::{Failure, Fault};
use crate::telemetry::Correlation;
use std::net::IpAddr;

/// The raw request of any OAuth endpoint.
pub struct OauthRequest<'a> {
    /// The body's bytes.
    pub body: &'a [u8],
    /// `Content-Type`, if sent.
    pub content_type: Option<&'a str>,
    /// Whether the URL had a query.
    pub has_query: bool,
    /// The `Authorization` header, if sent.
    pub authorization: Option<&'a str>,
    /// The certificate of this connection.
    pub certificate: Option<&'a PeerCertificate>,
    /// The address that the connection comes from.
    pub address: Option<IpAddr>,
    /// The correlation ids of this request.
    pub correlation: Correlation,
}

impl OauthRequest<'_> {
    /// The form of the request, read strictly. Fails when the URL has a query.
    pub(super) fn form(&self) -> Result<FormFields, Failure> {
        if self.has_query {
            return Err(Failure::new(Fault::OauthRequest).at("query"));
        }
        FormFields::parse(self.content_type, self.body)
    }
}

/// The client id in a request, before anything is verified; empty when there is none.
pub(super) fn given_id(request: &OauthRequest<'_>) -> String {
    let Ok(form) = request.form() else { return String::new() };
    let of_assertion = form
        .get("client_assertion")
        .and_then(|text| Assertion::parse(text).ok())
        .map(|assertion| assertion.client_id);
    of_assertion
        .or_else(|| form.get("client_id").map(str::to_owned))
        .unwrap_or_default()
}

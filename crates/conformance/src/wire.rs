//! The HTTP client of the runner, with a record of the messages since the test began. It never follows redirects.
//!
//! The record contains no secrets: authorization, assertions and tokens are replaced.

use super::settings::ClientSettings;
use super::stop::{Checked, Stop, fail};
use super::unusable::Unusable;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Characters of a body that are recorded.
const BODY_CHARACTERS: usize = 2_000;
/// Most messages of one test that are reported; the last ones.
const EXCHANGES: usize = 12;
const HIDDEN: &str = "(hidden)";
const FHIR_JSON: &str = "application/fhir+json";

/// A request and its answer for a report.
#[derive(Clone, Debug, Serialize)]
pub struct Exchange {
    /// Method.
    pub method: String,
    /// URL.
    pub url: String,
    /// Headers of the request, without secrets.
    pub request_headers: Vec<(String, String)>,
    /// Body of the request, shortened.
    pub request_body: String,
    /// Status; 0 when there was no answer.
    pub status: u16,
    /// Headers of the answer.
    pub headers: Vec<(String, String)>,
    /// Body of the answer, shortened.
    pub body: String,
}

/// A request to send.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    certificate: bool,
}

impl Call {
    pub(super) fn new(method: &'static str, url: impl Into<String>) -> Call {
        Call {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            certificate: true,
        }
    }

    /// A `GET` that accepts FHIR JSON.
    pub(super) fn get(url: impl Into<String>) -> Call {
        Call::new("GET", url).header("accept", FHIR_JSON)
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Call {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn bearer(self, token: &str) -> Call {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(super) fn body(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Call {
        self.body = Some(body.into());
        self.header("content-type", media_type)
    }

    pub(super) fn fhir(self, body: &Value) -> Call {
        self.header("accept", FHIR_JSON)
            .body(FHIR_JSON, body.to_string().into_bytes())
    }

    pub(super) fn form(self, pairs: &[(&str, &str)]) -> Call {
        self.body("application/x-www-form-urlencoded", query(pairs).into_bytes())
    }

    /// The same call without a client certificate.
    pub(super) fn without_certificate(mut self) -> Call {
        self.certificate = false;
        self
    }
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The pairs, percent-encoded, as a query or a form.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let parts: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let encoded = |text| utf8_percent_encode(text, RESERVED);
            format!("{}={}", encoded(name), encoded(value))
        })
        .collect();
    parts.join("&")
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct ServerAnswer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    asked: String,
}

impl ServerAnswer {
    /// The first header with this name, or an empty text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    /// Checks that the answer has this status.
    pub(super) fn status(&self, wanted: u16) -> Checked<&ServerAnswer> {
        self.one_of(&[wanted])
    }

    /// Checks that the answer has one of these statuses.
    pub(super) fn one_of(&self, wanted: &[u16]) -> Checked<&ServerAnswer> {
        if wanted.contains(&self.status) {
            return Ok(self);
        }
        let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
        fail(format!(
            "{}: status {} where {} is due",
            self.asked,
            self.status,
            wanted.join(" or ")
        ))
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Checked<Value> {
        serde_json::from_slice(&self.body).or_else(|error| fail(format!("{}: no JSON: {error}", self.asked)))
    }

    /// The body as a resource of this type; checks that it was answered as FHIR JSON.
    pub(super) fn resource(&self, rtype: &str) -> Checked<Value> {
        let media_type = self.header("content-type").to_ascii_lowercase();
        let mut parts = media_type.split(';').map(str::trim);
        if parts.next() != Some(FHIR_JSON) {
            return fail(format!(
                "{}: Content-Type is {media_type:?}, not {FHIR_JSON}",
                self.asked
            ));
        }
        if parts.any(|part| part.starts_with("charset=") && part != "charset=utf-8") {
            return fail(format!("{}: FHIR is UTF-8, the answer says {media_type:?}", self.asked));
        }
        let value = self.json()?;
        match value["resourceType"].as_str() {
            Some(found) if found == rtype => Ok(value),
            found => fail(format!(
                "{}: resourceType is {}, not {rtype}",
                self.asked,
                found.unwrap_or("missing")
            )),
        }
    }

    /// Checks that the body is an OperationOutcome with at least one issue that has severity and code, and returns it.
    pub(super) fn outcome(&self) -> Checked<Value> {
        let outcome = self.resource("OperationOutcome")?;
        let issues = outcome["issue"].as_array().map_or(&[][..], Vec::as_slice);
        let grave = |issue: &Value| matches!(issue["severity"].as_str(), Some("error" | "fatal"));
        if issues.is_empty()
            || issues
                .iter()
                .any(|issue| !issue["severity"].is_string() || !issue["code"].is_string())
        {
            return fail(format!("{}: every issue needs severity and code", self.asked));
        }
        if self.status >= 400 && !issues.iter().any(grave) {
            return fail(format!("{}: a refusal without an issue of severity error", self.asked));
        }
        Ok(outcome)
    }
}

/// The HTTP clients with and without a certificate, and the record.
pub(super) struct Wire {
    with: reqwest::Client,
    without: reqwest::Client,
    exchanges: Vec<Exchange>,
}

impl Wire {
    /// # Errors
    /// [`Unusable`] for certificates or keys that cannot be used.
    pub(super) fn new(settings: &ClientSettings) -> Result<Wire, Unusable> {
        let unusable = |error: reqwest::Error| Unusable::invalid(error);
        let build = |identity: Option<&String>| -> Result<reqwest::Client, reqwest::Error> {
            let mut builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(60))
                .timeout(Duration::from_secs(120));
            if let Some(ca) = &settings.ca_pem {
                builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca.as_bytes())?);
            }
            if let Some(pem) = identity {
                builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
            }
            builder.build()
        };
        Ok(Wire {
            with: build(settings.identity_pem.as_ref()).map_err(unusable)?,
            without: build(None).map_err(unusable)?,
            exchanges: Vec::new(),
        })
    }

    /// Clears the record.
    pub(super) fn begin(&mut self) {
        self.exchanges.clear();
    }

    /// The last messages since [`Wire::begin`].
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges[self.exchanges.len().saturating_sub(EXCHANGES)..].to_vec()
    }

    /// Sends a request and records it.
    pub(super) async fn send(&mut self, call: Call) -> Checked<ServerAnswer> {
        let mut exchange = Exchange {
            method: call.method.to_owned(),
            url: call.url.clone(),
            request_headers: call.headers.iter().map(|(name, value)| shown(name, value)).collect(),
            request_body: cut(&hide(&String::from_utf8_lossy(
                call.body.as_deref().unwrap_or_default(),
            ))),
            status: 0,
            headers: Vec::new(),
            body: String::new(),
        };
        let asked = format!("{} {}", call.method, call.url);
        let answer = self.transport(call, asked.clone()).await;
        if let Ok(answer) = &answer {
            exchange.status = answer.status;
            exchange.headers = answer.headers.iter().map(|(name, value)| shown(name, value)).collect();
            exchange.body = cut(&hide(&String::from_utf8_lossy(&answer.body)));
        }
        self.exchanges.push(exchange);
        answer.map_err(|error| Stop::Error(format!("{asked}: no answer: {error}")))
    }

    /// Sends a request with a secret in its URL. Nothing is recorded, and the error does not contain the URL.
    pub(super) async fn send_unrecorded(&self, call: Call) -> Checked<ServerAnswer> {
        let asked = format!("{} with a secret in the URL", call.method);
        let answer = self.transport(call, asked.clone()).await;
        answer.map_err(|error| Stop::Error(format!("{asked}: no answer: {error}")))
    }

    async fn transport(&self, call: Call, asked: String) -> Result<ServerAnswer, String> {
        let describe = |error: reqwest::Error| {
            let error = error.without_url();
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            format!("{error}{cause}")
        };
        let client = if call.certificate { &self.with } else { &self.without };
        let method = reqwest::Method::from_bytes(call.method.as_bytes()).map_err(|error| error.to_string())?;
        let mut request = client.request(method, &call.url);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(describe)?;
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        Ok(ServerAnswer {
            status: response.status().as_u16(),
            headers,
            body: response.bytes().await.map_err(describe)?.to_vec(),
            asked,
        })
    }
}

fn shown(name: &str, value: &str) -> (String, String) {
    let secret = ["authorization", "cookie", "set-cookie", "proxy-authorization"];
    let hidden = secret.iter().any(|other| name.eq_ignore_ascii_case(other));
    (
        name.to_owned(),
        if hidden { HIDDEN.to_owned() } else { value.to_owned() },
    )
}

/// A body without assertions and tokens.
fn hide(body: &str) -> String {
    if let Ok(mut value) = serde_json::from_str::<Value>(body) {
        if value.get("access_token").is_some() {
            value["access_token"] = HIDDEN.into();
            return value.to_string();
        }
        return body.to_owned();
    }
    if !body.contains("client_assertion=") && !body.contains("token=") {
        return body.to_owned();
    }
    let parts: Vec<String> = body
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name @ ("client_assertion" | "token"), _)) => format!("{name}={HIDDEN}"),
            _ => part.to_owned(),
        })
        .collect();
    parts.join("&")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(BODY_CHARACTERS) {
        None => text.to_owned(),
        Some((at, _)) => format!("{} … ({} bytes in all)", &text[..at], text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_holds_no_secret() {
        assert_eq!(shown("Authorization", "Bearer abc").1, HIDDEN);
        assert_eq!(shown("accept", "x").1, "x");
        for (body, secret) in [
            (r#"{"access_token":"abc","expires_in":300}"#, "abc"),
            (
                "grant_type=client_credentials&client_assertion=abc.def.ghi&scope=x",
                "abc.def",
            ),
            ("token=abc", "abc"),
        ] {
            let kept = hide(body);
            assert!(!kept.contains(secret) && kept.contains("hidden"), "{kept}");
        }
        assert_eq!(
            hide("client_assertion_type=urn&client_assertion=x"),
            "client_assertion_type=urn&client_assertion=(hidden)"
        );
        assert!(cut(&"ä".repeat(3_000)).ends_with("… (6000 bytes in all)"));
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(query(&[("a", "x y|z"), ("b", "é")]), "a=x%20y%7Cz&b=%C3%A9");
    }
}

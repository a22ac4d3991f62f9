//! A request and an answer in the form in which defects work on them.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::Value;

/// The request.
pub(super) struct DefectRequest {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    /// Whether it has an `If-None-Match` header.
    pub(super) conditional: bool,
}

/// The answer that is about to be sent.
pub(super) struct DefectAnswer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// The names and values of a query.
pub(super) type Pairs = Vec<(String, String)>;

/// Rewrites the query of a request.
pub(super) type Rewrite = fn(&DefectRequest, Pairs) -> Pairs;

/// Changes an answer.
pub(super) type Spoil = fn(&DefectRequest, &mut DefectAnswer);

impl DefectRequest {
    /// The path below the FHIR base.
    pub(super) fn fhir(&self) -> Option<&str> {
        self.path.strip_prefix("/fhir/")
    }

    /// The type and id of a read.
    pub(super) fn read(&self) -> Option<(&str, &str)> {
        let (rtype, id) = self.fhir()?.split_once('/')?;
        let plain = rtype.starts_with(char::is_uppercase) && !id.contains('/') && !id.starts_with(['$', '_']);
        (plain && matches!(self.method.as_str(), "GET" | "HEAD")).then_some((rtype, id))
    }

    /// The type of a search.
    pub(super) fn search(&self) -> Option<&str> {
        let path = self.fhir()?;
        let rtype = path.strip_suffix("/_search").unwrap_or(path);
        (rtype.starts_with(char::is_uppercase) && !rtype.contains('/')).then_some(rtype)
    }

    pub(super) fn everything(&self) -> bool {
        self.path.ends_with("/$everything")
    }

    pub(super) fn member_match(&self) -> bool {
        self.path.ends_with("/$member-match")
    }

    pub(super) fn token(&self) -> bool {
        self.path == "/oauth/token"
    }
}

impl DefectAnswer {
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Changes a JSON body.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Some(mut value) = self.json() {
            change(&mut value);
            self.body = value.to_string().into_bytes();
        }
    }

    /// Changes every resource: the body itself, or those in its entries.
    pub(super) fn each_resource(&mut self, change: impl Fn(&mut Value)) {
        self.edit(|value| {
            if value["resourceType"] != "Bundle" {
                return change(value);
            }
            let entries = value.get_mut("entry").and_then(Value::as_array_mut);
            entries
                .into_iter()
                .flatten()
                .for_each(|entry| change(&mut entry["resource"]));
        });
    }

    pub(super) fn drop_header(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    pub(super) fn set_header(&mut self, name: &str, value: &str) {
        self.drop_header(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn replace(&mut self, status: u16, body: &Value) {
        self.status = status;
        self.body = body.to_string().into_bytes();
    }

    pub(super) fn is_error(&self) -> bool {
        self.status >= 400
    }

    pub(super) fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        for (name, value) in &self.headers {
            let framing = name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding");
            if let (false, Ok(name), Ok(value)) = (framing, HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.append_header((name, value));
            }
        }
        response.body(self.body)
    }
}

//! Planted defects: answers spoiled on purpose, so that the conformance runner can be shown to notice each of them.
//!
//! In builds with debug assertions only, and there only when `CAUSEWAY_PLANTED_DEFECT` names a file whose text is the name of one; a
//! release build has none of this. The file is read at every request, so that one server can be spoiled in one way after the other.
//! What they change is the wire: the request before it is routed, or the answer after it is made. No handler knows of them.

mod answers;
mod requests;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{StatusCode, Uri};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::LazyLock;

/// The variable that names the file.
pub const VARIABLE: &str = "CAUSEWAY_PLANTED_DEFECT";

/// What was asked.
struct Asked {
    method: String,
    path: String,
    query: String,
    /// Whether it has `If-None-Match`.
    conditional: bool,
}

/// What is about to be answered.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The names and values of a query.
type Pairs = Vec<(String, String)>;
type Rewrite = fn(&Asked, Pairs) -> Pairs;
type Spoil = fn(&Asked, &mut Answer);

/// How a defect works.
#[derive(Clone, Copy)]
enum Defect {
    /// It rewrites the query of a request.
    Query(Rewrite),
    /// It spoils an answer.
    Answer(Spoil),
}

static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let file = std::env::var_os(VARIABLE).map(PathBuf::from);
    if file.is_some() {
        tracing::warn!("this server can be spoiled by planted defects");
    }
    file
});

fn planted() -> Option<Defect> {
    let name = std::fs::read_to_string(FILE.as_ref()?).ok()?;
    rows()
        .find(|(other, _)| *other == name.trim())
        .map(|(_, defect)| defect)
}

fn rows() -> impl Iterator<Item = (&'static str, Defect)> {
    let requests = requests::ROWS
        .iter()
        .map(|(name, defect)| (*name, Defect::Query(*defect)));
    let answers = answers::ROWS
        .iter()
        .map(|(name, defect)| (*name, Defect::Answer(*defect)));
    requests.chain(answers)
}

/// The names of all defects.
pub fn names() -> Vec<&'static str> {
    rows().map(|(name, _)| name).collect()
}

/// The middleware; it passes everything on when no defect is planted.
pub async fn spoil(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let asked = Asked {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        conditional: request.headers().contains_key("if-none-match"),
    };
    match planted() {
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Some(Defect::Query(rewrite)) => {
            let pairs = super::negotiate::pairs(&asked.query).unwrap_or_default();
            let parts: Vec<String> = rewrite(&asked, pairs)
                .iter()
                .map(|(name, value)| format!("{}={}", super::negotiate::encode(name), super::negotiate::encode(value)))
                .collect();
            let sign = if parts.is_empty() { "" } else { "?" };
            if let Ok(uri) = format!("{}{sign}{}", asked.path, parts.join("&")).parse::<Uri>() {
                request.head_mut().uri = uri.clone();
                request.match_info_mut().get_mut().update(&uri);
            }
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Some(Defect::Answer(spoil)) => {
            let response = next.call(request).await?;
            let (request, response) = response.into_parts();
            let (head, body) = response.into_parts();
            let mut answer = Answer {
                status: head.status().as_u16(),
                headers: head
                    .headers()
                    .iter()
                    .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                    .collect(),
                body: to_bytes(body).await.map(|bytes| bytes.to_vec()).unwrap_or_default(),
            };
            spoil(&asked, &mut answer);
            Ok(ServiceResponse::new(request, answer.into_response()))
        }
    }
}

impl Asked {
    /// The path below the FHIR base.
    fn fhir(&self) -> Option<&str> {
        self.path.strip_prefix("/fhir/")
    }

    /// The type and id of a read.
    fn read(&self) -> Option<(&str, &str)> {
        let (rtype, id) = self.fhir()?.split_once('/')?;
        let plain = rtype.starts_with(char::is_uppercase) && !id.contains('/') && !id.starts_with(['$', '_']);
        (plain && matches!(self.method.as_str(), "GET" | "HEAD")).then_some((rtype, id))
    }

    /// The type of a search.
    fn search(&self) -> Option<&str> {
        let path = self.fhir()?;
        let rtype = path.strip_suffix("/_search").unwrap_or(path);
        (rtype.starts_with(char::is_uppercase) && !rtype.contains('/')).then_some(rtype)
    }

    fn everything(&self) -> bool {
        self.path.ends_with("/$everything")
    }

    fn member_match(&self) -> bool {
        self.path.ends_with("/$member-match")
    }

    fn token(&self) -> bool {
        self.path == "/oauth/token"
    }
}

impl Answer {
    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Changes a JSON body.
    fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        if let Some(mut value) = self.json() {
            change(&mut value);
            self.body = value.to_string().into_bytes();
        }
    }

    /// Changes every resource: the body itself, or those in its entries.
    fn each_resource(&mut self, change: impl Fn(&mut Value)) {
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

    fn drop_header(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    fn set_header(&mut self, name: &str, value: &str) {
        self.drop_header(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    fn replace(&mut self, status: u16, body: &Value) {
        self.status = status;
        self.body = body.to_string().into_bytes();
    }

    fn is_error(&self) -> bool {
        self.status >= 400
    }

    fn into_response(self) -> HttpResponse {
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

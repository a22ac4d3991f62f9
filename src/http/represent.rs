//! The outermost ring: gives a FHIR answer the form that was asked for (a page, indented JSON, the generic media type), and
//! opens public documents to scripts of other origins.
//!
//! Handlers answer FHIR JSON and know no other form. What they decided is never changed here: no status, no resource.

use super::documents::Documents;
use super::edge::SharedBody;
use super::negotiate::{self, Form, Wanted};
use super::page::{self, Answer, Site};
use super::pretty::Indent;
use super::reply::{FHIR_JSON, outcome_response};
use super::routes::{self, Access};
use crate::app::App;
use crate::error::{Failure, Fault};
use actix_web::body::{BodySize, BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

/// Headers of ours that scripts of other origins may read.
const EXPOSED: &str = "ETag, Last-Modified, Location, X-Request-Id, X-Correlation-Id";

/// The middleware.
pub async fn represent(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    // What cannot be served is refused by the handler, after it knows who asks; that refusal is JSON.
    let wanted = negotiate::wanted(request.request()).unwrap_or_default();
    let app = request.app_data::<Data<App>>().cloned();
    let documents = request.app_data::<Data<Documents>>().cloned();
    let mut response = next.call(request).await?.map_into_boxed_body();
    if is_public(response.request()) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    let is_fhir = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == FHIR_JSON);
    if is_fhir || response.status() == StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .append(header::VARY, HeaderValue::from_static("Accept"));
    }
    if !is_fhir {
        return Ok(response);
    }
    match (app, documents, wanted) {
        (Some(app), Some(documents), Wanted { form: Form::Html, .. }) => Ok(as_page(response, &app, &documents).await),
        (_, _, wanted) => Ok(as_json(response, wanted)),
    }
}

fn is_public(request: &HttpRequest) -> bool {
    routes::of(request).is_some_and(|route| route.access == Access::Public)
}

fn as_json(mut response: ServiceResponse<BoxBody>, wanted: Wanted) -> ServiceResponse<BoxBody> {
    if wanted.generic {
        let generic = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, generic);
    }
    if wanted.pretty {
        response.response_mut().extensions_mut().remove::<SharedBody>();
        return response.map_body(|_, body| indented(body));
    }
    response
}

/// A body with its JSON indented, in memory when it is there already, else piece by piece.
fn indented(body: BoxBody) -> BoxBody {
    let mut indent = Indent::default();
    let body = match body.try_into_bytes() {
        Ok(bytes) => return BoxBody::new(Bytes::from(indent.piece(&bytes))),
        Err(body) => body,
    };
    if body.size() == BodySize::None {
        return body;
    }
    let pieces = stream::unfold((body, indent), |(mut body, mut indent)| async move {
        let piece = poll_fn(|context| Pin::new(&mut body).poll_next(context)).await?;
        Some((piece.map(|bytes| Bytes::from(indent.piece(&bytes))), (body, indent)))
    });
    BoxBody::new(actix_web::body::BodyStream::new(Box::pin(pieces)))
}

async fn as_page(response: ServiceResponse<BoxBody>, app: &App, documents: &Documents) -> ServiceResponse<BoxBody> {
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    page_headers(response.headers_mut());
    response.extensions_mut().remove::<SharedBody>();
    if request.method() == Method::HEAD {
        return ServiceResponse::new(request, response.set_body(BoxBody::new(actix_web::body::None::new())));
    }
    let base_url = app.ctx.payer.base_url.clone();
    let statement = Arc::clone(&documents.now().statement);
    let bytes = to_bytes_limited(body, page::SHOWN_BYTES).await.map(Result::ok);
    let asked = Asked::of(&request, &response);
    // Not on this thread: it serves other requests meanwhile.
    let drawn = web::block(move || {
        let site = Site::new(&base_url, statement);
        match bytes {
            Err(_) => Some(page::too_large(&site, &site.plain_path(&asked.path))),
            Ok(bytes) => {
                let resource = serde_json::from_slice::<Value>(&bytes?).ok()?;
                Some(shown(&site, &asked, &resource))
            }
        }
    });
    match drawn.await {
        Ok(Some(text)) => ServiceResponse::new(request, response.set_body(text).map_into_boxed_body()),
        // The stream of the answer broke off.
        Ok(None) | Err(_) => {
            let failure = Failure::new(Fault::StoreUnavailable);
            ServiceResponse::new(request, outcome_response(&failure, &app.ctx.payer.base_url))
        }
    }
}

/// What a page repeats of its request.
struct Asked {
    status: u16,
    path: String,
    is_bare: bool,
    request_id: String,
}

impl Asked {
    fn of(request: &HttpRequest, response: &HttpResponse<()>) -> Asked {
        let shapes = ["_format", "_pretty"];
        let names_nobody = negotiate::pairs(request.query_string())
            .is_ok_and(|pairs| pairs.iter().all(|(name, _)| shapes.contains(&name.as_str())));
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        Asked {
            status: response.status().as_u16(),
            path: request.path().to_owned(),
            is_bare: names_nobody && request.method() == Method::GET,
            request_id: id.unwrap_or_default().to_owned(),
        }
    }
}

fn page_headers(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, page::POLICY.as_str()),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

fn shown(site: &Site, asked: &Asked, resource: &Value) -> String {
    let path = site.plain_path(&asked.path);
    let by_address = asked.is_bare && path == asked.path;
    let answer = Answer {
        status: asked.status,
        path: &path,
        json_href: by_address.then(|| format!("{path}?_format=json")),
        request_id: &asked.request_id,
        resource,
    };
    page::page(site, &answer)
}

/// The answer to a preflight of a public document (Fetch standard, "CORS protocol").
pub fn preflight(allowed: &str) -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, allowed.to_owned()))
        .insert_header((
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, If-None-Match, If-Modified-Since",
        ))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "3600"))
        .insert_header((header::ALLOW, allowed.to_owned()))
        .finish()
}

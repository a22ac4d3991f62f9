//! The middleware that gives a FHIR answer the form that was asked for (a page, indented JSON, the generic media type), and that lets
//! scripts of other origins read public documents.
//!
//! Handlers answer in FHIR JSON only. This middleware never changes a status or a resource.

use super::around;
use super::document::PublicDocument;
use super::documents::Documents;
use super::drawing::{Drawing, PageAsker};
use super::edge::{self, HeldBytes, Seat, SharedBody};
use super::explorer;
use super::negotiate::{self, AnswerForm, Negotiated};
use super::outgoing::{DisclosedPage, KeptOpen};
use super::page::{self, PageReader, PageSite, PageSubject};
use super::pretty::Indent;
use super::reply::{FHIR_JSON, outcome_response};
use super::request_notes::{FilledTypes, SeenPartner, WantedRequest};
use super::routes::{self, RouteAccess};
use crate::error::Fault;
use crate::http::state::App;
use actix_web::body::{BodySize, BodyStream, BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};
use futures_util::stream;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Response headers that scripts of other origins may read.
const EXPOSED: &str = "ETag, Last-Modified, Location, Retry-After, Idempotent-Replayed, X-Request-Id, X-Correlation-Id, traceparent, \
                       X-Causeway-Contract, Deprecation, Sunset";

/// Bytes of JSON that are indented at once.
const INDENTED_BYTES: usize = 32 * 1024;

/// The middleware.
pub async fn represent(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    // A form that this server does not offer is refused by the handler, after the caller is authenticated; that refusal is JSON.
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
        (
            Some(app),
            Some(documents),
            Negotiated {
                form: AnswerForm::Html, ..
            },
        ) => Ok(as_page(response, &app, &documents).await),
        (_, _, wanted) => Ok(as_json(response, wanted)),
    }
}

fn is_public(request: &HttpRequest) -> bool {
    routes::of(request).is_some_and(|route| route.access == RouteAccess::Public)
}

fn as_json(mut response: ServiceResponse<BoxBody>, wanted: Negotiated) -> ServiceResponse<BoxBody> {
    if wanted.generic {
        let generic = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, generic);
    }
    if !wanted.pretty {
        return response;
    }
    let document = response.response().extensions().get::<PublicDocument>().cloned();
    match document {
        Some(document) => response.map_body(|_, _| BoxBody::new(document.indented())),
        None => {
            let held = held_by(response.response().body());
            response.response_mut().extensions_mut().insert(held);
            response.map_body(|_, body| indented(body))
        }
    }
}

/// The memory that a body takes which is sent in another form, piece by piece.
fn held_by(body: &BoxBody) -> HeldBytes {
    HeldBytes(match body.size() {
        BodySize::Sized(bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
        BodySize::None | BodySize::Stream => 0,
    })
}

/// Indents the JSON of a body: a small body at once, a large one piece by piece, so that it blocks no thread and is never in memory as a
/// whole.
fn indented(body: BoxBody) -> BoxBody {
    let mut indent = Indent::default();
    let body = match body.try_into_bytes() {
        Ok(bytes) if bytes.len() <= INDENTED_BYTES => return BoxBody::new(Bytes::from(indent.piece(&bytes))),
        Ok(bytes) => BoxBody::new(bytes),
        Err(body) => body,
    };
    if matches!(body.size(), BodySize::None | BodySize::Sized(0)) {
        return body;
    }
    let state = (body, Bytes::new(), indent);
    let pieces = stream::unfold(state, |(mut body, mut rest, mut indent)| async move {
        while rest.is_empty() {
            match poll_fn(|context| Pin::new(&mut body).poll_next(context)).await? {
                Ok(bytes) => rest = bytes,
                Err(error) => return Some((Err(error), (body, rest, indent))),
            }
        }
        let piece = rest.split_to(rest.len().min(INDENTED_BYTES));
        Some((Ok(Bytes::from(indent.piece(&piece))), (body, rest, indent)))
    });
    BoxBody::new(BodyStream::new(Box::pin(pieces)))
}

async fn as_page(response: ServiceResponse<BoxBody>, app: &App, documents: &Documents) -> ServiceResponse<BoxBody> {
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    page_headers(response.headers_mut());
    let (reader, cookie) = explorer::reader(&request, app, response.status());
    let is_anybodys = matches!(reader, PageReader::Anybody);
    headers_for(response.headers_mut(), is_anybodys, cookie);
    if request.method() == Method::HEAD {
        return ServiceResponse::new(request, response.set_body(BoxBody::new(actix_web::body::None::new())));
    }
    let asker = match request.extensions().get::<SeenPartner>() {
        Some(seen) => PageAsker::Partner(seen.0.clone()),
        None => PageAsker::Stranger,
    };
    let site = Arc::clone(&documents.now().site);
    let document = response.extensions().get::<PublicDocument>().cloned();
    let drawn = match document {
        Some(document) if is_anybodys => document.page(&site, &documents.drawing, &asker).await,
        _ => {
            // This page is made for one request, also where the JSON is everybody's.
            response.extensions_mut().remove::<SharedBody>();
            let site = Arc::new(site.read_by(reader));
            let json = body_of(body, app.config.limits.handler);
            let asked = Asked::of(&request, &response);
            draw(asked, json, site, &documents.drawing, &asker, edge::seat_of(&request)).await
        }
    };
    match drawn {
        Ok(page) => {
            let kept = response.extensions_mut().remove::<KeptOpen>();
            let page = BoxBody::new(DisclosedPage::new(page, kept));
            ServiceResponse::new(request, response.set_body(page))
        }
        Err(fault) => {
            let mut refusal = outcome_response(&fault.into(), &app.ctx.payer.base_url);
            around::keep_headers(response.headers(), &mut refusal);
            ServiceResponse::new(request, refusal)
        }
    }
}

/// The headers by which caches keep a page apart from the page of another reader, and its cookie.
fn headers_for(headers: &mut HeaderMap, is_anybodys: bool, cookie: Option<HeaderValue>) {
    headers.append(header::VARY, HeaderValue::from_static("Cookie, Sec-Fetch-Site"));
    if !is_anybodys {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.remove(header::ETAG);
        headers.remove(header::LAST_MODIFIED);
    }
    if let Some(cookie) = cookie {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// The bytes of an answer's body, which is made as it is read, within the time of a handler; `None` when it is too large to be shown.
async fn body_of(body: BoxBody, within: Duration) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(within, to_bytes_limited(body, page::SHOWN_BYTES)).await {
        Ok(Ok(bytes)) => bytes.map(Some).map_err(|_| Fault::StoreUnavailable),
        Ok(Err(_)) => Ok(None),
        Err(_) => Err(Fault::Overloaded),
    }
}

/// Renders the page of an answer that only this request gets. The turn is taken when the body is there, and for the rendering alone; while it
/// waits, the body takes of the partner's room for answers.
async fn draw(
    asked: Asked,
    json: impl Future<Output = Result<Option<Bytes>, Fault>>,
    site: Arc<PageSite>,
    drawing: &Drawing,
    asker: &PageAsker,
    seat: Option<Rc<Seat>>,
) -> Result<Bytes, Fault> {
    let bytes = json.await?;
    if let (Some(seat), Some(bytes)) = (seat, &bytes) {
        seat.keeps(bytes.len());
    }
    let pen = drawing.turn(asker).await?;
    let text = pen
        .run(move || match bytes {
            None => Some(page::too_large(
                &site,
                &site.plain_path(&asked.wanted.path),
                &asked.wanted.fields,
            )),
            Some(bytes) => serde_json::from_slice::<Value>(&bytes)
                .ok()
                .map(|resource| shown(&site, &asked, &resource)),
        })
        .await?;
    text.map(Bytes::from).ok_or(Fault::StoreUnavailable)
}

/// What a page shows about its request.
struct Asked {
    status: u16,
    wanted: WantedRequest,
    /// Whether a GET of the address alone gives the same as JSON, to whoever reads the page.
    is_bare: bool,
    request_id: String,
    filled: FilledTypes,
}

impl Asked {
    fn of(request: &HttpRequest, response: &HttpResponse<()>) -> Asked {
        let shapes = ["_format", "_pretty"];
        let pairs = negotiate::pairs(request.query_string());
        let names_nobody = pairs
            .as_ref()
            .is_ok_and(|pairs| pairs.iter().all(|(name, _)| shapes.contains(&name.as_str())));
        let has_session = explorer::session_of(request).is_some();
        let id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
        let of_form = request.extensions().get::<WantedRequest>().cloned();
        let filled = response.extensions().get::<FilledTypes>().cloned();
        Asked {
            status: response.status().as_u16(),
            wanted: of_form.unwrap_or_else(|| WantedRequest {
                is_posted: request.method() == Method::POST,
                path: request.path().to_owned(),
                fields: pairs
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(name, value)| !shapes.contains(&name.as_str()) && !value.is_empty())
                    .collect(),
            }),
            is_bare: names_nobody && request.method() == Method::GET && !has_session,
            request_id: id.unwrap_or_default().to_owned(),
            filled: filled.unwrap_or_default(),
        }
    }
}

pub(super) fn page_headers(headers: &mut HeaderMap) {
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

fn shown(site: &PageSite, asked: &Asked, resource: &Value) -> String {
    let path = site.plain_path(&asked.wanted.path);
    let by_address = asked.is_bare && path == asked.wanted.path;
    let answer = PageSubject {
        status: asked.status,
        path: &path,
        is_posted: asked.wanted.is_posted,
        fields: &asked.wanted.fields,
        json_href: by_address.then(|| format!("{path}?_format=json")),
        request_id: &asked.request_id,
        filled: &asked.filled,
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::future::pending;

    fn asked() -> Asked {
        Asked {
            status: 200,
            wanted: WantedRequest {
                is_posted: false,
                path: "/fhir/Patient/1".to_owned(),
                fields: Vec::new(),
            },
            is_bare: true,
            request_id: String::new(),
            filled: FilledTypes::default(),
        }
    }

    #[actix_web::test]
    async fn t_b07_an_answer_that_is_still_made_keeps_no_page_of_others_waiting() {
        let drawing = Drawing::of_this_machine();
        let site = || Arc::new(PageSite::new("https://p/fhir", serde_json::json!({})));
        let of = |id: &str| PageAsker::Partner(id.to_owned());
        let hostile: Vec<PageAsker> = (0..8).map(|n| of(&format!("hostile {n}"))).collect();
        let waiting = hostile
            .iter()
            .map(|asker| draw(asked(), pending(), site(), &drawing, asker, None));
        let mut waiting = std::pin::pin!(futures_util::future::join_all(waiting));
        assert!(waiting.as_mut().now_or_never().is_none());
        let json = async { Ok(Some(Bytes::from_static(b"{\"resourceType\":\"Patient\"}"))) };
        let victim = of("victim");
        let page = draw(asked(), json, site(), &drawing, &victim, None);
        let page = tokio::time::timeout(Duration::from_secs(120), page).await;
        assert!(page.is_ok_and(|page| page.is_ok()));
    }

    #[tokio::test]
    async fn an_answer_is_made_for_its_page_within_the_time_of_a_handler() {
        let never = BoxBody::new(BodyStream::new(stream::pending::<Result<Bytes, std::io::Error>>()));
        let made = body_of(never, Duration::from_millis(20)).await;
        assert_eq!(made, Err(Fault::Overloaded));
        let small = BoxBody::new(Bytes::from_static(b"{}"));
        assert_eq!(
            body_of(small, Duration::from_secs(30)).await,
            Ok(Some(Bytes::from_static(b"{}")))
        );
    }
}

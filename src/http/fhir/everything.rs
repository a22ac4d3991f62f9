//! `GET|POST Patient/{id}/$everything`: streamed, or paged when `_count` asks for it.

use super::authorised::Authorised;
use crate::app::App;
use crate::clock;
use crate::error::{Failure, Fault};
use crate::http::body;
use crate::http::negotiate::{self, Form, encode};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::release::{Everything, Query};
use crate::security::Permission;
use crate::store::disclosure::Window;
use actix_web::http::{Method, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::stream;

/// Bytes of a Parameters body.
const BODY_BYTES: usize = 64 * 1024;
/// Entries on a page for people; more is on the pages after it.
const SHOWN_ENTRIES: i64 = 50;
/// Largest page.
const COUNT_MAX: i64 = 1_000;

/// The operation by URL.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &authorised, &id, &app, &pairs).await
}

/// The operation by a Parameters body, or by an empty one.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let typed = request.headers().contains_key(header::CONTENT_TYPE);
    let bytes = if typed {
        body::fhir_json(&request, payload, BODY_BYTES).await?
    } else {
        body::any(&request, payload, BODY_BYTES).await?
    };
    if !typed && !bytes.is_empty() {
        return Err(Fault::MediaTypeRefused.into());
    }
    let pairs = if bytes.is_empty() {
        Vec::new()
    } else {
        parameters(&bytes)?
    };
    answer(&request, &authorised, &id, &app, &pairs).await
}

async fn answer(
    request: &HttpRequest,
    authorised: &Authorised,
    id: &str,
    app: &App,
    pairs: &[(String, String)],
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(request)?;
    let pairs = &negotiate::filled(pairs.to_vec(), form);
    let strict = negotiate::is_strict(request);
    let mut query = Query::default();
    let mut page = None;
    let mut shape = String::new();
    for (name, value) in pairs {
        let wrong = || {
            let remedy = match name.as_str() {
                "_count" => "Give a whole number above 0.",
                "_since" => "Give an instant: YYYY-MM-DDThh:mm:ss with its zone.",
                _ => "Give a date: YYYY, YYYY-MM or YYYY-MM-DD.",
            };
            let place = format!("Patient.$everything.{name}");
            Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
        };
        match name.as_str() {
            "_count" => {
                let count = value.parse::<i64>().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
                query.count = Some(count.min(COUNT_MAX));
            }
            "_type" => query.window.types.extend(value.split(',').map(str::to_owned)),
            "_since" => query.window.since_ms = Some(clock::parse_rfc3339_ms(value).ok_or_else(wrong)?),
            "start" => query.window.care_from_ms = Some(clock::date_start_ms(value).ok_or_else(wrong)?),
            "end" => query.window.care_until_ms = Some(clock::date_end_ms(value).ok_or_else(wrong)?),
            "_page" => page = Some(value.clone()),
            "_format" | "_pretty" => continue,
            _ if strict => {
                return Err(Failure::new(Fault::ParameterUnknown)
                    .at("Patient.$everything")
                    .remedy("This operation takes start, end, _since, _type and _count.")
                    .into());
            }
            _ => continue,
        }
        if name != "_page" {
            shape.push_str(&format!(
                "{}{name}={}",
                if shape.is_empty() { "" } else { "&" },
                encode(value)
            ));
        }
    }
    if query
        .window
        .types
        .iter()
        .any(|rtype| rtype.is_empty() || !rtype.bytes().all(|b| b.is_ascii_alphabetic()))
    {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("Patient.$everything._type")
            .into());
    }
    if form == Form::Html {
        query.count = Some(query.count.map_or(SHOWN_ENTRIES, |count| count.min(SHOWN_ENTRIES)));
    }
    narrow_to_scopes(&mut query.window, authorised);
    let binding = format!("{}|{id}|{shape}", authorised.caller.partner.id);
    if let Some(link) = &page {
        query.after_key = Some(app.links.read(link, &binding, app.ctx.clock.lasting_ms())?);
    }
    let url = format!(
        "{}/Patient/{id}/$everything{}{shape}",
        app.ctx.payer.base_url,
        if shape.is_empty() { "" } else { "?" }
    );
    let next = {
        let (links, clock, url) = (app.links.clone(), app.ctx.clock.clone(), url.clone());
        let sign = if shape.is_empty() { '?' } else { '&' };
        Box::new(move |key| format!("{url}{sign}_page={}", links.make(&binding, key, clock.lasting_ms())))
    };
    let mut everything = Everything::begin(&app.ctx, &authorised.caller, id, query, url, next).await?;
    if request.method() == Method::HEAD {
        everything.head_only();
        return Ok(head().streaming(stream::empty::<Result<Bytes, Failure>>()));
    }
    // The first piece is made before the status is sent, so that its failure still is an answer.
    let first = everything.next().await?;
    let rest = stream::unfold(Some(everything), |state| async move {
        let mut everything = state?;
        match everything.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(everything))),
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
        }
    });
    let first = stream::iter(first.map(Ok::<_, Failure>));
    Ok(head().streaming(futures_util::StreamExt::chain(first, rest)))
}

fn head() -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    response
}

/// A scope that names types narrows the answer to them.
fn narrow_to_scopes(window: &mut Window, authorised: &Authorised) {
    let Some(readable) = authorised.scopes.types(Permission::Read) else {
        return;
    };
    if window.types.is_empty() {
        window.types = readable;
    } else {
        window.types.retain(|rtype| readable.contains(rtype));
        if window.types.is_empty() {
            window.types.push(String::new());
        }
    }
}

/// The parameters of a Parameters body as name and text.
fn parameters(bytes: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let screened = crate::fhir::prescreen::screen(bytes, &crate::fhir::prescreen::Limits::request())?;
    if screened.resource_type() != "Parameters" {
        return Err(Failure::new(Fault::ResourceInvalid)
            .at("Parameters")
            .remedy("Send a Parameters resource."));
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| Failure::new(Fault::NotJson))?;
    let mut pairs = Vec::new();
    for (at, parameter) in value["parameter"].as_array().into_iter().flatten().enumerate() {
        let wrong = || Failure::new(Fault::ParameterInvalid).at(format!("Parameters.parameter[{at}]"));
        let name = parameter["name"].as_str().ok_or_else(wrong)?;
        let given = parameter
            .as_object()
            .into_iter()
            .flatten()
            .find(|(key, _)| key.starts_with("value"));
        let text = match given.map(|(_, value)| value) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => return Err(wrong()),
        };
        pairs.push((name.to_owned(), text));
    }
    Ok(pairs)
}

//! `GET|POST Patient/{id}/$everything`: streamed, or in pages when `_count` asks for them.

use super::authorised::Authorised;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{self, ScreenLimits};
use crate::fhir::when;
use crate::http::body;
use crate::http::edge::PieceRoom;
use crate::http::limits::{ROOM_WAIT, STREAM_WAIT};
use crate::http::negotiate::{self, AnswerForm};
use crate::http::outgoing::{self, KeptOpen};
use crate::http::page::{PART_BYTES, RECORD_ENTRIES};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::state::App;
use crate::percent::encode;
use crate::release::{Everything, EverythingQuery};
use crate::security::Permission;
use crate::store::record_rows::Window;
use actix_web::http::{Method, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use futures_util::stream;

/// Largest Parameters body in bytes.
const BODY_BYTES: usize = 64 * 1024;
/// Entries on one HTML page; the others follow on further pages.
const SHOWN_ENTRIES: i64 = 50;
/// Largest `_count`.
const COUNT_MAX: i64 = 1_000;
/// Most names in all `_type` parameters (threat B09). Each piece of the answer compares with all of them; R4 has 148 types.
const TYPES_MAX: usize = 200;

/// The operation with its parameters in the URL.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &authorised, &id, &app, &pairs, SHOWN_ENTRIES).await
}

/// A member's record for the page of the Patient: the beginning of what the operation returns, under the same rights and in the ledger as
/// such.
pub(super) async fn record_page(
    request: &HttpRequest,
    authorised: &Authorised,
    id: &str,
    app: &App,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = [("_count".to_owned(), RECORD_ENTRIES.to_string())];
    answer(request, authorised, id, app, &pairs, RECORD_ENTRIES).await
}

/// The operation with its parameters in a Parameters body, or with an empty body.
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
        parameters(&bytes, &ScreenLimits::request())?
    };
    answer(&request, &authorised, &id, &app, &pairs, SHOWN_ENTRIES).await
}

/// The parameters of a request.
#[derive(Default)]
struct Asked {
    query: EverythingQuery,
    /// The `_page` of the page link that was followed.
    page: Option<String>,
    /// The selecting parameters as a query string, which the links of every page repeat.
    shape: String,
}

impl Asked {
    /// Reads the parameters. An unknown one is refused when `strict`, else ignored.
    fn read(pairs: &[(String, String)], strict: bool) -> Result<Asked, Failure> {
        let mut asked = Asked::default();
        for (name, value) in pairs {
            let query = &mut asked.query;
            let wrong = || wrong(name);
            match name.as_str() {
                "_count" => {
                    let count = value.parse::<i64>().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
                    query.count = Some(count.min(COUNT_MAX));
                }
                "_type" => query.window.types.extend(value.split(',').map(str::to_owned)),
                "_since" => query.window.since_ms = Some(when::instant_ms(value).ok_or_else(wrong)?),
                "start" => query.window.care_from_ms = Some(when::range_ms(value).ok_or_else(wrong)?.0),
                "end" => query.window.care_until_ms = Some(when::range_ms(value).ok_or_else(wrong)?.1 + 1),
                "_page" => {
                    asked.page = Some(value.clone());
                    continue;
                }
                "_format" | "_pretty" => continue,
                _ if strict => {
                    return Err(Failure::new(Fault::ParameterUnknown)
                        .at("Patient.$everything")
                        .remedy("This operation takes start, end, _since, _type and _count."));
                }
                _ => continue,
            }
            let sign = if asked.shape.is_empty() { "" } else { "&" };
            asked.shape.push_str(&format!("{sign}{name}={}", encode(value)));
        }
        let is_name = |rtype: &String| !rtype.is_empty() && rtype.bytes().all(|b| b.is_ascii_alphabetic());
        let types = &asked.query.window.types;
        match types.len() <= TYPES_MAX && types.iter().all(is_name) {
            true => Ok(asked),
            false => Err(Failure::new(Fault::ParameterInvalid)
                .at("Patient.$everything._type")
                .remedy(format!(
                    "Name at most {TYPES_MAX} resource types, with commas between them."
                ))),
        }
    }
}

fn wrong(name: &str) -> Failure {
    let remedy = match name {
        "_count" => "Give a whole number above 0.",
        "_since" => "Give an instant: YYYY-MM-DDThh:mm:ss with its zone.",
        _ => "Give a date: YYYY, YYYY-MM or YYYY-MM-DD.",
    };
    let place = format!("Patient.$everything.{name}");
    Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
}

/// Answers the operation; a page has at most `shown` entries.
async fn answer(
    request: &HttpRequest,
    authorised: &Authorised,
    id: &str,
    app: &App,
    pairs: &[(String, String)],
    shown: i64,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(request)?;
    let pairs = negotiate::filled(pairs.to_vec(), form);
    let Asked { mut query, page, shape } = Asked::read(&pairs, negotiate::is_strict(request))?;
    if form == AnswerForm::Html {
        query.count = Some(query.count.map_or(shown, |count| count.min(shown)));
        query.most_bytes = Some(PART_BYTES);
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
    let terms = outgoing::terms(app, request);
    let mut everything = Everything::begin(&app.ctx, &authorised.caller, terms, id, query, url, next).await?;
    if request.method() == Method::HEAD {
        everything.head_only();
        return Ok(head(app).streaming(stream::empty::<Result<Bytes, Failure>>()));
    }
    let kept = KeptOpen::of(form);
    if kept.is_some() {
        everything.stay_open();
    }
    // The first piece is made before the status is sent, so that a failure can still become the answer.
    let mut pieces = PieceRoom::of(request, kept.is_some());
    let first = everything
        .next(async |bytes| pieces.exchange(bytes, ROOM_WAIT).await)
        .await?;
    let ends = kept.clone();
    let rest = stream::unfold(Some((everything, ends, pieces)), |state| async move {
        let (mut everything, kept, mut pieces) = state?;
        // The piece before was taken.
        pieces.leave();
        let next = everything.next(async |bytes| pieces.exchange(bytes, STREAM_WAIT).await);
        match next.await {
            Ok(Some(piece)) => Some((Ok(piece), Some((everything, kept, pieces)))),
            Ok(None) => {
                if let Some(kept) = kept {
                    kept.keep(everything.into_open());
                }
                None
            }
            Err(failure) => Some((Err(failure), None)),
        }
    });
    let first = stream::iter(first.map(Ok::<_, Failure>));
    let mut answer = head(app).streaming(futures_util::StreamExt::chain(first, rest));
    if let Some(kept) = kept {
        answer.extensions_mut().insert(kept);
    }
    Ok(answer)
}

fn head(app: &App) -> HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    app.checkpoint.put(&mut response);
    response
}

/// Limits the answer to the types that the token's scope names, if it names types.
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

/// The parameters of a Parameters body as pairs of name and text; of a reference, the address.
pub(super) fn parameters(bytes: &[u8], limits: &ScreenLimits) -> Result<Vec<(String, String)>, Failure> {
    let screened = prescreen::screen(bytes, limits)?;
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
            Some(serde_json::Value::Object(object)) if parameter.get("valueReference").is_some() => object
                .get("reference")
                .and_then(|text| text.as_str())
                .ok_or_else(wrong)?
                .to_owned(),
            _ => return Err(wrong()),
        };
        pairs.push((name.to_owned(), text));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_b09_the_types_of_a_record_are_few() {
        let of = |value: String| {
            let pairs = [("_type".to_owned(), "Goal".to_owned()), ("_type".to_owned(), value)];
            Asked::read(&pairs, false)
        };
        let types = |count: usize| vec!["Goal"; count].join(",");
        let most = of(types(TYPES_MAX - 1)).expect("as many as there may be");
        assert_eq!(most.query.window.types.len(), TYPES_MAX);
        for value in [
            types(TYPES_MAX),
            types(30_000),
            "Goal,,Task".to_owned(),
            "Go-al".to_owned(),
        ] {
            let refused = of(value).err().map(|failure| failure.fault());
            assert_eq!(refused, Some(Fault::ParameterInvalid));
        }
    }
}

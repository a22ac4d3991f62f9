//! `GET [type]?…` and `POST [type]/_search`, inside the caller's grants. Both answer alike.

use super::authorised::{Authorised, served_type};
use crate::app::App;
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::fhir::search::query::{self, Reading};
use crate::fhir::search::subset::subset;
use crate::fhir::search::{Search, Summary};
use crate::http::body;
use crate::http::negotiate::{self, encode};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::release::{self, Found, Place, START, SearchPage, Sent};
use crate::security::Permission;
use crate::store::search::Hit;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;

/// Bytes of a search form.
pub const FORM_BYTES: usize = 64 * 1024;

/// The search by URL.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &authorised, &app, pairs).await
}

/// The search by form, by URL, or by both (FHIR R4 search, "Introduction").
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = posted(&request, payload).await?;
    answer(&request, &authorised, &app, pairs).await
}

/// The pairs of a posted search: those of the URL, then those of the form.
///
/// # Errors
/// [`Fault::MediaTypeRefused`] for another body than a form; those of reading it.
pub async fn posted(request: &HttpRequest, payload: web::Payload) -> Result<Vec<(String, String)>, Failure> {
    let form = if body::is_form(request) {
        body::any(request, payload, FORM_BYTES).await?
    } else if request.headers().contains_key(header::CONTENT_TYPE) {
        return Err(Fault::MediaTypeRefused.into());
    } else {
        let bytes = body::any(request, payload, FORM_BYTES).await?;
        if !bytes.is_empty() {
            return Err(Fault::MediaTypeRefused.into());
        }
        bytes
    };
    let form = std::str::from_utf8(&form).map_err(|_| Failure::new(Fault::NotUtf8))?;
    let mut pairs = negotiate::pairs(request.query_string())?;
    pairs.extend(negotiate::pairs(form)?);
    Ok(pairs)
}

async fn answer(
    request: &HttpRequest,
    authorised: &Authorised,
    app: &App,
    pairs: Vec<(String, String)>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::filled(pairs, negotiate::form(request)?);
    let rtype = served_type(request)?;
    let sent = if request.method() == Method::HEAD {
        Sent::Head(200)
    } else {
        Sent::Whole
    };
    let bytes = bundle(app, authorised, rtype, pairs, negotiate::is_strict(request), sent).await?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(bytes))
}

/// Runs a search of `rtype` and makes its Bundle.
///
/// # Errors
/// Those of reading the query and of the search.
pub async fn bundle(
    app: &App,
    authorised: &Authorised,
    rtype: &str,
    pairs: Vec<(String, String)>,
    strict: bool,
    sent: Sent,
) -> Result<Vec<u8>, Failure> {
    let (ctx, caller) = (&app.ctx, &authorised.caller);
    let now_ms = ctx.clock.now_ms();
    let binding = format!(
        "{}|{}|{rtype}",
        caller.partner.id,
        caller.patient_id.as_deref().unwrap_or_default()
    );
    let (query, place, page) = match pairs.iter().find(|(name, _)| name == "_page") {
        Some((_, link)) => {
            let page = app.links.open(link, &binding, ctx.clock.lasting_ms())?;
            (page.query, page.place, Some(link.clone()))
        }
        None => (written(&pairs), START, None),
    };
    let reading = Reading {
        base_url: &ctx.payer.base_url,
        now_ms,
        strict,
    };
    let search = query::read(rtype, &negotiate::pairs(&query)?, &reading)?;
    let scopes = authorised.scopes.clone();
    let readable = move |rtype: &str| release::is_searchable(rtype) && scopes.allows(rtype, Permission::Read);
    let found = release::search(ctx, caller, search.clone(), place, readable, sent).await?;
    let link = |place: Place| {
        let page = SearchPage {
            query: query.clone(),
            place,
        };
        app.links.seal(&binding, &page, ctx.clock.lasting_ms())
    };
    let next = found.next.map(|place| {
        link(place).ok_or_else(|| Failure::new(Fault::Internal).because("a page link could not be sealed"))
    });
    let links = Links {
        base_url: &ctx.payer.base_url,
        page,
        first: if place == START { None } else { link(START) },
        next: next.transpose()?,
        notes: format!("urn:uuid:{}", ctx.ids.new_id(now_ms)),
    };
    Ok(write(&search, found, &links))
}

/// A query as one text, percent-encoded.
fn written(pairs: &[(String, String)]) -> String {
    let one = |(name, value): &(String, String)| format!("{}={}", encode(name), encode(value));
    pairs.iter().map(one).collect::<Vec<_>>().join("&")
}

struct Links<'a> {
    base_url: &'a str,
    /// The `_page` that was asked for.
    page: Option<String>,
    first: Option<String>,
    next: Option<String>,
    /// What the outcome entry goes by: every entry has a fullUrl (FHIR R4 Bundle, "Resource URL & Uniqueness rules").
    notes: String,
}

impl Links<'_> {
    fn all(&self, search: &Search) -> Vec<serde_json::Value> {
        let url = |query: &str| {
            let sign = if query.is_empty() { "" } else { "?" };
            format!("{}/{}{sign}{query}", self.base_url, search.rtype)
        };
        let one = |relation: &str, query: &str| json!({"relation": relation, "url": url(query)});
        let own = match &self.page {
            Some(page) => format!("_page={page}"),
            None => {
                // A URL must not carry what identifies a person: such a parameter is named without its value.
                let pair = |(name, value): &(String, Option<String>)| match value {
                    Some(value) => format!("{}={}", encode(name), encode(value)),
                    None => encode(name),
                };
                search.understood.iter().map(pair).collect::<Vec<_>>().join("&")
            }
        };
        let mut links = vec![one("self", &own)];
        links.extend(self.first.iter().map(|page| one("first", &format!("_page={page}"))));
        links.extend(self.next.iter().map(|page| one("next", &format!("_page={page}"))));
        links
    }
}

fn write(search: &Search, found: Found, links: &Links<'_>) -> Vec<u8> {
    let size: usize = found
        .matches
        .iter()
        .chain(&found.included)
        .map(|hit| hit.bytes.len() + 200)
        .sum();
    let mut out = Vec::with_capacity(size + 1024);
    out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"");
    if let Some(total) = found.total {
        out.extend_from_slice(format!(",\"total\":{total}").as_bytes());
    }
    out.extend_from_slice(b",\"link\":");
    out.extend_from_slice(serde_json::Value::Array(links.all(search)).to_string().as_bytes());
    let notes = notes(search, &found, links.base_url);
    let mut first = true;
    let mut put = |out: &mut Vec<u8>, head: &str, resource: &[u8], mode: &str| {
        out.extend_from_slice(if std::mem::take(&mut first) {
            b",\"entry\":[{"
        } else {
            b",{"
        });
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\"resource\":");
        out.extend_from_slice(resource);
        out.extend_from_slice(format!(",\"search\":{{\"mode\":\"{mode}\"}}}}").as_bytes());
    };
    let head = |hit: &Hit| format!("\"fullUrl\":\"{}/{}/{}\",", links.base_url, hit.rtype, hit.id);
    for hit in found.matches {
        let head = head(&hit);
        put(&mut out, &head, &shaped(hit, &search.summary), "match");
    }
    for hit in found.included {
        let head = head(&hit);
        // `_elements` is about what is searched (FHIR R4 search, "Elements").
        put(&mut out, &head, &hit.bytes, "include");
    }
    if let Some(notes) = notes {
        put(
            &mut out,
            &format!("\"fullUrl\":\"{}\",", links.notes),
            &notes,
            "outcome",
        );
    }
    out.extend_from_slice(if first { b"}" } else { b"]}" });
    out
}

fn shaped(hit: Hit, summary: &Summary) -> Vec<u8> {
    subset(hit.bytes, summary)
}

/// The OperationOutcome entry that tells what was passed over.
fn notes(search: &Search, found: &Found, base_url: &str) -> Option<Vec<u8>> {
    let passed_over = search.passed_over.iter().map(|one| {
        let place = one.name.map(|name| format!("{}?{name}", search.rtype));
        let text = format!("{} It was passed over.", one.told(&search.rtype));
        (Fault::ParameterUnknown, text, place)
    });
    let cut = found.includes_cut.then(|| {
        let text = "More resources are included than one page takes: ask for smaller pages with _count.".to_owned();
        (Fault::TooLarge, text, None)
    });
    let notes: Vec<_> = passed_over.chain(cut).collect();
    (!notes.is_empty()).then(|| outcome::warnings(&notes, base_url))
}

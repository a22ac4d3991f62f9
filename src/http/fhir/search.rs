//! `GET [type]?…` and `POST [type]/_search`, limited to the caller's grants. Both give the same answer.

use super::authorised::{Authorised, served_type};
use crate::error::{Failure, Fault};
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::fhir::outcome;
use crate::fhir::search::Search;
use crate::fhir::search::query::{self, QueryReading};
use crate::http::body;
use crate::http::edge;
use crate::http::explorer::{self, FORM_FIELD};
use crate::http::negotiate::{self, AnswerForm};
use crate::http::outgoing::{self, KeptOpen};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::request_notes::WantedRequest;
use crate::http::state::App;
use crate::percent::encode;
use crate::release::{self, AnswerTerms, FoundPage, Outgoing, PageStart, START, SearchPage, SentPart};
use crate::security::Permission;
use actix_web::http::{Method, header};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, web};

/// Largest search form in bytes.
pub const FORM_BYTES: usize = 64 * 1024;
/// Largest form that the page of its answer shows again, in bytes.
const KEPT_BYTES: usize = 8 * 1024;

/// The search with its parameters in the URL.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &authorised, &app, pairs).await
}

/// The search with its parameters in a form, in the URL, or in both (FHIR R4 search, "Introduction").
pub async fn post(
    request: HttpRequest,
    authorised: Result<Authorised, HttpFailure>,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let authorised = match authorised {
        Ok(authorised) => authorised,
        Err(refused) => {
            // The page of the refusal keeps what was typed, if it can be read. That it cannot be is not what went wrong.
            if negotiate::form(&request).is_ok_and(|form| form == AnswerForm::Html) {
                let _ = posted(&request, payload).await;
            }
            return Err(refused);
        }
    };
    let pairs = posted(&request, payload).await?;
    answer(&request, &authorised, &app, pairs).await
}

/// The parameters of a posted search: those of the URL, then those of the form.
///
/// # Errors
/// [`Fault::MediaTypeRefused`] for a body that is not a form; those of reading the body.
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
    let judged = explorer::judged(request, &mut pairs);
    keep(request, &pairs);
    judged?;
    Ok(pairs)
}

/// Keeps what was typed for the page of the answer, if a page is wanted and it is not too much.
fn keep(request: &HttpRequest, pairs: &[(String, String)]) {
    let wants_page = negotiate::form(request).is_ok_and(|form| form == AnswerForm::Html);
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
    if wants_page && bytes <= KEPT_BYTES {
        let fields = pairs
            .iter()
            .filter(|(name, value)| name != FORM_FIELD && !value.is_empty());
        request.extensions_mut().insert(WantedRequest {
            is_posted: true,
            path: request.path().to_owned(),
            fields: fields.cloned().collect(),
        });
    }
}

async fn answer(
    request: &HttpRequest,
    authorised: &Authorised,
    app: &App,
    pairs: Vec<(String, String)>,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(request)?;
    let pairs = negotiate::filled(pairs, form);
    let rtype = served_type(request)?;
    let kept = KeptOpen::of(form);
    let how = How {
        strict: negotiate::is_strict(request),
        head_only: request.method() == Method::HEAD,
        terms: outgoing::terms(app, request),
        stays_open: kept.is_some(),
    };
    authorised.still_holds(request, app).await?;
    let room = async |bytes: usize| {
        edge::waits_for_room(request, bytes).await?;
        authorised.still_holds(request, app).await
    };
    let bundle = bundle(app, authorised, rtype, pairs, &how, room).await?;
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(outgoing::answer(&mut response, bundle, kept))
}

/// How a search is read and answered.
pub struct How {
    /// Whether unknown parameters are refused.
    pub strict: bool,
    /// Whether only the headers of the answer are sent (HEAD).
    pub head_only: bool,
    /// The conditions that are checked while the answer is sent.
    pub terms: AnswerTerms,
    /// Whether the answer is converted to another form first, so that its disclosure stays open until that has been sent.
    pub stays_open: bool,
}

/// Runs a search of `rtype` and writes its Bundle. `room` is asked for the memory that a large page takes.
///
/// # Errors
/// Those of reading the query and of the search.
pub async fn bundle(
    app: &App,
    authorised: &Authorised,
    rtype: &str,
    pairs: Vec<(String, String)>,
    how: &How,
    room: impl AsyncFnMut(usize) -> Result<(), Failure>,
) -> Result<Outgoing, Failure> {
    let (ctx, caller) = (&app.ctx, &authorised.caller);
    let now_ms = ctx.clock.now_ms();
    // No Patient has an empty id, so the page links of a token for all members are distinct from those of any token for one member.
    let binding = format!(
        "{}|{}|{rtype}",
        caller.partner.id,
        caller.patient_id.as_deref().unwrap_or("")
    );
    let (query, place, page) = match pairs.iter().find(|(name, _)| name == "_page") {
        Some((_, link)) => {
            let page = app.links.open(link, &binding, ctx.clock.lasting_ms())?;
            (page.query, page.place, Some(link.clone()))
        }
        None => (written(&pairs), START, None),
    };
    let reading = QueryReading {
        base_url: &ctx.payer.base_url,
        now_ms,
        strict: how.strict,
    };
    let search = query::read(rtype, &negotiate::pairs(&query)?, &reading)?;
    let scopes = authorised.scopes.clone();
    let readable = move |rtype: &str| release::is_searchable(rtype) && scopes.allows(rtype, Permission::Read);
    let sent = if how.head_only {
        SentPart::Head(200)
    } else {
        SentPart::Whole
    };
    let mut found = release::search(ctx, caller, search.clone(), place, readable, sent, room).await?;
    let link = |place: PageStart| {
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
    let disclosure = found.disclosure.take();
    let bytes = write(&search, found, &links);
    Ok(Outgoing::new(disclosure, bytes, || how.terms.clone(), how.stays_open))
}

/// Writes the parameters as a percent-encoded query string.
fn written(pairs: &[(String, String)]) -> String {
    let one = |(name, value): &(String, String)| format!("{}={}", encode(name), encode(value));
    pairs.iter().map(one).collect::<Vec<_>>().join("&")
}

struct Links<'a> {
    base_url: &'a str,
    /// The `_page` parameter of the request.
    page: Option<String>,
    first: Option<String>,
    next: Option<String>,
    /// The fullUrl of the outcome entry, because every entry must have one (FHIR R4 Bundle, "Resource URL & Uniqueness rules").
    notes: String,
}

impl Links<'_> {
    fn all(&self, search: &Search) -> Vec<(&'static str, String)> {
        let url = |query: &str| {
            let sign = if query.is_empty() { "" } else { "?" };
            format!("{}/{}{sign}{query}", self.base_url, search.rtype)
        };
        let one = |relation: &'static str, query: &str| (relation, url(query));
        let own = match &self.page {
            Some(page) => format!("_page={page}"),
            None => {
                // A URL must not contain a value that identifies a person: such a parameter is repeated without its value.
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

fn write(search: &Search, found: FoundPage, links: &Links<'_>) -> Vec<u8> {
    let size: usize = found
        .matches
        .iter()
        .chain(&found.included)
        .map(|hit| hit.bytes.len() + 200)
        .sum();
    let mut out = Vec::with_capacity(size + 1024);
    let mut bundle = Bundle::begin(&mut out, SEARCHSET);
    if let Some(total) = found.total {
        bundle.total(&mut out, total);
    }
    bundle.links(&mut out, &links.all(search));
    let notes = notes(search, &found, links.base_url);
    for hit in found.matches {
        let full_url: [&str; 5] = [links.base_url, "/", &hit.rtype, "/", &hit.id];
        bundle.found(&mut out, &full_url, &hit.bytes, "match");
    }
    for hit in found.included {
        let full_url: [&str; 5] = [links.base_url, "/", &hit.rtype, "/", &hit.id];
        bundle.found(&mut out, &full_url, &hit.bytes, "include");
    }
    if let Some(made) = found.transmitter {
        bundle.found(&mut out, &["urn:uuid:", &made.id], &made.bytes, "include");
    }
    if let Some(notes) = notes {
        bundle.found(&mut out, &[&links.notes], &notes, "outcome");
    }
    bundle.end(&mut out);
    out
}

/// The OperationOutcome entry that lists what was ignored.
fn notes(search: &Search, found: &FoundPage, base_url: &str) -> Option<Vec<u8>> {
    let passed_over = search.passed_over.iter().map(|one| {
        let place = one.name.map(|name| format!("{}?{name}", search.rtype));
        let text = format!("{} The server ignored it.", one.told(&search.rtype));
        (Fault::ParameterUnknown, text, place)
    });
    let cut = found.includes_cut.then(|| {
        let text = "More resources are included than one page takes: ask for smaller pages with _count.".to_owned();
        (Fault::TooLarge, text, None)
    });
    let notes: Vec<_> = passed_over.chain(cut).collect();
    (!notes.is_empty()).then(|| outcome::warnings(&notes, base_url))
}

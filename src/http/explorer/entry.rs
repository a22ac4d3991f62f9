//! The explorer's own addresses: the page for a token, the forms that begin and end a session, and the searches of one type.
//!
//! A form is taken only from a page of this server, with the form token that this page was given.

use super::browser::comes_from_our_page;
use super::sessions::BrowserSession;
use super::visit::{newcomer, session_of, taken, visitor};
use super::{Explorer, act, answers, cookie};
use crate::error::{Failure, Fault};
use crate::http::documents::Documents;
use crate::http::drawing::PageAsker;
use crate::http::page::{self, PageReader};
use crate::http::reply::HttpFailure;
use crate::http::request_notes::{SeenPartner, WantedRequest, correlation_of};
use crate::http::state::App;
use crate::http::{body, edge, negotiate};
use crate::secret::{Secret, same};
use crate::security::{PeerCertificate, network};
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse};

/// Largest form in bytes: a token, and what was typed before it.
const FORM_BYTES: usize = 32 * 1024;

/// `GET explorer`: whose token this browser uses, or the form for one.
pub async fn home(
    request: HttpRequest,
    app: Data<App>,
    explorer: Data<Explorer>,
    documents: Data<Documents>,
) -> HttpResponse {
    let (reader, cookie) = match session_of(&request) {
        Some(session) => (visitor(&session), None),
        None => newcomer(&request, &app, &explorer),
    };
    let site = documents.now().site.read_by(reader);
    answers::page(page::access::home(&site), cookie)
}

/// `GET explorer/[type]`: what can be asked of a type, as forms.
pub async fn of_type(
    request: HttpRequest,
    rtype: web::Path<String>,
    documents: Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let made = documents.now();
    if made.site.of_type(&rtype).is_none() {
        return Err(Fault::RouteUnknown.into());
    }
    let (reader, asker) = match session_of(&request) {
        Some(session) => (visitor(&session), PageAsker::Partner(session.partner.clone())),
        None => (PageReader::Anybody, PageAsker::Stranger),
    };
    let (site, rtype) = (made.site.read_by(reader), rtype.into_inner());
    let pen = documents.drawing.turn(&asker).await?;
    let html = pen.run(move || page::access::of_type(&site, &rtype)).await?;
    Ok(answers::page(html, None))
}

/// `POST explorer/session`: begins a session with the token of the form.
pub async fn enter(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
    explorer: Data<Explorer>,
    documents: Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let fields = newcomers_form(&request, payload, &app, &explorer).await?;
    let wanted = wanted_of(&fields);
    request.extensions_mut().insert(wanted.clone());
    let token = only(&fields, "token").map(str::trim).unwrap_or_default();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    let begun = begin(&request, &app, &explorer, Secret::new(token), None).await?;
    Ok(entered(&documents, begun, &wanted))
}

/// `POST explorer/act`: begins a session of the development partner. There is nothing at this address on any other server.
pub async fn act_as(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
    explorer: Data<Explorer>,
    documents: Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let acting = act::partner_for(&request, &app).ok_or(Fault::RouteUnknown)?;
    let fields = newcomers_form(&request, payload, &app, &explorer).await?;
    let wanted = wanted_of(&fields);
    let token = Box::pin(act::token(&request, &app, acting)).await?;
    let certificate = Some(acting.certificate.clone());
    let begun = begin(&request, &app, &explorer, token, certificate).await?;
    Ok(entered(&documents, begun, &wanted))
}

/// `POST explorer/end`: ends the session of this browser.
pub async fn end(
    request: HttpRequest,
    payload: Payload,
    app: Data<App>,
    explorer: Data<Explorer>,
    documents: Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let mut fields = own_form(&request, payload, &app).await?;
    let given = taken(&mut fields);
    let handle = cookie::value(request.headers(), cookie::SESSION);
    if let Some(handle) = handle
        && let Some(session) = explorer.sessions.find(&handle, app.ctx.clock.lasting_ms())
    {
        match given.as_slice() {
            [one] if session.is_form_token(one) => explorer.sessions.end(&handle),
            _ => return Err(Fault::FormForeign.into()),
        }
    }
    let (reader, form_cookie) = newcomer(&request, &app, &explorer);
    let site = documents.now().site.read_by(reader);
    let cookies = [cookie::gone(cookie::SESSION), form_cookie];
    Ok(answers::page(page::access::ended(&site), cookies.into_iter().flatten()))
}

/// A session that was just begun: who reads its pages, and its cookie.
struct Begun {
    reader: PageReader,
    cookie: Option<HeaderValue>,
}

/// Judges a token as any request's, and keeps it behind a new handle. The session that this browser had before ends.
async fn begin(
    request: &HttpRequest,
    app: &App,
    explorer: &Explorer,
    token: Secret,
    certificate: Option<PeerCertificate>,
) -> Result<Begun, Failure> {
    let shown = certificate.as_ref().or_else(|| request.conn_data::<PeerCertificate>());
    let judging = app
        .authority
        .authenticate(&app.ctx, Some(token.expose()), shown, correlation_of(request));
    let caller = judging.await?;
    request.extensions_mut().insert(SeenPartner(caller.partner.id.clone()));
    if let Some(seat) = edge::seat_of(request) {
        seat.is_of(&caller.partner.id)?;
    }
    if let Some(before) = cookie::value(request.headers(), cookie::SESSION) {
        explorer.sessions.end(&before);
    }
    let now_ms = app.ctx.clock.lasting_ms();
    let session = BrowserSession::new(token, caller.partner.id, caller.token_expires_ms, certificate);
    let reader = visitor(&session);
    let network = network(request.peer_addr().map(|peer| peer.ip()));
    let handle = explorer.sessions.open(session, network, now_ms)?;
    let seconds = (caller.token_expires_ms - now_ms) / 1000;
    Ok(Begun {
        reader,
        cookie: cookie::set(cookie::SESSION, &handle, seconds),
    })
}

fn entered(documents: &Documents, begun: Begun, wanted: &WantedRequest) -> HttpResponse {
    let site = documents.now().site.read_by(begun.reader);
    let cookies = [begun.cookie, cookie::gone(cookie::FORM)];
    answers::page(page::access::entered(&site, wanted), cookies.into_iter().flatten())
}

/// The fields of a form that a page of this server sent; its form token is not judged yet.
async fn own_form(request: &HttpRequest, payload: Payload, app: &App) -> Result<Vec<(String, String)>, Failure> {
    let has_header = request.headers().contains_key(header::AUTHORIZATION);
    if has_header || !comes_from_our_page(request, app.config.server.origin()) {
        return Err(Fault::FormForeign.into());
    }
    if !body::is_form(request) {
        return Err(Fault::MediaTypeRefused.into());
    }
    let bytes = body::any(request, payload, FORM_BYTES).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::new(Fault::NotUtf8))?;
    negotiate::pairs(text)
}

/// The fields of a form of a browser without a session. Its form token must fit the browser's form cookie.
async fn newcomers_form(
    request: &HttpRequest,
    payload: Payload,
    app: &App,
    explorer: &Explorer,
) -> Result<Vec<(String, String)>, Failure> {
    let mut fields = own_form(request, payload, app).await?;
    let given = taken(&mut fields);
    let value = cookie::value(request.headers(), cookie::FORM).ok_or(Fault::FormForeign)?;
    match given.as_slice() {
        [one] if same(explorer.form_token(&value).as_bytes(), one.as_bytes()) => Ok(fields),
        _ => Err(Fault::FormForeign.into()),
    }
}

/// The value of a field that is there exactly once.
fn only<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    let mut values = fields
        .iter()
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.as_str());
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// What the reader wanted before a token was asked for.
fn wanted_of(fields: &[(String, String)]) -> WantedRequest {
    WantedRequest {
        is_posted: only(fields, "posted").is_some(),
        path: only(fields, "to").unwrap_or_default().to_owned(),
        fields: only(fields, "fields")
            .and_then(|text| negotiate::pairs(text).ok())
            .unwrap_or_default(),
    }
}

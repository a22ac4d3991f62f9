//! What a request shows of who sends it: the token of its header, or that of the explorer's session where its cookie counts.
//!
//! A header always comes first: a request that has one is never judged by a cookie.

use super::browser::comes_from_our_page;
use super::sessions::BrowserSession;
use super::{Explorer, FORM_FIELD, cookie};
use crate::error::{Failure, Fault};
use crate::http::bearer::bearer;
use crate::http::page::PageReader;
use crate::http::state::App;
use crate::secret::random;
use crate::security::PeerCertificate;
use actix_web::http::header::{self, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpMessage as _, HttpRequest, web};
use std::sync::Arc;

/// How long the forms of a browser without a session can be sent, in seconds.
const FORM_SECONDS: i64 = 3_600;

/// The session that stands for a request's missing token.
#[derive(Clone)]
struct ActiveSession(Arc<BrowserSession>);

/// Finds the session of a request, where its cookie counts, before anything else is looked at. Returns whether there is one.
pub fn arrives(request: &HttpRequest, app: &App) -> bool {
    let session = session_that_counts(request, app);
    let is_one = session.is_some();
    if let Some(session) = session {
        request.extensions_mut().insert(ActiveSession(session));
    }
    is_one
}

fn session_that_counts(request: &HttpRequest, app: &App) -> Option<Arc<BrowserSession>> {
    let path = request.path();
    let is_ours = path == "/" || path == "/fhir" || path.starts_with("/fhir/");
    let may_be = match *request.method() {
        Method::GET => is_ours,
        Method::POST => is_ours && path.ends_with("/_search"),
        _ => false,
    };
    if !may_be || request.headers().contains_key(header::AUTHORIZATION) {
        return None;
    }
    let handle = cookie::value(request.headers(), cookie::SESSION)?;
    if !comes_from_our_page(request, app.config.server.origin()) {
        return None;
    }
    let explorer = request.app_data::<web::Data<Explorer>>()?;
    explorer.sessions.find(&handle, app.ctx.clock.lasting_ms())
}

/// The session that stands for the token of this request.
pub fn session_of(request: &HttpRequest) -> Option<Arc<BrowserSession>> {
    request
        .extensions()
        .get::<ActiveSession>()
        .map(|active| Arc::clone(&active.0))
}

/// Takes the form token out of a posted form, and checks it where a session stands for the token.
///
/// # Errors
/// [`Fault::FormForeign`] when it is missing, wrong or there twice.
pub fn judged(request: &HttpRequest, pairs: &mut Vec<(String, String)>) -> Result<(), Failure> {
    let Some(session) = session_of(request) else {
        return Ok(());
    };
    let given = taken(pairs);
    match given.as_slice() {
        [one] if session.is_form_token(one) => Ok(()),
        _ => Err(Fault::FormForeign.into()),
    }
}

/// Takes the form tokens out of a form.
pub(super) fn taken(pairs: &mut Vec<(String, String)>) -> Vec<String> {
    let mut given = Vec::new();
    pairs.retain(|(name, value)| {
        let is_it = name == FORM_FIELD;
        if is_it {
            given.push(value.clone());
        }
        !is_it
    });
    given
}

/// The token and the certificate that a request shows.
pub struct ShownProof<'r> {
    request: &'r HttpRequest,
    session: Option<Arc<BrowserSession>>,
}

impl<'r> ShownProof<'r> {
    /// What this request shows.
    pub fn of(request: &'r HttpRequest) -> ShownProof<'r> {
        ShownProof {
            request,
            session: session_of(request),
        }
    }

    /// The token, if there is one.
    ///
    /// # Errors
    /// As [`bearer`].
    pub fn token(&self) -> Result<Option<&str>, Failure> {
        let of_header = bearer(self.request)?;
        Ok(of_header.or_else(|| self.session.as_deref().map(|session| session.token.expose())))
    }

    /// The certificate of the connection, or the one of the session of a development server.
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        let of_session = self.session.as_deref().and_then(|session| session.certificate.as_ref());
        of_session.or_else(|| self.request.conn_data::<PeerCertificate>())
    }

    /// Ends the session when its token turned out to be none any more.
    pub fn is_refused(&self, failure: &Failure) {
        let explorer = self.request.app_data::<web::Data<Explorer>>();
        if let (Some(session), Some(explorer), Fault::TokenInvalid) = (&self.session, explorer, failure.fault()) {
            explorer.sessions.end_one(session);
        }
    }
}

/// Who reads the page of an answer, and the cookie that goes with it. Only pages that ask for a token have a form for one.
pub fn reader(request: &HttpRequest, app: &App, status: StatusCode) -> (PageReader, Option<HeaderValue>) {
    let Some(explorer) = request.app_data::<web::Data<Explorer>>() else {
        return (PageReader::Anybody, None);
    };
    match session_of(request) {
        Some(session) if status != StatusCode::UNAUTHORIZED => (visitor(&session), None),
        _ if status == StatusCode::UNAUTHORIZED => newcomer(request, app, explorer),
        _ => (PageReader::Anybody, None),
    }
}

/// A reader with a session.
pub(super) fn visitor(session: &BrowserSession) -> PageReader {
    PageReader::Visitor {
        partner: session.partner.clone(),
        ends: crate::clock::rfc3339_ms(session.ends_ms),
        form_token: session.form_token(),
    }
}

/// A reader without a session, who may begin one: the forms are bound to the browser by a cookie of their own.
pub(super) fn newcomer(request: &HttpRequest, app: &App, explorer: &Explorer) -> (PageReader, Option<HeaderValue>) {
    // A value that the browser has already stays, so that other pages which it has open keep working.
    let (value, is_new) = match cookie::value(request.headers(), cookie::FORM) {
        Some(value) => (value, false),
        None => (random(), true),
    };
    let reader = PageReader::Newcomer {
        form_token: explorer.form_token(&value),
        may_act_as: super::act::partner_for(request, app).map(|acting| acting.client_id.clone()),
    };
    (
        reader,
        is_new
            .then(|| cookie::set(cookie::FORM, &value, FORM_SECONDS))
            .flatten(),
    )
}

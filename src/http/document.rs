//! A public document: bytes that are made once, with their digest as entity tag, and other forms that are made at the first request for
//! them.

use super::conditional::{Conditions, Precondition};
use super::drawing::{Drawing, PageAsker};
use super::edge::SharedBody;
use super::page::{self, PageSite, PageSubject};
use super::pretty::Indent;
use super::reply::{FHIR_JSON, HttpFailure};
use super::request_notes::FilledTypes;
use crate::error::Fault;
use crate::secret;
use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError as _};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// How long a client may cache a document.
const MAX_AGE: &str = "max-age=300";

/// One document.
#[derive(Clone, Debug)]
pub struct PublicDocument {
    bytes: Bytes,
    tag: String,
    media_type: &'static str,
    /// Its address below the base URL, such as `metadata?mode=normative`.
    below: String,
    forms: Arc<Forms>,
}

/// The other forms of a document, each made at the first request for it.
#[derive(Debug, Default)]
struct Forms {
    indented: OnceLock<Bytes>,
    page: OnceLock<Bytes>,
}

impl PublicDocument {
    /// A document with these bytes at this address below the base URL.
    pub fn new(bytes: impl Into<Bytes>, media_type: &'static str, below: &str) -> PublicDocument {
        let bytes = bytes.into();
        PublicDocument {
            tag: secret::hex(&secret::sha256(&bytes)[..12]),
            bytes,
            media_type,
            below: below.to_owned(),
            forms: Arc::default(),
        }
    }

    /// A FHIR resource at this address below the base URL.
    pub fn fhir(bytes: impl Into<Bytes>, below: &str) -> PublicDocument {
        PublicDocument::new(bytes, FHIR_JSON, below)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The answer to a request for the document. Its tag is a digest of its bytes, because it has no version.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let conditions = Conditions {
            if_modified_since: None,
            if_unmodified_since: None,
            ..Conditions::of(request.headers())
        };
        let verdict = conditions.judge(&self.tag, 0);
        let mut response = match verdict {
            Precondition::Send => HttpResponse::Ok(),
            Precondition::NotModified => HttpResponse::NotModified(),
            Precondition::Failed => return HttpFailure::from(Fault::PreconditionFailed).error_response(),
        };
        response
            .insert_header((header::ETAG, format!("W/\"{}\"", self.tag)))
            .insert_header((header::CACHE_CONTROL, MAX_AGE));
        if verdict == Precondition::NotModified {
            return response.finish();
        }
        self.put(&mut response)
    }

    /// The answer to a search whose whole result is this document.
    pub fn found(&self) -> HttpResponse {
        self.put(&mut HttpResponse::Ok())
    }

    fn put(&self, response: &mut HttpResponseBuilder) -> HttpResponse {
        let mut answer = response
            .insert_header((header::CONTENT_TYPE, self.media_type))
            .body(self.bytes.clone());
        let mut extensions = answer.extensions_mut();
        extensions.insert(SharedBody);
        extensions.insert(self.clone());
        drop(extensions);
        answer
    }

    /// The document as indented JSON.
    pub fn indented(&self) -> Bytes {
        let make = || Bytes::from(Indent::default().piece(&self.bytes));
        self.forms.indented.get_or_init(make).clone()
    }

    /// The document as an HTML page. The first request for it waits for its turn to render the page.
    ///
    /// # Errors
    /// Those of waiting for the turn.
    pub async fn page(&self, site: &Arc<PageSite>, drawing: &Drawing, asker: &PageAsker) -> Result<Bytes, Fault> {
        if let Some(page) = self.forms.page.get() {
            return Ok(page.clone());
        }
        let turn = drawing.turn(asker).await?;
        if let Some(page) = self.forms.page.get() {
            return Ok(page.clone());
        }
        let (site, document) = (Arc::clone(site), self.clone());
        turn.run(move || {
            let draw = || Bytes::from(document.draw(&site));
            document.forms.page.get_or_init(draw).clone()
        })
        .await
    }

    fn draw(&self, site: &PageSite) -> String {
        let path = site.at(self.below.split('?').next().unwrap_or_default());
        let sign = if self.below.contains('?') { '&' } else { '?' };
        // The bytes were written by this server and are JSON.
        let resource = serde_json::from_slice(&self.bytes).unwrap_or(Value::Null);
        let answer = PageSubject {
            status: 200,
            path: &path,
            is_posted: false,
            fields: &[],
            filled: &FilledTypes::default(),
            json_href: Some(site.at(&format!("{}{sign}_format=json", self.below))),
            request_id: "",
            resource: &resource,
        };
        page::page(site, &answer)
    }
}

//! Bodies of answers that disclose member data. They are sent piece by piece; each piece is checked, and the ledger says whether all of it
//! was sent.
//!
//! An HTML page is rendered from an answer's bytes. The disclosure ends when the page has been sent, not when the bytes have been read for
//! it.

use super::explorer::ShownProof;
use super::negotiate::AnswerForm;
use crate::error::Failure;
use crate::http::state::App;
use crate::release::{AnswerTerms, Open, Outgoing, PIECE_BYTES};
use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// The conditions that are checked while answers to this request are sent.
pub fn terms(app: &App, request: &HttpRequest) -> AnswerTerms {
    AnswerTerms {
        authority: app.authority.clone(),
        certificate: ShownProof::of(request).certificate().cloned(),
        longest: app.config.limits.answer,
    }
}

/// The open disclosures of an answer, kept until it has been sent in another form. Clones share them.
#[derive(Clone, Default)]
pub struct KeptOpen(Rc<RefCell<Vec<Open>>>);

impl KeptOpen {
    /// Holds the disclosures of an answer in this form; `None` when the answer is sent as it is.
    pub fn of(form: AnswerForm) -> Option<KeptOpen> {
        (form == AnswerForm::Html).then(KeptOpen::default)
    }

    /// Keeps one more open disclosure.
    pub fn keep(&self, open: Option<Open>) {
        self.0.borrow_mut().extend(open);
    }
}

/// The answer with this body.
pub fn answer(response: &mut HttpResponseBuilder, outgoing: Outgoing, kept: Option<KeptOpen>) -> HttpResponse {
    let outgoing = match outgoing.into_bytes() {
        Ok(bytes) => return response.body(bytes),
        Err(watched) => watched,
    };
    let mut answer = response.body(Body {
        size: outgoing.size(),
        outgoing: Some(outgoing),
        kept: kept.clone(),
    });
    if let Some(kept) = kept {
        answer.extensions_mut().insert(kept);
    }
    answer
}

struct Body {
    size: usize,
    outgoing: Option<Outgoing>,
    kept: Option<KeptOpen>,
}

impl MessageBody for Body {
    type Error = Failure;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let piece = self.outgoing.as_mut().and_then(Outgoing::next_piece);
        if piece.is_none()
            && let (Some(outgoing), Some(kept)) = (self.outgoing.take(), &self.kept)
        {
            kept.keep(outgoing.into_open());
        }
        Poll::Ready(piece)
    }
}

/// A rendered page, with the disclosures that it makes.
pub struct DisclosedPage {
    rest: Bytes,
    size: usize,
    open: Vec<Open>,
}

impl DisclosedPage {
    /// A page with these bytes. The kept disclosures end with it.
    pub fn new(bytes: Bytes, kept: Option<KeptOpen>) -> DisclosedPage {
        DisclosedPage {
            size: bytes.len(),
            rest: bytes,
            open: kept
                .map(|kept| std::mem::take(&mut *kept.0.borrow_mut()))
                .unwrap_or_default(),
        }
    }
}

impl MessageBody for DisclosedPage {
    type Error = Failure;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.size as u64)
    }

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if let Err(failure) = self.open.iter().try_for_each(Open::may_go_on) {
            self.rest = Bytes::new();
            return Poll::Ready(Some(Err(failure)));
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        if self.rest.is_empty() {
            self.open.drain(..).for_each(Open::ends);
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

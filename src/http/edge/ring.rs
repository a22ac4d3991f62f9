//! The ring around every request, outside all that makes its answer: it gives the request its place, and tells the connection
//! when the request began and when its answer ended.

use super::link::Link;
use super::queue::Queued;
use super::seat::Seat;
use super::turns::{Chunks, Due};
use crate::app::App;
use crate::error::Fault;
use crate::http::limits::Limits;
use crate::http::reply::outcome_response;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Bytes handed to the HTTP library at once, which keeps them in memory until the peer has taken them.
const PIECE_BYTES: usize = 32 * 1024;

/// Set on an answer whose body is shared by all who ask for it, so that it takes no memory of its own.
pub struct SharedBody;

/// The middleware.
pub async fn ring(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let link = request.conn_data::<Rc<Link>>().cloned();
    let limits = request.app_data::<Data<Limits>>().cloned();
    let (Some(link), Some(limits)) = (link, limits) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    link.begun(due(&request));
    let busy = Busy(Rc::clone(&link));
    let seat = Rc::new(Seat::new(link, Limits::clone(&limits), has_body(&request)));
    request.extensions_mut().insert(Rc::clone(&seat));
    let done = next.call(request).await;
    seat.leave();
    let response = done?;
    let mut queued = seat.queue();
    if seat.is_strangers() && !takes_room(&response, &mut queued) {
        return Ok(no_room(response));
    }
    Ok(response.map_body(|_, body| {
        BoxBody::new(Answer {
            body: BoxBody::new(body),
            rest: Bytes::new(),
            _busy: busy,
            _queued: queued,
        })
    }))
}

/// What may still come of a request whose head was read.
fn due(request: &ServiceRequest) -> Due {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Due::Chunks(Chunks::default());
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.trim().parse().ok()) {
        None | Some(0) => Due::Nothing,
        Some(bytes) => Due::Bytes(bytes),
    }
}

/// Whether a body comes that a handler reads: only POST has such handlers here.
fn has_body(request: &ServiceRequest) -> bool {
    request.method() == Method::POST && due(request) != Due::Nothing
}

/// Counts the body of a stranger's answer, if it is in memory for this request alone.
fn takes_room(response: &ServiceResponse<impl MessageBody>, queued: &mut Queued) -> bool {
    let is_shared = response.response().extensions().contains::<SharedBody>();
    match response.response().body().size() {
        BodySize::Sized(bytes) if !is_shared => queued.grow(usize::try_from(bytes).unwrap_or(usize::MAX)),
        _ => true,
    }
}

fn no_room(response: ServiceResponse<impl MessageBody>) -> ServiceResponse<BoxBody> {
    let app = response.request().app_data::<Data<App>>();
    let base_url = app.map_or("", |app| app.ctx.payer.base_url.as_str());
    let answer = outcome_response(&Fault::Overloaded.into(), base_url);
    ServiceResponse::new(response.into_parts().0, answer)
}

/// A request of a connection, until its answer has ended.
struct Busy(Rc<Link>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// The body of an answer in pieces, so that a slow reader keeps little of it in memory.
struct Answer {
    body: BoxBody,
    rest: Bytes,
    _busy: Busy,
    _queued: Queued,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

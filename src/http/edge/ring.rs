//! The outermost middleware around every request: it gives the request its place, and tells the connection when the request began and when
//! its answer ended.

use super::due::{ChunkedEnd, DueBytes};
use super::link::ClientConnection;
use super::queue::Queued;
use super::seat::Seat;
use crate::error::{Failure, Fault};
use crate::http::around;
use crate::http::limits::{HeldRoom, RequestLimits};
use crate::http::reply::outcome_response;
use crate::http::state::App;
use crate::store::DiskRoom;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Method, header};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};
use actix_web::{Error, HttpMessage as _};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Bytes that are handed to the HTTP library at once. The library keeps them in memory until the peer has taken them. With the size and the
/// end of the chunk they fill four records of TLS.
const PIECE_BYTES: usize = 64 * 1024 - CHUNKED_BYTES;
/// Bytes that the HTTP library writes around a chunk of this size.
const CHUNKED_BYTES: usize = "FFF8\r\n\r\n".len();
/// The same for strangers, whose answers may be shared by thousands of slow readers: what waits here, below HTTP and below TLS is all that
/// each of them takes.
pub(super) const STRANGERS_BYTES: usize = 8 * 1024;

/// Marks an answer whose body is shared by all requests for it, so that it takes no memory of its own.
pub struct SharedBody;

/// The bytes that an answer keeps in memory while it is sent, where its body does not tell: a body that is changed piece by piece has no
/// known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBytes(pub usize);

/// The middleware.
pub async fn ring(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let link = request.conn_data::<Rc<ClientConnection>>().cloned();
    let limits = request.app_data::<Data<RequestLimits>>().cloned();
    let (Some(link), Some(limits)) = (link, limits) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    link.begun(due(&request));
    if let Some(app) = request.app_data::<Data<App>>() {
        app.ctx.store.company().came(&link.place.partner().unwrap_or_default());
    }
    let busy = Busy(Rc::clone(&link));
    let is_endless = around::ends_body(&mut request);
    let closes = is_endless || request.head().upgrade();
    // Only POST handlers read a body.
    let has_body = request.method() == Method::POST && (is_endless || due(&request) != DueBytes::Nothing);
    let seat = Rc::new(Seat::new(
        link,
        RequestLimits::clone(&limits),
        has_body,
        is_scarce(&request),
    ));
    request.extensions_mut().insert(Rc::clone(&seat));
    let done = next.call(request).await;
    seat.leave();
    let mut response = done?;
    if closes {
        // The protocol upgrade is not supported: the answer closes the connection instead of repeating the request's header.
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let mut queued = seat.room();
    if seat.is_strangers() && !takes_room(&response, &mut queued) {
        return Ok(no_room(response));
    }
    let held = seat.holds(own_bytes(&response));
    let longest = limits_of_answers(&response);
    Ok(response.map_body(|_, body| {
        BoxBody::new(Answer {
            body: BoxBody::new(body),
            rest: Bytes::new(),
            piece: if seat.is_strangers() {
                STRANGERS_BYTES
            } else {
                PIECE_BYTES
            },
            ends: longest.map(|longest| Instant::now() + longest),
            _held: held,
            _busy: busy,
            _queued: queued,
        })
    }))
}

/// Whether the disk of the store is nearly full, so that every ledger entry takes room from the next ones.
fn is_scarce(request: &ServiceRequest) -> bool {
    let app = request.app_data::<Data<App>>();
    app.is_some_and(|app| app.ctx.store.room() == DiskRoom::NoWrites)
}

/// What may still come of a request whose head was read.
fn due(request: &ServiceRequest) -> DueBytes {
    let headers = request.headers();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return DueBytes::Chunks(ChunkedEnd::default());
    }
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    match length.and_then(|length| length.trim().parse().ok()) {
        None | Some(0) => DueBytes::Nothing,
        Some(bytes) => DueBytes::Bytes(bytes),
    }
}

/// Counts the body of a stranger's answer, if the body is in memory for this request alone. Returns false when there is no room.
fn takes_room(response: &ServiceResponse<impl MessageBody>, queued: &mut Queued) -> bool {
    match own_bytes(response) {
        0 => true,
        bytes => queued.grow_to(bytes),
    }
}

/// Bytes of an answer's body that are in memory for this request alone.
fn own_bytes(response: &ServiceResponse<impl MessageBody>) -> usize {
    let extensions = response.response().extensions();
    if extensions.contains::<SharedBody>() {
        return 0;
    }
    let held = extensions.get::<HeldBytes>().map_or(0, |held| held.0);
    match response.response().body().size() {
        BodySize::Sized(bytes) => held.max(usize::try_from(bytes).unwrap_or(usize::MAX)),
        BodySize::None | BodySize::Stream => held,
    }
}

/// The longest time that any answer may take to send. Answers with a limit of their own end one second earlier and report the reason.
fn limits_of_answers(response: &ServiceResponse<impl MessageBody>) -> Option<Duration> {
    let app = response.request().app_data::<Data<App>>();
    app.map(|app| app.config.limits.answer + Duration::from_secs(1))
}

fn no_room(response: ServiceResponse<impl MessageBody>) -> ServiceResponse<BoxBody> {
    let app = response.request().app_data::<Data<App>>();
    let base_url = app.map_or("", |app| app.ctx.payer.base_url.as_str());
    let mut answer = outcome_response(&Fault::Overloaded.into(), base_url);
    around::keep_headers(response.headers(), &mut answer);
    ServiceResponse::new(response.into_parts().0, answer)
}

/// A request of a connection; when this is dropped, its answer has ended.
struct Busy(Rc<ClientConnection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// The body of an answer in pieces, so that little of it is in memory for a slow reader.
struct Answer {
    body: BoxBody,
    rest: Bytes,
    /// Bytes that are handed on at once.
    piece: usize,
    /// When the answer is cut off, however it is read.
    ends: Option<Instant>,
    _held: Option<HeldRoom>,
    _busy: Busy,
    _queued: Queued,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.ends.is_some_and(|ends| ends <= Instant::now()) {
            return Poll::Ready(Some(Err(Failure::new(Fault::AnswerTooLong).into())));
        }
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                other => return other,
            }
        }
        let piece = self.rest.len().min(self.piece);
        Poll::Ready(Some(Ok(self.rest.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::HttpResponse;
    use actix_web::body::BodyStream;
    use actix_web::test::TestRequest;
    use futures_util::stream;

    fn answered(body: BoxBody, held: Option<HeldBytes>) -> ServiceResponse<BoxBody> {
        let mut response = HttpResponse::Ok().body(body);
        if let Some(held) = held {
            response.extensions_mut().insert(held);
        }
        ServiceResponse::new(TestRequest::default().to_http_request(), response)
    }

    #[test]
    fn t_b07_what_is_sent_in_another_form_is_counted_by_what_it_keeps() {
        let pieces = || {
            BoxBody::new(BodyStream::new(stream::iter([Ok::<_, std::io::Error>(
                Bytes::from_static(b"a"),
            )])))
        };
        let text = || BoxBody::new(Bytes::from_static(b"text"));
        assert_eq!(own_bytes(&answered(text(), None)), 4);
        assert_eq!(own_bytes(&answered(text(), Some(HeldBytes(2)))), 4);
        assert_eq!(own_bytes(&answered(pieces(), Some(HeldBytes(200_000)))), 200_000);
        assert_eq!(own_bytes(&answered(pieces(), None)), 0);
        let mut shared = answered(text(), Some(HeldBytes(4)));
        shared.response_mut().extensions_mut().insert(SharedBody);
        assert_eq!(own_bytes(&shared), 0);
    }
}

//! What happens around every request to the operations side: ids, the limit of its head, the body of a refusal, one log line.
//!
//! A log line names the route, never the path, and the role of the token, never whose it is: that is in the ledger, where it can be
//! erased.

use super::request::{SeenRole, SeenRoute};
use super::table::{self, Asks, BASE, OpsRoute};
use crate::error::{Failure, Fault};
use crate::http::around;
use crate::http::reply::{keep_fault, outcome_response};
use crate::http::routes::UNMATCHED;
use crate::http::state::App;
use crate::telemetry::Correlation;
use crate::telemetry::spans;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, header};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpMessage as _, HttpResponse, web};
use futures_util::{Stream as _, StreamExt as _, stream};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tracing::{Instrument as _, Span};

/// The middleware.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(app) = request.app_data::<web::Data<App>>().cloned() else {
        return Ok(request.into_response(HttpResponse::InternalServerError().finish()));
    };
    let (correlation, span) = around::begin(&request, &app);
    observed(request, next, &app, correlation).instrument(span).await
}

/// What is inside of the span of the request.
async fn observed(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    app: &App,
    correlation: Correlation,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let base_url = app.ctx.payer.base_url.clone();
    let is_of_api = request.path().starts_with(BASE);
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let has_body = is_chunked || request.headers().contains_key(header::CONTENT_LENGTH);
    // What still comes of a body that was not read is not waited for, and no other protocol is spoken.
    let closes = around::ends_body(&mut request) || is_chunked || request.head().upgrade();
    let kept = is_chunked.then(|| keep_payload(&mut request));
    let mut response = match around::head_fits(&request, app.config.limits.head_bytes) {
        Err(fault) => {
            let mut answer = refusal(fault.into(), &base_url, &correlation);
            answer.head_mut().set_connection_type(ConnectionType::Close);
            request.into_response(answer)
        }
        Ok(()) => match next.call(request).await {
            Ok(response) if is_of_api => with_outcome(response.map_into_boxed_body(), &base_url, &correlation),
            Ok(response) => response.map_into_boxed_body(),
            Err(error) => {
                let failure = around::into_failure(&error);
                let answer = outcome_response(&failure, &base_url);
                return Err(around::lost(failure, answer, &correlation));
            }
        },
    };
    if closes || (has_body && response.status().is_client_error()) {
        let head = response.response_mut().head_mut();
        head.set_connection_type(ConnectionType::Close);
    }
    let route = table::of(response.request());
    around::put_headers(response.headers_mut(), &correlation);
    around::put_notice(response.headers_mut(), route.and_then(|route| route.ends));
    record(&response, route, &correlation, started.elapsed());
    Ok(match kept {
        Some(kept) => response.map_body(|_, body| BoxBody::new(KeptBody { body, _payload: kept })),
        None => response,
    })
}

/// Keeps the payload of the request, and lets the handler read it. When a body in chunks is dropped before the answer has ended, the HTTP
/// library reads on until the body ends, however long that is; of a body that is still there it closes the connection.
fn keep_payload(request: &mut ServiceRequest) -> Rc<RefCell<Payload>> {
    let kept = Rc::new(RefCell::new(request.take_payload()));
    let read = Rc::clone(&kept);
    let pieces = stream::poll_fn(move |context| Pin::new(&mut *read.borrow_mut()).poll_next(context));
    request.set_payload(Payload::from(pieces.boxed_local()));
    kept
}

/// The body of an answer, with the payload of its request.
struct KeptBody {
    body: BoxBody,
    _payload: Rc<RefCell<Payload>>,
}

impl MessageBody for KeptBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

/// A refusal for an operator.
pub(super) fn refusal(failure: Failure, base_url: &str, correlation: &Correlation) -> HttpResponse {
    let failure = failure.for_operators();
    around::log_cause(&failure, correlation);
    let mut answer = outcome_response(&failure, base_url);
    keep_fault(&mut answer, &failure);
    answer
}

/// What the framework refused by itself is answered as our own refusals are.
fn with_outcome(
    response: ServiceResponse<BoxBody>,
    base_url: &str,
    correlation: &Correlation,
) -> ServiceResponse<BoxBody> {
    let status = response.status().as_u16();
    let is_told = response.headers().contains_key("content-type") && response.response().error().is_none();
    if status < 400 || is_told {
        return response;
    }
    let fault = match status {
        404 => Fault::RouteUnknown,
        405 => Fault::MethodRefused,
        413 => Fault::TooLarge,
        400..=499 => Fault::ParameterInvalid,
        _ => Fault::Internal,
    };
    let answer = refusal(fault.into(), base_url, correlation);
    ServiceResponse::new(response.into_parts().0, answer)
}

/// Writes the log line. Those of `/live`, `/ready` and `/metrics`, which monitoring asks for every few seconds, are for `debug`, unless
/// they are refused.
fn record(
    response: &ServiceResponse<BoxBody>,
    route: Option<&'static OpsRoute>,
    correlation: &Correlation,
    took: Duration,
) {
    let request = response.request();
    let status = response.status().as_u16();
    let fault = response.response().extensions().get::<Fault>().copied();
    let seen = request.extensions().get::<SeenRole>().cloned();
    let role = seen.as_ref().map_or("", |seen| seen.0.as_str());
    let of_console = request.extensions().get::<SeenRoute>().map(|seen| seen.0);
    let path = route.map(|route| route.path).or(of_console).unwrap_or(UNMATCHED);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "causeway::http::ops",
                route = path,
                method = request.method().as_str(),
                status,
                fault = fault.map_or("", Fault::code),
                operator.role = role,
                request.id = correlation.request_id,
                correlation.id = correlation.correlation_id,
                traceparent = correlation.traceparent,
                took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                "answered"
            )
        };
    }
    match route.map(|route| route.asks) {
        Some(Asks::Anybody) if status < 400 => {
            spans::forget(&Span::current());
            line!(debug);
        }
        _ => {
            around::trace(request, path, (status, fault), correlation);
            line!(info);
        }
    }
}

//! A file of a run, or a part of one, sent piece by piece; each piece is checked like those of a record.

use super::sent::{beyond, empty, head, next};
use crate::bulk::export::download;
use crate::bulk::opened::OpenedFile;
use crate::bulk::range::AskedBytes;
use crate::bulk::{group_match, job};
use crate::error::Failure;
use crate::http::fhir::authorised::Authorised;
use crate::http::outgoing;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::release::{SentPart, WatchedStream};
use crate::security::Caller;
use actix_web::body::SizedStream;
use actix_web::http::{Method, header};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;

/// The file.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let (id, name) = path.into_inner();
    let name = (id.as_str(), name.as_str());
    let is_head = request.method() == Method::HEAD;
    let asked = asked(&request, is_head);
    let OpenedFile { row, reader, sent } = opened(&app, &authorised.caller, name, &asked).await?;
    let Some((span, disclosure)) = sent else {
        return Ok(beyond(&row));
    };
    let mut answer = head(&row, &span);
    if is_head {
        disclosure.ends(SentPart::Head(200));
        return Ok(empty(&mut answer, &span));
    }
    let size = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
    let watched = WatchedStream::new(disclosure, size, outgoing::terms(&app, &request));
    let (at, end) = (span.range.start, span.range.end);
    let pieces = stream::unfold(Some((reader, watched, at)), move |state| async move {
        let (reader, mut watched, at) = state?;
        match next(&reader, at, end).await {
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
            Ok(Some(piece)) => match watched.pass(piece.len()) {
                Ok(()) => {
                    let at = at + piece.len() as u64;
                    Some((Ok(Bytes::from(piece)), Some((reader, watched, at))))
                }
                Err(failure) => Some((Err(failure), None)),
            },
        }
    });
    Ok(answer.body(SizedStream::new(span.bytes(), Box::pin(pieces))))
}

/// Opens the file, whatever kind of run it belongs to.
async fn opened(
    app: &App,
    caller: &Caller,
    (id, name): (&str, &str),
    asked: &AskedBytes,
) -> Result<OpenedFile, Failure> {
    let run = job::of(&app.ctx, caller, id).await?;
    let (limits, files) = (&app.config.bulk, &app.bulk);
    match group_match::download::open(&app.ctx, (limits, files), caller, (&run, name), asked).await? {
        Some(opened) => Ok(opened),
        None => download::open(&app.ctx, files, limits, caller, ((id, name), asked)).await,
    }
}

/// The bytes that a request asks for; HEAD tells of the whole file.
fn asked(request: &HttpRequest, is_head: bool) -> AskedBytes {
    let text = |name: header::HeaderName| {
        let value = request.headers().get(name).filter(|_| !is_head)?;
        value.to_str().ok()
    };
    AskedBytes::read(text(header::RANGE), text(header::IF_RANGE))
}

//! A file of a run, or a part of one, sent piece by piece; each piece is checked like those of a record.

use super::match_file;
use super::sent::{beyond, empty, head, next};
use crate::bulk::export::download::{self, ExportFile};
use crate::bulk::range::AskedBytes;
use crate::http::fhir::authorised::Authorised;
use crate::http::outgoing;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::release::{SentPart, WatchedStream};
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
    if let Some(answer) = match_file::answer(&app, &authorised, name, (&asked, is_head)).await? {
        return Ok(answer);
    }
    let limits = &app.config.bulk;
    let opened = download::open(&app.ctx, &app.bulk, limits, &authorised.caller, (name, &asked)).await?;
    let ExportFile { row, reader, sent } = opened;
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

/// The bytes that a request asks for; HEAD tells of the whole file.
fn asked(request: &HttpRequest, is_head: bool) -> AskedBytes {
    let text = |name: header::HeaderName| {
        let value = request.headers().get(name).filter(|_| !is_head)?;
        value.to_str().ok()
    };
    AskedBytes::read(text(header::RANGE), text(header::IF_RANGE))
}

//! A file of a run, sent piece by piece; each piece is checked like those of a record.

use super::match_file::{self, NDJSON, next};
use crate::bulk::export::download::{self, ExportFile};
use crate::error::{Failure, Fault};
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
    if let Some(answer) = match_file::answer(&app, &authorised, name, is_head).await? {
        return Ok(answer);
    }
    let opened = download::open(&app.ctx, &app.bulk, &app.config.bulk, &authorised.caller, name).await?;
    let ExportFile {
        row,
        reader,
        disclosure,
    } = opened;
    let bytes = u64::try_from(row.bytes).map_err(|_| HttpFailure::from(Fault::Internal))?;
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, NDJSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if is_head {
        disclosure.ends(SentPart::Head(200));
        return Ok(answer.body(SizedStream::new(bytes, stream::empty::<Result<Bytes, Failure>>())));
    }
    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
    let watched = WatchedStream::new(disclosure, size, outgoing::terms(&app, &request));
    let pieces = stream::unfold(Some((reader, watched, 0_u64)), |state| async move {
        let (reader, mut watched, at) = state?;
        match next(&reader, at).await {
            Ok(None) => None,
            Err(failure) => Some((Err(failure), None)),
            Ok(Some(piece)) => match watched.pass(piece.len()) {
                Ok(()) => Some((Ok(Bytes::from(piece)), Some((reader, watched, at + 1)))),
                Err(failure) => Some((Err(failure), None)),
            },
        }
    });
    Ok(answer.body(SizedStream::new(bytes, Box::pin(pieces))))
}

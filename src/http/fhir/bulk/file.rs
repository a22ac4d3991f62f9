//! A file of a run, sent piece by piece; each piece is checked like those of a record.

use crate::bulk::export::download::{self, ExportFile};
use crate::bulk::files::FileReader;
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

/// The media type of these files.
const NDJSON: &str = "application/fhir+ndjson";

/// The file.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let (id, name) = path.into_inner();
    let name = (id.as_str(), name.as_str());
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
    if request.method() == Method::HEAD {
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

async fn next(reader: &FileReader, at: u64) -> Result<Option<Vec<u8>>, Failure> {
    let reader = reader.clone();
    web::block(move || reader.piece(at))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

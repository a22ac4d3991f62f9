//! A file of a bulk match's result.

use crate::bulk::files::FileReader;
use crate::bulk::group_match::download;
use crate::bulk::job;
use crate::error::{Failure, Fault};
use crate::http::fhir::authorised::Authorised;
use crate::http::state::App;
use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::web::{self, Bytes};
use futures_util::stream;

/// The media type of the files of runs.
pub(super) const NDJSON: &str = "application/fhir+ndjson";

/// The answer with the file; `None` when the run is no bulk match. For HEAD, `is_head`, it has no body.
///
/// # Errors
/// As [`download::open`].
pub async fn answer(
    app: &App,
    authorised: &Authorised,
    (id, name): (&str, &str),
    is_head: bool,
) -> Result<Option<HttpResponse>, Failure> {
    let run = job::of(&app.ctx, &authorised.caller, id).await?;
    let limits = (&app.config.bulk, &app.bulk);
    let Some((row, reader)) = download::open(&app.ctx, limits, &authorised.caller, (&run, name)).await? else {
        return Ok(None);
    };
    let bytes = u64::try_from(row.bytes).unwrap_or(0);
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, NDJSON))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    if is_head {
        return Ok(Some(
            answer.body(SizedStream::new(bytes, stream::empty::<Result<Bytes, Failure>>())),
        ));
    }
    let pieces = stream::unfold(Some((reader, 0_u64)), |state| async move {
        let (reader, at): (FileReader, u64) = state?;
        match next(&reader, at).await {
            Ok(piece) => Some((Ok(Bytes::from(piece?)), Some((reader, at + 1)))),
            Err(failure) => Some((Err(failure), None)),
        }
    });
    Ok(Some(answer.body(SizedStream::new(bytes, Box::pin(pieces)))))
}

/// The piece of a file with this number.
///
/// # Errors
/// As [`FileReader::piece`].
pub(super) async fn next(reader: &FileReader, at: u64) -> Result<Option<Vec<u8>>, Failure> {
    let reader = reader.clone();
    web::block(move || reader.piece(at))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

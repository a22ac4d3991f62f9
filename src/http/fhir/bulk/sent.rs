//! The forms of answers with a file of a run: its head, its bytes one piece after another, and an answer without any. Nothing is decided here.

use crate::bulk::files::FileReader;
use crate::bulk::range::{self, FileSpan};
use crate::error::{Failure, Fault};
use crate::store::bulk::BulkFileRow;
use actix_web::body::SizedStream;
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;

/// The media type of the files of runs.
const NDJSON: &str = "application/fhir+ndjson";

/// The head of the answer with these bytes of a file.
pub(super) fn head(row: &BulkFileRow, span: &FileSpan) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CONTENT_TYPE, NDJSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::ETAG, range::tag_of(row)));
    if span.is_part {
        let (first, last, all) = (span.range.start, span.range.end - 1, range::length(row));
        answer
            .status(StatusCode::PARTIAL_CONTENT)
            .insert_header((header::CONTENT_RANGE, format!("bytes {first}-{last}/{all}")));
    }
    answer
}

/// The answer to HEAD.
pub(super) fn empty(answer: &mut HttpResponseBuilder, span: &FileSpan) -> HttpResponse {
    answer.body(SizedStream::new(
        span.bytes(),
        stream::empty::<Result<Bytes, Failure>>(),
    ))
}

/// The answer to a request for bytes that the file does not have.
pub(super) fn beyond(row: &BulkFileRow) -> HttpResponse {
    HttpResponse::build(StatusCode::RANGE_NOT_SATISFIABLE)
        .insert_header((header::CONTENT_RANGE, format!("bytes */{}", range::length(row))))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

/// The next bytes of a file from `at` on, before `end`.
///
/// # Errors
/// As [`FileReader::bytes`].
pub(super) async fn next(reader: &FileReader, at: u64, end: u64) -> Result<Option<Vec<u8>>, Failure> {
    let reader = reader.clone();
    web::block(move || reader.bytes(at, end))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

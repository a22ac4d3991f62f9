//! The forms of answers with a file of a run: its head, its bytes one piece after another, and an answer without any. Nothing is decided here.

use super::packed::Packer;
use crate::bulk::files::FileReader;
use crate::bulk::range::{self, FileSpan};
use crate::error::{Failure, Fault};
use crate::store::bulk::{BulkFileRow, MEMBERS};
use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;

/// The media type of the files of runs.
const NDJSON: &str = "application/fhir+ndjson";
/// The media type of files without resources.
const LINES: &str = "application/x-ndjson";

/// The head of the answer with these bytes of a file, packed if `packs`.
pub(super) fn head(row: &BulkFileRow, span: &FileSpan, packs: bool) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    let media_type = match row.side.as_str() {
        MEMBERS => LINES,
        _ => NDJSON,
    };
    answer
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::VARY, "Accept-Encoding"))
        .insert_header((header::ETAG, range::tag_of(row)));
    if packs {
        // A tag of its own: the bytes differ. Ranges are of the file as it is.
        let tag = format!("{}-gzip\"", range::tag_of(row).trim_end_matches('"'));
        answer
            .insert_header((header::CONTENT_ENCODING, "gzip"))
            .insert_header((header::ETAG, tag));
    }
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

/// What is left of a file to send.
struct Sending<P> {
    reader: FileReader,
    at: u64,
    end: u64,
    packer: Option<Packer>,
    pass: P,
}

/// The answer with these bytes of a file, packed if `packs`. `pass` is told of each piece before it leaves, and may forbid it.
pub(super) fn body<P>(
    mut answer: HttpResponseBuilder,
    (reader, span): (FileReader, &FileSpan),
    packs: bool,
    pass: P,
) -> HttpResponse
where
    P: FnMut(usize) -> Result<(), Failure> + 'static,
{
    let sending = Sending {
        reader,
        at: span.range.start,
        end: span.range.end,
        packer: packs.then(Packer::new),
        pass,
    };
    let pieces = stream::unfold(Some(sending), |state| async move {
        let mut sending = state?;
        let packer = sending.packer.take();
        match next(sending.reader.clone(), (sending.at, sending.end), packer).await {
            Err(failure) => Some((Err(failure), None)),
            Ok((0, rest, _)) => (!rest.is_empty()).then(|| (Ok(Bytes::from(rest)), None)),
            Ok((read, piece, packer)) => {
                if let Err(failure) = (sending.pass)(read) {
                    return Some((Err(failure), None));
                }
                sending.at += read as u64;
                sending.packer = packer;
                Some((Ok(Bytes::from(piece)), Some(sending)))
            }
        }
    });
    match packs {
        true => answer.body(BodyStream::new(Box::pin(pieces))),
        false => answer.body(SizedStream::new(span.bytes(), Box::pin(pieces))),
    }
}

/// How many of the next bytes were read, and what is sent of them; none after the last ones, when the packer gives its rest.
///
/// # Errors
/// As [`FileReader::bytes`].
async fn next(
    reader: FileReader,
    (at, end): (u64, u64),
    packer: Option<Packer>,
) -> Result<(usize, Vec<u8>, Option<Packer>), Failure> {
    let broken = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
    let work = move || match (reader.bytes(at, end)?, packer) {
        (Some(bytes), None) => Ok((bytes.len(), bytes, None)),
        (Some(bytes), Some(mut packer)) => {
            let packed = packer.pack(&bytes).map_err(broken)?;
            Ok((bytes.len(), packed, Some(packer)))
        }
        (None, None) => Ok((0, Vec::new(), None)),
        (None, Some(packer)) => Ok((0, packer.end().map_err(broken)?, None)),
    };
    web::block(work)
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

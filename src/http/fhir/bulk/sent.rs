//! The forms of answers with a file of a run: its head, its bytes one piece after another, and an answer without any. Nothing is decided here.

use super::packed::{Packer, Packing};
use crate::bulk::files::FileReader;
use crate::bulk::range::{self, FileSpan};
use crate::error::{Failure, Fault};
use crate::store::bulk::{BulkFileRow, MEMBERS};
use actix_web::body::{BodyStream, SizedStream};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use std::collections::VecDeque;

/// The media type of the files of runs.
const NDJSON: &str = "application/fhir+ndjson";
/// The media type of files without resources.
const LINES: &str = "application/x-ndjson";

/// The head of the answer with these bytes of a file.
pub(super) fn head(row: &BulkFileRow, span: &FileSpan, packing: Option<Packing>) -> HttpResponseBuilder {
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
    if let Some(coding) = packing.map(Packing::coding) {
        // A tag of its own: the bytes differ. Ranges are of the file as it is.
        let tag = format!("{}-{coding}\"", range::tag_of(row).trim_end_matches('"'));
        answer
            .insert_header((header::CONTENT_ENCODING, coding))
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

/// Pieces that are read at once: each read goes to a thread that may block, and back.
const AHEAD: usize = 4;

/// What is left of a file to send.
struct Sending<P> {
    reader: FileReader,
    at: u64,
    end: u64,
    packer: Option<Packer>,
    ready: VecDeque<ReadPiece>,
    pass: P,
}

/// A piece that was read.
struct ReadPiece {
    /// Its bytes in the file; none for the rest of the packer.
    read: usize,
    /// What is sent of it.
    sent: Vec<u8>,
}

/// The answer with these bytes of a file. `pass` is told of each piece before it leaves, and may forbid it.
pub(super) fn body<P>(
    mut answer: HttpResponseBuilder,
    (reader, span): (FileReader, &FileSpan),
    packing: Option<Packing>,
    pass: P,
) -> HttpResponse
where
    P: FnMut(usize) -> Result<(), Failure> + 'static,
{
    let sending = Sending {
        reader,
        at: span.range.start,
        end: span.range.end,
        packer: packing.map(Packer::new),
        ready: VecDeque::new(),
        pass,
    };
    let pieces = stream::unfold(Some(sending), |state| async move {
        let mut sending = state?;
        match sending.next().await {
            Ok(piece) => Some((Ok(Bytes::from(piece?)), Some(sending))),
            Err(failure) => Some((Err(failure), None)),
        }
    });
    match packing {
        Some(_) => answer.body(BodyStream::new(Box::pin(pieces))),
        None => answer.body(SizedStream::new(span.bytes(), Box::pin(pieces))),
    }
}

impl<P: FnMut(usize) -> Result<(), Failure>> Sending<P> {
    /// What is sent next; `None` at the end.
    ///
    /// # Errors
    /// Those of `pass`, and as [`FileReader::bytes`].
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let is_over = self.at >= self.end && self.packer.is_none();
        if self.ready.is_empty() && !is_over {
            let (reader, span, packer) = (self.reader.clone(), (self.at, self.end), self.packer.take());
            let read = web::block(move || read_on(&reader, span, packer)).await;
            let (pieces, packer) = read.map_err(|error| Failure::new(Fault::Internal).because(error))??;
            self.at += pieces.iter().map(|piece| piece.read as u64).sum::<u64>();
            (self.ready, self.packer) = (pieces, packer);
        }
        let Some(piece) = self.ready.pop_front() else {
            return Ok(None);
        };
        if piece.read > 0 {
            (self.pass)(piece.read)?;
        }
        Ok(Some(piece.sent))
    }
}

/// Reads the next pieces, at most [`AHEAD`]. Without bytes that are left, the packer gives its rest.
///
/// # Errors
/// As [`FileReader::bytes`], for the first piece; what was read before a broken piece is sent.
fn read_on(
    reader: &FileReader,
    (mut at, end): (u64, u64),
    mut packer: Option<Packer>,
) -> Result<(VecDeque<ReadPiece>, Option<Packer>), Failure> {
    let broken = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
    let mut pieces = VecDeque::with_capacity(AHEAD);
    while pieces.len() < AHEAD {
        let bytes = match reader.bytes(at, end) {
            Err(failure) if pieces.is_empty() => return Err(failure),
            Err(_) => break,
            Ok(bytes) => bytes,
        };
        let Some(bytes) = bytes else {
            if let Some(packer) = packer.take() {
                let sent = packer.end().map_err(broken)?;
                pieces.push_back(ReadPiece { read: 0, sent });
            }
            break;
        };
        let read = bytes.len();
        at += read as u64;
        let sent = match &mut packer {
            None => bytes,
            Some(packer) => packer.pack(&bytes).map_err(broken)?,
        };
        pieces.push_back(ReadPiece { read, sent });
    }
    Ok((pieces, packer))
}

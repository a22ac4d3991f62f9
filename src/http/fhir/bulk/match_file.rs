//! A file of a bulk match's result.

use super::sent::{beyond, empty, head, next};
use crate::bulk::files::FileReader;
use crate::bulk::group_match::download;
use crate::bulk::job;
use crate::bulk::range::AskedBytes;
use crate::error::Failure;
use crate::http::fhir::authorised::Authorised;
use crate::http::state::App;
use actix_web::HttpResponse;
use actix_web::body::SizedStream;
use actix_web::web::Bytes;
use futures_util::stream;

/// The answer with the bytes that are asked for; `None` when the run is no bulk match. For HEAD, `is_head`, it has no body.
///
/// # Errors
/// As [`download::open`].
pub async fn answer(
    app: &App,
    authorised: &Authorised,
    (id, name): (&str, &str),
    (asked, is_head): (&AskedBytes, bool),
) -> Result<Option<HttpResponse>, Failure> {
    let run = job::of(&app.ctx, &authorised.caller, id).await?;
    let limits = (&app.config.bulk, &app.bulk);
    let Some((row, reader)) = download::open(&app.ctx, limits, &authorised.caller, (&run, name)).await? else {
        return Ok(None);
    };
    let Some(span) = asked.of(&row) else {
        return Ok(Some(beyond(&row)));
    };
    let mut answer = head(&row, &span);
    if is_head {
        return Ok(Some(empty(&mut answer, &span)));
    }
    let (at, end) = (span.range.start, span.range.end);
    let pieces = stream::unfold(Some((reader, at)), move |state| async move {
        let (reader, at): (FileReader, u64) = state?;
        match next(&reader, at, end).await {
            Ok(piece) => {
                let piece = piece?;
                let at = at + piece.len() as u64;
                Some((Ok(Bytes::from(piece)), Some((reader, at))))
            }
            Err(failure) => Some((Err(failure), None)),
        }
    });
    Ok(Some(answer.body(SizedStream::new(span.bytes(), Box::pin(pieces)))))
}

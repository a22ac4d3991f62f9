//! A file of a run, or a part of one, sent piece by piece; each piece is checked like those of a record.

use super::packed::Packing;
use super::sent::{beyond, body, empty, head};
use super::told::tell;
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
use crate::store::bulk::BulkJobRow;
use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

/// The file.
pub async fn get(
    request: HttpRequest,
    mut authorised: Authorised,
    path: web::Path<(String, String)>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let (id, name) = path.into_inner();
    let is_head = request.method() == Method::HEAD;
    let asked = asked(&request, is_head);
    let run = job::of(&app.ctx, &authorised.caller, &id).await?;
    authorised.caller.correlation = tell(&request, &run);
    let OpenedFile { row, reader, sent } = opened(&app, &authorised.caller, (&run, &name), &asked).await?;
    let Some((span, disclosure)) = sent else {
        return Ok(beyond(&row));
    };
    let packing = Packing::of(request.headers()).filter(|_| !is_head);
    let mut answer = head(&row, &span, packing);
    if is_head {
        disclosure.ends(SentPart::Head(200));
        return Ok(empty(&mut answer, &span));
    }
    let size = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
    let mut watched = WatchedStream::new(disclosure, size, outgoing::terms(&app, &request));
    Ok(body(answer, (reader, &span), packing, move |bytes| watched.pass(bytes)))
}

/// Opens the file, whatever kind of run it belongs to.
async fn opened(
    app: &App,
    caller: &Caller,
    (run, name): (&BulkJobRow, &str),
    asked: &AskedBytes,
) -> Result<OpenedFile, Failure> {
    let means = (&app.config.bulk, &app.bulk, &app.bulk_looks);
    let opened = match group_match::download::open(&app.ctx, means, caller, (run, name), asked).await {
        Ok(None) => download::open(&app.ctx, means, caller, ((run, name), asked)).await,
        Ok(Some(opened)) => Ok(opened),
        Err(failure) => Err(failure),
    };
    match opened {
        Err(failure) => Err(job::unread(&app.ctx, caller, (&run.id, name), failure).await),
        opened => opened,
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

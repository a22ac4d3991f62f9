//! A file of a run, or a part of one, sent piece by piece; each piece is checked like those of a record.

use super::match_file;
use super::packed::may_pack;
use super::sent::{beyond, body, empty, head};
use super::told::tell;
use crate::bulk::export::download::{self, ExportFile};
use crate::bulk::job;
use crate::bulk::range::AskedBytes;
use crate::http::fhir::authorised::Authorised;
use crate::http::outgoing;
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::release::{SentPart, WatchedStream};
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
    let name = (id.as_str(), name.as_str());
    let is_head = request.method() == Method::HEAD;
    let asked = asked(&request, is_head);
    let run = job::of(&app.ctx, &authorised.caller, name.0).await?;
    authorised.caller.correlation = tell(&request, &run);
    if let Some(answer) = match_file::answer(&app, &authorised, (&run, name.1), (&request, &asked)).await? {
        return Ok(answer);
    }
    let limits = &app.config.bulk;
    let opened = download::open(&app.ctx, &app.bulk, limits, &authorised.caller, (name, &asked)).await?;
    let ExportFile { row, reader, sent } = opened;
    let Some((span, disclosure)) = sent else {
        return Ok(beyond(&row));
    };
    let packs = !is_head && may_pack(request.headers());
    let mut answer = head(&row, &span, packs);
    if is_head {
        disclosure.ends(SentPart::Head(200));
        return Ok(empty(&mut answer, &span));
    }
    let size = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
    let mut watched = WatchedStream::new(disclosure, size, outgoing::terms(&app, &request));
    Ok(body(answer, (reader, &span), packs, move |bytes| watched.pass(bytes)))
}

/// The bytes that a request asks for; HEAD tells of the whole file.
fn asked(request: &HttpRequest, is_head: bool) -> AskedBytes {
    let text = |name: header::HeaderName| {
        let value = request.headers().get(name).filter(|_| !is_head)?;
        value.to_str().ok()
    };
    AskedBytes::read(text(header::RANGE), text(header::IF_RANGE))
}

//! Planted defects: answers changed on purpose, so that a test can show that the conformance runner notices each of them.
//!
//! They exist only in builds with debug assertions, and there only when `CAUSEWAY_PLANTED_DEFECT` names a file that contains the name of a
//! defect; a release build contains none of this. The file is read at every request, so that one server can show one defect after the
//! other. A defect changes the request before it is routed, or the answer after it is made. No handler knows of them.

mod answers;
mod bulk;
mod requests;
mod wire;

use crate::http::negotiate;
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::middleware::Next;
use std::path::PathBuf;
use std::sync::LazyLock;
use wire::{DefectAnswer, DefectRequest, Rewrite, Spoil};

/// The environment variable that names the file.
pub const VARIABLE: &str = "CAUSEWAY_PLANTED_DEFECT";

/// How a defect works.
#[derive(Clone, Copy)]
enum Defect {
    /// Changes the query of a request.
    Query(Rewrite),
    /// Changes an answer.
    Answer(Spoil),
}

static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let file = std::env::var_os(VARIABLE).map(PathBuf::from);
    if file.is_some() {
        tracing::warn!("this server can be spoiled by planted defects");
    }
    file
});

fn planted() -> Option<Defect> {
    let name = std::fs::read_to_string(FILE.as_ref()?).ok()?;
    rows()
        .find(|(other, _)| *other == name.trim())
        .map(|(_, defect)| defect)
}

fn rows() -> impl Iterator<Item = (&'static str, Defect)> {
    let requests = requests::ROWS
        .iter()
        .chain(bulk::QUERIES)
        .map(|(name, defect)| (*name, Defect::Query(*defect)));
    let answers = answers::ROWS
        .iter()
        .chain(bulk::ANSWERS)
        .map(|(name, defect)| (*name, Defect::Answer(*defect)));
    requests.chain(answers)
}

/// The names of all defects.
pub fn names() -> Vec<&'static str> {
    rows().map(|(name, _)| name).collect()
}

/// The middleware; without a planted defect it changes nothing.
pub async fn spoil(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let asked = DefectRequest {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: request.query_string().to_owned(),
        conditional: request.headers().contains_key("if-none-match"),
    };
    match planted() {
        None => next.call(request).await.map(ServiceResponse::map_into_boxed_body),
        Some(Defect::Query(rewrite)) => {
            let pairs = negotiate::pairs(&asked.query).unwrap_or_default();
            let parts: Vec<String> = rewrite(&asked, pairs)
                .iter()
                .map(|(name, value)| format!("{}={}", crate::percent::encode(name), crate::percent::encode(value)))
                .collect();
            let sign = if parts.is_empty() { "" } else { "?" };
            if let Ok(uri) = format!("{}{sign}{}", asked.path, parts.join("&")).parse::<Uri>() {
                request.head_mut().uri = uri.clone();
                request.match_info_mut().get_mut().update(&uri);
            }
            next.call(request).await.map(ServiceResponse::map_into_boxed_body)
        }
        Some(Defect::Answer(spoil)) => {
            let response = next.call(request).await?;
            let (request, response) = response.into_parts();
            let (head, body) = response.into_parts();
            let mut answer = DefectAnswer {
                status: head.status().as_u16(),
                headers: head
                    .headers()
                    .iter()
                    .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
                    .collect(),
                body: to_bytes(body).await.map(|bytes| bytes.to_vec()).unwrap_or_default(),
            };
            spoil(&asked, &mut answer);
            Ok(ServiceResponse::new(request, answer.into_response()))
        }
    }
}

//! The server under measurement: `serve` as it is, and two static routes to compare with.

use crate::cli::serve::{self, ServeArgs};
use crate::cli::{Common, Exit, Out};
use crate::error::Failure;
use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig};
use std::path::PathBuf;
use std::sync::OnceLock;

/// Path of the static answer; the number of bytes follows.
pub(super) const STATIC: &str = "/bench/static/";
/// Largest static answer.
const STATIC_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves over the configuration `config` until SIGTERM; the log goes to `log_file`.
///
/// # Errors
/// As [`serve::run`].
pub fn serve(config: PathBuf, log_file: PathBuf, out: &mut Out) -> Result<Exit, Failure> {
    let args = ServeArgs {
        dev: false,
        log_file: Some(log_file),
    };
    let common = Common {
        config: Some(config),
        json: false,
        quiet: true,
    };
    serve::run_with(&args, &common, Some(routes), out)
}

fn routes(service: &mut ServiceConfig) {
    service.route("/bench/static/{bytes}", web::get().to(answer));
}

/// A body that stands ready in memory: what the stack costs before Causeway does anything.
async fn answer(bytes: web::Path<usize>) -> HttpResponse {
    static BODY: OnceLock<Bytes> = OnceLock::new();
    let wanted = (*bytes).min(STATIC_BYTES_MAX);
    let body = BODY
        .get()
        .filter(|body| body.len() >= wanted)
        .cloned()
        .unwrap_or_else(|| {
            let made = Bytes::from(filler(wanted));
            BODY.get_or_init(|| made.clone());
            made
        });
    HttpResponse::Ok()
        .content_type("application/fhir+json")
        .body(body.slice(..wanted))
}

fn filler(bytes: usize) -> Vec<u8> {
    br#"{"resourceType":"Basic","id":"static"},"#.iter().copied().cycle().take(bytes).collect()
}

//! The measured server: `serve` with additional routes to compare with, which are a static answer and a plain read by keys.

use crate::app::admin::RunCommand;
use crate::app::serve;
use crate::app::service::ServerService;
use crate::error::Failure;
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::store::Db;
use crate::store::schema::resource;
use crate::terminal::{Exit, Out};
use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig};
use diesel::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Path of the static answer, followed by its number of bytes.
pub(super) const STATIC: &str = "/bench/static/";
/// Path of the plain read by keys, followed by `Type/id,id,…`.
pub(super) const KEYED: &str = "/bench/keyed/";
/// Largest static answer in bytes.
const STATIC_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves with the configuration `config` until SIGTERM; the log goes to `log_file`. `without_tree` leaves the entries of the ledger
/// without places, to compare with.
///
/// # Errors
/// As [`serve::run`].
pub fn serve(
    config: PathBuf,
    log_file: PathBuf,
    without_tree: bool,
    commands: RunCommand,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let service = ServerService {
        config: Some(config),
        dev: false,
        log_file: Some(log_file),
        no_worker: false,
        without_tree,
        quiet: true,
        commands,
        extra: Some(routes),
    };
    serve::run(&service, out)
}

fn routes(service: &mut ServiceConfig) {
    service.route("/bench/static/{bytes}", web::get().to(answer));
    service.route("/bench/keyed/{type}/{ids}", web::get().to(keyed));
}

/// The least that a search answer can cost: its rows are read by their keys, and the Bundle is written around them. There is no caller, no
/// grant and no ledger. The keys for a list of ids are looked up only once.
async fn keyed(rows: web::Path<(String, String)>, app: web::Data<App>) -> Result<HttpResponse, HttpFailure> {
    static KEYS: Mutex<Option<HashMap<String, Vec<i64>>>> = Mutex::new(None);
    let (rtype, ids) = rows.into_inner();
    let known = |keys: &mut Option<HashMap<String, Vec<i64>>>| keys.get_or_insert_default().get(&ids).cloned();
    let found = known(&mut KEYS.lock().unwrap_or_else(PoisonError::into_inner));
    let keys = match found {
        Some(keys) => keys,
        None => {
            let wanted: Vec<String> = ids.split(',').map(str::to_owned).collect();
            let keys = app.ctx.store.read(move |db| keys_of(db, &rtype, &wanted)).await?;
            let mut all = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
            all.get_or_insert_default().insert(ids.clone(), keys.clone());
            keys
        }
    };
    let base_url = &app.ctx.payer.base_url;
    let rows = app.ctx.store.read(move |db| rows_of(db, &keys)).await?;
    let mut body = Vec::new();
    let mut bundle = Bundle::begin(&mut body, SEARCHSET);
    for (rtype, id, stored, released) in rows {
        let full_url: [&str; 5] = [base_url, "/", &rtype, "/", &id];
        bundle.found(&mut body, &full_url, released.as_ref().unwrap_or(&stored), "match");
    }
    bundle.end(&mut body);
    Ok(HttpResponse::Ok().content_type("application/fhir+json").body(body))
}

fn keys_of(db: &mut Db, rtype: &str, ids: &[String]) -> Result<Vec<i64>, Failure> {
    let rows: Vec<(String, i64)> = resource::table
        .filter(resource::rtype.eq(rtype).and(resource::id.eq_any(ids)))
        .select((resource::id, resource::key))
        .load(db)?;
    let keys: HashMap<String, i64> = rows.into_iter().collect();
    Ok(ids.iter().filter_map(|id| keys.get(id).copied()).collect())
}

type KeyedRow = (String, String, Vec<u8>, Option<Vec<u8>>);

fn rows_of(db: &mut Db, keys: &[i64]) -> Result<Vec<KeyedRow>, Failure> {
    Ok(resource::table
        .filter(resource::key.eq_any(keys))
        .order(resource::key.asc())
        .select((resource::rtype, resource::id, resource::body, resource::released))
        .load(db)?)
}

/// A prepared body in memory: the cost of the HTTP stack alone.
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

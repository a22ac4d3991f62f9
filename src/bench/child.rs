//! The server under measurement: `serve` as it is, and the routes it is compared with: a static answer, and a bare keyed read.

use crate::app::App;
use crate::cli::serve::{self, ServeArgs};
use crate::cli::{Common, Exit, Out};
use crate::error::Failure;
use crate::http::reply::HttpFailure;
use crate::store::Db;
use crate::store::schema::resource;
use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, ServiceConfig};
use diesel::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Path of the static answer; the number of bytes follows.
pub(super) const STATIC: &str = "/bench/static/";
/// Path of the bare keyed read; `Type/id,id,…` follows.
pub(super) const KEYED: &str = "/bench/keyed/";
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
    service.route("/bench/keyed/{type}/{ids}", web::get().to(keyed));
}

/// The least that a search's answer can cost: its rows by their keys, and the Bundle around them. No caller, no grant, no
/// ledger. The keys of a list of ids are looked up once.
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
    let mut body = br#"{"resourceType":"Bundle","type":"searchset","entry":["#.to_vec();
    for (at, (rtype, id, stored, released)) in rows.into_iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        body.extend_from_slice(format!("{comma}{{\"fullUrl\":\"{base_url}/{rtype}/{id}\",\"resource\":").as_bytes());
        body.extend_from_slice(released.as_ref().unwrap_or(&stored));
        body.extend_from_slice(br#","search":{"mode":"match"}}"#);
    }
    body.extend_from_slice(b"]}");
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

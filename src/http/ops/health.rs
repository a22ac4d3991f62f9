//! `/live`, `/ready` and `/metrics`. None of them shows a version, a partner or a member.

use super::own_host;
use super::ring::refusal;
use crate::audit::ledger;
use crate::error::Failure;
use crate::http::bearer::bearer;
use crate::http::request_notes::correlation_of;
use crate::http::routes;
use crate::http::state::App;
use crate::ops::alerts;
use crate::store::{DiskRoom, readiness};
use crate::telemetry::{exposition, metrics as families, process, signs};
use actix_web::{HttpRequest, HttpResponse, web};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder, with every family described and at its first values; once in a process, however many servers it runs.
pub fn install_metrics() {
    METRICS.get_or_init(|| {
        let times = Matcher::Full(families::SECONDS.to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(times, families::BUCKETS);
        let handle = builder.ok()?.install_recorder().ok()?;
        let mut paths: Vec<&'static str> = routes::ROUTES.iter().map(|route| route.path).collect();
        paths.push(routes::UNMATCHED);
        paths.sort_unstable();
        paths.dedup();
        exposition::begin(&paths);
        alerts::begin();
        Some(handle)
    });
}

/// Puts measured times into their buckets. Without it they are kept singly until somebody reads `/metrics`, which may be never.
pub fn settle_metrics() {
    if let Some(handle) = METRICS.get().and_then(Option::as_ref) {
        handle.run_upkeep();
    }
}

/// `GET /live`: the process answers. Needs no store.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("live\n")
}

/// Longest time until a probe is answered.
const PROBE: Duration = Duration::from_secs(3);

/// `GET /ready`: the ledger can be appended to, so that members' data may be read, no table that requests need is locked, and the
/// process is not on its way out.
pub async fn ready(app: web::Data<App>) -> HttpResponse {
    let store = &app.ctx.store;
    let appends = async {
        let probe = async {
            store.reserved().write(ledger::probe).await?;
            store.read(readiness::probe).await
        };
        matches!(tokio::time::timeout(PROBE, probe).await, Ok(Ok(())))
    };
    if !app.is_draining() && !store.is_broken() && !store.is_full() && appends.await {
        HttpResponse::Ok().content_type("text/plain").body("ready\n")
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header(("retry-after", "2"))
            .content_type("text/plain")
            .body("not ready\n")
    }
}

/// `GET /metrics` for whoever is on this machine and asks under its own name, and otherwise for the holder of a token of any role.
pub async fn metrics_text(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    match may_scrape(&request, &app).await {
        Ok(()) => figures(app).await,
        Err(failure) => refusal(failure, &app.ctx.payer.base_url, &correlation_of(&request)),
    }
}

async fn may_scrape(request: &HttpRequest, app: &App) -> Result<(), Failure> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    if is_here(app.config.server.ops_listen.ip(), peer, &own_host::authority(request)) {
        return Ok(());
    }
    app.authority.operator(&app.ctx, bearer(request)?).await.map(drop)
}

/// Whether somebody on this machine asks under its own name. A proxy that others reach asks under another, and so does a page of a site whose name
/// leads here (DNS rebinding).
fn is_here(listen: IpAddr, peer: Option<IpAddr>, authority: &str) -> bool {
    let is_near = listen.is_loopback() || peer.is_some_and(|peer| peer.to_canonical().is_loopback());
    is_near && own_host::is_of_this_machine(authority)
}

/// The figures in the Prometheus text format. Without a store the store's size is left out.
async fn figures(app: web::Data<App>) -> HttpResponse {
    signs::scraped(app.ctx.clock.now_ms());
    metrics::counter!(families::STATEMENTS).absolute(app.ctx.store.statements());
    metrics::counter!(families::COMMITS).absolute(app.ctx.store.commits());
    let mut text = METRICS
        .get()
        .and_then(Option::as_ref)
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    if let Ok(size) = app.ctx.store.size().await {
        let parts = [("database", size.database as f64), ("write-ahead-log", size.log as f64)];
        exposition::measured(families::STORE_BYTES, &parts, &mut text);
    }
    let ends = signs::tls_ends().unwrap_or_default();
    let ends: Vec<(&str, f64)> = ends.iter().map(|(file, end_s)| (*file, *end_s as f64)).collect();
    exposition::measured(families::TLS_ENDS, &ends, &mut text);
    let free = app.ctx.store.free_bytes().unwrap_or(0);
    exposition::measured(families::FREE_BYTES, &[("", free as f64)], &mut text);
    let room = app.ctx.store.room();
    let refuses = |least: DiskRoom| f64::from(u8::from(room >= least));
    let refused = [
        ("exports", refuses(DiskRoom::NoExports)),
        ("writes", refuses(DiskRoom::NoWrites)),
    ];
    exposition::measured(families::REFUSES, &refused, &mut text);
    for (name, value) in process::figures() {
        exposition::measured(name, &[("", value)], &mut text);
    }
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_need_no_token_on_this_machine_under_its_own_name_alone() {
        for (listen, peer, authority, wanted) in [
            ("127.0.0.1", Some("127.0.0.1"), "127.0.0.1:9443", true),
            ("::1", None, "localhost", true),
            ("0.0.0.0", Some("127.0.0.1"), "localhost:9443", true),
            ("::", Some("::ffff:127.0.0.1"), "[::1]:9443", true),
            ("127.0.0.1", Some("127.0.0.1"), "ops.example", false),
            ("127.0.0.1", Some("127.0.0.1"), "", false),
            ("0.0.0.0", Some("10.0.0.7"), "localhost:9443", false),
            ("0.0.0.0", None, "localhost:9443", false),
        ] {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            let found = is_here(address(listen), peer.map(address), authority);
            assert_eq!(found, wanted, "{listen} {peer:?} {authority}");
        }
    }
}

//! `/live`, `/ready` and `/metrics`. None of them shows a version, a partner or a member.

use crate::app::App;
use crate::audit::ledger;
use actix_web::{HttpResponse, web};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Installs the recorder; once in a process, however many servers it runs.
pub fn install_metrics() {
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().ok());
}

/// `GET /live`: the process answers. Needs no store.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("live\n")
}

/// `GET /ready`: the store takes writes, the ledger can be appended to, and the process is not on its way out.
pub async fn ready(app: web::Data<App>) -> HttpResponse {
    let writable = !app.is_draining() && !app.ctx.store.is_broken() && app.ctx.store.write(ledger::probe).await.is_ok();
    if writable {
        HttpResponse::Ok().content_type("text/plain").body("ready\n")
    } else {
        HttpResponse::ServiceUnavailable()
            .insert_header(("retry-after", "2"))
            .content_type("text/plain")
            .body("not ready\n")
    }
}

/// `GET /metrics` in the Prometheus text format.
pub async fn metrics_text() -> HttpResponse {
    let text = METRICS
        .get()
        .and_then(Option::as_ref)
        .map(PrometheusHandle::render)
        .unwrap_or_default();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(text)
}

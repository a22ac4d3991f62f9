//! The ledger entry that the middleware writes when a request is refused, unless the handler has written one: who asked, why it was
//! refused, and the correlation ids.
//!
//! A caller that is known by a token or by a registered certificate is recorded as a client; any other is a stranger and is only counted.

use super::routes::{Interaction, Route};
use crate::audit::{Action, Actor};
use crate::error::{Failure, Fault};
use crate::http::state::App;
use crate::security::PeerCertificate;
use crate::telemetry::Correlation;
use std::time::Duration;

/// How long an answer waits for its ledger entry when the store has just failed.
const PATIENCE: Duration = Duration::from_millis(500);

/// Records that a request was refused. `partner` is the authenticated partner, if any; `route` is the matched route, if any.
pub(super) async fn note(
    app: &App,
    correlation: &Correlation,
    partner: Option<String>,
    certificate: Option<&PeerCertificate>,
    route: Option<&Route>,
    failure: &Failure,
) {
    // Boxed, so that requests that wait for their body do not hold memory for it.
    let recorded = Box::pin(record(app, correlation, partner, certificate, route, failure));
    match failure.fault() {
        Fault::StoreUnavailable | Fault::StoreSlow | Fault::StoreUnsafe | Fault::AuditUnavailable => {
            let _ = tokio::time::timeout(PATIENCE, recorded).await;
        }
        _ => recorded.await,
    }
}

async fn record(
    app: &App,
    correlation: &Correlation,
    partner: Option<String>,
    certificate: Option<&PeerCertificate>,
    route: Option<&Route>,
    failure: &Failure,
) {
    let id = match partner {
        Some(id) => Some(id),
        None => app
            .authority
            .owner(&app.ctx, certificate, app.ctx.clock.now_ms())
            .await
            .unwrap_or_default(),
    };
    let actor = Actor {
        kind: if id.is_some() { "partner" } else { "unknown" },
        id,
        certificate_sha256: certificate.map(|certificate| certificate.sha256),
        ..Actor::default()
    };
    let action = match route.map(|route| route.interaction) {
        Some(Interaction::Token | Interaction::Introspect | Interaction::Revoke) => Action::TokenRefused,
        _ => Action::RequestRefused,
    };
    let recorded = app.oauth.refusals.record(&app.ctx, action, actor, failure, correlation);
    // A failure to record changes nothing for the client: the request is refused in any case.
    if let Err(failed) = recorded.await {
        tracing::warn!(
            fault = failed.fault().code(),
            request.id = correlation.request_id,
            "a refusal could not be recorded"
        );
    }
}

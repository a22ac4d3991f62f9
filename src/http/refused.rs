//! What the ring around a request writes of its refusal, unless whoever refused it did so: who, why, and under which ids.
//!
//! Who is known by a token or by a registered certificate is a client; everybody else is a stranger and only counted.

use super::routes::{Interaction, Route};
use crate::app::App;
use crate::audit::{Action, Actor};
use crate::error::{Failure, Fault};
use crate::security::PeerCertificate;
use crate::telemetry::Correlation;
use std::time::Duration;

/// How long an answer waits for its note in a store that has just failed it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Notes that a request was refused. `partner` is who authenticated, if anybody did; `route` what was asked, if that is known.
pub(super) async fn note(
    app: &App,
    correlation: &Correlation,
    partner: Option<String>,
    certificate: Option<&PeerCertificate>,
    route: Option<&Route>,
    failure: &Failure,
) {
    let recorded = record(app, correlation, partner, certificate, route, failure);
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
    // The request is refused in any case.
    if let Err(failed) = recorded.await {
        tracing::warn!(
            fault = failed.fault().code(),
            request.id = correlation.request_id,
            "a refusal could not be recorded"
        );
    }
}

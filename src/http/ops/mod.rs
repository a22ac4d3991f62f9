//! The operations side, on its own listener: health, metrics, and `/ops/v1` for machines.

mod health;
mod reviews;
mod rights;
mod v1;

pub use health::{install_metrics, live, metrics_text, ready, settle_metrics};

use crate::app::App;
use crate::error::{Failure, Fault};
use crate::http::reply::outcome_response;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::{self, ServiceConfig};

/// The middleware around `/ops/v1`: what the framework refused by itself is answered as our own refusals are.
pub async fn outcomes(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let app = request.app_data::<web::Data<App>>().cloned();
    let is_ours = request.path().starts_with("/ops/v1");
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status().as_u16();
    let is_told = response.headers().contains_key("content-type") && response.response().error().is_none();
    let Some(app) = app.filter(|_| is_ours && status >= 400 && !is_told) else {
        return Ok(response);
    };
    let fault = match status {
        404 | 405 => Fault::RouteUnknown,
        413 => Fault::TooLarge,
        400..=499 => Fault::ParameterInvalid,
        _ => Fault::Internal,
    };
    let answer = outcome_response(&Failure::new(fault).for_operators(), &app.ctx.payer.base_url);
    Ok(ServiceResponse::new(response.into_parts().0, answer))
}

/// Registers the operations routes.
pub fn configure(service: &mut ServiceConfig) {
    service
        .route("/live", web::get().to(live))
        .route("/ready", web::get().to(ready))
        .route("/metrics", web::get().to(metrics_text))
        .service(
            web::scope("/ops/v1")
                .route("/decisions", web::get().to(v1::decisions))
                .route("/decisions/{id}", web::get().to(v1::decision))
                .route("/grants", web::get().to(v1::grants))
                .service(rights::body("/grants/_search", web::post().to(rights::grants_search)))
                .service(rights::body(
                    "/grants/{id}/revoke",
                    web::post().to(rights::revoke_grant),
                ))
                .route("/consents", web::get().to(rights::consents))
                .route("/consents/{id}", web::get().to(rights::consent))
                .service(rights::body(
                    "/consents/{id}/revoke",
                    web::post().to(rights::revoke_consent),
                ))
                .route("/disclosures", web::get().to(rights::disclosures))
                .service(rights::body(
                    "/disclosures/_search",
                    web::post().to(rights::disclosures_search),
                ))
                // Correlation ids may hold slashes.
                .route("/trace/{id:.+}", web::get().to(rights::trace))
                .route("/reviews", web::get().to(reviews::queue))
                .route("/reviews/{id}", web::get().to(reviews::one))
                .service(
                    web::resource("/reviews/{id}/decide")
                        .app_data(web::PayloadConfig::new(reviews::BODY_BYTES))
                        .route(web::post().to(reviews::decide)),
                )
                .route("/links", web::get().to(reviews::edges))
                .route("/members/{id}/graph", web::get().to(reviews::graph))
                .route("/ledger", web::get().to(v1::ledger))
                .route("/partners", web::get().to(v1::partners))
                .route("/policies", web::get().to(v1::policies))
                .route("/faults", web::get().to(v1::faults)),
        );
}

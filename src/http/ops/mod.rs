//! The operations side, on its own listener: health, metrics, and `/ops/v1` for machines.

mod health;
mod reviews;
mod rights;
mod v1;

pub use health::{install_metrics, live, metrics_text, ready, settle_metrics};

use actix_web::web::{self, ServiceConfig};

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

//! The discovery documents: always JSON, whatever `Accept` says (SMART App Launch 2.2, conformance).

use crate::app::App;
use crate::security;
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde_json::Value;

/// `GET .well-known/smart-configuration`.
pub async fn smart_configuration(app: web::Data<App>) -> HttpResponse {
    document(&security::smart_configuration(&app.oauth))
}

/// `GET .well-known/davinci-configuration`.
pub async fn davinci_configuration(app: web::Data<App>) -> HttpResponse {
    document(&security::davinci_configuration(&app.oauth))
}

/// `GET .well-known/jwks.json`: the keys we sign with as a client.
pub async fn jwks() -> HttpResponse {
    document(&security::jwks())
}

fn document(value: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "max-age=300"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .body(value.to_string())
}

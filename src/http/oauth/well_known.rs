//! The discovery documents. They are always JSON, whatever `Accept` says (SMART App Launch 2.2, conformance).

use crate::http::documents::Documents;
use crate::http::state::App;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// `GET .well-known/smart-configuration`.
pub async fn smart_configuration(request: HttpRequest, documents: web::Data<Documents>) -> HttpResponse {
    open(documents.now().smart.answer(&request))
}

/// `GET .well-known/davinci-configuration`.
pub async fn davinci_configuration(request: HttpRequest, documents: web::Data<Documents>) -> HttpResponse {
    open(documents.now().davinci.answer(&request))
}

/// `GET .well-known/jwks.json`: the public keys with which this server signs receipts.
pub async fn jwks(request: HttpRequest, documents: web::Data<Documents>, app: web::Data<App>) -> HttpResponse {
    open(documents.with_keys(&app).jwks.answer(&request))
}

/// Allows scripts of any origin to read the answer.
fn open(mut answer: HttpResponse) -> HttpResponse {
    let any = header::HeaderValue::from_static("*");
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    answer
}

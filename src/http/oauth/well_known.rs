//! The discovery documents: always JSON, whatever `Accept` says (SMART App Launch 2.2, conformance).

use crate::http::documents::Documents;
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

/// `GET .well-known/jwks.json`: the keys we sign with as a client.
pub async fn jwks(request: HttpRequest, documents: web::Data<Documents>) -> HttpResponse {
    open(documents.now().jwks.answer(&request))
}

/// Scripts of any origin may read it.
fn open(mut answer: HttpResponse) -> HttpResponse {
    let any = header::HeaderValue::from_static("*");
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    answer
}

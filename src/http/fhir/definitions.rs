//! Our own OperationDefinitions and StructureDefinitions: public, read by id, listed by type.

use crate::app::App;
use crate::error::Fault;
use crate::fhir::{operations, profile};
use crate::http::negotiate;
use crate::http::reply::{FHIR_JSON, HttpFailure};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// `GET OperationDefinition/{id}` and `GET StructureDefinition/{id}`.
pub async fn read(
    request: HttpRequest,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let found = of_type(&request, &app)
        .into_iter()
        .find(|one| one["id"] == id.as_str())
        .ok_or(Fault::NotFound)?;
    Ok(answer(&found))
}

/// `GET OperationDefinition` and `GET StructureDefinition`: all there are, or those with this `_id`, `url` or `name`.
pub async fn list(request: HttpRequest, app: web::Data<App>) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let base_url = &app.ctx.payer.base_url;
    let mut found = of_type(&request, &app);
    for (name, value) in negotiate::pairs(request.query_string())? {
        let element = match name.as_str() {
            "_id" => "id",
            "url" => "url",
            "name" => "name",
            _ => continue,
        };
        if !value.is_empty() {
            found.retain(|one| {
                one[element]
                    .as_str()
                    .is_some_and(|text| value.split(',').any(|any| any == text))
            });
        }
    }
    let rtype = type_of(&request);
    let mut bundle = json!({
        "resourceType": "Bundle", "type": "searchset", "total": found.len(),
        "link": [{"relation": "self", "url": format!("{base_url}/{rtype}")}],
    });
    if !found.is_empty() {
        let entries: Vec<Value> = found
            .into_iter()
            .map(|one| json!({"fullUrl": one["url"], "resource": one, "search": {"mode": "match"}}))
            .collect();
        bundle["entry"] = Value::Array(entries);
    }
    Ok(answer(&bundle))
}

/// Every definition of ours.
pub fn all(base_url: &str) -> Vec<Value> {
    let mut all = operations::definitions(base_url);
    all.push(profile::outcome(base_url));
    all
}

fn of_type(request: &HttpRequest, app: &App) -> Vec<Value> {
    let rtype = type_of(request);
    let mut found = all(&app.ctx.payer.base_url);
    found.retain(|one| one["resourceType"] == rtype);
    found
}

/// The type that the matched route names: its second segment, which is fixed in the table.
fn type_of(request: &HttpRequest) -> String {
    let pattern = request.match_pattern().unwrap_or_default();
    pattern.split('/').nth(2).unwrap_or("").to_owned()
}

fn answer(value: &Value) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "max-age=300"))
        .body(value.to_string())
}

//! `GET Patient?…` and `POST Patient/_search`: by `identifier` and `_id`, inside the caller's grants.

use super::authorised::Authorised;
use crate::app::App;
use crate::error::{Failure, Fault};
use crate::http::negotiate::{self, Form};
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::{body, page};
use crate::release;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

/// Parameters that shape the answer and never select.
const GENERAL: &[&str] = &["_format", "_pretty", "_count", "_total"];
/// Bytes of a search form.
const FORM_BYTES: usize = 64 * 1024;

/// The search by URL.
pub async fn get(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let query = request.query_string().to_owned();
    search(&request, &authorised, &app, &query).await
}

/// The search by form, by URL, or by both (FHIR R4 search, "Introduction"); answers as the search by URL.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    if !body::is_form(&request) {
        return Err(Fault::MediaTypeRefused.into());
    }
    let form = body::any(&request, payload, FORM_BYTES).await?;
    let form = String::from_utf8(form.to_vec()).map_err(|_| Failure::new(Fault::NotUtf8))?;
    let both = format!("{}&{form}", request.query_string());
    search(&request, &authorised, &app, &both).await
}

async fn search(
    request: &HttpRequest,
    authorised: &Authorised,
    app: &App,
    query: &str,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(request)?;
    let strict = request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.split([',', ';']).any(|part| part.trim() == "handling=strict"));
    let (mut identifier, mut id) = (None, None);
    for (name, value) in negotiate::pairs(query)? {
        match name.as_str() {
            "identifier" if identifier.is_none() && !value.is_empty() => identifier = Some(value),
            "_id" if id.is_none() && !value.is_empty() => id = Some(value),
            "identifier" | "_id" => {
                return Err(Failure::new(Fault::ParameterInvalid)
                    .at(format!("Patient?{name}"))
                    .into());
            }
            // A modifier or a chain that is not understood must not be passed over (FHIR R4 search, "Modifiers"; threat D03).
            other if other.contains([':', '.']) => return Err(Failure::new(Fault::ParameterUnknown).into()),
            other if GENERAL.contains(&other) => {}
            _ if strict => return Err(Failure::new(Fault::ParameterUnknown).into()),
            _ => {}
        }
    }
    if identifier.is_none() && id.is_none() {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("Patient?identifier")
            .remedy("Search by identifier (system|value) or by _id.")
            .into());
    }
    let found = release::search_patients(&app.ctx, &authorised.caller, identifier.as_deref(), id.as_deref()).await?;
    let base_url = &app.ctx.payer.base_url;
    // The self link names the parameters, not their values: a URL must not carry what identifies a person.
    let names: Vec<&str> = [("identifier", identifier.is_some()), ("_id", id.is_some())]
        .iter()
        .filter(|(_, given)| *given)
        .map(|(n, _)| *n)
        .collect();
    let mut bytes = format!(
        "{{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"total\":{},\"link\":[{{\"relation\":\"self\",\"url\":\"{base_url}/Patient?{}\"}}]",
        found.rows.len(),
        names.join("&"),
    )
    .into_bytes();
    for (at, row) in found.rows.into_iter().enumerate() {
        bytes.extend_from_slice(if at == 0 { b",\"entry\":[" } else { b"," });
        bytes.extend_from_slice(format!("{{\"fullUrl\":\"{base_url}/Patient/{}\",\"resource\":", row.id).as_bytes());
        bytes.extend_from_slice(&row.into_bytes());
        bytes.extend_from_slice(b",\"search\":{\"mode\":\"match\"}}");
    }
    bytes.extend_from_slice(if bytes.ends_with(b"}}") { b"]}" } else { b"}" });
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    Ok(match form {
        Form::Json => response.insert_header((header::CONTENT_TYPE, FHIR_JSON)).body(bytes),
        Form::Html => page::resource(&mut response, "Patient search", &bytes, base_url),
    })
}

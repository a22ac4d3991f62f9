//! Reads and searches of the public resources that describe this server, such as its fault codes and search parameters.

use super::describing::SEARCHED_BY;
use super::family::{ConformanceFamily, Described, bundle};
use super::search::posted;
use crate::error::{Failure, Fault};
use crate::fhir::search::query::{PARAMETERS_MAX, VALUES_MAX};
use crate::http::documents::Documents;
use crate::http::negotiate;
use crate::http::reply::{FHIR_JSON, HttpFailure};
use crate::http::state::App;
use crate::percent::encode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};

fn rtype(request: &HttpRequest) -> &str {
    request.match_info().get("type").unwrap_or_default()
}

/// `GET [type]/[id]`.
pub async fn read(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let made = documents.now();
    let found = made.one(rtype(&request), &path.1).ok_or(Fault::NotFound)?;
    Ok(found.answer(&request))
}

/// `GET [type]?…`.
pub async fn search(
    request: HttpRequest,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::pairs(request.query_string())?;
    answer(&request, &app, &documents, &pairs)
}

/// `POST [type]/_search`.
pub async fn search_post(
    request: HttpRequest,
    payload: web::Payload,
    app: web::Data<App>,
    documents: web::Data<Documents>,
) -> Result<HttpResponse, HttpFailure> {
    let pairs = posted(&request, payload).await?;
    answer(&request, &app, &documents, &pairs)
}

fn answer(
    request: &HttpRequest,
    app: &App,
    documents: &Documents,
    pairs: &[(String, String)],
) -> Result<HttpResponse, HttpFailure> {
    let pairs = negotiate::filled(pairs.to_vec(), negotiate::form(request)?);
    let (made, strict) = (documents.now(), negotiate::is_strict(request));
    let family = made.family(rtype(request)).ok_or(Fault::RouteUnknown)?;
    match search_of(family, rtype(request), &pairs, &app.ctx.payer.base_url, strict)? {
        None => Ok(family.all.found()),
        Some(bytes) => Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, FHIR_JSON))
            .body(bytes)),
    }
}

/// All resources that match, on one page, because there are few. `None` when the parameters do not narrow the search, so that all match.
///
/// # Errors
/// [`Fault::ParameterUnknown`] when `strict`; [`Fault::ParameterInvalid`] for more parameters or values than any search accepts.
pub fn search_of(
    family: &ConformanceFamily,
    rtype: &str,
    pairs: &[(String, String)],
    base_url: &str,
    strict: bool,
) -> Result<Option<Vec<u8>>, Failure> {
    if pairs.len() > PARAMETERS_MAX {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at(rtype)
            .remedy(format!("Send at most {PARAMETERS_MAX} parameters.")));
    }
    let mut found: Vec<&Described> = family.members.iter().collect();
    let mut own = Vec::new();
    let mut only_count = false;
    // Everybody may search these, and each value is compared with each resource.
    let mut values = 0;
    for (name, value) in pairs {
        match SEARCHED_BY.iter().find(|(known, _)| known == name) {
            Some((known, kind)) => {
                let element = known.trim_start_matches('_');
                let is_name = *kind == "string";
                let small = if is_name { value.to_lowercase() } else { value.clone() };
                let wanted: Vec<&str> = small.split(',').collect();
                values += wanted.len();
                if values > VALUES_MAX {
                    return Err(Failure::new(Fault::ParameterInvalid)
                        .at(format!("{rtype}?{known}"))
                        .remedy(format!("Give at most {VALUES_MAX} values in all.")));
                }
                found.retain(|one| match is_name {
                    true => wanted.iter().any(|wanted| one.small_name().starts_with(wanted)),
                    false => wanted.contains(&one.element(element)),
                });
                own.push(format!("{known}={}", encode(value)));
            }
            None if name == "_summary" && value == "count" => only_count = true,
            None if matches!(name.as_str(), "_format" | "_pretty" | "_count" | "_summary" | "_total") => {}
            None if strict || name.contains([':', '.']) => {
                let names: Vec<&str> = SEARCHED_BY.iter().map(|(name, _)| *name).collect();
                return Err(Failure::new(Fault::ParameterUnknown).at(rtype).remedy(format!(
                    "{rtype} is searched by {} here, without modifiers.",
                    names.join(", ")
                )));
            }
            None => {}
        }
    }
    let total = found.len();
    if own.is_empty() && !only_count {
        return Ok(None);
    }
    if only_count {
        found.clear();
    }
    Ok(Some(bundle(&found, total, rtype, &own, base_url)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn they_are_found_by_what_names_them() {
        let family = |rtype: &'static str| ConformanceFamily::new(rtype, "https://p/fhir");
        let parameters = family("SearchParameter");
        let search = |pairs: &[(String, String)]| {
            let bytes = search_of(&parameters, "SearchParameter", pairs, "https://p/fhir", false)?;
            let bytes = bytes.unwrap_or_else(|| parameters.all.bytes().to_vec());
            Ok::<_, Failure>(serde_json::from_slice::<Value>(&bytes).expect("JSON"))
        };
        let of = |name: &str, value: &str| {
            let found = search(&[(name.to_owned(), value.to_owned())]).expect("a bundle");
            found["total"].as_u64().expect("a number")
        };
        assert!(search(&[]).expect("all")["total"].as_u64().expect("a number") > 200);
        assert_eq!(of("_id", "Observation-code,Patient-name"), 2);
        assert_eq!(of("url", "https://p/fhir/SearchParameter/Observation-code"), 1);
        assert_eq!(of("_id", "nothing"), 0);
        assert!(of("name", "observation") > 5);
        let code_systems = family("CodeSystem");
        let below = [("url:below".to_owned(), "x".to_owned())];
        assert!(search_of(&code_systems, "CodeSystem", &below, "https://p/fhir", false).is_err());
        // No more parameters or values than any search accepts, because each value is compared with each resource.
        let many = ("name".to_owned(), vec!["a"; VALUES_MAX + 1].join(","));
        let half = ("name".to_owned(), vec!["a"; VALUES_MAX / 2 + 1].join(","));
        assert!(search(std::slice::from_ref(&half)).is_ok());
        let too_many = vec![("_id".to_owned(), "a".to_owned()); PARAMETERS_MAX + 1];
        for pairs in [vec![many], vec![half.clone(), half], too_many] {
            assert_eq!(search(&pairs).expect_err("too many").fault(), Fault::ParameterInvalid);
        }
    }
}

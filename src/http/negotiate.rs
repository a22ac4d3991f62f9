//! Which form an answer takes, from `_format` and `Accept` (FHIR R4 http, content negotiation).

use crate::error::{Failure, Fault};
use actix_web::HttpRequest;
use actix_web::http::header;

/// The forms we serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/fhir+json`.
    Json,
    /// A page for people.
    Html,
}

/// Chooses the form of the answer. `_format` wins over `Accept`.
///
/// # Errors
/// [`Fault::NotAcceptable`] when only forms are accepted that we do not serve.
pub fn form(request: &HttpRequest) -> Result<Form, Failure> {
    let asked = query_value(request.query_string(), "_format");
    if let Some(format) = asked {
        return one(&format.replace(' ', "+")).ok_or_else(|| Failure::new(Fault::NotAcceptable).at("_format"));
    }
    let accepts: Vec<&str> = request
        .headers()
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .collect();
    if accepts.is_empty() {
        return Ok(Form::Json);
    }
    let mut best: Option<(f32, Form)> = None;
    for accept in accepts {
        let mut parts = accept.split(';').map(str::trim);
        let Some(found) = parts.next().and_then(one) else {
            continue;
        };
        let mut quality = 1.0;
        let mut version_fits = true;
        for parameter in parts {
            match parameter.split_once('=') {
                Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                Some(("fhirVersion", value)) => version_fits = value.trim_matches('"').starts_with("4.0"),
                _ => {}
            }
        }
        if version_fits && quality > 0.0 && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, found));
        }
    }
    best.map(|(_, form)| form).ok_or_else(|| Fault::NotAcceptable.into())
}

fn one(media_type: &str) -> Option<Form> {
    match media_type.trim().to_ascii_lowercase().as_str() {
        "json" | "application/json" | "application/fhir+json" | "text/json" | "*/*" | "application/*" => {
            Some(Form::Json)
        }
        "html" | "text/html" => Some(Form::Html),
        _ => None,
    }
}

/// Whether the caller wants what is not known to be refused (`Prefer: handling=strict`).
pub fn is_strict(request: &HttpRequest) -> bool {
    let mut values = request
        .headers()
        .get_all("prefer")
        .filter_map(|value| value.to_str().ok());
    values.any(|text| text.split([',', ';']).any(|part| part.trim() == "handling=strict"))
}

/// The first value of a query parameter, percent-decoded; `None` when it is absent or not UTF-8.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    parts(query)
        .flatten()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// The pairs of a query string or form body, percent-decoded.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for broken percent coding, what is not UTF-8, and control characters: a filter that cannot be
/// read must not be dropped, and a database need not take every character.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Failure> {
    parts(query)
        .map(|pair| {
            pair.filter(|(key, value)| !key.chars().chain(value.chars()).any(char::is_control))
                .ok_or_else(|| Failure::new(Fault::ParameterInvalid))
        })
        .collect()
}

fn parts(query: &str) -> impl Iterator<Item = Option<(String, String)>> + '_ {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode(key)?, decode(value)?))
    })
}

fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

/// Percent-encodes a query value.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn of(accept: Option<&str>, query: &str) -> Result<Form, Failure> {
        let mut request = TestRequest::with_uri(&format!("/fhir/metadata{query}"));
        if let Some(accept) = accept {
            request = request.insert_header((header::ACCEPT, accept));
        }
        form(&request.to_http_request())
    }

    #[test]
    fn the_form_follows_accept_and_format() {
        for (accept, query, wanted) in [
            (None, "", Some(Form::Json)),
            (Some("*/*"), "", Some(Form::Json)),
            (Some("application/fhir+json; fhirVersion=4.0"), "", Some(Form::Json)),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), "", Some(Form::Html)),
            (Some("text/html;q=0.5, application/fhir+json"), "", Some(Form::Json)),
            (Some("application/fhir+xml"), "", None),
            (Some("application/fhir+xml"), "?_format=json", Some(Form::Json)),
            (Some("text/html"), "?_format=application/fhir+json", Some(Form::Json)),
            (None, "?_format=xml", None),
            (Some("application/fhir+json; fhirVersion=5.0"), "", None),
        ] {
            assert_eq!(of(accept, query).ok(), wanted, "{accept:?} {query}");
        }
    }

    #[test]
    fn values_survive_encoding() {
        let text = "a b|c&d=é%";
        let query = format!("x=1&v={}", encode(text));
        assert_eq!(query_value(&query, "v").as_deref(), Some(text));
        assert_eq!(query_value("v=%zz", "v"), None);
        assert_eq!(pairs(&query).expect("pairs")[1], ("v".to_owned(), text.to_owned()));
    }

    #[test]
    fn t_b08_what_cannot_be_read_is_refused_not_dropped() {
        for query in [
            "a=1&_type=%ff",
            "_type=%zz",
            "_type=%4",
            "a=%00",
            "a=x%0d%0ay",
            "%00=a",
            "a=%7f",
        ] {
            let refused = pairs(query).expect_err(query);
            assert_eq!(refused.fault(), Fault::ParameterInvalid, "{query}");
        }
    }
}

//! Chooses the form of an answer from `_format`, `_pretty` and `Accept` (FHIR R4 http, "Content Types"; RFC 9110 section 12.5.1).

use super::prefer::{self, Handling};
use crate::error::{Failure, Fault};
use crate::percent::decode_form;
use actix_web::HttpRequest;
use actix_web::http::header;

/// The forms that this server offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerForm {
    /// JSON.
    #[default]
    Json,
    /// An HTML page.
    Html,
}

/// The form in which a request wants its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// JSON or a page.
    pub form: AnswerForm,
    /// Whether only the generic `application/json` was accepted, so that the answer must have that media type.
    pub generic: bool,
    /// Whether indented JSON was asked for.
    pub pretty: bool,
}

/// The forms on offer, the preferred one first: media type, form, and whether the media type is a generic one.
const OFFERS: &[(&str, AnswerForm, bool)] = &[
    ("application/fhir+json", AnswerForm::Json, false),
    ("application/json", AnswerForm::Json, true),
    ("text/json", AnswerForm::Json, true),
    ("text/html", AnswerForm::Html, false),
];

/// Chooses the form of the answer. `_format` takes precedence over `Accept`.
///
/// # Errors
/// [`Fault::NotAcceptable`] when the client accepts only forms that this server does not offer.
pub fn form(request: &HttpRequest) -> Result<AnswerForm, Failure> {
    wanted(request).map(|wanted| wanted.form)
}

/// Chooses the form of the answer and its details.
///
/// # Errors
/// As [`form`].
pub fn wanted(request: &HttpRequest) -> Result<Negotiated, Failure> {
    let query = request.query_string();
    if query.is_empty() && accepts_only_fhir(request) {
        return Ok(Negotiated::default());
    }
    let pretty = query_value(query, "_pretty").is_some_and(|value| value == "true");
    if let Some(format) = query_value(query, "_format") {
        let form = named(&format).ok_or_else(|| Failure::new(Fault::NotAcceptable).at("_format"))?;
        return Ok(Negotiated {
            form,
            generic: false,
            pretty,
        });
    }
    let accepts = ranges(request);
    if accepts.is_empty() {
        return Ok(Negotiated {
            pretty,
            ..Negotiated::default()
        });
    }
    let mut best: Option<(f32, Negotiated)> = None;
    for (media_type, form, generic) in OFFERS.iter().copied() {
        let quality = accepts
            .iter()
            .filter_map(|range| Some((range.specificity(media_type)?, range.quality)))
            .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map_or(0.0, |(_, quality)| quality);
        if quality > 0.0 && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, Negotiated { form, generic, pretty }));
        }
    }
    best.map(|(_, wanted)| wanted)
        .ok_or_else(|| Fault::NotAcceptable.into())
}

/// Whether `Accept` is the one value that most programs send, of which nothing has to be read.
fn accepts_only_fhir(request: &HttpRequest) -> bool {
    let mut values = request.headers().get_all(header::ACCEPT);
    matches!((values.next(), values.next()), (Some(value), None) if value == "application/fhir+json")
}

/// Whether `_format` or `Accept` names a FHIR media type explicitly, not only by a wildcard (FHIR R4 Binary, "RESTful Behavior").
pub fn names_fhir(request: &HttpRequest) -> bool {
    query_value(request.query_string(), "_format").is_some()
        || ranges(request).iter().any(|range| {
            range.quality > 0.0
                && (range.media_type.contains("fhir") || matches!(&*range.media_type, "application/json" | "text/json"))
        })
}

/// Whether `Accept` names HTML explicitly, as browsers do for a page.
pub fn names_html(request: &HttpRequest) -> bool {
    let is_html = |range: &Range| range.quality > 0.0 && range.media_type == "text/html";
    ranges(request).iter().any(is_html)
}

/// Whether `Accept` allows `media_type` (type and subtype).
pub fn accepts(request: &HttpRequest, media_type: &str) -> bool {
    let ranges = ranges(request);
    let best = ranges
        .iter()
        .filter_map(|range| Some((range.specificity(media_type)?, range.quality)))
        .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    ranges.is_empty() || best.is_some_and(|(_, quality)| quality > 0.0)
}

fn ranges(request: &HttpRequest) -> Vec<Range> {
    request
        .headers()
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter(|text| !text.trim().is_empty())
        .map(Range::read)
        .collect()
}

/// One media range of `Accept`.
struct Range {
    media_type: String,
    quality: f32,
    version_fits: bool,
}

impl Range {
    fn read(text: &str) -> Range {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Range {
            media_type: parts.next().unwrap_or("").to_ascii_lowercase(),
            quality: 1.0,
            version_fits: true,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.quality = value.trim().parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0),
                "fhirversion" => range.version_fits = is_r4(value),
                _ => {}
            }
        }
        range
    }

    /// How exactly this range matches a media type, from a wildcard upward; `None` when it does not match.
    fn specificity(&self, media_type: &str) -> Option<u8> {
        if !self.version_fits {
            return None;
        }
        let kind = media_type.split('/').next().unwrap_or("");
        match self.media_type.as_str() {
            exact if exact == media_type => Some(2),
            "*/*" => Some(0),
            some => some.strip_suffix("/*").filter(|some| *some == kind).map(|_| 1),
        }
    }
}

/// Whether the value of a `fhirVersion` parameter is R4 (FHIR R4 http, "FHIR Version Parameter").
pub fn is_r4(value: &str) -> bool {
    matches!(value.trim().trim_matches('"'), "4.0" | "4.0.0" | "4.0.1")
}

/// The form that a value of `_format` stands for.
fn named(format: &str) -> Option<AnswerForm> {
    // A `+` in a query was decoded as a space.
    let range = Range::read(&format.trim().replace(' ', "+"));
    if !range.version_fits {
        return None;
    }
    match range.media_type.as_str() {
        "json" | "application/json" | "application/fhir+json" | "text/json" => Some(AnswerForm::Json),
        "html" | "text/html" => Some(AnswerForm::Html),
        _ => None,
    }
}

/// Whether the client wants unknown parameters to be refused (`Prefer: handling=strict`).
pub fn is_strict(request: &HttpRequest) -> bool {
    prefer::handling(request.headers()) == Handling::Strict
}

/// Drops the pairs that were not filled in. The form on an HTML page sends every field, so in a request for a page an empty value counts as
/// missing.
pub fn filled(mut pairs: Vec<(String, String)>, form: AnswerForm) -> Vec<(String, String)> {
    if form == AnswerForm::Html {
        pairs.retain(|(_, value)| !value.is_empty());
    }
    pairs
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
/// [`Fault::ParameterInvalid`] for broken percent encoding, invalid UTF-8 and control characters. A filter that cannot be read must not be
/// dropped, and a database may refuse control characters.
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
        Some((decode_form(key.as_bytes())?, decode_form(value.as_bytes())?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::percent::encode;
    use actix_web::test::TestRequest;

    fn of(accept: Option<&str>, query: &str) -> Result<AnswerForm, Failure> {
        let mut request = TestRequest::with_uri(&format!("/fhir/metadata{query}"));
        if let Some(accept) = accept {
            request = request.insert_header((header::ACCEPT, accept));
        }
        form(&request.to_http_request())
    }

    #[test]
    fn the_form_follows_accept_and_format() {
        for (accept, query, wanted) in [
            (None, "", Some(AnswerForm::Json)),
            (Some("*/*"), "", Some(AnswerForm::Json)),
            (
                Some("application/fhir+json; fhirVersion=4.0"),
                "",
                Some(AnswerForm::Json),
            ),
            (
                Some("text/html,application/xhtml+xml,*/*;q=0.8"),
                "",
                Some(AnswerForm::Html),
            ),
            (
                Some("text/html;q=0.5, application/fhir+json"),
                "",
                Some(AnswerForm::Json),
            ),
            (Some("application/fhir+xml"), "", None),
            (Some("application/fhir+xml"), "?_format=json", Some(AnswerForm::Json)),
            (
                Some("text/html"),
                "?_format=application/fhir+json",
                Some(AnswerForm::Json),
            ),
            (None, "?_format=xml", None),
            (Some("application/fhir+json; fhirVersion=5.0"), "", None),
            (
                Some("application/fhir+json; FHIRVersion=\"4.0\""),
                "",
                Some(AnswerForm::Json),
            ),
            (Some("application/fhir+json; fhirVersion=4.01"), "", None),
            (
                Some("application/fhir+json; fhirVersion=5.0, application/fhir+json;fhirVersion=4.0;q=0.1"),
                "",
                Some(AnswerForm::Json),
            ),
            (Some("application/fhir+xml, */*;q=0.1"), "", Some(AnswerForm::Json)),
            (Some("text/*"), "", Some(AnswerForm::Json)),
            (Some("text/*, text/json;q=0"), "", Some(AnswerForm::Html)),
            (Some("*/*;q=0"), "", None),
            (
                Some("application/fhir+json;q=0, text/html;q=0.001"),
                "",
                Some(AnswerForm::Html),
            ),
            (Some("application/json;q=high"), "", None),
            (Some(""), "", Some(AnswerForm::Json)),
            (Some("TEXT/HTML"), "", Some(AnswerForm::Html)),
            (None, "?_format=application/fhir%2Bjson", Some(AnswerForm::Json)),
            (None, "?_format=application/fhir%2Bjson;fhirVersion=3.0", None),
            (None, "?_format=", None),
            (None, "?_format=ttl", None),
            (None, "?_format=html", Some(AnswerForm::Html)),
        ] {
            assert_eq!(of(accept, query).ok(), wanted, "{accept:?} {query}");
        }
    }

    #[test]
    fn the_generic_name_is_given_only_to_who_takes_no_other() {
        for (accept, generic) in [
            ("application/json", true),
            ("text/json", true),
            ("application/json, text/plain, */*", false),
            ("application/json, application/fhir+json;q=0.9", true),
            ("application/json, application/fhir+json", false),
            ("application/*", false),
        ] {
            let request = TestRequest::with_uri("/fhir/metadata?_pretty=true").insert_header((header::ACCEPT, accept));
            let wanted = wanted(&request.to_http_request()).expect(accept);
            assert_eq!(
                (wanted.generic, wanted.pretty, wanted.form),
                (generic, true, AnswerForm::Json),
                "{accept}"
            );
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

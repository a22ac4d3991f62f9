//! Which form an answer takes, from `_format`, `_pretty` and `Accept` (FHIR R4 http, "Content Types"; RFC 9110 section 12.5.1).

use super::prefer::{self, Handling};
use crate::error::{Failure, Fault};
use actix_web::HttpRequest;
use actix_web::http::header;

/// The forms we serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    #[default]
    Json,
    /// A page for people.
    Html,
}

/// What a request wants its answer to look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// JSON or a page.
    pub form: Form,
    /// Only the generic `application/json` was accepted, so the answer must be called that.
    pub generic: bool,
    /// Indented JSON was asked for.
    pub pretty: bool,
}

/// What we offer, the preferred first: media type, form, and whether its name is the generic one.
const OFFERS: &[(&str, Form, bool)] = &[
    ("application/fhir+json", Form::Json, false),
    ("application/json", Form::Json, true),
    ("text/json", Form::Json, true),
    ("text/html", Form::Html, false),
];

/// Chooses the form of the answer. `_format` wins over `Accept`.
///
/// # Errors
/// [`Fault::NotAcceptable`] when only forms are accepted that we do not serve.
pub fn form(request: &HttpRequest) -> Result<Form, Failure> {
    wanted(request).map(|wanted| wanted.form)
}

/// Chooses all of how the answer looks.
///
/// # Errors
/// As [`form`].
pub fn wanted(request: &HttpRequest) -> Result<Wanted, Failure> {
    let query = request.query_string();
    let pretty = query_value(query, "_pretty").is_some_and(|value| value == "true");
    if let Some(format) = query_value(query, "_format") {
        let form = named(&format).ok_or_else(|| Failure::new(Fault::NotAcceptable).at("_format"))?;
        return Ok(Wanted {
            form,
            generic: false,
            pretty,
        });
    }
    let accepts = ranges(request);
    if accepts.is_empty() {
        return Ok(Wanted {
            pretty,
            ..Wanted::default()
        });
    }
    let mut best: Option<(f32, Wanted)> = None;
    for (media_type, form, generic) in OFFERS.iter().copied() {
        let quality = accepts
            .iter()
            .filter_map(|range| Some((range.specificity(media_type)?, range.quality)))
            .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)))
            .map_or(0.0, |(_, quality)| quality);
        if quality > 0.0 && best.is_none_or(|(other, _)| quality > other) {
            best = Some((quality, Wanted { form, generic, pretty }));
        }
    }
    best.map(|(_, wanted)| wanted)
        .ok_or_else(|| Fault::NotAcceptable.into())
}

/// Whether `_format` or `Accept` names a form of FHIR itself, and not only anything at all (FHIR R4 Binary, "RESTful Behavior").
pub fn names_fhir(request: &HttpRequest) -> bool {
    query_value(request.query_string(), "_format").is_some()
        || ranges(request).iter().any(|range| {
            range.quality > 0.0
                && (range.media_type.contains("fhir") || matches!(&*range.media_type, "application/json" | "text/json"))
        })
}

/// Whether `Accept` takes `media_type` (type and subtype).
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

/// One element of `Accept`.
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

    /// How exactly this range names a media type; `None` when it does not.
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

/// Whether the value of a `fhirVersion` parameter is ours (FHIR R4 http, "FHIR Version Parameter").
pub fn is_r4(value: &str) -> bool {
    matches!(value.trim().trim_matches('"'), "4.0" | "4.0.0" | "4.0.1")
}

/// The form that a value of `_format` names.
fn named(format: &str) -> Option<Form> {
    // A plus in a query reads as a space.
    let range = Range::read(&format.trim().replace(' ', "+"));
    if !range.version_fits {
        return None;
    }
    match range.media_type.as_str() {
        "json" | "application/json" | "application/fhir+json" | "text/json" => Some(Form::Json),
        "html" | "text/html" => Some(Form::Html),
        _ => None,
    }
}

/// Whether the caller wants what is not known to be refused (`Prefer: handling=strict`).
pub fn is_strict(request: &HttpRequest) -> bool {
    prefer::handling(request.headers()) == Handling::Strict
}

/// The pairs that count. A form on a page sends every field, filled or not, so for a page what is empty was not asked for.
pub fn filled(mut pairs: Vec<(String, String)>, form: Form) -> Vec<(String, String)> {
    if form == Form::Html {
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
            (Some("application/fhir+json; FHIRVersion=\"4.0\""), "", Some(Form::Json)),
            (Some("application/fhir+json; fhirVersion=4.01"), "", None),
            (
                Some("application/fhir+json; fhirVersion=5.0, application/fhir+json;fhirVersion=4.0;q=0.1"),
                "",
                Some(Form::Json),
            ),
            (Some("application/fhir+xml, */*;q=0.1"), "", Some(Form::Json)),
            (Some("text/*"), "", Some(Form::Json)),
            (Some("text/*, text/json;q=0"), "", Some(Form::Html)),
            (Some("*/*;q=0"), "", None),
            (
                Some("application/fhir+json;q=0, text/html;q=0.001"),
                "",
                Some(Form::Html),
            ),
            (Some("application/json;q=high"), "", None),
            (Some(""), "", Some(Form::Json)),
            (Some("TEXT/HTML"), "", Some(Form::Html)),
            (None, "?_format=application/fhir%2Bjson", Some(Form::Json)),
            (None, "?_format=application/fhir%2Bjson;fhirVersion=3.0", None),
            (None, "?_format=", None),
            (None, "?_format=ttl", None),
            (None, "?_format=html", Some(Form::Html)),
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
                (generic, true, Form::Json),
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

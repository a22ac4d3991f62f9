//! Reads a `batch` Bundle: reads and searches by URL below the base URL, and nothing else (`docs/threats.md` B17).
//!
//! Pure: takes bytes and returns a request or a refusal for each entry. Each request is then checked and run like any other.

use super::prescreen::{self, ScreenLimits};
use crate::error::{Failure, Fault};
use serde_json::Value;

/// Most entries in one batch.
pub const ENTRIES_MAX: usize = 50;

/// One entry that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Path and query below the base, without a slash in front: `Patient/1` or `Observation?patient=1`.
    pub below: String,
    /// Whether only the headers of the answer are wanted (HEAD).
    pub head_only: bool,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// `If-Modified-Since` as a FHIR instant.
    pub if_modified_since: Option<String>,
}

impl Ask {
    /// The path without the query, in segments.
    pub fn segments(&self) -> Vec<&str> {
        self.below.split('?').next().unwrap_or("").split('/').collect()
    }

    /// The query, or nothing.
    pub fn query(&self) -> &str {
        self.below.split_once('?').map_or("", |(_, query)| query)
    }
}

/// Reads a batch. Returns for each entry its request, or why it is refused. `base_url` has no slash at its end.
///
/// # Errors
/// For the whole Bundle: those of the pre-screen, [`Fault::ResourceInvalid`] when it is not a Bundle, [`Fault::ParameterInvalid`] when it
/// is not a batch, and [`Fault::TooLarge`] for more than [`ENTRIES_MAX`] entries or too many values.
pub fn asks(bytes: &[u8], base_url: &str) -> Result<Vec<Result<Ask, Failure>>, Failure> {
    let screened = prescreen::screen(bytes, &ScreenLimits::request())?;
    if screened.resource_type() != "Bundle" {
        return Err(Failure::new(Fault::ResourceInvalid)
            .at("Bundle")
            .remedy("Send a Bundle of type batch."));
    }
    let bundle: Value = serde_json::from_slice(bytes).map_err(|_| Failure::new(Fault::NotJson))?;
    if bundle["type"] != "batch" {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("Bundle.type")
            .remedy("Send a Bundle of type batch; transactions and other types are not served."));
    }
    let entries = bundle["entry"].as_array().map_or(&[][..], Vec::as_slice);
    if entries.len() > ENTRIES_MAX {
        return Err(Failure::new(Fault::TooLarge)
            .at("Bundle.entry")
            .remedy(format!("Send at most {ENTRIES_MAX} entries.")));
    }
    Ok(entries
        .iter()
        .enumerate()
        .map(|(at, entry)| {
            ask(entry, base_url).map_err(|(fault, element, remedy)| {
                Failure::new(fault)
                    .at(format!("Bundle.entry[{at}].{element}"))
                    .remedy(remedy)
            })
        })
        .collect())
}

type Refused = (Fault, &'static str, &'static str);

fn ask(entry: &Value, base_url: &str) -> Result<Ask, Refused> {
    let request = &entry["request"];
    let head_only = match request["method"].as_str() {
        Some("GET") => false,
        Some("HEAD") => true,
        Some(_) => {
            return Err((
                Fault::MethodRefused,
                "request.method",
                "Send reads and searches only: GET or HEAD.",
            ));
        }
        None => return Err((Fault::ResourceInvalid, "request.method", "Say the method: GET or HEAD.")),
    };
    if !entry["resource"].is_null() {
        return Err((
            Fault::ResourceInvalid,
            "resource",
            "A read or a search takes no resource.",
        ));
    }
    for element in ["ifMatch", "ifNoneExist"] {
        if !request[element].is_null() {
            return Err((
                Fault::ParameterUnknown,
                "request",
                "Leave out ifMatch and ifNoneExist: nothing is written here.",
            ));
        }
    }
    let url = request["url"].as_str().unwrap_or("");
    let below = below(url, base_url);
    let path = below.split('?').next().unwrap_or("");
    let is_relative =
        !path.is_empty() && !path.starts_with('/') && !path.contains("//") && !path.contains([':', '\\', '#']);
    if !is_relative || below.chars().any(|c| c.is_control() || c == ' ') {
        return Err((
            Fault::ParameterInvalid,
            "request.url",
            "Send an address below this server's base, such as Patient/1.",
        ));
    }
    if path.contains('$') {
        return Err((
            Fault::ParameterInvalid,
            "request.url",
            "Operations are not run in a batch: ask for them one by one.",
        ));
    }
    let own = |element: &str| request[element].as_str().map(str::to_owned);
    Ok(Ask {
        below,
        head_only,
        if_none_match: own("ifNoneMatch"),
        if_modified_since: own("ifModifiedSince"),
    })
}

/// The part of an entry's URL below the base URL. The URL may be absolute, a path from the root, or relative, with or without a slash at
/// its beginning; a slash at the end of the path is dropped. Any other URL is returned unchanged, and is refused because of what it
/// contains.
fn below(url: &str, base_url: &str) -> String {
    let authority = base_url.find("://").map_or(0, |at| at + 3);
    let root = base_url[authority..]
        .find('/')
        .map_or("", |at| &base_url[authority + at..]);
    let under = |base: &str| {
        url.strip_prefix(base)
            .filter(|rest| !base.is_empty() && (rest.is_empty() || rest.starts_with('/')))
    };
    let rest = match under(base_url).or_else(|| under(root)) {
        Some(rest) => rest.trim_start_matches('/'),
        // Two slashes at the beginning mean another server.
        None => url
            .strip_prefix('/')
            .filter(|rest| !rest.starts_with('/'))
            .unwrap_or(url),
    };
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    format!("{}{query}", path.strip_suffix('/').unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const BASE: &str = "https://p.example/fhir";

    fn of(request: &Value) -> Result<Ask, Failure> {
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": request}]});
        asks(bundle.to_string().as_bytes(), BASE).expect("a batch").remove(0)
    }

    #[test]
    fn reads_and_searches_below_our_base_are_asks() {
        for (url, below, segments, query) in [
            ("Patient/1", "Patient/1", vec!["Patient", "1"], ""),
            (
                "Observation?patient=1&code=a:b",
                "Observation?patient=1&code=a:b",
                vec!["Observation"],
                "patient=1&code=a:b",
            ),
            (
                "https://p.example/fhir/Patient/1/_history/2",
                "Patient/1/_history/2",
                vec!["Patient", "1", "_history", "2"],
                "",
            ),
            ("metadata", "metadata", vec!["metadata"], ""),
            ("/Patient/1", "Patient/1", vec!["Patient", "1"], ""),
            ("/fhir/Patient/1", "Patient/1", vec!["Patient", "1"], ""),
            ("/Patient/1/", "Patient/1", vec!["Patient", "1"], ""),
            (
                "/Observation/?patient=1",
                "Observation?patient=1",
                vec!["Observation"],
                "patient=1",
            ),
            (
                "/fhir/Observation?_profile=/x/",
                "Observation?_profile=/x/",
                vec!["Observation"],
                "_profile=/x/",
            ),
            (
                "https://p.example/fhir//Patient/1",
                "Patient/1",
                vec!["Patient", "1"],
                "",
            ),
            (
                "Patient?_profile=http://x//y",
                "Patient?_profile=http://x//y",
                vec!["Patient"],
                "_profile=http://x//y",
            ),
        ] {
            let ask = of(&json!({"method": "GET", "url": url, "ifNoneMatch": "W/\"1\""})).expect(url);
            assert_eq!(
                (ask.below.as_str(), ask.segments(), ask.query()),
                (below, segments, query)
            );
            assert_eq!((ask.head_only, ask.if_none_match.as_deref()), (false, Some("W/\"1\"")));
        }
        assert!(
            of(&json!({"method": "HEAD", "url": "Patient/1"}))
                .expect("a head")
                .head_only
        );
    }

    #[test]
    fn t_b17_whatever_else_an_entry_asks_is_refused_in_its_place() {
        use Fault::{MethodRefused, ParameterInvalid, ParameterUnknown, ResourceInvalid};
        for (request, fault) in [
            (json!({"method": "POST", "url": "Patient"}), MethodRefused),
            (json!({"method": "PUT", "url": "Patient/1"}), MethodRefused),
            (json!({"method": "DELETE", "url": "Patient/1"}), MethodRefused),
            (json!({"method": "PATCH", "url": "Patient/1"}), MethodRefused),
            (json!({"method": "get", "url": "Patient/1"}), MethodRefused),
            (json!({"url": "Patient/1"}), ResourceInvalid),
            (json!({"method": "GET"}), ParameterInvalid),
            (json!({"method": "GET", "url": "/"}), ParameterInvalid),
            (json!({"method": "GET", "url": "/fhir"}), ParameterInvalid),
            (json!({"method": "GET", "url": "/fhir/"}), ParameterInvalid),
            (json!({"method": "GET", "url": "/Patient//1"}), ParameterInvalid),
            (
                json!({"method": "GET", "url": "///evil.example/Patient/1"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "/\\evil.example/Patient/1"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "//evil.example/Patient/1"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "https://evil.example/fhir/Patient/1"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "https://p.example/fhirx/Patient/1"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "https://p.example/fhir"}),
                ParameterInvalid,
            ),
            (json!({"method": "GET", "url": "file:///etc/passwd"}), ParameterInvalid),
            (json!({"method": "GET", "url": "urn:uuid:0"}), ParameterInvalid),
            (json!({"method": "GET", "url": "Patient/1#x"}), ParameterInvalid),
            (json!({"method": "GET", "url": "Patient/1\r\nX: y"}), ParameterInvalid),
            (
                json!({"method": "GET", "url": "Patient/1/$everything"}),
                ParameterInvalid,
            ),
            (
                json!({"method": "GET", "url": "Patient/1", "ifMatch": "W/\"1\""}),
                ParameterUnknown,
            ),
            (
                json!({"method": "GET", "url": "Patient", "ifNoneExist": "a=b"}),
                ParameterUnknown,
            ),
        ] {
            let refused = of(&request).expect_err(&request.to_string());
            assert_eq!(refused.fault(), fault, "{request}");
            assert!(refused.expressions()[0].starts_with("Bundle.entry[0]."), "{request}");
        }
        let nested = json!({"resourceType": "Bundle", "type": "batch", "entry": [
            {"request": {"method": "GET", "url": "Patient/1"}, "resource": {"resourceType": "Bundle", "type": "batch"}}]});
        let asked = asks(nested.to_string().as_bytes(), BASE).expect("a batch").remove(0);
        assert_eq!(asked.expect_err("nested").fault(), ResourceInvalid);
    }

    #[test]
    fn t_b17_what_is_no_batch_or_too_long_is_refused_as_a_whole() {
        let entry = json!({"request": {"method": "GET", "url": "Patient/1"}});
        let of = |kind: &str, count: usize| json!({"resourceType": "Bundle", "type": kind, "entry": vec![entry.clone(); count]});
        for (bundle, fault) in [
            (of("transaction", 1), Fault::ParameterInvalid),
            (of("collection", 1), Fault::ParameterInvalid),
            (of("batch", ENTRIES_MAX + 1), Fault::TooLarge),
            (
                json!({"resourceType": "Bundle", "type": "batch", "x": vec![1; 100_000]}),
                Fault::TooLarge,
            ),
            (json!({"resourceType": "Bundle"}), Fault::ParameterInvalid),
            (json!({"resourceType": "Patient", "id": "1"}), Fault::ResourceInvalid),
        ] {
            assert_eq!(
                asks(bundle.to_string().as_bytes(), BASE).expect_err("refused").fault(),
                fault
            );
        }
        assert_eq!(
            asks(of("batch", ENTRIES_MAX).to_string().as_bytes(), BASE)
                .expect("a batch")
                .len(),
            ENTRIES_MAX
        );
        assert!(
            asks(br#"{"resourceType":"Bundle","type":"batch"}"#, BASE)
                .expect("a batch")
                .is_empty()
        );
        let twice = br#"{"resourceType":"Bundle","type":"transaction","type":"batch"}"#;
        assert_eq!(asks(twice, BASE).expect_err("twice").fault(), Fault::DuplicateKey);
    }
}

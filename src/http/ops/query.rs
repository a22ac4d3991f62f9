//! The parameters of a request to `/ops/v1`: each known, with a value, and once, unless it is for a range.

use crate::error::{Failure, Fault};
use crate::http::negotiate::pairs;
use crate::ops::disclosures;
use actix_web::HttpRequest;

/// Parameters that may be given twice, for a range.
const REPEATED: [&str; 1] = ["date"];

/// Parameters that were given, in their order.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Those of a request, if `known` has all of them.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`] for one that is empty or given twice; [`Fault::ParameterUnknown`].
    pub(super) fn of(request: &HttpRequest, known: &[&str]) -> Result<Query, Failure> {
        Query::given(pairs(request.query_string())?, known)
    }

    /// These, if `known` has all of them.
    ///
    /// # Errors
    /// As [`Query::of`].
    pub(super) fn given(given: Vec<(String, String)>, known: &[&str]) -> Result<Query, Failure> {
        for (at, (name, value)) in given.iter().enumerate() {
            let is_twice = !REPEATED.contains(&name.as_str()) && given[..at].iter().any(|(other, _)| other == name);
            if known.contains(&name.as_str()) && (value.is_empty() || is_twice) {
                let remedy = "Give each parameter once and with a value, or leave it out.";
                return Err(Failure::new(Fault::ParameterInvalid).at(name).remedy(remedy));
            }
        }
        match given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Query(given)),
            Some(_) => {
                let remedy = match known {
                    [] => "Use none here.".to_owned(),
                    known => format!("Use only {}.", known.join(", ")),
                };
                Err(Failure::new(Fault::ParameterUnknown).remedy(remedy))
            }
        }
    }

    /// All of them.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.pairs()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    }

    /// An id of ours.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub(super) fn id(&self, name: &'static str) -> Result<Option<String>, Failure> {
        disclosures::id(name, self.text(name).as_deref())
    }

    /// A correlation id.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub(super) fn correlation(&self) -> Result<Option<String>, Failure> {
        let text = self.text("correlation");
        if text.as_deref().is_some_and(|text| !crate::ids::is_correlation_id(text)) {
            let remedy = "Give the correlation id as it was answered.";
            return Err(Failure::new(Fault::ParameterInvalid).at("correlation").remedy(remedy));
        }
        Ok(text)
    }

    /// An instant, UTC milliseconds.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`].
    pub(super) fn instant(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        crate::clock::parse_rfc3339_ms(&text).map(Some).ok_or_else(|| {
            let remedy = "Give an RFC 3339 instant, such as 2026-11-30T12:00:00Z.";
            Failure::new(Fault::ParameterInvalid).at(name).remedy(remedy)
        })
    }
}

//! References of a source made local: entries of the same Bundle, and references by search.

use super::gate::Links;
use crate::error::Failure;
use crate::store::{Store, resources};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Full URLs of a Bundle's entries, and `Type/id` of each.
pub type FullUrls = HashMap<String, String>;

/// Answers that are kept; a directory of an export has fewer.
const REMEMBERED: usize = 50_000;

/// Looks up references of the form `Type?identifier=system|value`, and remembers the answers.
pub struct Conditional {
    store: Store,
    answers: Mutex<HashMap<String, Option<String>>>,
}

impl Conditional {
    /// Looks up in `store`.
    pub fn new(store: Store) -> Self {
        Conditional {
            store,
            answers: Mutex::new(HashMap::new()),
        }
    }

    /// Forgets the answers, when more is stored than before.
    pub fn forget(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn local(&self, reference: &str) -> Option<String> {
        let (rtype, query) = reference.split_once('?')?;
        let token = query.strip_prefix("identifier=").filter(|token| !token.contains('&'))?;
        if !causeway_fhir_types::is_type(rtype) {
            return None;
        }
        if let Some(answer) = self
            .answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(reference)
        {
            return answer.clone();
        }
        let answer = self.look_up(rtype, token).unwrap_or_else(|failure| {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "a conditional reference was not looked up");
            None
        });
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= REMEMBERED {
            answers.clear();
        }
        answers.insert(reference.to_owned(), answer.clone());
        answer
    }

    fn look_up(&self, rtype: &str, token: &str) -> Result<Option<String>, Failure> {
        let (system, value) = match token.split_once('|') {
            Some((system, value)) => (Some(decode(system)), decode(value)),
            None => (None, decode(token)),
        };
        let ids = self
            .store
            .read_blocking(|db| resources::with_identifier(db, rtype, system.as_deref(), &value))?;
        Ok(match ids.as_slice() {
            [only] => Some(format!("{rtype}/{only}")),
            _ => None,
        })
    }
}

/// Resolves `%XX`; what is not well-formed stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The links of one source.
pub struct SourceLinks<'a> {
    /// Entries of the same Bundle, if it is one.
    pub entries: Option<&'a FullUrls>,
    /// References by search.
    pub conditional: &'a Conditional,
}

impl Links for SourceLinks<'_> {
    fn local(&self, reference: &str) -> Option<String> {
        if let Some(local) = self.entries.and_then(|entries| entries.get(reference)) {
            return Some(local.clone());
        }
        if reference.contains('?') {
            self.conditional.local(reference)
        } else {
            None
        }
    }

    fn has_urls(&self) -> bool {
        self.entries.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn percent_escapes_are_resolved_and_the_rest_stays() {
        assert_eq!(decode("a%7Cb%20c%2"), "a|b c%2");
        assert_eq!(decode("%ff"), "%ff");
        assert_eq!(decode("%é1"), "%é1");
    }
}

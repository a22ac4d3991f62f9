//! The words of traces: which spans there are, what they may say, and what may happen during one. One table for the code and for
//! docs/operators/traces.md, which a test compares.
//!
//! Nothing else can get into a span: a value is a word of this program, a count, or an id that has the form of one.

use crate::ids::is_fhir_id;

/// The target of all spans. The log's filter lets them pass when they are exported, and no line is written for them.
pub const SPANS: &str = "causeway_spans";

/// The spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanName {
    /// A request to this server.
    Request,
    /// Who is meant.
    Identify,
    /// What a consent permits.
    Consent,
    /// The transaction of a match.
    Write,
    /// What an answer discloses, to its last byte.
    Release,
    /// An exchange that this payer began, from its beginning to its end.
    Exchange,
    /// A step of an exchange, with all its attempts.
    Step,
    /// One attempt of a step.
    Attempt,
    /// One attempt of a background job.
    Job,
}

impl SpanName {
    /// All of them.
    pub const ALL: [SpanName; 9] = [
        SpanName::Request,
        SpanName::Identify,
        SpanName::Consent,
        SpanName::Write,
        SpanName::Release,
        SpanName::Exchange,
        SpanName::Step,
        SpanName::Attempt,
        SpanName::Job,
    ];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            SpanName::Request => "request",
            SpanName::Identify => "identify",
            SpanName::Consent => "consent",
            SpanName::Write => "write",
            SpanName::Release => "release",
            SpanName::Exchange => "exchange",
            SpanName::Step => "step",
            SpanName::Attempt => "attempt",
            SpanName::Job => "job",
        }
    }

    /// The span with this name.
    pub fn parse(word: &str) -> Option<SpanName> {
        SpanName::ALL.into_iter().find(|name| name.word() == word)
    }

    /// Its kind, as the protocol numbers it (opentelemetry-proto, `Span.SpanKind`): 1 internal, 2 server, 3 client.
    pub const fn kind(self) -> u8 {
        match self {
            SpanName::Request => 2,
            SpanName::Attempt => 3,
            _ => 1,
        }
    }
}

/// What a span may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the word that `SpanKey::word` gives")]
pub enum SpanKey {
    Route,
    Method,
    Status,
    Fault,
    Partner,
    RequestId,
    Outcome,
    Exchange,
    Step,
    Round,
    Attempt,
    Class,
    WaitMs,
    Job,
    JobKind,
    Bytes,
}

impl SpanKey {
    /// All of them.
    pub const ALL: [SpanKey; 16] = [
        SpanKey::Route,
        SpanKey::Method,
        SpanKey::Status,
        SpanKey::Fault,
        SpanKey::Partner,
        SpanKey::RequestId,
        SpanKey::Outcome,
        SpanKey::Exchange,
        SpanKey::Step,
        SpanKey::Round,
        SpanKey::Attempt,
        SpanKey::Class,
        SpanKey::WaitMs,
        SpanKey::Job,
        SpanKey::JobKind,
        SpanKey::Bytes,
    ];

    /// The name of the attribute; those of HTTP are the ones of OpenTelemetry's semantic conventions.
    pub const fn word(self) -> &'static str {
        match self {
            SpanKey::Route => "http.route",
            SpanKey::Method => "http.request.method",
            SpanKey::Status => "http.response.status_code",
            SpanKey::Fault => "causeway.fault",
            SpanKey::Partner => "causeway.partner",
            SpanKey::RequestId => "causeway.request_id",
            SpanKey::Outcome => "causeway.outcome",
            SpanKey::Exchange => "causeway.exchange",
            SpanKey::Step => "causeway.step",
            SpanKey::Round => "causeway.round",
            SpanKey::Attempt => "causeway.attempt",
            SpanKey::Class => "causeway.class",
            SpanKey::WaitMs => "causeway.wait_ms",
            SpanKey::Job => "causeway.job",
            SpanKey::JobKind => "causeway.job_kind",
            SpanKey::Bytes => "causeway.bytes",
        }
    }
}

/// What may happen during a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanNote {
    /// Its time was over.
    Timeout,
    /// It is tried again.
    Retry,
    /// Another way is taken, because the first one did not work.
    Fallback,
    /// A person has to decide.
    Parked,
}

impl SpanNote {
    /// All of them.
    pub const ALL: [SpanNote; 4] = [SpanNote::Timeout, SpanNote::Retry, SpanNote::Fallback, SpanNote::Parked];

    /// The name of the event.
    pub const fn word(self) -> &'static str {
        match self {
            SpanNote::Timeout => "timeout",
            SpanNote::Retry => "retry",
            SpanNote::Fallback => "fallback",
            SpanNote::Parked => "parked",
        }
    }
}

/// A value that a span may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A word of this program.
    Word(&'static str),
    /// An id of this server or of its registry of partners.
    Id(String),
    /// A count.
    Count(i64),
}

/// What takes the place of an id that has not the form of one.
const NO_ID: &str = "not an id";

impl SpanValue {
    /// An id. Ids of this server and of partners have 1 to 64 letters, digits, hyphens and dots; anything else is not taken.
    pub fn id(text: &str) -> SpanValue {
        match is_fhir_id(text) {
            true => SpanValue::Id(text.to_owned()),
            false => SpanValue::Word(NO_ID),
        }
    }

    /// A count that may be too large.
    pub fn count(number: impl TryInto<i64>) -> SpanValue {
        SpanValue::Count(number.try_into().unwrap_or(i64::MAX))
    }
}

impl From<&'static str> for SpanValue {
    fn from(word: &'static str) -> SpanValue {
        SpanValue::Word(word)
    }
}

/// The method of a request as a word of this program: callers choose what they write there.
pub fn method_word(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_different_and_lead_back() {
        for name in SpanName::ALL {
            assert_eq!(SpanName::parse(name.word()), Some(name));
        }
        let keys: BTreeSet<&str> = SpanKey::ALL.iter().map(|key| key.word()).collect();
        let notes: BTreeSet<&str> = SpanNote::ALL.iter().map(|note| note.word()).collect();
        assert_eq!((keys.len(), notes.len()), (SpanKey::ALL.len(), SpanNote::ALL.len()));
        assert_eq!(SpanName::parse("other"), None);
    }

    #[test]
    fn what_has_not_the_form_of_an_id_is_not_taken() {
        for text in ["", "Ana Lima", "a@b", "x/y", "M\u{fc}ller", &"9".repeat(65)] {
            assert_eq!(SpanValue::id(text), SpanValue::Word(NO_ID), "{text}");
        }
        assert_eq!(SpanValue::id("new-payer"), SpanValue::Id("new-payer".into()));
        assert_eq!(SpanValue::count(u64::MAX), SpanValue::Count(i64::MAX));
        assert_eq!((method_word("GET"), method_word("Ana")), ("GET", "_OTHER"));
    }

    #[test]
    fn the_page_about_traces_has_every_word() {
        let page = include_str!("../../../docs/operators/traces.md");
        let words = SpanName::ALL.map(SpanName::word).into_iter();
        let words = words.chain(SpanKey::ALL.map(SpanKey::word));
        for word in words.chain(SpanNote::ALL.map(SpanNote::word)) {
            assert!(page.contains(&format!("| `{word}` |")), "{word} is not on the page");
        }
    }
}

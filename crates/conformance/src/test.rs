//! A test: its id, its requirement, and its check. An id is `suite/group/name` and must never change, because reports are compared by ids.

/// The check that a test makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Core(Core),
    Searching(Searching),
    Smart(Smart),
    Match(Match),
    Record(RecordTest),
    Access(RecordAccess),
    Bulk(BulkTest),
    Group(GroupTest),
    /// A check of one type of a guide; `what` is the search or the include, or empty.
    Type {
        kind: TypeTest,
        suite: &'static str,
        rtype: &'static str,
        what: &'static str,
    },
    /// The CapabilityStatement's declarations about a guide as a whole.
    Guide(&'static str),
    /// A type that PDex lists: resources in `$everything` are also found by search and can be read.
    Listed(&'static str),
}

/// The rules of FHIR's REST interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Core {
    Metadata, MetadataShape, MetadataOpen, Accept, AcceptXml, Format, FormatXml, ReadUnknown, TypeUnknown, Method,
    BadParameter, Strict, Lenient, Modifier, Unauthenticated, BadToken, TokenInUrl, Scope, Etag, LastModified, NotModified, Head,
    RequestId, NotYours, SearchMediaType,
}

/// Rules for all searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Searching {
    Nobody,
    IdOr,
    Count,
    CountZero,
    Total,
    Sort,
    Elements,
}

/// SMART Backend Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Smart {
    Discovery, DiscoveryFields, Algorithms, Token, NoStore, ScopeNarrowed, GrantType, NoAssertion, AssertionType, Signature, Unsigned, Kid,
    Audience, Expired, TooLong, Subject, UnknownClient, Replay, ScopeInvalid, MediaType, Bound, Introspection, Revocation,
}

/// `$member-match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Match {
    Success, One, IdentifierType, MemberId, SamePatient, Nobody, Ambiguous, Consent, ConsentPeriod, MissingPatient, MissingCoverage,
    UnknownParameter, ForeignReference, NotParameters, BadJson, MediaType, ScopeNeeded, TokenNeeded, GetRefused,
}

/// Access control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordAccess {
    Unknown,
    NotYours,
    Narrowed,
    NarrowedOther,
    SearchOther,
    ReadOther,
}

/// `$everything`, the whole record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum RecordTest {
    Everything, EverythingPost, Patient, Compartment, References, Claims, PriorAuthorizations, NoMoney, Provenance, Transmitter, Type, Since, Start, Count,
    Shape,
}

/// Bulk Data Access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum BulkTest {
    KickOff, PreferNeeded, TokenNeeded, Formats, FormatRefused, Types, Since, StatusToken, Complete, Time, Request, AccessToken, Output, ErrorList, Count,
    Ndjson, FileToken, Whole, Delete, Gone, Unknown, Post, Patient, Strict, Lenient,
}

/// Bulk between payers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum GroupTest {
    KickOff, PreferNeeded, ScopeNeeded, TokenNeeded, BadJson, Matched, Nobody, Consent, Envelope, Read, Search, Unknown, Export, DataExport, OtherType,
    UnknownGroup,
}

/// The checks for each type of a guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum TypeTest {
    Declared, Read, Search, Post, ReferenceForms, TokenForms, Or, Include, Provenance, DeclaredSearches, Paging, References, MustSupport, Shape, Other,
}

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// `suite/group/name`.
    pub id: String,
    /// Its requirement as text for people.
    pub title: String,
    /// Id of its requirement in `conformance/requirements.tsv`.
    pub requirement: &'static str,
    pub(super) check: Check,
}

impl Test {
    /// Id of its suite.
    pub fn suite(&self) -> &str {
        self.id.split('/').next().unwrap_or("")
    }

    /// Its group inside the suite.
    pub fn group(&self) -> &str {
        self.id.split('/').nth(1).unwrap_or("")
    }

    /// Whether its id matches `pattern`: an id, in which `*` stands for any text between slashes. A pattern with fewer parts matches all
    /// tests below it.
    pub fn fits(&self, pattern: &str) -> bool {
        let mut parts = self.id.split('/');
        pattern
            .split('/')
            .all(|wanted| parts.next().is_some_and(|part| part_fits(part, wanted)))
    }
}

fn part_fits(part: &str, wanted: &str) -> bool {
    match wanted.split_once('*') {
        None => part == wanted,
        Some((head, tail)) => part
            .strip_prefix(head)
            .is_some_and(|rest| tail.is_empty() || rest.ends_with(tail) || part_fits_rest(rest, tail)),
    }
}

fn part_fits_rest(rest: &str, tail: &str) -> bool {
    tail.contains('*') && (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| part_fits(rest, tail)))
}

/// A row of a table of fixed tests: group, name, requirement, title, check.
pub(super) type FixedTest<C> = (&'static str, &'static str, &'static str, &'static str, C);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_tests() {
        let test = Test {
            id: "us-core-6.1.0/Goal/search-patient".to_owned(),
            title: String::new(),
            requirement: "",
            check: Check::Guide(""),
        };
        for (pattern, fits) in [
            ("us-core-6.1.0", true),
            ("us-core-*", true),
            ("*/Goal", true),
            ("*/*/search-*", true),
            ("us-core-6.1.0/Goal/search-patient", true),
            ("us-core-3.1.1", false),
            ("*/Goal/search", false),
            ("*/Goal/*-patient", true),
            ("*/Goal/search-patient/more", false),
            ("*/*/s*-p*t", true),
        ] {
            assert_eq!(test.fits(pattern), fits, "{pattern}");
        }
    }
}

//! Suites, groups and tests as data. A test's id is `suite/group/name`; ids are for ever, reports are compared by them.

use super::guides::{self, Guide, Row};
use super::parameters;

/// What a test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Core(Core),
    Smart(Smart),
    Match(Match),
    Record(Record),
    /// A check of one type of a guide; `what` is its search, its include, or nothing.
    Type {
        kind: Kind,
        suite: &'static str,
        rtype: &'static str,
        what: &'static str,
    },
    /// What the CapabilityStatement must say of a guide as a whole.
    Guide(&'static str),
    /// A type that PDex lists: what `$everything` shows is also found by search and read.
    Listed(&'static str),
}

/// The rules of FHIR's REST interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Core {
    Metadata, MetadataShape, MetadataOpen, Accept, AcceptXml, Format, FormatXml, ReadUnknown, TypeUnknown, Method,
    BadParameter, Strict, Lenient, Modifier, Unauthenticated, BadToken, TokenInUrl, Scope, Etag, LastModified, NotModified, Head,
    RequestId, NotYours, SearchNone, Count, CountZero, SortId, Elements, Total, IdOr, SearchMediaType,
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

/// `$everything`, the whole record and who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Record {
    Everything, EverythingPost, Patient, Compartment, References, Claims, PriorAuthorizations, NoMoney, Provenance, Type, Since, Start, Count,
    Unknown, NotYours, Narrowed, NarrowedOther, SearchOther, ReadOther, Shape,
}

/// What is tried with each type of a guide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[rustfmt::skip]
pub(super) enum Kind {
    Declared, Read, Search, Post, ReferenceForms, TokenForms, Or, Include, Provenance, DeclaredSearches, Paging, References, MustSupport, Shape, Other,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Test {
    /// `suite/group/name`.
    pub id: String,
    /// What it demands, for people.
    pub title: String,
    /// Id of the requirement in `conformance/requirements.tsv`.
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

    /// Whether its id fits `pattern`: an id, or parts with `*` for any text between slashes. Fewer parts stand for all below.
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

/// A suite: id and title.
pub const SUITES: &[(&str, &str)] = &[
    ("fhir-core", "FHIR R4: the rules of the REST interface"),
    ("smart-backend", "SMART Backend Services: discovery, tokens, assertions"),
    ("hrex", "HRex: $member-match"),
    ("us-core-3.1.1", "US Core 3.1.1: reads and searches"),
    ("us-core-6.1.0", "US Core 6.1.0: reads and searches"),
    ("carin", "CARIN Blue Button: claims"),
    ("pdex-2.0", "PDex 2.0: the exchange between payers"),
    ("pdex-2.2", "PDex 2.2: the exchange between payers"),
];

/// A row of a table of fixed tests: group, name, requirement, title, check.
pub(super) type Fixed<C> = (&'static str, &'static str, &'static str, &'static str, C);

/// Every test, suite by suite, in the order in which they run.
pub fn all() -> Vec<Test> {
    let mut tests = Vec::new();
    fixed(&mut tests, "fhir-core", super::checks::CORE, Check::Core);
    fixed(&mut tests, "smart-backend", super::checks::SMART, Check::Smart);
    fixed(&mut tests, "hrex", super::checks::MATCH, Check::Match);
    for guide in guides::GUIDES {
        tests.push(Test {
            id: format!("{}/capability/statement", guide.suite),
            title: "The CapabilityStatement names FHIR 4.0.1, JSON and the guide".to_owned(),
            requirement: "guide-capability",
            check: Check::Guide(guide.suite),
        });
        if guide.suite.starts_with("pdex") {
            fixed(&mut tests, guide.suite, super::checks::MATCH_PDEX, Check::Match);
            fixed(&mut tests, guide.suite, super::checks::RECORD, Check::Record);
            for rtype in guides::PDEX_TYPES {
                tests.push(Test {
                    id: format!("{}/types/{rtype}", guide.suite),
                    title: format!("What $everything shows of {rtype} can also be searched and read"),
                    requirement: "pdex-210",
                    check: Check::Listed(rtype),
                });
            }
        }
        for row in guide.rows {
            of_type(&mut tests, guide, row);
        }
    }
    tests
}

fn fixed<C: Copy>(tests: &mut Vec<Test>, suite: &str, rows: &[Fixed<C>], check: fn(C) -> Check) {
    for (group, name, requirement, title, which) in rows {
        tests.push(Test {
            id: format!("{suite}/{group}/{name}"),
            title: (*title).to_owned(),
            requirement,
            check: check(*which),
        });
    }
}

/// Where it is tried what a server declares beyond a guide: once, in the newest of each family.
const NEWEST: &[&str] = &["us-core-6.1.0", "carin", "pdex-2.2"];

/// Parameters over elements of type code, which carry no system of their own.
const BARE_CODES: &[&str] = &["status", "intent", "gender"];

/// The tests of one type: which there are follows from what the guide lists for it.
fn of_type(tests: &mut Vec<Test>, guide: &Guide, row: &'static Row) {
    let rtype = row.rtype;
    let mut put = |name: &str, requirement: &'static str, title: String, kind: Kind, what: &'static str| {
        tests.push(Test {
            id: format!("{}/{rtype}/{name}", guide.suite),
            title,
            requirement,
            check: Check::Type {
                kind,
                suite: guide.suite,
                rtype,
                what,
            },
        });
    };
    let declared = format!("The CapabilityStatement declares read and the SHALL searches of {rtype}");
    put("declared", "guide-declared", declared, Kind::Declared, "");
    let mut searches = row.searches.split_whitespace();
    for search in searches.clone() {
        let name = format!("search-{}", search.replace('+', "-").replace('_', ""));
        let by = search.replace('+', " and ");
        put(
            &name,
            "guide-search",
            format!("{rtype} is found by {by}"),
            Kind::Search,
            search,
        );
    }
    put(
        "read",
        "guide-read",
        format!("{rtype} is read by its id, as the search showed it"),
        Kind::Read,
        "",
    );
    let first = searches.next().unwrap_or("");
    if !first.is_empty() {
        put(
            "post-search",
            "guide-post",
            format!("POST _search answers as GET for {rtype}"),
            Kind::Post,
            first,
        );
    }
    let with_token = row.searches.split_whitespace().find_map(|search| {
        let mut names = search.split('+').filter(|name| *name != "_id");
        let token =
            |name: &&str| parameters::find(rtype, name).is_some_and(|found| found.kind == parameters::Kind::Token);
        names.find(token).map(|_| search)
    });
    if let Some(search) = with_token.filter(|search| !search.split('+').any(|name| BARE_CODES.contains(&name))) {
        put(
            "token-forms",
            "search-token",
            format!("{rtype}: a token is taken as code and as system|code"),
            Kind::TokenForms,
            search,
        );
    }
    if let Some(search) = with_token {
        put(
            "multiple-or",
            "search-or",
            format!("{rtype}: values with a comma between are alternatives"),
            Kind::Or,
            search,
        );
    }
    let by_patient = row
        .searches
        .split_whitespace()
        .find(|search| search.split('+').any(|name| name == "patient"));
    if let Some(search) = by_patient {
        put(
            "reference-forms",
            "search-reference",
            format!("{rtype}: a reference is taken as id and as Type/id"),
            Kind::ReferenceForms,
            search,
        );
        put(
            "paging",
            "fhir-paging",
            format!("{rtype}: pages are together the whole, each resource once"),
            Kind::Paging,
            "",
        );
        put(
            "other-patient",
            "search-other",
            format!("{rtype}: nothing of a patient who is not granted"),
            Kind::Other,
            "",
        );
    }
    for include in row.includes.split_whitespace() {
        let what = include.split_once(':').map_or("", |(_, name)| name);
        let name = format!("include-{}", if what == "*" { "all" } else { what });
        put(
            &name,
            "guide-include",
            format!("_include={include} brings what is referred to"),
            Kind::Include,
            what,
        );
    }
    if row.provenance {
        put(
            "revinclude-provenance",
            "guide-revinclude",
            format!("{rtype}: _revinclude=Provenance:target brings the Provenance"),
            Kind::Provenance,
            "",
        );
    }
    if NEWEST.contains(&guide.suite) {
        put(
            "declared-searches",
            "declared-searches",
            format!("{rtype}: every parameter that is declared and can be judged works"),
            Kind::DeclaredSearches,
            "",
        );
    }
    put(
        "references",
        "guide-references",
        format!("References in {rtype} can be read"),
        Kind::References,
        "",
    );
    // Without a mandatory element nothing can be wrong: it would be no test.
    if !row.required.is_empty() {
        put(
            "must-support",
            "guide-must-support",
            format!("{rtype}: mandatory elements are there, each mustSupport element is seen"),
            Kind::MustSupport,
            "",
        );
    }
    put(
        "shape",
        "fhir-shape",
        format!("{rtype} is in FHIR's JSON form"),
        Kind::Shape,
        "",
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_of_a_known_suite() {
        let (all, mut seen) = (all(), HashSet::new());
        for test in &all {
            assert!(seen.insert(test.id.clone()), "{} twice", test.id);
            assert!(SUITES.iter().any(|(suite, _)| *suite == test.suite()), "{}", test.id);
            assert_eq!(test.id.split('/').count(), 3, "{}", test.id);
        }
        for (suite, _) in SUITES {
            assert!(all.iter().any(|test| test.suite() == *suite), "{suite} has no test");
        }
    }

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

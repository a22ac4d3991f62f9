//! The search grammar against queries without end: never a panic, limits that hold, nothing of the caller's in a refusal, and what is
//! understood reads the same again from its self link.

use super::params::{COMMON, PARAMS};
use super::query::{COUNT_MAX, PARAMETERS_MAX, QueryReading, VALUES_MAX, read};
use super::{Search, SearchFilter, Summary};
use crate::fuzz_tests::run;
use crate::percent::{decode_form, encode};

#[rustfmt::skip]
const CORPUS: &[&[u8]] = &[
    b"Patient?family=Lima&given=A,B&birthdate=ge1970-01-01&_id=a,b&_count=10",
    b"Observation?code=http%3A%2F%2Floinc.org%7C8480-6&date=ap2024-02&subject=Patient/7&_sort=-date,_id&_total=accurate",
    b"Observation?code:not=%7Cx&patient:missing=true&_include=Observation:subject:Patient&_revinclude=Provenance:target",
    b"Claim?_lastUpdated=gt2024-01-01T10:00Z&_summary=count&_elements=id,meta&identifier=a%5C%7Cb%7Cc",
    b"ExplanationOfBenefit?patient.name=x&_has:Group:member:_id=1&nonsense=1&_profile=http://x/y%7C1&service-date=2024-02-29T12:00:00%2B14:00",
    b"Nothing?%zz=%&&=&_count=&a=b=c",
    b"",
];

#[rustfmt::skip]
const WORDS: &[&str] = &[
    "&", "=", "?", ",", "|", "\\", "\\,", "%2C", "%7C", "%5C", "%00", "%ff", "+", "%2B", ":", ".", "-", "_id", "_count", "_sort", "_include",
    "_revinclude", "_summary", "_elements", "_total", "_lastUpdated", ":not", ":exact", ":contains", ":missing", ":Patient", "true", "Patient",
    "Patient/", "/_history/1", "https://p.example/fhir/Patient/7", "2024", "2024-02-30", "T24:00:00Z", "ge", "ap", "9999", "0001", "name",
    "code", "date", "identifier", "_security", "_tag", "\u{fb03}", "e\u{301}", "\u{fdfa}", "%E2%80%AE", "0", "200", "4294967296", "-1",
];

const LENIENT: QueryReading<'static> = QueryReading {
    base_url: "https://p.example/fhir",
    now_ms: 1_700_000_000_000,
    strict: false,
};
const STRICT: QueryReading<'static> = QueryReading {
    strict: true,
    ..LENIENT
};

/// Everything that a search does; what was passed over has no part in it.
fn meaning(search: &Search) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {} {:?} {:?}",
        search.filters, search.includes, search.revincludes, search.sort, search.count, search.total, search.summary
    )
}

fn values_of(filter: &SearchFilter) -> usize {
    match filter {
        SearchFilter::Ids { any, .. } | SearchFilter::Owner { any, .. } => any.len(),
        SearchFilter::Updated(any) | SearchFilter::Dates { any, .. } => any.len(),
        SearchFilter::Values { any, .. } => any.len(),
        _ => 0,
    }
}

fn is_a_name_of_ours(name: &str) -> bool {
    let own = COMMON.iter().chain(PARAMS).any(|param| param.name == name);
    own || name.starts_with('_') && name[1..].bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Reads the query of a self link: each name and value as it goes out and comes back.
fn again(rtype: &str, pairs: &[(String, String)]) -> Search {
    let there_and_back = |text: &str| decode_form(encode(text).as_bytes()).expect("what we encode can be read");
    let pairs: Vec<(String, String)> = pairs
        .iter()
        .map(|(name, value)| (there_and_back(name), there_and_back(value)))
        .collect();
    read(rtype, &pairs, &LENIENT).expect("what was understood is understood again")
}

fn judge(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let (rtype, query) = text.split_once('?').unwrap_or((&text, ""));
    let pairs: Option<Vec<(String, String)>> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode_form(name.as_bytes())?, decode_form(value.as_bytes())?))
        })
        .collect();
    let (Some(pairs), true) = (pairs, causeway_fhir_types::is_type(rtype)) else {
        return "not a search".to_owned();
    };
    let strict = read(rtype, &pairs, &STRICT);
    match read(rtype, &pairs, &LENIENT) {
        Ok(search) => {
            assert!(search.filters.len() <= PARAMETERS_MAX && (0..=COUNT_MAX).contains(&search.count));
            assert!(search.filters.iter().all(|filter| values_of(filter) <= VALUES_MAX));
            assert!(search.includes.len() <= VALUES_MAX && search.revincludes.len() <= VALUES_MAX);
            if let Summary::Elements(names) = &search.summary {
                assert!(
                    names
                        .iter()
                        .flat_map(|name| name.bytes())
                        .all(|byte| byte.is_ascii_alphabetic())
                );
            }
            // What identifies a person is not in the link; the test puts the caller's own value back.
            let understood = search.understood.iter().map(|(name, value)| match value {
                Some(value) => (name.clone(), value.clone()),
                None => {
                    let own = pairs.iter().find(|(own, _)| own == name).expect("it was asked");
                    own.clone()
                }
            });
            let understood: Vec<(String, String)> = understood.collect();
            let repeats = search
                .understood
                .iter()
                .any(|(name, value)| value.is_none() && pairs.iter().filter(|(own, _)| own == name).count() > 1);
            if !repeats {
                assert_eq!(meaning(&again(rtype, &understood)), meaning(&search));
            }
            match &strict {
                Ok(strict) => assert_eq!(meaning(strict), meaning(&search)),
                Err(_) => assert!(
                    !search.passed_over.is_empty(),
                    "only the strict caller is refused, and nothing is passed over"
                ),
            }
            let kinds: Vec<String> = search.filters.iter().map(|filter| format!("{filter:?}")).collect();
            let kinds: Vec<&str> = kinds.iter().filter_map(|kind| kind.split([' ', '(']).next()).collect();
            format!(
                "{rtype} {kinds:?} {} {}",
                search.sort.len(),
                search.passed_over.len().min(3)
            )
        }
        Err(failure) => {
            assert!(strict.is_err(), "the strict caller is refused what the lenient one is");
            for place in failure.expressions() {
                let (own, name) = place.split_once('?').unwrap_or((place, "_id"));
                assert!(own == rtype && is_a_name_of_ours(name), "{place}");
            }
            format!("{:?} {:?}", failure.fault(), failure.expressions())
        }
    }
}

#[test]
fn every_query_is_refused_or_read_the_same_again_from_its_self_link() {
    run("search", CORPUS, WORDS, judge);
}

#[test]
fn what_is_encoded_for_a_query_is_read_back_to_the_letter() {
    run("percent", CORPUS, WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        assert_eq!(decode_form(encode(&text).as_bytes()).as_deref(), Some(text.as_ref()));
        match decode_form(input) {
            Some(read) => {
                assert!(read.len() <= input.len());
                format!("read {}", read.len() < input.len())
            }
            None => "refused".to_owned(),
        }
    });
}

//! All tests as data: the tables of the checks, and the tests that follow from each guide for each type.

use super::guides::{self, Guide, GuideRow};
use super::parameters;
use super::test::{Check, FixedTest, TypeTest};

pub use super::test::Test;

/// The suites: id and title.
pub const SUITES: &[(&str, &str)] = &[
    ("fhir-core", "FHIR R4: the rules of the REST interface"),
    ("smart-backend", "SMART Backend Services: discovery, tokens, assertions"),
    ("hrex", "HRex: $member-match"),
    ("us-core-3.1.1", "US Core 3.1.1: reads and searches"),
    ("us-core-6.1.0", "US Core 6.1.0: reads and searches"),
    ("carin", "CARIN Blue Button: claims"),
    ("pdex-2.0", "PDex 2.0: the exchange between payers"),
    ("pdex-2.2", "PDex 2.2: the exchange between payers"),
    ("bulk-1.0", "Bulk Data Access 1.0: exports"),
    ("bulk-2.0", "Bulk Data Access 2.0: exports"),
    ("pdex-bulk", "PDex 2.1 and 2.2: bulk match, Groups, exports"),
];

/// All tests, suite by suite, in the order in which they run.
pub fn all() -> Vec<Test> {
    let mut tests = Vec::new();
    fixed(&mut tests, "fhir-core", super::checks::CORE, Check::Core);
    fixed(&mut tests, "fhir-core", super::checks::SEARCHING, Check::Searching);
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
            fixed(&mut tests, guide.suite, super::checks::ACCESS, Check::Access);
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
            tests_of_type(&mut tests, guide, row);
        }
    }
    for suite in ["bulk-1.0", "bulk-2.0"] {
        fixed(&mut tests, suite, super::checks::BULK, Check::Bulk);
    }
    fixed(&mut tests, "bulk-2.0", super::checks::BULK_2, Check::Bulk);
    fixed(&mut tests, "pdex-bulk", super::checks::GROUPS, Check::Group);
    tests
}

fn fixed<C: Copy>(tests: &mut Vec<Test>, suite: &str, rows: &[FixedTest<C>], check: fn(C) -> Check) {
    for (group, name, requirement, title, which) in rows {
        tests.push(Test {
            id: format!("{suite}/{group}/{name}"),
            title: (*title).to_owned(),
            requirement,
            check: check(*which),
        });
    }
}

/// The suites in which declarations beyond a guide are tested: once, in the newest version of each guide.
const NEWEST: &[&str] = &["us-core-6.1.0", "carin", "pdex-2.2"];

/// Parameters over elements of type code, which have no system of their own.
const BARE_CODES: &[&str] = &["status", "intent", "gender"];

/// A test that is made from what a guide lists for a type.
struct OfType {
    /// Its name; `{what}` is replaced by the tested search or include.
    name: &'static str,
    requirement: &'static str,
    /// Its requirement as text; `{type}`, `{by}` and `{include}` are replaced by the type, the search in words, and the include as listed.
    title: &'static str,
    kind: TypeTest,
    /// The searches or includes to test, each of which becomes a test.
    tries: fn(&Guide, &'static GuideRow) -> Vec<&'static str>,
}

const fn of_type(
    name: &'static str,
    requirement: &'static str,
    kind: TypeTest,
    tries: fn(&Guide, &'static GuideRow) -> Vec<&'static str>,
    title: &'static str,
) -> OfType {
    OfType {
        name,
        requirement,
        title,
        kind,
        tries,
    }
}

/// The tests of each type, in order.
#[rustfmt::skip]
const OF_TYPE: &[OfType] = &[
    of_type("declared", "guide-declared", TypeTest::Declared, once, "The CapabilityStatement declares read and the SHALL searches of {type}"),
    of_type("search-{what}", "guide-search", TypeTest::Search, searches, "{type} is found by {by}"),
    of_type("read", "guide-read", TypeTest::Read, once, "{type} is read by its id, as the search showed it"),
    of_type("post-search", "guide-post", TypeTest::Post, first_search, "POST _search answers as GET for {type}"),
    of_type("token-forms", "search-token", TypeTest::TokenForms, by_system, "{type}: a token is taken as code and as system|code"),
    of_type("multiple-or", "search-or", TypeTest::Or, by_token, "{type}: values with a comma between are alternatives"),
    of_type("reference-forms", "search-reference", TypeTest::ReferenceForms, by_patient, "{type}: a reference is taken as id and as Type/id"),
    of_type("paging", "fhir-paging", TypeTest::Paging, once_by_patient, "{type}: pages are together the whole, each resource once"),
    of_type("other-patient", "search-other", TypeTest::Other, once_by_patient, "{type}: nothing of a patient who is not granted"),
    of_type("include-{what}", "guide-include", TypeTest::Include, includes, "_include={include} brings what is referred to"),
    of_type("revinclude-provenance", "guide-revinclude", TypeTest::Provenance, once_with_provenance, "{type}: _revinclude=Provenance:target brings the Provenance"),
    of_type("declared-searches", "declared-searches", TypeTest::DeclaredSearches, once_in_newest, "{type}: every parameter that is declared and can be judged works"),
    of_type("references", "guide-references", TypeTest::References, once, "References in {type} can be read"),
    of_type("must-support", "guide-must-support", TypeTest::MustSupport, once_with_mandatory, "{type}: mandatory elements are there, each mustSupport element is seen"),
    of_type("shape", "fhir-shape", TypeTest::Shape, once, "{type} is in FHIR's JSON form"),
];

fn once(_: &Guide, _: &'static GuideRow) -> Vec<&'static str> {
    vec![""]
}

fn once_if(held: bool) -> Vec<&'static str> {
    if held { vec![""] } else { Vec::new() }
}

fn once_by_patient(guide: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    once_if(!by_patient(guide, row).is_empty())
}

fn once_with_provenance(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    once_if(row.provenance)
}

fn once_in_newest(guide: &Guide, _: &'static GuideRow) -> Vec<&'static str> {
    once_if(NEWEST.contains(&guide.suite))
}

/// Once, if the type has mandatory elements; without any, the test could not fail.
fn once_with_mandatory(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    once_if(!row.required.is_empty())
}

fn searches(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    row.searches.split_whitespace().collect()
}

fn first_search(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    row.searches.split_whitespace().take(1).collect()
}

/// The first search that has a parameter of type token.
fn by_token(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    let is_token = |name: &&str| {
        parameters::find(row.rtype, name).is_some_and(|found| found.kind == parameters::ParameterKind::Token)
    };
    let mut searches = row.searches.split_whitespace();
    let found = searches.find(|search| {
        search
            .split('+')
            .filter(|name| *name != "_id")
            .any(|name| is_token(&name))
    });
    found.into_iter().collect()
}

/// The first search by token whose codes have a system.
fn by_system(guide: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    let mut found = by_token(guide, row);
    found.retain(|search| !search.split('+').any(|name| BARE_CODES.contains(&name)));
    found
}

/// The first search that has the parameter patient.
fn by_patient(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    let mut searches = row.searches.split_whitespace();
    let found = searches.find(|search| search.split('+').any(|name| name == "patient"));
    found.into_iter().collect()
}

fn includes(_: &Guide, row: &'static GuideRow) -> Vec<&'static str> {
    row.includes.split_whitespace().collect()
}

/// Adds the tests of one type, which depend on what the guide lists for it.
fn tests_of_type(tests: &mut Vec<Test>, guide: &Guide, row: &'static GuideRow) {
    for one in OF_TYPE {
        for tried in (one.tries)(guide, row) {
            let (what, in_name) = match one.kind {
                TypeTest::Include => {
                    let name = tried.split_once(':').map_or("", |(_, name)| name);
                    (name, if name == "*" { "all" } else { name }.to_owned())
                }
                _ => (tried, tried.replace('+', "-").replace('_', "")),
            };
            let title = one
                .title
                .replace("{type}", row.rtype)
                .replace("{by}", &tried.replace('+', " and "))
                .replace("{include}", tried);
            tests.push(Test {
                id: format!("{}/{}/{}", guide.suite, row.rtype, one.name.replace("{what}", &in_name)),
                title,
                requirement: one.requirement,
                check: Check::Type {
                    kind: one.kind,
                    suite: guide.suite,
                    rtype: row.rtype,
                    what,
                },
            });
        }
    }
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
}

//! The checks: one file for each area, with its table of tests.

mod access;
mod bulk;
mod data;
mod groups;
mod http;
mod listed;
mod matching;
mod record;
mod search;
mod searching;
mod tokens;

use super::guides;
use super::session::Session;
use super::stop::{Checked, skip};
use super::test::{Check, TypeTest};

pub(super) use access::TESTS as ACCESS;
pub(super) use bulk::{TESTS as BULK, TESTS_2 as BULK_2};
pub(super) use groups::TESTS as GROUPS;
pub(super) use http::TESTS as CORE;
pub(super) use matching::{PDEX as MATCH_PDEX, TESTS as MATCH};
pub(super) use record::TESTS as RECORD;
pub(super) use searching::TESTS as SEARCHING;
pub(super) use tokens::TESTS as SMART;

/// Runs one check.
pub(super) async fn run(check: &Check, session: &mut Session) -> Checked {
    match *check {
        Check::Core(which) => http::run(which, session).await,
        Check::Searching(which) => searching::run(which, session).await,
        Check::Smart(which) => tokens::run(which, session).await,
        Check::Match(which) => matching::run(which, session).await,
        Check::Record(which) => record::run(which, session).await,
        Check::Access(which) => access::run(which, session).await,
        Check::Bulk(which) => bulk::run(which, session).await,
        Check::Group(which) => groups::run(which, session).await,
        Check::Guide(suite) => data::statement(session, suite).await,
        Check::Listed(rtype) => listed::listed(session, rtype).await,
        Check::Type {
            kind,
            suite,
            rtype,
            what,
        } => {
            let rows = guides::of(suite).map_or(&[][..], |guide| guide.rows);
            let Some(row) = rows.iter().find(|row| row.rtype == rtype) else {
                return skip("the guide has no such type");
            };
            match kind {
                TypeTest::Declared => data::declared(session, row).await,
                TypeTest::Read => data::read(session, rtype).await,
                TypeTest::References => data::references(session, rtype).await,
                TypeTest::MustSupport => data::must_support(session, suite, row).await,
                TypeTest::Shape => data::shape(session, rtype).await,
                TypeTest::Search => search::by(session, rtype, what).await,
                TypeTest::Post => search::post(session, rtype, what).await,
                TypeTest::ReferenceForms => search::reference_forms(session, rtype, what).await,
                TypeTest::TokenForms => search::token_forms(session, rtype, what).await,
                TypeTest::Or => search::alternatives(session, rtype, what).await,
                TypeTest::Paging => search::paging(session, rtype).await,
                TypeTest::Other => search::other_patient(session, rtype).await,
                TypeTest::Include => search::include(session, rtype, what).await,
                TypeTest::DeclaredSearches => search::declared(session, rtype).await,
                TypeTest::Provenance => search::provenance(session, rtype).await,
            }
        }
    }
}

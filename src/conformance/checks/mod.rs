//! The checks: one file for each area, its table of tests beside its code.

mod data;
mod http;
mod listed;
mod matching;
mod record;
mod search;
mod tokens;

use super::catalog::{Check, Core, Fixed, Kind, Match, Record, Smart};
use super::session::Session;
use super::{Checked, guides, skip};

pub(super) use http::TESTS as CORE;
pub(super) use matching::{PDEX as MATCH_PDEX, TESTS as MATCH};
pub(super) use record::TESTS as RECORD;
pub(super) use tokens::TESTS as SMART;

/// Runs one check.
pub(super) async fn run(check: &Check, session: &mut Session) -> Checked {
    match *check {
        Check::Core(which) => http::run(which, session).await,
        Check::Smart(which) => tokens::run(which, session).await,
        Check::Match(which) => matching::run(which, session).await,
        Check::Record(which) => record::run(which, session).await,
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
                Kind::Declared => data::declared(session, row).await,
                Kind::Read => data::read(session, rtype).await,
                Kind::References => data::references(session, rtype).await,
                Kind::MustSupport => data::must_support(session, suite, row).await,
                Kind::Shape => data::shape(session, rtype).await,
                Kind::Search => search::by(session, rtype, what).await,
                Kind::Post => search::post(session, rtype, what).await,
                Kind::ReferenceForms => search::reference_forms(session, rtype, what).await,
                Kind::TokenForms => search::token_forms(session, rtype, what).await,
                Kind::Or => search::alternatives(session, rtype, what).await,
                Kind::Paging => search::paging(session, rtype).await,
                Kind::Other => search::other_patient(session, rtype).await,
                Kind::Include => search::include(session, rtype, what).await,
                Kind::DeclaredSearches => search::declared(session, rtype).await,
                Kind::Provenance => search::provenance(session, rtype).await,
            }
        }
    }
}

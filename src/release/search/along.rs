//! The resources that come along with the matches of a search.

use crate::error::Failure;
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::fhir::search::Include;
use crate::fhir::search::extract::at;
use crate::records::compartment;
use crate::release::is_shared;
use crate::store::Db;
use crate::store::search::{self as store, Hit, IncludeRoom, SearchAsked, SearchScope};
use std::collections::HashSet;

/// Most included resources on a page.
const INCLUDES_MAX: usize = 1_000;
/// The part of a page that the included resources have at least; otherwise they have what the matches leave of it. A single larger resource
/// is still sent.
const INCLUDES_PART: usize = 4;

/// What comes along with the matches of a page.
pub struct CameAlong {
    /// The included resources.
    pub included: Vec<Hit>,
    /// Whether there were more than a page may have.
    pub is_cut: bool,
    /// How many bytes the page has, when there is no room in memory for them; it is then not complete.
    pub larger: Option<usize>,
}

/// The resources that `_include` and `_revinclude` ask for beside these matches, on a page of about `page_bytes`. They are read only where
/// the whole page has no more than `held` bytes.
pub fn come_along(
    db: &mut Db,
    asked: &SearchAsked<'_>,
    (base_url, readable): (&str, &dyn Fn(&str) -> bool),
    (page_bytes, held): (usize, usize),
    matches: &[Hit],
) -> Result<CameAlong, Failure> {
    let search = asked.search;
    let own: usize = matches.iter().map(|hit| hit.bytes.len()).sum();
    let bytes = page_bytes.saturating_sub(own).max(page_bytes / INCLUDES_PART);
    let mut room = IncludeRoom::new(INCLUDES_MAX, bytes, held.saturating_sub(own), matches);
    let mut included: Vec<Hit> = Vec::new();
    if !search.includes.is_empty() {
        let (members, shared) = references(matches, &search.includes, base_url, readable);
        let from: HashSet<(i64, &str, &str)> = members
            .iter()
            .map(|(no, t, id)| (*no, t.as_str(), id.as_str()))
            .collect();
        let is_meant = |no: i64, rtype: &str, id: &str| from.contains(&(no, rtype, id));
        let targets: Vec<(String, String)> = members.iter().map(|(_, t, id)| (t.clone(), id.clone())).collect();
        let mine = (asked.scope, asked.now_ms);
        included.extend(store::by_reference(db, mine, &targets, &mut room, is_meant)?);
        let others = (&SearchScope::Referred, asked.now_ms);
        included.extend(store::by_reference(db, others, &shared, &mut room, |_, _, _| true)?);
    }
    let revincludes = search.revincludes.iter();
    for include in revincludes.filter(|include| include.param.leads_to(&search.rtype) && readable(include.param.rtype))
    {
        let scope = (asked.scope, asked.now_ms);
        included.extend(store::referring(db, scope, include.param, matches, &mut room)?);
    }
    Ok(CameAlong {
        included,
        is_cut: room.is_cut(),
        larger: room.needs().map(|bytes| own.saturating_add(bytes)),
    })
}

type Members = Vec<(i64, String, String)>;

/// The resources that the matches refer to by the included parameters: resources of the match's own member, and shared ones.
fn references(
    matches: &[Hit],
    includes: &[Include],
    base_url: &str,
    readable: &dyn Fn(&str) -> bool,
) -> (Members, Vec<(String, String)>) {
    let (mut members, mut shared) = (HashSet::new(), HashSet::new());
    for hit in matches {
        let Ok(resource) = screen(&hit.bytes, &ScreenLimits::record()) else {
            continue;
        };
        for include in includes {
            let values = include.param.paths.iter().flat_map(|path| at(resource.root(), path));
            for text in values.filter_map(|value| value.get("reference")?.text()) {
                let Some((rtype, id)) = compartment::local(&text, base_url) else {
                    continue;
                };
                if !include.param.leads_to(rtype)
                    || !readable(rtype)
                    || include.target.as_deref().is_some_and(|only| only != rtype)
                {
                    continue;
                }
                if is_shared(rtype) {
                    shared.insert((rtype.to_owned(), id.to_owned()));
                } else {
                    members.insert((hit.compartment(), rtype.to_owned(), id.to_owned()));
                }
            }
        }
    }
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_unstable();
    let mut shared: Vec<_> = shared.into_iter().collect();
    shared.sort_unstable();
    (members, shared)
}

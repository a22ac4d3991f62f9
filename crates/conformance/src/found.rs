//! Runs a search and follows all of its pages: each page is checked, and no page may repeat.

use super::bundle;
use super::session::Session;
use super::stop::{Checked, demand, fail};
use super::wire::{Call, ServerAnswer, query};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Most pages that are followed.
const PAGES: usize = 200;

/// The results of a search on all of its pages.
#[derive(Debug, Default)]
pub(super) struct SearchResult {
    pub(super) matches: Vec<Value>,
    pub(super) included: Vec<Value>,
    /// The number of matches on each page.
    pub(super) pages: Vec<usize>,
    pub(super) total: Option<u64>,
}

impl SearchResult {
    /// `Type/id` of every match.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.matches.iter().map(name).collect()
    }

    pub(super) fn holds(&self, resource: &Value) -> bool {
        let wanted = name(resource);
        self.matches.iter().any(|found| name(found) == wanted)
    }
}

/// The name `Type/id` of a resource.
pub(super) fn name(resource: &Value) -> String {
    let text = |name: &str| resource[name].as_str().unwrap_or("?");
    format!("{}/{}", text("resourceType"), text("id"))
}

/// Searches `rtype` with the parameters in the URL.
pub(super) async fn search(session: &mut Session, rtype: &str, pairs: &[(&str, &str)]) -> Checked<SearchResult> {
    let call = Call::get(session.url(&format!("{rtype}?{}", query(pairs))));
    let first = session.send(call).await?;
    follow(session, rtype, first).await
}

/// Searches `rtype` with the parameters in a form.
pub(super) async fn search_by_form(
    session: &mut Session,
    rtype: &str,
    pairs: &[(&str, &str)],
) -> Checked<SearchResult> {
    let call = Call::new("POST", session.url(&format!("{rtype}/_search")))
        .header("accept", "application/fhir+json")
        .form(pairs);
    let first = session.send(call).await?;
    follow(session, rtype, first).await
}

/// Follows the next links from the page `first`.
pub(super) async fn follow(session: &mut Session, rtype: &str, first: ServerAnswer) -> Checked<SearchResult> {
    let (mut found, mut answer) = (SearchResult::default(), first);
    let (mut seen, mut links) = (HashSet::new(), HashSet::new());
    loop {
        let bundle = answer.status(200)?.resource("Bundle")?;
        bundle::check(&bundle, rtype)?;
        found.total = found.total.or_else(|| bundle["total"].as_u64());
        let mut here = 0;
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            match entry["search"]["mode"].as_str() {
                Some("match") => {
                    here += 1;
                    demand(seen.insert(name(resource)), || {
                        format!("{} is on two pages", name(resource))
                    })?;
                    found.matches.push(resource.clone());
                }
                Some("include") => found.included.push(resource.clone()),
                _ => {}
            }
        }
        found.pages.push(here);
        let Some(next) = bundle::link(&bundle, "next") else {
            break;
        };
        demand(links.insert(next.to_owned()), || {
            "a next link leads back to a page that was read".to_owned()
        })?;
        if found.pages.len() >= PAGES {
            return fail(format!("{rtype}: the pages do not end after {PAGES}"));
        }
        demand(next.starts_with(session.origin()), || {
            "a next link leads to another server".to_owned()
        })?;
        answer = session.send(Call::get(next)).await?;
    }
    if let Some(total) = found.total {
        let matches = found.matches.len();
        demand(total == matches as u64, || {
            format!("Bundle.total is {total} where {matches} match")
        })?;
    }
    Ok(found)
}

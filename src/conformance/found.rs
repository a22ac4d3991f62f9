//! A search followed to its end: every page checked, every link followed, no page twice.

use super::session::Session;
use super::wire::{Answer, Call, query};
use super::{Checked, bundle, demand, fail};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

/// Pages that are followed at most.
const PAGES: usize = 200;

/// What a search gave on all its pages.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) matches: Vec<Value>,
    pub(super) included: Vec<Value>,
    /// Matches on each page.
    pub(super) pages: Vec<usize>,
    pub(super) total: Option<u64>,
}

impl Found {
    /// `Type/id` of every match.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        self.matches.iter().map(name).collect()
    }

    pub(super) fn holds(&self, resource: &Value) -> bool {
        let wanted = name(resource);
        self.matches.iter().any(|found| name(found) == wanted)
    }
}

/// `Type/id`.
pub(super) fn name(resource: &Value) -> String {
    let text = |name: &str| resource[name].as_str().unwrap_or("?");
    format!("{}/{}", text("resourceType"), text("id"))
}

/// Searches `rtype` by URL.
pub(super) async fn search(session: &mut Session, rtype: &str, pairs: &[(&str, &str)]) -> Checked<Found> {
    let call = Call::get(session.url(&format!("{rtype}?{}", query(pairs))));
    let first = session.send(call).await?;
    follow(session, rtype, first).await
}

/// Searches `rtype` by form.
pub(super) async fn search_by_form(session: &mut Session, rtype: &str, pairs: &[(&str, &str)]) -> Checked<Found> {
    let call = Call::new("POST", session.url(&format!("{rtype}/_search")))
        .header("accept", "application/fhir+json")
        .form(pairs);
    let first = session.send(call).await?;
    follow(session, rtype, first).await
}

/// Follows the links of `first` to the end.
pub(super) async fn follow(session: &mut Session, rtype: &str, first: Answer) -> Checked<Found> {
    let (mut found, mut answer) = (Found::default(), first);
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

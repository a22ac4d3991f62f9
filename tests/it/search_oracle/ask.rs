//! Sends a search, follows its pages to the end, and compares every page with what the judge says.

use super::search::Search;
use super::values::pointer;
use super::world::{Caller, Seen, World};
use crate::support::client::Reply;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pages after which something is wrong.
const PAGES: usize = 400;

/// What comes along on one page at most.
const INCLUDES_MAX: usize = 1_000;

/// Asks and judges.
///
/// # Errors
/// What differs, in words.
pub async fn check(world: &World, caller: &Caller, search: &Search) -> Result<(), String> {
    let matches = || search.matches(caller, &world.base, chrono::Utc::now().timestamp_millis());
    let mut left = 5;
    loop {
        let before = matches();
        let judged = compare(world, caller, search, &before).await;
        let after = matches();
        // About a time, what matches depends on when that was asked: where this has changed meanwhile, it is asked again.
        let is_same =
            before.len() == after.len() && before.iter().zip(&after).all(|(one, other)| Arc::ptr_eq(one, other));
        left -= 1;
        if judged.is_ok() || is_same || left == 0 {
            return judged;
        }
    }
}

async fn compare(world: &World, caller: &Caller, search: &Search, expected: &[Arc<Seen>]) -> Result<(), String> {
    let mut search = search.clone();
    // As many pages as tell something, not hundreds.
    search.count = search.count.map(|count| count.max(expected.len() / 6));
    let by_name: BTreeMap<&str, &Arc<Seen>> = expected.iter().map(|one| (one.id.as_str(), one)).collect();
    let mut reply = send(world, caller, &search).await;
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        if reply.status != 200 {
            return Err(format!("status {}: {}", reply.status, reply.text()));
        }
        let bundle = reply.json();
        let page = Page::of(&bundle, &world.base)?;
        if let Some(total) = page.total
            && total != expected.len()
        {
            return Err(format!("total {total}, expected {}", expected.len()));
        }
        if page.total.is_none() && (search.total == Some("accurate") || search.count_only) {
            return Err("no total".to_owned());
        }
        if search.count_only {
            return if page.entries == page.outcomes {
                Ok(())
            } else {
                Err("entries in a count".to_owned())
            };
        }
        // Includes are cut, and told of, where a page would burst.
        let cut = page.included.len() == INCLUDES_MAX;
        if pages == 0 && (search.unknown.is_some() || cut) != (page.outcomes > 0) {
            return Err(format!("{} outcome entries", page.outcomes));
        }
        let mut here = Vec::new();
        for (name, body) in &page.matches {
            let Some(id) = name.strip_prefix(&format!("{}/", search.rtype)) else {
                return Err(format!("{name} among the matches"));
            };
            match by_name.get(id) {
                None => return Err(format!("{name} should not match: {body}")),
                Some(one) if one.body != **body => return Err(format!("{name} is not what $everything gives")),
                Some(one) => here.push(Arc::clone(one)),
            }
            found.push(id.to_owned());
        }
        let wanted = usize::from(search.wants_provenance(&world.declared) && !page.matches.is_empty());
        if page.transmitters.len() != wanted || page.transmitters.iter().any(|one| !names_all(one, &page.matches)) {
            return Err(format!("transmitters {:?}, wanted {wanted}", page.transmitters));
        }
        let included = search.included(&here, caller, &world.base, &world.declared);
        if included != page.included && !(cut && page.included.is_subset(&included)) {
            let (more, less): (Vec<_>, Vec<_>) = (
                page.included.difference(&included).collect(),
                included.difference(&page.included).collect(),
            );
            return Err(format!("included too much {more:?}, too little {less:?}"));
        }
        if search.count.is_some_and(|count| page.matches.len() > count) {
            return Err(format!("{} matches on a page", page.matches.len()));
        }
        pages += 1;
        match page.next {
            Some(_) if pages > PAGES => return Err("pages without end".to_owned()),
            Some(link) => reply = caller.client().follow(&caller.token().await, &link).await,
            None => break,
        }
    }
    let distinct: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    if distinct.len() != found.len() {
        return Err("a match twice".to_owned());
    }
    let missed: Vec<&&str> = by_name.keys().filter(|id| !distinct.contains(**id)).collect();
    if let Some(id) = missed.first() {
        return Err(format!(
            "{} matches missed, such as {}",
            missed.len(),
            by_name[**id].body
        ));
    }
    let order: Vec<&Arc<Seen>> = found.iter().map(|id| by_name[id.as_str()]).collect();
    super::order::check(&search.sort, &order, &world.base)
}

async fn send(world: &World, caller: &Caller, search: &Search) -> Reply {
    let (token, pairs) = (caller.token().await, search.wire(&world.base));
    let client = caller.client();
    if search.post {
        let fields: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let path = format!("/fhir/{}/_search", search.rtype);
        return client.form(&path, &fields, Some(&token)).await;
    }
    let url = format!("{}/{}", world.base, search.rtype);
    let url = reqwest::Url::parse_with_params(&url, &pairs).expect("a URL");
    Reply::of(client.http.get(url).bearer_auth(token).send().await.expect("an answer")).await
}

/// One page of an answer.
struct Page<'b> {
    total: Option<usize>,
    next: Option<String>,
    entries: usize,
    outcomes: usize,
    matches: Vec<(String, &'b Value)>,
    included: BTreeSet<String>,
    /// The server's own Provenances of the page, which nothing stores.
    transmitters: Vec<&'b Value>,
}

/// Whether a Provenance is about all of these.
fn names_all(provenance: &Value, matches: &[(String, &Value)]) -> bool {
    let targets = provenance["target"].as_array().into_iter().flatten();
    let named: BTreeSet<&str> = targets.filter_map(|target| target["reference"].as_str()).collect();
    matches.iter().all(|(name, _)| named.contains(name.as_str()))
}

impl<'b> Page<'b> {
    fn of(bundle: &'b Value, base: &str) -> Result<Page<'b>, String> {
        let link = |relation: &str| {
            let mut links = bundle["link"].as_array().into_iter().flatten();
            links
                .find(|link| link["relation"] == relation)
                .and_then(|link| link["url"].as_str().map(str::to_owned))
        };
        if bundle["resourceType"] != "Bundle" || bundle["type"] != "searchset" || link("self").is_none() {
            return Err(format!("not a search's answer: {bundle}"));
        }
        if bundle["entry"].as_array().is_some_and(Vec::is_empty) {
            return Err("an empty array".to_owned());
        }
        let mut page = Page {
            total: bundle["total"].as_u64().map(|total| total as usize),
            next: link("next"),
            entries: bundle["entry"].as_array().map_or(0, Vec::len),
            outcomes: 0,
            matches: Vec::new(),
            included: BTreeSet::new(),
            transmitters: Vec::new(),
        };
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let body = &entry["resource"];
            let mode = entry["search"]["mode"].as_str().unwrap_or("");
            if mode == "outcome" {
                page.outcomes += 1;
                continue;
            }
            let text = |name: &str| body[name].as_str().unwrap_or("").to_owned();
            let name = format!("{}/{}", text("resourceType"), text("id"));
            let full = entry["fullUrl"].as_str().unwrap_or("");
            let is_transmitter = body["agent"][0]["type"]["coding"][0]["code"] == "transmitter";
            if is_transmitter && full == format!("urn:uuid:{}", text("id")) && mode == "include" {
                page.transmitters.push(body);
                continue;
            }
            if full != format!("{base}/{name}") || pointer(full, base) != pointer(&name, base) {
                return Err(format!("fullUrl {full} of {name}"));
            }
            let fresh = match mode {
                "match" => {
                    page.matches.push((name.clone(), body));
                    true
                }
                "include" => page.included.insert(name.clone()),
                _ => return Err(format!("search.mode {mode:?}")),
            };
            if !fresh {
                return Err(format!("{name} included twice"));
            }
        }
        Ok(page)
    }
}

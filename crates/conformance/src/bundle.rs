//! The rules for every page of a search (FHIR R4 http, search; bundle).

use super::stop::{Checked, demand, fail};
use serde_json::Value;
use std::collections::HashSet;

/// Used instead of a type when matches may have any type.
pub(super) const ANY: &str = "*";

/// Checks one page of a search for `rtype`.
pub(super) fn check(bundle: &Value, rtype: &str) -> Checked {
    let kind = bundle["type"].as_str().unwrap_or("missing");
    demand(kind == "searchset", || format!("Bundle.type is {kind}, not searchset"))?;
    let mut relations = HashSet::new();
    for link in bundle["link"].as_array().into_iter().flatten() {
        let (relation, url) = (
            link["relation"].as_str().unwrap_or(""),
            link["url"].as_str().unwrap_or(""),
        );
        demand(relations.insert(relation), || format!("two links {relation}"))?;
        demand(url.starts_with("http"), || {
            format!("the link {relation} is not an absolute URL")
        })?;
    }
    demand(relations.contains("self"), || "the Bundle has no self link".to_owned())?;
    let Some(entries) = bundle.get("entry") else {
        return Ok(());
    };
    let entries = entries.as_array().map_or(&[][..], Vec::as_slice);
    demand(!entries.is_empty(), || "Bundle.entry is there and empty".to_owned())?;
    let mut urls = HashSet::new();
    for entry in entries {
        let found = entry["resource"]["resourceType"].as_str().unwrap_or("missing");
        let id = entry["resource"]["id"].as_str().unwrap_or("missing");
        match entry["search"]["mode"].as_str() {
            Some("outcome") => {
                demand(found == "OperationOutcome", || {
                    format!("an entry of mode outcome is a {found}")
                })?;
                continue;
            }
            Some("match") => demand(rtype == ANY || found == rtype, || {
                format!("a match is a {found}, not a {rtype}")
            })?,
            Some("include") => {}
            mode => return fail(format!("search.mode of {found}/{id} is {}", mode.unwrap_or("missing"))),
        }
        let url = entry["fullUrl"].as_str().unwrap_or("");
        let fits = url.starts_with("urn:") || url.starts_with("http") && url.ends_with(&format!("/{found}/{id}"));
        demand(fits, || format!("fullUrl of {found}/{id} does not name it"))?;
        demand(urls.insert(url), || format!("{found}/{id} is there twice"))?;
    }
    Ok(())
}

/// The URL of the link with this relation.
pub(super) fn link<'a>(bundle: &'a Value, relation: &str) -> Option<&'a str> {
    bundle["link"]
        .as_array()?
        .iter()
        .find(|link| link["relation"] == relation)?["url"]
        .as_str()
}

#[cfg(test)]
mod tests {
    use super::super::stop::Stop;
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"type": "searchset", "link": [{"relation": "self", "url": "https://p/Goal"}], "entry": [
            {"fullUrl": "https://p/Goal/1", "resource": {"resourceType": "Goal", "id": "1"}, "search": {"mode": "match"}},
            {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
        ]})
    }

    #[test]
    fn a_page_is_judged() {
        assert_eq!(check(&good(), "Goal"), Ok(()));
        type Spoil = fn(&mut Value);
        let spoils: [(&str, Spoil); 7] = [
            ("not searchset", |b| b["type"] = json!("collection")),
            ("no self link", |b| b["link"] = json!([])),
            ("empty", |b| b["entry"] = json!([])),
            ("not a Goal", |b| {
                b["entry"][0]["resource"]["resourceType"] = json!("Patient")
            }),
            ("search.mode", |b| b["entry"][0]["search"] = json!({})),
            ("fullUrl", |b| b["entry"][0]["fullUrl"] = json!("https://p/Goal/2")),
            ("twice", |b| {
                let entry = b["entry"][0].clone();
                b["entry"].as_array_mut().expect("entries").push(entry);
            }),
        ];
        for (said, spoil) in spoils {
            let mut bundle = good();
            spoil(&mut bundle);
            match check(&bundle, "Goal") {
                Err(Stop::Fail(text)) => assert!(text.contains(said), "{text}"),
                other => panic!("{said}: {other:?}"),
            }
        }
    }
}

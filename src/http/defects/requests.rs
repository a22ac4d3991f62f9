//! Planted defects that make the server ignore or misread a part of the request.

use super::wire::{DefectRequest, Pairs, Rewrite};

/// The name of each defect, and the function that rewrites the query.
pub(super) const ROWS: &[(&str, Rewrite)] = &[
    ("parameters-ignored", |asked, pairs| {
        let selects = |name: &str| !name.starts_with('_') && !matches!(name, "patient" | "start");
        keep(asked, pairs, |name| !selects(name))
    }),
    ("patient-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "patient")
    }),
    ("id-ignored", |asked, pairs| keep(asked, pairs, |name| name != "_id")),
    ("last-updated-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "_lastUpdated")
    }),
    ("count-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "_count")
    }),
    ("summary-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "_summary")
    }),
    ("sort-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "_sort")
    }),
    ("includes-ignored", |asked, pairs| {
        keep(asked, pairs, |name| name != "_include" && name != "_revinclude")
    }),
    ("everything-since-ignored", |asked, pairs| {
        without(asked.everything(), pairs, "_since")
    }),
    ("everything-type-ignored", |asked, pairs| {
        without(asked.everything(), pairs, "_type")
    }),
    ("everything-start-ignored", |asked, pairs| {
        without(asked.everything(), pairs, "start")
    }),
    ("comparator-ignored", |asked, pairs| {
        let bare = |value: String| match value.get(..2) {
            Some("gt" | "lt" | "ge" | "le") => "ge1900".to_owned(),
            _ => value,
        };
        on(asked.search().is_some(), pairs, bare)
    }),
    ("token-system-ignored", |asked, pairs| {
        let code = |value: String| value.split_once('|').map_or(value.clone(), |(_, code)| code.to_owned());
        on(asked.search().is_some(), pairs, code)
    }),
    ("or-takes-the-last", |asked, pairs| {
        let last = |value: String| value.rsplit(',').next().unwrap_or("").to_owned();
        on(asked.search().is_some(), pairs, last)
    }),
    ("modifier-ignored", |asked, pairs| {
        let search = asked.search().is_some();
        let cut = |name: String| {
            if search {
                name.split(':').next().unwrap_or("").to_owned()
            } else {
                name
            }
        };
        pairs
            .into_iter()
            .filter(|(_, value)| value != "x")
            .map(|(name, value)| (cut(name), value))
            .collect()
    }),
    ("unknown-parameter-dropped", |_, pairs| {
        pairs
            .into_iter()
            .filter(|(name, _)| name != "no-such-parameter")
            .collect()
    }),
    ("bad-date-ignored", |_, pairs| {
        pairs.into_iter().filter(|(_, value)| value != "no-date").collect()
    }),
    ("format-ignored", |_, pairs| {
        pairs.into_iter().filter(|(name, _)| name != "_format").collect()
    }),
];

fn keep(asked: &DefectRequest, pairs: Pairs, wanted: impl Fn(&str) -> bool) -> Pairs {
    if asked.search().is_none() {
        return pairs;
    }
    pairs.into_iter().filter(|(name, _)| wanted(name)).collect()
}

fn without(here: bool, pairs: Pairs, name: &str) -> Pairs {
    pairs.into_iter().filter(|(other, _)| !here || other != name).collect()
}

fn on(here: bool, pairs: Pairs, change: impl Fn(String) -> String) -> Pairs {
    if !here {
        return pairs;
    }
    pairs.into_iter().map(|(name, value)| (name, change(value))).collect()
}

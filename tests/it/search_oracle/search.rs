//! A search as a value: how it is sent, and what it must give.

use super::judge::Condition;
use super::readings::{Kind, Reading, reading};
use super::values::{Pointer, pointers};
use super::world::{Caller, Declared, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// `_include` or `_revinclude`.
#[derive(Clone, Debug)]
pub struct Include {
    /// The type whose references are followed.
    pub source: String,
    /// All reference parameters when `None`.
    pub parameter: Option<String>,
    pub target: Option<String>,
    pub reverse: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Search {
    pub rtype: String,
    pub conditions: Vec<Condition>,
    pub includes: Vec<Include>,
    /// Parameter, and whether largest first.
    pub sort: Vec<(Reading, bool)>,
    pub count: Option<usize>,
    pub total: Option<&'static str>,
    /// Sent as it is; a server leaves it aside and says so.
    pub unknown: Option<(String, String)>,
    /// `_summary=count`.
    pub count_only: bool,
    /// `POST _search` instead of `GET`.
    pub post: bool,
}

impl Include {
    fn wire(&self) -> (String, String) {
        let name = if self.reverse { "_revinclude" } else { "_include" };
        let mut value = format!("{}:{}", self.source, self.parameter.as_deref().unwrap_or("*"));
        if let Some(target) = &self.target {
            value.push_str(&format!(":{target}"));
        }
        (name.to_owned(), value)
    }

    fn readings(&self, declared: &BTreeMap<String, Declared>) -> Vec<Reading> {
        match &self.parameter {
            Some(name) => reading(&self.source, name).into_iter().collect(),
            None => {
                let all = declared.get(&self.source).into_iter().flat_map(|one| &one.parameters);
                all.filter(|(_, kind)| kind == Kind::Reference.code())
                    .filter_map(|(name, _)| reading(&self.source, name))
                    .collect()
            }
        }
    }

    /// What this brings beside `matches` for `caller`.
    fn brings(
        &self,
        rtype: &str,
        matches: &[Arc<Seen>],
        caller: &Caller,
        base: &str,
        declared: &BTreeMap<String, Declared>,
    ) -> BTreeSet<String> {
        let readings = self.readings(declared);
        let wanted = |kind: &str| self.target.as_deref().is_none_or(|target| target == kind);
        let mut brought = BTreeSet::new();
        if self.reverse {
            for source in caller.of_type(&self.source) {
                let points_at = |one: &Arc<Seen>| {
                    let all = readings
                        .iter()
                        .flat_map(|reading| pointers(&source.body, reading, base));
                    all.into_iter()
                        .any(|pointer| pointer == Pointer::Ours(rtype.to_owned(), one.id.clone()))
                };
                let beside = |one: &Arc<Seen>| source.owner.is_none() || source.owner == one.owner;
                if wanted(rtype) && matches.iter().any(|one| beside(one) && points_at(one)) {
                    brought.insert(format!("{}/{}", self.source, source.id));
                }
            }
        } else if self.source == rtype {
            for one in matches {
                for pointer in readings.iter().flat_map(|reading| pointers(&one.body, reading, base)) {
                    if let Pointer::Ours(kind, id) = pointer
                        && wanted(&kind)
                        && caller.find(&kind, &id, one.owner.as_deref()).is_some()
                    {
                        brought.insert(format!("{kind}/{id}"));
                    }
                }
            }
        }
        brought
    }
}

impl Search {
    /// The parameters as they are sent, before percent-encoding.
    pub fn wire(&self, base: &str) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = self.conditions.iter().map(|one| one.wire(base)).collect();
        all.extend(self.includes.iter().map(Include::wire));
        if !self.sort.is_empty() {
            let keys: Vec<String> = self
                .sort
                .iter()
                .map(|(reading, down)| format!("{}{}", if *down { "-" } else { "" }, reading.name))
                .collect();
            all.push(("_sort".to_owned(), keys.join(",")));
        }
        all.extend(self.count.map(|count| ("_count".to_owned(), count.to_string())));
        all.extend(self.total.map(|total| ("_total".to_owned(), total.to_owned())));
        all.extend(self.unknown.clone());
        if self.count_only {
            all.push(("_summary".to_owned(), "count".to_owned()));
        }
        all
    }

    /// What matches, in no order.
    pub fn matches(&self, caller: &Caller, base: &str, now_ms: i64) -> Vec<Arc<Seen>> {
        let all = caller.of_type(&self.rtype).iter();
        all.filter(|one| {
            self.conditions
                .iter()
                .all(|condition| condition.met(&one.body, base, now_ms))
        })
        .cloned()
        .collect()
    }

    /// Whether it asks for the Provenance of its matches, in a way that its type declares.
    pub fn wants_provenance(&self, declared: &BTreeMap<String, Declared>) -> bool {
        let is_target = |one: &Include| {
            let is_named = one.parameter.as_deref().is_none_or(|name| name == "target");
            let is_meant = one.target.as_deref().is_none_or(|target| target == self.rtype);
            one.reverse && one.source == "Provenance" && is_named && is_meant
        };
        let is_declared = declared
            .get(&self.rtype)
            .is_some_and(|one| one.revincludes.iter().any(|name| name == "Provenance:target"));
        self.rtype != "Provenance" && is_declared && self.includes.iter().any(is_target)
    }

    /// What comes along with these matches of one page, as `Type/id`; the matches of the page themselves do not.
    pub fn included(
        &self,
        page: &[Arc<Seen>],
        caller: &Caller,
        base: &str,
        declared: &BTreeMap<String, Declared>,
    ) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for include in &self.includes {
            all.extend(include.brings(&self.rtype, page, caller, base, declared));
        }
        for one in page {
            all.remove(&format!("{}/{}", self.rtype, one.id));
        }
        all
    }
}

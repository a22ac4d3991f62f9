//! The server's data that this client can access, fetched when first needed: the matched member, the patients, resources by type, the whole
//! record.

use super::bundle;
use super::found::{self, SearchResult, name};
use super::guides;
use super::session::Session;
use super::shape::references;
use super::stop::{Checked, Stop, fail, skip};
use super::wire::Call;
use serde_json::Value;
use std::collections::BTreeSet;

/// Most shared resources of one type that are read.
const SHARED_MAX: usize = 25;

impl Session {
    /// The answer to the body that must match.
    pub(super) async fn matched(&mut self) -> Checked<Value> {
        if self.matched.is_none() {
            let Some(body) = self.settings.matching.clone() else {
                return skip("the client file names no body that matches");
            };
            let answer = self.post_match(&body).await;
            let kept = answer.and_then(|answer| answer.status(200)?.resource("Parameters"));
            self.matched = Some(kept);
        }
        self.matched.clone().unwrap_or_else(|| skip("no match"))
    }

    /// Ids of the patients that may be read: those in the client file, or the matched one.
    pub(super) async fn patients(&mut self) -> Checked<Vec<String>> {
        if self.patients.is_none() {
            let found = self.find_patients().await;
            self.patients = Some(found);
        }
        match self.patients.clone() {
            Some(Ok(patients)) => Ok(patients),
            Some(Err(Stop::Fail(why) | Stop::Error(why))) => skip(format!("no patient to read: {why}")),
            other => other.unwrap_or_else(|| skip("no patient to read")),
        }
    }

    async fn find_patients(&mut self) -> Checked<Vec<String>> {
        let matched = self.matched().await;
        if !self.settings.patients.is_empty() {
            return Ok(self.settings.patients.clone());
        }
        let answer = matched?;
        let reference = parameter(&answer, "MemberId")["valueReference"]["reference"]
            .as_str()
            .unwrap_or("");
        if let Some(id) = reference.rsplit('/').next().filter(|id| !id.is_empty()) {
            return Ok(vec![id.to_owned()]);
        }
        let identifier = &parameter(&answer, "MemberIdentifier")["valueIdentifier"];
        let part = |name: &str| identifier[name].as_str().unwrap_or("");
        let value = format!("{}|{}", part("system"), part("value"));
        let found = found::search(self, "Patient", &[("identifier", &value)]).await?;
        Ok(found
            .matches
            .iter()
            .filter_map(|patient| patient["id"].as_str())
            .map(str::to_owned)
            .collect())
    }

    /// The first patient that may be read.
    pub(super) async fn patient(&mut self) -> Checked<String> {
        match self.patients().await?.into_iter().next() {
            Some(patient) => Ok(patient),
            None => skip("no patient to read"),
        }
    }

    /// The resources of a type that the required searches return for the patients, or why these failed.
    pub(super) async fn pool(&mut self, rtype: &str) -> Checked<Vec<Value>> {
        if !self.pools.contains_key(rtype) {
            let found = if guides::is_shared(rtype) {
                Box::pin(self.shared(rtype)).await
            } else {
                self.members(rtype).await
            };
            self.pools.insert(rtype.to_owned(), found);
        }
        self.pools.get(rtype).cloned().unwrap_or_else(|| Ok(Vec::new()))
    }

    /// Like [`Session::pool`], for a check that needs at least one resource; otherwise the check is skipped.
    pub(super) async fn some(&mut self, rtype: &str) -> Checked<Vec<Value>> {
        match self.pool(rtype).await {
            Ok(found) if found.is_empty() => skip(format!("the patients have no {rtype}")),
            Err(Stop::Fail(why) | Stop::Error(why)) => skip(format!("no {rtype} to try it with: {why}")),
            other => other,
        }
    }

    async fn members(&mut self, rtype: &str) -> Checked<Vec<Value>> {
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for patient in self.patients().await? {
            let key = if rtype == "Patient" { "_id" } else { "patient" };
            for extra in guides::first_searches(rtype) {
                let mut pairs = vec![(key, patient.as_str())];
                pairs.extend(extra);
                let SearchResult { matches, .. } = found::search(self, rtype, &pairs).await?;
                all.extend(matches.into_iter().filter(|one| seen.insert(name(one))));
            }
        }
        Ok(all)
    }

    /// Finds shared resources by reading what the patients' resources refer to.
    async fn shared(&mut self, rtype: &str) -> Checked<Vec<Value>> {
        let mut wanted = BTreeSet::new();
        for other in guides::members() {
            for resource in self.pool(other).await.unwrap_or_default() {
                wanted.extend(
                    references(&resource)
                        .into_iter()
                        .filter(|one| one.starts_with(&format!("{rtype}/"))),
                );
            }
        }
        if rtype == "PractitionerRole" && wanted.is_empty() {
            return self.roles().await;
        }
        if rtype == "Endpoint" {
            let roles = Box::pin(self.pool("PractitionerRole")).await.unwrap_or_default();
            let named = roles.iter().flat_map(references);
            wanted.extend(named.filter(|one| one.starts_with("Endpoint/")));
        }
        let mut all = Vec::new();
        for reference in wanted.into_iter().take(SHARED_MAX) {
            all.push(self.get(&reference).await?.status(200)?.resource(rtype)?);
        }
        Ok(all)
    }

    async fn roles(&mut self) -> Checked<Vec<Value>> {
        let mut all = Vec::new();
        for practitioner in Box::pin(self.pool("Practitioner")).await?.iter().take(5) {
            let who = name(practitioner);
            all.extend(
                found::search(self, "PractitionerRole", &[("practitioner", &who)])
                    .await?
                    .matches,
            );
        }
        Ok(all)
    }

    /// The record of the first patient by `$everything`, with all pages.
    pub(super) async fn everything(&mut self) -> Checked<Vec<Value>> {
        if self.everything.is_none() {
            let got = self.fetch_everything().await;
            self.everything = Some(got);
        }
        match self.everything.clone() {
            Some(Err(Stop::Fail(why) | Stop::Error(why))) => skip(format!("no record: {why}")),
            other => other.unwrap_or_else(|| skip("no record")),
        }
    }

    async fn fetch_everything(&mut self) -> Checked<Vec<Value>> {
        let patient = self.patient().await?;
        let mut url = self.url(&format!("Patient/{patient}/$everything"));
        let mut all = Vec::new();
        for _ in 0..200 {
            let bundle = self.send(Call::get(url)).await?.status(200)?.resource("Bundle")?;
            let entries = bundle["entry"].as_array().into_iter().flatten();
            all.extend(entries.map(|entry| entry["resource"].clone()));
            match bundle::link(&bundle, "next") {
                Some(next) => url = next.to_owned(),
                None => return Ok(all),
            }
        }
        fail("the pages of $everything do not end")
    }
}

/// The parameter with this name, or null.
pub(super) fn parameter<'a>(parameters: &'a Value, name: &str) -> &'a Value {
    let mut all = parameters["parameter"].as_array().into_iter().flatten();
    all.find(|one| one["name"] == name).unwrap_or(&Value::Null)
}

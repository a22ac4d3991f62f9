//! What the checks share: tokens, discovery, the patients that may be read, and the resources found for them.
//!
//! Everything is fetched once, when it is first needed, and kept; a check that tries a thing itself asks the wire again.

use super::found::{self, Found, name};
use super::guides;
use super::settings::Settings;
use super::shape::references;
use super::wire::{Answer, Call, Wire};
use super::{Checked, Stop, fail, skip};
use crate::clock::Clock;
use crate::error::Failure;
use crate::ids::Ids;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The type of a client assertion (RFC 7523 section 2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Shared resources that are read for one type.
const SHARED_MAX: usize = 25;

/// What is known of the server so far.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) settings: Settings,
    clock: Clock,
    ids: Ids,
    base: String,
    smart: Option<Value>,
    capability: Option<Value>,
    tokens: HashMap<String, (String, i64)>,
    matched: Option<Checked<Value>>,
    patients: Option<Checked<Vec<String>>>,
    pools: BTreeMap<String, Checked<Vec<Value>>>,
    everything: Option<Checked<Vec<Value>>>,
}

impl Session {
    /// # Errors
    /// As [`Wire::new`].
    pub(super) fn new(base_url: &str, settings: Settings, clock: Clock, ids: Ids) -> Result<Session, Failure> {
        Ok(Session {
            wire: Wire::new(&settings)?,
            settings,
            clock,
            ids,
            base: base_url.trim_end_matches('/').to_owned(),
            smart: None,
            capability: None,
            tokens: HashMap::new(),
            matched: None,
            patients: None,
            pools: BTreeMap::new(),
            everything: None,
        })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base
    }

    /// Scheme, host and port of the base.
    pub(super) fn origin(&self) -> &str {
        let after = self.base.find("://").map_or(0, |at| at + 3);
        self.base[after..]
            .find('/')
            .map_or(&self.base, |at| &self.base[..after + at])
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    pub(super) fn now_s(&self) -> i64 {
        self.clock.now_ms() / 1000
    }

    pub(super) fn new_id(&self) -> String {
        self.ids.new_id(self.clock.now_ms())
    }

    /// The SMART configuration.
    pub(super) async fn smart(&mut self) -> Checked<Value> {
        if self.smart.is_none() {
            let url = self.url(".well-known/smart-configuration");
            let answer = self
                .wire
                .send(Call::new("GET", url).header("accept", "application/json"))
                .await?;
            self.smart = Some(answer.status(200)?.json()?);
        }
        Ok(self.smart.clone().unwrap_or_default())
    }

    /// Where tokens are asked for.
    pub(super) async fn token_endpoint(&mut self) -> Checked<String> {
        match self.smart().await?["token_endpoint"].as_str() {
            Some(url) if url.starts_with("https://") => Ok(url.to_owned()),
            _ => fail("smart-configuration names no https token_endpoint"),
        }
    }

    /// The CapabilityStatement.
    pub(super) async fn capability(&mut self) -> Checked<Value> {
        if self.capability.is_none() {
            let answer = self.wire.send(Call::get(self.url("metadata"))).await?;
            self.capability = Some(answer.status(200)?.resource("CapabilityStatement")?);
        }
        Ok(self.capability.clone().unwrap_or_default())
    }

    /// What the CapabilityStatement says of a type; nothing when it does not name it.
    pub(super) async fn declared(&mut self, rtype: &str) -> Checked<Option<Value>> {
        let capability = self.capability().await?;
        let resources = capability["rest"][0]["resource"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(resources.into_iter().find(|resource| resource["type"] == rtype))
    }

    /// The claims of a right assertion for `audience`.
    pub(super) fn claims(&self, audience: &str) -> Value {
        let (client, now) = (&self.settings.client_id, self.now_s());
        json!({"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 240, "jti": self.new_id()})
    }

    /// Signs claims as the client.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> Checked<String> {
        self.settings
            .key
            .sign(header, claims)
            .map_err(|failure| Stop::Error(format!("the client's key does not sign: {failure}")))
    }

    /// A fresh, right assertion.
    pub(super) async fn assertion(&mut self) -> Checked<String> {
        let audience = self.token_endpoint().await?;
        self.sign(&self.settings.key.header(), &self.claims(&audience))
    }

    /// Posts this form to the token endpoint.
    pub(super) async fn ask_token(&mut self, form: &[(&str, &str)]) -> Checked<Answer> {
        let url = self.token_endpoint().await?;
        let call = Call::new("POST", url).header("accept", "application/json").form(form);
        self.wire.send(call).await
    }

    /// Asks for a token with a right assertion.
    pub(super) async fn fresh_token(&mut self, scope: &str, patient: Option<&str>) -> Checked<Answer> {
        let assertion = self.assertion().await?;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.as_str()),
        ];
        form.extend(patient.map(|patient| ("patient", patient)));
        self.ask_token(&form).await
    }

    /// A token for `scope`, kept while it lives.
    pub(super) async fn token(&mut self, scope: &str) -> Checked<String> {
        let now = self.now_s();
        if let Some((token, until)) = self.tokens.get(scope)
            && *until > now
        {
            return Ok(token.clone());
        }
        let answer = self.fresh_token(scope, None).await?.status(200)?.json()?;
        let Some(token) = answer["access_token"].as_str() else {
            return fail("the token endpoint gave no access_token");
        };
        let life = answer["expires_in"].as_i64().unwrap_or(60);
        self.tokens
            .insert(scope.to_owned(), (token.to_owned(), now + (life - 30).max(10)));
        Ok(token.to_owned())
    }

    /// The token for reading and searching.
    pub(super) async fn read_token(&mut self) -> Checked<String> {
        let scope = self.settings.scope.clone();
        self.token(&scope).await
    }

    /// Sends with the token for reading.
    pub(super) async fn send(&mut self, call: Call) -> Checked<Answer> {
        let token = self.read_token().await?;
        self.wire.send(call.bearer(&token)).await
    }

    /// `GET` of what stands below the base, with the token for reading.
    pub(super) async fn get(&mut self, path: &str) -> Checked<Answer> {
        let call = Call::get(self.url(path));
        self.send(call).await
    }

    /// Posts a `$member-match` body.
    pub(super) async fn post_match(&mut self, body: &Value) -> Checked<Answer> {
        let scope = self.settings.match_scope.clone();
        let token = self.token(&scope).await?;
        let call = Call::new("POST", self.url("Patient/$member-match"))
            .bearer(&token)
            .fhir(body);
        self.wire.send(call).await
    }

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

    /// Ids of the patients that may be read: those of the client file, or the one that was matched.
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

    /// The resources of a type that the searches the guides demand give for the patients, or what refused them.
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

    /// The same for a check that needs some to start with.
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
                let Found { matches, .. } = found::search(self, rtype, &pairs).await?;
                all.extend(matches.into_iter().filter(|one| seen.insert(name(one))));
            }
        }
        Ok(all)
    }

    /// Shared resources are found by reading what the members' resources refer to.
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

    /// The record of the first patient by `$everything`, all pages.
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
            match super::bundle::link(&bundle, "next") {
                Some(next) => url = next.to_owned(),
                None => return Ok(all),
            }
        }
        fail("the pages of $everything do not end")
    }
}

/// The parameter of this name.
pub(super) fn parameter<'a>(parameters: &'a Value, name: &str) -> &'a Value {
    let mut all = parameters["parameter"].as_array().into_iter().flatten();
    all.find(|one| one["name"] == name).unwrap_or(&Value::Null)
}

//! State that the checks share: tokens, discovery, the patients that may be read, and their resources.
//!
//! Everything is fetched once, when it is first needed, and cached. A check that tests a fetch itself sends its own request.

use super::ended_run::BulkRun;
use super::settings::ClientSettings;
use super::stop::{Checked, Stop, fail};
use super::surroundings::Surroundings;
use super::unusable::Unusable;
use super::wire::{Call, ServerAnswer, Wire};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The type of a client assertion (RFC 7523 section 2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What is known about the server so far.
pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) settings: ClientSettings,
    pub(super) around: Surroundings,
    base: String,
    smart: Option<Value>,
    capability: Option<Value>,
    tokens: HashMap<String, (String, i64)>,
    pub(super) matched: Option<Checked<Value>>,
    pub(super) patients: Option<Checked<Vec<String>>>,
    pub(super) pools: BTreeMap<String, Checked<Vec<Value>>>,
    pub(super) everything: Option<Checked<Vec<Value>>>,
    pub(super) exported: Option<Checked<BulkRun>>,
    pub(super) grouped: Option<Checked<BulkRun>>,
}

impl Session {
    /// # Errors
    /// As [`Wire::new`].
    pub(super) fn new(base_url: &str, settings: ClientSettings, around: Surroundings) -> Result<Session, Unusable> {
        Ok(Session {
            wire: Wire::new(&settings)?,
            settings,
            around,
            base: base_url.trim_end_matches('/').to_owned(),
            smart: None,
            capability: None,
            tokens: HashMap::new(),
            matched: None,
            patients: None,
            pools: BTreeMap::new(),
            everything: None,
            exported: None,
            grouped: None,
        })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base
    }

    /// Scheme, host and port of the base URL.
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
        (self.around.now_ms)() / 1000
    }

    pub(super) fn new_id(&self) -> String {
        (self.around.new_id)()
    }

    /// The SMART configuration.
    pub(super) async fn smart(&mut self) -> Checked<Value> {
        if let Some(known) = &self.smart {
            return Ok(known.clone());
        }
        let url = self.url(".well-known/smart-configuration");
        let call = Call::new("GET", url).header("accept", "application/json");
        let answer = self.wire.send(call).await?;
        Ok(self.smart.insert(answer.status(200)?.json()?).clone())
    }

    /// The URL of the token endpoint.
    pub(super) async fn token_endpoint(&mut self) -> Checked<String> {
        match self.smart().await?["token_endpoint"].as_str() {
            Some(url) if url.starts_with("https://") => Ok(url.to_owned()),
            _ => fail("smart-configuration names no https token_endpoint"),
        }
    }

    /// The CapabilityStatement.
    pub(super) async fn capability(&mut self) -> Checked<Value> {
        if let Some(known) = &self.capability {
            return Ok(known.clone());
        }
        let answer = self.wire.send(Call::get(self.url("metadata"))).await?;
        let statement = answer.status(200)?.resource("CapabilityStatement")?;
        Ok(self.capability.insert(statement).clone())
    }

    /// The CapabilityStatement's entry for a type; `None` when it has none.
    pub(super) async fn declared(&mut self, rtype: &str) -> Checked<Option<Value>> {
        let capability = self.capability().await?;
        let resources = capability["rest"][0]["resource"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(resources.into_iter().find(|resource| resource["type"] == rtype))
    }

    /// The claims of a correct assertion for `audience`.
    pub(super) fn claims(&self, audience: &str) -> Value {
        let (client, now) = (&self.settings.client_id, self.now_s());
        json!({"iss": client, "sub": client, "aud": audience, "iat": now, "exp": now + 240, "jti": self.new_id()})
    }

    /// Signs claims with the client's key.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> Checked<String> {
        self.settings
            .key
            .sign(header, claims)
            .map_err(|failure| Stop::Error(format!("the client's key does not sign: {failure}")))
    }

    /// A new, correct assertion.
    pub(super) async fn assertion(&mut self) -> Checked<String> {
        let audience = self.token_endpoint().await?;
        self.sign(&self.settings.key.header(), &self.claims(&audience))
    }

    /// Posts this form to the token endpoint.
    pub(super) async fn ask_token(&mut self, form: &[(&str, &str)]) -> Checked<ServerAnswer> {
        let url = self.token_endpoint().await?;
        let call = Call::new("POST", url).header("accept", "application/json").form(form);
        self.wire.send(call).await
    }

    /// Asks for a token with a correct assertion.
    pub(super) async fn fresh_token(&mut self, scope: &str, patient: Option<&str>) -> Checked<ServerAnswer> {
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

    /// A token for `scope`, cached while it is valid.
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

    /// Sends a request with the token for reading.
    pub(super) async fn send(&mut self, call: Call) -> Checked<ServerAnswer> {
        let token = self.read_token().await?;
        self.wire.send(call.bearer(&token)).await
    }

    /// Sends a `GET` for a path below the base URL, with the token for reading.
    pub(super) async fn get(&mut self, path: &str) -> Checked<ServerAnswer> {
        let call = Call::get(self.url(path));
        self.send(call).await
    }

    /// Posts a `$member-match` body.
    pub(super) async fn post_match(&mut self, body: &Value) -> Checked<ServerAnswer> {
        let scope = self.settings.match_scope.clone();
        let token = self.token(&scope).await?;
        let call = Call::new("POST", self.url("Patient/$member-match"))
            .bearer(&token)
            .fhir(body);
        self.wire.send(call).await
    }
}

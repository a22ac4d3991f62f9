//! A rule: which requests it is for, and what happens to them.

use super::act::SandboxAct;
use super::numbers::RequestNumbers;
use super::route::SandboxRoute;
use crate::error::SandboxError;
use serde::Deserialize;

/// A rule. All its conditions must hold; what is left out holds for every request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxRule {
    /// What the request is for.
    pub route: SandboxRoute,
    /// Which of the requests that the other conditions fit, in the order in which they come.
    pub requests: Option<RequestNumbers>,
    /// The member whom it is about: a member number or a Patient id.
    pub member: Option<String>,
    /// The resource type of a search or a read.
    pub resource: Option<String>,
    /// The page of a search or of `$everything`; the first is 1.
    pub page: Option<u64>,
    /// The client id.
    pub client: Option<String>,
    /// From this time after the start, in milliseconds.
    pub after_ms: Option<u64>,
    /// Until this time after the start, in milliseconds.
    pub until_ms: Option<u64>,
    /// With this probability, 0 to 1, seeded by the script.
    pub chance: Option<f64>,
    /// What happens.
    pub acts: Vec<SandboxAct>,
}

impl SandboxRule {
    /// A rule for every request of a route.
    pub fn of(route: SandboxRoute, acts: Vec<SandboxAct>) -> SandboxRule {
        SandboxRule {
            route,
            requests: None,
            member: None,
            resource: None,
            page: None,
            client: None,
            after_ms: None,
            until_ms: None,
            chance: None,
            acts,
        }
    }

    /// The same rule for these requests only, such as `"1-2"`.
    ///
    /// # Errors
    /// [`SandboxError::Script`] for what is no set of request numbers.
    pub fn on(mut self, requests: &str) -> Result<SandboxRule, SandboxError> {
        let numbers = RequestNumbers::parse(requests)
            .ok_or_else(|| SandboxError::script("requests", "not numbers such as 3, 1-2, 4+ or every 5"))?;
        self.requests = Some(numbers);
        Ok(self)
    }

    /// Parses and checks one rule in TOML.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn from_toml(text: &str) -> Result<SandboxRule, SandboxError> {
        let rule: SandboxRule = toml::from_str(text).map_err(|error| SandboxError::script("rule", error))?;
        rule.check("rule")?;
        Ok(rule)
    }
}

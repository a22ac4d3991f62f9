//! What a script may not say although its keys are known.

use super::{SandboxRoute, SandboxRule, SandboxScript};
use crate::error::SandboxError;
use crate::listen::loopback;
use chrono::{DateTime, NaiveDate};
use std::collections::HashSet;

/// Most members, since their numbers are kept in memory.
const MEMBERS_MAX: usize = 1_000_000;
/// Fewest resources of a record: the Patient, the Coverage, their organizations and the Provenance.
pub(crate) const RESOURCES_MIN: u64 = 8;

/// Most seconds by which a clock is wrong: a hundred years.
const SKEW_MAX_S: u64 = 100 * 366 * 86_400;

fn wrong(at: &str, why: &str) -> SandboxError {
    SandboxError::script(at, why)
}

impl SandboxScript {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// [`SandboxError::Script`]; [`SandboxError::NotLoopback`] for an address beyond this machine.
    pub fn check(&self) -> Result<(), SandboxError> {
        loopback("listen", &self.listen)?;
        loopback("control", &self.control)?;
        loopback("host", &format!("{}:0", self.host))?;
        if self.offers.is_empty() {
            return Err(wrong("offers", "a payer offers everything, search, or both"));
        }
        if !(1..=86_400).contains(&self.token_seconds) {
            return Err(wrong("token_seconds", "1 to 86400"));
        }
        if self.page_size == 0 || self.everything_page_size == Some(0) {
            return Err(wrong("page_size", "at least 1"));
        }
        if let Some(clock) = &self.clock
            && DateTime::parse_from_rfc3339(clock).is_err()
        {
            return Err(wrong("clock", "not a time such as 2027-01-01T00:00:00Z"));
        }
        if let Some(day) = &self.as_of {
            day_of("as_of", day)?;
        }
        if self.clock_skew_s.unsigned_abs() > SKEW_MAX_S {
            return Err(wrong("clock_skew_s", "at most a hundred years"));
        }
        self.check_people()?;
        for (at, rule) in self.rule.iter().enumerate() {
            rule.check(&format!("rule[{at}]"))?;
        }
        Ok(())
    }

    fn check_people(&self) -> Result<(), SandboxError> {
        let mut ids = HashSet::new();
        for (at, client) in self.client.iter().enumerate() {
            let at = format!("client[{at}]");
            if client.id.is_empty() || !ids.insert(&client.id) {
                return Err(wrong(&at, "the id is missing, or another client has it"));
            }
            if client.jwks.is_some() == client.jwks_file.is_some() {
                return Err(wrong(&at, "give either jwks or jwks_file"));
            }
        }
        if self.members.count + self.member.len() > MEMBERS_MAX {
            return Err(wrong("members.count", "at most a million members"));
        }
        if self.members.count > 0 && self.members.resources < RESOURCES_MIN {
            return Err(wrong("members.resources", "at least 8"));
        }
        for (at, member) in self.member.iter().enumerate() {
            let at = format!("member[{at}]");
            if let Some(day) = &member.birth_date {
                day_of(&at, day)?;
            }
            if member.resources.is_some_and(|count| count < RESOURCES_MIN) {
                return Err(wrong(&at, "at least 8 resources"));
            }
            if member.given.as_ref().is_some_and(Vec::is_empty) {
                return Err(wrong(&at, "at least one given name"));
            }
            let is_id = |id: &String| {
                (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            };
            if !member.patient_id.iter().all(is_id) {
                return Err(wrong(&at, "the Patient id is not a FHIR id"));
            }
        }
        Ok(())
    }
}

fn day_of(at: &str, text: &str) -> Result<NaiveDate, SandboxError> {
    text.parse().map_err(|_| wrong(at, "not a day such as 2026-11-27"))
}

impl SandboxRule {
    /// Checks what the types do not say; `at` names the rule in the error.
    ///
    /// # Errors
    /// [`SandboxError::Script`].
    pub fn check(&self, at: &str) -> Result<(), SandboxError> {
        if self.acts.is_empty() {
            return Err(wrong(at, "a rule has at least one act"));
        }
        if let Some(act) = self.acts.iter().find(|act| !act.fits(self.route)) {
            return Err(wrong(
                at,
                &format!("{act:?} cannot happen on the route {:?}", self.route),
            ));
        }
        if self.chance.is_some_and(|chance| !(0.0..=1.0).contains(&chance)) {
            return Err(wrong(at, "a chance is 0 to 1"));
        }
        let about_requests =
            self.member.is_some() || self.resource.is_some() || self.page.is_some() || self.client.is_some();
        if self.route == SandboxRoute::Connection && about_requests {
            return Err(wrong(at, "a connection has no member, resource, page or client"));
        }
        for act in &self.acts {
            check_act(at, act)?;
        }
        Ok(())
    }
}

fn check_act(at: &str, act: &super::SandboxAct) -> Result<(), SandboxError> {
    use super::SandboxAct as A;
    match act {
        A::Answer { status, .. } if !(200..=599).contains(status) => Err(wrong(at, "a status is 200 to 599")),
        A::Redirect { status, .. } if !(300..=399).contains(status) => Err(wrong(at, "a redirect is 300 to 399")),
        A::Answer {
            retry_after: Some(text),
            ..
        }
        | A::Answer {
            media_type: Some(text), ..
        } if text.contains(['\r', '\n']) => Err(wrong(at, "a header has one line")),
        A::ClockSkew { seconds } if seconds.unsigned_abs() > SKEW_MAX_S => Err(wrong(at, "at most a hundred years")),
        A::Drip { bytes: 0, .. } => Err(wrong(at, "a piece has at least one byte")),
        A::WrongMember { every: 0 }
        | A::Duplicates { every: 0, .. }
        | A::Drift { every: 0, .. }
        | A::Stale { every: 0, .. }
        | A::DanglingReferences { every: 0, .. } => Err(wrong(at, "every is at least 1")),
        A::LeaveOut { types, every: 0, .. } if types.is_empty() => Err(wrong(at, "leave-out names types or every")),
        _ => Ok(()),
    }
}

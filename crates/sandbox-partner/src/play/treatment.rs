//! What the rules that fit a request add up to.

use super::route::AskedRoute;
use super::state::{Play, PlayState};
use crate::random::SandboxRandom;
use crate::script::{
    CertificateFlaw, IntactFraming, SandboxAct, SandboxRoute, SandboxRule, SandboxTarget, ScriptedBulk, ScriptedMatch,
};
use crate::wire::SendManner;
use std::time::Duration;

/// What happens after a request was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterWork {
    /// The connection is reset, without an answer.
    Reset,
    /// The connection is closed, without an answer.
    Close,
}

/// What the rules do to one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Treatment {
    /// The rules that fitted.
    pub(crate) rules: Vec<usize>,
    /// Time before it is processed.
    pub(crate) delay: Duration,
    /// Whether the connection is reset before it is processed.
    pub(crate) reset_before: bool,
    /// What comes after it was processed, instead of an answer.
    pub(crate) after: Option<AfterWork>,
    /// By how much the clock is wrong.
    pub(crate) skew_ms: i64,
    /// An answer instead of the right one.
    pub(crate) instead: Option<SandboxAct>,
    /// How the answer is sent.
    pub(crate) delivery: SendManner,
    pub(crate) match_answer: Option<ScriptedMatch>,
    pub(crate) bulk: Option<ScriptedBulk>,
    /// The act for the token endpoint.
    pub(crate) token: Option<SandboxAct>,
    pub(crate) token_endpoint: Option<SandboxTarget>,
    pub(crate) changed_keys: bool,
    pub(crate) fhir_version: Option<String>,
    pub(crate) acknowledge_after: Duration,
    /// Acts that change resources and Bundles.
    pub(crate) content: Vec<SandboxAct>,
}

/// What the rules do to one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionFate {
    /// It is served, with this certificate.
    Served(Option<CertificateFlaw>),
    /// It is reset.
    Refused,
    /// Nothing is said on it.
    Silent,
}

impl Play {
    /// What the rules do to a request. Counts it for every rule whose other conditions fit.
    pub(crate) fn treat(&self, asked: &AskedRoute) -> Treatment {
        let mut moving = self.moving();
        let rules = self.fitting(&mut moving, |rule| {
            (rule.route == SandboxRoute::Any || rule.route == asked.route)
                && rule
                    .resource
                    .as_ref()
                    .is_none_or(|kind| asked.resource.as_ref() == Some(kind))
                && rule.page.is_none_or(|page| asked.page == Some(page))
                && rule
                    .client
                    .as_ref()
                    .is_none_or(|client| asked.client.as_ref() == Some(client))
                && rule.member.as_ref().is_none_or(|wanted| {
                    let member = asked.member.map(|index| &self.roster.all()[index]);
                    member.is_some_and(|member| member.number == *wanted || member.patient_id == *wanted)
                })
        });
        let mut treatment = Treatment::default();
        for &at in &rules {
            for act in &moving.rules[at].acts {
                if act.fits(asked.route) {
                    treatment.add(act);
                }
            }
        }
        treatment.rules = rules;
        treatment
    }

    /// What the rules do to a connection.
    pub(crate) fn treat_connection(&self) -> ConnectionFate {
        let mut moving = self.moving();
        let rules = self.fitting(&mut moving, |rule| rule.route == SandboxRoute::Connection);
        let acts = rules.iter().flat_map(|&at| &moving.rules[at].acts);
        for act in acts {
            match act {
                SandboxAct::Refuse => return ConnectionFate::Refused,
                SandboxAct::SilentHandshake => return ConnectionFate::Silent,
                SandboxAct::Certificate(flaw) => return ConnectionFate::Served(Some(*flaw)),
                _ => {}
            }
        }
        ConnectionFate::Served(None)
    }

    /// The rules that fit, by their place. `fits` judges what a rule says of the request itself.
    fn fitting(&self, moving: &mut PlayState, fits: impl Fn(&SandboxRule) -> bool) -> Vec<usize> {
        let since_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let PlayState { rules, counts, .. } = moving;
        let mut fitting = Vec::new();
        for (at, (rule, count)) in rules.iter().zip(counts.iter_mut()).enumerate() {
            let in_time =
                rule.after_ms.is_none_or(|from| since_ms >= from) && rule.until_ms.is_none_or(|to| since_ms < to);
            if !in_time || !fits(rule) {
                continue;
            }
            *count += 1;
            let numbered = rule.requests.as_ref().is_none_or(|numbers| numbers.contains(*count));
            let lucky = rule
                .chance
                .is_none_or(|chance| SandboxRandom::of(self.script.seed ^ at as u64, "chance", *count).chance(chance));
            if numbered && lucky {
                fitting.push(at);
            }
        }
        fitting
    }
}

impl Treatment {
    /// Adds an act. Of two that exclude each other the first wins.
    fn add(&mut self, act: &SandboxAct) {
        let millis = |ms: &u64| Duration::from_millis(*ms);
        match act {
            SandboxAct::Delay { ms } => self.delay += millis(ms),
            SandboxAct::ResetBefore => self.reset_before = true,
            SandboxAct::ResetAfter => self.after = self.after.or(Some(AfterWork::Reset)),
            SandboxAct::LostReply => self.after = self.after.or(Some(AfterWork::Close)),
            SandboxAct::ClockSkew { seconds } => {
                self.skew_ms = self.skew_ms.saturating_add(seconds.saturating_mul(1000))
            }
            SandboxAct::Answer { .. }
            | SandboxAct::Redirect { .. }
            | SandboxAct::Garbage(_)
            | SandboxAct::LargeBody { .. }
            | SandboxAct::Endless
            | SandboxAct::GzipBomb { .. } => {
                self.instead.get_or_insert_with(|| act.clone());
            }
            SandboxAct::Drip { bytes, every_ms } => self.deliver(SendManner::Drip(*bytes, millis(every_ms))),
            SandboxAct::Stall { after_bytes } => self.deliver(SendManner::Stall(*after_bytes)),
            SandboxAct::Truncate { after_bytes, framing } => self.deliver(match framing {
                IntactFraming::Broken => SendManner::Truncate(*after_bytes),
                IntactFraming::Intact => SendManner::Cut(*after_bytes),
            }),
            SandboxAct::ResetDuring { after_bytes } => self.deliver(SendManner::Reset(*after_bytes)),
            SandboxAct::BadChunk => self.deliver(SendManner::BadChunk),
            SandboxAct::BadHead => self.deliver(SendManner::BadHead),
            SandboxAct::Match(answer) => self.match_answer = self.match_answer.or(Some(*answer)),
            SandboxAct::Bulk(what) => self.bulk = self.bulk.or(Some(*what)),
            SandboxAct::Token { .. } => {
                self.token.get_or_insert_with(|| act.clone());
            }
            SandboxAct::TokenEndpoint(to) => {
                self.token_endpoint.get_or_insert_with(|| to.clone());
            }
            SandboxAct::ChangedKeys => self.changed_keys = true,
            SandboxAct::FhirVersion(version) => {
                self.fhir_version.get_or_insert_with(|| version.clone());
            }
            SandboxAct::AcknowledgeAfter { ms } => self.acknowledge_after = self.acknowledge_after.max(millis(ms)),
            SandboxAct::Certificate(_) | SandboxAct::Refuse | SandboxAct::SilentHandshake => {}
            SandboxAct::WrongMember { .. }
            | SandboxAct::Duplicates { .. }
            | SandboxAct::Drift { .. }
            | SandboxAct::Stale { .. }
            | SandboxAct::LeaveOut { .. }
            | SandboxAct::DanglingReferences { .. }
            | SandboxAct::PageLoop { .. }
            | SandboxAct::NextElsewhere
            | SandboxAct::EndlessPages
            | SandboxAct::WrongTotal { .. } => self.content.push(act.clone()),
        }
    }

    fn deliver(&mut self, delivery: SendManner) {
        if self.delivery == SendManner::Plain {
            self.delivery = delivery;
        }
    }
}

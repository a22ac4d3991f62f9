//! The responder of `$member-match`: request, identity, consent, then either a grant or a refusal, each in one transaction.
//!
//! Match and consent are always both judged before anything is decided, so that the answers take the same work. A refusal
//! stores its decision and its ledger entries and nothing of the person: no grant, no consent, no id that was not earned.

mod answer;
mod guess;
mod profile;
mod record;
mod request;
mod shape;

use crate::consent::{self, Class, Question, Rule, Terms};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Patient;
use crate::fhir::outcome;
use crate::identity::normalise::family_key;
use crate::identity::{self, Candidate, CoverageIds, Decision, Demographics, Hit, IdKind, Outcome, Policy};
use crate::security::Caller;
use crate::store::guesses::{End, Gate};
use crate::store::idempotency::{Claim, Reply, Standing, fingerprint, parse_key, standing};
use crate::store::matching::{self, Found, Lookup, MEMBER_VALUES, Record, is_raced};
use bytes::Bytes;
use record::{Arrival, Judged, Received};
use request::Request;

/// The route template that idempotency keys are scoped by.
pub const ROUTE: &str = "/Patient/$member-match";
/// Times that a match is decided again after another request changed what it had read.
const ATTEMPTS: u32 = 4;

/// A member-match request as it came in, from a caller that may ask.
#[derive(Clone, Debug)]
pub struct MatchRequest {
    /// The body.
    pub body: Bytes,
    /// Its media type, as the route accepted it.
    pub media_type: String,
    /// The values of all `Idempotency-Key` headers.
    pub idempotency_key: Vec<Vec<u8>>,
}

/// An answer to a member-match request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status: 200, or the stored 422 of a replay.
    pub status: u16,
    /// FHIR JSON.
    pub body: Vec<u8>,
    /// Whether this was answered before, under the same idempotency key.
    pub replayed: bool,
}

/// Answers a member-match request. What it answers is durable, with decision, consent, grant and ledger entries.
///
/// # Errors
/// 400 and 422 for a request that cannot be read or keeps no profile; [`Fault::NoUniqueMember`] alike for none, several and
/// a consent between other parties; [`Fault::ConsentNotHonoured`]; those of the idempotency key and of the store.
pub async fn respond(ctx: &Context, caller: &Caller, request: MatchRequest) -> Result<Answer, Failure> {
    let arrival = Arrival::new(ctx, caller, &request.body);
    let key = match parse_key(&request.idempotency_key) {
        Ok(key) => key,
        Err(failure) => return refuse_unjudged(ctx, &arrival, failure, None).await,
    };
    let mut keyed = key.map(|key| Keyed {
        claim: Claim {
            partner_id: caller.partner.id.clone(),
            method: "POST",
            route: ROUTE,
            key,
            fingerprint: fingerprint("POST", ROUTE, &request.media_type, &request.body),
        },
        replaces: false,
    });
    if let Some(answered) = known_answer(ctx, &arrival, &mut keyed).await? {
        return Ok(answered);
    }
    let read = match request::read(&request.body) {
        Ok(read) => read,
        Err(failure) => return refuse_unjudged(ctx, &arrival, failure, keyed).await,
    };
    let verdict = consent::judge(&Question {
        consent: &read.consent,
        member: &read.member,
        our_npi: &ctx.payer.npi,
        partner_npi: &caller.partner.npi,
        now_ms: arrival.now_ms(),
        zone: ctx.payer.time_zone,
        // Sensitivity is put into columns when a record is stored, and a regular grant filters by them.
        segments: true,
    });
    if let Err(Rule {
        class: Class::Profile,
        element,
        ..
    }) = verdict
    {
        let failure = Failure::new(Fault::MatchInvalid).at(format!("{}.{element}", read.consent_place));
        return refuse_unjudged(ctx, &arrival, failure, keyed).await;
    }
    let asked = match Asked::new(ctx, caller, read) {
        Ok(asked) => asked,
        Err(failure) => return refuse_unjudged(ctx, &arrival, failure, keyed).await,
    };
    for _ in 0..ATTEMPTS {
        match decide(ctx, caller, &arrival, &asked, verdict, keyed.as_ref()).await {
            Err(failure) if is_raced(&failure) => {}
            done => return done,
        }
        if let Some(answered) = known_answer(ctx, &arrival, &mut keyed).await? {
            return Ok(answered);
        }
    }
    Err(Failure::new(Fault::Overloaded).because("a match kept being overtaken"))
}

/// An idempotency key and what to do with its old row.
struct Keyed {
    claim: Claim,
    replaces: bool,
}

impl Keyed {
    fn reply(&self, arrival: &Arrival<'_>, status: u16, body: &[u8], decision_id: Option<&str>) -> Reply {
        Reply {
            claim: self.claim.clone(),
            replaces: self.replaces,
            status,
            body: body.to_vec(),
            decision_id: decision_id.map(str::to_owned),
            now_ms: arrival.now_ms(),
        }
    }
}

/// What was answered under this key before, if anything was.
async fn known_answer(
    ctx: &Context,
    arrival: &Arrival<'_>,
    keyed: &mut Option<Keyed>,
) -> Result<Option<Answer>, Failure> {
    let Some(key) = keyed else { return Ok(None) };
    let (claim, now_ms) = (key.claim.clone(), arrival.now_ms());
    let fault = match ctx.store.read(move |db| standing(db, &claim, now_ms)).await? {
        Standing::New => return Ok(None),
        Standing::Lapsed => {
            key.replaces = true;
            return Ok(None);
        }
        Standing::Answered { status, body } => {
            let entry = arrival.replayed(status, &body);
            write(
                ctx,
                Record {
                    ledger: vec![entry],
                    ..Record::default()
                },
            )
            .await?;
            return Ok(Some(Answer {
                status,
                body,
                replayed: true,
            }));
        }
        Standing::Running => Fault::IdempotencyRunning,
        Standing::Reused => Fault::IdempotencyKeyReused,
        Standing::Withdrawn => Fault::ConsentNotHonoured,
    };
    refuse_unjudged(ctx, arrival, fault.into(), None).await.map(Some)
}

/// Refuses what was not judged: a ledger entry and no decision. A final refusal is remembered under its key.
async fn refuse_unjudged(
    ctx: &Context,
    arrival: &Arrival<'_>,
    failure: Failure,
    keyed: Option<Keyed>,
) -> Result<Answer, Failure> {
    let status = failure.fault().row().http;
    let body = outcome::bytes(&failure, &ctx.payer.base_url);
    let reply = keyed
        .filter(|_| status == 422)
        .map(|key| key.reply(arrival, status, &body, None));
    let ledger = vec![arrival.refused(failure.fault(), &body, None)];
    let record = Record {
        ledger,
        reply,
        ..Record::default()
    };
    match write(ctx, record.clone()).await {
        // The same request was refused beside this one and is remembered; the ledger still hears of this one.
        Err(raced) if is_raced(&raced) => write(ctx, Record { reply: None, ..record }).await?,
        done => done?,
    }
    Err(failure)
}

async fn write(ctx: &Context, record: Record) -> Result<(), Failure> {
    ctx.store.write(move |db| matching::record(db, &record)).await
}

/// A request in the terms of identity, of the store and of the guessing guard.
struct Asked<'a> {
    guess: guess::Asked,
    policy: Policy<'a>,
    demographics: Demographics,
    coverage: CoverageIds,
    consent_raw: serde_json::Map<String, serde_json::Value>,
    wanted: Lookup,
}

impl<'a> Asked<'a> {
    fn new(ctx: &'a Context, caller: &Caller, read: Request) -> Result<Self, Failure> {
        let guess = guess::Asked::of(ctx, &caller.partner.id, &read);
        let policy = Policy {
            member_system: &ctx.payer.member_system,
            umb_system: &ctx.payer.umb_system,
        };
        let demographics = Demographics::from(&read.patient);
        let coverage = CoverageIds::from(&read.coverage);
        let sent = identity::sent_ids(&demographics, &coverage, &policy);
        let mut members: Vec<String> = sent.members.into_iter().map(|id| id.value).collect();
        members.sort_unstable();
        members.dedup();
        if members.len() > MEMBER_VALUES {
            return Err(Failure::new(Fault::MatchInvalid).at(format!("{}.identifier", read.coverage_place)));
        }
        let family = demographics
            .names
            .iter()
            .find_map(|name| name.family.as_deref())
            .unwrap_or_default();
        let wanted = Lookup {
            partner_id: caller.partner.id.clone(),
            members,
            subscriber: sent.subscriber,
            member_system: ctx.payer.member_system.clone(),
            birth_date: demographics.birth_date.clone().unwrap_or_default(),
            family: family_key(family),
            consent_digest: consent::digest(&read.consent_raw, &read.member).to_vec(),
        };
        Ok(Asked {
            guess,
            policy,
            demographics,
            coverage,
            consent_raw: read.consent_raw,
            wanted,
        })
    }
}

/// One attempt: look up, decide, write.
async fn decide(
    ctx: &Context,
    caller: &Caller,
    arrival: &Arrival<'_>,
    asked: &Asked<'_>,
    verdict: Result<Terms, &'static Rule>,
    keyed: Option<&Keyed>,
) -> Result<Answer, Failure> {
    let wanted = asked.wanted.clone();
    let found = ctx.store.read(move |db| matching::candidates(db, &wanted)).await?;
    let crowded = found.is_none();
    let found = found.unwrap_or_default();
    let candidates = found.iter().map(candidate).collect::<Result<Vec<_>, _>>()?;
    let identity = identity::decide(&asked.demographics, &asked.coverage, &candidates, &asked.policy);

    let matched = match identity.outcome {
        Outcome::Match(index) => found.get(index),
        Outcome::None | Outcome::Several => None,
    };
    let near = matched.or_else(|| found.first().filter(|_| found.len() == 1));
    let attempt = Attempt {
        ctx,
        arrival,
        asked,
        near: near.map(|member| member.patient_id.as_str()),
        keyed,
    };
    let known = matched.and_then(|member| member.known.as_ref());
    let verdict = match verdict {
        Ok(_) if known.is_some_and(|known| known.revoked) => Err("revoked"),
        Ok(terms) => Ok(terms),
        Err(rule) if rule.class == Class::Honour => Err(rule.name),
        Err(rule) => {
            let outcome = if matched.is_some() {
                "gate"
            } else {
                word(identity.outcome, crowded)
            };
            let judged = Judged {
                identity: &identity,
                outcome,
                consent: Err(rule.name),
                patient: None,
            };
            return attempt.refuse(Fault::NoUniqueMember, &judged).await;
        }
    };
    let Some(member) = matched else {
        let consent = verdict.map(|terms| terms.scope.code());
        let judged = Judged {
            identity: &identity,
            outcome: word(identity.outcome, crowded),
            consent,
            patient: None,
        };
        return attempt.refuse(Fault::NoUniqueMember, &judged).await;
    };
    match verdict {
        Err(rule) => {
            let judged = Judged {
                identity: &identity,
                outcome: "consent",
                consent: Err(rule),
                patient: Some(&member.patient_id),
            };
            attempt.refuse(Fault::ConsentNotHonoured, &judged).await
        }
        Ok(terms) => attempt.grant(caller, &identity, member, terms).await,
    }
}

/// One attempt after both judgements.
struct Attempt<'a> {
    ctx: &'a Context,
    arrival: &'a Arrival<'a>,
    asked: &'a Asked<'a>,
    /// The record it came nearest to.
    near: Option<&'a str>,
    keyed: Option<&'a Keyed>,
}

impl Attempt<'_> {
    async fn refuse(&self, fault: Fault, judged: &Judged<'_>) -> Result<Answer, Failure> {
        let (failure, decided) = self.refusal(fault, judged);
        let rows = guess::Rows { decided, silent: None };
        match self.write(End::Failed, rows).await? {
            Gate::Shut(until_ms) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
            Gate::Open | Gate::Silent => Err(failure),
        }
    }

    async fn grant(
        &self,
        caller: &Caller,
        identity: &Decision,
        member: &Found,
        terms: Terms,
    ) -> Result<Answer, Failure> {
        let known = member.known.as_ref();
        let mut judged = Judged {
            identity,
            outcome: "matched",
            consent: Ok(terms.scope.code()),
            patient: Some(&member.patient_id),
        };
        let body = answer::bytes(
            &self.ctx.payer,
            &caller.partner.dialect,
            &member.umb,
            &member.patient_id,
        );
        let kept = if known.is_none() {
            consent::kept(&self.asked.consent_raw)
        } else {
            Vec::new()
        };
        let received = Received {
            digest: self.asked.wanted.consent_digest.clone(),
            kept,
        };
        let mut decided = self.arrival.granted(&judged, member, terms, received, &body);
        let decision_id = decided.decision.as_ref().map(|decision| decision.id.as_str());
        decided.reply = self.keyed.map(|key| key.reply(self.arrival, 200, &body, decision_id));
        let new = decided.grant.as_ref().is_some_and(|grant| !grant.renews);
        judged.outcome = "guarded";
        judged.patient = None;
        let (failure, silent) = self.refusal(Fault::NoUniqueMember, &judged);
        let rows = guess::Rows {
            decided,
            silent: Some(silent),
        };
        match self.write(End::Granted { new }, rows).await? {
            Gate::Open => Ok(Answer {
                status: 200,
                body,
                replayed: false,
            }),
            Gate::Silent => Err(failure),
            Gate::Shut(until_ms) => Err(guess::must_wait(until_ms, self.arrival.now_ms())),
        }
    }

    fn refusal(&self, fault: Fault, judged: &Judged<'_>) -> (Failure, Record) {
        let failure = Failure::new(fault);
        let body = outcome::bytes(&failure, &self.ctx.payer.base_url);
        let mut record = self.arrival.turned_down(judged, fault, &body);
        let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
        record.reply = self
            .keyed
            .map(|key| key.reply(self.arrival, fault.row().http, &body, decision_id));
        (failure, record)
    }

    async fn write(&self, end: End, rows: guess::Rows) -> Result<Gate, Failure> {
        let guess = self.asked.guess.guess(self.ctx, self.arrival, self.near, end);
        guess::write(self.ctx, self.arrival, guess, rows).await
    }
}

fn word(outcome: Outcome, crowded: bool) -> &'static str {
    match outcome {
        Outcome::Several => "several",
        _ if crowded => "several",
        Outcome::Match(_) | Outcome::None => "none",
    }
}

fn candidate(found: &Found) -> Result<Candidate, Failure> {
    let patient: Patient = serde_json::from_str(&found.demographics)
        .map_err(|error| Failure::new(Fault::StoreDamaged).because(error.to_string()))?;
    let hits = found.hits.iter().map(|(kind, value)| Hit {
        kind: if kind == "subscriber" {
            IdKind::Subscriber
        } else {
            IdKind::Member
        },
        value: value.clone(),
    });
    Ok(Candidate {
        compartment: found.compartment,
        patient_id: found.patient_id.clone(),
        umb: found.umb.clone(),
        demographics: Demographics::from(&patient),
        hits: hits.collect(),
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

//! The responder of `$member-match`: request, identity, consent, then either a grant or a refusal, each in one transaction.
//!
//! A consent that permits nothing by itself is refused first, by its rule and without a look-up. After that match and consent are
//! always both judged before anything is decided, so that the answers take the same work. A refusal stores its decision and its
//! ledger entries and nothing of the person: no grant, no consent, no id that was not earned.

mod answer;
mod attempt;
mod desk;
mod detail;
mod guess;
mod identify;
mod profile;
mod record;
mod remedy;
mod request;
mod shape;

use crate::consent::{self, Class, Question, Rule, Terms};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::identity::{Outcome, Profile, Systems, of_request};
use crate::policy;
use crate::security::Caller;
use crate::store::idempotency::{Claim, Reply, Standing, fingerprint, parse_key, standing};
use crate::store::matching::{self, Doubt, Record, is_raced};
use attempt::Attempt;
use bytes::Bytes;
pub use identify::{Judgement, Wanted, judge};
use record::{Arrival, Judged};
use request::Request;

/// The route template that idempotency keys are scoped by.
pub const ROUTE: &str = "/Patient/$member-match";
/// Times that a match is decided again after another request changed what it had read. More than the guesses about one card that
/// the guard lets through, since each of these may overtake all others once.
const ATTEMPTS: u32 = 8;
/// Member numbers that one request may send.
const MEMBER_VALUES: usize = 7;

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
/// 400 and 422 for a request that cannot be read or keeps no profile; the faults of [`consent::RULES`] for a consent that permits
/// nothing by itself; [`Fault::NoUniqueMember`] alike for none and several; [`Fault::ConsentNotHonoured`] of a matched member only;
/// those of the idempotency key and of the store.
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
    // What the request, the caller and the clock say needs no look-up: such a request learns nothing of members, and is no guess.
    match verdict {
        Err(rule) if rule.class == Class::Profile => {
            return refuse_unjudged(ctx, &arrival, told(rule, &read.consent_place), keyed).await;
        }
        Err(rule) if rule.class == Class::Request => {
            return refuse_consent(ctx, &arrival, rule, &read.consent_place, keyed).await;
        }
        _ => {}
    }
    let key = crate::review::key(ctx).await?;
    let asked = match Asked::new(ctx, caller, read, &key) {
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
    write_refusal(ctx, record).await?;
    Err(failure.noted())
}

/// A consent rule that does not hold, as its partner is told.
fn told(rule: &Rule, consent_place: &str) -> Failure {
    Failure::new(rule.fault)
        .at(format!("{consent_place}.{}", rule.element))
        .remedy(rule.remedy)
}

/// Refuses a request for its consent alone: a decision that names the rule and says that identity was not tried, and the two ledger
/// entries of every match. Nobody was looked up, so the guard hears nothing of it.
async fn refuse_consent(
    ctx: &Context,
    arrival: &Arrival<'_>,
    rule: &Rule,
    consent_place: &str,
    keyed: Option<Keyed>,
) -> Result<Answer, Failure> {
    let failure = told(rule, consent_place);
    let body = outcome::bytes(&failure, &ctx.payer.base_url);
    let mut record = arrival.without_look_up(rule, &body);
    let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
    record.reply = keyed.map(|key| key.reply(arrival, rule.fault.row().http, &body, decision_id));
    write_refusal(ctx, record).await?;
    Err(failure.noted())
}

async fn write_refusal(ctx: &Context, record: Record) -> Result<(), Failure> {
    match write(ctx, record.clone()).await {
        // The same request was refused beside this one and is remembered; the ledger still hears of this one.
        Err(raced) if is_raced(&raced) => write(ctx, Record { reply: None, ..record }).await,
        done => done,
    }
}

async fn write(ctx: &Context, record: Record) -> Result<(), Failure> {
    ctx.store.write(move |db| matching::record(db, &record)).await
}

/// A request in the terms of identity, of the store and of the guessing guard.
struct Asked {
    guess: guess::Asked,
    consent_raw: serde_json::Map<String, serde_json::Value>,
    wanted: Wanted,
    question: desk::Question,
}

impl Asked {
    fn new(ctx: &Context, caller: &Caller, read: Request, key: &[u8; 32]) -> Result<Self, Failure> {
        let systems = Systems {
            member: &ctx.payer.member_system,
            umb: &ctx.payer.umb_system,
        };
        let person = of_request(&read.patient, &read.coverage, systems);
        if person.member_ids.len() > MEMBER_VALUES {
            return Err(Failure::new(Fault::MatchInvalid)
                .at(format!("{}.identifier", read.coverage_place))
                .remedy(format!("Too many: send at most {MEMBER_VALUES} member numbers.")));
        }
        let (partner, profile) = (&caller.partner.id, Profile::from(&person));
        if profile.member_ids.is_empty() && profile.subscriber_ids.is_empty() {
            // A dash in place of our number says nothing, and must not be better than a number that nobody has.
            return Err(Failure::new(Fault::MatchInvalid)
                .at(format!("{}.identifier", read.coverage_place))
                .remedy(
                    "Placeholder: a dash or a word such as unknown is no number, and an identifier of another type is not read. Send the \
                     member number (type MB) or subscriberId that is on the card.",
                ));
        }
        let guess = guess::Asked::of(ctx, partner, &profile);
        let question = desk::Question::of(key, partner, &read, &profile);
        let wanted = Wanted {
            profile,
            partner_id: partner.clone(),
            consent_digest: consent::digest(&read.consent_raw, &read.member).to_vec(),
        };
        Ok(Asked {
            guess,
            consent_raw: read.consent_raw,
            wanted,
            question,
        })
    }
}

/// One attempt: look up, decide, write.
async fn decide(
    ctx: &Context,
    caller: &Caller,
    arrival: &Arrival<'_>,
    asked: &Asked,
    verdict: Result<Terms, &'static Rule>,
    keyed: Option<&Keyed>,
) -> Result<Answer, Failure> {
    let (store, hasher) = (ctx.store.clone(), ctx.store.key_hasher()?);
    let (configured, wanted) = (std::sync::Arc::clone(&ctx.matching), asked.wanted.clone());
    let question_hash = asked.question.asked;
    let (identity, said, shadow) = ctx
        .store
        .read(move |db| {
            let in_force = store.matching(db, &configured)?;
            let identity = judge(db, &store, &hasher, &in_force.rules, &wanted)?;
            let said = desk::said(db, &wanted, &question_hash, &identity)?;
            Ok((identity, said, in_force.shadow))
        })
        .await?;
    let heard = desk::hear(ctx, &caller.partner.id, &asked.question, &identity, &said).await?;
    let attempt = Attempt {
        ctx,
        caller,
        arrival,
        asked,
        identity: &identity,
        heard: &heard,
        keyed,
    };
    let answered = conclude(&attempt, verdict).await;
    if let (Some(shadow), false) = (shadow, answered.as_ref().is_err_and(is_raced)) {
        policy::shadow::compare_later(ctx, identity.case(shadow));
    }
    answered
}

/// What was judged becomes an answer, and its rows. A consent that does not hold is told of a matched member only and with one fixed
/// text, whichever rule it was. The single match has refused what fails by the request alone before this; in a bulk match, where such
/// a row is matched and counted all the same (PDex pdex-154b; threat C04), it gets here too.
async fn conclude(attempt: &Attempt<'_>, verdict: Result<Terms, &'static Rule>) -> Result<Answer, Failure> {
    let (identity, heard) = (attempt.identity, attempt.heard);
    let (matched, review) = (heard.member, heard.review());
    let known = matched.and_then(|member| member.known.as_ref());
    let verdict = match verdict {
        Ok(_) if known.is_some_and(|known| known.revoked) => Err("revoked"),
        Ok(terms) => Ok(terms),
        Err(rule) => Err(rule.name),
    };
    let Some(member) = matched else {
        let consent = verdict.map(|terms| terms.scope.code());
        let judged = Judged {
            identity,
            outcome: heard.word(),
            consent,
            patient: None,
            review,
        };
        return attempt.refuse(Fault::NoUniqueMember, &judged, true).await;
    };
    match verdict {
        Err(rule) => {
            let judged = Judged {
                identity,
                outcome: "consent",
                consent: Err(rule),
                patient: Some(&member.patient_id),
                review,
            };
            attempt.refuse(Fault::ConsentNotHonoured, &judged, true).await
        }
        Ok(terms) => attempt.grant(member, terms).await,
    }
}

/// What a person must decide, when the matcher would not. What the consent came to is judged again when they have.
fn doubt(identity: &Judgement) -> Option<Doubt> {
    let (Outcome::Review(_), Some(reason)) = (identity.outcome, identity.reason) else {
        return None;
    };
    Some(Doubt {
        reason: reason.code(),
        candidates: identity
            .named
            .iter()
            .map(|found| (found.compartment, found.patient_id.clone()))
            .collect(),
    })
}

#[cfg(test)]
mod tests;

//! Answers `$member-match` (HRex). The request passes through five steps; each step is a file with one input type and one output type.
//!
//! First `asked` reads the request, and `identify` finds the member who is meant. Then `resolve` reads what a reviewer decided about the
//! same question before, and `decide` (a pure function) makes the decision. Last, `record` writes everything in one transaction. The
//! steps in the middle take one member: a bulk match (`bulk`) calls them for each, and writes the rows of many in one transaction.
//!
//! A consent that permits nothing by itself is refused first, with the rule that it breaks and without looking up any member. After that,
//! match and consent are always both judged before the decision, so that every answer takes the same amount of work. A refusal stores its
//! decision and its ledger entries and nothing about the person: no grant, no consent, no patient id.

mod answer;
mod arrival;
mod asked;
mod bulk;
mod decide;
mod detail;
mod guess;
mod hashes;
mod identify;
mod profile;
mod quick;
mod record;
mod refuse;
mod remedy;
mod replay;
mod request;
mod resolve;
mod review_rows;
mod rows;
mod shape;
mod size;

pub use answer::MatchAnswer;
pub use bulk::{BulkAsking, JudgedMember, MemberBucket, MemberWritten};
pub use identify::{FirstLook, Judgement, MatchBasis, WantedMember, identify};
pub use replay::repeated;
pub use request::MatchRequest;

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::policy;
use crate::security::Caller;
use crate::store::matching::is_raced;
use crate::telemetry::spans::{self, SpanKey, SpanName, SpanNote};
use arrival::Arrival;
use asked::MatchAsked;
use record::Matter;
use replay::{IdempotencyKey, KnownOfKey};
use std::sync::Arc;
use tracing::Instrument as _;

/// How many times a match is decided when other requests keep changing the rows that it has read. This is more than the number of guesses
/// about one card that the guessing guard lets through, because each of those requests can overtake all others once.
const ATTEMPTS: u32 = 8;

/// Answers a member-match request. When this returns, the answer and its decision, consent, grant and ledger entries are committed.
///
/// # Errors
/// 400, 413 and 422 for a request that cannot be read or breaks its profile; the faults of [`consent::RULES`](crate::consent::RULES) for a
/// consent that permits nothing by itself; [`Fault::NoUniqueMember`] both for no member and for several; [`Fault::ConsentNotHonoured`] only
/// after a member was matched; the faults of the idempotency key and of the store.
pub async fn respond(ctx: &Context, caller: &Caller, request: MatchRequest) -> Result<MatchAnswer, Failure> {
    let arrival = Arrival::new(ctx, caller, &request.body);
    let mut read = None;
    for _ in 0..ATTEMPTS {
        let keyed = match replay::known(&arrival, &request).await? {
            KnownOfKey::Nothing(keyed) => keyed,
            KnownOfKey::Answered(answer) => return Ok(answer),
            KnownOfKey::Refused(failure) => return refuse::refuse(&arrival, failure.into(), None).await,
        };
        let asked = match read.take() {
            Some(asked) => asked,
            None => match asked::read(&arrival, &request.body).await {
                Ok(asked) => Arc::new(asked),
                Err(refusal) => return refuse::refuse(&arrival, refusal, keyed).await,
            },
        };
        match attempt(&arrival, &asked, keyed.as_ref()).await {
            Err(failure) if is_raced(&failure) => read = Some(asked),
            done => return done,
        }
    }
    Err(Failure::new(Fault::Overloaded).because("a match kept being overtaken"))
}

/// Makes one attempt: looks up, decides and writes.
async fn attempt(
    arrival: &Arrival<'_>,
    asked: &Arc<MatchAsked>,
    keyed: Option<&IdempotencyKey>,
) -> Result<MatchAnswer, Failure> {
    let ctx = arrival.ctx;
    let (store, hasher, configured) = (ctx.store.clone(), ctx.store.key_hasher()?, Arc::clone(&ctx.matching));
    let own = Arc::clone(asked);
    let (identified, (resolution, known)) = ctx
        .store
        .read(move |db| {
            let question = (&own.question.asked, own.question.number.as_ref());
            let identified = identify::identify_at_once(db, &store, hasher, &configured, (&own.wanted, question))?;
            let resolved = resolve::resolve(db, &own, &identified)?;
            Ok((identified, resolved))
        })
        .instrument(spans::open(SpanName::Identify))
        .await?;
    let judgement = identified.judgement;
    let decision = decide::decide(known, asked.consent);
    let matter = Matter {
        arrival,
        keyed,
        asked,
        identified: &judgement,
        resolution: &resolution,
    };
    let write = spans::open(SpanName::Write);
    spans::put(&write, SpanKey::Outcome, decision.word());
    let answered = record::record(&matter, &decision).instrument(write.clone()).await;
    if answered.as_ref().is_err_and(is_raced) {
        spans::note_in(&write, SpanNote::Retry, Vec::new());
    }
    if let (Some(shadow), false) = (identified.shadow, answered.as_ref().is_err_and(is_raced)) {
        policy::shadow::compare_later(ctx, judgement.case(shadow));
    }
    answered
}

#[cfg(test)]
mod tests;

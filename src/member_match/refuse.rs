//! Refusals before any member is looked up: of a request that cannot be read, and of a consent that permits nothing by itself.
//!
//! The guessing guard counts neither of them, because the caller learns nothing about members.

use super::answer::MatchAnswer;
use super::arrival::{Arrival, EntryPlace};
use super::asked::MatchRefusal;
use super::replay::IdempotencyKey;
use super::rows;
use crate::consent::ConsentRule;
use crate::error::Failure;
use crate::store::matching::{self, MatchRecord, is_raced};

/// Writes a refusal to the store and returns it as the error.
///
/// # Errors
/// The refusal itself; those of the store.
pub(super) async fn refuse(
    arrival: &Arrival<'_>,
    refusal: MatchRefusal,
    keyed: Option<IdempotencyKey>,
) -> Result<MatchAnswer, Failure> {
    match refusal {
        MatchRefusal::Unjudged(failure) => unjudged(arrival, failure, keyed).await,
        MatchRefusal::Consent(rule, failure) => by_consent(arrival, rule, failure, keyed).await,
    }
}

/// Refuses a request that was not judged: writes a ledger entry and no decision. A final refusal (422) is remembered under the request's
/// idempotency key.
///
/// # Errors
/// `failure`; those of the store.
pub(super) async fn unjudged(
    arrival: &Arrival<'_>,
    failure: Failure,
    keyed: Option<IdempotencyKey>,
) -> Result<MatchAnswer, Failure> {
    let status = failure.fault().row().http;
    let body = arrival.body_of(&failure);
    let reply = keyed
        .filter(|_| status == 422)
        .map(|key| key.reply(arrival.now_ms(), status, &body, None));
    let entry = arrival.refused(failure.fault(), &body);
    let record = MatchRecord {
        ledger: vec![arrival.row(&entry, EntryPlace::Decided)],
        reply,
        ..MatchRecord::default()
    };
    write(arrival, record).await?;
    Err(failure.noted())
}

/// Refuses a request because of its consent alone: writes a decision that names the rule and says that no member was looked up, and the two
/// ledger entries of every match.
async fn by_consent(
    arrival: &Arrival<'_>,
    rule: &'static ConsentRule,
    failure: Failure,
    keyed: Option<IdempotencyKey>,
) -> Result<MatchAnswer, Failure> {
    let body = arrival.body_of(&failure);
    let mut record = rows::without_look_up(arrival, rule, &body);
    let decision_id = record.decision.as_ref().map(|decision| decision.id.as_str());
    record.reply = keyed.map(|key| key.reply(arrival.now_ms(), rule.fault.row().http, &body, decision_id));
    write(arrival, record).await?;
    Err(failure.noted())
}

async fn write(arrival: &Arrival<'_>, mut record: MatchRecord) -> Result<(), Failure> {
    let store = &arrival.ctx.store;
    let again = record.clone();
    match store.write(move |db| matching::record(db, &again)).await {
        // The same request was refused concurrently and is remembered already; this one still gets its ledger entries.
        Err(raced) if is_raced(&raced) => {
            record.reply = None;
            store.write(move |db| matching::record(db, &record)).await
        }
        done => done,
    }
}

//! The control *idempotency*: submissions that were answered are repeated, and get the same answer, and nothing is written.
//!
//! What a partner sent is not kept, only its fingerprint. So a match is repeated where its key is looked up: the stored key and fingerprint
//! find the answer that the ledger committed to, and any other request under the key is refused. A request for an exchange is repeated whole,
//! in a transaction that is rolled back.

use super::matched;
use super::report::ControlFindings;
use super::sample::{HowMany, each, places};
use crate::audit::Action;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::intake::{self, AcceptedWish};
use crate::exchange::loaded::LoadedExchange;
use crate::exchange::phase::AskedFor;
use crate::jobs::Chance;
use crate::member_match::repeated;
use crate::secret::{hex, sha256};
use crate::store::control_rows::{self, ReplayedReply, RowKind};
use crate::store::idempotency::KeyState;
use crate::store::{Db, ops_queries};
use std::sync::{Arc, Mutex, PoisonError};

/// Repeats what was chosen. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(ctx: &Context, chance: &Chance, many: HowMany) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let (store, now_ms) = (&ctx.store, ctx.clock.now_ms());
    let all = store.read_blocking(|db| control_rows::reply_count(db, now_ms))?;
    for place in places(chance, all, many.of(all)) {
        let found = store.read_blocking(|db| control_rows::reply_at(db, now_ms, place))?;
        // Keys end while this runs.
        let Some(reply) = found else { break };
        findings.look();
        if let Some(why) = store.read_blocking(|db| answer(db, &reply, now_ms))? {
            let id = reply.decision_id.as_deref().unwrap_or("a refusal without a decision");
            findings.defect("match", id, why);
        }
    }
    findings.fact("answers under a key", all);
    let exchanges = each(store, RowKind::Exchange, (chance, many), &mut |id| {
        findings.look();
        if let Some(why) = exchange(ctx, id)? {
            findings.defect("exchange", id, why);
        }
        Ok(())
    })?;
    findings.fact("exchanges", exchanges);
    if findings.checked() == 0 {
        findings.skip("there is no answer under a key and no exchange");
    }
    Ok(findings)
}

/// What is wrong with the answer that a repetition of this request would get.
fn answer(db: &mut Db, reply: &ReplayedReply, now_ms: i64) -> Result<Option<String>, Failure> {
    let says = |why: &str| Ok(Some(why.to_owned()));
    let Some(state) = repeated(db, reply, now_ms, false)? else {
        return says("it is of a request that this version of the program does not answer");
    };
    match state {
        // The grant of that answer ended: the answer is not given again.
        KeyState::Withdrawn => {}
        KeyState::Answered { status, body } => {
            let is_same = reply.status == Some(i64::from(status)) && reply.body.as_deref() == Some(body.as_slice());
            if !is_same {
                return says("a repetition gets another answer than the one that is kept");
            }
            if let Some(why) = untold(db, reply, &body)? {
                return Ok(Some(why));
            }
        }
        _ => return says("a repetition does not get the answer that is kept"),
    }
    match repeated(db, reply, now_ms, true)? {
        Some(KeyState::Reused) => Ok(None),
        _ => says("another request under its key is not refused"),
    }
}

/// Why the answer that is kept is not the one that the ledger has.
fn untold(db: &mut Db, reply: &ReplayedReply, body: &[u8]) -> Result<Option<String>, Failure> {
    let Some(id) = &reply.decision_id else { return Ok(None) };
    let Some(decision) = ops_queries::decision(db, id)? else {
        return Ok(Some("its decision is gone".to_owned()));
    };
    let digest = hex(&sha256(body));
    let all = matched::entries_of(db, &matched::request_of(&decision))?;
    let is_told = all
        .iter()
        .filter(|entry| entry.is(Action::MatchMatched) || entry.is(Action::MatchRefused))
        .any(|entry| entry.text("/resp_digest") == Some(digest.as_str()));
    Ok((!is_told).then(|| "the answer that is kept is not the one that the ledger has".to_owned()))
}

/// What a repetition did, before it was undone.
struct Repeated {
    accepted: Result<AcceptedWish, Failure>,
    before: [i64; 3],
    after: [i64; 3],
}

/// Repeats the request of an exchange in a transaction that is rolled back. A live exchange without a request key has the key of its intent.
fn exchange(ctx: &Context, id: &str) -> Result<Option<String>, Failure> {
    let Some(exchange) = ctx.store.read_blocking(|db| LoadedExchange::read(db, id))? else {
        return Ok(None);
    };
    let ask = &exchange.ask;
    let mut wish = intake::again(&exchange, AskedFor::parse(&ask.asked_for).unwrap_or(AskedFor::Request));
    wish.since_ms = ask.since_ms;
    wish.request = ask.request_key.clone().zip(ask.request_digest.clone());
    if wish.request.is_none() && exchange.row.live_key.is_none() {
        // It has ended: the same wish is a new one.
        return Ok(None);
    }
    let done: Arc<Mutex<Option<Repeated>>> = Arc::default();
    let (own, told) = (ctx.clone(), Arc::clone(&done));
    let (own_id, member) = (id.to_owned(), exchange.row.member_id.clone().unwrap_or_default());
    let undone = ctx.store.write_blocking(move |db: &mut Db| -> Result<(), Failure> {
        let before = control_rows::written_of(db, &own_id, &member)?;
        let accepted = intake::start_in(db, &own, &wish);
        let after = match &accepted {
            Ok(_) => control_rows::written_of(db, &own_id, &member)?,
            Err(_) => before,
        };
        *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Repeated {
            accepted,
            before,
            after,
        });
        // Whatever it did is undone.
        Err(Failure::new(Fault::Internal).because("a repetition for a control, which is rolled back"))
    });
    let repeated = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(repeated) = repeated else {
        // It did not come so far.
        return undone.map(|()| None);
    };
    Ok(judged(&repeated, id, exchange.ask.request_key.is_some()))
}

fn judged(repeated: &Repeated, id: &str, has_key: bool) -> Option<String> {
    match &repeated.accepted {
        Ok(accepted) if accepted.exchange_id != id => {
            Some("a repetition of its request leads to another exchange".to_owned())
        }
        Ok(accepted) if accepted.is_new || accepted.is_replayed != has_key => {
            Some("a repetition of its request is not known as one".to_owned())
        }
        Ok(_) if repeated.before != repeated.after => Some("a repetition of its request writes something".to_owned()),
        Ok(_) => None,
        // Without a key the wish is judged before the live exchange is found: a suspended partner refuses it.
        Err(failure) if !has_key && failure.fault() != Fault::Internal => None,
        Err(failure) => Some(format!(
            "a repetition of its request is refused with {}",
            failure.fault().code()
        )),
    }
}

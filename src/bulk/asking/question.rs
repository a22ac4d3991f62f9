//! Asks the partner who the members are there. Safe to repeat: the same question has the same key, and a partner that does not know the key
//! judges the same members again, which changes nothing but its own grants.

use super::kind::{BODY_BYTES, RunStep, TOGETHER};
use super::members::{ALONE, ASKED, LEFT, WAITING};
use super::run::{AskingRun, RunNext};
use super::wire::TokenFor;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::carried::{CarriedBegin, CarriedStep, begin_carried, end_carried, hand_over};
use crate::exchange::steps::match_body::match_parameters;
use crate::exchange::steps::{CallNotes, ExchangeFacts, HeldOfMember, StepEnd, StepName};
use crate::partner::peer::{CallFailure, PeerAsk};
use crate::secret::{hex, sha256, sha256_of};
use crate::store::Db;
use crate::store::bulk_runs::{self as rows, RunMemberRow};
use crate::store::partner_health;
use serde_json::json;

const BEFORE: &str = r#"{"resourceType":"Parameters","parameter":["#;
const AFTER: &str = "]}";

/// The id of a member's Patient within the question.
pub(super) fn sent_id(position: i64) -> String {
    format!("member-{position}")
}

/// The member with this id within the question.
pub(super) fn position_of(sent_id: &str) -> Option<i64> {
    sent_id.strip_prefix("member-")?.parse().ok()
}

/// The key of a question of a run: the same question has the same key, another one another.
pub(super) fn key_of(run_id: &str, what: &str, body: &[u8]) -> String {
    let digest = sha256_of(&[run_id.as_bytes(), b"\n", what.as_bytes(), b"\n", &sha256(body)]);
    format!("pb-{}", &hex(&digest)[..32])
}

pub(super) async fn ask(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let (ctx, partner) = (run.ctx().clone(), run.row.partner_id.clone());
    let health = ctx.store.read(move |db| partner_health::find(db, &partner)).await?;
    if let Some(until_ms) = health.and_then(|health| health.open_until_ms)
        && until_ms > run.now_ms()
    {
        return Ok(RunNext::Wait(until_ms));
    }
    let known = run.wire.known(&ctx).await?;
    if !known.offer.bulk_match {
        // Nothing is wrong with it: each member is asked about alone.
        return Ok(RunNext::End);
    }
    let token = run.wire.token(&ctx, TokenFor::Match).await?;
    let Some(body) = body(run).await? else {
        return Ok(RunNext::End);
    };
    let key = key_of(&run.row.id, "match", &body);
    let ask = PeerAsk {
        url: known.peer.below("Group/$bulk-member-match")?,
        body: Some(("application/fhir+json", body)),
        token: Some(&token),
        correlation_id: &run.wire.correlation,
        idempotency_key: Some(&key),
    };
    let (status, _) = known.peer.begin_bulk(ask).await?;
    run.row.status_url = Some(status.into());
    run.row.progress = None;
    Ok(RunNext::Step(RunStep::AwaitMatch))
}

/// The question about all members who may be asked about now; `None` when there is none.
async fn body(run: &AskingRun) -> Result<Option<Vec<u8>>, Failure> {
    let mut body = BEFORE.to_owned();
    for members in run.carried(&[WAITING, ASKED]).await?.chunks(TOGETHER) {
        let (ctx, members, before) = (run.ctx().clone(), members.to_vec(), body.len());
        let (chance, asked_at) = (run.chance.clone(), run.wire.address());
        let named = run
            .held
            .write(move |db| {
                let mut named = String::new();
                for member in &members {
                    if before + named.len() > BODY_BYTES {
                        hand_over(db, &ctx, &member.exchange_id)?;
                        put(db, member, (0, 0, ALONE))?;
                    } else if let Some(text) = one(db, &ctx, member, asked_at.as_deref(), chance.unit())? {
                        named.push_str(&text);
                        named.push(',');
                    }
                }
                Ok(named)
            })
            .await?;
        body.push_str(&named);
    }
    if body.len() == BEFORE.len() {
        return Ok(None);
    }
    body.pop();
    body.push_str(AFTER);
    Ok(Some(body.into_bytes()))
}

/// Writes how far a member is: whether it is carried, its attempt, its state.
pub(super) fn put(
    db: &mut Db,
    member: &RunMemberRow,
    (carried, attempt, state): (i64, i64, &str),
) -> Result<(), Failure> {
    let row = RunMemberRow {
        carried,
        attempt,
        state: state.to_owned(),
        ..member.clone()
    };
    rows::put_member(db, &row)
}

/// Begins the match for one member, and writes what is asked; `None` when it is not asked about.
fn one(
    db: &mut Db,
    ctx: &Context,
    member: &RunMemberRow,
    asked_at: Option<&str>,
    unit: f64,
) -> Result<Option<String>, Failure> {
    let step = CarriedStep {
        exchange_id: &member.exchange_id,
        step: StepName::MemberMatch,
        attempt: member.attempt,
    };
    let (attempt, facts) = match begin_carried(db, ctx, step, unit)? {
        CarriedBegin::Begun(attempt, facts) if facts.asked_at.as_deref() == asked_at => (attempt, facts),
        // Another address was registered meanwhile: the next attempt of the run asks there.
        CarriedBegin::Begun(..) => return Err(Fault::PartnerMoved.into()),
        CarriedBegin::Left => {
            put(db, member, (0, member.attempt, LEFT))?;
            return Ok(None);
        }
    };
    match named(db, ctx, member, &facts) {
        Ok(text) => {
            put(db, member, (1, attempt, ASKED))?;
            Ok(Some(text))
        }
        Err(failure) if matches!(failure.fault(), Fault::MemberUnknown | Fault::MemberIncomplete) => {
            let end = StepEnd::NeedsPerson { fault: failure.fault() };
            end_carried(
                db,
                ctx,
                CarriedStep { attempt, ..step },
                (&end, &CallNotes::default()),
                unit,
            )?;
            put(db, member, (0, attempt, LEFT))?;
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn named(db: &mut Db, ctx: &Context, member: &RunMemberRow, facts: &ExchangeFacts) -> Result<String, Failure> {
    let held = HeldOfMember::read(db, facts)?;
    let parts = match_parameters(&held.parts(facts, &ctx.payer), &sent_id(member.position))?;
    Ok(json!({"name": "MemberBundle", "part": parts}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_one_key_and_a_member_one_id() {
        let key = key_of("r1", "match", b"x");
        assert_eq!(key, key_of("r1", "match", b"x"));
        assert_eq!(key.len(), 35);
        for other in [
            key_of("r2", "match", b"x"),
            key_of("r1", "export", b"x"),
            key_of("r1", "match", b"y"),
        ] {
            assert_ne!(key, other);
        }
        assert_eq!(position_of(&sent_id(17)), Some(17));
        assert_eq!(position_of("member-"), None);
        assert_eq!(position_of("other-1"), None);
    }
}

//! Asks the partner who the members are there. Safe to repeat: the same question has the same key, and a partner that does not know the key
//! judges the same members again, which changes nothing but its own grants. The question is kept sealed before it is sent, so that all attempts
//! about the same members send the same bytes.

use super::fetch::blocking;
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
use crate::store::bulk::BulkFileRow;
use crate::store::bulk_runs::{self as rows, RunMemberRow};
use crate::store::partner_health;
use serde_json::json;

const BEFORE: &str = r#"{"resourceType":"Parameters","parameter":["#;
const AFTER: &str = "]}";
/// The side of the file that keeps a question.
const QUESTION: &str = "question";

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
    let Some((positions, built)) = body(run).await? else {
        return Ok(RunNext::End);
    };
    let body = spooled(run, &positions, built).await?;
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

/// The first line of a kept question: whom it is about.
fn about(positions: &[i64]) -> String {
    let list: Vec<String> = positions.iter().map(i64::to_string).collect();
    list.join(",")
}

/// The question as it was first asked about these members, or `built`, which is kept before it is sent.
async fn spooled(run: &mut AskingRun, positions: &[i64], built: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let (about, files, id) = (about(positions), run.files.clone(), run.row.id.clone());
    if let Some(row) = kept_file(run) {
        let own = files.clone();
        match blocking(move || own.open(&row)?.text()).await {
            Ok(text) => {
                // Others may be asked about now.
                if let Some((before, body)) = text.split_once('\n')
                    && before == about
                {
                    return Ok(body.as_bytes().to_vec());
                }
            }
            Err(failure) => {
                tracing::warn!(
                    bulk.run = run.row.id,
                    fault = failure.fault().code(),
                    "the question of a bulk run cannot be read any more, and is built again"
                );
            }
        }
    }
    let body = built.clone();
    let kept = blocking(move || {
        files.make(&id)?;
        let mut file = files.begin(&id, 0, QUESTION, QUESTION)?;
        file.put(about.as_bytes())?;
        file.put(b"\n")?;
        file.put(&built)?;
        let row = file.finish(0)?;
        files.sync(&id)?;
        Ok(row)
    })
    .await?;
    (run.row.question, run.row.question_bytes) = (Some(kept.name), Some(kept.bytes));
    run.save().await?;
    Ok(body)
}

fn kept_file(run: &AskingRun) -> Option<BulkFileRow> {
    Some(BulkFileRow {
        name: run.row.question.clone()?,
        job_id: run.row.id.clone(),
        piece: 0,
        side: QUESTION.to_owned(),
        resource_type: QUESTION.to_owned(),
        resources: 0,
        bytes: run.row.question_bytes?,
        sha256: Vec::new(),
        created_ms: 0,
    })
}

/// Removes the kept question: the partner has answered it.
pub(super) async fn forget(run: &mut AskingRun) -> Result<(), Failure> {
    let Some(row) = kept_file(run) else { return Ok(()) };
    (run.row.question, run.row.question_bytes) = (None, None);
    run.save().await?;
    let files = run.files.clone();
    blocking(move || {
        files.drop_files(&[row]);
        Ok(())
    })
    .await
}

/// The question about all members who may be asked about now, and who they are; `None` when there is nobody.
async fn body(run: &AskingRun) -> Result<Option<(Vec<i64>, Vec<u8>)>, Failure> {
    let (mut body, mut positions) = (BEFORE.to_owned(), Vec::new());
    for members in run.carried(&[WAITING, ASKED]).await?.chunks(TOGETHER) {
        let (ctx, members, before) = (run.ctx().clone(), members.to_vec(), body.len());
        let (chance, asked_at) = (run.chance.clone(), run.wire.address());
        let named = run
            .held
            .write(move |db| {
                let (mut named, mut asked) = (String::new(), Vec::new());
                for member in &members {
                    if before + named.len() > BODY_BYTES {
                        hand_over(db, &ctx, &member.exchange_id)?;
                        put(db, member, (0, 0, ALONE))?;
                    } else if let Some(text) = one(db, &ctx, member, asked_at.as_deref(), chance.unit())? {
                        named.push_str(&text);
                        named.push(',');
                        asked.push(member.position);
                    }
                }
                Ok((named, asked))
            })
            .await?;
        body.push_str(&named.0);
        positions.extend(named.1);
    }
    if positions.is_empty() {
        return Ok(None);
    }
    body.pop();
    body.push_str(AFTER);
    Ok(Some((positions, body.into_bytes())))
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

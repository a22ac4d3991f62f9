//! The answer to the receipt of an export, once the members' exchanges have stored what came. Safe to repeat: the partner keeps the same answer
//! once, and the ledger tells it when the partner has taken it.

use super::kind::RunStep;
use super::members::RECEIVED;
use super::receipt::{CHECKED, LACKING, note};
use super::run::{AskingRun, RunNext};
use super::wire::TokenFor;
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, ledger};
use crate::bulk::receipt::acknowledge::{ANSWER_TYPE, Missing, ReceiptAnswer, ReceiptResult};
use crate::error::{Failure, Fault};
use crate::exchange::phase::{DeliveryState, NextMover};
use crate::partner::peer::{CallEnd, CallFacts, CallFailure};
use crate::secret::{hex, random};
use crate::store::Db;
use crate::store::run_receipts::{self as kept, MemberStanding, RunReceiptRow};
use crate::telemetry::Correlation;
use serde_json::json;

/// Time before the end of a run at which it is said what is stored, whatever is still being stored; milliseconds.
const BEFORE_END_MS: i64 = 3_600_000;
/// Shortest and longest time between two looks at what is stored, milliseconds.
const LOOK_MS: (i64, i64) = (500, 60_000);

pub(super) async fn answer(run: &mut AskingRun) -> Result<RunNext, CallFailure> {
    let (ctx, id) = (run.ctx().clone(), run.row.id.clone());
    let read = move |db: &mut Db| Ok((kept::of_run(db, &id)?, kept::standings(db, &id)?));
    let (row, standings) = ctx.store.read(read).await?;
    let Some(row) = row.filter(|row| row.state == CHECKED) else {
        return Ok(RunNext::Step(RunStep::EndExport));
    };
    let now_ms = run.now_ms();
    if now_ms < run.row.deadline_ms - BEFORE_END_MS && standings.iter().any(is_under_way) {
        let waited = (now_ms - row.checked_ms) / 4;
        return Ok(RunNext::Wait(now_ms + waited.clamp(LOOK_MS.0, LOOK_MS.1)));
    }
    let answer = said(&row, &standings)?;
    let named = row.url.as_deref().unwrap_or_default();
    let peer = run.wire.peer(&ctx).await?;
    let url = peer
        .named(named)
        .map_err(|failure| CallFailure::new(CallEnd::Trust(failure.fault())))?;
    let token = run.wire.token(&ctx, TokenFor::Export).await?;
    let went = peer
        .answer_receipt((&url, &token), &run.wire.correlation, (ANSWER_TYPE, &json!(answer)))
        .await;
    match went {
        // There is another receipt now, which is checked once.
        Err(failure) if failure.facts.status == Some(409) && row.fault.is_none() => {
            note(run, CHECKED, Some(Fault::ReceiptAnswered)).await?;
            Ok(RunNext::Step(RunStep::CheckReceipt))
        }
        Err(failure) => Err(failure),
        Ok(facts) => {
            told(run, row, &answer, &facts).await?;
            Ok(RunNext::Step(RunStep::EndExport))
        }
    }
}

fn is_stored(one: &MemberStanding) -> bool {
    [DeliveryState::Stored.code(), DeliveryState::Acknowledged.code()].contains(&one.delivery_state.as_str())
}

/// Whether an exchange still checks or stores what came.
fn is_under_way(one: &MemberStanding) -> bool {
    let is_ours = one.owner == NextMover::Us.code() && one.ended_ms.is_none() && one.parked_at_ms.is_none();
    one.state == RECEIVED && !is_stored(one) && is_ours
}

/// What this payer says of the receipt: a member whose record is not stored is missing.
fn said(row: &RunReceiptRow, standings: &[MemberStanding]) -> Result<ReceiptAnswer, Failure> {
    let unreadable = || Failure::new(Fault::StoreDamaged).because("a receipt that was checked");
    let text = row.missing.as_deref().ok_or_else(unreadable)?;
    let mut missing: Missing = serde_json::from_str(text).map_err(|_| unreadable())?;
    let is_missing = |one: &&MemberStanding| match one.verdict.as_deref() {
        Some(LACKING) => true,
        _ => one.state == RECEIVED && !is_stored(one),
    };
    let lacking = u32::try_from(standings.iter().filter(is_missing).count()).unwrap_or(u32::MAX);
    let members = missing.members.unwrap_or(0).saturating_add(lacking);
    missing.members = (members > 0).then_some(members);
    let is_all = missing == Missing::default();
    Ok(ReceiptAnswer {
        receipt: hex(row.sha256.as_deref().ok_or_else(unreadable)?),
        result: match is_all {
            true => ReceiptResult::Complete,
            false => ReceiptResult::Incomplete,
        },
        missing: (!is_all).then_some(missing),
    })
}

/// Notes what the partner was told, with its ledger entry.
async fn told(run: &AskingRun, row: RunReceiptRow, answer: &ReceiptAnswer, facts: &CallFacts) -> Result<(), Failure> {
    let now_us = run.ctx().clock.now_us();
    let entry_id = run.ctx().ids.new_id(now_us / 1000);
    let correlation = Correlation::of(entry_id.clone(), random(), Some(&run.row.id), None, None);
    let by = Actor {
        kind: "system",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::BulkReceiptAnswered, by, correlation);
    entry.partner = Some(run.row.partner_id.clone());
    entry.object = Some(Object {
        kind: "bulk-run",
        id: run.row.id.clone(),
    });
    entry.outcome = EntryOutcome {
        class: match answer.result {
            ReceiptResult::Complete => "ok",
            ReceiptResult::Incomplete => "failed",
        },
        http: facts.status,
        reason: Some(answer.result.code()),
    };
    entry.counts = answer.counts();
    entry.request_digest = facts.sent_sha256;
    // What is answered is the receipt.
    entry.response_digest = row.sha256.as_deref().and_then(|digest| digest.try_into().ok());
    let missing = answer.missing.as_ref().map(serde_json::to_string).transpose();
    let row = RunReceiptRow {
        state: answer.result.code().to_owned(),
        missing: missing.map_err(|error| Failure::new(Fault::Internal).because(error))?,
        fault: None,
        entry_id: Some(entry_id.clone()),
        at_ms: Some(now_us / 1000),
        ..row
    };
    let write = move |db: &mut Db| {
        kept::put(db, &row)?;
        ledger::append(db, &entry, &entry_id, now_us)
    };
    run.held.write(write).await
}

#[cfg(test)]
mod tests {
    use super::super::receipt::WHOLE;
    use super::*;

    fn standing(state: &str, delivery: DeliveryState, verdict: Option<&str>) -> MemberStanding {
        MemberStanding {
            state: state.to_owned(),
            verdict: verdict.map(str::to_owned),
            delivery_state: delivery.code().to_owned(),
            owner: NextMover::Us.code().to_owned(),
            parked_at_ms: None,
            ended_ms: None,
        }
    }

    #[test]
    fn only_what_is_stored_is_said_to_be_here() {
        let row = |missing: &str| RunReceiptRow {
            run_id: "r".into(),
            state: CHECKED.into(),
            url: None,
            sha256: Some(vec![0xab; 32]),
            missing: Some(missing.into()),
            fault: None,
            entry_id: None,
            checked_ms: 0,
            at_ms: None,
        };
        let stored = standing(RECEIVED, DeliveryState::Stored, Some(WHOLE));
        let under_way = standing(RECEIVED, DeliveryState::Validated, Some(WHOLE));
        let left = standing("left", DeliveryState::None, Some(LACKING));
        assert!(is_under_way(&under_way) && !is_under_way(&stored) && !is_under_way(&left));
        let ended = MemberStanding {
            ended_ms: Some(1),
            ..under_way.clone()
        };
        assert!(!is_under_way(&ended));
        let answer = said(&row("{}"), std::slice::from_ref(&stored)).expect("said");
        assert_eq!((answer.result, answer.missing), (ReceiptResult::Complete, None));
        assert_eq!(answer.receipt, "ab".repeat(32));
        let answer = said(&row(r#"{"files":1,"members":2}"#), &[stored, under_way, left]).expect("said");
        let missing = answer.missing.expect("some");
        assert_eq!(answer.result, ReceiptResult::Incomplete);
        assert_eq!((missing.files, missing.members), (Some(1), Some(4)));
    }
}

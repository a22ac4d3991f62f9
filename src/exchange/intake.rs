//! Accepts the wish for an exchange: checks it, records the member's opt-in, and makes the exchange with its job, in one transaction. The
//! same intent asked twice gives one exchange.

use super::clocks::ask_due_ms;
use super::entry::{ESCALATION, entry};
use super::event::ExchangeEvent;
use super::failpoints::{BEFORE_COMMIT, INTAKE};
use super::kind::{EXCHANGE, WORKFLOW};
use super::loaded::LoadedExchange;
use super::moves::first;
use super::permit::refusal_of;
use super::phase::{
    AskedFor, AuditState, ConsentState, CoverKind, DeliveryState, IdentityState, Phase, TransportState,
};
use super::steps::{OtherCoverage, StepName};
use super::tables::{self, ExchangeTables};
use super::wish::check;
use crate::audit::{Action, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::{NewJob, enqueue};
use crate::secret::{hex, sha256_of};
use crate::store::exchanges::{self, AskRow, ExchangeResultRow, ExchangeRow};
use crate::store::opt_ins::{self, OptInRow};
use crate::store::{Db, failed_on_duplicate, members, partners};
use std::sync::Arc;

pub use super::wish::{ExchangeWish, WishedOptIn};

/// Most live exchanges with one partner.
pub const QUEUE_MOST: i64 = 10_000;

/// The exchange that a wish leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedWish {
    /// Its id.
    pub exchange_id: String,
    /// Whether it is new.
    pub is_new: bool,
    /// Whether the request was answered before under its idempotency key.
    pub is_replayed: bool,
}

/// Accepts a wish in the caller's transaction.
///
/// # Errors
/// [`Fault::PartnerUnknown`], [`Fault::PartnerStopped`], [`Fault::PartnerHasNoEndpoint`], [`Fault::MemberUnknown`], [`Fault::OptInOver`],
/// [`Fault::OptInRevoked`], [`Fault::OptInUnknown`], [`Fault::EnrolmentInvalid`], [`Fault::QueueFull`];
/// [`Fault::IdempotencyKeyReused`] for a key that was used for another request; those of the database.
pub fn start_in(db: &mut Db, ctx: &Context, wish: &ExchangeWish) -> Result<AcceptedWish, Failure> {
    if let Some((key, digest)) = &wish.request
        && let Some(before) = exchanges::by_request(db, key)?
    {
        return match before.request_digest.as_deref() == Some(digest) {
            true => Ok(AcceptedWish {
                exchange_id: before.exchange_id,
                is_new: false,
                is_replayed: true,
            }),
            false => Err(Fault::IdempotencyKeyReused.into()),
        };
    }
    check(wish)?;
    let partner = partners::by_id(db, &wish.partner)?.ok_or(Fault::PartnerUnknown)?;
    if !partner.is_active() {
        return Err(Fault::PartnerStopped.into());
    }
    if partner.endpoint.is_none() {
        return Err(Fault::PartnerHasNoEndpoint.into());
    }
    members::compartment_of(db, &wish.member_id)?.ok_or(Fault::MemberUnknown)?;
    let live_key = live_key(wish);
    if let Some(live) = exchanges::live(db, &live_key)? {
        return Ok(existing(live.id));
    }
    let now_ms = ctx.clock.now_ms();
    let (opt_in, is_new_opt_in) = opt_in(db, ctx, wish, now_ms)?;
    if let Some((_, fault)) = refusal_of(&opt_in, Some(&wish.member_id), &wish.partner, now_ms) {
        return Err(Failure::new(fault).at("opt_in"));
    }
    if exchanges::has_so_many(db, &wish.partner, QUEUE_MOST)? {
        return Err(Failure::new(Fault::QueueFull).retry_after_s(60));
    }
    let (version, tables) = tables::beginning(db, &wish.partner, now_ms)?;
    let exchange = made(ctx, wish, &opt_in, live_key.clone(), (version, tables, now_ms));
    // The only other unique column is the request's key: another request with it came at the same time.
    let inserted =
        exchanges::insert(db, &exchange.row, &exchange.ask).map_err(|failure| match failed_on_duplicate(&failure) {
            true => Fault::IdempotencyKeyReused.into(),
            false => failure,
        })?;
    if !inserted {
        let live = exchanges::live(db, &live_key)?.ok_or(Fault::ExchangeRuns)?;
        return Ok(existing(live.id));
    }
    if is_new_opt_in {
        opt_ins::insert(db, &opt_in)?;
        let mut entry = entry(ctx, &exchange, Action::OptInRecorded, wish.by.as_ref());
        entry.consent = Some(crate::audit::ConsentNote {
            id: opt_in.id.clone(),
            decision: "permit",
            rule: "opt-in",
        });
        ledger::append(db, &entry, &ctx.ids.new_id(now_ms), ctx.clock.now_us())?;
    }
    let mut entry = entry(ctx, &exchange, ExchangeEvent::Started.action(), wish.by.as_ref());
    entry.tables = vec![(ESCALATION, exchange.tables.escalation_digest())];
    ledger::append(db, &entry, &ctx.ids.new_id(now_ms), ctx.clock.now_us())?;
    wake(db, ctx, &exchange.row, now_ms)?;
    failpoint::pass(INTAKE, BEFORE_COMMIT);
    Ok(AcceptedWish {
        exchange_id: exchange.row.id,
        is_new: true,
        is_replayed: false,
    })
}

/// Enqueues the job of an exchange.
pub(super) fn wake(db: &mut Db, ctx: &Context, row: &ExchangeRow, due_ms: i64) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let new = NewJob {
        kind: &EXCHANGE,
        partner: Some(&row.partner_id),
        key: &row.id,
        payload: "",
        due_ms,
    };
    enqueue(db, &ctx.ids.new_id(now_ms), &new, now_ms)?;
    Ok(())
}

/// The wish to ask again what this exchange asked, under the same opt-in and only for what is new since then.
pub fn again(before: &LoadedExchange, asked_for: AskedFor) -> ExchangeWish {
    let ask = &before.ask;
    ExchangeWish {
        partner: before.row.partner_id.clone(),
        member_id: before.row.member_id.as_deref().unwrap_or("").to_owned(),
        coverage: OtherCoverage {
            member_number: ask.member_number.clone(),
            subscriber_number: ask.subscriber_number.clone(),
            group_number: ask.group_number.clone(),
            plan: ask.plan.clone(),
            number_system: ask.number_system.clone(),
            begins: ask.begins.clone(),
            ends: ask.ends.clone(),
        },
        own_coverage_id: ask.own_coverage_id.clone(),
        cover: CoverKind::parse(&ask.cover).unwrap_or(CoverKind::Previous),
        asked_for,
        since_ms: before.result.as_of_ms,
        opt_in: WishedOptIn::OnRecord(ask.opt_in_id.clone()),
        correlation_id: None,
        request: None,
        run_of: Some(before.row.id.clone()),
        by: None,
    }
}

fn existing(exchange_id: String) -> AcceptedWish {
    AcceptedWish {
        exchange_id,
        is_new: false,
        is_replayed: false,
    }
}

fn opt_in(db: &mut Db, ctx: &Context, wish: &ExchangeWish, now_ms: i64) -> Result<(OptInRow, bool), Failure> {
    match &wish.opt_in {
        WishedOptIn::OnRecord(id) => Ok((opt_ins::find(db, id)?.ok_or(Fault::OptInUnknown)?, false)),
        WishedOptIn::New {
            attested_by,
            attested_ms,
            attested_how,
            policy,
            from_ms,
            to_ms,
        } => {
            if *attested_ms > now_ms {
                return Err(Failure::new(Fault::OptInMissing)
                    .at("opt_in.attested_at")
                    .remedy("Give a time that has passed."));
            }
            let row = OptInRow {
                id: ctx.ids.new_id(now_ms),
                member_id: wish.member_id.clone(),
                partner_id: wish.partner.clone(),
                policy: policy.clone(),
                from_ms: *from_ms,
                to_ms: *to_ms,
                attested_by: attested_by.clone(),
                attested_ms: *attested_ms,
                attested_how: attested_how.clone(),
                recorded_ms: now_ms,
                revoked_ms: None,
                revoked_by: None,
                revoked_why: None,
            };
            Ok((row, true))
        }
    }
}

fn made(
    ctx: &Context,
    wish: &ExchangeWish,
    opt_in: &OptInRow,
    live_key: String,
    (version, tables, now_ms): (String, Arc<ExchangeTables>, i64),
) -> LoadedExchange {
    let id = ctx.ids.new_id(now_ms);
    let coverage = &wish.coverage;
    let row = ExchangeRow {
        direction: "outbound".into(),
        kind: "single".into(),
        partner_id: wish.partner.clone(),
        member_id: Some(wish.member_id.clone()),
        live_key: Some(live_key),
        correlation_id: wish.correlation_id.clone().unwrap_or_else(|| id.clone()),
        workflow: WORKFLOW,
        policy_version: version,
        phase: Phase::Requested.code().into(),
        identity_state: IdentityState::Unresolved.code().into(),
        consent_state: ConsentState::Unchecked.code().into(),
        transport_state: TransportState::Idle.code().into(),
        delivery_state: DeliveryState::None.code().into(),
        audit_state: AuditState::Open.code().into(),
        owner: first().owner.code().into(),
        reason: None,
        step: StepName::MemberMatch.code().into(),
        round: 1,
        attempts: 0,
        wake_ms: None,
        parked_at_ms: None,
        deadline_ms: now_ms + tables.escalation.automatic_ms,
        due_ms: ask_due_ms(now_ms, ctx.payer.time_zone),
        answer_due_ms: None,
        run_of: wish.run_of.clone(),
        superseded_by: None,
        version: 1,
        created_ms: now_ms,
        updated_ms: now_ms,
        ended_ms: None,
        asked_at: None,
        id: id.clone(),
    };
    let ask = AskRow {
        exchange_id: id.clone(),
        asked_for: wish.asked_for.code().into(),
        cover: wish.cover.code().into(),
        opt_in_id: opt_in.id.clone(),
        own_coverage_id: wish.own_coverage_id.clone(),
        member_number: coverage.member_number.clone(),
        subscriber_number: coverage.subscriber_number.clone(),
        group_number: coverage.group_number.clone(),
        plan: coverage.plan.clone(),
        number_system: coverage.number_system.clone(),
        begins: coverage.begins.clone(),
        ends: coverage.ends.clone(),
        coverage_digest: coverage_digest(coverage),
        since_ms: wish.since_ms,
        request_key: wish.request.as_ref().map(|(key, _)| key.clone()),
        request_digest: wish.request.as_ref().map(|(_, digest)| digest.clone()),
        started_by: wish
            .by
            .as_ref()
            .map_or_else(|| "system".into(), |by| by.operator.clone()),
    };
    LoadedExchange {
        row,
        ask,
        result: ExchangeResultRow {
            exchange_id: id,
            ..ExchangeResultRow::default()
        },
        missing: Vec::new(),
        was_unauthorized: false,
        tables,
    }
}

/// The name of a business intent, which one live exchange has at a time.
pub(super) fn live_key(wish: &ExchangeWish) -> String {
    let parts = [
        "outbound",
        "single",
        &wish.partner,
        &wish.member_id,
        &coverage_digest(&wish.coverage),
        wish.asked_for.code(),
    ];
    hex(&sha256_of(
        &parts
            .map(|part| [part.as_bytes(), b"\n"].concat())
            .each_ref()
            .map(Vec::as_slice),
    ))
}

/// The digest of a coverage: by what the other payer knows it.
fn coverage_digest(coverage: &OtherCoverage) -> String {
    let part = |text: &Option<String>| text.as_deref().unwrap_or("").to_owned();
    let text = [
        coverage.member_number.clone(),
        part(&coverage.subscriber_number),
        part(&coverage.group_number),
        part(&coverage.plan),
        part(&coverage.number_system),
    ]
    .join("\n");
    hex(&sha256_of(&[text.as_bytes()]))
}

//! `/ops/v1/exchanges`: asking another payer for a member's record, how that stands, and what operators do with it.

use super::decisions::view;
use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use crate::audit::Object;
use crate::clock::parse_rfc3339_ms;
use crate::consent::WithdrawnBy;
use crate::error::{Failure, Fault};
use crate::exchange::acts::{ActResult, ExchangeAct, act, replay_parked};
use crate::exchange::enrolments::EnrolmentFields;
use crate::exchange::intake::start_in;
use crate::exchange::phase::Phase;
use crate::ids::is_fhir_id;
use crate::ops::both_ways::{self, Direction};
use crate::ops::disclosures::DisclosuresAsked;
use crate::ops::exchanges::ExchangeFilter;
use crate::ops::inbound::ExchangeView;
use crate::ops::states;
use crate::secret::{hex, sha256};
use crate::store::idempotency::parse_key;
use actix_web::HttpMessage as _;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Marks a request whose answer was given before under its key.
#[derive(Clone, Copy)]
pub(super) struct WasReplayed;

/// `GET /ops/v1/exchanges`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let member = asked.query.text("member");
    let member = member.map(|text| text.trim_start_matches("Patient/").to_owned());
    let refused = |field: &str, remedy: &str| Failure::new(Fault::ParameterInvalid).at(field).remedy(remedy);
    if member.as_deref().is_some_and(|id| !is_fhir_id(id)) {
        return Err(refused("member", "Give Patient/<id> or the id."));
    }
    let phase = asked.query.text("phase");
    if phase.as_deref().is_some_and(|phase| Phase::parse(phase).is_none()) {
        return Err(refused("phase", "Give one of the phases of GET /ops/v1/states."));
    }
    for name in ["state", "fault"] {
        // PostgreSQL fails on a text with a NUL; no name has one.
        if asked.query.text(name).is_some_and(|text| !is_name(&text)) {
            return Err(refused(
                name,
                "Give a name of GET /ops/v1/states, or the code of a fault.",
            ));
        }
    }
    let direction = asked.query.text("direction");
    let direction = direction
        .map(|name| Direction::parse(&name).ok_or_else(|| refused("direction", "Give inbound or outbound.")))
        .transpose()?;
    let filter = ExchangeFilter {
        partner: asked.partner().await?,
        phase,
        state: asked.query.text("state"),
        fault: asked.query.text("fault"),
        correlation: asked.query.correlation()?,
        member,
        since_ms: asked.query.instant("since")?,
        cursor: asked.query.id("cursor")?,
        limit: PAGE,
    };
    let object = filter.member.as_deref().map(crate::ops::viewed::patient);
    asked.show("exchanges", object).await?;
    let how = how(asked);
    // It may be long, and SQLite would run it on the thread that answers `/ready` and revocations.
    let store = &asked.app.ctx.store;
    let page = store
        .read_apart(move |db| both_ways::list(db, &filter, direction, how))
        .await?;
    pages::list(asked, page)
}

/// Whether a text can be the name of a state or the code of a fault.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// `GET /ops/v1/exchanges/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = id(asked)?;
    let object = Object {
        kind: "Exchange",
        id: id.clone(),
    };
    asked.show("exchanges", Some(object)).await?;
    shown(asked, id).await
}

/// The exchanges of the member with exactly this number, for a page of the console. A look that finds nobody is in the ledger too; the number is
/// in no address, no log and no entry.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without a reason, and for what is no number; [`Fault::MemberUnknown`]; [`Fault::MemberNumberShared`]; those of the
/// store.
pub(super) async fn of_number(asked: &OpsRequest, number: String) -> Result<JsonBody, Failure> {
    asked.demand_reason()?;
    asked.show("exchanges", None).await?;
    let wanted = DisclosuresAsked {
        member_number: Some(number),
        ..DisclosuresAsked::default()
    };
    let payer = Arc::clone(&asked.app.ctx.payer);
    let found = asked.read(move |db| wanted.patient(db, &payer)).await?;
    let member = found.ok_or(Fault::MemberUnknown)?;
    asked
        .show("exchanges", Some(crate::ops::viewed::patient(&member)))
        .await?;
    let filter = ExchangeFilter {
        member: Some(member),
        limit: PAGE,
        ..ExchangeFilter::default()
    };
    let how = how(asked);
    let store = &asked.app.ctx.store;
    let page = store
        .read_apart(move |db| both_ways::list(db, &filter, None, how))
        .await?;
    pages::list(asked, page)
}

fn how(asked: &OpsRequest) -> ExchangeView {
    ExchangeView {
        view: view(asked.sees),
        now_ms: asked.app.ctx.clock.now_ms(),
        zone: asked.app.ctx.payer.time_zone,
        keys: asked.app.ctx.member_keys.clone(),
    }
}

async fn shown(asked: &OpsRequest, id: String) -> Result<JsonBody, Failure> {
    let how = how(asked);
    let store = &asked.app.ctx.store;
    JsonBody::of(&store.read_apart(move |db| both_ways::one(db, &id, how)).await?)
}

fn id(asked: &OpsRequest) -> Result<String, Failure> {
    asked.id(|| Fault::ExchangeUnknown.into())
}

/// `POST /ops/v1/exchanges`: the body is an enrolment; answers with the exchange that it leads to, new or not.
pub(super) async fn start(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let fields: EnrolmentFields = asked.body()?;
    let headers: Vec<Vec<u8>> = asked
        .request
        .headers()
        .get_all("idempotency-key")
        .map(|value| value.as_bytes().to_vec())
        .collect();
    let key = parse_key(&headers)?.ok_or_else(|| {
        Failure::new(Fault::IdempotencyKeyBad)
            .at("http.idempotency-key")
            .remedy("Send an Idempotency-Key: the same one when you repeat the request.")
    })?;
    // A key belongs to the operator who sent it.
    let request_key = hex(&sha256(format!("{}\n{key}", asked.operator.name).as_bytes()));
    let by = WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        "started over /ops/v1/exchanges",
        asked.correlation(),
    )?;
    let ctx = asked.app.ctx.clone();
    let accepted = asked
        .app
        .ctx
        .store
        .write(asked.held(move |db| {
            let mut wish = fields.wish(db, &ctx.payer, Some(by.clone()))?;
            wish.request = Some((request_key.clone(), fields.digest()));
            if wish.correlation_id.is_none() {
                wish.correlation_id = Some(by.correlation.correlation_id.clone());
            }
            start_in(db, &ctx, &wish)
        }))
        .await?;
    if accepted.is_replayed {
        asked.request.extensions_mut().insert(WasReplayed);
    }
    shown(asked, accepted.exchange_id).await
}

/// Why something is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Because {
    reason: String,
}

/// `POST /ops/v1/exchanges/{id}/cancel` and its like: answers with the exchange as it is from now on, or with the one that goes on instead.
pub(super) async fn do_act(asked: &OpsRequest, what: ExchangeAct) -> Result<JsonBody, Failure> {
    let because: Because = asked.body()?;
    let by = WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        &because.reason,
        asked.correlation(),
    )?;
    let id = id(asked)?;
    let ctx = asked.app.ctx.clone();
    let done = asked
        .app
        .ctx
        .store
        .write(asked.held(move |db| act(db, &ctx, &id, what, &by)))
        .await?;
    match done {
        ActResult::Done { exchange_id } => shown(asked, exchange_id).await,
        ActResult::NotAllowed => Err(Failure::new(Fault::ExchangeMoveRefused).noted()),
    }
}

/// Exchanges that one request may replay.
const REPLAYED_MOST: usize = 100;

/// Which exchanges are to go on, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ManyGoOn {
    ids: Vec<String>,
    /// When the list was read from which they were chosen; now when it is left out.
    seen_at: Option<String>,
    reason: String,
}

/// What became of one of them.
#[derive(Serialize)]
struct OneOfMany {
    id: String,
    /// `replayed`, `left_alone` for one that has gone on or ended meanwhile or was parked again, or `refused`.
    outcome: &'static str,
    /// Code of the fault for which it was refused.
    fault: Option<&'static str>,
}

/// What became of all of them.
#[derive(Serialize)]
struct ManyGone {
    replayed: usize,
    left_alone: usize,
    refused: usize,
    items: Vec<OneOfMany>,
}

/// `POST /ops/v1/exchanges/replay`: each is replayed by a transaction of its own, as one alone would be.
pub(super) async fn replay_many(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let mut wanted: ManyGoOn = asked.body()?;
    wanted.ids.sort_unstable();
    wanted.ids.dedup();
    let is_good = (1..=REPLAYED_MOST).contains(&wanted.ids.len()) && wanted.ids.iter().all(|id| is_fhir_id(id));
    if !is_good {
        let remedy = format!("Give the ids of 1 to {REPLAYED_MOST} exchanges.");
        return Err(Failure::new(Fault::ParameterInvalid).at("ids").remedy(remedy));
    }
    let seen_ms = match wanted.seen_at.as_deref().map(parse_rfc3339_ms) {
        None => asked.app.ctx.clock.now_ms(),
        Some(Some(seen_ms)) => seen_ms,
        Some(None) => {
            let remedy = "Give the RFC 3339 instant at which the list of them was read.";
            return Err(Failure::new(Fault::ParameterInvalid).at("seen_at").remedy(remedy));
        }
    };
    let by = WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        &wanted.reason,
        asked.correlation(),
    )?;
    let mut items = Vec::with_capacity(wanted.ids.len());
    for id in wanted.ids {
        let (ctx, own, by) = (asked.app.ctx.clone(), id.clone(), by.clone());
        let work = asked.held(move |db| replay_parked(db, &ctx, &own, seen_ms, &by));
        let (outcome, fault) = match asked.app.ctx.store.write(work).await {
            Ok(Some(ActResult::Done { .. })) => ("replayed", None),
            Ok(Some(ActResult::NotAllowed)) => ("refused", Some(Fault::ExchangeMoveRefused.code())),
            Ok(None) => ("left_alone", None),
            // Nobody acts under a token that was revoked meanwhile.
            Err(failure) if failure.fault() == Fault::TokenInvalid => return Err(failure),
            Err(failure) => ("refused", Some(failure.fault().code())),
        };
        items.push(OneOfMany { id, outcome, fault });
    }
    let count = |outcome: &str| items.iter().filter(|one| one.outcome == outcome).count();
    JsonBody::of(&ManyGone {
        replayed: count("replayed"),
        left_alone: count("left_alone"),
        refused: count("refused"),
        items,
    })
}

/// `GET /ops/v1/states`.
pub(super) fn state_tables() -> Result<JsonBody, Failure> {
    JsonBody::of(&states::tables())
}

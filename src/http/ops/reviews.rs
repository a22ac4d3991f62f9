//! `/ops/v1/reviews`, `/ops/v1/links` and `/ops/v1/members/{id}/graph`: what a person decides about identity.
//!
//! Personal words go to the role `reviewer` only, and every view is in the ledger before it is shown.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use super::table::Sees;
use crate::audit::Object;
use crate::error::{Failure, Fault};
use crate::identity::graph::State;
use crate::ops::disclosures::DisclosuresAsked;
use crate::ops::links::{self, LinkFilter};
use crate::ops::reviews::{self, DecidedReview, ReviewDetail, ReviewFilter};
use crate::ops::viewed::patient;
use crate::review::links::{LinkAct, perform};
use crate::review::{self, Act, Choice, ReviewActor, ReviewerCommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// `GET /ops/v1/reviews`: those that wait for a person, or those of `state` (`all` for every state).
pub(super) async fn queue(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let state = asked.query.text("state");
    let filter = ReviewFilter {
        partner: asked.partner().await?,
        all: state.as_deref() == Some("all"),
        state: state.filter(|state| state != "all"),
        cursor: asked.query.id("cursor")?,
        limit: PAGE,
    };
    let state = filter.state.as_deref();
    if state.is_some_and(|state| review::ReviewState::parse(state).is_none()) {
        return Err(Failure::new(Fault::ParameterInvalid).at("state"));
    }
    show(asked, None).await?;
    let now_ms = asked.app.ctx.clock.now_ms();
    let page = asked.read(move |db| reviews::list(db, &filter, now_ms)).await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/reviews/{id}`: the candidates side by side with what was asked.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let sight = match asked.sees {
        Sees::Words => ReviewDetail::Words,
        Sees::Ids => ReviewDetail::Patients,
        _ => ReviewDetail::Levels,
    };
    let id = known(asked).await?;
    let object = Object {
        kind: "Review",
        id: id.clone(),
    };
    show(asked, Some(object)).await?;
    let now_ms = asked.app.ctx.clock.now_ms();
    JsonBody::of(&asked.read(move |db| reviews::one(db, &id, sight, now_ms)).await?)
}

/// What a decision says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// `confirm`, `reject`, `defer`, `take` or `reopen`.
    verdict: String,
    /// Place (number or text) or Patient id, with `confirm`.
    candidate: Option<Value>,
    /// Hours, with `defer`.
    hours: Option<u32>,
    operator: String,
    reason: String,
    /// The version that was seen.
    version: Option<i64>,
}

/// `POST /ops/v1/reviews/{id}/decide`.
pub(super) async fn decide(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let decision: Decision = asked.body()?;
    let order = ReviewerCommand {
        review: known(asked).await?,
        act: act(&decision)?,
        by: ReviewActor {
            operator: decision.operator,
            hand: asked.operator.name.clone(),
            reason: decision.reason,
            token: Some(asked.operator.token),
            correlation: asked.correlation(),
        },
        seen: decision.version,
    };
    let id = order.review.clone();
    let ctx = &asked.app.ctx;
    let done = ctx.store.write(asked.held(review::perform(ctx, order)?)).await?;
    JsonBody::of(&DecidedReview::of(&id, &done))
}

fn act(decision: &Decision) -> Result<Act, Failure> {
    let wrong = |place: &'static str| Failure::new(Fault::ParameterInvalid).at(place);
    match decision.verdict.as_str() {
        "confirm" => match &decision.candidate {
            Some(Value::String(text)) => Ok(Act::Confirm(Choice::parse(text))),
            Some(Value::Number(number)) => Ok(Act::Confirm(Choice::Place(
                number.as_i64().ok_or_else(|| wrong("candidate"))?,
            ))),
            _ => Err(wrong("candidate").remedy("Name the candidate by its place or its Patient id.")),
        },
        "reject" => Ok(Act::Reject),
        "defer" => Ok(Act::Defer(i64::from(decision.hours.unwrap_or(24)) * 3_600_000)),
        "take" => Ok(Act::Take),
        "reopen" => Ok(Act::Reopen),
        _ => Err(wrong("verdict").remedy("Use confirm, reject, defer, take or reopen.")),
    }
}

/// `GET /ops/v1/links`: the numbers themselves for the role `reviewer` only.
pub(super) async fn edges(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted = DisclosuresAsked {
        member: asked.query.text("member"),
        ..DisclosuresAsked::default()
    };
    let payer = Arc::clone(&asked.app.ctx.payer);
    let filter = LinkFilter {
        member: asked.read(move |db| wanted.patient(db, &payer)).await?,
        partner: asked.partner().await?,
        state: asked.query.text("state"),
        cursor: asked.query.id("cursor")?,
        limit: PAGE,
    };
    let state = filter.state.as_deref();
    if state.is_some_and(|state| State::parse(state).is_none()) {
        let remedy = "Give a state as `causeway link list --help` names them.";
        return Err(Failure::new(Fault::ParameterInvalid).at("state").remedy(remedy));
    }
    show(asked, filter.member.as_deref().map(patient)).await?;
    listed(asked, filter).await
}

async fn listed(asked: &OpsRequest, filter: LinkFilter) -> Result<JsonBody, Failure> {
    let words = asked.sees == Sees::Words;
    let page = asked.read(move |db| links::list(db, &filter, words)).await?;
    pages::list(asked, page)
}

/// The links to the member with exactly this number, for a page of the console; the number is in no address, no log and no entry.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without a reason, and for what is no number; [`Fault::MemberUnknown`]; [`Fault::MemberNumberShared`]; those of the
/// store.
pub(super) async fn edges_of_number(asked: &OpsRequest, number: String) -> Result<JsonBody, Failure> {
    asked.demand_reason()?;
    show(asked, None).await?;
    let wanted = DisclosuresAsked {
        member_number: Some(number),
        ..DisclosuresAsked::default()
    };
    let payer = Arc::clone(&asked.app.ctx.payer);
    let found = asked.read(move |db| wanted.patient(db, &payer)).await?;
    let member = found.ok_or(Fault::MemberUnknown)?;
    show(asked, Some(patient(&member))).await?;
    let filter = LinkFilter {
        member: Some(member),
        partner: None,
        state: None,
        cursor: None,
        limit: PAGE,
    };
    listed(asked, filter).await
}

/// Why a link is disputed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Doubt {
    reason: String,
}

/// What came of a dispute.
#[derive(Serialize)]
struct DisputedLink {
    /// Id of the review.
    review: String,
    /// How many grants ended.
    grants: usize,
}

/// `POST /ops/v1/links/{id}/dispute`.
pub(super) async fn dispute(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (link, body) = (asked.id(|| Fault::LinkUnknown.into())?, asked.body::<Doubt>()?);
    let by = ReviewActor {
        operator: asked.operator.name.clone(),
        hand: asked.operator.name.clone(),
        reason: body.reason,
        token: Some(asked.operator.token),
        correlation: asked.correlation(),
    };
    let ctx = &asked.app.ctx;
    let dealt = ctx
        .store
        .write(asked.held(perform(ctx, LinkAct::Dispute(link), by)?))
        .await?;
    JsonBody::of(&DisputedLink {
        review: dealt.id,
        grants: dealt.grants,
    })
}

/// `GET /ops/v1/members/{id}/graph`: links, steps, the surviving view, `Patient.link` and `Linkage`.
pub(super) async fn graph(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = asked.id(|| Fault::LinkUnknown.into())?;
    show(asked, Some(patient(&id))).await?;
    let umb_system = asked.app.ctx.payer.umb_system.clone();
    let now_ms = asked.app.ctx.clock.now_ms();
    JsonBody::of(&asked.read(move |db| links::graph(db, &id, &umb_system, now_ms)).await?)
}

/// Notes in the ledger that a review, the links of a member, or a list is about to be shown.
async fn show(asked: &OpsRequest, about: Option<Object>) -> Result<(), Failure> {
    let (note, correlation) = (asked.note(), asked.correlation());
    let entry = review::viewed(&asked.app.ctx, asked.role.name(), note, &correlation, about);
    asked.note_look(entry).await
}

/// The id of a review that is there.
async fn known(asked: &OpsRequest) -> Result<String, Failure> {
    let id = asked.id(|| Fault::ReviewUnknown.into())?;
    asked
        .read(move |db| crate::store::reviews::find(db, &id).map(|row| row.id))
        .await
}

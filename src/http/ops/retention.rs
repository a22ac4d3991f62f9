//! `/ops/v1/retention`: how long what is kept, and legal holds. Who acts is who holds the token; a member number comes in a body only.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use super::table::Sees;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::disclosures::DisclosuresAsked;
use crate::ops::retention::{self as shown, HoldFilter};
use crate::retention::hold::{self, HeldTarget, HoldActor};
use serde::Deserialize;
use std::sync::Arc;

/// `GET /ops/v1/retention`.
pub(super) async fn whole(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    JsonBody::of(&asked.read(move |db| shown::whole(db, &ctx)).await?)
}

/// `GET /ops/v1/retention/holds`.
pub(super) async fn holds(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let all = match asked.query.text("state").as_deref() {
        None => false,
        Some("all") => true,
        Some(_) => {
            let remedy = "Give state=all for released holds too, or leave it out.";
            return Err(Failure::new(Fault::ParameterInvalid).at("state").remedy(remedy));
        }
    };
    let filter = HoldFilter {
        all,
        cursor: asked.query.id("cursor")?,
        limit: PAGE,
    };
    asked.show("holds", None).await?;
    let view = view(asked);
    let page = asked.read(move |db| shown::holds(db, &filter, view)).await?;
    pages::list(asked, page)
}

/// What is to be held, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldAsked {
    member: Option<String>,
    member_number: Option<String>,
    exchange: Option<String>,
    case: Option<String>,
    reason: String,
}

/// `POST /ops/v1/retention/holds`: answers with the hold; again, with the same.
pub(super) async fn place(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted: HoldAsked = asked.body()?;
    let by = by(asked, &wanted.reason)?;
    let case = hold::case(wanted.case.as_deref())?;
    let member = DisclosuresAsked {
        member: wanted.member,
        member_number: wanted.member_number,
        ..DisclosuresAsked::default()
    };
    let payer = Arc::clone(&asked.app.ctx.payer);
    let patient = asked.read(move |db| member.patient(db, &payer)).await?;
    let target = match (patient, wanted.exchange) {
        (Some(patient), None) => HeldTarget::Member(patient),
        (None, Some(exchange)) if is_fhir_id(&exchange) => HeldTarget::Exchange(exchange),
        (None, Some(_)) => return Err(Fault::ExchangeUnknown.into()),
        _ => {
            let remedy = "Give one of member, member_number and exchange.";
            return Err(Failure::new(Fault::ParameterInvalid).at("member").remedy(remedy));
        }
    };
    let ctx = &asked.app.ctx;
    let id = ctx
        .store
        .reserved()
        .write(asked.held(hold::place(ctx, target, case, by)))
        .await?;
    one(asked, id).await
}

/// Why a hold is released.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseAsked {
    reason: String,
}

/// `POST /ops/v1/retention/holds/{id}/release`: answers with the hold as it is from now on; again, with the same.
pub(super) async fn release(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted: ReleaseAsked = asked.body()?;
    let by = by(asked, &wanted.reason)?;
    let id = asked.id(|| Fault::HoldUnknown.into())?;
    let ctx = &asked.app.ctx;
    ctx.store
        .reserved()
        .write(asked.held(hold::release(ctx, id.clone(), by)))
        .await?;
    one(asked, id).await
}

async fn one(asked: &OpsRequest, id: String) -> Result<JsonBody, Failure> {
    let view = view(asked);
    JsonBody::of(&asked.read(move |db| shown::hold(db, &id, view)).await?)
}

fn by(asked: &OpsRequest, reason: &str) -> Result<HoldActor, Failure> {
    let (operator, role) = (asked.operator.name.clone(), asked.role.name());
    HoldActor::new(operator, role, reason, asked.correlation())
}

/// Whoever may see ids of Patients may see reasons, too.
fn view(asked: &OpsRequest) -> View {
    match asked.sees {
        Sees::Ids => View::Full,
        _ => View::WithoutPatients,
    }
}

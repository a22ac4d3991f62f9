//! `/ops/v1/service` and `/ops/v1/scorecards/{partner}`: how this server and a partner do in a period, as JSON and as pages.

use super::request::{JsonBody, OpsRequest};
use crate::error::{Failure, Fault};
use crate::ops::disclosures::known_partner;
use crate::ops::scorecard::page;
use crate::ops::scorecard::period::CardPeriod;
use crate::ops::scorecard::read::{self, Scorecard, ServiceReport};
use actix_web::web::Bytes;

/// `GET /ops/v1/service`.
pub(super) async fn service(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    JsonBody::of(&report(asked).await?)
}

/// `GET /ops/v1/service/page`.
pub(super) async fn service_page(asked: &OpsRequest) -> Result<Bytes, Failure> {
    let report = report(asked).await?;
    Ok(Bytes::from(page::service(&report, &asked.app.ctx.payer.name)))
}

/// `GET /ops/v1/scorecards/{partner}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    JsonBody::of(&card(asked).await?)
}

/// `GET /ops/v1/scorecards/{partner}/page`.
pub(super) async fn page_of_one(asked: &OpsRequest) -> Result<Bytes, Failure> {
    let card = card(asked).await?;
    Ok(Bytes::from(page::scorecard(&card, &asked.app.ctx.payer.name)))
}

/// The period that is asked for, and the time now (UTC milliseconds).
fn period(asked: &OpsRequest) -> Result<(CardPeriod, i64), Failure> {
    let (text, now_ms) = (asked.query.text("period"), asked.app.ctx.clock.now_ms());
    Ok((CardPeriod::asked("period", text.as_deref(), now_ms)?, now_ms))
}

async fn report(asked: &OpsRequest) -> Result<ServiceReport, Failure> {
    let (period, now_ms) = period(asked)?;
    let store = &asked.app.ctx.store;
    store.read_apart(move |db| read::service(db, &period, now_ms)).await
}

async fn card(asked: &OpsRequest) -> Result<Scorecard, Failure> {
    let (period, now_ms) = period(asked)?;
    let id = asked.id(|| Fault::PartnerUnknown.into())?;
    let store = &asked.app.ctx.store;
    let read = store.read_apart(move |db| {
        let partner = known_partner(db, Some(&id))?;
        read::scorecard(db, partner.as_deref(), &period, now_ms)
    });
    read.await
}

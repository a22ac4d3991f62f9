//! `/ops/v1/partners`, `/controls`, `/policies`, `/faults`, `/runbook`, `/alerts`, `/slo`, `/jobs`, `/bulk-jobs` and `/bulk-runs`: lists that name no
//! member.

use super::pages;
use super::request::{JsonBody, OpsRequest};
use crate::controls::register;
use crate::error::{Failure, Fault, RunbookAbout};
use crate::ops::{Whole, alerts, bulk, bulk_runs, faults, jobs, partners, policies, slo};
use crate::policy::PolicyKind;
use crate::runbook;

/// `GET /ops/v1/partners`.
pub(super) async fn partners(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let now_ms = asked.app.ctx.clock.now_ms();
    let items = asked.read(move |db| partners::list(db, now_ms)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/controls`.
pub(super) async fn controls(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let now_ms = asked.app.ctx.clock.now_ms();
    let items = asked.read(move |db| register::listed(db, now_ms)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/policies`.
pub(super) async fn policies(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let kind = match asked.query.text("kind") {
        Some(text) => Some(PolicyKind::parse(&text).ok_or_else(|| Failure::new(Fault::ParameterInvalid).at("kind"))?),
        None => None,
    };
    let items = asked.read(move |db| policies::items(&ctx, db, kind)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/faults`.
pub(super) fn faults() -> Result<JsonBody, Failure> {
    JsonBody::of(&Whole::from(faults::table()))
}

/// `GET /ops/v1/runbook`.
pub(super) fn runbook(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let about = match asked.query.text("about") {
        Some(text) => {
            let known = RunbookAbout::parse(&text);
            Some(known.ok_or_else(|| Failure::new(Fault::ParameterInvalid).at("about"))?)
        }
        None => None,
    };
    JsonBody::of(&Whole::from(runbook::list(about)))
}

/// `GET /ops/v1/runbook/{code}`.
pub(super) fn runbook_entry(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    JsonBody::of(&runbook::find(&asked.path_id()?, Fault::NotFound)?)
}

/// `GET /ops/v1/alerts`.
pub(super) async fn alerts(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let now_ms = asked.app.ctx.clock.now_ms();
    let items = asked.read(move |db| alerts::items(db, now_ms)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/slo`.
pub(super) async fn slo(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let now_ms = asked.app.ctx.clock.now_ms();
    let store = &asked.app.ctx.store;
    let found = store.read_apart(move |db| slo::read::report(db, now_ms)).await?;
    JsonBody::of(&found)
}

/// `GET /ops/v1/jobs`.
pub(super) async fn jobs(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (cursor, now_ms) = (asked.query.id("cursor")?, asked.app.ctx.clock.now_ms());
    let is_parked = match asked.query.text("state").as_deref() {
        None => false,
        Some("parked") => true,
        Some(_) => {
            let remedy = "Give the state parked, or none.";
            return Err(Failure::new(Fault::ParameterInvalid).at("state").remedy(remedy));
        }
    };
    let page = asked
        .read(move |db| jobs::list(db, is_parked, cursor.as_deref(), now_ms))
        .await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/bulk-jobs`.
pub(super) async fn bulk_jobs(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    JsonBody::of(&Whole::from(asked.read(bulk::list).await?))
}

/// `GET /ops/v1/bulk-runs`.
pub(super) async fn bulk_runs(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    JsonBody::of(&Whole::from(asked.read(bulk_runs::list).await?))
}

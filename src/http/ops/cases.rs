//! `/ops/v1/cases`: cases that group what evidence packets are about. The acts are those of `causeway evidence case`.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use crate::audit::Object;
use crate::consent::WithdrawnBy;
use crate::error::{Failure, Fault};
use crate::evidence::cases;
use crate::ops::packets::{self, CaseItem};
use serde::Deserialize;

/// What the ledger says was looked at.
const WHAT: &str = "evidence";
/// Ids that one request may add.
const IDS_MOST: usize = 100;

/// `GET /ops/v1/cases`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let cursor = asked.query.id("cursor")?;
    asked.show(WHAT, None).await?;
    let page = asked
        .read(move |db| packets::cases(db, cursor.as_deref(), PAGE))
        .await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/cases/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = id(asked)?;
    let object = Object {
        kind: "EvidenceCase",
        id: id.clone(),
    };
    asked.show(WHAT, Some(object)).await?;
    JsonBody::of(&asked.read(move |db| packets::case(db, &id)).await?)
}

/// A new case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    name: String,
    reason: String,
}

/// `POST /ops/v1/cases`.
pub(super) async fn open(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: Opening = asked.body()?;
    let ctx = &asked.app.ctx;
    let opened = cases::open(ctx, &body.name, by(asked, &body.reason)?)?;
    let row = ctx.store.write(asked.held(opened)).await?;
    JsonBody::of(&CaseItem::of(row))
}

/// What a case gets.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Adding {
    ids: Vec<String>,
    reason: String,
}

/// `POST /ops/v1/cases/{id}/add`.
pub(super) async fn add(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (id, body) = (id(asked)?, asked.body::<Adding>()?);
    if body.ids.is_empty() || body.ids.len() > IDS_MOST {
        let remedy = format!("Give 1 to {IDS_MOST} ids of exchanges, or correlation ids.");
        return Err(Failure::new(Fault::ParameterInvalid).at("ids").remedy(remedy));
    }
    let ctx = &asked.app.ctx;
    let added = cases::add(ctx, &id, &body.ids, by(asked, &body.reason)?);
    ctx.store.write(asked.held(added)).await?;
    JsonBody::of(&asked.read(move |db| packets::case(db, &id)).await?)
}

/// Why it is closed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Closing {
    reason: String,
}

/// `POST /ops/v1/cases/{id}/close`.
pub(super) async fn close(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (id, body) = (id(asked)?, asked.body::<Closing>()?);
    let ctx = &asked.app.ctx;
    let closed = cases::close(ctx, &id, by(asked, &body.reason)?);
    let row = ctx.store.write(asked.held(closed)).await?;
    JsonBody::of(&CaseItem::of(row))
}

fn by(asked: &OpsRequest, reason: &str) -> Result<WithdrawnBy, Failure> {
    WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        reason,
        asked.correlation(),
    )
}

fn id(asked: &OpsRequest) -> Result<String, Failure> {
    asked.id(|| Fault::CaseUnknown.into())
}

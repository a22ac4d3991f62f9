//! `/ops/v1/partners`, `/policies` and `/faults`: lists that come whole.

use super::request::{JsonBody, OpsRequest};
use crate::error::Failure;
use crate::ops::{Whole, faults, partners, policies};

/// `GET /ops/v1/partners`.
pub(super) async fn partners(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let now_ms = asked.app.ctx.clock.now_ms();
    let items = asked.read(move |db| partners::list(db, now_ms)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/policies`.
pub(super) async fn policies(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let items = asked.read(move |db| policies::items(&ctx, db)).await?;
    JsonBody::of(&Whole::from(items))
}

/// `GET /ops/v1/faults`.
pub(super) fn faults() -> Result<JsonBody, Failure> {
    JsonBody::of(&Whole::from(faults::table()))
}

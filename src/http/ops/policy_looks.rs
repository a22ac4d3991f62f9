//! `/ops/v1/policies/replay` and `/compare`: what a version of a policy would have decided. They read records, and show no value of a person
//! and no id of a member.

use super::policy_acts::kind_asked;
use super::request::{JsonBody, OpsRequest};
use crate::audit::Object;
use crate::error::{Failure, Fault};
use crate::ops::policy_replay::{self, COMPARED_MOST};

/// `GET /ops/v1/policies/replay`.
pub(super) async fn replay(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let id = asked
        .query
        .id("id")?
        .ok_or_else(|| wrong("id", "Give the id of a decision or of an exchange."))?;
    let (version, kind) = (version(asked)?, kind_asked(asked)?);
    let item = asked
        .read(move |db| policy_replay::replay(&ctx, db, &id, (kind, &version)))
        .await?;
    let object = Object {
        kind: item.object_kind(),
        id: item.id.clone(),
    };
    asked.show("policy-replay", Some(object)).await?;
    JsonBody::of(&item)
}

/// `GET /ops/v1/policies/compare`.
pub(super) async fn compare(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let (version, kind, partner) = (version(asked)?, kind_asked(asked)?, asked.partner().await?);
    let last = match asked.query.text("last") {
        None => COMPARED_MOST,
        Some(text) => text
            .parse::<i64>()
            .ok()
            .filter(|last| (1..=COMPARED_MOST).contains(last))
            .ok_or_else(|| wrong("last", format!("Give a number from 1 to {COMPARED_MOST}.")))?,
    };
    asked.show("policy-compare", None).await?;
    let sum = asked
        .read(move |db| policy_replay::compare(&ctx, db, (kind, &version), partner.as_deref(), last))
        .await?;
    JsonBody::of(&sum)
}

fn version(asked: &OpsRequest) -> Result<String, Failure> {
    let none = || wrong("version", "Name a version: its id, its name, or what a decision cites.");
    asked.query.text("version").ok_or_else(none)
}

fn wrong(at: &'static str, remedy: impl Into<String>) -> Failure {
    Failure::new(Fault::ParameterInvalid).at(at).remedy(remedy.into())
}

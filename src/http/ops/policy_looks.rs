//! `/ops/v1/policies/{id}`, `/diff`, `/replay` and `/compare`: a version of a policy, how two differ, and what one would have decided. Those that
//! read records show no value of a person and no id of a member.

use super::policy_acts::kind_asked;
use super::request::{JsonBody, OpsRequest};
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::policies;
use crate::ops::policy_kinds::KINDS;
use crate::ops::policy_replay::{self, COMPARED_MOST};
use crate::policy::{self, PolicyKind, Version, VersionState};
use crate::store::Db;

/// `GET /ops/v1/policies/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let (wanted, kind) = (asked.path_id()?, kind_asked(asked)?);
    let found = asked
        .read(move |db| policy::find_in(&ctx, KINDS, db, kind, &wanted))
        .await?;
    JsonBody::of(&policies::with_text(&found))
}

/// `GET /ops/v1/policies/diff`.
pub(super) async fn diff(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let (wanted, other, kind) = (version(asked)?, asked.query.text("other"), kind_asked(asked)?);
    let found = asked.read(move |db| {
        let to = policy::find_in(&ctx, KINDS, db, kind, &wanted)?;
        let from = match &other {
            Some(other) => policy::find_in(&ctx, KINDS, db, Some(to.kind), other)?,
            None => in_force(&ctx, db, to.kind)?,
        };
        Ok(policies::difference(&from, &to))
    });
    JsonBody::of(&found.await?)
}

/// The version that decides for everyone who has no other one.
fn in_force(ctx: &Context, db: &mut Db, kind: PolicyKind) -> Result<Version, Failure> {
    let versions = policy::all(ctx, KINDS, db, Some(kind))?;
    let active = |version: &Version| matches!(version.standing, VersionState::Active(_));
    let none = || Failure::new(Fault::PolicyUnknown).remedy("No version of this kind is in force.");
    versions.into_iter().find(active).ok_or_else(none)
}

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

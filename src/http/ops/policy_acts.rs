//! `/ops/v1/policies/…`: who put which version of a policy in force, and doing it.
//!
//! The acts are those of the command `causeway policy`. Who acts is who holds the token; no body names one.

use super::request::{JsonBody, OpsRequest};
use crate::audit::OperatorNote;
use crate::consent::REASON_MAX;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::when::instant_ms;
use crate::identity::Point;
use crate::ids::is_one_line;
use crate::ops::Whole;
use crate::ops::policies::{self, activated};
use crate::ops::policy_kinds::KINDS;
use crate::policy::{self, Activated, ActivationWish, NewVersion, PolicyHand, PolicyKind, Version};
use actix_web::web;
use serde::Deserialize;

/// `GET /ops/v1/policies/acts`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let kind = kind_asked(asked)?;
    let now_ms = asked.app.ctx.clock.now_ms();
    let items = asked.read(move |db| policies::acts(db, kind, now_ms)).await?;
    JsonBody::of(&Whole::from(items))
}

/// A new version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Imported {
    kind: String,
    name: String,
    text: String,
    /// The operating point of a matching policy whose text names none.
    point: Option<String>,
    reason: String,
}

/// `POST /ops/v1/policies/import`.
pub(super) async fn import(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: Imported = asked.body()?;
    let kind = kind_of(&body.kind)?;
    let point = match body.point.as_deref() {
        None => None,
        Some("safe") => Some(Point::Safe),
        Some("balanced") => Some(Point::Balanced),
        Some(_) => return Err(Failure::new(Fault::ParameterInvalid).at("point")),
    };
    let hand = hand(asked, body.reason)?;
    let (ctx, name, text) = (asked.app.ctx.clone(), body.name, body.text);
    let work = move || {
        let new = NewVersion {
            kind,
            text: &text,
            name: &name,
            point,
        };
        policy::import(&ctx, KINDS, &new, &hand)
    };
    let version = web::block(work)
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))??;
    JsonBody::of(&policies::item(&version))
}

/// What puts a version in force.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activation {
    version: String,
    kind: Option<String>,
    #[serde(default)]
    partners: Vec<String>,
    /// An instant.
    at: Option<String>,
    reason: String,
}

/// `POST /ops/v1/policies/activate`.
pub(super) async fn activate(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: Activation = asked.body()?;
    let kind = body.kind.as_deref().map(kind_of).transpose()?;
    let wrong_time = || {
        Failure::new(Fault::ParameterInvalid)
            .at("at")
            .remedy("Give an instant with its zone, such as 2026-12-01T06:00:00Z.")
    };
    let at_ms = match &body.at {
        Some(text) => Some(instant_ms(text).ok_or_else(wrong_time)?),
        None => None,
    };
    let (hand, wish) = (
        hand(asked, body.reason)?,
        ActivationWish {
            partners: body.partners,
            at_ms,
        },
    );
    let version = body.version;
    done(asked, move |ctx| {
        policy::activate(ctx, KINDS, (kind, &version), &wish, &hand)
    })
    .await
}

/// What goes back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoingBack {
    kind: String,
    #[serde(default)]
    partners: Vec<String>,
    reason: String,
}

/// `POST /ops/v1/policies/rollback`.
pub(super) async fn roll_back(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: GoingBack = asked.body()?;
    let (kind, partners, hand) = (kind_of(&body.kind)?, body.partners, hand(asked, body.reason)?);
    done(asked, move |ctx| policy::roll_back(ctx, KINDS, kind, &partners, &hand)).await
}

/// Why an act is approved or withdrawn, or a shadow run ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

/// `POST /ops/v1/policies/acts/{id}/approve`.
pub(super) async fn approve(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (id, body) = (asked.id(|| Fault::ActivationUnknown.into())?, asked.body::<Why>()?);
    let hand = hand(asked, body.reason)?;
    done(asked, move |ctx| policy::approve(ctx, KINDS, &id, &hand)).await
}

/// `POST /ops/v1/policies/acts/{id}/withdraw`.
pub(super) async fn withdraw(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (id, body) = (asked.id(|| Fault::ActivationUnknown.into())?, asked.body::<Why>()?);
    let hand = hand(asked, body.reason)?;
    done(asked, move |ctx| policy::withdraw(ctx, KINDS, &id, &hand)).await
}

/// What runs beside the version in force.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowRun {
    version: String,
    reason: String,
}

/// `POST /ops/v1/policies/shadow`.
pub(super) async fn start_shadow(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: ShadowRun = asked.body()?;
    let (version, hand) = (body.version, hand(asked, body.reason)?);
    shadowed(asked, move |ctx| policy::start_shadow(ctx, KINDS, &version, &hand)).await
}

/// `POST /ops/v1/policies/shadow/stop`.
pub(super) async fn stop_shadow(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let body: Why = asked.body()?;
    let hand = hand(asked, body.reason)?;
    shadowed(asked, move |ctx| policy::stop_shadow(ctx, KINDS, &hand)).await
}

async fn shadowed(
    asked: &OpsRequest,
    work: impl FnOnce(&Context) -> Result<Version, Failure> + Send + 'static,
) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let version = web::block(move || work(&ctx))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))??;
    JsonBody::of(&policies::item(&version))
}

async fn done(
    asked: &OpsRequest,
    work: impl FnOnce(&Context) -> Result<Activated, Failure> + Send + 'static,
) -> Result<JsonBody, Failure> {
    let ctx = asked.app.ctx.clone();
    let done = web::block(move || work(&ctx))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))??;
    JsonBody::of(&activated(&done))
}

fn hand(asked: &OpsRequest, reason: String) -> Result<PolicyHand, Failure> {
    if !is_one_line(&reason) || reason.chars().count() > REASON_MAX {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("reason")
            .remedy("Say why, on one line."));
    }
    Ok(PolicyHand {
        note: OperatorNote {
            operator: asked.operator.name.clone(),
            reason,
        },
        role: asked.role.name(),
        holder: Some(asked.operator.clone()),
    })
}

/// The kind that the parameter names.
pub(super) fn kind_asked(asked: &OpsRequest) -> Result<Option<PolicyKind>, Failure> {
    asked.query.text("kind").as_deref().map(kind_of).transpose()
}

fn kind_of(text: &str) -> Result<PolicyKind, Failure> {
    PolicyKind::parse(text).ok_or_else(|| Failure::new(Fault::ParameterInvalid).at("kind"))
}

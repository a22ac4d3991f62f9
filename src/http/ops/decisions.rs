//! `/ops/v1/decisions`: what was decided of matches, and why.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use super::table::Sees;
use crate::audit::Object;
use crate::error::Failure;
use crate::ops::View;
use crate::ops::decisions::{self, DecisionFilter};

/// `GET /ops/v1/decisions`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let filter = DecisionFilter {
        partner: asked.partner().await?,
        correlation: asked.query.correlation()?,
        since_ms: asked.query.instant("since")?,
        cursor: asked.query.id("cursor")?,
        newest: false,
        limit: PAGE,
    };
    let view = view(asked.sees);
    asked.show("decisions", None).await?;
    let keys = asked.app.ctx.member_keys.clone();
    let page = asked.read(move |db| decisions::list(db, &filter, view, &keys)).await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/decisions/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = asked.id(decisions::none)?;
    let view = view(asked.sees);
    let object = Object {
        kind: "Decision",
        id: id.clone(),
    };
    asked.show("decisions", Some(object)).await?;
    let keys = asked.app.ctx.member_keys.clone();
    JsonBody::of(&asked.read(move |db| decisions::one(db, &id, view, &keys)).await?)
}

/// Whether the ids of Patients are shown.
pub(super) fn view(sees: Sees) -> View {
    match sees {
        Sees::Ids => View::Full,
        _ => View::WithoutPatients,
    }
}

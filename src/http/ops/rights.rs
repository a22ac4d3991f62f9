//! `/ops/v1/grants` and `/ops/v1/consents`: who may read whom, and ending that.
//!
//! Who acts is who holds the token; no body names one. Member numbers come in bodies only, so that no URL holds one.

use super::decisions::view;
use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use crate::audit::Object;
use crate::consent::{self, WithdrawnBy};
use crate::error::{Failure, Fault};
use crate::exchange::acts;
use crate::ops::View;
use crate::ops::consents::{self, ConsentFilter};
use crate::ops::disclosures::{self, DisclosuresAsked};
use crate::ops::grants::{self, GrantFilter};
use crate::ops::opt_ins;
use crate::ops::viewed::patient;
use crate::store::Db;
use serde::Deserialize;
use std::sync::Arc;

/// `GET /ops/v1/grants`.
pub(super) async fn grants(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    granted(asked, parameters(asked)).await
}

/// `POST /ops/v1/grants/_search`: the same, with a member number in the body.
pub(super) async fn grants_search(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted: DisclosuresAsked = asked.body()?;
    if wanted.from.is_some() || wanted.to.is_some() {
        return Err(Failure::new(Fault::ParameterUnknown).remedy("Grants are not searched by time."));
    }
    granted(asked, wanted).await
}

fn parameters(asked: &OpsRequest) -> DisclosuresAsked {
    DisclosuresAsked {
        partner: asked.query.text("partner"),
        member: asked.query.text("member"),
        cursor: asked.query.text("cursor"),
        ..DisclosuresAsked::default()
    }
}

async fn granted(asked: &OpsRequest, wanted: DisclosuresAsked) -> Result<JsonBody, Failure> {
    let payer = Arc::clone(&asked.app.ctx.payer);
    let filter = asked
        .read(move |db| {
            Ok(GrantFilter {
                member: wanted.patient(db, &payer)?,
                cursor: disclosures::id("cursor", wanted.cursor.as_deref())?,
                partner: disclosures::known_partner(db, wanted.partner.as_deref())?,
                limit: PAGE,
            })
        })
        .await?;
    asked.show("grants", filter.member.as_deref().map(patient)).await?;
    let kept = pages::kept(&[("partner", &filter.partner), ("member", &filter.member)]);
    let page = asked.read(move |db| grants::list(db, &filter, View::Full)).await?;
    pages::listed(asked, "/ops/v1/grants", &kept, page)
}

/// `GET /ops/v1/consents`.
pub(super) async fn consents(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let (wanted, view) = (parameters(asked), view(asked.sees));
    let payer = Arc::clone(&asked.app.ctx.payer);
    let filter = asked
        .read(move |db| {
            Ok(ConsentFilter {
                partner: disclosures::known_partner(db, wanted.partner.as_deref())?,
                member: wanted.patient(db, &payer)?,
                cursor: disclosures::id("cursor", wanted.cursor.as_deref())?,
                limit: PAGE,
            })
        })
        .await?;
    asked.show("consents", filter.member.as_deref().map(patient)).await?;
    let now_ms = asked.app.ctx.clock.now_ms();
    let page = asked.read(move |db| consents::list(db, &filter, view, now_ms)).await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/consents/{id}`.
pub(super) async fn consent(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = asked.id(|| Fault::ConsentUnknown.into())?;
    let object = Object {
        kind: "Consent",
        id: id.clone(),
    };
    asked.show("consents", Some(object)).await?;
    one_consent(asked, id).await
}

async fn one_consent(asked: &OpsRequest, id: String) -> Result<JsonBody, Failure> {
    let (view, now_ms) = (view(asked.sees), asked.app.ctx.clock.now_ms());
    JsonBody::of(&asked.read(move |db| consents::one(db, &id, view, now_ms)).await?)
}

/// Why something is ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

fn by(asked: &OpsRequest) -> Result<WithdrawnBy, Failure> {
    let why: Why = asked.body()?;
    WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        &why.reason,
        asked.correlation(),
    )
}

/// `POST /ops/v1/consents/{id}/revoke`: answers with the consent as it is from now on; again, with the same.
pub(super) async fn revoke_consent(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let by = by(asked)?;
    let id = asked.id(|| Fault::ConsentUnknown.into())?;
    let ctx = &asked.app.ctx;
    let own_id = id.clone();
    if asked.read(move |db| opt_ins::is_opt_in(db, &own_id)).await? {
        return revoke_opt_in(asked, id, by).await;
    }
    ctx.store
        .reserved()
        .write(asked.held(consent::withdraw(ctx, id.clone(), by)))
        .await?;
    one_consent(asked, id).await
}

/// The id is that of an opt-in under which we ask another payer: its exchanges end. Answers with the opt-in.
async fn revoke_opt_in(asked: &OpsRequest, id: String, by: WithdrawnBy) -> Result<JsonBody, Failure> {
    let (ctx, own_id) = (asked.app.ctx.clone(), id.clone());
    let write = move |db: &mut Db| acts::revoke_opt_in(db, &ctx, &own_id, &by).map(drop);
    asked.app.ctx.store.reserved().write(asked.held(write)).await?;
    let now_ms = asked.app.ctx.clock.now_ms();
    JsonBody::of(&asked.read(move |db| opt_ins::opt_in(db, &id, now_ms)).await?)
}

/// `POST /ops/v1/grants/{id}/revoke`: as that of a consent.
pub(super) async fn revoke_grant(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let by = by(asked)?;
    let id = asked.id(|| Fault::GrantUnknown.into())?;
    let ctx = &asked.app.ctx;
    ctx.store
        .reserved()
        .write(asked.held(consent::end_grant(ctx, id.clone(), by)))
        .await?;
    let view = view(asked.sees);
    JsonBody::of(&asked.read(move |db| grants::one(db, &id, view)).await?)
}

//! `/ops/v1/reviews`, `/ops/v1/links` and `/ops/v1/members/{id}/graph`: what a person decides about identity.
//!
//! Personal words go to the role `reviewer` only, and every view is in the ledger before it is shown.

use super::rights;
use super::v1::{PAGE, Query, correlation, holder, list, respond};
use crate::app::App;
use crate::error::{Failure, Fault};
use crate::http::fhir::authorised::bearer;
use crate::identity::graph::State;
use crate::ops::disclosures::Asked;
use crate::ops::links::{self, LinkFilter};
use crate::ops::reviews::{self, ReviewFilter, Sight};
use crate::review::{self, Act, By, Choice, Order};
use crate::secret::sha256;
use crate::security::Role;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Largest body of a decision.
pub(super) const BODY_BYTES: usize = 16_384;
const SEES: [Role; 4] = [Role::Support, Role::Operator, Role::Reviewer, Role::Auditor];

/// `GET /ops/v1/reviews`: those that wait for a person, or those of `state` (`all` for every state).
pub async fn queue(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &SEES).await?;
        let query = Query::of(&request, &["partner", "state", "cursor"])?;
        let state = query.text("state");
        let filter = ReviewFilter {
            partner: query.partner(&app).await?,
            all: state.as_deref() == Some("all"),
            state: state.filter(|state| state != "all"),
            cursor: query.id("cursor")?,
            limit: PAGE,
        };
        if filter
            .state
            .as_deref()
            .is_some_and(|state| review::State::parse(state).is_none())
        {
            return Err(Failure::new(Fault::ParameterInvalid).at("state"));
        }
        let (correlation, now_ms) = (correlation(&request, &app), app.ctx.clock.now_ms());
        review::viewed(&app.ctx, operator.role.name(), &operator.name, &correlation, None).await?;
        let page = app.ctx.store.read(move |db| reviews::list(db, &filter, now_ms)).await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/reviews/{id}`: the candidates side by side with what was asked.
pub async fn one(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &SEES).await?;
        let sight = match operator.role {
            Role::Reviewer => Sight::Words,
            Role::Auditor => Sight::Patients,
            _ => Sight::Levels,
        };
        let id = known(&app, id.into_inner()).await?;
        let (correlation, now_ms) = (correlation(&request, &app), app.ctx.clock.now_ms());
        review::viewed(&app.ctx, operator.role.name(), &operator.name, &correlation, Some(&id)).await?;
        app.ctx.store.read(move |db| reviews::one(db, &id, sight, now_ms)).await
    })
    .await
}

/// What a decision says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    /// `confirm`, `reject`, `defer`, `take` or `reopen`.
    verdict: String,
    /// Place (number or text) or Patient id, with `confirm`.
    candidate: Option<Value>,
    /// Hours, with `defer`.
    hours: Option<u32>,
    operator: String,
    reason: String,
    /// The version that was seen.
    version: Option<i64>,
}

/// `POST /ops/v1/reviews/{id}/decide`.
pub async fn decide(
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
) -> HttpResponse {
    respond(&app, async {
        let holder = holder(&request, &app, &[Role::Reviewer]).await?;
        let members = "verdict, operator, reason, where they apply candidate, hours, version,";
        let decision: Decision = rights::read(&request, &body, members)?;
        let order = Order {
            review: known(&app, id.into_inner()).await?,
            act: act(&decision)?,
            by: By {
                operator: decision.operator,
                hand: holder.name,
                reason: decision.reason,
                token: bearer(&request)?.map(|token| sha256(token.as_bytes())),
                correlation: correlation(&request, &app),
            },
            seen: decision.version,
        };
        let id = order.review.clone();
        let done = review::perform(&app.ctx, order).await?;
        Ok(json!({"id": id, "state": done.state.code(), "grants": done.grants, "version": done.version}))
    })
    .await
}

fn act(decision: &Decision) -> Result<Act, Failure> {
    let wrong = |place: &'static str| Failure::new(Fault::ParameterInvalid).at(place);
    match decision.verdict.as_str() {
        "confirm" => match &decision.candidate {
            Some(Value::String(text)) => Ok(Act::Confirm(Choice::parse(text))),
            Some(Value::Number(number)) => Ok(Act::Confirm(Choice::Place(
                number.as_i64().ok_or_else(|| wrong("candidate"))?,
            ))),
            _ => Err(wrong("candidate").remedy("Name the candidate by its place or its Patient id.")),
        },
        "reject" => Ok(Act::Reject),
        "defer" => Ok(Act::Defer(i64::from(decision.hours.unwrap_or(24)) * 3_600_000)),
        "take" => Ok(Act::Take),
        "reopen" => Ok(Act::Reopen),
        _ => Err(wrong("verdict").remedy("Use confirm, reject, defer, take or reopen.")),
    }
}

/// `GET /ops/v1/links`: the numbers themselves for the role `reviewer` only.
pub async fn edges(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Reviewer, Role::Auditor]).await?;
        let query = Query::of(&request, &["member", "partner", "state", "cursor"])?;
        let asked = Asked {
            member: query.text("member"),
            ..Asked::default()
        };
        let payer = Arc::clone(&app.ctx.payer);
        let member = app.ctx.store.read(move |db| asked.patient(db, &payer)).await?;
        let filter = LinkFilter {
            member,
            partner: query.partner(&app).await?,
            state: query.text("state"),
            cursor: query.id("cursor")?,
            limit: PAGE,
        };
        if filter
            .state
            .as_deref()
            .is_some_and(|state| State::parse(state).is_none())
        {
            let remedy = "Give a state as `causeway link list --help` names them.";
            return Err(Failure::new(Fault::ParameterInvalid).at("state").remedy(remedy));
        }
        let words = operator.role == Role::Reviewer;
        let correlation = correlation(&request, &app);
        review::viewed(
            &app.ctx,
            operator.role.name(),
            &operator.name,
            &correlation,
            filter.member.as_deref(),
        )
        .await?;
        let page = app.ctx.store.read(move |db| links::list(db, &filter, words)).await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/members/{id}/graph`: links, steps, the surviving view, `Patient.link` and `Linkage`.
pub async fn graph(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Reviewer]).await?;
        let id = id.into_inner();
        if !crate::ids::is_fhir_id(&id) {
            return Err(Fault::LinkUnknown.into());
        }
        review::viewed(
            &app.ctx,
            operator.role.name(),
            &operator.name,
            &correlation(&request, &app),
            Some(&id),
        )
        .await?;
        let umb_system = app.ctx.payer.umb_system.clone();
        app.ctx.store.read(move |db| links::graph(db, &id, &umb_system)).await
    })
    .await
}

/// The id of a review that is there.
async fn known(app: &App, id: String) -> Result<String, Failure> {
    if !crate::ids::is_fhir_id(&id) {
        return Err(Fault::ReviewUnknown.into());
    }
    app.ctx
        .store
        .read(move |db| crate::store::reviews::find(db, &id).map(|row| row.id))
        .await
}

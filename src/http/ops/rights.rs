//! `/ops/v1/consents`, `/disclosures`, `/trace`, and what of `/grants` takes a body: withdrawal, and who saw what.
//!
//! Who acts is who holds the token; no body names one. Member numbers come in bodies only, so that no URL holds one.

use super::v1::{PAGE, Query, correlation, grants_of, holder, kept, list, listed, respond, show};
use crate::app::App;
use crate::audit::Object;
use crate::consent::{self, By};
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::consents::{self, ConsentFilter};
use crate::ops::disclosures::{self, Asked};
use crate::ops::trace;
use crate::ops::viewed::patient;
use crate::security::{Operator, Role};
use crate::store::Db;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Resource, Route, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Largest body of these routes.
const BODY_BYTES: usize = 16_384;

/// A route that takes a small body.
pub(super) fn body(path: &str, route: Route) -> Resource {
    web::resource(path)
        .app_data(web::PayloadConfig::new(BODY_BYTES))
        .route(route)
}

/// Reads a JSON body of these members and no others.
pub(super) fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    bytes: &web::Bytes,
    members: &'static str,
) -> Result<T, Failure> {
    if request.content_type() != "application/json" {
        return Err(Failure::new(Fault::MediaTypeRefused).remedy("Send application/json."));
    }
    let refused = || {
        Failure::new(Fault::ParameterInvalid)
            .at("body")
            .remedy(format!("Send a JSON object with {members} and nothing else."))
    };
    // A list of the same values would be read as the object.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(refused());
    }
    serde_json::from_slice(bytes).map_err(|_| refused())
}

/// `GET /ops/v1/consents`.
pub async fn consents(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Operator, Role::Auditor]).await?;
        let view = view(&operator);
        let query = Query::of(&request, &["partner", "member", "cursor"])?;
        let asked = Asked {
            partner: query.text("partner"),
            member: query.text("member"),
            cursor: query.text("cursor"),
            ..Asked::default()
        };
        let payer = Arc::clone(&app.ctx.payer);
        let filter = app
            .ctx
            .store
            .read(move |db| {
                Ok(ConsentFilter {
                    partner: disclosures::known_partner(db, asked.partner.as_deref())?,
                    member: asked.patient(db, &payer)?,
                    cursor: disclosures::id("cursor", asked.cursor.as_deref())?,
                    limit: PAGE,
                })
            })
            .await?;
        let about = filter.member.as_deref().map(patient);
        show(&request, &app, operator, "consents", about).await?;
        let now_ms = app.ctx.clock.now_ms();
        let page = app
            .ctx
            .store
            .read(move |db| consents::list(db, &filter, view, now_ms))
            .await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/consents/{id}`.
pub async fn consent(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Operator, Role::Auditor]).await?;
        let view = view(&operator);
        let id = known(id.into_inner(), Fault::ConsentUnknown)?;
        let about = Object {
            kind: "Consent",
            id: id.clone(),
        };
        show(&request, &app, operator, "consents", Some(about)).await?;
        one_consent(&app, id, view).await
    })
    .await
}

/// Why something is ended.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

/// `POST /ops/v1/consents/{id}/revoke`: answers with the consent as it is from now on; again, with the same.
pub async fn revoke_consent(
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Operator]).await?;
        let view = view(&operator);
        let by = by(&request, &app, operator, &body)?;
        let id = known(id.into_inner(), Fault::ConsentUnknown)?;
        app.ctx
            .store
            .reserved()
            .write(consent::withdraw(&app.ctx, id.clone(), by))
            .await?;
        one_consent(&app, id, view).await
    })
    .await
}

/// `POST /ops/v1/grants/{id}/revoke`: as that of a consent.
pub async fn revoke_grant(
    request: HttpRequest,
    id: web::Path<String>,
    body: web::Bytes,
    app: web::Data<App>,
) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Operator]).await?;
        let view = view(&operator);
        let by = by(&request, &app, operator, &body)?;
        let id = known(id.into_inner(), Fault::GrantUnknown)?;
        app.ctx
            .store
            .reserved()
            .write(consent::end_grant(&app.ctx, id.clone(), by))
            .await?;
        app.ctx.store.read(move |db| consents::grant(db, &id, view)).await
    })
    .await
}

/// `POST /ops/v1/grants/_search`.
pub async fn grants_search(request: HttpRequest, body: web::Bytes, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Auditor]).await?;
        Query::of(&request, &[])?;
        let asked: Asked = read(&request, &body, "member or member_number, partner, cursor")?;
        if asked.from.is_some() || asked.to.is_some() {
            return Err(Failure::new(Fault::ParameterUnknown).remedy("Grants are not searched by time."));
        }
        grants_of(&request, &app, operator, asked).await
    })
    .await
}

/// `GET /ops/v1/disclosures`.
pub async fn disclosures(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Auditor]).await?;
        let query = Query::of(&request, &["member", "partner", "from", "to", "cursor"])?;
        let asked = Asked {
            member: query.text("member"),
            member_number: None,
            partner: query.text("partner"),
            from: query.text("from"),
            to: query.text("to"),
            cursor: query.text("cursor"),
        };
        disclosed(&request, &app, operator, asked).await
    })
    .await
}

/// `POST /ops/v1/disclosures/_search`: the same, with a member number in the body.
pub async fn disclosures_search(request: HttpRequest, body: web::Bytes, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Auditor]).await?;
        Query::of(&request, &[])?;
        let asked = read(&request, &body, "member or member_number, partner, from, to, cursor")?;
        disclosed(&request, &app, operator, asked).await
    })
    .await
}

async fn disclosed(request: &HttpRequest, app: &App, operator: Operator, asked: Asked) -> Result<Value, Failure> {
    let (payer, wanted) = (Arc::clone(&app.ctx.payer), asked.clone());
    let filter = app.ctx.store.read(move |db| wanted.filter(db, &payer, PAGE)).await?;
    show(request, app, operator, "disclosures", Some(patient(&filter.member))).await?;
    let member = Some(format!("Patient/{}", filter.member));
    let kept = kept(&[
        ("member", &member),
        ("partner", &asked.partner),
        ("from", &asked.from),
        ("to", &asked.to),
    ]);
    let page = long(app, move |db| disclosures::list(db, &filter)).await?;
    Ok(listed(request, "/ops/v1/disclosures", &kept, page))
}

/// `GET /ops/v1/trace/{id}`.
pub async fn trace(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Support, Role::Operator, Role::Auditor]).await?;
        let query = Query::of(&request, &["cursor"])?;
        let cursor = disclosures::id("cursor", query.text("cursor").as_deref())?;
        let asked = trace::Asked::new(&id, cursor, PAGE)?;
        let about = Object {
            kind: "trace",
            id: asked.id.clone(),
        };
        show(&request, &app, operator, "trace", Some(about)).await?;
        let page = long(&app, move |db| trace::trace(db, &asked)).await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// A read that may go over many rows: not on a thread that serves others meanwhile.
async fn long<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let store = app.ctx.store.clone();
    tokio::task::spawn_blocking(move || store.read_blocking(work))
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

async fn one_consent(app: &App, id: String, view: View) -> Result<Value, Failure> {
    let now_ms = app.ctx.clock.now_ms();
    app.ctx.store.read(move |db| consents::one(db, &id, view, now_ms)).await
}

fn by(request: &HttpRequest, app: &App, operator: Operator, body: &web::Bytes) -> Result<By, Failure> {
    let why: Why = read(request, body, "a reason")?;
    By::new(
        operator.name,
        operator.role.name(),
        &why.reason,
        correlation(request, app),
    )
}

/// Only auditors see whom a consent is about.
fn view(operator: &Operator) -> View {
    if operator.role == Role::Auditor {
        View::Full
    } else {
        View::WithoutPatients
    }
}

fn known(id: String, otherwise: Fault) -> Result<String, Failure> {
    if is_fhir_id(&id) { Ok(id) } else { Err(otherwise.into()) }
}

//! `/ops/v1`: decisions, grants, ledger, partners and faults for machines, each for the roles that may see it.

use crate::app::App;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::http::fhir::authorised::bearer;
use crate::http::negotiate::{encode, pairs};
use crate::http::reply::outcome_response;
use crate::ops::{self, DecisionFilter, GrantFilter, LedgerFilter, Page, View};
use crate::security::Role;
use crate::store::{Db, guesses, partners as registry};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// Items on a page.
pub(super) const PAGE: i64 = 100;

/// `GET /ops/v1/decisions`.
pub async fn decisions(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let role = allowed(&request, &app, &[Role::Support, Role::Operator, Role::Auditor]).await?;
        let query = Query::of(&request, &["partner", "correlation", "since", "cursor"])?;
        let filter = DecisionFilter {
            partner: query.text("partner"),
            correlation: query.text("correlation"),
            since_ms: query.instant("since")?,
            cursor: query.text("cursor"),
            newest: false,
            limit: PAGE,
        };
        let page = app
            .ctx
            .store
            .read(move |db| ops::decisions(db, &filter, view(role)))
            .await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/decisions/{id}`.
pub async fn decision(request: HttpRequest, id: web::Path<String>, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let role = allowed(&request, &app, &[Role::Support, Role::Operator, Role::Auditor]).await?;
        let id = id.into_inner();
        if !crate::ids::is_fhir_id(&id) {
            return Err(ops::no_decision());
        }
        app.ctx.store.read(move |db| ops::decision(db, &id, view(role))).await
    })
    .await
}

/// `GET /ops/v1/grants`.
pub async fn grants(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        allowed(&request, &app, &[Role::Auditor]).await?;
        let query = Query::of(&request, &["partner", "member", "cursor"])?;
        let filter = GrantFilter {
            partner: query.text("partner"),
            member: query.text("member"),
            cursor: query.text("cursor"),
            limit: PAGE,
        };
        let page = app
            .ctx
            .store
            .read(move |db| ops::grants(db, &filter, View::Full))
            .await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/ledger`.
pub async fn ledger(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        allowed(&request, &app, &[Role::Auditor]).await?;
        let query = Query::of(&request, &["from", "to", "exchange", "correlation", "cursor"])?;
        let filter = LedgerFilter {
            from_ms: query.instant("from")?,
            to_ms: query.instant("to")?,
            exchange: query.text("exchange"),
            correlation: query.text("correlation"),
            cursor: query.text("cursor"),
            limit: PAGE,
        };
        let page = app.ctx.store.read(move |db| ops::ledger(db, &filter)).await?;
        Ok(list(&request, &query, page))
    })
    .await
}

/// `GET /ops/v1/partners`.
pub async fn partners(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        allowed(&request, &app, &[Role::Admin]).await?;
        let now_ms = app.ctx.clock.now_ms();
        let read = move |db: &mut Db| Ok((registry::list(db)?, guesses::locks(db, now_ms)?));
        let (rows, locks) = app.ctx.store.read(read).await?;
        let locked = |id: &str| locks.iter().find(|(locked, _)| locked == id);
        let items: Vec<Value> = rows
            .iter()
            .map(|row| {
                let until = locked(&row.id).map(|(_, until_ms)| rfc3339_ms(*until_ms));
                json!({
                    "id": row.id, "name": row.name, "npi": row.npi, "status": row.status, "reason": row.status_reason,
                    "mtls": row.mtls, "version": row.version, "match_locked_until": until,
                })
            })
            .collect();
        Ok(json!({"items": items, "next": null}))
    })
    .await
}

/// `GET /ops/v1/policies`.
pub async fn policies(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        allowed(&request, &app, &[Role::Admin]).await?;
        let ctx = app.ctx.clone();
        let items = app.ctx.store.read(move |db| ops::policies::items(&ctx, db)).await?;
        Ok(json!({"items": items, "next": null}))
    })
    .await
}

/// `GET /ops/v1/faults`.
pub async fn faults(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        allowed(&request, &app, &Role::ALL).await?;
        Ok(ops::faults::table())
    })
    .await
}

pub(super) async fn respond(app: &App, work: impl Future<Output = Result<Value, Failure>>) -> HttpResponse {
    match work.await {
        Ok(value) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(value.to_string()),
        Err(failure) => outcome_response(&failure.for_operators(), &app.ctx.payer.base_url),
    }
}

/// Only auditors see whom a decision was about.
fn view(role: Role) -> View {
    if role == Role::Auditor {
        View::Full
    } else {
        View::WithoutPatients
    }
}

pub(super) async fn allowed(request: &HttpRequest, app: &App, roles: &[Role]) -> Result<Role, Failure> {
    let role = app.authority.operator(&app.ctx, bearer(request)?).await?;
    if roles.contains(&role) {
        Ok(role)
    } else {
        Err(Fault::RoleMissing.into())
    }
}

pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &HttpRequest, known: &[&str]) -> Result<Query, Failure> {
        let given = pairs(request.query_string())?;
        match given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Query(given)),
            Some(_) => Err(Failure::new(Fault::ParameterUnknown).remedy(format!("Use only {}.", known.join(", ")))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    }

    fn instant(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        crate::clock::parse_rfc3339_ms(&text)
            .map(Some)
            .ok_or_else(|| Failure::new(Fault::ParameterInvalid).at(name))
    }
}

/// A page: its items, and `next`, which is an absolute URL of this listener, or null.
pub(super) fn list(request: &HttpRequest, query: &Query, page: Page) -> Value {
    let next = page.next.map(|cursor| {
        let kept: String = query
            .0
            .iter()
            .filter(|(name, _)| name != "cursor")
            .map(|(name, value)| format!("{name}={}&", encode(value)))
            .collect();
        format!(
            "http://{}{}?{kept}cursor={}",
            request.app_config().local_addr(),
            request.path(),
            encode(&cursor)
        )
    });
    json!({"items": page.items, "next": next})
}

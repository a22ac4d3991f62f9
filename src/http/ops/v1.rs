//! `/ops/v1`: decisions, grants, ledger, partners and faults for machines, each for the roles that may see it.

use crate::app::App;
use crate::audit::Object;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::http::fhir::authorised::bearer;
use crate::http::negotiate::{encode, pairs};
use crate::http::reply::outcome_response;
use crate::ops::disclosures::{self, Asked};
use crate::ops::viewed::{Viewer, patient, viewed};
use crate::ops::{self, DecisionFilter, GrantFilter, LedgerFilter, Page, View};
use crate::security::{Operator, Role};
use crate::store::{Db, guesses, partners as registry};
use crate::telemetry::Correlation;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

/// Items on a page.
pub(super) const PAGE: i64 = 100;

/// `GET /ops/v1/decisions`.
pub async fn decisions(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Support, Role::Operator, Role::Auditor]).await?;
        let role = operator.role;
        let query = Query::of(&request, &["partner", "correlation", "since", "cursor"])?;
        let filter = DecisionFilter {
            partner: query.partner(&app).await?,
            correlation: query.correlation()?,
            since_ms: query.instant("since")?,
            cursor: query.id("cursor")?,
            newest: false,
            limit: PAGE,
        };
        show(&request, &app, operator, "decisions", None).await?;
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
        let operator = holder(&request, &app, &[Role::Support, Role::Operator, Role::Auditor]).await?;
        let role = operator.role;
        let id = id.into_inner();
        if !crate::ids::is_fhir_id(&id) {
            return Err(ops::no_decision());
        }
        let asked = Object {
            kind: "Decision",
            id: id.clone(),
        };
        show(&request, &app, operator, "decisions", Some(asked)).await?;
        app.ctx.store.read(move |db| ops::decision(db, &id, view(role))).await
    })
    .await
}

/// `GET /ops/v1/grants`.
pub async fn grants(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Auditor]).await?;
        let query = Query::of(&request, &["partner", "member", "cursor"])?;
        let asked = Asked {
            partner: query.text("partner"),
            member: query.text("member"),
            cursor: query.text("cursor"),
            ..Asked::default()
        };
        grants_of(&request, &app, operator, asked).await
    })
    .await
}

/// Grants as they were asked for by a query or by a body.
pub(super) async fn grants_of(
    request: &HttpRequest,
    app: &App,
    operator: Operator,
    asked: Asked,
) -> Result<Value, Failure> {
    let (payer, wanted) = (std::sync::Arc::clone(&app.ctx.payer), asked);
    let filter = app
        .ctx
        .store
        .read(move |db| {
            Ok(GrantFilter {
                member: wanted.patient(db, &payer)?,
                cursor: disclosures::id("cursor", wanted.cursor.as_deref())?,
                partner: disclosures::known_partner(db, wanted.partner.as_deref())?,
                limit: PAGE,
            })
        })
        .await?;
    show(request, app, operator, "grants", filter.member.as_deref().map(patient)).await?;
    let kept = kept(&[("partner", &filter.partner), ("member", &filter.member)]);
    let page = app
        .ctx
        .store
        .read(move |db| ops::grants(db, &filter, View::Full))
        .await?;
    Ok(listed(request, "/ops/v1/grants", &kept, page))
}

/// `GET /ops/v1/ledger`.
pub async fn ledger(request: HttpRequest, app: web::Data<App>) -> HttpResponse {
    respond(&app, async {
        let operator = holder(&request, &app, &[Role::Auditor]).await?;
        let query = Query::of(&request, &["from", "to", "exchange", "correlation", "cursor"])?;
        let filter = LedgerFilter {
            from_ms: query.instant("from")?,
            to_ms: query.instant("to")?,
            exchange: query.id("exchange")?,
            correlation: query.correlation()?,
            cursor: query.id("cursor")?,
            limit: PAGE,
        };
        if filter.from_ms.zip(filter.to_ms).is_some_and(|(from, to)| from >= to) {
            let remedy = "Give a time after that of from.";
            return Err(Failure::new(Fault::ParameterInvalid).at("to").remedy(remedy));
        }
        show(&request, &app, operator, "ledger", None).await?;
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
    holder(request, app, roles).await.map(|operator| operator.role)
}

/// Who holds the token of the request, if one of `roles` is its role.
pub(super) async fn holder(request: &HttpRequest, app: &App, roles: &[Role]) -> Result<Operator, Failure> {
    let operator = app.authority.operator(&app.ctx, bearer(request)?).await?;
    if roles.contains(&operator.role) {
        Ok(operator)
    } else {
        Err(Fault::RoleMissing.into())
    }
}

/// Notes in the ledger, durably, what this operator is about to be shown. Call it before anything is.
pub(super) async fn show(
    request: &HttpRequest,
    app: &App,
    operator: Operator,
    what: &'static str,
    object: Option<Object>,
) -> Result<(), Failure> {
    let viewer = Viewer {
        operator: operator.name,
        role: operator.role.name(),
        correlation: correlation(request, app),
    };
    app.ctx
        .store
        .reserved()
        .write(viewed(&app.ctx, &viewer, what, object))
        .await
}

/// The ids of a request to this side.
pub(super) fn correlation(request: &HttpRequest, app: &App) -> Correlation {
    let given = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    Correlation::of(
        app.ctx.ids.new_id(app.ctx.clock.now_ms()),
        crate::secret::random(),
        given("x-correlation-id"),
        given("x-request-id"),
        given("traceparent"),
    )
}

pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(request: &HttpRequest, known: &[&str]) -> Result<Query, Failure> {
        let given = pairs(request.query_string())?;
        for (at, (name, value)) in given.iter().enumerate() {
            let is_twice = given[..at].iter().any(|(other, _)| other == name);
            if known.contains(&name.as_str()) && (value.is_empty() || is_twice) {
                let remedy = "Give each parameter once and with a value, or leave it out.";
                return Err(Failure::new(Fault::ParameterInvalid).at(name).remedy(remedy));
            }
        }
        match given.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(Query(given)),
            Some(_) => {
                let remedy = match known {
                    [] => "Use none here.".to_owned(),
                    known => format!("Use only {}.", known.join(", ")),
                };
                Err(Failure::new(Fault::ParameterUnknown).remedy(remedy))
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    }

    /// An id of ours.
    pub(super) fn id(&self, name: &'static str) -> Result<Option<String>, Failure> {
        disclosures::id(name, self.text(name).as_deref())
    }

    /// A partner that is registered: a list under a misspelt name would be empty.
    pub(super) async fn partner(&self, app: &App) -> Result<Option<String>, Failure> {
        let Some(partner) = self.text("partner") else {
            return Ok(None);
        };
        let read = move |db: &mut Db| disclosures::known_partner(db, Some(&partner));
        app.ctx.store.read(read).await
    }

    fn correlation(&self) -> Result<Option<String>, Failure> {
        let text = self.text("correlation");
        if text.as_deref().is_some_and(|text| !crate::ids::is_correlation_id(text)) {
            let remedy = "Give the correlation id as it was answered.";
            return Err(Failure::new(Fault::ParameterInvalid).at("correlation").remedy(remedy));
        }
        Ok(text)
    }

    fn instant(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        crate::clock::parse_rfc3339_ms(&text).map(Some).ok_or_else(|| {
            let remedy = "Give an RFC 3339 instant, such as 2026-11-30T12:00:00Z.";
            Failure::new(Fault::ParameterInvalid).at(name).remedy(remedy)
        })
    }
}

/// A page: its items, and `next`, which is an absolute URL of this listener, or null.
pub(super) fn list(request: &HttpRequest, query: &Query, page: Page) -> Value {
    let pairs = query.0.iter().filter(|(name, _)| name != "cursor");
    let kept: String = pairs
        .map(|(name, value)| format!("{name}={}&", encode(value)))
        .collect();
    listed(request, request.path(), &kept, page)
}

/// The same where the next page is asked for elsewhere: at `path`, with the parameters `kept`.
pub(super) fn listed(request: &HttpRequest, path: &str, kept: &str, page: Page) -> Value {
    let next = page.next.map(|cursor| {
        format!(
            "http://{}{path}?{kept}cursor={}",
            request.app_config().local_addr(),
            encode(&cursor)
        )
    });
    json!({"items": page.items, "next": next})
}

/// Those of these parameters that have a value, for [`listed`].
pub(super) fn kept(pairs: &[(&str, &Option<String>)]) -> String {
    pairs
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}&", encode(value.as_deref()?))))
        .collect()
}

//! `POST [base]` with a `batch` Bundle: reads and searches, each checked, recorded and answered as its own request.
//!
//! The caller is authenticated once; scope, grant, consent and ledger are judged for each entry. Nothing is written.

use super::authorised::{Authorised, not_served, record_refusal};
use super::{conformance, metadata, search};
use crate::app::App;
use crate::audit::Action;
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::fhir::batch::{self, Ask};
use crate::fhir::outcome;
use crate::http::conditional::{Conditions, Verdict};
use crate::http::reply::{FHIR_JSON, HttpFailure, status};
use crate::http::{body, negotiate};
use crate::release::{self, Sent};
use crate::security::Permission;
use crate::store::disclosure::Released;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value};

/// Bytes of a batch.
const BODY_BYTES: usize = 256 * 1024;
/// Bytes of an answer after which no further entry is run.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// What one entry is answered with.
struct Answer {
    status: StatusCode,
    etag: Option<String>,
    last_modified: Option<String>,
    resource: Option<Vec<u8>>,
}

/// Runs a batch.
pub async fn post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    negotiate::form(&request)?;
    let bytes = body::fhir_json(&request, payload, BODY_BYTES).await?;
    let base_url = &app.ctx.payer.base_url;
    let strict = negotiate::is_strict(&request);
    let mut out = b"{\"resourceType\":\"Bundle\",\"type\":\"batch-response\"".to_vec();
    let asks = batch::asks(&bytes, base_url)?;
    let is_empty = asks.is_empty();
    for (at, ask) in asks.into_iter().enumerate() {
        let answer = match ask {
            Ok(_) if out.len() > ANSWER_BYTES => Err(Failure::new(Fault::TooLarge)
                .at(format!("Bundle.entry[{at}]"))
                .remedy("The answer is full: ask for this entry in another batch.")),
            Ok(ask) => run(&app, &authorised, &ask, strict).await,
            Err(failure) => Err(failure),
        };
        out.extend_from_slice(if at == 0 { b",\"entry\":[" } else { b"," });
        put(&mut out, answer, base_url);
    }
    out.extend_from_slice(if is_empty { b"}" } else { b"]}" });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, FHIR_JSON))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(out))
}

async fn run(app: &App, authorised: &Authorised, ask: &Ask, strict: bool) -> Result<Answer, Failure> {
    match ask.segments().as_slice() {
        ["metadata"] => Ok(found(&metadata::capability_statement(
            &app.ctx.payer.base_url,
            &app.ctx.payer.name,
        ))),
        [rtype] if conformance::is_one(rtype) => {
            let pairs = negotiate::pairs(ask.query())?;
            let bytes = conformance::bundle(rtype, &pairs, &app.ctx.payer.base_url, strict)?;
            Ok(Answer::of(bytes))
        }
        [rtype, id] if conformance::is_one(rtype) => {
            let all = conformance::resources(rtype, &app.ctx.payer.base_url);
            let one = all.into_iter().find(|one| one["id"] == **id);
            one.as_ref().map(found).ok_or_else(|| Fault::NotFound.into())
        }
        [rtype] => {
            scoped(app, authorised, rtype, Permission::Search).await?;
            let pairs = negotiate::pairs(ask.query())?;
            let sent = if ask.head_only { Sent::Head(200) } else { Sent::Whole };
            let bytes = search::bundle(app, authorised, rtype, pairs, strict, sent).await?;
            Ok(Answer::of(bytes))
        }
        [rtype, id] => read(app, authorised, ask, rtype, id, None).await,
        [rtype, id, "_history", version] => read(app, authorised, ask, rtype, id, Some(version)).await,
        _ => Err(Fault::RouteUnknown.into()),
    }
    .map(|answer| {
        if ask.head_only {
            answer.without_resource()
        } else {
            answer
        }
    })
}

/// The checks that stand before the handlers of single requests; a refusal gets into the ledger like theirs.
async fn scoped(app: &App, authorised: &Authorised, rtype: &str, permission: Permission) -> Result<(), Failure> {
    let is_there = match permission {
        Permission::Search => release::is_searchable(rtype),
        _ => release::is_served(rtype),
    };
    let failure = if !is_there {
        not_served(rtype)
    } else if authorised.scopes.allows(rtype, permission) {
        return Ok(());
    } else {
        Failure::new(Fault::ScopeMissing)
    };
    let caller = &authorised.caller;
    record_refusal(
        app,
        Action::RequestRefused,
        caller.actor(),
        &failure,
        &caller.correlation,
    )
    .await;
    Err(failure)
}

async fn read(
    app: &App,
    authorised: &Authorised,
    ask: &Ask,
    rtype: &str,
    id: &str,
    version: Option<&str>,
) -> Result<Answer, Failure> {
    scoped(app, authorised, rtype, Permission::Read).await?;
    let conditions = Conditions {
        if_none_match: ask.if_none_match.clone(),
        ..Conditions::default()
    };
    let since_ms = ask
        .if_modified_since
        .as_deref()
        .and_then(crate::clock::parse_rfc3339_ms);
    let judge = |row: &Released| {
        let known = ask.if_none_match.is_none() && since_ms.is_some_and(|since_ms| row.last_updated_ms <= since_ms);
        match conditions.judge(&row.version.to_string(), row.last_updated_ms) {
            _ if known => Verdict::NotModified,
            verdict => verdict,
        }
    };
    let sent = |row: &Released| match judge(row) {
        Verdict::NotModified => Sent::Head(304),
        _ if ask.head_only => Sent::Head(200),
        _ => Sent::Whole,
    };
    let row = release::read(&app.ctx, &authorised.caller, rtype, id, version, sent).await?;
    let is_known = judge(&row) == Verdict::NotModified;
    Ok(Answer {
        status: if is_known {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        },
        etag: Some(format!("W/\"{}\"", row.version)),
        last_modified: Some(rfc3339_ms(row.last_updated_ms)),
        resource: (!is_known).then(|| row.into_bytes()),
    })
}

fn found(resource: &Value) -> Answer {
    Answer::of(resource.to_string().into_bytes())
}

impl Answer {
    fn of(bytes: Vec<u8>) -> Answer {
        Answer {
            status: StatusCode::OK,
            etag: None,
            last_modified: None,
            resource: Some(bytes),
        }
    }

    fn without_resource(self) -> Answer {
        Answer { resource: None, ..self }
    }
}

/// Appends the entry of an answer; a resource goes in as its bytes, without `fullUrl`, since one may be asked for twice (bdl-7).
fn put(out: &mut Vec<u8>, answer: Result<Answer, Failure>, base_url: &str) {
    let line = |status: StatusCode| format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let mut response = Map::new();
    out.push(b'{');
    match answer {
        Ok(answer) => {
            response.insert("status".to_owned(), line(answer.status).into());
            for (name, value) in [("etag", answer.etag), ("lastModified", answer.last_modified)] {
                if let Some(value) = value {
                    response.insert(name.to_owned(), value.into());
                }
            }
            if let Some(resource) = answer.resource {
                out.extend_from_slice(b"\"resource\":");
                out.extend_from_slice(&resource);
                out.push(b',');
            }
            out.extend_from_slice(format!("\"response\":{}", Value::Object(response)).as_bytes());
        }
        Err(failure) => {
            let line = line(status(failure.fault()));
            out.extend_from_slice(format!("\"response\":{{\"status\":\"{line}\",\"outcome\":").as_bytes());
            out.extend_from_slice(&outcome::bytes(&failure, base_url));
            out.push(b'}');
        }
    }
    out.push(b'}');
}

//! `/ops/v1/fhir/AuditEvent`: the ledger as FHIR, for auditors and the tools that they have.
//!
//! Each look is in the ledger, with its reason, before anything is shown.

use super::request::{JsonBody, OpsRequest};
use crate::audit::Object;
use crate::error::{Failure, Fault};
use crate::ops::audit_events::{self, EventSearch, ShownBy};
use crate::ops::viewed::patient;
use crate::percent::encode;
use serde_json::Value;

const WHAT: &str = "audit-events";

/// `GET /ops/v1/fhir/AuditEvent`.
pub(super) async fn search(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let search = EventSearch::new(asked.query.pairs(), &asked.app.ctx.payer)?;
    let about = match asked.query.text("patient") {
        Some(_) => search.subject().map(patient),
        None => search.subject().map(|id| object("entity", id)),
    };
    asked.show(WHAT, about).await?;
    let store = &asked.app.ctx.store;
    store.flush().await;
    let ctx = asked.app.ctx.clone();
    let page = store
        .read_apart(move |db| audit_events::list(db, &search, &ShownBy::of(&ctx)))
        .await?;
    let kept = asked.query.pairs().filter(|(name, _)| *name != "cursor");
    let kept: Vec<String> = kept
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    let (base, kept) = (base(asked), kept.join("&"));
    let url = |cursor: Option<&str>| {
        let cursor = cursor.map(|cursor| format!("cursor={}", encode(cursor)));
        let given = Some(kept.clone()).filter(|kept| !kept.is_empty());
        let query: Vec<String> = given.into_iter().chain(cursor).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{base}/AuditEvent{mark}{}", query.join("&"))
    };
    let mut links = vec![("self", url(asked.query.text("cursor").as_deref()))];
    if let Some(next) = &page.next {
        links.push(("next", url(Some(next))));
    }
    JsonBody::of(&audit_events::bundle("searchset", page.items, &base, &links))
}

/// `GET /ops/v1/fhir/AuditEvent/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = asked.id(|| Fault::NotFound.into())?;
    let (own, ctx) = (id.clone(), asked.app.ctx.clone());
    asked.app.ctx.store.flush().await;
    let found = asked
        .read(move |db| audit_events::one(db, &own, &ShownBy::of(&ctx)))
        .await;
    let about = found.as_ref().ok().and_then(member).map(patient);
    let about = about.unwrap_or_else(|| object("AuditEvent", &id));
    asked.show(WHAT, Some(about)).await?;
    JsonBody::of(&found?)
}

/// The Patient that an event is about.
fn member(event: &Value) -> Option<&str> {
    let each = event["entity"].as_array()?.iter();
    let mut references = each.filter_map(|entity| entity["what"]["reference"].as_str());
    references.find_map(|reference| reference.strip_prefix("Patient/"))
}

fn object(kind: &'static str, id: &str) -> Object {
    Object {
        kind,
        id: id.to_owned(),
    }
}

fn base(asked: &OpsRequest) -> String {
    format!("{}/ops/v1/fhir", asked.origin())
}

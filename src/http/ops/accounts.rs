//! `/ops/v1/disclosures`, `/trace`, `/ledger` and `/looks`: what happened, as the ledger has it.
//!
//! Member numbers come in bodies only, so that no URL holds one.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use crate::audit::Object;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::ops::disclosures::{self, DisclosuresAsked};
use crate::ops::ledger::{self, LedgerFilter};
use crate::ops::looks::{self, LookFilter};
use crate::ops::trace;
use crate::ops::viewed::patient;
use crate::store::Db;
use std::sync::Arc;

/// `GET /ops/v1/disclosures`.
pub(super) async fn disclosures(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let query = &asked.query;
    let wanted = DisclosuresAsked {
        member: query.text("member"),
        member_number: None,
        partner: query.text("partner"),
        from: query.text("from"),
        to: query.text("to"),
        cursor: query.text("cursor"),
    };
    disclosed(asked, wanted).await
}

/// `POST /ops/v1/disclosures/_search`: the same, with a member number in the body.
pub(super) async fn disclosures_search(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    disclosed(asked, asked.body()?).await
}

async fn disclosed(asked: &OpsRequest, wanted: DisclosuresAsked) -> Result<JsonBody, Failure> {
    let payer = Arc::clone(&asked.app.ctx.payer);
    let parameters = wanted.clone();
    let filter = asked.read(move |db| parameters.filter(db, &payer, PAGE)).await?;
    asked.show("disclosures", Some(patient(&filter.member))).await?;
    let member = Some(format!("Patient/{}", filter.member));
    let kept = pages::kept(&[
        ("member", &member),
        ("partner", &wanted.partner),
        ("from", &wanted.from),
        ("to", &wanted.to),
    ]);
    let keys = asked.app.ctx.member_keys.clone();
    let page = long(asked, move |db| disclosures::list(db, &filter, &keys)).await?;
    pages::listed(asked, "/ops/v1/disclosures", &kept, page)
}

/// `GET /ops/v1/trace/{id}`.
pub(super) async fn trace(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted = trace::TraceAsked::new(&asked.path_id()?, asked.query.id("cursor")?, PAGE)?;
    let object = Object {
        kind: "trace",
        id: wanted.id.clone(),
    };
    asked.show("trace", Some(object)).await?;
    let keys = asked.app.ctx.member_keys.clone();
    let page = long(asked, move |db| trace::trace(db, &wanted, &keys)).await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/ledger`.
pub(super) async fn ledger(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let query = &asked.query;
    let filter = LedgerFilter {
        from_ms: query.instant("from")?,
        to_ms: query.instant("to")?,
        exchange: query.id("exchange")?,
        correlation: query.correlation()?,
        cursor: query.id("cursor")?,
        limit: PAGE,
    };
    in_order(filter.from_ms, filter.to_ms)?;
    asked.show("ledger", None).await?;
    let keys = asked.app.ctx.member_keys.clone();
    let page = asked.read(move |db| ledger::list(db, &filter, &keys)).await?;
    pages::list(asked, page)
}

/// `GET /ops/v1/looks`.
pub(super) async fn looks(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let query = &asked.query;
    let filter = LookFilter {
        operator: query.text("operator"),
        from_ms: query.instant("from")?,
        to_ms: query.instant("to")?,
        cursor: query.id("cursor")?,
        limit: PAGE,
    };
    in_order(filter.from_ms, filter.to_ms)?;
    if filter.operator.as_deref().is_some_and(|name| !is_one_line(name)) {
        let remedy = "Give the name of a token or of a session, or a user of the host.";
        return Err(Failure::new(Fault::ParameterInvalid).at("operator").remedy(remedy));
    }
    asked.show("looks", None).await?;
    let keys = asked.app.ctx.member_keys.clone();
    let page = long(asked, move |db| looks::list(db, &filter, &keys)).await?;
    pages::list(asked, page)
}

/// Refuses a time that ends before it begins.
fn in_order(from_ms: Option<i64>, to_ms: Option<i64>) -> Result<(), Failure> {
    if from_ms.zip(to_ms).is_some_and(|(from, to)| from >= to) {
        let remedy = "Give a time after that of from.";
        return Err(Failure::new(Fault::ParameterInvalid).at("to").remedy(remedy));
    }
    Ok(())
}

/// A read of the ledger that may go over many rows: not on a thread that serves others meanwhile, and after what this process still has
/// to write of answers that were given.
async fn long<T: Send + 'static>(
    asked: &OpsRequest,
    work: impl FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let store = &asked.app.ctx.store;
    store.flush().await;
    store.read_apart(work).await
}

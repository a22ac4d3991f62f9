//! `/ops/v1/reconciliation`: the exchanges with one partner as rows that may be given to it.

use super::pages;
use super::request::{JsonBody, OpsRequest};
use crate::audit::Object;
use crate::error::{Failure, Fault};
use crate::ops::OpsPage;
use crate::ops::reconciliation::read::period;
use crate::ops::reconciliation::rows::{ReconcileAsked, ReconcileCursor, page};

/// `GET /ops/v1/reconciliation`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wrong = |place: &str, remedy: &str| Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy);
    let partner = asked.partner().await?;
    let partner = partner.ok_or_else(|| wrong("partner", "Say with which partner: partner=<id>."))?;
    let (from, until) = (asked.query.text("from"), asked.query.text("until"));
    let times = (from.as_deref(), until.as_deref());
    let (from_ms, until_ms) = period(times, ["from", "until"], asked.app.ctx.payer.time_zone)?;
    let cursor = match asked.query.id("cursor")? {
        Some(text) => {
            let known = ReconcileCursor::parse(&text);
            Some(known.ok_or_else(|| wrong("cursor", "Give the address of the next page as it was answered."))?)
        }
        None => None,
    };
    let about = Object {
        kind: "partner",
        id: partner.clone(),
    };
    asked.show("reconciliation", Some(about)).await?;
    let of = ReconcileAsked {
        partner,
        from_ms,
        until_ms,
        now_ms: asked.app.ctx.clock.now_ms(),
        keys: asked.app.ctx.member_keys.clone(),
    };
    // It may be long, and SQLite would run it on the thread that answers `/ready` and revocations.
    let store = &asked.app.ctx.store;
    let (items, next) = store.read_apart(move |db| page(db, &of, cursor.as_ref())).await?;
    let next = next.map(|cursor| cursor.text());
    pages::list(asked, OpsPage { items, next })
}

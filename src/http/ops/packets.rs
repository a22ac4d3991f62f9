//! `/ops/v1/packets` and `/ops/v1/evidence/{exchange}`: asking for evidence packets, and fetching those that were made.
//!
//! What is fetched is in the ledger before its first byte is sent. Member numbers come in bodies only.

use super::pages;
use super::request::{JsonBody, OpsRequest, PAGE};
use crate::audit::Object;
use crate::consent::WithdrawnBy;
use crate::error::{Failure, Fault};
use crate::evidence::asks;
use crate::evidence::scope::{EXCHANGE, PacketAsked, exchange};
use crate::ops::packets::{self, PacketItem};
use crate::security::Role;
use crate::store::evidence::{PacketRow, newest};
use actix_web::web::Bytes;

const WHAT: &str = "evidence";
/// The role that sees values of a person, which whoever asks for or fetches a packet with them has beside that of the route.
const SEES_VALUES: Role = Role::Reviewer;

/// `GET /ops/v1/packets`.
pub(super) async fn list(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let cursor = asked.query.id("cursor")?;
    asked.show(WHAT, None).await?;
    let page = asked.read(move |db| packets::list(db, cursor.as_deref(), PAGE)).await?;
    pages::list(asked, page)
}

/// `POST /ops/v1/packets`: answers with the packet, which is made in the background.
pub(super) async fn ask(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let wanted: PacketAsked = asked.body()?;
    if wanted.with_phi {
        asked.demand(SEES_VALUES).await?;
    }
    let by = WithdrawnBy::new(
        asked.operator.name.clone(),
        asked.role.name(),
        &wanted.reason,
        asked.correlation(),
    )?;
    let ctx = &asked.app.ctx;
    let id = ctx.store.write(asked.held(asks::ask(ctx, wanted, by))).await?;
    ctx.bell.ring();
    shown(asked, id).await
}

/// `GET /ops/v1/packets/{id}`.
pub(super) async fn one(asked: &OpsRequest) -> Result<JsonBody, Failure> {
    let id = id(asked)?;
    shown(asked, id).await
}

async fn shown(asked: &OpsRequest, id: String) -> Result<JsonBody, Failure> {
    asked.show(WHAT, None).await?;
    let row = asked.read(move |db| asks::find(db, &id)).await?;
    JsonBody::of(&PacketItem::of(row))
}

/// `GET /ops/v1/packets/{id}/file`: the packet itself.
pub(super) async fn file(asked: &OpsRequest) -> Result<Bytes, Failure> {
    let id = id(asked)?;
    let found = asked.read(move |db| asks::find(db, &id)).await;
    bytes(asked, found).await
}

/// `GET /ops/v1/evidence/{exchange}`: the newest packet of an exchange that was made.
pub(super) async fn of_exchange(asked: &OpsRequest) -> Result<Bytes, Failure> {
    let id = asked.id(|| Fault::ExchangeUnknown.into())?;
    let found = asked.read(move |db| {
        exchange(db, &id)?;
        newest(db, EXCHANGE, &id)?.ok_or_else(|| {
            Failure::new(Fault::PacketUnknown)
                .remedy("Ask for it with POST /ops/v1/packets, and fetch it when its state is made.")
        })
    });
    bytes(asked, found.await).await
}

/// Notes the look, whether there is a packet or not, and returns the packet.
async fn bytes(asked: &OpsRequest, found: Result<PacketRow, Failure>) -> Result<Bytes, Failure> {
    let object = found.as_ref().ok().map(|row| Object {
        kind: "EvidencePacket",
        id: row.id.clone(),
    });
    if let Ok(row) = &found
        && row.with_phi != 0
    {
        asked.demand(SEES_VALUES).await?;
        asks::demand_second(&asked.app.ctx, row, &asked.operator.name)?;
    }
    asked.show(found.as_ref().map_or(WHAT, asks::look_at), object).await?;
    let row = found?;
    let store = &asked.app.ctx.store;
    let keys = asked.app.ctx.member_keys.clone();
    let found = store.read_apart(move |db| asks::content(db, &row, &keys)).await?;
    Ok(Bytes::from(found))
}

fn id(asked: &OpsRequest) -> Result<String, Failure> {
    asked.id(|| Fault::PacketUnknown.into())
}

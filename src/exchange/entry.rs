//! The ledger entry of an exchange: who acts, for which partner and member, under which correlation.

use super::loaded::LoadedExchange;
use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::security::Operator;
use crate::telemetry::Correlation;

/// The name under which an entry cites the escalation policy that set or used a deadline.
pub(super) const ESCALATION: &str = "escalation";

/// An entry about an exchange.
pub(super) fn entry(ctx: &Context, exchange: &LoadedExchange, action: Action, by: Option<&WithdrawnBy>) -> LedgerEvent {
    let row = &exchange.row;
    let request_id = by.map_or_else(
        || ctx.ids.new_id(ctx.clock.now_ms()),
        |by| by.correlation.request_id.clone(),
    );
    let correlation = Correlation::of(
        request_id,
        crate::secret::random_of_many(),
        Some(&row.correlation_id),
        None,
        None,
    );
    let actor = by.map_or_else(
        || Actor {
            kind: "system",
            ..Actor::default()
        },
        |by| Operator::actor(by.role),
    );
    let mut entry = LedgerEvent::new(action, actor, correlation);
    entry.partner = Some(row.partner_id.clone());
    entry.exchange = Some(row.id.clone());
    entry.object = row.member_id.clone().map(|id| Object { kind: "Patient", id });
    entry.policy_version = Some(row.policy_version.clone());
    entry.note = by.map(|by| OperatorNote {
        operator: by.operator.clone(),
        reason: by.reason.clone(),
    });
    entry
}

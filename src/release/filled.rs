//! How many resources of each type a caller may read, for people who look around. Only numbers leave, and the ledger says that they did.

use super::{Disclosure, SentPart, Tally, begin};
use crate::audit::{Action, LedgerEvent};
use crate::context::Context;
use crate::error::Failure;
use crate::security::Caller;
use crate::store::released_counts;

/// The types of which the caller may read resources, each with its count.
///
/// # Errors
/// Those of the store and of the ledger.
pub async fn filled_types(ctx: &Context, caller: &Caller) -> Result<Vec<(String, i64)>, Failure> {
    let now_ms = ctx.clock.now_ms();
    let (partner, patient_id) = (caller.partner.id.clone(), caller.patient_id.clone());
    let counts = ctx
        .store
        .read_in_turn(&caller.partner.id, move |db| {
            released_counts::by_type(db, &partner, patient_id.as_deref(), now_ms)
        })
        .await?;
    let mut numbers = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    super::version::cite(&mut numbers);
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for begun in begin(ctx, vec![numbers]).await? {
        disclosure.add(None, begun, 0, Tally::default());
    }
    disclosure.ends(SentPart::Head(200));
    Ok(counts)
}

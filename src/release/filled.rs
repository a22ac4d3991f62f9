//! How many resources of each type a caller may read, for people who look around. Only numbers leave, and the ledger says that they did.

use super::{Disclosure, SentPart, Tally, begin};
use crate::audit::{Action, LedgerEvent, RestCall};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::released_counts;
use std::time::Duration;
use tokio::time::timeout;

/// The types of which the caller may read resources, each with its count. The counting may take so long.
///
/// # Errors
/// [`Fault::StoreSlow`] when it takes longer; those of the store and of the ledger.
pub async fn filled_types(ctx: &Context, caller: &Caller, time: Duration) -> Result<Vec<(String, i64)>, Failure> {
    let now_ms = ctx.clock.now_ms();
    let (partner, patient_id) = (caller.partner.id.clone(), caller.patient_id.clone());
    let counting = ctx.store.read_in_turn(&caller.partner.id, move |db| {
        released_counts::by_type(db, &partner, patient_id.as_deref(), now_ms)
    });
    // The ledger's entry is outside of the time: one that is written without its end would say that something may have been disclosed.
    let counts = timeout(time, counting).await.map_err(|_| Fault::StoreSlow)??;
    let mut numbers = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    numbers.interaction = Some(RestCall::Search);
    super::version::cite(&mut numbers);
    let mut disclosure = Disclosure::new(ctx, caller, now_ms);
    for begun in begin(ctx, vec![numbers]).await? {
        disclosure.add(None, begun, 0, Tally::default());
    }
    disclosure.ends(SentPart::Head(200));
    Ok(counts)
}

//! Finds what a partner's server offers: token endpoint and ways to get a record. Safe to repeat: it only reads public documents.

use super::access::{Acquaintance, PartnerAccess};
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure};
use crate::store::partners::PartnerRow;

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let now_ms = held.ctx().clock.now_ms();
    let (known, call) = find(&session.access, &facts.partner, &facts.correlation_id, now_ms).await?;
    session.known = Some(known);
    Ok((StepEnd::Done(StepGain::Ready), call))
}

/// What is known of a partner, which is asked unless it was lately.
///
/// # Errors
/// [`CallEnd::Trust`] when it names another origin than the registered one; those of the calls.
pub async fn find(
    access: &PartnerAccess,
    partner: &PartnerRow,
    correlation: &str,
    now_ms: i64,
) -> Result<(Acquaintance, CallFacts), CallFailure> {
    if let Some(known) = access.known(partner, now_ms) {
        return Ok((known, CallFacts::default()));
    }
    let peer = access.peer(partner)?;
    let elsewhere = || CallFailure::new(CallEnd::Trust(Fault::PartnerElsewhere));
    let (smart, _) = peer.smart(correlation).await?;
    peer.named(&smart.token_endpoint).map_err(|_| elsewhere())?;
    // A partner that publishes its endpoints, and not the registered one among them, has moved or is not the one we know.
    if let Some(endpoints) = peer.davinci(correlation).await?
        && !endpoints.is_empty()
        && !endpoints.iter().any(|url| peer.named(url).is_ok())
    {
        return Err(elsewhere());
    }
    let (offer, call) = peer.offer(correlation).await?;
    let found = Acquaintance {
        peer,
        smart,
        offer,
        until_ms: PartnerAccess::believed_until(now_ms),
    };
    access.remember(partner, &found);
    Ok((found, call))
}

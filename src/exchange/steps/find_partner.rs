//! Finds what a partner's server offers: token endpoint and ways to get a record. Safe to repeat: it only reads public documents.

use super::access::{Acquaintance, PartnerAccess};
use super::facts::ExchangeFacts;
use super::open::{OpenSession, Went};
use super::result::{StepEnd, StepGain};
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::partner::peer::{CallEnd, CallFacts, CallFailure};

pub(super) async fn run(session: &mut OpenSession, facts: &ExchangeFacts, held: &HeldJob) -> Went {
    let now_ms = held.ctx().clock.now_ms();
    let ready = StepEnd::Done(StepGain::Ready);
    if let Some(known) = session.access.known(&facts.partner, now_ms) {
        session.known = Some(known);
        return Ok((ready, CallFacts::default()));
    }
    let peer = session.access.peer(&facts.partner)?;
    let correlation = facts.correlation_id.as_str();
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
    session.access.remember(&facts.partner, &found);
    session.known = Some(found);
    Ok((ready, call))
}

//! Whether a step may begin now: the opt-in, the partner, the time, the version, and how the partner's server does. Pure.
//!
//! It is asked in the transaction that begins the step, right before data moves.

use super::conclude::{Conclusion, Position};
use super::health::{self, MayCall};
use super::kind::WORKFLOW;
use super::loaded::{Circumstances, LoadedExchange};
use super::permit::refusal_of;
use super::steps::StepName;
use crate::error::{Failure, Fault};

/// Whether a step may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayBegin {
    /// It may.
    Yes,
    /// It may, and it tries whether the partner is well again.
    Probe,
    /// It may not, and this follows.
    No(Conclusion),
}

/// Whether the next step of `exchange` may begin at `now_ms` (UTC milliseconds). `unit` is a random number in `0.0..1.0`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an exchange whose states are not known.
pub fn may_begin(
    exchange: &LoadedExchange,
    around: &Circumstances,
    now_ms: i64,
    unit: f64,
) -> Result<MayBegin, Failure> {
    let here = exchange.position()?;
    Ok(judged(&here, exchange, around, now_ms, unit))
}

fn judged(here: &Position, exchange: &LoadedExchange, around: &Circumstances, now_ms: i64, unit: f64) -> MayBegin {
    if exchange.row.workflow > WORKFLOW {
        return MayBegin::No(here.parked("refused", Fault::WorkflowUnknown));
    }
    let row = &exchange.row;
    if here.at.moves_data()
        && let Some((event, fault)) = refusal_of(&around.opt_in, row.member_id.as_deref(), &row.partner_id, now_ms)
    {
        return MayBegin::No(here.over(event, "refused", fault));
    }
    if now_ms > here.deadline_ms {
        return MayBegin::No(here.parked("timeout", Fault::DeadlineOver));
    }
    if (here.at.moves_data() || here.at.calls()) && !around.partner.is_active() {
        return MayBegin::No(here.parked("refused", Fault::PartnerStopped));
    }
    if !here.at.calls() {
        return MayBegin::Yes;
    }
    if around.partner.endpoint.is_none() {
        return MayBegin::No(here.parked("refused", Fault::PartnerHasNoEndpoint));
    }
    // Whom the partner knows the member as, it said at that address. Another one is asked from the beginning.
    let was_asked_elsewhere = row.asked_at.is_some() && row.asked_at != around.address();
    if here.at == StepName::Retrieve && was_asked_elsewhere {
        return MayBegin::No(here.parked("refused", Fault::PartnerMoved));
    }
    match around
        .health
        .as_ref()
        .map(|health| health::may_call(health, now_ms, unit))
    {
        Some(MayCall::NotBefore(wake_ms)) => MayBegin::No(here.held_back(wake_ms)),
        Some(MayCall::Probe) => MayBegin::Probe,
        _ => MayBegin::Yes,
    }
}

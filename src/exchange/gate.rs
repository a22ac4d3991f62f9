//! Whether a step may begin now: the opt-in, the partner, the time, the version, and how the partner's server does. Pure.
//!
//! It is asked in the transaction that begins the step, right before data moves.

use super::conclude::{Conclusion, Position};
use super::event::ExchangeEvent;
use super::health::{self, MayCall};
use super::loaded::{Circumstances, LoadedExchange, WORKFLOW};
use super::steps::StepName;
use crate::error::{Failure, Fault};
use crate::store::opt_ins::OptInRow;

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

/// Why an opt-in does not permit an exchange now; `None` when it does.
pub fn refusal_of(
    opt_in: &OptInRow,
    member_id: Option<&str>,
    partner_id: &str,
    now_ms: i64,
) -> Option<(ExchangeEvent, Fault)> {
    if opt_in.revoked_ms.is_some() {
        Some((ExchangeEvent::ConsentRevoked, Fault::OptInRevoked))
    } else if opt_in.to_ms.is_some_and(|to_ms| to_ms < now_ms) {
        Some((ExchangeEvent::ConsentExpired, Fault::OptInOver))
    } else if opt_in.from_ms > now_ms || Some(opt_in.member_id.as_str()) != member_id || opt_in.partner_id != partner_id
    {
        Some((ExchangeEvent::ConsentRefused, Fault::OptInOver))
    } else {
        None
    }
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
    if !calls(here.at) {
        return MayBegin::Yes;
    }
    if !around.partner.is_active() {
        return MayBegin::No(here.parked("refused", Fault::PartnerStopped));
    }
    if around.partner.endpoint.is_none() {
        return MayBegin::No(here.parked("refused", Fault::PartnerHasNoEndpoint));
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

/// Whether a step calls the partner.
pub const fn calls(step: StepName) -> bool {
    !matches!(step, StepName::Check | StepName::Store)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opt_in() -> OptInRow {
        OptInRow {
            id: "o".into(),
            member_id: "m".into(),
            partner_id: "p".into(),
            policy: "regular".into(),
            from_ms: 100,
            to_ms: Some(200),
            attested_by: "desk".into(),
            attested_ms: 50,
            attested_how: "paper".into(),
            recorded_ms: 60,
            revoked_ms: None,
            revoked_by: None,
            revoked_why: None,
        }
    }

    #[test]
    fn an_opt_in_permits_its_member_and_partner_within_its_period_until_it_is_revoked() {
        let refused = |opt_in: &OptInRow, now_ms| refusal_of(opt_in, Some("m"), "p", now_ms).map(|(event, _)| event);
        assert_eq!(refused(&opt_in(), 100), None);
        assert_eq!(refused(&opt_in(), 200), None);
        assert_eq!(refused(&opt_in(), 99), Some(ExchangeEvent::ConsentRefused));
        assert_eq!(refused(&opt_in(), 201), Some(ExchangeEvent::ConsentExpired));
        let revoked = OptInRow {
            revoked_ms: Some(150),
            ..opt_in()
        };
        assert_eq!(refused(&revoked, 160), Some(ExchangeEvent::ConsentRevoked));
        assert!(refusal_of(&opt_in(), Some("other"), "p", 150).is_some());
        assert!(refusal_of(&opt_in(), Some("m"), "q", 150).is_some());
    }
}

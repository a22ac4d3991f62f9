//! Whether the member's opt-in and the partner's registration permit an exchange now. Both may end at any time, so this is asked again
//! wherever data is about to move: before a step, before each request of a record, and in each transaction that stores some of it.

use super::event::ExchangeEvent;
use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::partner::peer::PeerEndpoint;
use crate::records::ingest::IngestPermit;
use crate::store::opt_ins::{self, OptInRow};
use crate::store::partners::PartnerRow;
use crate::store::{Db, partners};
use std::sync::Arc;

/// For whom, with whom and under what an exchange runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitTerms {
    /// Id of the opt-in.
    pub opt_in_id: String,
    /// Id of our Patient.
    pub member_id: String,
    /// Id of the partner.
    pub partner_id: String,
}

/// The terms of a step that may call the partner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallTerms {
    /// For whom, with whom and under what it runs.
    pub terms: PermitTerms,
    /// The FHIR base URL that it calls; the registration must still have it. `None` for a step that calls nobody.
    pub asked_at: Option<String>,
}

impl From<PermitTerms> for CallTerms {
    fn from(terms: PermitTerms) -> CallTerms {
        CallTerms { terms, asked_at: None }
    }
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

/// Fails unless data may move at `now_ms` (UTC milliseconds), in the caller's transaction.
///
/// # Errors
/// [`Fault::OptInRevoked`], [`Fault::OptInOver`], [`Fault::PartnerStopped`]; [`Fault::StoreDamaged`] when the opt-in or the partner is
/// gone; those of the database.
pub fn demand(db: &mut Db, terms: &PermitTerms, now_ms: i64) -> Result<(), Failure> {
    partner_of(db, terms, now_ms).map(drop)
}

/// Fails unless data may move at `now_ms` (UTC milliseconds) to and from the address that is called, in the caller's transaction.
///
/// # Errors
/// As [`demand`]; [`Fault::PartnerMoved`] when the registration has another address by now.
pub fn demand_at(db: &mut Db, call: &CallTerms, now_ms: i64) -> Result<(), Failure> {
    let partner = partner_of(db, &call.terms, now_ms)?;
    let Some(asked_at) = &call.asked_at else {
        return Ok(());
    };
    match PeerEndpoint::read(partner.endpoint.as_deref())?.fhir == *asked_at {
        true => Ok(()),
        false => Err(Fault::PartnerMoved.into()),
    }
}

/// The partner, whose registration and opt-in permit it.
fn partner_of(db: &mut Db, terms: &PermitTerms, now_ms: i64) -> Result<PartnerRow, Failure> {
    let gone = |what: &'static str| Failure::new(Fault::StoreDamaged).because(what);
    let opt_in = opt_ins::find(db, &terms.opt_in_id)?.ok_or_else(|| gone("an exchange without its opt-in"))?;
    if let Some((_, fault)) = refusal_of(&opt_in, Some(&terms.member_id), &terms.partner_id, now_ms) {
        return Err(fault.into());
    }
    let partner = partners::by_id(db, &terms.partner_id)?.ok_or_else(|| gone("an exchange without its partner"))?;
    match partner.is_active() {
        true => Ok(partner),
        false => Err(Fault::PartnerStopped.into()),
    }
}

/// [`demand_at`] for the transactions of long work.
pub fn permit(terms: impl Into<CallTerms>, clock: Clock) -> IngestPermit {
    let call = terms.into();
    Arc::new(move |db| demand_at(db, &call, clock.now_ms()))
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

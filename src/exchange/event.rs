//! What can happen to an exchange. Each event is a ledger action `exchange.<event>`. Pure.

use super::phase::states;
use crate::audit::Action;

states! {
    /// Something that happens to an exchange.
    pub enum ExchangeEvent {
        /// It was accepted.
        Started => "started",
        /// A step that moves data is about to begin.
        Sending => "sending",
        /// The partner knows the member.
        MemberMatched => "member-matched",
        /// The partner knows no such member; there will be another round.
        NoMatch => "no-match",
        /// The partner knows no such member, and there will be no further round.
        Unmatched => "unmatched",
        /// The partner says that there are several.
        Ambiguous => "ambiguous",
        /// The whole record has come.
        Retrieved => "retrieved",
        /// A part of the record has come.
        PartlyRetrieved => "partly-retrieved",
        /// The partner has nothing for us yet.
        NotYet => "not-yet",
        /// What came was checked and may be stored.
        Checked => "checked",
        /// Some of what came may not be stored.
        PartlyChecked => "partly-checked",
        /// The record is stored.
        Stored => "stored",
        /// Some of the received resources are in quarantine.
        PartlyStored => "partly-stored",
        /// What came is stored, and the rest will be asked for.
        RestAwaited => "rest-awaited",
        /// The partner knows that the record has arrived; the exchange is complete.
        Acknowledged => "acknowledged",
        /// The partner knows that it has arrived, but some of it is in quarantine.
        PartlyAcknowledged => "partly-acknowledged",
        /// What an earlier step left behind is gone; that step is run again.
        WentBack => "went-back",
        /// A call failed and will be repeated.
        AttemptFailed => "attempt-failed",
        /// A step with much to do has come further, and goes on after others had their turn.
        WentOn => "went-on",
        /// The partner is in trouble and is not called for a while.
        HeldBack => "held-back",
        /// The partner understood and refused.
        PartnerRefused => "partner-refused",
        /// The consent does not permit it.
        ConsentRefused => "consent-refused",
        /// The consent's period is over.
        ConsentExpired => "consent-expired",
        /// The member revoked the consent.
        ConsentRevoked => "consent-revoked",
        /// A person has to look.
        PersonNeeded => "person-needed",
        /// It waits for an operator because its attempts or its time are over.
        Parked => "parked",
        /// An operator stopped it for a while.
        Paused => "paused",
        /// An operator let a parked exchange go on.
        Replayed => "replayed",
        /// An operator decided that an exchange in review goes on.
        Reopened => "reopened",
        /// An operator withdrew it.
        Cancelled => "cancelled",
        /// An operator replaced it by another exchange.
        Superseded => "superseded",
        /// An operator ended it without a result.
        Closed => "closed",
    }
}

impl ExchangeEvent {
    /// The action of its ledger entry.
    pub const fn action(self) -> Action {
        match self {
            ExchangeEvent::Started => Action::ExchangeStarted,
            ExchangeEvent::Sending => Action::ExchangeSending,
            ExchangeEvent::MemberMatched => Action::ExchangeMemberMatched,
            ExchangeEvent::NoMatch => Action::ExchangeNoMatch,
            ExchangeEvent::Unmatched => Action::ExchangeUnmatched,
            ExchangeEvent::Ambiguous => Action::ExchangeAmbiguous,
            ExchangeEvent::Retrieved => Action::ExchangeRetrieved,
            ExchangeEvent::PartlyRetrieved => Action::ExchangePartlyRetrieved,
            ExchangeEvent::NotYet => Action::ExchangeNotYet,
            ExchangeEvent::Checked => Action::ExchangeChecked,
            ExchangeEvent::PartlyChecked => Action::ExchangePartlyChecked,
            ExchangeEvent::Stored => Action::ExchangeStored,
            ExchangeEvent::PartlyStored => Action::ExchangePartlyStored,
            ExchangeEvent::RestAwaited => Action::ExchangeRestAwaited,
            ExchangeEvent::Acknowledged => Action::ExchangeAcknowledged,
            ExchangeEvent::PartlyAcknowledged => Action::ExchangePartlyAcknowledged,
            ExchangeEvent::WentBack => Action::ExchangeWentBack,
            ExchangeEvent::AttemptFailed => Action::ExchangeAttemptFailed,
            ExchangeEvent::WentOn => Action::ExchangeWentOn,
            ExchangeEvent::HeldBack => Action::ExchangeHeldBack,
            ExchangeEvent::PartnerRefused => Action::ExchangePartnerRefused,
            ExchangeEvent::ConsentRefused => Action::ExchangeConsentRefused,
            ExchangeEvent::ConsentExpired => Action::ExchangeConsentExpired,
            ExchangeEvent::ConsentRevoked => Action::ExchangeConsentRevoked,
            ExchangeEvent::PersonNeeded => Action::ExchangePersonNeeded,
            ExchangeEvent::Parked => Action::ExchangeParked,
            ExchangeEvent::Paused => Action::ExchangePaused,
            ExchangeEvent::Replayed => Action::ExchangeReplayed,
            ExchangeEvent::Reopened => Action::ExchangeReopened,
            ExchangeEvent::Cancelled => Action::ExchangeCancelled,
            ExchangeEvent::Superseded => Action::ExchangeSuperseded,
            ExchangeEvent::Closed => Action::ExchangeClosed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_names_each_event_as_the_table_does() {
        for event in ExchangeEvent::ALL {
            assert_eq!(event.action().code(), format!("exchange.{}", event.code()));
        }
    }
}

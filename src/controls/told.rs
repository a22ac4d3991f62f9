//! Which entries of the ledger belong to which business rows: one table of all actions. Pure.
//!
//! An action that is told by no row says why. A row that may go before its entry does is asked for its entry only.

use crate::audit::Action;
use crate::store::control_rows::RowKind;

/// The row that an entry belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOfEntry {
    /// A row of this kind, which stays as long as the entry does.
    Stays(RowKind),
    /// A row of this kind, which goes when it is not needed any more.
    Goes(RowKind),
    /// None, and why.
    None(&'static str),
}

/// A look, which changes nothing.
const LOOK: &str = "somebody looked, and nothing was changed";
/// A process began, ended or met something.
const PROCESS: &str = "it is about a process, not about a row";
/// A refusal.
const REFUSED: &str = "nothing was stored for what was refused";
/// A token.
const TOKEN: &str = "tokens are deleted after their end";

/// The row that entries with this action belong to.
pub const fn row_of(action: Action) -> RowOfEntry {
    use Action::*;
    use RowOfEntry::{Goes, None, Stays};
    match action {
        MatchBegun | MatchMatched | MatchRefused => Stays(RowKind::Decision),
        ConsentRecorded | ConsentRevoked => Stays(RowKind::Consent),
        OperatorGrantRevoked => Stays(RowKind::Grant),
        ReviewOpened | ReviewDecided | ReviewProposed | ReviewDeferred | ReviewTaken | ReviewReopened => {
            Stays(RowKind::Review)
        }
        LinkMoved | LinkTakenBack => Stays(RowKind::LinkStep),
        OptInRecorded | OptInRevoked => Stays(RowKind::OptIn),
        PartnerAdded | PartnerSuspended | PartnerResumed | PartnerRotated => Stays(RowKind::Partner),
        PolicyImported | PolicyProposed | PolicyActivated | PolicyRolledBack | PolicyShadowStarted => {
            Stays(RowKind::PolicyVersion)
        }
        PolicyApproved | PolicyWithdrawn => {
            None("the act on a policy that it is about has its own entry, and a row as long as the store")
        }
        BulkBegun => Goes(RowKind::BulkJob),
        BulkAcknowledged => Goes(RowKind::Acknowledgement),
        DisclosureBegun | DisclosureCompleted => {
            None("the entry is the record of the disclosure; its consent and its file are rows")
        }
        #[rustfmt::skip]
        ExchangeStarted | ExchangeSending | ExchangeMemberMatched | ExchangeNoMatch | ExchangeUnmatched | ExchangeAmbiguous
        | ExchangeRetrieved | ExchangePartlyRetrieved | ExchangeNotYet | ExchangeChecked | ExchangePartlyChecked | ExchangeStored
        | ExchangePartlyStored | ExchangeRestAwaited | ExchangeAcknowledged | ExchangePartlyAcknowledged | ExchangeWentBack
        | ExchangeAttemptFailed | ExchangeWentOn | ExchangeHeldBack | ExchangePartnerRefused | ExchangeConsentRefused
        | ExchangeConsentExpired | ExchangeConsentRevoked | ExchangePersonNeeded | ExchangeParked | ExchangePaused
        | ExchangeReplayed | ExchangeReopened | ExchangeCancelled | ExchangeSuperseded | ExchangeClosed | ExchangeTakenBack
        | ExchangeJudgedAgain | ExchangeRetracted | ExchangeRetractAsked | ExchangeMoveRefused => Stays(RowKind::Exchange),
        BulkCancelled => None("what is cancelled is deleted with its files, or is a run of ours that ended"),
        BulkReceiptAnswered => {
            None("it is about a run of ours; the run names the entry, which the run's row is asked for")
        }
        PolicyShadowEnded => None("what ends is a setting"),
        TokenIssued | TokenRevoked | OperatorTokenIssued | OperatorTokenRevoked => None(TOKEN),
        TokenRefused | DisclosureRefused | RequestRefused | OperatorRefused => None(REFUSED),
        PartnerLocked | PartnerUnlocked | GuessAlarmed => None("locks and counts of guesses end by themselves"),
        ReviewViewed | OperatorViewed => None(LOOK),
        OperatorImported | ExchangeImported => None("it counts the rows of a file, each of which is checked by itself"),
        ServerStarted | ServerStopped | ClockJumped | WorkerStarted | WorkerStopped => None(PROCESS),
        LedgerLogBegun => None("the log is checked with its signatures"),
        LedgerKeysRotated => None("the keys are outside of the store"),
        StoreBackedUp | StoreRestored => None("the backup is outside of the store"),
        JobReplayed => None("a job is deleted when it is done"),
        RetentionDeleted => None("what it is about is deleted"),
        EvidenceAsked | EvidenceMade | EvidenceFailed => None("packets are erased with members"),
        CaseOpened | CaseAdded | CaseClosed => {
            None("a case is a list of what was asked for, and is not a record of a person")
        }
        MemberErased => None("what it is about is deleted"),
        HoldPlaced | HoldReleased => None("a hold that was released is not asked for"),
        AlertRaised | AlertCleared => None("when an alert began and ended is deleted after a while"),
        ControlsRan => None("only the last run of each control has a row"),
    }
}

/// The action with this code.
pub fn action(code: &str) -> Option<Action> {
    Action::ALL.iter().copied().find(|action| action.code() == code)
}

/// The kinds of rows whose entries are asked for, each with its name in reports.
pub const ROWS_WITH_ENTRIES: &[(RowKind, &str)] = &[
    (RowKind::Decision, "decision"),
    (RowKind::Consent, "consent"),
    (RowKind::Grant, "grant"),
    (RowKind::Review, "review"),
    (RowKind::LinkStep, "link step"),
    (RowKind::OptIn, "opt-in"),
    (RowKind::Exchange, "exchange"),
    (RowKind::BulkJob, "bulk job"),
    (RowKind::Acknowledgement, "acknowledgement"),
    (RowKind::Partner, "partner"),
    (RowKind::PolicyVersion, "policy version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_row_or_says_why_not_and_every_kind_of_row_has_an_action() {
        for action in Action::ALL {
            if let RowOfEntry::None(why) = row_of(*action) {
                assert!(why.len() > 10, "{action:?}");
            }
            assert_eq!(super::action(action.code()), Some(*action));
        }
        for (kind, name) in ROWS_WITH_ENTRIES {
            let told = Action::ALL.iter().any(
                |action| matches!(row_of(*action), RowOfEntry::Stays(one) | RowOfEntry::Goes(one) if one == *kind),
            );
            // A grant is made by the entry of its decision.
            assert!(told, "{name}");
        }
    }

    #[test]
    fn every_event_of_an_exchange_belongs_to_the_exchange() {
        for event in crate::exchange::event::ExchangeEvent::ALL {
            assert_eq!(
                row_of(event.action()),
                RowOfEntry::Stays(RowKind::Exchange),
                "{event:?}"
            );
        }
    }
}

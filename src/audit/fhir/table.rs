//! Which events an entry has, by its action. An action of a newer version has none that is known, and is told as a plain activity.

use super::access::{access, exchange, operation};
use super::activity::{
    ALARM, ActivityKind, DECISION, ERASED, IMPORT, LOOK, LOOK_AT_MEMBER, REFUSED, RUNNING, SETTING, START, STOP,
    activity,
};
use super::change::{CREATE, ChangeKind, UPDATE, change};
use super::entry::AuditedEntry;
use super::parts::EventDraft;
use super::{consent, disclosure, token};
use crate::audit::entry::Action;
use crate::context::Payer;

/// What follows the entry's id in the id of a disclosure.
pub(super) const DISCLOSURE: &str = ".disclosure";
const CONSENT: &str = ".consent";

/// One way to tell an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventPattern {
    Access,
    Operation,
    Source,
    Recipient,
    ConsentDecision,
    Token,
    Exchange,
    Change(ChangeKind),
    Activity(ActivityKind),
}

impl EventPattern {
    /// The event of an entry, if the entry has what the pattern tells.
    pub(super) fn draft(self, entry: &AuditedEntry, payer: &Payer) -> Option<EventDraft> {
        match self {
            EventPattern::Access => Some(access(entry, payer)),
            EventPattern::Operation => Some(operation(entry, payer)),
            EventPattern::Source => disclosure::source(entry, payer),
            EventPattern::Recipient => disclosure::recipient(entry, payer),
            EventPattern::ConsentDecision => consent::decision(entry, payer),
            EventPattern::Token => Some(token::token(entry, payer)),
            EventPattern::Exchange => Some(exchange(entry, payer)),
            EventPattern::Change(kind) => Some(change(kind, entry, payer)),
            EventPattern::Activity(kind) => Some(activity(kind, entry, payer)),
        }
    }
}

type Told = &'static [(&'static str, EventPattern)];

/// The patterns of an action, each with what follows the entry's id in the id of its event.
pub(super) fn patterns(action: &str) -> Told {
    match Action::ALL.iter().find(|known| known.code() == action) {
        Some(action) => told(*action),
        None => &[("", EventPattern::Activity(RUNNING))],
    }
}

/// Whether entries with this action have events.
pub fn is_told(action: Action) -> bool {
    !told(action).is_empty()
}

fn told(action: Action) -> Told {
    use Action::*;
    use EventPattern::{Access, Activity, Change, ConsentDecision, Exchange, Operation, Recipient, Source, Token};
    match action {
        // Its disclosure is told by the entry that began it.
        DisclosureCompleted => &[],
        DisclosureBegun => &[("", Access), (DISCLOSURE, Source)],
        DisclosureRefused => &[("", Access)],
        TokenIssued | TokenRefused => &[("", Token)],
        MatchBegun => &[("", Operation)],
        MatchMatched | MatchRefused => &[("", Operation), (CONSENT, ConsentDecision)],
        ConsentRecorded | OptInRecorded => &[("", Change(CREATE))],
        ConsentRevoked | OptInRevoked | OperatorGrantRevoked => &[("", Change(UPDATE))],
        BulkBegun | BulkCancelled | BulkAcknowledged => &[("", Operation)],
        ExchangeRetrieved | ExchangePartlyRetrieved => &[("", Exchange), (DISCLOSURE, Recipient)],
        BulkReceiptAnswered
        | ExchangeStarted
        | ExchangeSending
        | ExchangeMemberMatched
        | ExchangeNoMatch
        | ExchangeUnmatched
        | ExchangeAmbiguous
        | ExchangeNotYet
        | ExchangeChecked
        | ExchangePartlyChecked
        | ExchangeStored
        | ExchangePartlyStored
        | ExchangeRestAwaited
        | ExchangeAcknowledged
        | ExchangePartlyAcknowledged
        | ExchangeWentBack
        | ExchangeAttemptFailed
        | ExchangeWentOn
        | ExchangeHeldBack
        | ExchangePartnerRefused
        | ExchangeConsentRefused
        | ExchangeConsentExpired
        | ExchangeConsentRevoked
        | ExchangePersonNeeded
        | ExchangeParked
        | ExchangePaused
        | ExchangeReplayed
        | ExchangeReopened
        | ExchangeCancelled
        | ExchangeSuperseded
        | ExchangeClosed
        | ExchangeTakenBack
        | ExchangeJudgedAgain
        | ExchangeRetracted
        | ExchangeRetractAsked
        | ExchangeMoveRefused => &[("", Exchange)],
        ExchangeImported | OperatorImported => &[("", Activity(IMPORT))],
        ReviewOpened | ReviewDecided | ReviewProposed | ReviewDeferred | ReviewTaken | ReviewReopened | LinkMoved
        | LinkTakenBack => &[("", Activity(DECISION))],
        ReviewViewed => &[("", Activity(LOOK_AT_MEMBER))],
        OperatorViewed | EvidenceAsked => &[("", Activity(LOOK))],
        GuessAlarmed | PartnerLocked | PartnerUnlocked => &[("", Activity(ALARM))],
        MemberErased => &[("", Activity(ERASED))],
        TokenRevoked | PartnerAdded | PartnerSuspended | PartnerResumed | PartnerRotated | PolicyImported
        | PolicyProposed | PolicyActivated | PolicyApproved | PolicyWithdrawn | PolicyRolledBack
        | PolicyShadowStarted | PolicyShadowEnded | OperatorTokenIssued | OperatorTokenRevoked | LedgerLogBegun
        | LedgerKeysRotated | HoldPlaced | HoldReleased => &[("", Activity(SETTING))],
        RequestRefused | OperatorRefused => &[("", Activity(REFUSED))],
        ServerStarted | WorkerStarted => &[("", Activity(START))],
        ServerStopped | WorkerStopped => &[("", Activity(STOP))],
        ClockJumped | JobReplayed | ControlsRan | StoreBackedUp | StoreRestored | RetentionDeleted | EvidenceMade
        | EvidenceFailed | CaseOpened | CaseAdded | CaseClosed | AlertRaised | AlertCleared => {
            &[("", Activity(RUNNING))]
        }
    }
}

//! A business event, before it is written as bytes.

use crate::telemetry::Correlation;
use std::collections::BTreeMap;

macro_rules! actions {
    ($($name:ident => $code:literal,)+) => {
        /// What happened, as `<area>.<what>`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $(#[doc = $code] $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Action] = &[$(Action::$name,)+];

            /// Returns the code, such as `token.issued`.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Action::$name => $code,)+
                }
            }
        }
    };
}

actions! {
    TokenIssued => "token.issued",
    TokenRefused => "token.refused",
    TokenRevoked => "token.revoked",
    MatchBegun => "member-match.begun",
    MatchMatched => "member-match.matched",
    MatchRefused => "member-match.refused",
    DisclosureBegun => "disclosure.begun",
    DisclosureCompleted => "disclosure.completed",
    DisclosureRefused => "disclosure.refused",
    ConsentRecorded => "consent.recorded",
    ConsentRevoked => "consent.revoked",
    PartnerAdded => "partner.added",
    PartnerSuspended => "partner.suspended",
    PartnerResumed => "partner.resumed",
    PartnerRotated => "partner.rotated",
    ReviewOpened => "review.opened",
    ReviewDecided => "review.decided",
    ReviewProposed => "review.proposed",
    ReviewDeferred => "review.deferred",
    ReviewTaken => "review.taken",
    ReviewReopened => "review.reopened",
    ReviewViewed => "review.viewed",
    LinkMoved => "link.moved",
    LinkTakenBack => "link.taken-back",
    PartnerLocked => "partner.locked",
    PartnerUnlocked => "partner.unlocked",
    GuessAlarmed => "guess.alarmed",
    PolicyImported => "policy.imported",
    PolicyProposed => "policy.proposed",
    PolicyActivated => "policy.activated",
    PolicyApproved => "policy.approved",
    PolicyWithdrawn => "policy.withdrawn",
    PolicyRolledBack => "policy.rolled-back",
    PolicyShadowStarted => "policy.shadow-started",
    PolicyShadowEnded => "policy.shadow-ended",
    AlertRaised => "alert.raised",
    AlertCleared => "alert.cleared",
    RequestRefused => "request.refused",
    OperatorTokenIssued => "operator.token-issued",
    OperatorTokenRevoked => "operator.token-revoked",
    OperatorImported => "operator.imported",
    OperatorViewed => "operator.viewed",
    OperatorGrantRevoked => "operator.grant-revoked",
    OperatorRefused => "operator.refused",
    ServerStarted => "server.started",
    ServerStopped => "server.stopped",
    ClockJumped => "server.clock-jumped",
    WorkerStarted => "worker.started",
    WorkerStopped => "worker.stopped",
    LedgerLogBegun => "ledger.log-begun",
    LedgerKeysRotated => "ledger.keys-rotated",
    EvidenceAsked => "evidence.packet-asked",
    EvidenceMade => "evidence.packet-made",
    EvidenceFailed => "evidence.packet-failed",
    CaseOpened => "evidence.case-opened",
    CaseAdded => "evidence.case-added",
    CaseClosed => "evidence.case-closed",
    StoreBackedUp => "store.backed-up",
    StoreRestored => "store.restored",
    MemberErased => "member.erased",
    JobReplayed => "job.replayed",
    RetentionDeleted => "retention.deleted",
    HoldPlaced => "retention.hold-placed",
    HoldReleased => "retention.hold-released",
    ControlsRan => "controls.ran",
    BulkBegun => "bulk.begun",
    BulkCancelled => "bulk.cancelled",
    BulkAcknowledged => "bulk.acknowledged",
    BulkReceiptAnswered => "bulk.receipt-answered",
    ExchangeStarted => "exchange.started",
    ExchangeSending => "exchange.sending",
    ExchangeMemberMatched => "exchange.member-matched",
    ExchangeNoMatch => "exchange.no-match",
    ExchangeUnmatched => "exchange.unmatched",
    ExchangeAmbiguous => "exchange.ambiguous",
    ExchangeRetrieved => "exchange.retrieved",
    ExchangePartlyRetrieved => "exchange.partly-retrieved",
    ExchangeNotYet => "exchange.not-yet",
    ExchangeChecked => "exchange.checked",
    ExchangePartlyChecked => "exchange.partly-checked",
    ExchangeStored => "exchange.stored",
    ExchangePartlyStored => "exchange.partly-stored",
    ExchangeRestAwaited => "exchange.rest-awaited",
    ExchangeAcknowledged => "exchange.acknowledged",
    ExchangePartlyAcknowledged => "exchange.partly-acknowledged",
    ExchangeWentBack => "exchange.went-back",
    ExchangeAttemptFailed => "exchange.attempt-failed",
    ExchangeWentOn => "exchange.went-on",
    ExchangeHeldBack => "exchange.held-back",
    ExchangePartnerRefused => "exchange.partner-refused",
    ExchangeConsentRefused => "exchange.consent-refused",
    ExchangeConsentExpired => "exchange.consent-expired",
    ExchangeConsentRevoked => "exchange.consent-revoked",
    ExchangePersonNeeded => "exchange.person-needed",
    ExchangeParked => "exchange.parked",
    ExchangePaused => "exchange.paused",
    ExchangeReplayed => "exchange.replayed",
    ExchangeReopened => "exchange.reopened",
    ExchangeCancelled => "exchange.cancelled",
    ExchangeSuperseded => "exchange.superseded",
    ExchangeClosed => "exchange.closed",
    ExchangeTakenBack => "exchange.taken-back",
    ExchangeJudgedAgain => "exchange.judged-again",
    ExchangeRetracted => "exchange.retracted",
    ExchangeRetractAsked => "exchange.retract-asked",
    ExchangeMoveRefused => "exchange.move-refused",
    ExchangeImported => "exchange.imported",
    OptInRecorded => "opt-in.recorded",
    OptInRevoked => "opt-in.revoked",
}

/// Who acted.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// `partner`, `operator`, `system` or `unknown`.
    pub kind: &'static str,
    /// Partner id or operator role; assigned by this server, and never a person's name.
    pub id: Option<String>,
    /// OAuth client id, when a client was authenticated.
    pub client_id: Option<String>,
    /// SHA-256 of the client certificate (DER).
    pub certificate_sha256: Option<[u8; 32]>,
    /// SHA-256 of the token's or assertion's `jti`.
    pub jti_sha256: Option<[u8; 32]>,
}

/// What the event was about. Only a salted commitment to its id goes into the entry.
#[derive(Clone, Debug)]
pub struct Object {
    /// FHIR type or a type of this server, such as `Patient` or `partner`.
    pub kind: &'static str,
    /// The plain id; stored next to the entry, where it can be erased.
    pub id: String,
}

/// By which interaction of FHIR a partner got something, or asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestCall {
    /// One resource.
    Read,
    /// One version of a resource.
    VersionRead,
    /// A page of a search.
    Search,
    /// An operation, such as `$everything`, or a file that an operation made.
    Operation,
}

impl RestCall {
    /// Returns the code in FHIR's `restful-interaction`.
    pub const fn code(self) -> &'static str {
        match self {
            RestCall::Read => "read",
            RestCall::VersionRead => "vread",
            RestCall::Search => "search-type",
            RestCall::Operation => "operation",
        }
    }
}

/// The outcome of the event.
#[derive(Clone, Debug, Default)]
pub struct EntryOutcome {
    /// `ok`, `refused` or `failed`; `unknown` for a disclosure whose process ended before its end was known.
    pub class: &'static str,
    /// HTTP status of the answer, if any.
    pub http: Option<u16>,
    /// Fault code, the decision of a review, or why a member was erased.
    pub reason: Option<&'static str>,
}

/// The consent that was checked.
#[derive(Clone, Debug)]
pub struct ConsentNote {
    /// Id of the stored consent; only a commitment to it is written.
    pub id: String,
    /// `permit` or `refuse`.
    pub decision: &'static str,
    /// The row of the decision table that applied.
    pub rule: &'static str,
}

/// The members of a file whose download is one entry. Their ids are stored where they can be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersNote {
    /// How many they are.
    pub count: u64,
    /// The root over commitments to the share of each ([`super::members_root`]).
    pub root: [u8; 32],
}

/// What a run of retention deleted. The list of the rows is the object of the entry, as its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedNote {
    /// The kind of data.
    pub kind: &'static str,
    /// How many rows.
    pub rows: u64,
    /// The instant from which the time of the oldest counted, UTC milliseconds.
    pub from_ms: i64,
    /// The same of the youngest.
    pub to_ms: i64,
}

/// The operator who acted, and why. Only commitments go into the entry; the texts are stored where they can be erased.
#[derive(Clone, Debug)]
pub struct OperatorNote {
    /// The operator: the name of the token, or the user of the host.
    pub operator: String,
    /// The operator's reason; empty when none is asked for, as for viewing.
    pub reason: String,
}

/// A business event before it is written as bytes. Fields that are `None` or empty are left out.
#[derive(Clone, Debug)]
pub struct LedgerEvent {
    /// What happened.
    pub action: Action,
    /// Who acted.
    pub actor: Actor,
    /// The partner concerned.
    pub partner: Option<String>,
    /// What it was about.
    pub object: Option<Object>,
    /// The exchange it belongs to.
    pub exchange: Option<String>,
    /// The interaction of FHIR, for a disclosure.
    pub interaction: Option<RestCall>,
    /// The law under which a member was erased inside the time for which records must be kept.
    pub legal_basis: Option<&'static str>,
    /// The step of the exchange, and which attempt of it.
    pub step: Option<(&'static str, u32)>,
    /// The outcome.
    pub outcome: EntryOutcome,
    /// The ids of the request. A correlation id that the caller chose goes into the entry as a commitment only.
    pub correlation: Correlation,
    /// SHA-256 of the request body as received.
    pub request_digest: Option<[u8; 32]>,
    /// SHA-256 of the answer's body.
    pub response_digest: Option<[u8; 32]>,
    /// Bytes disclosed.
    pub bytes: Option<u64>,
    /// Counts by name: resources by type, the results of an import, refusals that are not listed singly.
    pub counts: BTreeMap<String, u64>,
    /// Of how many of the resources that were sent a part was cut before; none where nobody counted.
    pub cut: Option<u64>,
    /// The record of the decision as stored: what was compared, and with which weights. Only a commitment to it is written.
    pub decided: Option<String>,
    /// Id of the *begun* entry of the disclosure that this entry ends.
    pub begun: Option<String>,
    /// The consent that was checked.
    pub consent: Option<ConsentNote>,
    /// The members of the file that the entry is about.
    pub members: Option<MembersNote>,
    /// What was deleted because its time was over.
    pub deleted: Option<DeletedNote>,
    /// Version of the policy that decided.
    pub policy_version: Option<String>,
    /// SHA-256 of the tables of rules that decided, by name.
    pub tables: Vec<(&'static str, [u8; 32])>,
    /// The operator who acted, and why.
    pub note: Option<OperatorNote>,
}

impl LedgerEvent {
    /// Makes an entry with its action, actor and correlation ids, and nothing else.
    pub fn new(action: Action, actor: Actor, correlation: Correlation) -> Self {
        LedgerEvent {
            action,
            partner: if actor.kind == "partner" {
                actor.id.clone()
            } else {
                None
            },
            actor,
            object: None,
            exchange: None,
            interaction: None,
            legal_basis: None,
            step: None,
            outcome: EntryOutcome {
                class: "ok",
                http: None,
                reason: None,
            },
            correlation,
            request_digest: None,
            response_digest: None,
            bytes: None,
            counts: BTreeMap::new(),
            cut: None,
            decided: None,
            begun: None,
            consent: None,
            members: None,
            deleted: None,
            policy_version: None,
            tables: Vec::new(),
            note: None,
        }
    }
}

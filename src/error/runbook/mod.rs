//! The runbook of faults: what people do about each row of the fault table. A fault without a procedure does not compile.
//!
//! What a fault means, how soon its owner acts, and the remedy stand in the fault table, and are not repeated here.

mod exchanges;
mod requests;
mod server;

use super::fault::Fault;
use super::procedure::{Procedure, RunbookAbout, RunbookRow};
use exchanges::{
    ANSWER, MEMBER_DATA, OPT_IN_OVER, OTHER_PERSON, OWN_TROUBLE, PAUSED, QUARANTINE, QUEUE, REGISTRATION, TRUST,
    UNREACHABLE,
};
use requests::{
    BULK_IN_THE_WAY, CONSENT_FORM, CONSENT_OVER, CORRECT, CREDENTIALS, EXCHANGE_STATE, JOB_STATE, LOCKED, LOOK_UP,
    NOT_MATCHED, PACKET, REQUEST, REVIEW_STATE, ROLE, SECOND_APPROVER, SECOND_REVIEWER, SIGN_IN, SUSPENDED, THROTTLED,
};
use server::{
    BULK_LATE, BUSY, BY_ITSELF, DAMAGED, DEFECT, FILES, IMPORT, INTEGRITY, KEPT, KEY_FILES, LOAD, SCHEMA, SEAL, STORE,
};

macro_rules! procedures {
    ($($procedure:ident: $first:ident $(, $fault:ident)* ;)+) => {
        impl Fault {
            /// What people do about it.
            pub fn procedure(self) -> &'static Procedure {
                match self {
                    $(Fault::$first $(| Fault::$fault)* => &$procedure,)+
                }
            }
        }
    };
}

procedures! {
    // Requests of partners
    REQUEST: NotJson, DuplicateKey, TooDeep, TooLarge, MediaTypeRefused, NotAcceptable, ResourceInvalid,
        ParameterInvalid, ParameterUnknown, RouteUnknown, MethodRefused, EmptyValue, NotUtf8, EncodingRefused,
        NotFound, PreconditionFailed, HeadTooLarge, SortTooCostly, SearchTooCostly, OperationNotServed, TypeNotServed,
        IdempotencyKeyBad, IdempotencyKeyReused, FormForeign, OauthRequest, OauthGrantType, OauthTarget, MatchInvalid,
        MatchParameterMissing, MatchParameterUnknown, MatchReference, BulkTooMany, BulkContradicts, BulkAsyncNeeded,
        ReceiptAnswered;
    THROTTLED: RequestTimeout, IdempotencyRunning, OauthThrottled, BulkBusy, RateLimited, AddressLimited,
        AnswerTooLong;
    CREDENTIALS: TokenMissing, TokenInvalid, ScopeMissing, CertificateNeeded, CertificateUnknown, OauthClient,
        OauthScope;
    SUSPENDED: PartnerSuspended, PartnerStopped;
    LOCKED: MatchLocked;
    NOT_MATCHED: NoUniqueMember;
    CONSENT_FORM: ConsentPatient, ConsentGrantor, ConsentRecipient, ConsentSource, ConsentKind, ConsentAction,
        ConsentFiltered, ConsentPolicy;
    CONSENT_OVER: ConsentNotHonoured, ConsentInactive, ConsentPeriod;
    // Requests of operators
    ROLE: RoleMissing;
    SIGN_IN: SignInUnfit, SignInNoRole, SignInProvider;
    LOOK_UP: ConsentUnknown, GrantUnknown, MemberUnknown, MemberNumberShared, TraceUnknown, LedgerEntryUnknown,
        PacketUnknown, EvidenceMissing, CaseUnknown, CaseClosed, PacketErased, PartnerUnknown, OperatorTokenUnknown,
        PolicyUnknown, ActivationUnknown, HoldUnknown, OptInUnknown;
    CORRECT: PacketTooLarge, CaseNameTaken, ConfigInvalid, InputUnreadable, PartnerInvalid, PolicyInvalid,
        PolicyFixed, PeriodRefused, StoreNotEmpty, EnrolmentInvalid, OptInMissing, FileUnusable;
    EXCHANGE_STATE: ExchangeUnknown, ExchangeMoveRefused, ExchangeNotParked, ExchangeRuns, NothingReceived;
    JOB_STATE: JobUnknown, JobNotParked;
    REVIEW_STATE: ReviewUnknown, ReviewMoved, LinkUnknown, LinkMoveRefused;
    SECOND_REVIEWER: ReviewSecondNeeded;
    SECOND_APPROVER: PolicySecondNeeded;
    PACKET: PacketNotMade;
    BULK_IN_THE_WAY: ErasureWaits;
    KEPT: ErasureKept, ErasureHeld, HoldInForce;
    // This server
    LOAD: Overloaded, StoreSlow;
    STORE: StoreUnavailable, AuditUnavailable, NoRoom, StoreUnsafe, DurabilityUnsafe;
    SCHEMA: SchemaBehind, SchemaNewer, StoreUnfit, StoreReadOnly, StoreMissing;
    BUSY: StoreBusy;
    DAMAGED: StoreDamaged;
    INTEGRITY: LedgerForked, BackupAltered;
    SEAL: SealBroken;
    KEY_FILES: LedgerKey, WitnessFiles, SealKeys;
    BULK_LATE: BulkLate;
    FILES: BulkFolder;
    DEFECT: Internal, JudgementFailed, ExchangeFell, PartnerMisunderstands;
    IMPORT: ReferenceUnresolved, TypeUnsupported, ValueInvalid, ElementUnknown, ElementShape, CodeUnknown,
        ElementMissing, ChoiceConflict, NotStorable, RecordFull, SourceBaseConflict, BinaryOfSeveral;
    BY_ITSELF: LeaseLost, DeletedAtSource, ClosedByOperator;
    // Exchanges of ours
    UNREACHABLE: PartnerUnreachable, AttemptsOver, DeadlineOver, WaitTooLong, NotAcknowledged;
    ANSWER: PartnerAnswer, RestNotGiven, PartnerTokenUnfit, PartnerNotFhir, PartnerTooMuch, PartnerPagesLoop,
        PartnerForbids, PartnerRefuses, PartnerOffersNothing, MatchAnswerUnfit, PatientMissing, FilesUntrue,
        ReceiptUntrue;
    TRUST: PartnerElsewhere, PartnerRedirects, PartnerCertificate, PartnerTokenRefused;
    REGISTRATION: PartnerHasNoEndpoint, PartnerMoved;
    QUARANTINE: InQuarantine, VersionAltered, IdMissing;
    OTHER_PERSON: OtherMember, StrangersResource;
    MEMBER_DATA: NoMatchThere, SeveralThere, MemberIncomplete;
    OPT_IN_OVER: OptInOver, OptInRevoked;
    PAUSED: ExchangePaused;
    OWN_TROUBLE: WorkflowUnknown, SpoolLost;
    QUEUE: QueueFull;
}

impl Fault {
    /// Its row of the runbook.
    pub fn runbook(self) -> RunbookRow {
        let row = self.row();
        RunbookRow {
            about: RunbookAbout::Fault,
            code: row.code,
            meaning: row.text,
            within: row.within,
            remedy: Some(self.operator_remedy().unwrap_or(row.remedy)),
            procedure: self.procedure(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::procedure::{EscalateTo, PersonDecides, ReplayRule, RunbookOwner};
    use super::super::row::{ActWithin, FaultOwner, Retry};
    use super::*;

    #[test]
    fn the_runbook_agrees_with_the_fault_table() {
        for fault in Fault::ALL {
            let (row, procedure) = (fault.row(), fault.procedure());
            let what = row.code;
            assert!(!procedure.steps.is_empty(), "{what}");
            if row.owner == FaultOwner::Nobody {
                assert_eq!(procedure.owner, RunbookOwner::Us, "{what}");
                assert_eq!(procedure.replay, ReplayRule::Nothing, "{what}");
            }
            // Who is not at this payer cannot be waited for by day and night.
            if row.within == ActWithin::Now {
                assert!(
                    matches!(procedure.owner, RunbookOwner::Operations | RunbookOwner::Security),
                    "{what}"
                );
                assert_ne!(procedure.escalate, EscalateTo::Nobody, "{what}");
            }
            if row.owner == FaultOwner::Maintainer {
                assert_eq!(procedure.escalate, EscalateTo::Maintainers, "{what}");
            }
            // What a program may send again by itself is not forbidden to people.
            if row.retry == Retry::Backoff {
                assert_ne!(procedure.replay, ReplayRule::Never, "{what}");
            }
            if procedure.replay == ReplayRule::AfterDecision {
                assert_ne!(procedure.person, PersonDecides::Nobody, "{what}");
            }
        }
    }
}

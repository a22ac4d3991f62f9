//! What each operations route does: the names that rows of `super::table` have and `super::register` gives handlers to.
//!
//! Data only.

/// What a route does; the name its handler goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum OpsCall {
    Live,
    Ready,
    Metrics,
    Decisions,
    Decision,
    Grants,
    GrantsSearch,
    GrantRevoke,
    Consents,
    Consent,
    ConsentRevoke,
    Disclosures,
    DisclosuresSearch,
    Trace,
    Reviews,
    Review,
    ReviewDecide,
    Links,
    LinkDispute,
    MemberGraph,
    Ledger,
    Looks,
    Packets,
    PacketAsk,
    Packet,
    PacketFile,
    Evidence,
    Cases,
    Case,
    CaseOpen,
    CaseAdd,
    CaseClose,
    AuditEvents,
    AuditEvent,
    Controls,
    Partners,
    Policies,
    PolicyActs,
    Policy,
    PolicyDiff,
    PolicyReplay,
    PolicyCompare,
    PolicyImport,
    PolicyActivate,
    PolicyRollback,
    PolicyApprove,
    PolicyWithdraw,
    PolicyShadowStart,
    PolicyShadowStop,
    Faults,
    Runbook,
    RunbookEntry,
    States,
    Alerts,
    Slo,
    Service,
    ServicePage,
    Scorecard,
    ScorecardPage,
    Jobs,
    JobReplay,
    BulkJobs,
    BulkRuns,
    Exchanges,
    Exchange,
    ExchangeStart,
    ExchangesReplay,
    ExchangeCancel,
    ExchangeReplay,
    ExchangeSupersede,
    ExchangePause,
    ExchangeClose,
    ExchangeRetract,
    Reconciliation,
    Retention,
    Holds,
    HoldPlace,
    HoldRelease,
}

/// Largest body, in bytes.
const BODY_BYTES: usize = 16_384;
/// Largest body with the text of a policy, in bytes.
const TEXT_BODY_BYTES: usize = 1 << 20;

impl OpsCall {
    /// Largest body, in bytes.
    pub const fn body_bytes(self) -> usize {
        match self {
            OpsCall::PolicyImport => TEXT_BODY_BYTES,
            _ => BODY_BYTES,
        }
    }

    /// The HTTP status of an answer that went well: 202 where the work goes on after it.
    pub const fn status(self) -> u16 {
        match self {
            OpsCall::ExchangeStart
            | OpsCall::ExchangesReplay
            | OpsCall::PacketAsk
            | OpsCall::ExchangeCancel
            | OpsCall::ExchangeReplay
            | OpsCall::ExchangeSupersede
            | OpsCall::ExchangePause
            | OpsCall::ExchangeClose
            | OpsCall::ExchangeRetract => 202,
            _ => 200,
        }
    }
}

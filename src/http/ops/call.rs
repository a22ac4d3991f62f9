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
    MemberGraph,
    Ledger,
    Packets,
    PacketAsk,
    Packet,
    PacketFile,
    Evidence,
    AuditEvents,
    AuditEvent,
    Controls,
    Partners,
    Policies,
    PolicyActs,
    PolicyActivate,
    PolicyRollback,
    PolicyApprove,
    PolicyWithdraw,
    Faults,
    States,
    Jobs,
    BulkJobs,
    BulkRuns,
    Exchanges,
    Exchange,
    ExchangeStart,
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

impl OpsCall {
    /// The HTTP status of an answer that went well: 202 where the work goes on after it.
    pub const fn status(self) -> u16 {
        match self {
            OpsCall::ExchangeStart
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

//! The rows of the table of operations routes for auditors: who looked, evidence packets, and cases. Data only.

use super::admitted::{AUDITOR, AUDITOR_OF_LEDGER, ReasonRule};
use super::call::OpsCall;
use super::route::{CURSOR, OpsRoute, get, list, reasoned, says_why};

/// Who looked at what.
pub(super) const LOOKS: OpsRoute = list(
    "/ops/v1/looks",
    OpsCall::Looks,
    AUDITOR_OF_LEDGER,
    &["operator", "from", "to", CURSOR],
    "Entries of the ledger that say which operator was shown what, newest first",
);
/// Packets.
pub(super) const PACKETS: OpsRoute = list(
    "/ops/v1/packets",
    OpsCall::Packets,
    AUDITOR,
    &[CURSOR],
    "Evidence packets that were asked for",
);
/// Asking for one.
pub(super) const PACKET_ASK: OpsRoute = reasoned(
    "/ops/v1/packets",
    OpsCall::PacketAsk,
    AUDITOR,
    "a reason, and one of exchange, correlation, member, member_number, case, or from and to; if needed checkpoint, with_phi,",
    "Asks for an evidence packet (202)",
);
/// One packet.
pub(super) const PACKET: OpsRoute = get(
    "/ops/v1/packets/{id}",
    OpsCall::Packet,
    AUDITOR,
    "One evidence packet: whether it is made",
);
/// Its bytes.
pub(super) const PACKET_FILE: OpsRoute = says_why(
    ReasonRule::Header,
    get(
        "/ops/v1/packets/{id}/file",
        OpsCall::PacketFile,
        AUDITOR,
        "The evidence packet itself, a tar archive",
    ),
);
/// The bytes of the newest packet of an exchange.
pub(super) const EVIDENCE: OpsRoute = says_why(
    ReasonRule::Header,
    get(
        "/ops/v1/evidence/{id}",
        OpsCall::Evidence,
        AUDITOR,
        "The newest evidence packet of an exchange, a tar archive",
    ),
);
/// Cases.
pub(super) const CASES: OpsRoute = list(
    "/ops/v1/cases",
    OpsCall::Cases,
    AUDITOR_OF_LEDGER,
    &[CURSOR],
    "Cases, which group exchanges and correlation ids",
);
/// Opening one.
pub(super) const CASE_OPEN: OpsRoute = reasoned(
    "/ops/v1/cases",
    OpsCall::CaseOpen,
    AUDITOR_OF_LEDGER,
    "name, reason,",
    "Opens a case; returns the case",
);
/// One case.
pub(super) const CASE: OpsRoute = get(
    "/ops/v1/cases/{id}",
    OpsCall::Case,
    AUDITOR_OF_LEDGER,
    "One case, with what it has",
);
/// Adding to it.
pub(super) const CASE_ADD: OpsRoute = reasoned(
    "/ops/v1/cases/{id}/add",
    OpsCall::CaseAdd,
    AUDITOR_OF_LEDGER,
    "ids (at most 100), reason,",
    "Adds exchanges or correlation ids to an open case; returns the case",
);
/// Closing it.
pub(super) const CASE_CLOSE: OpsRoute = reasoned(
    "/ops/v1/cases/{id}/close",
    OpsCall::CaseClose,
    AUDITOR_OF_LEDGER,
    "a reason",
    "Closes a case for good; returns the case",
);

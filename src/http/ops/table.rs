//! The one table of operations routes: what is registered (`super::register`), which role may ask, how much each is shown, and
//! where it says why.
//!
//! Data only: no handler is named here. The table of routes in docs/operations.md is made from it.

use super::admitted::{
    ADMIN, ANYBODY, AUDITOR, AUDITOR_OF_LEDGER, CONSENTS, DECISIONS, EVERY_ROLE, EXCHANGES, HOLDS, LINKS, OPERATOR,
    RETENTION, REVIEW, REVIEWER, REVIEWER_DECIDES, REVIEWS, TRACE,
};
use super::evidence_routes;
use super::figure_routes;
use super::policy_routes;
use super::route::{act, get, list, post, reasoned, says_why};
use actix_web::HttpRequest;

pub use super::admitted::{Asks, ReasonRule, Sees, Shows};
pub use super::call::OpsCall;
pub use super::route::{CURSOR, OpsRoute};

/// Where the routes for machines begin.
pub const BASE: &str = "/ops/v1";

/// Every route of the operations side.
pub const OPS_ROUTES: &[OpsRoute] = {
    use OpsCall::*;
    &[
        get("/live", Live, ANYBODY, "The process answers"),
        get("/ready", Ready, ANYBODY, "The server can serve partners"),
        get("/metrics", Metrics, ANYBODY, "Metrics in the Prometheus text format"),
        list(
            "/ops/v1/decisions",
            Decisions,
            DECISIONS,
            &["partner", "correlation", "since", CURSOR],
            "Match decisions",
        ),
        get(
            "/ops/v1/decisions/{id}",
            Decision,
            DECISIONS,
            "One decision: what was compared, and why it was made",
        ),
        list(
            "/ops/v1/grants",
            Grants,
            AUDITOR,
            &["partner", "member", CURSOR],
            "Grants, live or ended",
        ),
        post(
            "/ops/v1/grants/_search",
            GrantsSearch,
            AUDITOR,
            "member or member_number, partner, cursor",
            "The same, with a member number",
        ),
        act(
            "/ops/v1/grants/{id}/revoke",
            GrantRevoke,
            "Ends a grant; returns the grant",
        ),
        list(
            "/ops/v1/consents",
            Consents,
            CONSENTS,
            &["partner", "member", CURSOR],
            "Consents on record, with their grants",
        ),
        get(
            "/ops/v1/consents/{id}",
            Consent,
            CONSENTS,
            "One consent, with its grants",
        ),
        act(
            "/ops/v1/consents/{id}/revoke",
            ConsentRevoke,
            "Withdraws a consent and ends its grants; returns the consent",
        ),
        list(
            "/ops/v1/disclosures",
            Disclosures,
            AUDITOR,
            &["member", "partner", "from", "to", CURSOR],
            "Which partner got what of a member (`member` is required)",
        ),
        post(
            "/ops/v1/disclosures/_search",
            DisclosuresSearch,
            AUDITOR,
            "member or member_number, partner, from, to, cursor",
            "The same, with a member number",
        ),
        // Correlation ids may hold slashes.
        list(
            "/ops/v1/trace/{id:.+}",
            Trace,
            TRACE,
            &[CURSOR],
            "Everything that happened under one id",
        ),
        list(
            "/ops/v1/reviews",
            Reviews,
            REVIEWS,
            &["partner", "state", CURSOR],
            "Reviews that wait for a person, or those of `state` (`all` for every one)",
        ),
        get("/ops/v1/reviews/{id}", Review, REVIEW, "One review with its candidates"),
        says_why(
            ReasonRule::Body,
            post(
                "/ops/v1/reviews/{id}/decide",
                ReviewDecide,
                REVIEWER_DECIDES,
                "verdict, operator, reason, where they apply candidate, hours, version,",
                "Decides a review (docs/reviews.md)",
            ),
        ),
        list(
            "/ops/v1/links",
            Links,
            LINKS,
            &["member", "partner", "state", CURSOR],
            "Links from partners' numbers to members",
        ),
        reasoned(
            "/ops/v1/links/{id}/dispute",
            LinkDispute,
            REVIEWER_DECIDES,
            "a reason",
            "Disputes a confirmed link: its grants end at once, and a review is opened",
        ),
        get(
            "/ops/v1/members/{id}/graph",
            MemberGraph,
            REVIEWER,
            "Links, steps and surviving attributes of one member",
        ),
        list(
            "/ops/v1/ledger",
            Ledger,
            AUDITOR_OF_LEDGER,
            &["from", "to", "exchange", "correlation", CURSOR],
            "Entries of the ledger",
        ),
        evidence_routes::LOOKS,
        evidence_routes::PACKETS,
        evidence_routes::PACKET_ASK,
        evidence_routes::PACKET,
        evidence_routes::PACKET_FILE,
        evidence_routes::EVIDENCE,
        evidence_routes::CASES,
        evidence_routes::CASE_OPEN,
        evidence_routes::CASE,
        evidence_routes::CASE_ADD,
        evidence_routes::CASE_CLOSE,
        says_why(
            ReasonRule::Header,
            list(
                "/ops/v1/fhir/AuditEvent",
                AuditEvents,
                AUDITOR,
                &["patient", "agent", "entity", "date", "outcome", CURSOR],
                "The ledger as FHIR AuditEvents, in a searchset",
            ),
        ),
        says_why(
            ReasonRule::Header,
            get(
                "/ops/v1/fhir/AuditEvent/{id}",
                AuditEvent,
                AUDITOR,
                "One FHIR AuditEvent",
            ),
        ),
        get(
            "/ops/v1/controls",
            Controls,
            AUDITOR_OF_LEDGER,
            "The register of controls, each with its last run",
        ),
        get(
            "/ops/v1/retention",
            Retention,
            RETENTION,
            "How long each kind of data is kept, and what was deleted",
        ),
        list(
            "/ops/v1/retention/holds",
            Holds,
            HOLDS,
            &["state", CURSOR],
            "Legal holds in force, or every one with `state=all`",
        ),
        reasoned(
            "/ops/v1/retention/holds",
            HoldPlace,
            ADMIN,
            "member, member_number or exchange, where it applies case, and a reason",
            "Places a legal hold; returns the hold",
        ),
        reasoned(
            "/ops/v1/retention/holds/{id}/release",
            HoldRelease,
            ADMIN,
            "a reason",
            "Releases a legal hold; returns the hold",
        ),
        get("/ops/v1/partners", Partners, ADMIN, "The registered partners"),
        policy_routes::LIST,
        policy_routes::ACTS,
        policy_routes::DIFF,
        policy_routes::REPLAY,
        policy_routes::COMPARE,
        policy_routes::IMPORT,
        policy_routes::ACTIVATE,
        policy_routes::ROLL_BACK,
        policy_routes::APPROVE,
        policy_routes::WITHDRAW,
        policy_routes::SHADOW,
        policy_routes::SHADOW_STOP,
        // After the routes whose last part is a word.
        policy_routes::ONE,
        get("/ops/v1/faults", Faults, EVERY_ROLE, "The table of faults"),
        list("/ops/v1/runbook", Runbook, EVERY_ROLE, &["about"], "The runbook"),
        get("/ops/v1/runbook/{id}", RunbookEntry, EVERY_ROLE, "One entry of it"),
        get(
            "/ops/v1/states",
            States,
            EVERY_ROLE,
            "States, moves and steps of an exchange",
        ),
        get("/ops/v1/alerts", Alerts, OPERATOR, "The alerts, and which are raised"),
        figure_routes::SLO,
        figure_routes::SERVICE,
        figure_routes::SERVICE_PAGE,
        figure_routes::SCORECARD,
        figure_routes::SCORECARD_PAGE,
        list(
            "/ops/v1/jobs",
            Jobs,
            OPERATOR,
            &["state", CURSOR],
            "Background work that waits, runs or is parked; with `state=parked` what is parked alone",
        ),
        act(
            "/ops/v1/jobs/{id}/replay",
            JobReplay,
            "Lets a parked job go on, with its attempts counted from zero",
        ),
        get(
            "/ops/v1/bulk-jobs",
            BulkJobs,
            OPERATOR,
            "The newest bulk jobs of partners",
        ),
        get(
            "/ops/v1/bulk-runs",
            BulkRuns,
            OPERATOR,
            "The newest bulk runs in which this payer asks partners",
        ),
        list(
            "/ops/v1/exchanges",
            Exchanges,
            EXCHANGES,
            &[
                "partner",
                "phase",
                "state",
                "fault",
                "correlation",
                "member",
                "since",
                "direction",
                CURSOR,
            ],
            "Exchanges with other payers, ours and theirs",
        ),
        post(
            "/ops/v1/exchanges",
            ExchangeStart,
            OPERATOR,
            "the fields of an enrollment (docs/operators/exchanges.md),",
            "Starts an exchange, under an Idempotency-Key (202)",
        ),
        // Before the routes of one exchange, whose id this word would be.
        reasoned(
            "/ops/v1/exchanges/replay",
            ExchangesReplay,
            OPERATOR,
            "ids (at most 100), reason; if needed seen_at,",
            "Replays those of these exchanges that are parked, and were when the list of them was read (`seen_at`); tells what became of each (202)",
        ),
        list(
            "/ops/v1/reconciliation",
            Reconciliation,
            TRACE,
            &["partner", "from", "until", CURSOR],
            "Exchanges with one partner as rows that it may have (`partner` is required)",
        ),
        get(
            "/ops/v1/exchanges/{id}",
            Exchange,
            EXCHANGES,
            "One exchange, with every attempt",
        ),
        act(
            "/ops/v1/exchanges/{id}/cancel",
            ExchangeCancel,
            "Withdraws the exchange (202)",
        ),
        act(
            "/ops/v1/exchanges/{id}/replay",
            ExchangeReplay,
            "Lets a parked exchange continue, or runs an ended one again (202)",
        ),
        act(
            "/ops/v1/exchanges/{id}/supersede",
            ExchangeSupersede,
            "Ends the exchange and starts a new one (202)",
        ),
        act(
            "/ops/v1/exchanges/{id}/pause",
            ExchangePause,
            "Stops the exchange until it is replayed (202)",
        ),
        act(
            "/ops/v1/exchanges/{id}/close",
            ExchangeClose,
            "Ends the exchange without a result (202)",
        ),
        act(
            "/ops/v1/exchanges/{id}/retract",
            ExchangeRetract,
            "Removes what the exchange stored (202)",
        ),
    ]
};

#[cfg(debug_assertions)]
const PLANTED: &[OpsRoute] = &[OpsRoute {
    method: "GET",
    path: "/ops/v1/planted",
    call: OpsCall::Faults,
    asks: AUDITOR_OF_LEDGER,
    reason: ReasonRule::WherePersonal,
    parameters: &[],
    body: None,
    text: "A planted route",
    ends: Some(crate::http::planted::NOTICE),
}];

/// Every route that is served: the table, and in builds for tests what is planted beside it.
pub fn served() -> impl Iterator<Item = &'static OpsRoute> {
    #[cfg(debug_assertions)]
    let planted = if crate::http::planted::are_asked_for() {
        PLANTED
    } else {
        &[]
    };
    #[cfg(not(debug_assertions))]
    let planted: &'static [OpsRoute] = &[];
    OPS_ROUTES.iter().chain(planted)
}

/// The row that a request matched, if any. HEAD is GET whose body stays here.
pub fn of(request: &HttpRequest) -> Option<&'static OpsRoute> {
    let pattern = request.match_pattern()?;
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        other => other,
    };
    served().find(|route| route.path == pattern && route.method == method)
}

//! The pages and forms of the console, one row each.
//!
//! Data only. Which role may see what is not here: a page asks by rows of the table of operations routes, which says so.

/// What is at an address of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the page or the form at its path")]
pub enum ConsolePage {
    Link,
    SignIn,
    SignOut,
    Overview,
    FindForm,
    Find,
    Exchanges,
    Exchange,
    ExchangeAct,
    Parked,
    ParkedPreview,
    ParkedReplay,
    JobsPreview,
    JobsReplay,
    Jobs,
    JobReplay,
    Alerts,
    Reviews,
    Review,
    ReviewShow,
    ReviewDecide,
    LinksForm,
    Links,
    LinkDispute,
    BulkWork,
    Partners,
    DisclosuresForm,
    Disclosures,
    Ledger,
    Looks,
    Evidence,
    EvidenceAsk,
    Packet,
    PacketFile,
    Cases,
    CaseOpen,
    Case,
    CaseAdd,
    CaseClose,
    Policies,
    Policy,
    PolicyAct,
    PolicySecond,
    PolicyCompare,
    Service,
    ServicePrint,
    Scorecard,
    Runbook,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleRoute {
    /// HTTP method; GET serves HEAD too.
    pub method: &'static str,
    /// Path from the server's root.
    pub path: &'static str,
    /// What is there.
    pub page: ConsolePage,
}

/// Where the console begins.
pub const HOME: &str = "/console";

const fn get(path: &'static str, page: ConsolePage) -> ConsoleRoute {
    ConsoleRoute {
        method: "GET",
        path,
        page,
    }
}

const fn post(path: &'static str, page: ConsolePage) -> ConsoleRoute {
    ConsoleRoute {
        method: "POST",
        path,
        page,
    }
}

/// Every address of the console.
pub const CONSOLE_ROUTES: &[ConsoleRoute] = {
    use ConsolePage::*;
    &[
        get("/console/link/{secret}", Link),
        post("/console/session", SignIn),
        post("/console/session/end", SignOut),
        get(HOME, Overview),
        get("/console/find", FindForm),
        post("/console/find", Find),
        get("/console/exchanges", Exchanges),
        get("/console/exchanges/{id}", Exchange),
        post("/console/exchanges/{id}/act", ExchangeAct),
        get("/console/parked", Parked),
        get("/console/parked/preview", ParkedPreview),
        post("/console/parked/replay", ParkedReplay),
        get("/console/parked/jobs", JobsPreview),
        post("/console/parked/jobs", JobsReplay),
        get("/console/jobs", Jobs),
        post("/console/jobs/{id}/replay", JobReplay),
        get("/console/alerts", Alerts),
        get("/console/reviews", Reviews),
        get("/console/reviews/{id}", Review),
        post("/console/reviews/{id}/show", ReviewShow),
        post("/console/reviews/{id}/decide", ReviewDecide),
        get("/console/links", LinksForm),
        post("/console/links", Links),
        post("/console/links/{id}/dispute", LinkDispute),
        get("/console/bulk", BulkWork),
        get("/console/partners", Partners),
        get("/console/disclosures", DisclosuresForm),
        post("/console/disclosures", Disclosures),
        get("/console/ledger", Ledger),
        get("/console/looks", Looks),
        get("/console/evidence", Evidence),
        post("/console/evidence", EvidenceAsk),
        get("/console/evidence/{id}", Packet),
        post("/console/evidence/{id}/file", PacketFile),
        get("/console/cases", Cases),
        post("/console/cases", CaseOpen),
        get("/console/cases/{id}", Case),
        post("/console/cases/{id}/add", CaseAdd),
        post("/console/cases/{id}/close", CaseClose),
        get("/console/policies", Policies),
        get("/console/policies/compare", PolicyCompare),
        get("/console/policies/{id}", Policy),
        post("/console/policies/{id}/act", PolicyAct),
        post("/console/policies/{id}/second", PolicySecond),
        get("/console/service", Service),
        get("/console/service/page", ServicePrint),
        get("/console/scorecards/{id}", Scorecard),
        get("/console/runbook/{id}", Runbook),
    ]
};

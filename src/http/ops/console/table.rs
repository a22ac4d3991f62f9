//! The pages and forms of the console, one row each.
//!
//! Data only, and which paths are in it. Which role may see what is not here: a page asks by rows of the table of operations routes, which says so.

use crate::ids::is_fhir_id;

/// What is at an address of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the page or the form at its path")]
pub enum ConsolePage {
    Link,
    SignIn,
    SignOut,
    ProviderBegin,
    ProviderDone,
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
/// Where a sign-in by the identity provider begins, and where the browser comes back.
pub(super) const BEGIN: &str = "/console/sign-in";
pub(super) const DONE: &str = "/console/sign-in/done";

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
        get(BEGIN, ProviderBegin),
        get(DONE, ProviderDone),
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

/// Whether a path is that of a page to which a sign-in may lead: one of this table that is read, written out, without a query. So nobody is led to
/// another site, nor to another sign-in.
pub(super) fn is_place(path: &str) -> bool {
    let is_page = |route: &&ConsoleRoute| {
        use ConsolePage::{Link, ProviderBegin, ProviderDone};
        route.method == "GET" && !matches!(route.page, Link | ProviderBegin | ProviderDone)
    };
    CONSOLE_ROUTES
        .iter()
        .filter(is_page)
        .any(|route| is_of(route.path, path))
}

/// Whether a path is of this pattern, with ids in the places that it leaves open.
fn is_of(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted.starts_with('{') && is_fhir_id(given) => {}
            (Some(wanted), Some(given)) if !wanted.starts_with('{') && wanted == given => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_a_page_of_the_console_and_nowhere_else() {
        for good in [
            HOME,
            "/console/exchanges",
            "/console/exchanges/0190-a.b",
            "/console/runbook/MM-005",
            "/console/reviews/r1",
        ] {
            assert!(is_place(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "console",
            "//evil.example",
            "//evil.example/console",
            "https://evil.example/console",
            "/\\evil.example",
            "/console//evil.example",
            "/console/",
            "/console?x",
            "/console#x",
            "/console/exchanges/..",
            "/console/exchanges/.",
            "/console/exchanges/%2e%2e",
            "/console/exchanges/a/b",
            "/console/exchanges/a/act",
            "/console/exchanges/{id}",
            "/console/exchanges/a b",
            "/console/exchanges/a\r\nset-cookie: x",
            "/console/../ops/v1/ledger",
            "/ops/v1/ledger",
            "/console/session",
            "/console/session/end",
            "/console/link/abc",
            BEGIN,
            DONE,
            "javascript:alert(1)",
        ] {
            assert!(!is_place(bad), "{bad}");
        }
    }
}

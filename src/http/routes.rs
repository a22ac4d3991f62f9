//! The table of all routes: what is registered (`super::register`), what a request must prove, and what the CapabilityStatement claims.
//!
//! Only data: no handler is named here.

use super::notice::EndNotice;
use actix_web::{HttpMessage as _, HttpRequest};

/// The route name of requests that match no route, in log lines and metrics.
pub const UNMATCHED: &str = "unmatched";

/// What a request must prove before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAccess {
    /// Nothing: the answer has only public facts.
    Public,
    /// The endpoint authenticates the client itself (OAuth, the explorer's sessions), or shows nothing that takes it.
    Client,
    /// A token; each request inside the batch is authorized by itself.
    Batch,
    /// A token of any scope; the handler checks that what is asked for is the caller's own, and covered.
    Own,
    /// A token whose scope allows reading this type.
    Read(&'static str),
    /// A token whose scope allows searching this type.
    Search(&'static str),
    /// A token whose scope allows reading the type in the path.
    ReadType,
    /// A token whose scope allows searching the type in the path.
    SearchType,
    /// A token whose scopes include the canonical URL of this operation.
    Operation(&'static str),
}

/// What a route does. Names its handler, and the route in log lines and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Interaction {
    Home,
    Metadata,
    Batch,
    ConformanceRead,
    ConformanceSearch,
    ConformanceSearchPost,
    Read,
    Vread,
    Search,
    SearchPost,
    Everything,
    EverythingPost,
    MemberMatch,
    PatientExport,
    PatientExportPost,
    GroupExport,
    GroupExportPost,
    DavinciExport,
    BulkStatus,
    BulkCancel,
    BulkFile,
    BulkReceipt,
    BulkAcknowledge,
    BulkMatch,
    GroupRead,
    GroupSearch,
    GroupSearchPost,
    TaskRead,
    TaskSearch,
    TaskSearchPost,
    SmartConfiguration,
    DavinciConfiguration,
    Jwks,
    Token,
    Introspect,
    Revoke,
    ExplorerHome,
    ExplorerType,
    ExplorerEnter,
    ExplorerAct,
    ExplorerEnd,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path from the server's root, with `{id}` for a FHIR id.
    pub path: &'static str,
    /// What the route does.
    pub interaction: Interaction,
    /// What a request to it must prove.
    pub access: RouteAccess,
    /// The notice that it ends, if it does.
    pub ends: Option<EndNotice>,
}

impl Route {
    /// The path with `id` as id and an example type in place of the type.
    pub fn example(&self, id: &str) -> String {
        let mut path = self
            .path
            .replace("{id}", id)
            .replace("{vid}", "1")
            .replace("{name}", id);
        if let (Some(from), Some(to)) = (path.find("{type:"), path.find('}')) {
            let public = self.access == RouteAccess::Public;
            path.replace_range(from..=to, if public { "CodeSystem" } else { "Patient" });
        }
        path
    }
}

pub use crate::fhir::operations::{BULK_MEMBER_MATCH, EVERYTHING, MEMBER_MATCH, PATIENT_EXPORT};

/// The resource types that describe this server.
pub const CONFORMANCE: &str = "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}";
const CONFORMANCE_SEARCH: &str =
    "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}/_search";
const CONFORMANCE_ID: &str = "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}/{id}";
/// Any operation on a type. Its name must not be read as an id, so it is registered before [`CONFORMANCE`].
pub const TYPE_OPERATION: &str = "/fhir/{type:[A-Z][A-Za-z]*}/{operation:\\$[^/]*}";
const TYPE: &str = "/fhir/{type:[A-Z][A-Za-z]*}";
const TYPE_SEARCH: &str = "/fhir/{type:[A-Z][A-Za-z]*}/_search";
const TYPE_ID: &str = "/fhir/{type:[A-Z][A-Za-z]*}/{id}";
const TYPE_ID_VERSION: &str = "/fhir/{type:[A-Z][A-Za-z]*}/{id}/_history/{vid}";

const fn row(method: &'static str, path: &'static str, interaction: Interaction, access: RouteAccess) -> Route {
    Route {
        method,
        path,
        interaction,
        access,
        ends: None,
    }
}

/// Every route of the partners' listener.
pub const ROUTES: &[Route] = {
    use Interaction::*;
    use RouteAccess::*;
    &[
        row("GET", "/", Home, Public),
        row("GET", "/fhir", Home, Public),
        row("POST", "/fhir", Interaction::Batch, RouteAccess::Batch),
        row("GET", "/fhir/metadata", Metadata, Public),
        row(
            "POST",
            "/fhir/Patient/$member-match",
            MemberMatch,
            Operation(MEMBER_MATCH),
        ),
        row(
            "GET",
            "/fhir/Patient/{id}/$everything",
            Everything,
            RouteAccess::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Patient/{id}/$everything",
            EverythingPost,
            RouteAccess::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Group/$bulk-member-match",
            BulkMatch,
            Operation(BULK_MEMBER_MATCH),
        ),
        row(
            "GET",
            "/fhir/Patient/$export",
            PatientExport,
            RouteAccess::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Patient/$export",
            PatientExportPost,
            RouteAccess::Read("Patient"),
        ),
        row(
            "GET",
            "/fhir/Group/{id}/$export",
            GroupExport,
            RouteAccess::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Group/{id}/$export",
            GroupExportPost,
            RouteAccess::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Group/{id}/$davinci-data-export",
            DavinciExport,
            RouteAccess::Read("Patient"),
        ),
        row("GET", "/fhir/jobs/{id}", BulkStatus, RouteAccess::Own),
        row("DELETE", "/fhir/jobs/{id}", BulkCancel, RouteAccess::Own),
        row(
            "GET",
            "/fhir/jobs/{id}/files/{name}",
            Interaction::BulkFile,
            RouteAccess::Own,
        ),
        row("GET", "/fhir/jobs/{id}/receipt", BulkReceipt, RouteAccess::Own),
        row("POST", "/fhir/jobs/{id}/receipt", BulkAcknowledge, RouteAccess::Own),
        row("GET", "/.well-known/smart-configuration", SmartConfiguration, Public),
        row(
            "GET",
            "/fhir/.well-known/smart-configuration",
            SmartConfiguration,
            Public,
        ),
        row(
            "GET",
            "/.well-known/davinci-configuration",
            DavinciConfiguration,
            Public,
        ),
        row(
            "GET",
            "/fhir/.well-known/davinci-configuration",
            DavinciConfiguration,
            Public,
        ),
        row("GET", "/.well-known/jwks.json", Jwks, Public),
        row("GET", "/fhir/.well-known/jwks.json", Jwks, Public),
        row("GET", CONFORMANCE, ConformanceSearch, Public),
        row("POST", CONFORMANCE_SEARCH, ConformanceSearchPost, Public),
        row("GET", CONFORMANCE_ID, ConformanceRead, Public),
        row("GET", "/fhir/Group", GroupSearch, RouteAccess::Search("Group")),
        row(
            "POST",
            "/fhir/Group/_search",
            GroupSearchPost,
            RouteAccess::Search("Group"),
        ),
        row("GET", "/fhir/Group/{id}", GroupRead, RouteAccess::Read("Group")),
        row("GET", "/fhir/Task", TaskSearch, RouteAccess::Search("Task")),
        row(
            "POST",
            "/fhir/Task/_search",
            TaskSearchPost,
            RouteAccess::Search("Task"),
        ),
        row("GET", "/fhir/Task/{id}", TaskRead, RouteAccess::Read("Task")),
        row("GET", TYPE, Interaction::Search, SearchType),
        row("POST", TYPE_SEARCH, SearchPost, SearchType),
        row("GET", TYPE_ID, Interaction::Read, ReadType),
        row("GET", TYPE_ID_VERSION, Vread, ReadType),
        row("POST", "/oauth/token", Token, Client),
        row("POST", "/oauth/introspect", Introspect, Client),
        row("POST", "/oauth/revoke", Revoke, Client),
        row("GET", "/fhir/explorer", ExplorerHome, Client),
        row("GET", "/fhir/explorer/{type:[A-Z][A-Za-z]*}", ExplorerType, Client),
        row("POST", "/fhir/explorer/session", ExplorerEnter, Client),
        row("POST", "/fhir/explorer/act", ExplorerAct, Client),
        row("POST", "/fhir/explorer/end", ExplorerEnd, Client),
    ]
};

#[cfg(debug_assertions)]
const PLANTED: &[Route] = &[Route {
    method: "GET",
    path: "/planted",
    interaction: Interaction::Jwks,
    access: RouteAccess::Public,
    ends: Some(super::planted::NOTICE),
}];

/// Every route that is served: the table, and in builds for tests what is planted beside it.
pub fn served() -> impl Iterator<Item = &'static Route> {
    #[cfg(debug_assertions)]
    let planted = if super::planted::are_asked_for() { PLANTED } else { &[] };
    #[cfg(not(debug_assertions))]
    let planted: &'static [Route] = &[];
    ROUTES.iter().chain(planted)
}

/// The row that a request matched, if any. HEAD uses the row of GET.
pub fn of(request: &HttpRequest) -> Option<&'static Route> {
    let known = request.extensions().get::<Matched>().map(|matched| matched.0);
    if known.is_some() {
        return known;
    }
    let pattern = request.match_pattern()?;
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        other => other,
    };
    let route = served().find(|route| route.path == pattern && route.method == method)?;
    request.extensions_mut().insert(Matched(route));
    Some(route)
}

/// The row that was found for a request: it is asked for several times.
struct Matched(&'static Route);

/// Types of which a table has rows of their own.
const OWN_ROWS: [&str; 6] = [
    "CodeSystem",
    "Group",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "Task",
];

/// The patterns of searches and reads that are tried before all others, for paths that [`is_plain`] lets through. The others are many, and
/// trying one costs about as much as writing a log line.
pub const PLAIN: [&str; 2] = [TYPE_ID, TYPE];

/// Whether this is the path of a type or of a resource, and no other pattern takes it.
pub fn is_plain(path: &str) -> bool {
    let Some((rtype, id)) = path
        .strip_prefix("/fhir/")
        .map(|rest| rest.split_once('/').unwrap_or((rest, "0")))
    else {
        return false;
    };
    // What is encoded is decoded before it is matched.
    if path.contains('%') {
        return false;
    }
    let is_type = rtype.starts_with(|first: char| first.is_ascii_uppercase()) && !OWN_ROWS.contains(&rtype);
    is_type && id.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::dev::ResourceDef;

    #[test]
    fn a_plain_path_is_of_the_pattern_that_takes_it_among_all() {
        let types = [
            "Patient",
            "Observation",
            "Binary",
            "Nothing",
            "Group",
            "Task",
            "CodeSystem",
            "jobs",
            "explorer",
        ];
        let ids = [
            "",
            "/1",
            "/A-b.c",
            "/$export",
            "/_search",
            "/%24export",
            "/x%2Fy",
            "/1/$everything",
            "/1/_history/2",
        ];
        let mut plain = 0;
        for path in types
            .iter()
            .flat_map(|rtype| ids.iter().map(move |id| format!("/fhir/{rtype}{id}")))
        {
            let is_match = |pattern: &&str| ResourceDef::new(*pattern).is_match(&path);
            let among_all = ROUTES.iter().map(|route| route.path).find(is_match);
            let first = PLAIN
                .iter()
                .copied()
                .find(|pattern| is_plain(&path) && is_match(pattern));
            if let Some(first) = first {
                assert_eq!(Some(first), among_all, "{path}");
                plain += 1;
            }
        }
        assert_eq!(plain, 4 * 3);
        for path in [
            "/fhir",
            "/fhir/",
            "/fhir/metadata",
            "/fhir/Tas%6B/1",
            "/oauth/token",
            "/",
        ] {
            assert!(!is_plain(path), "{path}");
        }
        let own = ROUTES
            .iter()
            .filter_map(|route| route.path.strip_prefix("/fhir/"))
            .filter_map(|rest| rest.split('/').next());
        for first in own.filter(|first| first.starts_with(char::is_uppercase) && *first != "Patient") {
            assert!(OWN_ROWS.contains(&first), "{first}");
        }
    }
}

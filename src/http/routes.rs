//! The table of all routes: what is registered (`super::register`), what a request must prove, and what the CapabilityStatement claims.
//!
//! Only data: no handler is named here.

use super::notice::EndNotice;
use actix_web::HttpRequest;

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
    let pattern = request.match_pattern()?;
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        other => other,
    };
    served().find(|route| route.path == pattern && route.method == method)
}

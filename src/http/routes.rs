//! The one table of routes: it registers them, authorises them, and writes the CapabilityStatement.

use super::{fhir, oauth, observe};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, Route as ActixRoute, guard};

/// The route of what no route takes, in log lines and metrics.
pub const UNMATCHED: &str = "unmatched";

/// What a request must show before its handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: static facts only.
    Public,
    /// The endpoint authenticates by itself (OAuth).
    Client,
    /// A token; what it allows is judged for each request inside.
    Batch,
    /// A token whose scope reads this type.
    Read(&'static str),
    /// A token whose scope reads the type in the path.
    ReadType,
    /// A token whose scope searches the type in the path.
    SearchType,
    /// A token with this operation's canonical among its scopes.
    Operation(&'static str),
}

/// What a route does; the name its handler, log lines and metrics go by.
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
    SmartConfiguration,
    DavinciConfiguration,
    Jwks,
    Token,
    Introspect,
    Revoke,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// HTTP method.
    pub method: &'static str,
    /// Path from the server's root, with `{id}` for a FHIR id.
    pub path: &'static str,
    /// What it does.
    pub interaction: Interaction,
    /// What it takes to do it.
    pub access: Access,
}

impl Route {
    /// The path with an example in place of its type, and this id.
    pub fn example(&self, id: &str) -> String {
        let mut path = self.path.replace("{id}", id).replace("{vid}", "1");
        if let (Some(from), Some(to)) = (path.find("{type:"), path.find('}')) {
            let public = self.access == Access::Public;
            path.replace_range(from..=to, if public { "CodeSystem" } else { "Patient" });
        }
        path
    }
}

pub use crate::fhir::operations::{EVERYTHING, MEMBER_MATCH};

const CONFORMANCE: &str = "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}";
const CONFORMANCE_SEARCH: &str =
    "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}/_search";
const CONFORMANCE_ID: &str = "/fhir/{type:CodeSystem|OperationDefinition|SearchParameter|StructureDefinition}/{id}";
const TYPE: &str = "/fhir/{type:[A-Z][A-Za-z]*}";
const TYPE_SEARCH: &str = "/fhir/{type:[A-Z][A-Za-z]*}/_search";
const TYPE_ID: &str = "/fhir/{type:[A-Z][A-Za-z]*}/{id}";
const TYPE_ID_VERSION: &str = "/fhir/{type:[A-Z][A-Za-z]*}/{id}/_history/{vid}";

const fn row(method: &'static str, path: &'static str, interaction: Interaction, access: Access) -> Route {
    Route {
        method,
        path,
        interaction,
        access,
    }
}

/// Every route of the partner's side.
pub const ROUTES: &[Route] = {
    use Access::*;
    use Interaction::*;
    &[
        row("GET", "/", Home, Public),
        row("GET", "/fhir", Home, Public),
        row("POST", "/fhir", Interaction::Batch, Access::Batch),
        // Client libraries that end every base with a slash ask here.
        row("GET", "/fhir/", Home, Public),
        row("POST", "/fhir/", Interaction::Batch, Access::Batch),
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
            Access::Read("Patient"),
        ),
        row(
            "POST",
            "/fhir/Patient/{id}/$everything",
            EverythingPost,
            Access::Read("Patient"),
        ),
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
        row("GET", TYPE, Search, SearchType),
        row("POST", TYPE_SEARCH, SearchPost, SearchType),
        row("GET", TYPE_ID, Interaction::Read, ReadType),
        row("GET", TYPE_ID_VERSION, Vread, ReadType),
        row("POST", "/oauth/token", Token, Client),
        row("POST", "/oauth/introspect", Introspect, Client),
        row("POST", "/oauth/revoke", Revoke, Client),
    ]
};

/// The row a request matched, if any. HEAD is GET whose body stays here.
pub fn of(request: &HttpRequest) -> Option<&'static Route> {
    let pattern = request.match_pattern()?;
    let method = match request.method().as_str() {
        "HEAD" => "GET",
        other => other,
    };
    ROUTES
        .iter()
        .find(|route| route.path == pattern && route.method == method)
}

/// Registers every route; other methods on a known path get 405 with `Allow`.
pub fn configure(service: &mut ServiceConfig) {
    let mut done: Vec<&str> = Vec::new();
    for first in ROUTES {
        if done.contains(&first.path) {
            continue;
        }
        done.push(first.path);
        let mut resource = web::resource(first.path);
        for route in ROUTES.iter().filter(|route| route.path == first.path) {
            resource = resource.route(handler(route));
        }
        service.service(resource.default_service(web::to(observe::method_refused)));
    }
}

fn handler(route: &Route) -> ActixRoute {
    let method = if route.method == "POST" {
        web::post()
    } else {
        web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
    };
    match route.interaction {
        Interaction::Home => method.to(fhir::metadata::home),
        Interaction::Metadata => method.to(fhir::metadata::get),
        Interaction::Batch => method.to(fhir::batch::post),
        Interaction::Read => method.to(fhir::read::get),
        Interaction::Vread => method.to(fhir::read::version),
        Interaction::Search => method.to(fhir::search::get),
        Interaction::SearchPost => method.to(fhir::search::post),
        Interaction::ConformanceRead => method.to(fhir::conformance::read),
        Interaction::ConformanceSearch => method.to(fhir::conformance::search),
        Interaction::ConformanceSearchPost => method.to(fhir::conformance::search_post),
        Interaction::Everything => method.to(fhir::everything::get),
        Interaction::EverythingPost => method.to(fhir::everything::post),
        Interaction::MemberMatch => method.to(fhir::member_match::post),
        Interaction::SmartConfiguration => method.to(oauth::well_known::smart_configuration),
        Interaction::DavinciConfiguration => method.to(oauth::well_known::davinci_configuration),
        Interaction::Jwks => method.to(oauth::well_known::jwks),
        Interaction::Token => method.to(oauth::token::post),
        Interaction::Introspect => method.to(oauth::token::introspect),
        Interaction::Revoke => method.to(oauth::token::revoke),
    }
}

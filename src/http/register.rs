//! Connects the table of routes with their handlers; the only file that knows both.

use super::routes::{CONFORMANCE, Interaction, Route, TYPE_OPERATION};
use super::{around, explorer, fhir, oauth, observe, routes};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Resource, Route as ActixRoute, guard};

/// Registers every route; other methods on a known path get 405 with `Allow`.
pub fn configure(service: &mut ServiceConfig) {
    for path in routes::PLAIN {
        let is_plain = guard::fn_guard(|asked| routes::is_plain(asked.head().uri.path()));
        service.service(resource(path).guard(is_plain));
    }
    let mut done: Vec<&str> = Vec::new();
    for first in routes::served() {
        if first.path == CONFORMANCE {
            // Registered after the known operations and before the reads, which would take the name of an operation for an id.
            service.service(web::resource(TYPE_OPERATION).to(observe::operation_unknown));
        }
        if done.contains(&first.path) {
            continue;
        }
        done.push(first.path);
        service.service(resource(first.path));
    }
}

fn resource(path: &str) -> Resource {
    let mut resource = web::resource(path);
    for route in routes::served().filter(|route| route.path == path) {
        resource = resource.route(handler(route));
    }
    resource.default_service(web::to(observe::method_refused))
}

fn handler(route: &Route) -> ActixRoute {
    let method = around::serving(route.method);
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
        Interaction::PatientExport => method.to(fhir::bulk::kick_off::of_patients),
        Interaction::PatientExportPost => method.to(fhir::bulk::kick_off::of_patients_post),
        Interaction::GroupExport => method.to(fhir::bulk::kick_off::of_group),
        Interaction::GroupExportPost | Interaction::DavinciExport => method.to(fhir::bulk::kick_off::of_group_post),
        Interaction::BulkStatus => method.to(fhir::bulk::status::get),
        Interaction::BulkCancel => method.to(fhir::bulk::status::delete),
        Interaction::BulkFile => method.to(fhir::bulk::file::get),
        Interaction::BulkReceipt => method.to(fhir::bulk::receipt::get),
        Interaction::BulkAcknowledge => method.to(fhir::bulk::receipt::post),
        Interaction::BulkMatch => method.to(fhir::bulk::group_match::post),
        Interaction::GroupRead => method.to(fhir::bulk::groups::read),
        Interaction::GroupSearch => method.to(fhir::bulk::groups::search),
        Interaction::GroupSearchPost => method.to(fhir::bulk::groups::search_post),
        Interaction::TaskRead => method.to(fhir::task::read),
        Interaction::TaskSearch => method.to(fhir::task::search),
        Interaction::TaskSearchPost => method.to(fhir::task::search_post),
        Interaction::MemberMatch => method.to(fhir::member_match::post),
        Interaction::SmartConfiguration => method.to(oauth::well_known::smart_configuration),
        Interaction::DavinciConfiguration => method.to(oauth::well_known::davinci_configuration),
        Interaction::Jwks => method.to(oauth::well_known::jwks),
        Interaction::Token => method.to(oauth::token::post),
        Interaction::Introspect => method.to(oauth::token::introspect),
        Interaction::Revoke => method.to(oauth::token::revoke),
        Interaction::ExplorerHome => method.to(explorer::entry::home),
        Interaction::ExplorerType => method.to(explorer::entry::of_type),
        Interaction::ExplorerEnter => method.to(explorer::entry::enter),
        Interaction::ExplorerAct => method.to(explorer::entry::act_as),
        Interaction::ExplorerEnd => method.to(explorer::entry::end),
    }
}

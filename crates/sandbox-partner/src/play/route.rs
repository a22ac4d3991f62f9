//! What a request is for: its route, and the member, resource and page that rules can name.

use super::{Play, match_body};
use crate::record::TYPES;
use crate::script::SandboxRoute;
use crate::wire::PlayedRequest;

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct AskedRoute {
    pub(crate) route: SandboxRoute,
    /// The resource type of a search or a read.
    pub(crate) resource: Option<String>,
    /// The id of a read, or the Patient of `$everything`.
    pub(crate) id: Option<String>,
    /// Place in the roster of the member whom it is about.
    pub(crate) member: Option<usize>,
    /// The page of a search or of `$everything`.
    pub(crate) page: Option<u64>,
    /// The client, as far as token or assertion claim one.
    pub(crate) client: Option<String>,
}

/// Types of which an acknowledgement may be.
pub(super) const RECEIPTS: [&str; 3] = ["Task", "Communication", "AuditEvent"];

/// The path of the token endpoint.
pub(super) const TOKEN_PATH: &str = "/auth/token";
/// The path of the FHIR base.
pub(crate) const FHIR_PATH: &str = "/fhir";

pub(super) fn of(play: &Play, request: &PlayedRequest) -> AskedRoute {
    let mut asked = AskedRoute {
        route: SandboxRoute::Unknown,
        resource: None,
        id: None,
        member: None,
        page: None,
        client: play.client_of(request),
    };
    let gets = matches!(request.method.as_str(), "GET" | "HEAD");
    let posts = request.method == "POST";
    if posts && request.path == TOKEN_PATH {
        asked.route = SandboxRoute::Token;
        return asked;
    }
    let path = request.path.strip_prefix(FHIR_PATH).unwrap_or(&request.path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let in_base = request.path.starts_with(FHIR_PATH);
    asked.route = match parts.as_slice() {
        [".well-known", "smart-configuration"] if gets => SandboxRoute::Smart,
        [".well-known", "davinci-configuration"] if gets => SandboxRoute::Davinci,
        [".well-known", "jwks.json"] if gets => SandboxRoute::Jwks,
        _ if !in_base => SandboxRoute::Unknown,
        ["metadata"] if gets => SandboxRoute::Metadata,
        ["Patient", "$member-match"] if posts => {
            asked.member = match_body::member_number(&request.body)
                .and_then(|number| play.roster.by_number(&number))
                .map(|member| member.index);
            SandboxRoute::MemberMatch
        }
        ["Group", "$bulk-member-match"] if posts && play.has_bulk() => SandboxRoute::BulkMatch,
        ["Group", id, "$davinci-data-export"] if posts && play.has_bulk() => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::GroupExport
        }
        ["bulk", id] if (gets || request.method == "DELETE") && play.has_bulk() => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::BulkStatus
        }
        ["bulk", id, "receipt"] if (gets || posts) && play.has_bulk() => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::BulkReceipt
        }
        ["bulk", id, file] if gets && play.has_bulk() => {
            asked.id = Some(format!("{id}/{file}"));
            SandboxRoute::BulkFile
        }
        ["Patient", id, "$everything"] if gets || posts => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::Everything
        }
        [kind] if posts && RECEIPTS.contains(kind) => SandboxRoute::Receipt,
        [kind, id] if gets && RECEIPTS.contains(kind) => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::Receipt
        }
        [kind] if gets && TYPES.contains(kind) => SandboxRoute::Search,
        [kind, "_search"] if posts && TYPES.contains(kind) => SandboxRoute::Search,
        [kind, id] if gets && TYPES.contains(kind) => {
            asked.id = Some((*id).to_owned());
            SandboxRoute::Read
        }
        _ => SandboxRoute::Unknown,
    };
    asked.resource = parts
        .first()
        .filter(|_| asked.route != SandboxRoute::MemberMatch)
        .map(|&kind| kind.to_owned());
    if matches!(asked.route, SandboxRoute::Everything | SandboxRoute::Search) {
        asked.page = Some(request.param("_page").and_then(|page| page.parse().ok()).unwrap_or(1));
    }
    if asked.route.has_records() {
        asked.member = member_of(play, request, &asked);
    }
    asked
}

/// The member whose record is asked for, by path or query; what the token allows is judged later.
fn member_of(play: &Play, request: &PlayedRequest, asked: &AskedRoute) -> Option<usize> {
    let by_id = |id: &str| {
        // An id of the record begins with the Patient's id.
        let patient = play.roster.by_patient(id).or_else(|| {
            let (patient, _) = id.rsplit_once('-')?;
            play.roster.by_patient(patient)
        });
        patient.map(|member| member.index)
    };
    if let Some(id) = &asked.id {
        return by_id(id);
    }
    let named = ["patient", "subject", "beneficiary"]
        .iter()
        .find_map(|name| request.param(name));
    if let Some(patient) = named {
        return by_id(patient.rsplit('/').next().unwrap_or(patient));
    }
    if let Some(identifier) = request.param("identifier") {
        let value = identifier.rsplit('|').next().unwrap_or(identifier);
        let found = play
            .roster
            .by_number(value)
            .or_else(|| play.roster.all().iter().find(|member| member.umb == value));
        return found.map(|member| member.index);
    }
    by_id(request.param("_id")?.split(',').next()?.rsplit('/').next()?)
}

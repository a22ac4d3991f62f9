//! The parts of which every event is made: codes, agents, entities, and the event around them.

use super::entry::AuditedEntry;
use crate::context::Payer;
use crate::secret::base64url;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A code with its system and its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct AuditCode(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) &'static str,
);

impl AuditCode {
    pub(super) fn coding(self) -> Value {
        json!({"system": self.0, "code": self.1, "display": self.2})
    }

    fn concept(self) -> Value {
        json!({"coding": [self.coding()]})
    }
}

/// Where BALP's profiles and code systems are.
const BALP: &str = "https://profiles.ihe.net/ITI/BALP";
pub(super) const AUTHZ_SUBTYPES: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType";
pub(super) const USER_AGENTS: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/UserAgentTypes";
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const REST_SYSTEM: &str = "http://hl7.org/fhir/restful-interaction";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";

pub(super) const fn dcm(code: &'static str, name: &'static str) -> AuditCode {
    AuditCode(DCM, code, name)
}

pub(super) const fn rest(code: &'static str) -> AuditCode {
    AuditCode(REST_SYSTEM, code, code)
}

/// The type of events of the REST patterns.
pub(super) const REST: AuditCode = AuditCode(
    "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "rest",
    "Restful Operation",
);
pub(super) const APPLICATION: AuditCode = dcm("110150", "Application");
pub(super) const SOURCE: AuditCode = dcm("110153", "Source Role ID");
pub(super) const DESTINATION: AuditCode = dcm("110152", "Destination Role ID");
pub(super) const RECIPIENT: AuditCode = AuditCode(
    "http://terminology.hl7.org/CodeSystem/v3-ParticipationType",
    "IRCP",
    "information recipient",
);
pub(super) const PERSON: AuditCode = AuditCode(ENTITY, "1", "Person");
pub(super) const SYSTEM_OBJECT: AuditCode = AuditCode(ENTITY, "2", "System Object");
pub(super) const PATIENT: AuditCode = AuditCode(ROLE, "1", "Patient");
pub(super) const REPORT: AuditCode = AuditCode(ROLE, "3", "Report");
pub(super) const DOMAIN_RESOURCE: AuditCode = AuditCode(ROLE, "4", "Domain Resource");
pub(super) const JOB: AuditCode = AuditCode(ROLE, "20", "Job");
pub(super) const QUERY: AuditCode = AuditCode(ROLE, "24", "Query");
const CONSENT: AuditCode = AuditCode("http://hl7.org/fhir/resource-types", "Consent", "Consent");

/// The profiles of BALP that events name.
pub(super) const TOKEN_USE: &str = "IHE.BasicAudit.OAUTHaccessTokenUse.Comprehensive";

/// How an event ended, as `AuditEvent.outcome` has it, with words where the code does not say all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AuditOutcome(pub(super) &'static str, pub(super) Option<String>);

impl AuditOutcome {
    /// That of the entry itself.
    pub(super) fn of(entry: &AuditedEntry) -> AuditOutcome {
        let outcome = &entry.facts.outcome;
        let code = match outcome.class.as_str() {
            "ok" => "0",
            "refused" => "4",
            _ => "8",
        };
        AuditOutcome(code, outcome.reason.clone())
    }

    pub(super) fn is_success(&self) -> bool {
        self.0 == "0"
    }
}

/// An event before it has its id, its time and its source.
#[derive(Debug)]
pub(super) struct EventDraft {
    /// Names of profiles.
    pub(super) profiles: Vec<&'static str>,
    pub(super) kind: AuditCode,
    pub(super) subtypes: Vec<AuditCode>,
    pub(super) action: &'static str,
    pub(super) outcome: AuditOutcome,
    pub(super) agents: Vec<Value>,
    pub(super) entities: Vec<Value>,
}

impl EventDraft {
    /// The event. Members that would be empty are left out, as FHIR demands.
    pub(super) fn event(self, id: &str, entry: &AuditedEntry, payer: &Payer) -> Value {
        let mut event = Map::new();
        let mut put = |name: &str, value: Value| drop(event.insert(name.to_owned(), value));
        put("resourceType", "AuditEvent".into());
        put("id", id.into());
        let mut meta = Map::new();
        if !self.profiles.is_empty() {
            let urls = self
                .profiles
                .iter()
                .map(|name| format!("{BALP}/StructureDefinition/{name}"));
            meta.insert("profile".to_owned(), urls.collect());
        }
        let system = format!("{}/CodeSystem/causeway-ledger-action", payer.base_url);
        meta.insert(
            "tag".to_owned(),
            json!([{"system": system, "code": entry.facts.action}]),
        );
        put("meta", meta.into());
        put("type", self.kind.coding());
        if !self.subtypes.is_empty() {
            put("subtype", self.subtypes.iter().map(|code| code.coding()).collect());
        }
        put("action", self.action.into());
        put("recorded", entry.facts.ts.clone().into());
        put("outcome", self.outcome.0.into());
        if let Some(words) = self.outcome.1 {
            put("outcomeDesc", words.into());
        }
        if let Some(reason) = &entry.reason {
            put("purposeOfEvent", json!([{"text": reason}]));
        }
        put("agent", self.agents.into());
        let kind = AuditCode(
            "http://terminology.hl7.org/CodeSystem/security-source-type",
            "4",
            "Application Server",
        );
        put("source", json!({"observer": observer(payer), "type": [kind.coding()]}));
        if !self.entities.is_empty() {
            put("entity", self.entities.into());
        }
        event.into()
    }
}

/// This server, by its FHIR base URL.
pub(super) fn observer(payer: &Payer) -> Value {
    json!({
        "type": "Device",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": payer.base_url},
        "display": payer.name,
    })
}

/// A SHA-256 as a URI (RFC 6920).
pub(super) fn hash_uri(hex: &str) -> Option<String> {
    let byte = |at: usize| hex.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    Some(format!("ni:///sha-256;{}", base64url(&bytes?)))
}

/// A value that FHIR asks for and the ledger does not record.
fn not_known() -> Value {
    json!({"extension": [{
        "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
        "valueCode": "unknown",
    }]})
}

/// Who the client is, as far as it is known.
pub(super) fn client_who(entry: &AuditedEntry) -> Value {
    match entry.client() {
        Some(client) => json!({"identifier": {"value": client}}),
        None => json!({"display": "not known"}),
    }
}

/// Who the partner is.
pub(super) fn partner_who(entry: &AuditedEntry) -> Value {
    match &entry.facts.partner {
        Some(partner) => json!({"type": "Organization", "identifier": {"value": partner}}),
        None => json!({"display": "not known"}),
    }
}

/// An agent that is a system on the network. The address of a client is not recorded.
fn system(role: AuditCode, who: Value, requestor: bool, network: Value) -> Value {
    json!({"type": role.concept(), "who": who, "requestor": requestor, "network": network})
}

/// The client, with its certificate.
pub(super) fn client(entry: &AuditedEntry, role: AuditCode) -> Value {
    let mut agent = system(role, client_who(entry), true, not_known());
    if let Some(hash) = entry.facts.actor.cert_sha256.as_deref().and_then(hash_uri) {
        agent["altId"] = hash.into();
    }
    agent
}

/// The partner, as the one that this server called or is called by.
pub(super) fn partner(entry: &AuditedEntry, role: AuditCode, requestor: bool) -> Value {
    system(role, partner_who(entry), requestor, not_known())
}

/// This server.
pub(super) fn server(payer: &Payer, role: AuditCode, requestor: bool) -> Value {
    let network = json!({"address": payer.base_url, "type": "5"});
    system(role, observer(payer), requestor, network)
}

/// An agent that is none on the network: an operator, an organization, or a client as a user.
pub(super) fn role_player(role: AuditCode, who: &Value, requestor: bool) -> Value {
    json!({"type": role.concept(), "who": who, "requestor": requestor})
}

/// The operator who acted.
pub(super) fn operator(entry: &AuditedEntry, role: AuditCode) -> Value {
    let who = match &entry.operator {
        Some(name) => json!({"identifier": {"value": name}}),
        None => json!({"display": "not known"}),
    };
    let mut agent = role_player(role, &who, true);
    if let Some(words) = &entry.facts.actor.id {
        agent["role"] = json!([{"text": words}]);
    }
    agent
}

/// The token with which the client came, as the pattern of token use has it: the client id, and the hash of the id of its assertion. No
/// user is behind a token of a backend service.
pub(super) fn token_use(entry: &AuditedEntry) -> Option<Value> {
    let actor = &entry.facts.actor;
    let (client, token) = (actor.client_id.as_deref()?, hash_uri(actor.jti_sha256.as_deref()?)?);
    let who = json!({"identifier": {"value": client}});
    let mut agent = role_player(APPLICATION, &who, false);
    agent["policy"] = json!([token]);
    Some(agent)
}

/// The Patient whose data it was.
pub(super) fn patient(entry: &AuditedEntry) -> Option<Value> {
    let id = entry.patient.as_ref()?;
    let what = json!({"reference": format!("Patient/{id}"), "type": "Patient"});
    Some(json!({"what": what, "type": PERSON.coding(), "role": PATIENT.coding()}))
}

/// The id of the request.
pub(super) fn request_id(entry: &AuditedEntry) -> Option<Value> {
    let id = Some(&entry.facts.request_id).filter(|id| !id.is_empty())?;
    let system = format!("{BALP}/CodeSystem/BasicAuditEntityType");
    Some(json!({"what": {"identifier": {"value": id}}, "type": {"system": system, "code": "XrequestId"}}))
}

/// What was asked. The words of the request are not recorded; `words` says what is known of them.
pub(super) fn query(words: Option<&str>) -> Value {
    let mut entity = json!({"type": SYSTEM_OBJECT.coding(), "role": QUERY.coding(), "_query": not_known()});
    if let Some(words) = words {
        entity["description"] = words.into();
    }
    entity
}

/// Something that the event was about.
pub(super) fn object(what: Value, role: AuditCode) -> Value {
    json!({"what": what, "type": SYSTEM_OBJECT.coding(), "role": role.coding()})
}

/// Names something by its id, or by the commitment to an id that is not known any more.
pub(super) fn named(kind: &str, id: Option<&str>, committed: Option<&str>) -> Option<Value> {
    let identifier = match (id, committed.and_then(hash_uri)) {
        (Some(id), _) => json!({"value": id}),
        (None, Some(hash)) => json!({"system": "urn:ietf:rfc:3986", "value": hash}),
        (None, None) => return None,
    };
    Some(json!({"identifier": identifier, "display": kind}))
}

/// The consent that was judged.
pub(super) fn consent(entry: &AuditedEntry) -> Option<Value> {
    let committed = entry.facts.consent.as_ref()?;
    let what = named("Consent", entry.consent.as_deref(), Some(&committed.id_commit))?;
    Some(json!({"what": what, "type": CONSENT.coding()}))
}

/// Facts of an entity, each with its name.
pub(super) fn details<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> Value {
    let each = facts.into_iter();
    each.map(|(name, value)| json!({"type": name, "valueString": value}))
        .collect()
}

/// Counts in one line, such as `Coverage 1, Observation 12`.
pub(super) fn in_words(counts: &BTreeMap<String, u64>) -> Option<String> {
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    (!each.is_empty()).then(|| each.join(", "))
}

/// The operator, or this server by itself, as the system that made a change.
pub(super) fn operator_system(entry: &AuditedEntry, payer: &Payer, role: AuditCode) -> Value {
    if entry.facts.actor.kind == "system" {
        return server(payer, role, true);
    }
    let mut agent = operator(entry, role);
    agent["network"] = not_known();
    agent
}

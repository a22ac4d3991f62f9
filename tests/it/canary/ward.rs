//! The members, their canaries, the partners, and the comparison of answers.

use crate::search_oracle::awkward;
use crate::search_oracle::readings::CONFORMANCE;
use crate::support::assertion::ClientKey;
use crate::support::client::{ALL_SCOPES, Client, Reply, http};
use crate::support::grants::grant;
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::{Kind, Pair};
use causeway::http::routes::{ROUTES, RouteAccess};
use causeway::synth::SharingPolicy;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::sync::Mutex;

/// Tags of the members; they end every id of theirs.
pub const TAGS: [&str; 3] = ["aa0", "aa1", "aa2"];
/// Tag of a member who is not there.
pub const GHOST: &str = "aa9";
const PARTNERS: [(&str, &str); 3] = [
    ("new-payer", "1992000020"),
    ("second-payer", "1992000038"),
    ("third-payer", "1992000046"),
];
/// What a partner with a sensitive grant may see besides.
const SECRET: &str = "-SECRET";

/// A partner and the one member it may see.
pub struct Partner {
    pub client: Client,
    pub token: String,
    pub tag: &'static str,
    pub sensitive: bool,
}

/// A payer with the members, and what lets each partner in. It is killed with the last ward that has it.
pub struct Home {
    pub payer: TestPayer,
    records: Vec<Vec<Value>>,
    /// Certificate and token of each of `PARTNERS`.
    passes: Vec<(Pair, String)>,
}

/// The home of the tests that only read, while one of them runs.
static SHARED: Mutex<Weak<Home>> = Mutex::const_new(Weak::new());

pub struct Ward {
    pub home: Arc<Home>,
    pub base: String,
    pub partners: Vec<Partner>,
    /// Resources of each member, in the order of `TAGS`.
    pub records: Vec<Vec<Value>>,
}

/// Type and id.
pub fn name(resource: &Value) -> (String, String) {
    let text = |name: &str| resource[name].as_str().expect("a text").to_owned();
    (text("resourceType"), text("id"))
}

pub fn patient_id(tag: &str) -> String {
    format!("pat-{tag}")
}

impl Home {
    async fn prepare() -> Home {
        let (mut payer, first) = TestPayer::prepare(1);
        let base = format!("{}/fhir", payer.origin);
        let records: Vec<Vec<Value>> = (0..3).map(|at| record(at, &base)).collect();
        let mut lines: String = awkward::shared().iter().map(|line| format!("{line}\n")).collect();
        lines.extend(records.iter().flatten().map(|line| format!("{line}\n")));
        std::fs::write(payer.home().join("ward.ndjson"), lines).expect("a file");
        let said = payer.json_command(&["import", "ward.ndjson"]);
        assert_eq!(said["rejected"], 0, "{said}");
        // One token is used for thousands of requests, which may take longer than the five minutes that it has otherwise.
        payer.serve_with(&[("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "3600")]);
        let mut clients = vec![(first, PARTNER_URI.to_owned())];
        for (id, npi) in &PARTNERS[1..] {
            let uri = format!("https://{id}.example/fhir");
            clients.push((payer.register(id, npi, &uri), uri));
        }
        let mut passes = Vec::new();
        for (at, (mut client, uri)) in clients.into_iter().enumerate() {
            let policy = if is_sensitive(at) {
                SharingPolicy::Sensitive
            } else {
                SharingPolicy::Regular
            };
            grant(&payer, PARTNERS[at].0, &patient_id(TAGS[at]), policy);
            let pair = payer.pki.client(&uri, Kind::Good);
            client.http = http(&payer.pki.ca, Some(&pair));
            passes.push((pair, client.token(ALL_SCOPES).await));
        }
        Home { payer, records, passes }
    }
}

/// Whether the partner of this place has a sensitive grant.
fn is_sensitive(at: usize) -> bool {
    at == 1
}

impl Ward {
    /// For tests that only read: those that run at the same time, or one after the other without a pause, have one home.
    pub async fn open() -> Ward {
        let mut shared = SHARED.lock().await;
        if let Some(home) = shared.upgrade() {
            return Ward::at(home);
        }
        let home = Arc::new(Home::prepare().await);
        *shared = Arc::downgrade(&home);
        Ward::at(home)
    }

    /// With a home of its own, for a test that changes what partners may see.
    pub async fn alone() -> Ward {
        Ward::at(Arc::new(Home::prepare().await))
    }

    /// The connections are those of this test: those of another end with it.
    fn at(home: Arc<Home>) -> Ward {
        let passes = home.passes.iter().enumerate();
        let partners = passes.map(|(at, (pair, token))| Partner {
            client: home.payer.client(PARTNERS[at].0, ClientKey::new("unused"), Some(pair)),
            token: token.clone(),
            tag: TAGS[at],
            sensitive: is_sensitive(at),
        });
        Ward {
            base: format!("{}/fhir", home.payer.origin),
            partners: partners.collect(),
            records: home.records.clone(),
            home,
        }
    }

    /// The members that `partner` may not see, with their place.
    pub fn foreign(&self, partner: &Partner) -> Vec<(usize, &'static str)> {
        let own = partner.tag;
        TAGS.into_iter().enumerate().filter(|(_, tag)| *tag != own).collect()
    }

    /// Types of the members' resources, each once.
    pub fn types(&self) -> Vec<String> {
        let mut all: Vec<String> = self.records.iter().flatten().map(|one| name(one).0).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The parameters that the server declares, by type.
    pub async fn declared(&self) -> BTreeMap<String, Vec<(String, String)>> {
        let statement = self.partners[0].client.get("none", "metadata").await.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let resources = statement["rest"][0]["resource"].as_array().expect("resources").iter();
        resources
            .filter(|one| !CONFORMANCE.contains(&one["type"].as_str().unwrap_or("")))
            .map(|one| {
                let all = one["searchParam"].as_array().into_iter().flatten();
                (
                    text(&one["type"]),
                    all.map(|row| (text(&row["name"]), text(&row["type"]))).collect(),
                )
            })
            .collect()
    }

    /// The strings of `searchInclude` and `searchRevInclude`, by type.
    pub async fn includes(&self) -> Vec<(String, &'static str, String)> {
        let statement = self.partners[0].client.get("none", "metadata").await.json();
        let mut all = Vec::new();
        for one in statement["rest"][0]["resource"].as_array().expect("resources") {
            for (member, parameter) in [("searchInclude", "_include"), ("searchRevInclude", "_revinclude")] {
                for value in one[member].as_array().into_iter().flatten() {
                    let text = |value: &Value| value.as_str().expect("a text").to_owned();
                    all.push((text(&one["type"]), parameter, text(value)));
                }
            }
        }
        all
    }
}

/// Requests by a partner.
impl Partner {
    /// Any request below the FHIR base; `form` makes it a form.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], form: Option<&str>) -> Reply {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend_from_slice(headers);
        if form.is_some() {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        self.client
            .send(method, path, &all, form.unwrap_or("").to_owned())
            .await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", &format!("/fhir/{path}"), &[], None).await
    }

    /// No byte of another member, and nothing sensitive without a grant for it.
    #[track_caller]
    pub fn assert_clean(&self, what: &str, reply: &Reply) {
        let all = format!("{:?}\n{}", reply.headers, reply.text());
        for tag in TAGS.into_iter().filter(|tag| *tag != self.tag) {
            assert!(
                !all.contains(&canary(tag)),
                "{what}: the canary of {tag} before {}: {all}",
                self.tag
            );
        }
        assert!(
            self.sensitive || !all.contains(SECRET),
            "{what}: something sensitive: {all}"
        );
        assert!(reply.status < 500, "{what}: {} {all}", reply.status);
    }

    /// The same request of a foreign member and of one who is not there: clean, and the same answer.
    ///
    /// `send` takes the tag that goes into the ids.
    #[track_caller]
    pub fn assert_alike(&self, what: &str, tag: &str, foreign: &Reply, absent: &Reply) {
        self.assert_clean(what, foreign);
        self.assert_clean(what, absent);
        assert_eq!(comparable(foreign, tag), comparable(absent, GHOST), "{what}");
    }
}

/// What must be equal: status, headers but for ids and dates of the request, and body, without the tag that was asked for.
fn comparable(reply: &Reply, tag: &str) -> (u16, BTreeMap<String, String>, String) {
    let own = ["x-request-id", "x-correlation-id", "traceparent", "date"];
    let headers = reply.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| {
        let value = value.to_str().expect("ASCII").replace(tag, "TAG");
        (name.to_string(), value)
    });
    (reply.status, headers.collect(), reply.text().replace(tag, "TAG"))
}

pub fn canary(tag: &str) -> String {
    format!("CNRY{tag}")
}

/// Every route that takes a token, with its type where the path names one.
pub fn guarded() -> Vec<(&'static str, &'static str)> {
    ROUTES
        .iter()
        .filter(|route| {
            !matches!(
                route.access,
                RouteAccess::Public | RouteAccess::Client | RouteAccess::Operation(_)
            )
        })
        .map(|route| (route.method, route.path))
        .collect()
}

/// The record of member number `at`, with references to the next one wherever a reference can stand.
fn record(at: usize, base: &str) -> Vec<Value> {
    let (tag, next) = (TAGS[at], TAGS[(at + 1) % 3]);
    let patient = patient_id(tag);
    let subject = json!({"reference": format!("Patient/{patient}")});
    let next_patient = json!({"reference": format!("Patient/{}", patient_id(next))});
    let to_next = |rtype: &str, name: &str| json!({"reference": format!("{rtype}/{name}-{next}")});
    let code = json!({"coding": [{"system": "http://loinc.org", "code": "4548-4"}]});
    let mut all = vec![json!({
        "resourceType": "Patient", "id": patient, "name": [{"family": format!("Family{tag}"), "given": [format!("Given{tag}")]}],
        "gender": "female", "birthDate": format!("198{at}-01-01"),
        "identifier": [{"system": "http://old-payer.example/identifiers/member", "value": format!("CARD-{tag}")}],
    })];
    all.extend(awkward::of_member(&patient, tag, base));
    all.extend([
        json!({
            "resourceType": "Observation", "id": format!("obs-cross-{tag}"), "status": "final", "code": code, "subject": subject,
            "focus": [next_patient], "encounter": to_next("Encounter", "enc"), "performer": [next_patient],
            "hasMember": [to_next("Observation", "obs-a"), to_next("Observation", "Obs-A")],
            "derivedFrom": [to_next("DocumentReference", "doc-1")],
        }),
        json!({
            "resourceType": "DiagnosticReport", "id": format!("rep-cross-{tag}"), "status": "final", "code": code, "subject": subject,
            "encounter": to_next("Encounter", "enc"), "result": [to_next("Observation", "Obs-A")],
        }),
        json!({
            "resourceType": "Coverage", "id": format!("cov-cross-{tag}"), "status": "active", "beneficiary": subject,
            "subscriber": next_patient, "policyHolder": next_patient, "payor": [next_patient],
        }),
        json!({
            "resourceType": "List", "id": format!("list-cross-{tag}"), "status": "current", "mode": "working", "subject": subject,
            "entry": [{"item": to_next("Condition", "cond-1")}, {"item": next_patient}],
        }),
        json!({
            "resourceType": "CareTeam", "id": format!("team-cross-{tag}"), "subject": subject,
            "participant": [{"member": next_patient}, {"member": to_next("RelatedPerson", "rel-1")}],
        }),
        json!({
            "resourceType": "ExplanationOfBenefit", "id": format!("eob-cross-{tag}"), "status": "active", "use": "claim", "outcome": "complete",
            "type": {"text": "x"}, "patient": subject, "created": "2024-01-01", "insurer": {"reference": "Organization/Org-A"},
            "provider": {"reference": "Organization/Org-A"}, "payee": {"party": next_patient},
            "insurance": [{"focal": true, "coverage": to_next("Coverage", "cov-2")}],
        }),
        json!({
            "resourceType": "Provenance", "id": format!("prov-cross-{tag}"), "recorded": "2024-07-02T00:00:00Z",
            "target": [{"reference": format!("Observation/obs-cross-{tag}")}], "agent": [{"who": next_patient}],
        }),
        json!({
            "resourceType": "Observation", "id": format!("obs-secret-{tag}"), "status": "final", "code": code, "subject": subject,
            "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}]},
            "note": [{"text": format!("{}{SECRET}", canary(tag))}],
        }),
        // Withheld from everybody: a contained resource is about somebody else, and carries that member's canary.
        json!({
            "resourceType": "Observation", "id": format!("obs-other-{tag}"), "status": "final", "code": code, "subject": subject,
            "contained": [{"resourceType": "Patient", "id": "inner", "name": [{"text": canary(next)}]}], "focus": [{"reference": "#inner"}],
        }),
        json!({
            "resourceType": "Observation", "id": format!("obs-inner-{tag}"), "status": "final", "code": code, "subject": subject,
            "contained": [{"resourceType": "Coverage", "id": "inner", "status": "active", "beneficiary": next_patient, "payor": [{"display": canary(next)}]}],
            "derivedFrom": [{"reference": "#inner"}],
        }),
    ]);
    for one in &mut all {
        plant(one, tag);
    }
    all
}

/// Puts the canary of `tag` into a resource, where any type has room for it.
fn plant(resource: &mut Value, tag: &str) {
    let mark = json!({"url": "http://canary.example", "valueString": canary(tag)});
    match resource["extension"].as_array_mut() {
        Some(all) => all.push(mark),
        None => resource["extension"] = json!([mark]),
    }
}

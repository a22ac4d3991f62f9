//! The operations side as its table has it: the page lists every route, each role is let in where the table names it and nowhere else,
//! and every request has ids, limits and one line of the log, as partners' requests have.

mod documented;

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::desk::{Desk, doubtful, only_review};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::ops::table::{Asks, OPS_ROUTES, OpsRoute};
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ALL: &[&str] = &["support", "operator", "reviewer", "auditor", "admin"];

/// Every promised route, with the roles that may use it: what the table may not lose. No role means that no token is looked at.
const PROMISED: &[(&str, &str, &[&str])] = &[
    ("GET", "/live", &[]),
    ("GET", "/ready", &[]),
    ("GET", "/metrics", &[]),
    ("GET", "/ops/v1/decisions", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/decisions/{id}", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/grants", &["auditor"]),
    ("POST", "/ops/v1/grants/_search", &["auditor"]),
    ("POST", "/ops/v1/grants/{id}/revoke", &["operator"]),
    ("GET", "/ops/v1/consents", &["operator", "auditor"]),
    ("GET", "/ops/v1/consents/{id}", &["operator", "auditor"]),
    ("POST", "/ops/v1/consents/{id}/revoke", &["operator"]),
    ("GET", "/ops/v1/disclosures", &["auditor"]),
    ("POST", "/ops/v1/disclosures/_search", &["auditor"]),
    ("GET", "/ops/v1/fhir/AuditEvent", &["auditor"]),
    ("GET", "/ops/v1/fhir/AuditEvent/{id}", &["auditor"]),
    ("GET", "/ops/v1/trace/{id:.+}", &["support", "operator", "auditor"]),
    (
        "GET",
        "/ops/v1/reviews",
        &["support", "operator", "reviewer", "auditor"],
    ),
    (
        "GET",
        "/ops/v1/reviews/{id}",
        &["support", "operator", "reviewer", "auditor"],
    ),
    ("POST", "/ops/v1/reviews/{id}/decide", &["reviewer"]),
    ("GET", "/ops/v1/links", &["reviewer", "auditor"]),
    ("POST", "/ops/v1/links/{id}/dispute", &["reviewer"]),
    ("GET", "/ops/v1/members/{id}/graph", &["reviewer"]),
    ("GET", "/ops/v1/ledger", &["auditor"]),
    ("GET", "/ops/v1/looks", &["auditor"]),
    ("GET", "/ops/v1/cases", &["auditor"]),
    ("POST", "/ops/v1/cases", &["auditor"]),
    ("GET", "/ops/v1/cases/{id}", &["auditor"]),
    ("POST", "/ops/v1/cases/{id}/add", &["auditor"]),
    ("POST", "/ops/v1/cases/{id}/close", &["auditor"]),
    ("GET", "/ops/v1/packets", &["auditor"]),
    ("POST", "/ops/v1/packets", &["auditor"]),
    ("GET", "/ops/v1/packets/{id}", &["auditor"]),
    ("GET", "/ops/v1/packets/{id}/file", &["auditor"]),
    ("GET", "/ops/v1/evidence/{id}", &["auditor"]),
    ("GET", "/ops/v1/controls", &["auditor"]),
    ("GET", "/ops/v1/partners", &["admin"]),
    ("GET", "/ops/v1/policies", &["admin"]),
    ("GET", "/ops/v1/policies/acts", &["admin"]),
    ("GET", "/ops/v1/policies/diff", &["admin"]),
    ("GET", "/ops/v1/policies/{id}", &["admin"]),
    ("POST", "/ops/v1/policies/shadow", &["admin"]),
    ("POST", "/ops/v1/policies/shadow/stop", &["admin"]),
    ("GET", "/ops/v1/policies/replay", &["auditor", "admin"]),
    ("GET", "/ops/v1/policies/compare", &["auditor", "admin"]),
    ("POST", "/ops/v1/policies/import", &["admin"]),
    ("POST", "/ops/v1/policies/activate", &["admin"]),
    ("POST", "/ops/v1/policies/rollback", &["admin"]),
    ("POST", "/ops/v1/policies/acts/{id}/approve", &["admin"]),
    ("POST", "/ops/v1/policies/acts/{id}/withdraw", &["admin"]),
    ("GET", "/ops/v1/faults", ALL),
    ("GET", "/ops/v1/runbook", ALL),
    ("GET", "/ops/v1/runbook/{id}", ALL),
    ("GET", "/ops/v1/states", ALL),
    ("GET", "/ops/v1/alerts", &["operator"]),
    ("GET", "/ops/v1/slo", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/service", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/service/page", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/scorecards/{id}", &["support", "operator", "auditor"]),
    (
        "GET",
        "/ops/v1/scorecards/{id}/page",
        &["support", "operator", "auditor"],
    ),
    ("GET", "/ops/v1/jobs", &["operator"]),
    ("POST", "/ops/v1/jobs/{id}/replay", &["operator"]),
    ("GET", "/ops/v1/bulk-jobs", &["operator"]),
    ("GET", "/ops/v1/bulk-runs", &["operator"]),
    ("GET", "/ops/v1/exchanges", &["support", "operator", "auditor"]),
    ("POST", "/ops/v1/exchanges", &["operator"]),
    ("POST", "/ops/v1/exchanges/replay", &["operator"]),
    ("GET", "/ops/v1/exchanges/{id}", &["support", "operator", "auditor"]),
    ("GET", "/ops/v1/reconciliation", &["support", "operator", "auditor"]),
    ("POST", "/ops/v1/exchanges/{id}/cancel", &["operator"]),
    ("POST", "/ops/v1/exchanges/{id}/replay", &["operator"]),
    ("POST", "/ops/v1/exchanges/{id}/supersede", &["operator"]),
    ("POST", "/ops/v1/exchanges/{id}/pause", &["operator"]),
    ("POST", "/ops/v1/exchanges/{id}/close", &["operator"]),
    ("POST", "/ops/v1/exchanges/{id}/retract", &["operator"]),
    ("GET", "/ops/v1/retention", &["operator", "auditor", "admin"]),
    ("GET", "/ops/v1/retention/holds", &["auditor", "admin"]),
    ("POST", "/ops/v1/retention/holds", &["admin"]),
    ("POST", "/ops/v1/retention/holds/{id}/release", &["admin"]),
];

fn roles_of(route: &OpsRoute) -> BTreeSet<&'static str> {
    match route.asks {
        Asks::Anybody => BTreeSet::new(),
        Asks::Roles(roles) => roles.iter().map(|(role, _)| role.name()).collect(),
    }
}

#[test]
fn the_table_has_the_promised_routes_and_roles_and_no_others() {
    let has: BTreeSet<_> = OPS_ROUTES
        .iter()
        .map(|route| (route.method, route.path, roles_of(route)))
        .collect();
    let promised: BTreeSet<_> = PROMISED
        .iter()
        .map(|(method, path, roles)| (*method, *path, roles.iter().copied().collect()))
        .collect();
    assert_eq!(has, promised);
    assert_eq!(has.len(), OPS_ROUTES.len(), "a row stands twice");
}

/// A payer with one match and one review, and the ids that they left.
pub struct Scene {
    pub payer: TestPayer,
    pub client: Client,
    pub patient: String,
    pub review: String,
    grant: Value,
    /// Id of an entry of the ledger.
    entry: String,
}

impl Scene {
    pub async fn start() -> Scene {
        let (mut payer, client) = TestPayer::prepare(4);
        payer.serve_with(&[("CAUSEWAY_LOG__LEVEL", "info")]);
        let token = client.token(ALL_SCOPES).await;
        let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
        let asked = client.post_match(&token, doubtful(&payer, 1, 3).to_string(), &[]).await;
        asked.assert_outcome(Fault::NoUniqueMember);
        let grants = payer.json_command(&["grant", "list"]);
        let entries = Desk::of(&payer, &client, "auditor").all("ledger").await;
        Scene {
            entry: entries[0]["id"].as_str().expect("an id").to_owned(),
            grant: grants[0].clone(),
            review: only_review(&payer),
            payer,
            client,
            patient,
        }
    }

    pub fn token(&self, role: &str) -> String {
        let minted = self
            .payer
            .json_command(&["operator", "token", "--role", role, "--name", "ana"]);
        minted["token"].as_str().expect("a token").to_owned()
    }

    /// The path of a route with ids of things that are there, and what its parameters need.
    pub fn path(&self, route: &OpsRoute) -> String {
        let id = |key: &str| self.grant[key].as_str().expect("an id").to_owned();
        let own = match route.path.trim_start_matches("/ops/v1") {
            path if path.starts_with("/decisions/") || path.starts_with("/trace/") => id("decision_id"),
            path if path.starts_with("/grants/{") => id("id"),
            path if path.starts_with("/consents/") => id("consent_id"),
            path if path.starts_with("/members/") => self.patient.clone(),
            path if path.starts_with("/reviews/") => self.review.clone(),
            path if path.starts_with("/fhir/AuditEvent/") => self.entry.clone(),
            path if path.starts_with("/scorecards/") => "new-payer".to_owned(),
            path if path.starts_with("/policies/{") => "balanced".to_owned(),
            path if path.starts_with("/runbook/") => Fault::StoreUnavailable.code().to_owned(),
            _ => "nobody".to_owned(),
        };
        let path = route.path.replace("{id:.+}", &own).replace("{id}", &own);
        match route.path {
            "/ops/v1/disclosures" => format!("{path}?member={}", self.patient),
            "/ops/v1/policies/replay" => format!("{path}?id={}&version=balanced", id("decision_id")),
            "/ops/v1/policies/compare" => format!("{path}?version=balanced&last=5"),
            "/ops/v1/policies/diff" => format!("{path}?version=balanced"),
            "/ops/v1/reconciliation" => format!("{path}?partner=new-payer"),
            _ => path,
        }
    }

    pub fn body(&self, route: &OpsRoute) -> String {
        match route.path {
            path if path.ends_with("/_search") => format!("{{\"member\": \"{}\"}}", self.patient),
            "/ops/v1/retention/holds" => {
                format!("{{\"member\": \"{}\", \"reason\": \"a test of roles\"}}", self.patient)
            }
            path if path.ends_with("/revoke")
                || path.ends_with("/release")
                || path.starts_with("/ops/v1/exchanges/") =>
            {
                "{\"reason\": \"a test of roles\"}".to_owned()
            }
            "/ops/v1/exchanges" | "/ops/v1/packets" => "{}".to_owned(),
            _ => String::new(),
        }
    }

    fn request(&self, method: &str, path: &str, bearer: Option<&str>) -> reqwest::RequestBuilder {
        self.bare(method, path, bearer)
            .header("x-access-reason", "a test of roles")
    }

    /// The same without a reason.
    pub fn bare(&self, method: &str, path: &str, bearer: Option<&str>) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let request = self.client.http.request(method, format!("{}{path}", self.payer.ops));
        let request = request.header("content-type", "application/json");
        match bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }

    async fn ask(&self, method: &str, route: &OpsRoute, bearer: Option<&str>) -> Reply {
        let request = self.request(method, &self.path(route), bearer);
        sent(request.body(self.body(route))).await
    }
}

/// Whether the route starts an exchange or a packet, or changes a policy, which needs more than the scene has.
fn is_start(route: &OpsRoute) -> bool {
    let starts = ["/ops/v1/exchanges", "/ops/v1/packets"].contains(&route.path);
    route.method == "POST" && (starts || route.path.starts_with("/ops/v1/policies/"))
}

pub async fn sent(request: reqwest::RequestBuilder) -> Reply {
    Reply::of(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn every_role_may_use_its_routes_and_no_others() {
    let scene = Scene::start().await;
    // Of each route, HEAD once by who may use it and once by who may not.
    let mut heads = BTreeSet::new();
    for role in ALL {
        let bearer = scene.token(role);
        for route in OPS_ROUTES.iter().filter(|route| route.asks != Asks::Anybody) {
            let what = format!("{role} {} {}", route.method, route.path);
            let reply = scene.ask(route.method, route, Some(&bearer)).await;
            if !roles_of(route).contains(role) {
                reply.assert_outcome(Fault::RoleMissing);
            } else if route.path.ends_with("/decide")
                || (route.method == "POST" && scene.body(route).is_empty())
                || ["/exchanges/", "/release", "/packets/", "/evidence/", "/cases/"]
                    .iter()
                    .any(|part| route.path.contains(part))
                || is_start(route)
            {
                assert!(matches!(reply.status, 400 | 404), "{what}: {}", reply.text());
            } else {
                reply.assert_status(200);
                let shows_patients = ["auditor", "reviewer"].contains(role);
                assert!(shows_patients || !reply.text().contains(&scene.patient), "{what}");
            }
            if route.method == "GET" && heads.insert((route.path, roles_of(route).contains(role))) {
                let head = scene.ask("HEAD", route, Some(&bearer)).await;
                assert_eq!((head.status, head.body.len()), (reply.status, 0), "HEAD, {what}");
                assert_eq!(head.header("content-type"), reply.header("content-type"), "{what}");
            }
        }
    }
    for route in OPS_ROUTES {
        let nobody = scene.ask(route.method, route, None).await;
        let bad = scene.ask(route.method, route, Some("no-such-token")).await;
        match route.asks {
            Asks::Anybody => {
                // A busy machine may be late with what `/ready` asks of the store.
                let began = Instant::now();
                for (mut reply, bearer) in [(nobody, None), (bad, Some("no-such-token"))] {
                    while reply.status == 503 && began.elapsed() < Duration::from_secs(60) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        reply = scene.ask(route.method, route, bearer).await;
                    }
                    reply.assert_status(200);
                }
            }
            Asks::Roles(_) => {
                nobody.assert_outcome(Fault::TokenMissing);
                bad.assert_outcome(Fault::TokenInvalid);
            }
        }
    }
}

#[tokio::test]
async fn methods_and_paths_that_are_not_served_and_parameters_that_are_not_known_are_refused() {
    let scene = Scene::start().await;
    let bearer = scene.token("auditor");
    for route in OPS_ROUTES {
        let of_path: Vec<&str> = OPS_ROUTES
            .iter()
            .filter(|other| other.path == route.path)
            .map(|other| other.method)
            .collect();
        let served: Vec<&str> = ["GET", "HEAD", "POST"]
            .into_iter()
            .filter(|method| of_path.contains(if *method == "HEAD" { &"GET" } else { method }))
            .collect();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if served.contains(&method) {
                continue;
            }
            let reply = scene.ask(method, route, Some(&bearer)).await;
            assert_eq!(reply.status, 405, "{method} {}", route.path);
            assert_eq!(reply.header("allow"), served.join(", "), "{method} {}", route.path);
            if method != "HEAD" {
                reply.assert_outcome(Fault::MethodRefused);
            }
        }
    }
    for path in ["/ops/v1", "/ops/v1/", "/ops/v1/nothing", "/ops/v1/decisions/a/b"] {
        let reply = sent(scene.request("GET", path, Some(&bearer))).await;
        reply.assert_outcome(Fault::RouteUnknown);
    }
    let elsewhere = sent(scene.request("GET", "/nothing", None)).await;
    assert_eq!((elsewhere.status, elsewhere.body.len()), (404, 0));
    assert!(!elsewhere.header("x-request-id").is_empty());
    for role in ALL {
        let bearer = scene.token(role);
        for route in OPS_ROUTES.iter().filter(|route| roles_of(route).contains(role)) {
            let path = scene.path(route);
            let more = if path.contains('?') { '&' } else { '?' };
            let request = scene.request(route.method, &format!("{path}{more}sort=at"), Some(&bearer));
            let reply = sent(request.body(scene.body(route))).await;
            reply.assert_outcome(Fault::ParameterUnknown);
        }
    }
}

#[tokio::test]
async fn requests_to_the_operations_side_have_ids_limits_and_one_line_of_the_log() {
    let scene = Scene::start().await;
    let bearer = scene.token("auditor");
    let decision = scene.grant["decision_id"].as_str().expect("an id");
    let path = format!("/ops/v1/decisions/{decision}");
    let correlation = "ops:case-1/a";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = scene.request("GET", &path, Some(&bearer));
    let request = request
        .header("x-correlation-id", correlation)
        .header("traceparent", trace);
    let told = sent(request).await;
    told.assert_status(200);
    assert_eq!(told.header("x-correlation-id"), correlation);
    assert_eq!(told.header("traceparent").split('-').nth(1), trace.split('-').nth(1));
    let id = told.header("x-request-id").to_owned();
    assert_eq!(id.len(), 36, "{id}");
    // The entry of the view has the ids that were answered.
    let entries = format!("/ops/v1/ledger?correlation={correlation}");
    let entries = sent(scene.request("GET", &entries, Some(&bearer))).await.json();
    let entry = &entries["items"][0];
    assert_eq!(
        (&entry["action"], &entry["request_id"], &entry["correlation_id"]),
        (&json!("operator.viewed"), &json!(id), &json!(correlation))
    );

    let huge = scene
        .request("GET", &path, Some(&bearer))
        .header("x-filler", "x".repeat(40_000));
    let huge = sent(huge).await;
    huge.assert_outcome(Fault::HeadTooLarge);
    let long = format!("{{\"member\": \"{}\"}}", "x".repeat(17_000));
    let long = sent(
        scene
            .request("POST", "/ops/v1/grants/_search", Some(&bearer))
            .body(long),
    )
    .await;
    long.assert_outcome(Fault::TooLarge);
    let probe = sent(scene.request("GET", "/metrics", None)).await;
    let wrong_probe = sent(scene.request("POST", "/metrics", None)).await;
    let gone = sent(scene.request("GET", "/ops/v1/nothing", Some(&bearer))).await;
    let refused = sent(scene.request("GET", "/ops/v1/partners", Some(&bearer))).await;
    refused.assert_outcome(Fault::RoleMissing);

    let log = logged(&scene.payer, &[&told, &huge, &long, &wrong_probe, &gone, &refused]).await;
    let line = |reply: &Reply| -> Value {
        let id = reply.header("x-request-id");
        assert!(!id.is_empty(), "{reply:?}");
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("\"answered\"") && line.contains(id))
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(lines[0]).expect("a line of JSON")
    };
    let of = |line: &Value, names: [&str; 4]| names.map(|name| line[name].clone());
    let names = ["route", "status", "fault", "operator.role"];
    for (reply, wanted) in [
        (&told, ["/ops/v1/decisions/{id}", "200", "", "auditor"]),
        (&huge, ["/ops/v1/decisions/{id}", "431", "RQ-018", ""]),
        (&long, ["/ops/v1/grants/_search", "413", "RQ-004", ""]),
        (&wrong_probe, ["unmatched", "405", "RQ-011", ""]),
        (&gone, ["unmatched", "404", "RQ-010", ""]),
        (&refused, ["/ops/v1/partners", "403", "SE-007", "auditor"]),
    ] {
        let found = of(&line(reply), names).map(|value| value.to_string().replace('"', ""));
        assert_eq!(found, wanted);
    }
    assert_eq!(line(&told)["correlation.id"], correlation);
    let probe = probe.header("x-request-id");
    assert!(!probe.is_empty() && !log.contains(probe), "monitoring fills the log");
    for secret in [decision, scene.patient.as_str(), bearer.as_str(), "\"ana\""] {
        assert!(!log.contains(secret), "the log shows {secret}");
    }
}

/// The log, once it has whole lines that these were answered.
async fn logged(payer: &TestPayer, replies: &[&Reply]) -> String {
    let began = Instant::now();
    loop {
        let log = payer.log();
        let has = |reply: &&&Reply| {
            let id = reply.header("x-request-id");
            log.lines()
                .any(|line| line.contains("\"answered\"") && line.contains(id))
        };
        let missing = replies.iter().find(|reply| !has(reply));
        match missing {
            None if log.ends_with('\n') => return log,
            _ => assert!(began.elapsed() < Duration::from_secs(60), "not in the log: {missing:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

//! Headers that every answer has, those that announce the end of an address, and those that scripts of other origins may read.

use crate::support::client::{Client, Reply};
use crate::support::desk::Desk;
use crate::support::matched::Matched;
use crate::support::payer::TestPayer;
use causeway::http::ops::table::OPS_ROUTES;
use causeway::http::planted;
use causeway::http::routes::ROUTES;

const CONTRACT: &str = "x-causeway-contract";

/// Asks the operations side, with or without a token.
async fn ask_ops(client: &Client, method: &str, url: &str, token: Option<&str>) -> Reply {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = client.http.request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Reply::of(request.send().await.expect("an answer")).await
}

#[tokio::test]
async fn every_answer_of_both_listeners_names_the_contract() {
    let payer = Matched::start(1).await;
    let token = [("authorization", payer.bearer.as_str())];
    let page = [("accept", "text/html")];
    let mut paths: Vec<String> = ROUTES.iter().map(|route| route.example(&payer.id)).collect();
    paths.extend(["/nowhere", "/fhir/Nonsense", "/fhir/Patient/$export", "/planted"].map(str::to_owned));
    paths.sort();
    paths.dedup();
    for path in &paths {
        for (method, headers) in [
            ("GET", &token[..]),
            ("GET", &page[..]),
            ("HEAD", &[]),
            ("POST", &token[..]),
            ("OPTIONS", &[]),
            ("DELETE", &[]),
        ] {
            let reply = payer.client.send(method, path, headers, "").await;
            assert_eq!(reply.header(CONTRACT), "1", "{method} {path}: {}", reply.status);
        }
    }
    let minted = payer.payer.json_command(&["operator", "token", "--role", "auditor"]);
    let auditor = minted["token"].as_str().expect("a token");
    let mut paths: Vec<String> = OPS_ROUTES
        .iter()
        .map(|route| route.path.replace("{id}", "nobody"))
        .collect();
    paths.extend(["/nowhere", "/ops/v1/nowhere", "/ops/v1/planted"].map(str::to_owned));
    for path in &paths {
        let url = format!("{}{path}", payer.payer.ops);
        for (method, token) in [
            ("GET", None),
            ("GET", Some(auditor)),
            ("POST", Some(auditor)),
            ("HEAD", None),
        ] {
            let reply = ask_ops(&payer.client, method, &url, token).await;
            assert_eq!(reply.header(CONTRACT), "1", "{method} {path}: {}", reply.status);
        }
    }
}

#[tokio::test]
async fn an_address_that_ends_says_so_on_its_answers_and_no_other_does() {
    let (mut payer, client) = TestPayer::prepare(1);
    payer.serve_with(&[(planted::VARIABLE, "1")]);
    let auditor = Desk::of(&payer, &client, "auditor");
    let support = Desk::of(&payer, &client, "support");
    let own = format!("{}/ops/v1/planted", payer.ops);
    for (reply, status) in [
        (client.send("GET", "/planted", &[], "").await, 200),
        (client.send("HEAD", "/planted", &[], "").await, 200),
        (auditor.get("planted").await, 200),
        // A refusal announces it too: who may not ask today may be told to move on.
        (support.get("planted").await, 403),
        (ask_ops(&client, "GET", &own, None).await, 401),
    ] {
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!(reply.header("deprecation"), "@1798761600", "{status}");
        assert_eq!(reply.header("sunset"), "Sat, 01 Jan 2028 00:00:00 GMT", "{status}");
    }
    assert_eq!(planted::NOTICE.days(), Some(365));
    let mut others = vec![auditor.get("faults").await, auditor.get("nowhere").await];
    for path in [
        "/.well-known/jwks.json",
        "/fhir/metadata",
        "/fhir/Patient/1",
        "/nowhere",
    ] {
        others.push(client.send("GET", path, &[], "").await);
    }
    for reply in others {
        let announced = (reply.header("deprecation"), reply.header("sunset"));
        assert_eq!(announced, ("", ""), "{}", reply.text());
    }
}

#[tokio::test]
async fn scripts_of_other_origins_may_read_the_headers_that_a_client_acts_on() {
    let (_payer, client) = TestPayer::start(1);
    let origin = [("origin", "https://elsewhere.example")];
    let reply = client.send("GET", "/fhir/metadata", &origin, "").await;
    reply.assert_status(200);
    let exposed: Vec<String> = reply
        .header("access-control-expose-headers")
        .split(", ")
        .map(str::to_ascii_lowercase)
        .collect();
    for name in [
        "etag",
        "last-modified",
        "location",
        "retry-after",
        "idempotent-replayed",
        "x-request-id",
        "x-correlation-id",
        "traceparent",
        CONTRACT,
        "deprecation",
        "sunset",
    ] {
        assert!(exposed.iter().any(|one| one == name), "{name}: {exposed:?}");
    }
}

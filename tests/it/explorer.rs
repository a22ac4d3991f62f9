//! The readable pages over the wire: every answer has one, an error has one, and none changes what was decided.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;

async fn matched() -> (TestPayer, Client, String, String) {
    let (payer, client) = TestPayer::start(2);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    (payer, client, format!("Bearer {token}"), id)
}

#[track_caller]
fn assert_page(reply: &Reply, status: u16) -> String {
    reply.assert_status(status);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert!(
        reply
            .header("content-security-policy")
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    let text = reply.text();
    assert!(
        text.starts_with("<!DOCTYPE html>") && !text.contains("<script"),
        "{text}"
    );
    text
}

#[tokio::test]
async fn a_browser_gets_a_page_wherever_it_goes() {
    let (payer, client, bearer, id) = matched().await;
    let html = (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    );
    let with_token = [html, ("authorization", bearer.as_str())];
    for (path, status, part) in [
        ("/".to_owned(), 200, "href=\"/fhir/explorer/Patient\""),
        ("/fhir/metadata".to_owned(), 200, "href=\"/fhir/explorer/Observation\""),
        (
            "/fhir/explorer/Patient".to_owned(),
            200,
            "action=\"/fhir/Patient/_search\" method=\"post\"",
        ),
        (
            "/fhir/explorer/Observation".to_owned(),
            200,
            "action=\"/fhir/Observation\" method=\"get\"",
        ),
        ("/fhir/explorer/Nothing".to_owned(), 404, "causeway-fault#RQ-010"),
        ("/fhir/CodeSystem/causeway-fault".to_owned(), 200, "id=\"SE-001\""),
        (format!("/fhir/Patient/{id}"), 200, "/$everything\" method=\"get\""),
        (
            format!("/fhir/Patient?_id={id}"),
            200,
            "<th scope=\"row\"><a href=\"/fhir/Patient/",
        ),
        (format!("/fhir/Patient/{id}/$everything"), 200, "Show the JSON"),
        ("/fhir/Patient/nobody".to_owned(), 404, "causeway-fault#RQ-015"),
        ("/fhir/nothing/at/all".to_owned(), 404, "causeway-fault#RQ-010"),
        ("/fhir/Patient?birthdate=never".to_owned(), 400, "causeway-fault#RQ-008"),
    ] {
        let page = assert_page(&client.send("GET", &path, &with_token, "").await, status);
        assert!(page.contains(part), "{path}: no {part}");
    }
    let page = assert_page(
        &client
            .send("DELETE", &format!("/fhir/Patient/{id}"), &with_token, "")
            .await,
        405,
    );
    assert!(page.contains(Fault::MethodRefused.row().remedy));
    let page = assert_page(
        &client.send("GET", &format!("/fhir/Patient/{id}"), &[html], "").await,
        401,
    );
    assert!(page.contains("How to get a token") && page.contains(&format!("{}/oauth/token", payer.origin)));
    // Documents that are always JSON stay it.
    let discovery = client
        .send("GET", "/.well-known/smart-configuration", &[html], "")
        .await;
    assert_eq!(discovery.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_form_may_leave_fields_empty_and_shows_nothing_in_the_address() {
    let (_payer, client, bearer, id) = matched().await;
    let headers = [
        ("accept", "text/html"),
        ("authorization", bearer.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let body = format!("_id={id}&name=&birthdate=&identifier=&_count=&_sort=");
    let page = assert_page(&client.send("POST", "/fhir/Patient/_search", &headers, body).await, 200);
    assert!(page.contains("1 match."), "{page}");
    let path = format!("/fhir/Observation?patient={id}&date=&code=&_count=5&_sort=");
    let page = assert_page(&client.send("GET", &path, &headers[..2], "").await, 200);
    assert!(page.contains("Observation search"));
    let path = format!("/fhir/Patient/{id}/$everything?start=&end=&_since=&_type=&_count=");
    assert_page(&client.send("GET", &path, &headers[..2], "").await, 200);
    // A program that sends an empty value meant something, and is told.
    let json = [("authorization", bearer.as_str())];
    client
        .send("GET", "/fhir/Patient?birthdate=", &json, "")
        .await
        .assert_outcome(Fault::ParameterInvalid);
}

#[tokio::test]
async fn a_long_record_comes_in_pages() {
    let (_payer, client, bearer, id) = matched().await;
    let headers = [("accept", "text/html"), ("authorization", bearer.as_str())];
    let path = format!("/fhir/Patient/{id}/$everything?_count=2");
    let page = assert_page(&client.send("GET", &path, &headers, "").await, 200);
    let next = page
        .split("rel=\"next\"")
        .next()
        .and_then(|before| before.rsplit("href=\"").next());
    let next = next
        .and_then(|rest| rest.split('"').next())
        .expect("a next page")
        .replace("&amp;", "&");
    let second = assert_page(&client.send("GET", &next, &headers, "").await, 200);
    assert!(second.contains("2 entries on this page"), "{second}");
}

#[tokio::test]
async fn t_b11_what_a_record_holds_stays_text() {
    let (mut payer, client) = TestPayer::prepare(1);
    let id = payer.member(0).patient_id;
    let nasty = "</pre><script>alert('canary-b11')</script><a href=javascript:alert(1)>";
    let observation = serde_json::json!({
        "resourceType": "Observation", "id": "nasty", "status": "final", "subject": {"reference": format!("Patient/{id}")},
        "text": {"status": "additional", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><b>canary-b11</b></div>"},
        "code": {"text": nasty, "coding": [{"system": "javascript:alert(1)", "code": "1"}]}, "valueString": nasty,
    });
    std::fs::write(payer.home().join("nasty.ndjson"), format!("{observation}\n")).expect("a file");
    assert_eq!(payer.json_command(&["import", "nasty.ndjson"])["rejected"], 0);
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let bearer = format!("Bearer {token}");
    let headers = [("accept", "text/html"), ("authorization", bearer.as_str())];
    for path in [
        "/fhir/Observation/nasty".to_owned(),
        format!("/fhir/Observation?patient={id}"),
        format!("/fhir/Patient/{id}/$everything"),
    ] {
        let page = assert_page(&client.send("GET", &path, &headers, "").await, 200);
        assert!(page.contains("canary-b11"), "{path}: it is shown");
        for live in ["<b>canary", "<a href=javascript", "href=\"javascript", "</pre><script"] {
            assert!(!page.contains(live), "{path}: {live}");
        }
    }
}

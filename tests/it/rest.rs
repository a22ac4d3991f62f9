//! The REST rules over the wire: negotiation, HEAD, conditional reads, versions, batches, metadata, and other origins.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::routes::{Access, ROUTES};
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A payer and a partner that has matched its first member.
struct Matched {
    payer: TestPayer,
    client: Client,
    bearer: String,
    id: String,
}

impl Matched {
    async fn start(members: u64) -> Matched {
        let (payer, client) = TestPayer::start(members);
        let token = client.token(ALL_SCOPES).await;
        let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
        Matched {
            payer,
            client,
            bearer: format!("Bearer {token}"),
            id,
        }
    }

    /// A request below the FHIR base with the token.
    async fn send(&self, method: &str, below: &str, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Reply {
        let headers = [&[("authorization", self.bearer.as_str())], headers].concat();
        self.client.send(method, &format!("/fhir{below}"), &headers, body).await
    }

    async fn get(&self, below: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", below, headers, "").await
    }

    async fn batch(&self, entries: Value) -> Reply {
        let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
        let headers = [("content-type", "application/fhir+json")];
        self.send("POST", "", &headers, bundle.to_string()).await
    }
}

/// The headers of an answer without those that differ each time.
fn comparable(reply: &Reply) -> BTreeMap<String, String> {
    let own = ["x-request-id", "x-correlation-id", "traceparent", "date"];
    let all = reply.headers.iter();
    all.filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect()
}

#[tokio::test]
async fn the_answer_has_the_form_that_was_asked_for() {
    let payer = Matched::start(1).await;
    let patient = format!("/Patient/{}", payer.id);
    let search = format!("/Patient?_id={}", payer.id);
    for path in [
        patient.as_str(),
        search.as_str(),
        "/metadata",
        "/CodeSystem/causeway-fault",
    ] {
        let sign = if path.contains('?') { '&' } else { '?' };
        for (accept, format, wanted) in [
            ("*/*", "", "application/fhir+json; charset=utf-8"),
            ("application/fhir+json", "", "application/fhir+json; charset=utf-8"),
            ("application/json", "", "application/json; charset=utf-8"),
            (
                "text/html,application/xml;q=0.9,*/*;q=0.8",
                "",
                "text/html; charset=utf-8",
            ),
            ("text/html", "_format=json", "application/fhir+json; charset=utf-8"),
            ("application/fhir+json", "_format=text/html", "text/html; charset=utf-8"),
        ] {
            let reply = payer.get(&format!("{path}{sign}{format}"), &[("accept", accept)]).await;
            reply.assert_status(200);
            assert_eq!(reply.header("content-type"), wanted, "{path} {accept} {format}");
            assert_eq!(reply.header("vary"), "Accept", "{path}");
            assert_eq!(
                reply.header("content-security-policy").is_empty(),
                !wanted.starts_with("text/html"),
                "{path}"
            );
        }
        for (accept, format) in [
            ("application/fhir+xml", ""),
            ("*/*", "_format=xml"),
            ("application/fhir+json;fhirVersion=3.0", ""),
        ] {
            let reply = payer.get(&format!("{path}{sign}{format}"), &[("accept", accept)]).await;
            reply.assert_outcome(Fault::NotAcceptable);
        }
        let (plain, pretty) = (
            payer.get(path, &[]).await,
            payer.get(&format!("{path}{sign}_pretty=true"), &[]).await,
        );
        if !path.contains('?') {
            assert_eq!(plain.json(), pretty.json(), "{path}");
        }
        assert!(
            pretty.text().starts_with("{\n  \"resourceType\": "),
            "{path}: {}",
            pretty.text()
        );
    }
    let everything = payer.get(&format!("{patient}/$everything?_pretty=true"), &[]).await;
    assert!(everything.text().starts_with("{\n  \"resourceType\": \"Bundle\""));
    assert!(everything.json()["entry"].as_array().is_some_and(|all| all.len() > 3));
}

#[tokio::test]
async fn t_b14_head_is_get_without_its_body() {
    let payer = Matched::start(1).await;
    let mut paths: Vec<String> = vec![
        format!("/Patient/{}", payer.id),
        format!("/Patient?_id={}", payer.id),
        format!("/Patient/{}/$everything", payer.id),
        format!("/Patient/{}/_history/1", payer.id),
        "/Patient/nobody".to_owned(),
        "/Patient?nonsense:not=1".to_owned(),
        "/nowhere".to_owned(),
    ];
    paths.extend(
        ROUTES
            .iter()
            .filter(|route| route.method == "GET" && route.access == Access::Public && !route.path.contains('{'))
            .filter_map(|route| route.path.strip_prefix("/fhir").map(str::to_owned)),
    );
    for path in &paths {
        for accept in ["application/fhir+json", "text/html"] {
            let get = payer.get(path, &[("accept", accept)]).await;
            let head = payer.send("HEAD", path, &[("accept", accept)], "").await;
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            let (mut of_get, mut of_head) = (comparable(&get), comparable(&head));
            for headers in [&mut of_get, &mut of_head] {
                headers.remove("retry-after");
            }
            // A length that would take the work of the body may be left out (RFC 9110 section 8.6).
            if !of_head.contains_key("content-length") {
                of_get.remove("content-length");
            }
            assert_eq!(of_head, of_get, "{path} {accept}");
            let path = format!("/fhir{path}");
            let bare = payer.client.send("HEAD", &path, &[("accept", accept)], "").await;
            let bare_get = payer.client.send("GET", &path, &[("accept", accept)], "").await;
            assert_eq!(bare.status, bare_get.status, "{path} without a token");
        }
    }
    // Audited alike, and no byte is counted that did not go out.
    for path in &paths[..3] {
        for (method, is_counted) in [("GET", true), ("HEAD", false)] {
            let correlation = format!("{method}-{}", path.len());
            payer
                .send(method, path, &[("x-correlation-id", &correlation)], "")
                .await
                .assert_status(200);
            payer
                .payer
                .await_ledger(&correlation, &["disclosure.begun", "disclosure.completed"])
                .await;
            let counted = payer.payer.count(&format!(
                "ledger_entry WHERE correlation_id = '{correlation}' AND action = 'disclosure.completed' AND bytes > 0"
            ));
            assert_eq!(counted, i64::from(is_counted), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_reader_that_has_the_version_gets_no_bytes() {
    let payer = Matched::start(1).await;
    let path = format!("/Patient/{}", payer.id);
    let whole = payer.get(&path, &[]).await;
    let (tag, date) = (
        whole.header("etag").to_owned(),
        whole.header("last-modified").to_owned(),
    );
    assert_eq!(
        tag,
        format!(
            "W/\"{}\"",
            whole.json()["meta"]["versionId"].as_str().expect("a version")
        )
    );
    for (name, value) in [
        ("if-none-match", tag.as_str()),
        ("if-none-match", "*"),
        ("if-modified-since", &date),
    ] {
        for method in ["GET", "HEAD"] {
            let headers = [(name, value), ("x-correlation-id", "the-304"), ("accept", "text/html")];
            let reply = payer.send(method, &path, &headers, "").await;
            assert_eq!((reply.status, reply.body.len()), (304, 0), "{method} {name}: {value}");
            assert_eq!(
                (reply.header("etag"), reply.header("last-modified")),
                (tag.as_str(), date.as_str())
            );
        }
    }
    let begun = payer
        .payer
        .count("ledger_entry WHERE correlation_id = 'the-304' AND action = 'disclosure.begun'");
    assert_eq!(begun, 6, "each is in the ledger like a read");
    for (name, value) in [
        ("if-none-match", "W/\"999\""),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let reply = payer.get(&path, &[(name, value)]).await;
        reply.assert_status(200);
        assert_eq!(reply.body, whole.body);
    }
    payer
        .get(&path, &[("if-match", "W/\"999\"")])
        .await
        .assert_outcome(Fault::PreconditionFailed);
    payer.get(&path, &[("if-match", &tag)]).await.assert_status(200);
    // What is not there is not there, whatever the condition.
    payer
        .get("/Patient/nobody", &[("if-none-match", "*")])
        .await
        .assert_outcome(Fault::NotFound);
    payer
        .get("/Patient/nobody", &[("if-match", "W/\"1\"")])
        .await
        .assert_outcome(Fault::NotFound);
}

#[tokio::test]
async fn the_current_version_can_be_read_by_its_number_and_no_other() {
    let payer = Matched::start(2).await;
    let path = format!("/Patient/{}", payer.id);
    let current = payer.get(&path, &[]).await;
    let version = current.json()["meta"]["versionId"]
        .as_str()
        .expect("a version")
        .to_owned();
    let read = payer.get(&format!("{path}/_history/{version}"), &[]).await;
    read.assert_status(200);
    assert_eq!((&read.body, comparable(&read)), (&current.body, comparable(&current)));
    let stranger = payer.payer.member(1).patient_id;
    for other in [
        format!("{path}/_history/999"),
        format!("{path}/_history/{version}0"),
        format!("{path}/_history/v{version}"),
        format!("/Patient/nobody/_history/{version}"),
        format!("/Patient/{stranger}/_history/{version}"),
    ] {
        payer.get(&other, &[]).await.assert_outcome(Fault::NotFound);
    }
    payer
        .get(&format!("{path}/_history"), &[])
        .await
        .assert_outcome(Fault::RouteUnknown);
}

#[tokio::test]
async fn what_is_read_only_says_so() {
    let payer = Matched::start(1).await;
    for (method, path) in [
        ("POST", "/Patient".to_owned()),
        ("POST", "/Observation".to_owned()),
        ("PUT", format!("/Patient/{}", payer.id)),
        ("PATCH", format!("/Patient/{}", payer.id)),
        ("DELETE", format!("/Patient/{}", payer.id)),
        ("PUT", "/Patient?identifier=1".to_owned()),
        ("DELETE", "/CodeSystem/causeway-fault".to_owned()),
        ("POST", "/metadata".to_owned()),
        ("DELETE", String::new()),
    ] {
        let headers = [
            ("if-match", "W/\"1\""),
            ("content-type", "application/fhir+json"),
            ("if-none-exist", "a=b"),
        ];
        let reply = payer.send(method, &path, &headers, "{}").await;
        reply.assert_outcome(Fault::MethodRefused);
        assert!(
            reply.header("allow").contains("GET, HEAD"),
            "{method} {path}: {}",
            reply.header("allow")
        );
    }
}

#[tokio::test]
async fn scripts_of_other_origins_read_what_is_public_and_nothing_else() {
    let payer = Matched::start(1).await;
    let origin = ("origin", "https://elsewhere.example");
    let preflight = [origin, ("access-control-request-method", "GET")];
    let public = ROUTES
        .iter()
        .filter(|route| route.access == Access::Public && !route.path.contains('{'));
    for path in public.map(|route| route.path) {
        let reply = payer.client.send("GET", path, &[origin], "").await;
        reply.assert_status(200);
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), "", "{path}");
        // The address of the base also takes batches, which are not public.
        if path != "/fhir" {
            let reply = payer.client.send("OPTIONS", path, &preflight, "").await;
            assert_eq!((reply.status, reply.body.len()), (204, 0), "{path}");
            assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
            assert!(reply.header("access-control-allow-methods").contains("GET"), "{path}");
        }
    }
    for path in [
        format!("/fhir/Patient/{}", payer.id),
        "/fhir/Patient".to_owned(),
        "/oauth/token".to_owned(),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let headers = [&preflight[..], &[("authorization", payer.bearer.as_str())]].concat();
            let reply = payer.client.send(method, &path, &headers, "").await;
            assert!(
                !reply
                    .headers
                    .keys()
                    .any(|name| name.as_str().starts_with("access-control-")),
                "{method} {path}"
            );
        }
    }
}

#[tokio::test]
async fn metadata_has_its_modes() {
    let payer = Matched::start(1).await;
    let full = payer.get("/metadata?mode=full", &[]).await;
    assert_eq!(full.body, payer.get("/metadata", &[]).await.body);
    let types = |reply: &Reply| reply.json()["rest"][0]["resource"].as_array().expect("types").len();
    let normative = payer.get("/metadata?mode=normative", &[]).await;
    normative.assert_status(200);
    assert!(types(&normative) < types(&full));
    let terminology = payer.get("/metadata?mode=terminology", &[]).await.json();
    assert_eq!(terminology["resourceType"], "TerminologyCapabilities");
    payer
        .get("/metadata?mode=other", &[])
        .await
        .assert_outcome(Fault::ParameterInvalid);
    let again = payer.get("/metadata", &[("if-none-match", full.header("etag"))]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn our_definitions_are_public_and_where_they_say() {
    let payer = Matched::start(1).await;
    for rtype in [
        "OperationDefinition",
        "StructureDefinition",
        "CodeSystem",
        "SearchParameter",
    ] {
        let list = payer.client.send("GET", &format!("/fhir/{rtype}"), &[], "").await;
        list.assert_status(200);
        let entries = list.json()["entry"].as_array().expect("entries").clone();
        for entry in entries.iter().take(5) {
            let url = entry["resource"]["url"].as_str().expect("a url");
            assert_eq!(entry["fullUrl"], url);
            let path = url.strip_prefix(&payer.payer.origin).expect("ours");
            let read = payer.client.send("GET", path, &[], "").await;
            read.assert_status(200);
            assert_eq!(read.json(), entry["resource"], "{url}");
        }
    }
}

#[tokio::test]
async fn a_batch_is_its_requests_one_by_one() {
    let payer = Matched::start(2).await;
    let (id, stranger) = (payer.id.clone(), payer.payer.member(1).patient_id);
    let tag = payer
        .get(&format!("/Patient/{id}"), &[])
        .await
        .header("etag")
        .to_owned();
    let get = |url: &str| json!({"request": {"method": "GET", "url": url}});
    let urls = [
        (format!("Patient/{id}"), "200 OK"),
        (format!("Patient?_id={id}"), "200 OK"),
        (format!("{}/fhir/Patient/{id}", payer.payer.origin), "200 OK"),
        ("CodeSystem/causeway-fault".to_owned(), "200 OK"),
        ("metadata".to_owned(), "200 OK"),
        (format!("Patient/{stranger}"), "404 Not Found"),
        ("Patient/nobody".to_owned(), "404 Not Found"),
        ("Nothing/1".to_owned(), "404 Not Found"),
        ("Patient?nonsense:not=1".to_owned(), "400 Bad Request"),
        ("https://elsewhere.example/Patient/1".to_owned(), "400 Bad Request"),
        (format!("Patient/{id}/$everything"), "400 Bad Request"),
    ];
    let mut entries: Vec<Value> = urls.iter().map(|(url, _)| get(url)).collect();
    entries.push(json!({"request": {"method": "GET", "url": format!("Patient/{id}"), "ifNoneMatch": tag}}));
    entries.push(json!({"request": {"method": "HEAD", "url": format!("Patient/{id}")}}));
    entries.push(json!({"request": {"method": "DELETE", "url": format!("Patient/{id}")}}));
    let reply = payer.batch(Value::from(entries)).await;
    reply.assert_status(200);
    let answer = reply.json();
    assert_eq!(
        (answer["resourceType"].as_str(), answer["type"].as_str()),
        (Some("Bundle"), Some("batch-response"))
    );
    let answers = answer["entry"].as_array().expect("entries");
    let expected: Vec<&str> = urls.iter().map(|(_, status)| *status).collect();
    let expected = [&expected[..], &["304 Not Modified", "200 OK", "405 Method Not Allowed"]].concat();
    let statuses: Vec<&str> = answers
        .iter()
        .map(|one| one["response"]["status"].as_str().expect("a status"))
        .collect();
    assert_eq!(statuses, expected);
    // Byte for byte what the requests give one by one.
    let alone = payer.get(&format!("/Patient/{id}"), &[]).await;
    assert_eq!(answers[0]["resource"], alone.json());
    assert!(reply.text().contains(&alone.text()), "the stored bytes");
    assert_eq!(answers[0]["response"]["etag"], alone.header("etag"));
    assert_eq!(
        answers[1]["resource"],
        payer.get(&format!("/Patient?_id={id}"), &[]).await.json()
    );
    for at in [11, 12] {
        assert!(answers[at]["resource"].is_null(), "{}", answers[at]);
    }
    for (one, status) in answers.iter().zip(&expected) {
        let failed = status.starts_with('4');
        assert_eq!(
            one["response"]["outcome"]["resourceType"] == "OperationOutcome",
            failed,
            "{one}"
        );
        assert!(!failed || one["resource"].is_null());
    }
    // "Not yours" and "not there" are the same here too, and nothing of the stranger came along.
    assert_eq!(answers[5], answers[6]);
    assert!(!reply.text().contains(&stranger));
    let correlation = reply.header("x-correlation-id");
    let begun = payer.payer.count(&format!(
        "ledger_entry WHERE correlation_id = '{correlation}' AND action = 'disclosure.begun'"
    ));
    assert_eq!(begun, 5, "each disclosure has its own entry");
}

#[tokio::test]
async fn t_b17_a_batch_goes_round_no_check() {
    let payer = Matched::start(1).await;
    let read = json!([{"request": {"method": "GET", "url": format!("Patient/{}", payer.id)}}]);
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": read}).to_string();
    let typed = ("content-type", "application/fhir+json");
    payer
        .client
        .send("POST", "/fhir", &[typed], body.clone())
        .await
        .assert_outcome(Fault::TokenMissing);
    // A token that may not read: the batch is answered, its entries are not.
    let narrow = payer
        .client
        .token("http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match")
        .await;
    let bearer = format!("Bearer {narrow}");
    let reply = payer
        .client
        .send("POST", "/fhir", &[typed, ("authorization", &bearer)], body.clone())
        .await;
    reply.assert_status(200);
    let one = &reply.json()["entry"][0];
    assert_eq!(one["response"]["status"], "403 Forbidden");
    assert!(one["resource"].is_null());
    payer
        .payer
        .assert_ledger(reply.header("x-correlation-id"), &["request.refused"]);
    let whole = |kind: &str, count: usize| {
        json!({"resourceType": "Bundle", "type": kind, "entry": vec![read[0].clone(); count]}).to_string()
    };
    for (body, fault) in [
        (whole("transaction", 1), Fault::ParameterInvalid),
        (whole("batch", 51), Fault::TooLarge),
        ("{\"resourceType\":\"Patient\"}".to_owned(), Fault::ResourceInvalid),
        ("{".to_owned(), Fault::NotJson),
    ] {
        payer.send("POST", "", &[typed], body).await.assert_outcome(fault);
    }
    payer
        .send("POST", "", &[("content-type", "application/fhir+xml")], "<Bundle/>")
        .await
        .assert_outcome(Fault::MediaTypeRefused);
}

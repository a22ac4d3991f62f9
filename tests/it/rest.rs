//! The REST rules over the wire: negotiation, HEAD, conditional reads, versions, metadata, and other origins.

use crate::support::client::Reply;
use crate::support::matched::Matched;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::routes::{ROUTES, RouteAccess};
use diesel::prelude::*;
use diesel::sql_types::Binary;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The headers of an answer without those that differ each time.
fn comparable(reply: &Reply) -> BTreeMap<String, String> {
    let own = ["x-request-id", "x-correlation-id", "traceparent", "date"];
    let all = reply.headers.iter();
    all.filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect()
}

/// Takes the header with the ledger's checkpoint from a later answer if an earlier one had none yet: the first is handed out when it is signed.
fn without_first_checkpoint(earlier: &BTreeMap<String, String>, later: &mut BTreeMap<String, String>) {
    if !earlier.contains_key("x-causeway-checkpoint") {
        later.remove("x-causeway-checkpoint");
    }
}

/// The ledger's entries of disclosures that were completed under this correlation id.
fn completed(payer: &TestPayer, correlation: &str) -> Vec<Value> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Binary)]
        entry: Vec<u8>,
    }
    let query = format!(
        "SELECT entry FROM ledger_entry WHERE correlation_id = '{correlation}' AND action = 'disclosure.completed'"
    );
    let rows = diesel::sql_query(query).load::<Row>(&mut payer.db()).expect("rows");
    rows.iter()
        .map(|row| serde_json::from_slice(&row.entry).expect("JSON"))
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
            .filter(|route| route.method == "GET" && route.access == RouteAccess::Public && !route.path.contains('{'))
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
            without_first_checkpoint(&of_get, &mut of_head);
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
            // Both entries may fall into one millisecond, so their order is not looked at.
            let began = Instant::now();
            while completed(&payer.payer, &correlation).is_empty() && began.elapsed() < Duration::from_secs(60) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let mut actions = payer.payer.ledger(&correlation);
            actions.sort();
            assert_eq!(actions, ["disclosure.begun", "disclosure.completed"], "{method} {path}");
            let entries = completed(&payer.payer, &correlation);
            let counted = entries
                .iter()
                .any(|entry| entry["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
            assert_eq!(counted, is_counted, "{method} {path}");
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
        .filter(|route| route.access == RouteAccess::Public && !route.path.contains('{'));
    for path in public.map(|route| route.path) {
        let reply = payer.client.send("GET", path, &[origin], "").await;
        reply.assert_status(200);
        assert_eq!(reply.header("access-control-allow-origin"), "*", "{path}");
        assert_eq!(reply.header("access-control-allow-credentials"), "", "{path}");
        // The address of the base also takes batches, which are not public.
        if path.trim_end_matches('/') != "/fhir" {
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
async fn a_record_that_has_none_of_the_types_asked_for_is_a_bundle_without_entries() {
    let payer = Matched::start(1).await;
    let mut empty = 0;
    for rtype in [
        "Medication",
        "Endpoint",
        "Location",
        "Organization",
        "Location,Endpoint",
        "Goal",
        "NoSuchType",
    ] {
        for more in ["", "&_count=2", "&_pretty=true"] {
            let path = format!("/Patient/{}/$everything?_type={rtype}{more}", payer.id);
            let reply = payer.get(&path, &[]).await;
            reply.assert_status(200);
            let bundle = reply.json();
            assert_eq!(bundle["resourceType"], "Bundle", "{path}");
            match bundle["entry"].as_array() {
                None => empty += 1,
                Some(entries) => assert!(!entries.is_empty(), "{path}"),
            }
        }
    }
    assert!(empty >= 3, "{empty} of them were empty");
}

//! Threats on the wire: assertions that come twice at once (A07), ambiguous framing (B05), searches as oracles (D03), ids in answers (C07), connections and
//! heads beyond their limits, and bodies that would cost much to judge (B07).

use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use crate::support::wire::Wire;
use causeway::error::Fault;
use causeway::synth::Variation;
use futures_util::future::join_all;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

async fn winners(clients: &[Client], assertion: &str) -> usize {
    let all = clients.iter().map(|client| client.ask_token(assertion, MATCH_SCOPE));
    let replies = join_all(all).await;
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        reply.assert_oauth(401, "invalid_client", Fault::OauthClient);
    }
    replies.iter().filter(|reply| reply.status == 200).count()
}

#[tokio::test]
async fn t_a07_of_many_at_once_and_after_a_crash_an_assertion_works_once() {
    let (mut payer, client) = TestPayer::prepare(1);
    // The crowd is one client, and all but one of it fail: that must not be throttled here (A22). Nor may their handshakes wait for each other.
    let unlimited = [
        ("CAUSEWAY_LIMITS__TOKEN_FAILURES", "0"),
        ("CAUSEWAY_LIMITS__HANDSHAKES_PER_ADDRESS", "64"),
        ("CAUSEWAY_LIMITS__TLS_SECONDS", "60"),
    ];
    payer.serve_with(&unlimited);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    let crowd = |payer: &TestPayer| -> Vec<Client> {
        let key = || crate::support::assertion::ClientKey::new("k1");
        (0..40).map(|_| payer.client("new-payer", key(), Some(&pair))).collect()
    };
    let assertion = client.assertion().sign(&client.key);
    assert_eq!(winners(&crowd(&payer), &assertion).await, 1);
    assert_eq!(payer.count("access_token"), 1);
    payer.kill();
    payer.serve_with(&unlimited);
    assert_eq!(winners(&crowd(&payer), &assertion).await, 0);
    let fresh = client.assertion().sign(&client.key);
    assert_eq!(winners(&crowd(&payer), &fresh).await, 1);
}

/// What comes after the doubtful request; a second answer would mean that it was taken for one of its own.
const SMUGGLED: &str = "GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const POST: &str =
    "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn t_b05_ambiguous_framing_is_refused_and_smuggles_nothing() {
    let (payer, _client) = TestPayer::start(1);
    let wire = Wire::new(&payer, None);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let mut cases: Vec<String> = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde",
        "Content-Length: 5,5\r\n\r\nabcde",
        "Content-Length: +5\r\n\r\nabcde",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: 0x5\r\n\r\nabcde",
        "Content-Length: 99999999999999999999999\r\n\r\nabcde",
        "Content-Length : 5\r\n\r\nabcde",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "X-A: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        "X-A: a\rContent-Length: 5\r\n\r\n",
        "X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        "Host: evil.example\r\nContent-Length: 0\r\n\r\n",
    ]
    .iter()
    .map(|rest| format!("{POST}{rest}"))
    .collect();
    for body in [
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3;a\nxx\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcdef\r\n0\r\n\r\n",
    ] {
        cases.push(format!("{POST}{chunked}\r\n{body}"));
    }
    cases.push(POST.replace("1.1", "1.0") + chunked + "\r\n0\r\n\r\n");
    for line in [
        "GET /fhir/metadata HTTP/1.2",
        "GET /fhir/metadata HTTP/2.0",
        "GET\t/fhir/metadata HTTP/1.1",
        "GET /fhir/\u{e9} HTTP/1.1",
    ] {
        cases.push(format!("{line}\r\nHost: localhost\r\n\r\n"));
    }
    cases.push("GET /fhir/metadata HTTP/1.1\r\n\r\n".to_owned());
    cases.push("GET /fhir/metadata\r\n\r\n".to_owned());
    for case in cases {
        let Some(reply) = wire.exchange(format!("{case}{SMUGGLED}").as_bytes()) else {
            continue;
        };
        assert_eq!(reply.status, 400, "{case:?}: {}", reply.text());
        assert!(!reply.text().contains("HTTP/1.1 "), "{case:?} was answered twice");
    }
    // Nothing is upgraded, and the line is still served.
    for upgrade in ["h2c", "websocket"] {
        let reply = wire.send("GET", "/fhir/metadata", &[("upgrade", upgrade)]);
        reply.assert_status(200);
        assert_eq!(reply.header("upgrade"), "");
    }
}

#[tokio::test]
async fn t_d02_d03_searches_tell_nothing_beside_the_grant() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let other = payer.member(2);
    // Modifiers, chains and reverse chains are not understood, so they are refused, true or not.
    for query in [
        format!("_id={id}&identifier:in=x"),
        format!("_id={id}&_id:missing=true"),
        format!("_id={id}&_has:Observation:patient:code=8480-6"),
        format!("_id={id}&_has:Observation:patient:code=0"),
        format!("_id={id}&organization.name=x"),
        format!("_id={id}&_include:iterate=*"),
        format!("identifier:contains={}", other.member_number),
    ] {
        client
            .get(&token, &format!("Patient?{query}"))
            .await
            .assert_outcome(Fault::ParameterUnknown);
    }
    for query in [
        format!("_id={id}&_include=*"),
        format!("_id={id}&_revinclude=Coverage:subscriber&_include=Patient:link"),
        format!("_id={id}&link=Patient/{}", other.patient_id),
    ] {
        let bundle = client.get(&token, &format!("Patient?{query}")).await;
        bundle.assert_status(200);
        let modes: Vec<String> = bundle.json()["entry"]
            .as_array()
            .expect("entries")
            .iter()
            .map(|entry| entry["search"]["mode"].to_string())
            .collect();
        assert_eq!(modes[0], "\"match\"", "{query}");
        assert!(modes[1..].iter().all(|mode| mode != "\"match\""), "{query}");
        assert!(!bundle.text().contains(&other.patient_id), "{query}");
    }
    for path in [
        format!("Observation?patient={}", other.patient_id),
        format!("Coverage?beneficiary={}", other.patient_id),
        format!("Observation?patient={id}&patient={}", other.patient_id),
        "Observation?patient=nobody".to_owned(),
    ] {
        let reply = client.get(&token, &path).await;
        reply.assert_status(200);
        assert_eq!(reply.json()["entry"].as_array().map(Vec::len), None, "{path}");
    }
    for path in [
        format!("Patient/{id}/Observation"),
        format!("Patient/{}/_history", other.patient_id),
        "Patient/_history".to_owned(),
        "Patient/$everything".to_owned(),
    ] {
        let reply = client.get(&token, &path).await;
        assert!(matches!(reply.status, 404 | 405), "{path}: {}", reply.text());
    }
    // A search over all types is not served: the base says what is.
    let base = client.get(&token, "?_type=Patient").await;
    assert_eq!(base.json()["resourceType"], "CapabilityStatement");
}

#[tokio::test]
async fn a_partner_has_its_share_of_connections_and_a_head_its_size() {
    let (mut payer, _client) = TestPayer::prepare(1);
    payer.serve_with(&[
        ("CAUSEWAY_LIMITS__CONNECTIONS_PER_PARTNER", "2"),
        ("CAUSEWAY_LIMITS__HEAD_BYTES", "8192"),
    ]);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    let (partner, nobody) = (Wire::new(&payer, Some(&pair)), Wire::new(&payer, None));
    let mut held: Vec<_> = (0..2).map(|_| partner.open()).collect();
    for stream in &mut held {
        stream
            .write_all(b"GET /fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("a request");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    let ask = |wire: &Wire| wire.send("GET", "/fhir/metadata", &[]);
    ask(&partner).assert_outcome(Fault::RateLimited);
    assert_eq!(ask(&nobody).status, 200, "others are not in its share");
    drop(held);
    let freed = (0..1_200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ask(&partner).status == 200
    });
    assert!(freed, "closed connections are given back");

    let long = "x".repeat(9_000);
    nobody
        .send("GET", "/fhir/metadata", &[("x-long", &long)])
        .assert_outcome(Fault::HeadTooLarge);
    nobody
        .send("GET", &format!("/fhir/Patient?name={long}"), &[])
        .assert_outcome(Fault::HeadTooLarge);
}

#[tokio::test]
async fn t_b07_a_match_of_too_many_values_or_too_much_text_is_refused_and_nothing_is_decided() {
    let (payer, client) = TestPayer::start(1);
    let token = client.token(MATCH_SCOPE).await;
    let good = payer.request(0, Variation::Exact);
    let with = |element: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body["parameter"][0]["resource"][element] = value;
        body.to_string()
    };
    for (name, body, place) in [
        (
            "numbers",
            with("x", vec![1; 480_000].into()),
            ".parameter[0].resource.x[",
        ),
        (
            "lines",
            with("address", serde_json::json!([{"line": vec!["a"; 10_000]}])),
            ".parameter[0].resource.address[0].line[",
        ),
        (
            "words",
            with("address", serde_json::json!([{"line": ["a ".repeat(20_000)]}])),
            ".parameter[0].resource.address[0].line[0]",
        ),
    ] {
        let headers = [
            ("X-Correlation-Id", name),
            ("Content-Type", "application/fhir+json"),
            ("Idempotency-Key", name),
        ];
        let reply = client.post_match(&token, body, &headers).await;
        reply.assert_outcome(Fault::TooLarge);
        let outcome = reply.json();
        let expression = outcome["issue"][0]["expression"][0].as_str().expect("a place");
        assert!(expression.contains(place), "{name}: {expression}");
        let remedy = outcome["issue"][0]["diagnostics"].as_str().expect("a remedy");
        assert!(remedy.contains("send at most"), "{name}: {remedy}");
        let began = Instant::now();
        while !payer.ledger(name).iter().any(|action| action.ends_with(".refused")) {
            assert!(began.elapsed() < Duration::from_secs(60), "{name} is not on record");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for table in ["decision", "consent", "grants"] {
        assert_eq!(payer.count(table), 0, "{table}");
    }
    client.matched(&token, &good).await;
}

#[tokio::test]
async fn t_c07_the_member_id_of_an_answer_is_stable_and_tells_nothing() {
    let mut given = Vec::new();
    for _ in 0..2 {
        let (payer, client) = TestPayer::start(4);
        let token = client.token(ALL_SCOPES).await;
        let body = payer.request(0, Variation::Exact);
        let (patient, first) = client.matched(&token, &body).await;
        let (same, second) = client.matched(&token, &body).await;
        assert_eq!(
            (&patient, &first),
            (&same, &second),
            "the same whenever it is asked for"
        );
        let number = payer.member(0).member_number;
        assert!(!first.contains(&number) && !patient.contains(&number), "{first}");
        let id = uuid::Uuid::try_parse(&first).expect("an id of ours");
        assert_eq!(id.get_version_num(), 7, "of time and chance");
        given.push(first);
    }
    assert_ne!(given[0], given[1], "two payers know one person by two ids");
}

//! Traces: what a collector gets of requests and exchanges, what it never gets, and what a server does when the collector is not well.

mod collectors;
mod exchanges;
mod jobs;

use crate::support::client::{ALL_SCOPES, Reply};
use crate::support::collector::{Collector, GotSpan, personal};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::Value;
use std::collections::BTreeSet;

/// The trace of the caller, and its span there.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const THEIR_SPAN: &str = "00f067aa0ba902b7";
/// What the caller sends besides, and nobody may see.
const STATE: &str = "vendor=tracestate-canary";
const BAGGAGE: &str = "member=baggage-canary";
const CASE: &str = "case:correlation-canary";

const MATCH: &str = "/fhir/Patient/$member-match";
const EVERYTHING: &str = "/fhir/Patient/{id}/$everything";

/// The only span with this name and route.
#[track_caller]
fn request<'a>(spans: &'a [GotSpan], route: &str) -> &'a GotSpan {
    let mut found = spans
        .iter()
        .filter(|span| span.name == "request" && span.says("http.route") == route);
    let first = found.next().unwrap_or_else(|| panic!("no {route} in {spans:#?}"));
    assert!(found.next().is_none(), "{route} is there twice");
    first
}

/// The span with this name right below another one.
#[track_caller]
fn below<'a>(spans: &'a [GotSpan], above: &GotSpan, name: &str) -> &'a GotSpan {
    let is_it =
        |span: &&GotSpan| span.name == name && span.trace == above.trace && span.parent.as_ref() == Some(&above.id);
    let found = spans.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {name} below {above:#?} in {spans:#?}"))
}

/// The headers of a caller that traces, with this flag.
fn traced(flags: &str) -> [(&'static str, String); 4] {
    [
        ("traceparent", format!("00-{TRACE}-{THEIR_SPAN}-{flags}")),
        ("tracestate", STATE.to_owned()),
        ("baggage", BAGGAGE.to_owned()),
        ("x-correlation-id", CASE.to_owned()),
    ]
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// The trace, the span and the flags of an answer.
#[track_caller]
fn answered(reply: &Reply) -> (String, String, String) {
    let parts: Vec<String> = reply.header("traceparent").split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = <[String; 4]>::try_from(parts).expect("four parts");
    assert_eq!(version, "00");
    for dropped in ["tracestate", "baggage"] {
        assert_eq!(reply.header(dropped), "");
    }
    (trace, span, flags)
}

/// What names the member with this number: by the request for a match, and by the record.
fn canaries(payer: &TestPayer, record: &Value) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    personal(&payer.request(0, Variation::Exact), &mut texts);
    for entry in record["entry"].as_array().into_iter().flatten() {
        if matches!(entry["resource"]["resourceType"].as_str(), Some("Patient" | "Coverage")) {
            personal(&entry["resource"], &mut texts);
        }
    }
    texts
}

#[tokio::test]
async fn a_match_and_a_disclosure_are_in_the_trace_of_the_caller_and_tell_nothing_of_a_person() {
    let collector = Collector::that(&[]);
    let (mut payer, client) = TestPayer::prepare(2);
    payer.serve_with(&[
        ("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint()),
        ("CAUSEWAY_LOG__LEVEL", "info"),
    ]);
    let token = client.token(ALL_SCOPES).await;
    let bearer = format!("Bearer {token}");
    let body = payer.request(0, Variation::Exact).to_string();
    // The caller does not keep its trace: that is no concern of ours.
    let headers = traced("00");
    let matched = client.post_match(&token, body, &borrowed(&headers)).await;
    matched.assert_status(200);
    let member = matched.json()["parameter"]
        .as_array()
        .expect("parameters")
        .iter()
        .find_map(|one| one["valueReference"]["reference"].as_str().map(str::to_owned))
        .expect("a member");
    let headers = traced("01");
    let mut headers = borrowed(&headers);
    headers.push(("authorization", bearer.as_str()));
    let record = client
        .send("GET", &format!("/fhir/{member}/$everything"), &headers, "")
        .await;
    record.assert_status(200);
    let refused = client.send("GET", "/fhir/Patient/nobody-canary", &headers, "").await;
    refused.assert_status(404);
    collector.await_spans("match, record, release and refusal", |spans| {
        let has = |key: &str, value: &str| spans.iter().any(|span| span.says(key) == value);
        let is_released = spans.iter().any(|span| span.name == "release");
        is_released && has("http.route", MATCH) && has("http.route", EVERYTHING) && has("causeway.fault", "RQ-015")
    });
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    let log = payer.log();

    let spans = collector.spans();
    let asked = request(&spans, MATCH);
    assert_eq!((asked.trace.as_str(), asked.kind), (TRACE, 2));
    assert_eq!(asked.parent.as_deref(), Some(THEIR_SPAN));
    assert_eq!(
        answered(&matched),
        (TRACE.to_owned(), asked.id.clone(), "01".to_owned())
    );
    assert_eq!(asked.says("causeway.request_id"), matched.header("x-request-id"));
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("causeway.partner", "new-payer"),
        ("causeway.fault", ""),
    ] {
        assert_eq!(asked.says(key), value, "{asked:#?}");
    }
    assert_eq!(below(&spans, asked, "consent").says("causeway.outcome"), "permit");
    assert_eq!(below(&spans, asked, "write").says("causeway.outcome"), "matched");
    let identify = below(&spans, asked, "identify");
    assert!(asked.began_ns <= identify.began_ns && identify.ended_ns <= asked.ended_ns);

    let read = request(&spans, EVERYTHING);
    assert_eq!((read.trace.as_str(), read.parent.as_deref()), (TRACE, Some(THEIR_SPAN)));
    assert_eq!(answered(&record).1, read.id);
    let release = below(&spans, read, "release");
    assert_eq!(release.says("causeway.outcome"), "completed");
    assert_ne!(release.says("causeway.bytes"), "0");
    let fault = spans.iter().find(|span| span.says("causeway.fault") == "RQ-015");
    assert!(fault.is_some_and(|span| !span.has_failed), "{spans:#?}");

    let mut texts = canaries(&payer, &record.json());
    let of_caller = [STATE, BAGGAGE, CASE, "canary", member.as_str(), token.as_str()];
    texts.extend(of_caller.map(str::to_owned));
    collector.assert_has_none_of(&texts);

    // The log is as it is without traces: a line says nothing of spans.
    let lines = log.lines().filter(|line| line.contains("\"answered\""));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() >= 3, "{log}");
    for line in lines {
        assert!(line.get("span").is_none() && line.get("spans").is_none(), "{line}");
        assert!(line["traceparent"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn an_answer_about_several_members_has_one_span_of_release() {
    let collector = Collector::that(&[]);
    let (mut payer, client) = TestPayer::prepare(5);
    payer.serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint())]);
    let token = client.token(ALL_SCOPES).await;
    for member in [0, 2] {
        client.matched(&token, &payer.request(member, Variation::Exact)).await;
    }
    let found = client.get(&token, "Patient?_count=50").await;
    found.assert_status(200);
    let is_patient = |entry: &&Value| entry["resource"]["resourceType"] == "Patient";
    let bundle = found.json();
    let patients = bundle["entry"].as_array().expect("entries").iter().filter(is_patient);
    assert_eq!(patients.count(), 2, "{bundle:#}");
    collector.await_spans("release", |spans| spans.iter().any(|span| span.name == "release"));
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    assert_eq!(payer.count("ledger_entry WHERE action = 'disclosure.begun'"), 2);

    let spans = collector.spans();
    let mut releases = spans.iter().filter(|span| span.name == "release");
    let release = releases.next().expect("a release");
    assert!(releases.next().is_none(), "one for each member: {spans:#?}");
    assert_eq!(release.says("causeway.outcome"), "completed");
    assert!(!matches!(release.says("causeway.bytes"), "" | "0"), "{release:#?}");
}

#[tokio::test]
async fn nothing_is_kept_of_what_is_not_in_the_share_whatever_the_caller_says() {
    let collector = Collector::that(&[]);
    let (mut payer, client) = TestPayer::prepare(1);
    payer.serve_with(&[
        ("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint()),
        ("CAUSEWAY_LOG__OTLP_SAMPLE_PERCENT", "0"),
    ]);
    let token = client.token(ALL_SCOPES).await;
    let headers = traced("01");
    let body = payer.request(0, Variation::Exact).to_string();
    let matched = client.post_match(&token, body, &borrowed(&headers)).await;
    matched.assert_status(200);
    let (trace, _, flags) = answered(&matched);
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"), "and says so");
    assert_eq!(payer.terminate(), Some(0));
    assert_eq!(collector.requests(), 0, "{}", collector.text());
}

#[tokio::test]
async fn what_monitoring_asks_for_every_few_seconds_is_not_traced() {
    let collector = Collector::that(&[]);
    let (mut payer, client) = TestPayer::prepare(1);
    payer.serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint())]);
    for path in ["/live", "/ready", "/metrics", "/ops/v1/states"] {
        let asked = client.http.get(format!("{}{path}", payer.ops)).send();
        assert!(asked.await.is_ok());
    }
    collector.await_spans("refused request", |spans| {
        spans.iter().any(|span| span.says("http.route") == "/ops/v1/states")
    });
    assert_eq!(payer.terminate(), Some(0));
    let spans = collector.spans();
    // A server that is not ready yet says so by a failure.
    let routes: Vec<&str> = spans
        .iter()
        .filter(|span| span.name == "request" && span.says("http.response.status_code") != "503")
        .map(|span| span.says("http.route"))
        .collect();
    assert_eq!(routes, ["/ops/v1/states"], "a refused request is traced");
}

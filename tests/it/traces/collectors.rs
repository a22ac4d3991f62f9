//! Collectors that are not well: none of them costs a request anything, and what they do not take is counted.

use super::MATCH;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::collector::Collector;
use crate::support::hook::{Hook, HookAnswer};
use crate::support::payer::TestPayer;
use crate::support::wire::see_closed;
use causeway::synth::Variation;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// What a request may take beside a collector that is not well: far less than such a collector is waited for.
const SOON: Duration = Duration::from_secs(4);
/// What the end of a process may take beside one.
const END: Duration = Duration::from_secs(10);
/// How often a busy machine may stand still for so long. Who waits for a collector waits each time.
const STANDS_STILL: usize = 8;

/// Starts a payer with this collector.
fn serving(endpoint: &str) -> (TestPayer, Client) {
    let (mut payer, client) = TestPayer::prepare(1);
    payer.serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", endpoint)]);
    (payer, client)
}

/// Some matches, none of which waits.
async fn matches(payer: &TestPayer, client: &Client) {
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact).to_string();
    for _ in 0..3 {
        let mut took: Vec<Duration> = Vec::new();
        while took.last().is_none_or(|last| *last >= SOON) {
            assert!(took.len() < STANDS_STILL, "{took:?}");
            let began = Instant::now();
            client.post_match(&token, body.clone(), &[]).await.assert_status(200);
            took.push(began.elapsed());
        }
    }
}

/// Ends the server, which does not wait for its collector. Returns how often it had to be tried.
async fn ends_soon(payer: &mut TestPayer, client: &Client, endpoint: &str) -> usize {
    let mut took: Vec<Duration> = Vec::new();
    loop {
        let began = Instant::now();
        assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
        took.push(began.elapsed());
        if began.elapsed() < END {
            return took.len();
        }
        assert!(took.len() < STANDS_STILL, "{took:?}");
        payer.serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", endpoint)]);
        see_closed().await;
        matches(payer, client).await;
    }
}

/// How many spans came to this end.
async fn counted(payer: &TestPayer, client: &Client, outcome: &str) -> u64 {
    let asked = client.http.get(format!("{}/metrics", payer.ops)).send();
    let text = asked.await.expect("an answer").text().await.expect("text");
    let name = format!("causeway_trace_spans_total{{outcome=\"{outcome}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&name));
    count.and_then(|count| count.parse().ok()).expect("a counter")
}

/// Waits until spans came to this end.
async fn await_counted(payer: &TestPayer, client: &Client, outcome: &str) {
    let began = Instant::now();
    while counted(payer, client, outcome).await == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_dead_collector_costs_nothing() {
    // The port of a connection that goes out: nobody listens there, and as long as it is open nobody else can.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let dead = taken.local_addr().expect("an address");
    let dead = format!("http://{dead}");
    let (mut payer, client) = serving(&dead);
    assert_eq!(counted(&payer, &client, "sent").await, 0, "a count from the start");
    matches(&payer, &client).await;
    await_counted(&payer, &client, "not-taken").await;
    assert_eq!(counted(&payer, &client, "sent").await, 0);
    let ends = ends_soon(&mut payer, &client, &dead).await;
    // Each process says so once.
    let told = payer.log().matches("the collector of traces does not answer").count();
    assert!((1..=ends).contains(&told), "{told} of {ends}: {}", payer.log());
}

#[tokio::test]
async fn a_collector_that_hangs_holds_up_neither_requests_nor_the_end_of_the_process() {
    let collector = Collector::that(&vec![HookAnswer::Silence; 1_000]);
    let (mut payer, client) = serving(collector.endpoint());
    matches(&payer, &client).await;
    let began = Instant::now();
    while collector.requests() == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    matches(&payer, &client).await;
    ends_soon(&mut payer, &client, collector.endpoint()).await;
}

#[tokio::test]
async fn a_collector_that_refuses_is_told_the_next_spans_and_not_the_same_again() {
    let collector = Collector::that(&[HookAnswer::Status(400)]);
    let (mut payer, client) = serving(collector.endpoint());
    matches(&payer, &client).await;
    await_counted(&payer, &client, "not-taken").await;
    let refused = counted(&payer, &client, "not-taken").await;
    matches(&payer, &client).await;
    await_counted(&payer, &client, "sent").await;
    assert_eq!(counted(&payer, &client, "not-taken").await, refused);
    assert_eq!(payer.terminate(), Some(0));
    let spans = collector.spans();
    let mut ids: Vec<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "none was sent twice");
    assert!(spans.iter().any(|span| span.says("http.route") == MATCH));
    assert!(payer.log().contains("the collector refuses traces"), "{}", payer.log());
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_the_same_spans_again_and_one_that_redirects_is_not_followed() {
    let elsewhere = Hook::that(&[]);
    let collector = Collector::that(&[HookAnswer::Status(503), HookAnswer::Elsewhere(elsewhere.url.clone())]);
    let (mut payer, client) = serving(collector.endpoint());
    matches(&payer, &client).await;
    // The second time it is the same request, which leads elsewhere, and that is no answer.
    await_counted(&payer, &client, "not-taken").await;
    assert_eq!(payer.terminate(), Some(0));
    assert!(elsewhere.got().is_empty());
    let spans = collector.spans();
    let first = spans.first().expect("a span");
    assert!(
        spans.iter().filter(|span| span.id == first.id).count() >= 2,
        "{spans:#?}"
    );
}

#[test]
fn a_server_does_not_start_with_a_collector_that_may_not_be_called() {
    let (payer, _) = TestPayer::prepare(1);
    let file = payer.home().join("causeway.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    for (endpoint, wanted) in [
        ("http://otlp.example.org:4318", "https://HOST"),
        ("https://otlp.example.org/?key=1", "https://HOST"),
        ("https://169.254.169.254", "its address is not public"),
        ("https://10.0.0.7:4318", "its address is not public"),
        ("https://collector.internal", "its name belongs to an internal network"),
        ("https://user:pw@otlp.example.org", "it has a user name"),
    ] {
        let text = config.replace("[log]\n", &format!("[log]\notlp_endpoint = \"{endpoint}\"\n"));
        std::fs::write(&file, text).expect("written");
        let refused = payer.command(&["serve", "--quiet", "--log-file", "server.log"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{endpoint}: {said}");
        for part in ["OP-001", "log.otlp_endpoint", wanted] {
            assert!(said.contains(part), "{endpoint}: no {part} in {said}");
        }
        assert!(!said.contains("user:pw"), "{said}");
        assert_eq!(payer.count("ledger_entry WHERE action = 'server.started'"), 0);
    }
}

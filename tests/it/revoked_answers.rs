//! Answers of a known size, batches and pages on their way while something is taken away from their partner: what is larger than one
//! piece ends within a second like a record, and never looks whole.

use crate::revoked_streams::{number, payer_with_a_long_record, payer_with_a_record_of, soon};
use crate::support::client::{ALL_SCOPES, http};
use crate::support::payer::{PARTNER_URI, TestPayer, program};
use crate::support::pki::Kind;
use crate::support::wire::Wire;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::prelude::*;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// An answer of which the first bytes were read.
struct Stalled {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Its size, when the head tells.
    size: Option<usize>,
    taken: Vec<u8>,
}

impl Stalled {
    fn begin(wire: &Wire, request: &str) -> Stalled {
        let mut stream = wire.open();
        let longest = Some(Duration::from_secs(60));
        stream.sock.set_read_timeout(longest).expect("a socket option");
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream.sock, 32 * 1024).expect("a socket option");
        stream.write_all(request.as_bytes()).expect("written");
        let mut taken = Vec::new();
        let mut byte = [0];
        while !taken.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            taken.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&taken).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let size = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        Stalled {
            size: size.and_then(|size| size.parse().ok()),
            stream,
            taken: Vec::new(),
        }
    }

    /// Reads some every now and then for so long: many times as fast as a reader must, or a busy machine makes it one that is too slow.
    fn goes_on(all: &mut [&mut Stalled], time: Duration) {
        let started = Instant::now();
        let mut buffer = vec![0; 16 * 1024];
        while started.elapsed() < time {
            for one in &mut *all {
                if let Ok(count) = one.stream.read(&mut buffer) {
                    one.taken.extend_from_slice(&buffer[..count]);
                }
            }
            std::thread::sleep(Duration::from_millis(250));
        }
    }

    /// Reads what still comes; the bytes, and whether they look like a whole answer.
    fn rest(self) -> (usize, bool) {
        self.rest_with_pauses(Duration::ZERO)
    }

    /// The same with a pause after each piece.
    fn rest_with_pauses(mut self, pause: Duration) -> (usize, bool) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            self.taken.extend_from_slice(&buffer[..count]);
            std::thread::sleep(pause);
        }
        let is_whole = match self.size {
            Some(size) => self.taken.len() >= size,
            None => self.taken.ends_with(b"\r\n0\r\n\r\n"),
        };
        (self.taken.len(), is_whole)
    }
}

/// Takes everything away from the partner, and reads a little of these answers as long as that takes: or a busy machine makes their reader
/// one that is too slow.
fn suspend(payer: &TestPayer, all: &mut [&mut Stalled]) {
    let mut command = program(payer.home());
    command.args(["partner", "suspend", "new-payer", "--reason", "a leaked key"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program runs");
    let status = loop {
        for _ in 0..25 {
            std::thread::sleep(Duration::from_millis(20));
            if child.try_wait().expect("a status").is_some() {
                break;
            }
        }
        match child.try_wait().expect("a status") {
            Some(status) => break status,
            None => Stalled::goes_on(all, Duration::from_millis(1)),
        }
    };
    assert!(status.success(), "{status}");
}

/// The ends of all disclosures of a request that are in the ledger.
fn ends(payer: &TestPayer, correlation: &str) -> Vec<Value> {
    use causeway::store::schema::ledger_entry;
    let found: Vec<Vec<u8>> = ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(correlation))
        .filter(ledger_entry::action.eq("disclosure.completed"))
        .order(ledger_entry::at_us)
        .select(ledger_entry::entry)
        .load(&mut payer.db())
        .expect("entries");
    let entries = found.iter().map(|entry| serde_json::from_slice(entry).expect("JSON"));
    entries.collect()
}

/// When the end of a request's disclosure was noted, in microseconds since 1970.
fn ended_us(payer: &TestPayer, correlation: &str) -> i64 {
    use causeway::store::schema::ledger_entry;
    ledger_entry::table
        .filter(ledger_entry::correlation_id.eq(correlation))
        .filter(ledger_entry::action.eq("disclosure.completed"))
        .order(ledger_entry::at_us)
        .select(ledger_entry::at_us)
        .first(&mut payer.db())
        .expect("an entry")
}

/// The failed end of a request, waited for.
fn failed(payer: &TestPayer, correlation: &str) -> Value {
    let started = Instant::now();
    loop {
        let ends = ends(payer, correlation);
        if let Some(failed) = ends.iter().find(|entry| entry["outcome"]["class"] == "failed") {
            return failed.clone();
        }
        assert!(
            started.elapsed() < soon(),
            "{correlation}: no failed end among {ends:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn get(path: &str, token: &str, correlation: &str, accept: &str) -> String {
    format!(
        "GET /fhir/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\naccept: {accept}\r\n\
         x-correlation-id: {correlation}\r\nconnection: close\r\n\r\n"
    )
}

fn batch(url: &str, entries: usize, token: &str, correlation: &str) -> String {
    let entry = json!({"request": {"method": "GET", "url": url}});
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": vec![entry; entries]}).to_string();
    format!(
        "POST /fhir HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nx-correlation-id: {correlation}\r\n\
         content-type: application/fhir+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d16_searches_batches_and_pages_end_within_a_second_of_a_suspension() {
    let (mut payer, mut client, patient) = payer_with_a_long_record();
    payer.serve();
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let search = format!("Observation?patient={patient}&_count=200");
    let json = "application/fhir+json";

    // Nothing is taken away: they arrive whole, with the bytes in the ledger once.
    for (name, request) in [
        ("whole-search", get(&search, &token, "whole-search", json)),
        (
            "whole-pretty",
            get(&format!("{search}&_pretty=true"), &token, "whole-pretty", json),
        ),
        ("whole-page", get(&search, &token, "whole-page", "text/html")),
        ("whole-batch", batch(&search, 3, &token, "whole-batch")),
    ] {
        let (bytes, is_whole) = Stalled::begin(&wire, &request).rest();
        assert!(is_whole && bytes > 500_000, "{name}: {bytes}");
        let started = Instant::now();
        let wanted = if name == "whole-batch" { 3 } else { 1 };
        let mut all = ends(&payer, name);
        while all.len() < wanted && started.elapsed() < soon() {
            std::thread::sleep(Duration::from_millis(20));
            all = ends(&payer, name);
        }
        assert_eq!(all.len(), wanted, "{name}: {all:?}");
        for entry in &all {
            assert_eq!(entry["outcome"]["class"], "ok", "{name}: {entry}");
            assert!(number(&entry["bytes"]) > 500_000, "{name}: {entry}");
            assert!(
                entry["counts"]["Observation"].is_u64() || entry["counts"]["Observation"].is_string(),
                "{entry}"
            );
        }
    }

    let [a, b, c, d] = ["search", "pretty", "page", "batch"].map(|name| format!("cut-{name}"));
    let mut cut = [
        (a.clone(), Stalled::begin(&wire, &get(&search, &token, &a, json))),
        (
            b.clone(),
            Stalled::begin(&wire, &get(&format!("{search}&_pretty=true"), &token, &b, json)),
        ),
        (c.clone(), Stalled::begin(&wire, &get(&search, &token, &c, "text/html"))),
        (d.clone(), Stalled::begin(&wire, &batch(&search, 40, &token, &d))),
    ];
    std::thread::sleep(Duration::from_millis(500));
    let mut answers: Vec<&mut Stalled> = cut.iter_mut().map(|(_, stalled)| stalled).collect();
    suspend(&payer, &mut answers);
    for (name, stalled) in cut {
        let entry = failed(&payer, &name);
        assert_eq!(
            entry["outcome"]["reason"],
            Fault::PartnerSuspended.code(),
            "{name}: {entry}"
        );
        let (bytes, is_whole) = stalled.rest();
        println!(
            "{name}: {bytes} bytes came, {} are in the ledger",
            number(&entry["bytes"])
        );
        assert!(!is_whole, "{name}: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d16_large_shared_resources_and_their_pages_end_within_a_second_of_a_suspension() {
    let (mut payer, mut client) = TestPayer::prepare(1);
    let alias: Vec<String> = (0..9).map(|_| "x".repeat(800_000)).collect();
    let large = json!({"resourceType": "Organization", "id": "large", "active": true, "name": "Large", "alias": alias});
    std::fs::write(payer.home().join("large.ndjson"), large.to_string()).expect("a file");
    let said = payer.json_command(&["import", "large.ndjson"]);
    assert_eq!((&said["rejected"], &said["stored"]), (&json!(0), &json!(1)), "{said}");
    payer.serve();
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let paths = ["Organization/large", "Organization?_id=large"];
    for path in paths {
        let request = get(path, &token, "whole-shared", "application/fhir+json");
        let (bytes, is_whole) = Stalled::begin(&wire, &request).rest();
        assert!(is_whole && bytes > 7_000_000, "{path}: {bytes}");
    }
    assert!(
        ends(&payer, "whole-shared").is_empty(),
        "nothing of a member was disclosed"
    );
    let mut cut = paths.map(|path| {
        let request = get(path, &token, "cut-shared", "application/fhir+json");
        (path, Stalled::begin(&wire, &request))
    });
    std::thread::sleep(Duration::from_millis(500));
    let mut answers: Vec<&mut Stalled> = cut.iter_mut().map(|(_, stalled)| stalled).collect();
    suspend(&payer, &mut answers);
    std::thread::sleep(Duration::from_millis(1_000));
    for (path, stalled) in cut {
        // Nothing on record tells whether the server knows of it by now. So slowly, all of it would take many seconds.
        let (bytes, is_whole) = stalled.rest_with_pauses(Duration::from_millis(50));
        assert!(!is_whole, "{path}: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d16_answers_end_when_nobody_can_say_for_a_while_whether_their_rights_still_stand() {
    let (mut payer, mut client, patient) = payer_with_a_record_of(1_000, 10_000);
    payer.serve();
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let search = format!("Observation?patient={patient}&_count=200");
    let [mut one, mut other] = ["application/fhir+json", "text/html"].map(|accept| {
        let name = format!("unasked-{}", accept.len());
        let stalled = Stalled::begin(&wire, &get(&search, &token, &name, accept));
        (name, stalled)
    });
    // Without this table no grant and no token can be looked at, while what is in memory could be sent on.
    let renamed_us = chrono::Utc::now().timestamp_micros();
    let rename = |from: &str, to: &str| {
        diesel::sql_query(format!("ALTER TABLE {from} RENAME TO {to}"))
            .execute(&mut payer.db())
            .expect("renamed");
    };
    rename("access_token", "access_token_away");
    let started = Instant::now();
    while [&one, &other].iter().any(|(name, _)| ends(&payer, name).is_empty()) {
        assert!(started.elapsed() < Duration::from_secs(60), "they go on unasked");
        Stalled::goes_on(&mut [&mut one.1, &mut other.1], Duration::from_millis(1));
    }
    for (name, stalled) in [one, other] {
        // A moment without answers ends nothing.
        let lasted_us = ended_us(&payer, &name) - renamed_us;
        assert!(lasted_us > 3_000_000, "{name} ended after {lasted_us} microseconds");
        let entry = failed(&payer, &name);
        assert_eq!(
            entry["outcome"]["reason"],
            Fault::StoreUnavailable.code(),
            "{name}: {entry}"
        );
        let (bytes, is_whole) = stalled.rest();
        println!("{name}: {bytes} bytes came");
        assert!(!is_whole, "{name}: {bytes}");
    }
    rename("access_token_away", "access_token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_a06_a_request_whose_body_comes_after_the_suspension_is_refused() {
    let (mut payer, mut client) = TestPayer::prepare(2);
    // A body of which more than ten bytes came has twenty seconds then until it is too slow.
    payer.serve_with(&[("CAUSEWAY_LIMITS__LEAST_BYTES_PER_SECOND", "1")]);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let entry = json!({"request": {"method": "GET", "url": format!("Patient/{patient}")}});
    let bodies = [
        (
            "Observation/_search",
            "application/x-www-form-urlencoded",
            format!("patient={patient}"),
        ),
        (
            "",
            "application/fhir+json",
            json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]}).to_string(),
        ),
        (
            "Patient/$member-match",
            "application/fhir+json",
            payer.request(0, Variation::Exact).to_string(),
        ),
        (
            "Task/_search",
            "application/x-www-form-urlencoded",
            "_count=5&_format=json".to_owned(),
        ),
    ];
    let waiting = bodies.map(|(path, kind, body)| {
        let mut stream = wire.open();
        let longest = Some(Duration::from_secs(60));
        stream.sock.set_read_timeout(longest).expect("a socket option");
        let head = format!(
            "POST /fhir/{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let head = head.replace("/fhir/ ", "/fhir ");
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(&body.as_bytes()[..body.len() - 1]).expect("written");
        stream.flush().expect("written");
        (path, stream, body)
    });
    std::thread::sleep(Duration::from_millis(500));
    payer.json_command(&["partner", "suspend", "new-payer", "--reason", "a leaked key"]);
    std::thread::sleep(Duration::from_secs(1));
    for (path, mut stream, body) in waiting {
        stream.write_all(&body.as_bytes()[body.len() - 1..]).expect("written");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
}

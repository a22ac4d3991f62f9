//! A long answer on its way while something is taken away from its partner: it ends within a second, for who reads it and for who
//! does not, never as if it were whole, and the ledger has its bytes. What merely runs out ends no answer.

use crate::support::assertion::ClientKey;
use crate::support::client::{ALL_SCOPES, Client, http};
use crate::support::grants;
use crate::support::payer::{PARTNER_URI, TestPayer, is_optimised, program, today};
use crate::support::pki::Kind;
use crate::support::store::on_postgres;
use crate::support::wire::Wire;
use causeway::error::Fault;
use causeway::synth::{self, SharingPolicy};
use diesel::prelude::*;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Rows that are added to the member's record, and bytes of each.
const ROWS: usize = 17_500;
const ROW_BYTES: usize = 4_000;
/// What the record is at least.
const WHOLE: usize = ROWS * ROW_BYTES;
/// What may be on its way in sockets' buffers when something is taken away, and then still arrives.
const ON_ITS_WAY: usize = 16 << 20;
/// One second; a build that is not optimised, on a machine with other work, is not judged by the clock. Why an answer ended tells enough: one
/// that is not read is cut off as too slow ten seconds later, and one that is read would be whole.
pub fn soon() -> Duration {
    Duration::from_secs(if is_optimised() { 1 } else { 60 })
}

/// Read of each answer before something is taken away: more than what has to be on record then.
const BEFORE: usize = 256 * 1024;

const WHY: &str = "the member withdrew it by letter";

/// A payer with one member of a record of 70 MB that `new-payer` may read.
pub fn payer_with_a_long_record() -> (TestPayer, Client, String) {
    payer_with_a_record_of(ROWS, ROW_BYTES)
}

/// A payer with one member that `new-payer` may read, with so many more rows of about so many bytes each.
pub fn payer_with_a_record_of(rows: usize, row_bytes: usize) -> (TestPayer, Client, String) {
    let members = synth::SynthOptions {
        members: 1,
        resources_per_member: 8,
        twins: false,
        as_of: today(),
        ..synth::SynthOptions::default()
    };
    let (payer, client) = TestPayer::prepare_with(members);
    let patient = payer.member(0).patient_id;
    let (series, text, bytes, zeros) = if on_postgres() {
        (
            "SELECT CAST(i AS BIGINT) AS i FROM generate_series(1, $ROWS) AS s(i)",
            "repeat('x', $BYTES)",
            "convert_to($TEXT, 'UTF8')",
            "decode(repeat('00', 32), 'hex')",
        )
    } else {
        (
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $ROWS) SELECT i FROM s",
            "printf('%.*c', $BYTES, 'x')",
            "CAST($TEXT AS BLOB)",
            "zeroblob(32)",
        )
    };
    let text = format!(
        "'{{\"resourceType\":\"Observation\",\"id\":\"long-' || n.i || '\",\"status\":\"final\",\"code\":{{\"text\":\"' || {text} || '\"}}}}'"
    );
    let sql = format!(
        "INSERT INTO resource (key, compartment, type, id, version, last_updated_ms, sensitivity, pa_state, financial, \
         source_sha256, sha256, body) \
         SELECT c.no * 16777216 + 1000000 + n.i, c.no, 'Observation', 'long-' || n.i, 1, 1, 0, 0, 0, {zeros}, {zeros}, {} \
         FROM compartment c, ({series}) n WHERE c.patient_id = '{patient}'",
        bytes.replace("$TEXT", &text)
    );
    let sql = sql
        .replace("$ROWS", &rows.to_string())
        .replace("$BYTES", &row_bytes.to_string());
    let added = diesel::sql_query(sql).execute(&mut payer.db()).expect("rows");
    assert_eq!(added, rows);
    grants::grant(&payer, "new-payer", &patient, SharingPolicy::Sensitive);
    (payer, client, patient)
}

/// An answer that is being read by hand.
struct Reading {
    stream: StreamOwned<ClientConnection, TcpStream>,
    bytes: usize,
    tail: Vec<u8>,
}

/// How an answer ended for its reader.
#[derive(Debug)]
struct End {
    bytes: usize,
    /// Whether its last chunk came.
    is_whole: bool,
    at: Instant,
}

impl Reading {
    /// Asks for the record on a connection of its own, and reads the head of the answer.
    fn begin(wire: &Wire, token: &str, patient: &str, correlation: &str) -> Reading {
        let asked = Reading::asked(wire, token, patient, correlation);
        asked.unwrap_or_else(|head| panic!("{head}"))
    }

    /// The same; what came instead, when it is refused.
    fn asked(wire: &Wire, token: &str, patient: &str, correlation: &str) -> Result<Reading, String> {
        let mut stream = wire.open();
        let longest = Some(Duration::from_secs(60));
        stream.sock.set_read_timeout(longest).expect("a socket option");
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream.sock, 64 * 1024).expect("a socket option");
        let request = format!(
            "GET /fhir/Patient/{patient}/$everything HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             x-correlation-id: {correlation}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        let mut reading = Reading {
            stream,
            bytes: 0,
            tail: Vec::new(),
        };
        let mut first = vec![0; 16 * 1024];
        let count = reading.stream.read(&mut first).expect("an answer");
        let head = String::from_utf8_lossy(&first[..count]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(head);
        }
        assert!(
            head.contains("transfer-encoding: chunked") && !head.contains("content-length"),
            "{head}"
        );
        reading.took(&first[..count]);
        Ok(reading)
    }

    fn took(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        self.tail.extend_from_slice(bytes);
        let old = self.tail.len().saturating_sub(7);
        self.tail.drain(..old);
    }

    /// Reads what comes next; `false` at the end, however it came.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.took(&buffer[..count]);
                true
            }
        }
    }

    /// Reads slowly for so long.
    fn read_for(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            assert!(self.read(), "the answer ended after {} bytes", self.bytes);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Reads until so many bytes came.
    fn read_up_to(&mut self, bytes: usize) {
        while self.bytes < bytes {
            assert!(self.read(), "the answer ended after {} bytes", self.bytes);
        }
    }

    /// Reads the rest as fast as it comes.
    fn rest(mut self) -> End {
        while self.read() {}
        End {
            bytes: self.bytes,
            is_whole: self.tail.ends_with(b"\r\n0\r\n\r\n"),
            at: Instant::now(),
        }
    }

    /// Reads slowly on a thread of its own until `hurry`, then the rest.
    fn steadily(mut self, hurry: &Arc<AtomicBool>) -> std::thread::JoinHandle<End> {
        let hurry = Arc::clone(hurry);
        std::thread::spawn(move || {
            while !hurry.load(Ordering::Acquire) && self.read() {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.rest()
        })
    }

    /// Takes a little now and then on a thread of its own until `stop`, and then nothing: or a busy machine makes it a reader that is too slow
    /// before anything is taken away.
    fn barely(mut self, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<Reading> {
        let stop = Arc::clone(stop);
        std::thread::spawn(move || {
            for round in 1_u64.. {
                std::thread::sleep(Duration::from_millis(20));
                if stop.load(Ordering::Acquire) || (round % 25 == 0 && !self.read()) {
                    break;
                }
            }
            self
        })
    }
}

/// The entry that ended the disclosure of a request, waited for.
pub fn ended(payer: &TestPayer, correlation: &str, wait: Duration) -> Value {
    use causeway::store::schema::ledger_entry;
    let started = Instant::now();
    loop {
        let found: Option<Vec<u8>> = ledger_entry::table
            .filter(ledger_entry::correlation_id.eq(correlation))
            .filter(ledger_entry::action.eq("disclosure.completed"))
            .select(ledger_entry::entry)
            .first(&mut payer.db())
            .optional()
            .expect("an entry");
        if let Some(entry) = found {
            return serde_json::from_slice(&entry).expect("JSON");
        }
        assert!(started.elapsed() < wait, "{correlation}: no end after {wait:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number of an entry, which holds strings or small integers.
pub fn number(value: &Value) -> u64 {
    let text = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
    text.parse().unwrap_or_else(|_| panic!("{value} is no number"))
}

/// One reader that reads, one that does not, and what becomes of both after `act`.
fn is_broken_off(
    payer: &TestPayer,
    wire: &Wire,
    token: &str,
    patient: &str,
    name: &str,
    why: Fault,
    act: impl FnOnce(),
) {
    let [steady, stalled] = ["steady", "stalled"].map(|kind| format!("{name}-{kind}"));
    let [hurry, stop] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let mut read = Reading::begin(wire, token, patient, &steady);
    let mut unread = Reading::begin(wire, token, patient, &stalled);
    read.read_up_to(BEFORE);
    unread.read_up_to(BEFORE);
    let (read, unread) = (read.steadily(&hurry), unread.barely(&stop));
    std::thread::sleep(Duration::from_millis(300));
    act();
    let acted = Instant::now();
    stop.store(true, Ordering::Release);
    let unread = unread.join().expect("a reader");
    let entry = ended(payer, &stalled, soon());
    // By now the server knows what was taken away: a fast reader does not come before that.
    hurry.store(true, Ordering::Release);
    assert_eq!(
        (entry["outcome"]["class"].as_str(), entry["outcome"]["reason"].as_str()),
        (Some("failed"), Some(why.code())),
        "{name}: {entry}"
    );
    let ends = [(steady, read.join().expect("a reader")), (stalled, unread.rest())];
    for (correlation, end) in ends {
        assert!(!end.is_whole, "{correlation}: {end:?}");
        assert!(end.bytes < WHOLE, "{correlation}: {end:?}");
        let took = end.at.saturating_duration_since(acted);
        assert!(took < soon() * 2, "{correlation} ended {took:?} after it");
        let entry = ended(payer, &correlation, soon());
        assert_eq!(
            (entry["outcome"]["class"].as_str(), entry["outcome"]["reason"].as_str()),
            (Some("failed"), Some(why.code())),
            "{correlation}: {entry}"
        );
        let bytes = number(&entry["bytes"]);
        assert!(
            bytes > 64 * 1024 && bytes <= (end.bytes + ON_ITS_WAY) as u64,
            "{correlation}: {bytes} of {end:?}"
        );
    }
    eprintln!("{name}: both ended within {:?}", acted.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d10_t_d16_what_is_taken_away_ends_a_running_record_within_a_second() {
    let (mut payer, mut client, patient) = payer_with_a_long_record();
    // A certificate that can be revoked, and a list on which it is not yet.
    std::fs::write(payer.home().join("ca.crl"), payer.pki.empty_crl()).expect("a file");
    payer.serve();
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));

    // Nothing is taken away: it arrives whole.
    let token = client.token(ALL_SCOPES).await;
    let whole = Reading::begin(&wire, &token, &patient, "whole").rest();
    assert!(whole.is_whole && whole.bytes > WHOLE, "{whole:?}");
    let entry = ended(&payer, "whole", soon());
    assert_eq!(entry["outcome"]["class"], "ok");
    assert!(number(&entry["bytes"]) > WHOLE as u64 && number(&entry["bytes"]) < whole.bytes as u64);

    is_broken_off(&payer, &wire, &token, &patient, "token", Fault::TokenInvalid, || {
        let (client, token) = (&client, token.as_str());
        tokio::task::block_in_place(|| {
            let fields = [("token", token)];
            let revoke = client.oauth("/oauth/revoke", &fields);
            tokio::runtime::Handle::current().block_on(revoke).assert_status(200);
        });
    });

    let token = client.token(ALL_SCOPES).await;
    is_broken_off(
        &payer,
        &wire,
        &token,
        &patient,
        "suspended",
        Fault::PartnerSuspended,
        || {
            payer.json_command(&["partner", "suspend", "new-payer", "--reason", "a leaked key"]);
        },
    );
    payer.json_command(&["partner", "resume", "new-payer"]);

    // Keys are exchanged: the tokens of those that are gone die, and so do their answers.
    let token = client.token(ALL_SCOPES).await;
    let key = ClientKey::new("k2");
    is_broken_off(&payer, &wire, &token, &patient, "key", Fault::TokenInvalid, || {
        std::fs::write(payer.home().join("new-payer-jwks.json"), key.jwks().to_string()).expect("a file");
        payer.json_command(&["partner", "rotate", "new-payer", "--file", "new-payer.toml"]);
    });
    client.key = key;

    // The same keys, and another name for its certificate.
    let file = payer.home().join("new-payer.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let rotate = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        payer.json_command(&["partner", "rotate", "new-payer", "--file", "new-payer.toml"]);
    };
    let token = client.token(ALL_SCOPES).await;
    is_broken_off(
        &payer,
        &wire,
        &token,
        &patient,
        "name",
        Fault::CertificateUnknown,
        || {
            let line = format!("certificate_uri = \"{PARTNER_URI}\"");
            assert!(text.contains(&line));
            rotate(&text.replace(&line, "certificate_uri = \"https://another.example/fhir\""));
        },
    );
    rotate(&text);

    let grant = format!("by-hand-new-payer-{}", compartment_of(&payer, &patient));
    let token = client.token(ALL_SCOPES).await;
    is_broken_off(&payer, &wire, &token, &patient, "grant", Fault::NotFound, || {
        payer.json_command(&["grant", "revoke", &grant, "--reason", WHY]);
    });
    run(&payer, "UPDATE grants SET revoked_ms = NULL");
    is_broken_off(&payer, &wire, &token, &patient, "consent", Fault::NotFound, || {
        payer.json_command(&["consent", "revoke", &grant, "--reason", WHY]);
    });
    run(&payer, "UPDATE grants SET revoked_ms = NULL");
    run(&payer, "UPDATE consent SET revoked_ms = NULL");

    // The authority's list names the certificate.
    let revoked = payer.pki.client(PARTNER_URI, Kind::Revoked);
    client.http = http(&payer.pki.ca, Some(&revoked));
    let wire = Wire::new(&payer, Some(&revoked));
    let token = client.token(ALL_SCOPES).await;
    is_broken_off(
        &payer,
        &wire,
        &token,
        &patient,
        "certificate",
        Fault::CertificateUnknown,
        || {
            std::fs::write(payer.home().join("ca.crl"), payer.pki.crl()).expect("a file");
        },
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d16_what_merely_runs_out_ends_no_answer_and_the_time_of_answers_does() {
    let (mut payer, mut client, patient) = payer_with_a_long_record();
    payer.serve_with(&[("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "2")]);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let wire = Wire::new(&payer, Some(&pair));
    // A busy machine may need longer than such a token lives before it asks: then it asks with another one.
    let mut tries = 0;
    let (token, mut short) = loop {
        let token = client.token(ALL_SCOPES).await;
        match Reading::asked(&wire, &token, &patient, "short") {
            Ok(short) => break (token, short),
            Err(head) => assert!(head.starts_with("http/1.1 401") && tries < 30, "{head}"),
        }
        tries += 1;
    };
    // Token, grant and consent run out, and the registration changes in what does not matter.
    let until = |ms: i64| {
        let at = chrono::Utc::now().timestamp_millis() + ms;
        run(&payer, &format!("UPDATE grants SET valid_until_ms = {at}"));
        run(&payer, &format!("UPDATE consent SET period_to_ms = {at}"));
    };
    until(300);
    let mut rotate = program(payer.home());
    rotate.args(["partner", "rotate", "new-payer", "--file", "new-payer.toml"]);
    rotate.stdout(Stdio::null()).stderr(Stdio::null());
    let mut rotate = rotate.spawn().expect("the program runs");
    let rotated = loop {
        match rotate.try_wait().expect("a status") {
            Some(status) => break status,
            None => assert!(short.read(), "the answer ended after {} bytes", short.bytes),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(rotated.success(), "{rotated}");
    short.read_for(Duration::from_millis(2_500));
    client
        .get(&token, &format!("Patient/{patient}"))
        .await
        .assert_outcome(Fault::TokenInvalid);
    let end = short.rest();
    let entry = ended(&payer, "short", soon());
    assert_eq!(entry["outcome"]["class"], "ok", "{entry}");
    assert!(end.is_whole && end.bytes > WHOLE, "{end:?}");
    until(3_600_000);

    // One that is read, and too slowly for the time that an answer has.
    payer.terminate();
    payer.serve_with(&[("CAUSEWAY_LIMITS__ANSWER_SECONDS", "3")]);
    let token = client.token(ALL_SCOPES).await;
    let mut long = Reading::begin(&wire, &token, &patient, "long");
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(4) && long.read() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let end = long.rest();
    assert!(!end.is_whole && end.bytes < WHOLE, "{end:?}");
    let entry = ended(&payer, "long", soon());
    assert_eq!(
        (entry["outcome"]["class"].as_str(), entry["outcome"]["reason"].as_str()),
        (Some("failed"), Some(Fault::AnswerTooLong.code())),
        "{entry}"
    );
    let started = Instant::now();
    while !payer.log().contains("an answer was broken off") {
        assert!(started.elapsed() < soon(), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(payer: &TestPayer, sql: &str) {
    let changed = diesel::sql_query(sql).execute(&mut payer.db()).expect(sql);
    assert_eq!(changed, 1, "{sql}");
}

fn compartment_of(payer: &TestPayer, patient: &str) -> i64 {
    use causeway::store::schema::compartment;
    compartment::table
        .filter(compartment::patient_id.eq(patient))
        .select(compartment::no)
        .first(&mut payer.db())
        .expect("the member is there")
}

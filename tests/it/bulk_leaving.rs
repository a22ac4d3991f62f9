//! Members who leave while a file that tells of them is on its way: the rest of it does not leave, and the ledger has its bytes. And members
//! whom an export names without a grant on them.

use crate::bulk::{ASYNC, Bulk, THIRD_NPI, send};
use crate::bulk_match::{body, lines, member, run, started, token};
use crate::revoked_streams::{ended, number};
use crate::support::client::{Client, http};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use crate::support::store::on_postgres;
use crate::support::wire::Wire;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shared resources that are added, and about how many bytes each has: more than the buffers between server and reader take.
const SHARED: usize = 250;
const SHARED_BYTES: usize = 60_000;

/// How long to wait for what comes by itself.
const WAIT: Duration = Duration::from_secs(60);
/// A reader that hardly reads takes so much each time, and then nothing for so long: enough not to be cut off because of that, and for some
/// minutes not all.
const SIP_BYTES: usize = 192 * 1024;
const SIP_PAUSE: Duration = Duration::from_secs(2);

/// Connections with the certificate to which the tokens of the client are bound.
pub fn shared_wire(payer: &TestPayer, client: &mut Client) -> Wire {
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    Wire::new(payer, Some(&pair))
}

/// A download of which only the beginning has been read, and hardly more is while it stalls.
pub struct Stalled {
    hurry: Arc<AtomicBool>,
    reader: JoinHandle<usize>,
}

impl Stalled {
    pub fn begin(wire: &Wire, token: &str, path: &str, correlation: &str) -> Stalled {
        let mut stream = wire.open();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream.sock, 64 * 1024).expect("a socket option");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nx-correlation-id: {correlation}\r\n\
             connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("written");
        stream.sock.set_read_timeout(Some(WAIT)).expect("a socket option");
        let (mut first, mut count) = (vec![0; 16 * 1024], 0);
        // Until something of the body is there.
        loop {
            let more = stream.read(&mut first[count..]).expect("an answer");
            assert!(more > 0, "the answer ended after {count} bytes");
            count += more;
            let end = first[..count].windows(4).position(|four| four == b"\r\n\r\n");
            if end.is_some_and(|end| end + 4 < count) {
                break;
            }
        }
        let head = String::from_utf8_lossy(&first[..count]).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let hurry = Arc::new(AtomicBool::new(false));
        let hurried = Arc::clone(&hurry);
        let reader = std::thread::spawn(move || read_on(stream, count, &hurried));
        Stalled { hurry, reader }
    }

    /// Reads what still comes; how many bytes came in all.
    pub fn rest(self) -> usize {
        self.hurry.store(true, Ordering::Release);
        self.reader.join().expect("it reads")
    }
}

/// Reads in sips, after `hurry` all; how many bytes came in all.
fn read_on(mut stream: StreamOwned<ClientConnection, TcpStream>, mut came: usize, hurry: &AtomicBool) -> usize {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let paused = Instant::now();
        while !hurry.load(Ordering::Acquire) && paused.elapsed() < SIP_PAUSE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut sip = 0;
        while sip < SIP_BYTES {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return came,
                Ok(count) => (sip, came) = (sip + count, came + count),
            }
        }
    }
}

/// The disclosure of this request was broken off in the middle of `size` bytes.
fn assert_broken_off(payer: &TestPayer, correlation: &str, (reading, size): (Stalled, u64)) {
    let entry = ended(payer, correlation, WAIT);
    assert_eq!(
        (entry["outcome"]["class"].as_str(), entry["outcome"]["reason"].as_str()),
        (Some("failed"), Some(Fault::NotFound.code())),
        "{entry}"
    );
    let sent = number(&entry["bytes"]);
    assert!(sent > 0 && sent < size, "{sent} of {size}");
    let came = reading.rest() as u64;
    assert!(came < size, "{came} of {size}");
}

/// The first consent that the payer has.
pub fn revoke_first_consent(payer: &TestPayer) {
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    payer.json_command(&["consent", "revoke", consent, "--reason", "a letter"]);
}

/// Organizations, and a resource of a member that names all of them.
fn add_shared(payer: &TestPayer, patient: &str) {
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
    let columns = "INSERT INTO resource (key, compartment, type, id, version, last_updated_ms, sensitivity, pa_state, financial, \
                   source_sha256, sha256, body)";
    let named: Vec<Value> = (1..=SHARED)
        .map(|at| json!({"reference": format!("Organization/wide-{at}")}))
        .collect();
    let naming = json!({"resourceType": "Observation", "id": "naming", "status": "final", "code": {"text": "c"}, "performer": named});
    let organization =
        format!("'{{\"resourceType\":\"Organization\",\"id\":\"wide-' || n.i || '\",\"name\":\"' || {text} || '\"}}'");
    for sql in [
        format!(
            "{columns} SELECT 900000 + n.i, 0, 'Organization', 'wide-' || n.i, 1, 1, 0, 0, 0, {zeros}, {zeros}, {} FROM ({series}) n",
            bytes.replace("$TEXT", &organization)
        ),
        format!(
            "{columns} SELECT c.no * 16777216 + 1000000, c.no, 'Observation', 'naming', 1, 1, 0, 0, 0, {zeros}, {zeros}, {} \
             FROM compartment c WHERE c.patient_id = '{patient}'",
            bytes.replace("$TEXT", &format!("'{naming}'"))
        ),
    ] {
        let sql = sql
            .replace("$ROWS", &SHARED.to_string())
            .replace("$BYTES", &SHARED_BYTES.to_string());
        let added = diesel::sql_query(sql).execute(&mut payer.db()).expect("rows");
        assert!(added > 0);
    }
}

/// Which organizations come tells of the members whose records name them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d10_a_file_of_shared_resources_ends_when_a_member_leaves() {
    let (mut payer, mut client) = TestPayer::prepare(4);
    add_shared(&payer, &payer.member(0).patient_id);
    payer.serve();
    let wire = shared_wire(&payer, &mut client);
    let bulk = Bulk::matched(payer, client).await;
    let manifest = bulk.done(&bulk.begin("?_type=Organization,Observation").await).await;
    let files = manifest["output"].as_array().expect("files");
    let file = files
        .iter()
        .find(|file| file["type"] == "Organization")
        .expect("a file");
    let size = file["extension"]["bytes"].as_u64().expect("a length");
    assert!(size > (SHARED * SHARED_BYTES) as u64, "{size}");
    let url = bulk.path(file["url"].as_str().expect("a URL"));

    // Whole, it is one disclosure, of the job.
    let whole = bulk.send("GET", &url, &[("x-correlation-id", "shared-whole")]).await;
    whole.assert_status(200);
    let entry = ended(&bulk.payer, "shared-whole", WAIT);
    assert_eq!(
        (number(&entry["bytes"]), &entry["outcome"]["class"]),
        (size, &json!("ok")),
        "{entry}"
    );
    assert_eq!(
        number(&entry["counts"]["Organization"]),
        file["count"].as_u64().expect("a count")
    );

    let reading = Stalled::begin(&wire, &bulk.token, &url, "shared-cut");
    std::thread::sleep(Duration::from_millis(300));
    revoke_first_consent(&bulk.payer);
    assert_broken_off(&bulk.payer, "shared-cut", (reading, size));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_d10_the_result_of_a_match_ends_when_a_member_leaves() {
    let (payer, mut client, _) = started(6);
    let wire = shared_wire(&payer, &mut client);
    let token = token(&client).await;
    let photo = json!([{"contentType": "image/png", "data": "A".repeat(900_000)}]);
    let members: Vec<Value> = (0..15)
        .map(|at| {
            let variation = if at == 0 {
                Variation::Exact
            } else {
                Variation::UnknownPerson
            };
            let mut one = member(&payer, at % 6, variation, &format!("mp-{at}"));
            one["part"][0]["resource"]["photo"] = photo.clone();
            one
        })
        .collect();
    let (_, manifest) = run(&client, &token, body(&members)).await;
    let file = &manifest["output"][0];
    let size = file["extension"]["bytes"].as_u64().expect("a length");
    assert!(size > 13_000_000, "{size}");
    let url = file["url"].as_str().expect("a URL");
    let path = url.strip_prefix(&client.origin).expect("ours").to_owned();
    let reading = Stalled::begin(&wire, &token, &path, "result-cut");
    std::thread::sleep(Duration::from_millis(300));
    revoke_first_consent(&payer);
    assert_broken_off(&payer, "result-cut", (reading, size));
}

/// ATR: a reference to nobody is ignored, and told; the export has the others, and never all.
#[tokio::test]
async fn who_is_named_without_a_grant_is_left_out_of_a_data_export_and_told() {
    let (payer, client, _) = started(6);
    let token = token(&client).await;
    let two = [
        member(&payer, 0, Variation::Exact, "mp-0"),
        member(&payer, 2, Variation::Exact, "mp-2"),
    ];
    let (_, manifest) = run(&client, &token, body(&two)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let group = groups[0]["id"].as_str().expect("an id").to_owned();
    let (own, stranger) = (payer.member(0).patient_id, payer.member(3).patient_id);
    let bulk = Bulk {
        ids: vec![own.clone()],
        payer,
        client,
        token,
    };
    let post = async |values: &[&str]| {
        let patients: Vec<Value> = values
            .iter()
            .map(|one| json!({"name": "patient", "valueReference": {"reference": one}}))
            .collect();
        let kind = json!({"name": "exportType", "valueCanonical": "hl7.fhir.us.davinci-pdex#payertopayer"});
        let all = [patients, vec![kind, json!({"name": "_type", "valueString": "Patient"})]].concat();
        let asked = json!({"resourceType": "Parameters", "parameter": all}).to_string();
        let path = format!("/fhir/Group/{group}/$davinci-data-export");
        let headers = [ASYNC, ("content-type", "application/fhir+json")];
        let begun = send(&bulk.client, &bulk.token, "POST", &path, &headers, &asked).await;
        begun.assert_status(202);
        bulk.done(&bulk.path(begun.header("content-location"))).await
    };
    let (unknown, theirs) = ("Patient/nobody-1".to_owned(), format!("Patient/{stranger}"));
    let manifest = post(&[&format!("Patient/{own}"), &unknown, &theirs, "Group/1"]).await;
    assert_eq!(bulk.taken(&manifest).await.len(), 1);
    let told = lines(&bulk.client, &bulk.token, &manifest, "error", "OperationOutcome").await;
    assert_eq!(told.len(), 3, "{told:?}");
    let texts: Vec<&str> = told
        .iter()
        .map(|one| one["issue"][0]["details"]["text"].as_str().expect("a text"))
        .collect();
    for (at, name) in [(0, "A value of patient"), (1, unknown.as_str()), (2, theirs.as_str())] {
        assert!(texts.iter().any(|text| text.starts_with(name)), "{at}: {texts:?}");
    }
    // Who is a member here and who is nobody looks the same.
    let of = |name: &str| {
        let text = texts.iter().find(|text| text.starts_with(name)).expect("a text");
        text.replace(name, "")
    };
    assert_eq!(of(&unknown), of(&theirs));

    // Nobody of the group, and still not all of it.
    let manifest = post(&[&unknown]).await;
    assert_eq!(manifest["output"], json!([]));
    let told = lines(&bulk.client, &bulk.token, &manifest, "error", "OperationOutcome").await;
    assert_eq!(told.len(), 1, "{told:?}");

    // A thousand names, the longest there are, is what one request may have.
    let thousand: Vec<String> = (1..1_000).map(|at| format!("Patient/{at:064}")).collect();
    let mut names: Vec<&str> = thousand.iter().map(String::as_str).collect();
    let own = format!("Patient/{own}");
    names.push(&own);
    let manifest = post(&names).await;
    assert_eq!(bulk.taken(&manifest).await.len(), 1);
    let told = lines(&bulk.client, &bulk.token, &manifest, "error", "OperationOutcome").await;
    assert_eq!(told.len(), 999);

    // The export of Bulk Data refuses such a request.
    let path = format!("/fhir/Group/{group}/$export?patient={unknown}");
    bulk.send("GET", &path, &[ASYNC])
        .await
        .assert_outcome(Fault::ParameterInvalid);
}

/// The start of a job and its end by the partner are in the ledger with the job.
#[tokio::test]
async fn the_start_of_a_job_and_its_deletion_are_in_the_ledger() {
    let bulk = Bulk::start().await;
    let named = |correlation: &'static str| [ASYNC, ("x-correlation-id", correlation)];
    let begun = bulk
        .send("GET", "/fhir/Patient/$export?_type=Patient", &named("kick-off-1"))
        .await;
    begun.assert_status(202);
    bulk.payer.assert_ledger("kick-off-1", &["bulk.begun"]);
    let status = bulk.path(begun.header("content-location"));
    bulk.done(&status).await;
    let refused = bulk.send("GET", "/fhir/Group/none/$export", &named("kick-off-2")).await;
    refused.assert_outcome(Fault::NotFound);
    let other = bulk.payer.register("third", THIRD_NPI, "https://third.example/fhir");
    let theirs = other.token(crate::support::client::ALL_SCOPES).await;
    send(&other, &theirs, "DELETE", &status, &named("not-theirs")[1..], "")
        .await
        .assert_outcome(Fault::NotFound);
    bulk.send("DELETE", &status, &named("deleted-1")[1..])
        .await
        .assert_status(202);
    bulk.payer.assert_ledger("deleted-1", &["bulk.cancelled"]);
    bulk.send("DELETE", &status, &named("deleted-2")[1..])
        .await
        .assert_outcome(Fault::NotFound);
    let counted = |action: &str| bulk.payer.count(&format!("ledger_entry WHERE action = '{action}'"));
    assert_eq!((counted("bulk.begun"), counted("bulk.cancelled")), (1, 1));
}

/// What a partner sent about strangers goes with the files of the match; a group of members stays until its time is over.
#[tokio::test]
async fn groups_of_strangers_go_with_the_files_and_groups_of_members_with_their_time() {
    let (payer, client, _) = started(6);
    let token = token(&client).await;
    let mut unread = member(&payer, 3, Variation::Exact, "mp-3");
    unread["part"][0]["resource"]["birthDate"] = json!("yesterday");
    let members = [
        member(&payer, 0, Variation::Exact, "mp-0"),
        member(&payer, 1, Variation::UnknownPerson, "mp-1"),
        member(&payer, 2, Variation::ConsentExpired, "mp-2"),
        unread,
    ];
    let (status, manifest) = run(&client, &token, body(&members)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let id = |code: &str| {
        let found = groups.iter().find(|group| group["code"]["coding"][0]["code"] == code);
        found.expect("a group")["id"].as_str().expect("an id").to_owned()
    };
    for code in ["match", "nomatch", "consentconstraint"] {
        client
            .get(&token, &format!("Group/{}", id(code)))
            .await
            .assert_status(200);
    }
    let path = status.strip_prefix(&client.origin).expect("ours").to_owned();
    send(&client, &token, "DELETE", &path, &[], "").await.assert_status(202);
    let eventually = async |what: &str, table: &str, left: i64| {
        for _ in 0..2_400 {
            if payer.count(table) == left {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{what}: {}; {}", payer.count(table), payer.log());
    };
    eventually("strangers", "member_group_entry", 1).await;
    eventually("their groups", "member_group", 1).await;
    client
        .get(&token, &format!("Group/{}", id("match")))
        .await
        .assert_status(200);
    for code in ["nomatch", "consentconstraint"] {
        let gone = client.get(&token, &format!("Group/{}", id(code))).await;
        gone.assert_outcome(Fault::NotFound);
    }
    eventually("the match", "bulk_job", 0).await;
    for sql in [
        "UPDATE member_group SET match_ms = match_ms - 401 * CAST(86400000 AS BIGINT)",
        "UPDATE job SET due_ms = 0 WHERE kind = 'bulk-groups'",
    ] {
        assert_eq!(
            diesel::sql_query(sql).execute(&mut payer.db()).expect("changed"),
            1,
            "{sql}"
        );
    }
    eventually("the group of members", "member_group", 0).await;
    assert_eq!(payer.count("member_group_entry"), 0);
    client
        .get(&token, &format!("Group/{}", id("match")))
        .await
        .assert_outcome(Fault::NotFound);
}

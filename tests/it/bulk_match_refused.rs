//! `Group/$bulk-member-match` refused: the whole of a body, a member who cannot be read, strangers and guesses.

use crate::bulk_groups::{forget_peak, peak_kib};
use crate::bulk_leaving::shared_wire;
use crate::bulk_match::{PATH, body, kick_off, lines, member, run, sent_of, started, three, token};
use crate::support::client::Reply;
use crate::support::payer::TestPayer;
use crate::support::small_disk::SmallDisk;
use crate::support::wire::Wire;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

#[tokio::test]
async fn a_member_who_cannot_be_read_fails_alone_with_the_place() {
    let (payer, client, _) = started(4);
    let token = token(&client).await;
    let mut members = three(&payer);
    let mut bad = member(&payer, 3, Variation::Exact, "mp-3");
    bad["part"][0]["resource"]["birthDate"] = json!("1984-02-31");
    members.insert(1, bad);
    members.push(json!({"name": "MemberBundle", "part": [{"name": "MemberPatient", "resource": null}]}));
    let (_, manifest) = run(&client, &token, body(&members)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(sent_of(&groups, "match"), ["mp-0"]);
    assert_eq!(sent_of(&groups, "nomatch"), ["mp-3", "mp-1"]);
    assert_eq!(sent_of(&groups, "consentconstraint"), ["mp-2"]);
    let told = lines(&client, &token, &manifest, "error", "OperationOutcome").await;
    let places: Vec<&str> = told
        .iter()
        .filter_map(|one| one["issue"][0]["expression"][0].as_str())
        .collect();
    assert_eq!(places.len(), 2);
    assert_eq!(places[0], "Parameters.parameter[1].part[0].resource.birthDate");
    assert!(places[1].starts_with("Parameters.parameter[4]"), "{}", places[1]);
    assert_eq!(payer.count("decision"), 3);
}

/// A line end in a string is no JSON, whatever becomes of the line in which the member waits: nobody is judged by what was not sent.
#[tokio::test]
async fn a_line_end_within_a_string_fails_its_member_alone() {
    for end in ["\n", "\r\n", "\r"] {
        let (payer, client, _) = started(4);
        let token = token(&client).await;
        let mut broken = member(&payer, 2, Variation::Exact, "mp-2");
        // Where a blank would match.
        broken["part"][0]["resource"]["name"][0]["text"] = json!("Line-End");
        let sent = body(&[member(&payer, 0, Variation::Exact, "mp-0"), broken]);
        let sent = sent.replace("Line-End", &format!("Line{end}End"));
        let (_, manifest) = run(&client, &token, sent).await;
        let groups = lines(&client, &token, &manifest, "output", "Group").await;
        assert_eq!(sent_of(&groups, "match"), ["mp-0"], "{end:?}");
        let told = lines(&client, &token, &manifest, "error", "OperationOutcome").await;
        assert_eq!(told.len(), 1, "{end:?}: {told:#?}");
        let place = told[0]["issue"][0]["expression"][0].as_str().expect("a place");
        assert!(place.starts_with("Parameters.parameter[1]"), "{end:?}: {place}");
        assert_eq!((payer.count("decision"), payer.count("grants")), (1, 1), "{end:?}");
        let own = payer.member(2).patient_id;
        assert_eq!(payer.count(&format!("grants WHERE patient_id = '{own}'")), 0, "{end:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_is_refused_before_anybody_is_judged() {
    let (payer, client, _) = started(2);
    let token = token(&client).await;
    let whole = body(&[member(&payer, 0, Variation::Exact, "mp-0")]);
    let many = format!(
        r#"{{"resourceType":"Parameters","parameter":[{}]}}"#,
        vec![r#"{"name":"MemberBundle"}"#; 100_001].join(",")
    );
    for (sent, fault) in [
        (String::new(), Fault::NotJson),
        (whole[..whole.len() - 30].to_owned(), Fault::NotJson),
        ("{}".to_owned(), Fault::ResourceInvalid),
        (body(&[]), Fault::EmptyValue),
        (
            body(&[json!({"name": "other", "valueString": "x"})]),
            Fault::MatchParameterMissing,
        ),
        (many, Fault::BulkTooMany),
    ] {
        let reply = kick_off(&client, &token, sent).await;
        if fault == Fault::EmptyValue {
            assert!((400..500).contains(&reply.status), "{}", reply.text());
        } else {
            reply.assert_outcome(fault);
        }
    }
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
    ];
    let refused = client.send("POST", PATH, &headers, whole.clone()).await;
    refused.assert_outcome(Fault::BulkAsyncNeeded);
    let got = client.send("GET", PATH, &headers[..1], "").await;
    got.assert_outcome(Fault::MethodRefused);
    assert_eq!(got.header("allow"), "POST");
    let narrow = client.token("system/*.rs").await;
    kick_off(&client, &narrow, whole)
        .await
        .assert_outcome(Fault::ScopeMissing);
    assert_eq!((payer.count("decision"), payer.count("bulk_job")), (0, 0));
}

/// A member of whom nothing but the address is known here, with a name and a card that no other has.
fn stranger(payer: &TestPayer, at: u64) -> Value {
    let mut member = member(payer, at, Variation::UnknownPerson, &format!("s-{at}"));
    let letter = |number: u64| char::from(b'a' + u8::try_from(number % 26).expect("a letter"));
    let name = format!("Stranger{}{}", letter(at / 26), letter(at));
    member["part"][0]["resource"]["name"][0]["family"] = json!(name);
    let coverage = &mut member["part"][1]["resource"];
    coverage["identifier"][0]["value"] = json!(format!("M0X{at:07}"));
    coverage["subscriberId"] = json!(format!("S0X{at:07}"));
    member
}

/// The guessing guard: a file of strangers locks nobody and stops nothing, and guesses about one card find nobody after the limit.
#[tokio::test]
async fn a_file_of_strangers_is_finished_and_guesses_about_one_card_are_hidden() {
    let (payer, client, _) = started(80);
    let token = token(&client).await;
    let strangers: Vec<Value> = (0..70).map(|at| stranger(&payer, at)).collect();
    let (_, manifest) = run(&client, &token, body(&strangers)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(sent_of(&groups, "nomatch").len(), 70);
    client.matched(&token, &payer.request(71, Variation::Exact)).await;
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'guess.alarmed'"),
        1,
        "the share alarms once"
    );
    assert_eq!(payer.count("ledger_entry WHERE action = 'partner.locked'"), 0);

    let right = payer.request(5, Variation::Exact);
    let mut guesses: Vec<Value> = (0..8)
        .map(|at| {
            let mut wrong = member(&payer, 5, Variation::Exact, &format!("g-{at}"));
            wrong["part"][0]["resource"]["birthDate"] = json!(format!("1931-01-{:02}", at + 1));
            wrong["part"][0]["resource"]["name"][0]["family"] = json!(format!("Guess{at}"));
            wrong
        })
        .collect();
    guesses.push(member(&payer, 5, Variation::Exact, "g-right"));
    let (_, manifest) = run(&client, &token, body(&guesses)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert!(sent_of(&groups, "match").is_empty());
    assert_eq!(sent_of(&groups, "nomatch").len(), 9);
    assert!(payer.count("decision WHERE outcome = 'guarded'") > 0);
    let told = client.post_match(&token, right.to_string(), &[]).await;
    assert!([422, 429].contains(&told.status), "{}", told.text());
}

/// Strangers in many small files are noticed like those in a large one; a file that is sent again is not.
#[tokio::test]
async fn small_files_of_strangers_alarm_together() {
    let (payer, client, _) = started(80);
    let token = token(&client).await;
    let file = |from: u64| body(&(from..from + 30).map(|at| stranger(&payer, at)).collect::<Vec<_>>());
    let alarms = || payer.count("ledger_entry WHERE action = 'guess.alarmed'");
    run(&client, &token, file(0)).await;
    run(&client, &token, file(0)).await;
    assert_eq!(alarms(), 0);
    run(&client, &token, file(30)).await;
    assert_eq!(alarms(), 1);
    assert_eq!(payer.count("ledger_entry WHERE action = 'partner.locked'"), 0);
}

/// Seconds for an ordinary body. A large one has as many until its first bytes are there, and then more than it needs.
const BODY_SECONDS: &str = "4";

/// Sends a body within about five and a half seconds, its first part at once. Returns the status of the answer.
fn slowly(wire: &Wire, token: &str, path: &str, body: &str) -> String {
    let mut stream = wire.open();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/fhir+json\r\n\
         prefer: respond-async\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream
        .sock
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket option");
    stream.write_all(head.as_bytes()).expect("written");
    for (at, piece) in body.as_bytes().chunks(body.len().div_ceil(12)).enumerate() {
        if at > 0 {
            std::thread::sleep(Duration::from_millis(500));
        }
        if stream.write_all(piece).and_then(|()| stream.flush()).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// The time for the body of a bulk match grows with it; an ordinary body has the same time whatever it brings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_that_keeps_its_rate_has_time_for_all_of_it() {
    let (mut payer, mut client, _) = started(4);
    payer.kill();
    payer.serve_with(&[("CAUSEWAY_LIMITS__BODY_SECONDS", BODY_SECONDS)]);
    let wire = shared_wire(&payer, &mut client);
    let token = token(&client).await;
    let mut one = member(&payer, 0, Variation::Exact, "mp-0");
    one["part"][0]["resource"]["photo"] = json!([{"contentType": "image/png", "data": "A".repeat(600_000)}]);
    let single = json!({"resourceType": "Parameters", "parameter": one["part"]}).to_string();
    let several = body(&(0..6).map(|at| large(&payer, &format!("mp-{at}"))).collect::<Vec<_>>());
    // Below its rate a large one is late, too: nothing comes for so long that its time is over.
    one["part"][0]["resource"]["photo"] = json!([{"contentType": "image/png", "data": "A".repeat(40_000)}]);
    let below = body(&[one]);
    let sent = [
        ("/fhir/Patient/$member-match", &single),
        (PATH, &several),
        (PATH, &below),
    ];
    let (wire, token) = (&wire, token.as_str());
    let answers = std::thread::scope(|scope| {
        sent.map(|(path, body)| scope.spawn(move || slowly(wire, token, path, body)))
            .map(|sender| sender.join().expect("an answer, or none"))
    });
    // Whoever still sends may miss the answer: the connection ends with it.
    let late = ["408", ""];
    assert!(late.contains(&answers[0].as_str()), "{answers:?}");
    assert_eq!(answers[1], "202", "{answers:?}");
    assert!(late.contains(&answers[2].as_str()), "{answers:?}");
    assert_eq!(
        (
            payer.count("bulk_job"),
            payer.count("ledger_entry WHERE action = 'bulk.begun'")
        ),
        (1, 1)
    );
}

/// A member of almost 1 MiB.
fn large(payer: &TestPayer, id: &str) -> Value {
    let mut one = member(payer, 0, Variation::Exact, id);
    one["part"][0]["resource"]["photo"] = json!([{"contentType": "image/png", "data": "A".repeat(900_000)}]);
    one
}

/// Waits until nothing is there of a body that was refused.
async fn nothing_left(payer: &TestPayer, folder: &Path) {
    let left = || {
        let folders = std::fs::read_dir(folder).map_or(0, Iterator::count);
        let ends = payer.count("job WHERE kind = 'bulk-end'");
        (folders, ends, payer.count("bulk_job"), payer.count("decision"))
    };
    for _ in 0..2_400 {
        if left() == (0, 0, 0, 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}\n{}", left(), payer.log());
}

/// A body goes to the disk while it comes: its size is not felt in memory, and nothing stays of one that is refused at its end.
#[tokio::test]
async fn t_c06_a_large_body_takes_little_memory_and_leaves_nothing_when_it_is_refused() {
    const LARGE: usize = 128;
    let (mut payer, client, _) = started(4);
    payer.terminate();
    payer.serve_with(&[("CAUSEWAY_BULK__BODY_BYTES", "134217728")]);
    let token = token(&client).await;
    let mut all: Vec<Value> = (0..LARGE).map(|at| large(&payer, &format!("mp-{at}"))).collect();
    all.push(member(&payer, 1, Variation::Exact, "mp-0"));
    let sent = body(&all);
    // What a first request takes and keeps is not counted.
    kick_off(&client, &token, "{}")
        .await
        .assert_outcome(Fault::ResourceInvalid);
    let pid = payer.process();
    forget_peak(pid);
    let before = peak_kib(pid);
    let asked = client.http.post(format!("{}{PATH}", client.origin)).bearer_auth(&token);
    let asked = asked
        .header("content-type", "application/fhir+json")
        .header("prefer", "respond-async")
        .body(sent)
        .timeout(Duration::from_secs(300));
    Reply::of(asked.send().await.expect("an answer"))
        .await
        .assert_outcome(Fault::BulkContradicts);
    let growth = peak_kib(pid).saturating_sub(before);
    println!("{growth} KiB more for {LARGE} members of 900 kB");
    assert!(growth < 64 * 1024, "{growth} KiB");
    nothing_left(&payer, &payer.exports()).await;

    // The first member has its line on the disk when the last one names the same Patient with another card.
    let mut again = large(&payer, "mp-0");
    again["part"][1]["resource"]["subscriberId"] = json!("S0X0000001");
    let mut all: Vec<Value> = (0..8).map(|at| large(&payer, &format!("mp-{at}"))).collect();
    all.push(again);
    let (_, manifest) = run(&client, &token, body(&all)).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    let members = groups
        .iter()
        .flat_map(|group| group["member"].as_array().into_iter().flatten());
    let has_coverage = |member: &&Value| {
        let extensions = member["entity"]["extension"].as_array();
        extensions.is_some_and(|all| all.len() == 2)
    };
    let (with, without): (Vec<&Value>, Vec<&Value>) = members.partition(has_coverage);
    assert_eq!((with.len(), without.len()), (2, 7));
    for one in with {
        assert_eq!(one["entity"]["extension"][0]["valueReference"]["reference"], "#mp-0");
    }
}

/// No room while the body comes: it is refused, nothing of it stays, and one that has room is taken.
#[tokio::test]
async fn a_body_without_room_on_the_disk_is_refused_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount(4, "a body without room is not tried") else {
        return;
    };
    let (mut payer, client, _) = started(4);
    payer.terminate();
    payer.serve_with(&[("CAUSEWAY_EXPORTS__URL", &format!("file:{}", disk.path().display()))]);
    let token = token(&client).await;
    let all: Vec<Value> = (0..8).map(|at| large(&payer, &format!("mp-{at}"))).collect();
    kick_off(&client, &token, body(&all))
        .await
        .assert_outcome(Fault::NoRoom);
    nothing_left(&payer, disk.path()).await;
    let one = member(&payer, 0, Variation::Exact, "mp-0");
    let (_, manifest) = run(&client, &token, body(&[one])).await;
    let groups = lines(&client, &token, &manifest, "output", "Group").await;
    assert_eq!(sent_of(&groups, "match"), ["mp-0"]);
}

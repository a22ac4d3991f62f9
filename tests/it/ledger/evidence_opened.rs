//! Packets that open personal values: who may have one, what both verifiers find in it, and what an erasure takes.

use super::evidence::Served;
use super::store::SOON;
use crate::support::desk::Desk;
use causeway::audit::packet::archive::unpack;
use causeway::audit::packet::check::verify_packet;
use causeway::error::Fault;
use causeway::store::erased_correlations;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How many opened values the manifest tells of, and the values.
fn opened(bytes: &[u8]) -> (Value, Vec<Value>) {
    let files = unpack(bytes).expect("a packet");
    let manifest: Value = serde_json::from_slice(&files[0].bytes).expect("JSON");
    let file = files.iter().find(|file| file.path == "opened.jsonl");
    let text = file.map_or("", |file| std::str::from_utf8(&file.bytes).expect("text"));
    let values = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    (manifest["opened"].clone(), values.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_opened_on_demand_alone_verify_and_have_the_same_bytes_again() {
    let served = Served::start().await;
    let (plain, _) = served.packet("plain.tar", &[&served.exchange]);
    assert_eq!(opened(&plain), (Value::Null, Vec::new()));
    let (bytes, told) = served.packet("opened.tar", &["--member", &served.member, "--with-phi"]);
    assert_eq!(told["with_phi"], true);
    let (count, values) = opened(&bytes);
    assert_eq!(count, json!(values.len()));
    let verdict = verify_packet(&bytes, &served.key, None, None);
    assert_eq!(verdict.opened, Some(values.len() as u64));
    let has = |field: &str, value: &str| values.iter().any(|one| one["field"] == field && one["value"] == value);
    assert!(has("object", &served.member), "{values:?}");
    assert!(has("note", "a test"), "the reason of whoever asked: {values:?}");
    assert!(values.iter().any(|one| one["field"] == "operator"), "{values:?}");

    let files = unpack(&bytes).expect("a packet");
    let note = files
        .iter()
        .find(|file| file.path == "checkpoint")
        .expect("a checkpoint");
    std::fs::write(served.payer.home().join("kept.checkpoint"), &note.bytes).expect("written");
    let asked = [
        "--member",
        &served.member,
        "--with-phi",
        "--checkpoint",
        "kept.checkpoint",
    ];
    let (again, _) = served.packet("again.tar", &asked);
    assert!(again == bytes, "the same question and checkpoint make the same bytes");
    let without = served.stderr(&["audit", "packet", &served.exchange, "--with-phi"]);
    assert_eq!(without.0, Some(2), "a reason is needed: {}", without.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opened_values_are_for_who_may_see_values_and_each_look_is_an_entry() {
    let served = Served::start().await;
    let (plain, _) = served.packet("plain.tar", &[&served.exchange]);
    let (bytes, told) = served.packet("opened.tar", &[&served.exchange, "--with-phi"]);
    let file = format!("packets/{}/file", told["id"].as_str().expect("an id"));
    let body = json!({ "exchange": served.exchange, "with_phi": true, "reason": "a test" });
    let auditor = Desk::of(&served.payer, &served.client, "auditor");
    let packets = served.payer.count("evidence_packet");
    auditor.post("packets", &body).await.assert_outcome(Fault::RoleMissing);
    auditor.get(&file).await.assert_outcome(Fault::RoleMissing);
    assert_eq!(served.payer.count("evidence_packet"), packets, "nothing was asked for");
    let newest = auditor.get(&format!("evidence/{}", served.exchange)).await;
    newest.assert_status(200);
    assert!(newest.body == plain, "the newest packet without opened values");

    let both = Desk::of(&served.payer, &served.client, "auditor,reviewer");
    let got = both.get(&file).await;
    got.assert_status(200);
    assert!(got.body == bytes);
    let asked = both.post("packets", &body).await;
    asked.assert_status(202);
    assert_eq!(asked.json()["with_phi"], true);
    let entries = auditor.all("ledger").await;
    let of = |action: &str, reason: &str| {
        let is_it = |one: &&Value| one["action"] == action && one["outcome"]["reason"] == reason;
        entries.iter().filter(is_it).count()
    };
    assert_eq!(of("evidence.packet-asked", "with-phi"), 2);
    assert_eq!(of("operator.viewed", "evidence-with-phi"), 2);
    assert_eq!(of("operator.refused", "SE-007"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f05_with_four_eyes_who_asked_for_opened_values_does_not_take_them_alone() {
    let mut served = Served::start().await;
    assert_eq!(served.payer.terminate(), Some(0), "{}", served.payer.log());
    let config = served.payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, format!("{text}[policy]\nfour_eyes = true\n")).expect("a file");
    served.payer.serve_with(&[SOON]);
    let of = |name: &str| Desk::named(&served.payer, &served.client, "auditor,reviewer", name);
    let (ana, again, bo) = (of("ana"), of("Ana"), of("bo"));
    let body = json!({ "exchange": served.exchange, "with_phi": true, "reason": "a test" });
    let asked = ana.post("packets", &body).await;
    asked.assert_status(202);
    let id = asked.json()["id"].as_str().expect("an id").to_owned();
    let began = Instant::now();
    while served.payer.count("evidence_packet WHERE state = 'made'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", served.payer.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let file = format!("packets/{id}/file");
    for desk in [&ana, &again] {
        desk.get(&file).await.assert_outcome(Fault::PolicySecondNeeded);
    }
    bo.get(&file).await.assert_status(200);

    let ask = ["audit", "packet", &served.exchange, "--reason", "a test", "--out"];
    let (code, said) = served.stderr(&[&ask[..], &["alone.tar", "--with-phi"]].concat());
    assert!(code == Some(1) && said.contains("PO-004"), "{code:?} {said}");
    assert!(!served.payer.home().join("alone.tar").exists());
    let get = ["evidence", "get", &id, "--reason", "a test", "--out", "second.tar"];
    served.payer.json_command(&get);
    assert!(served.payer.home().join("second.tar").exists());
    served.packet("plain.tar", &[&served.exchange]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_correlation_id_is_erased_packets_that_open_values_go_too() {
    let mut served = Served::start().await;
    let (chosen, bearer) = ("a-number-of-somebody", format!("Bearer {}", served.token));
    let headers = [("authorization", bearer.as_str()), ("x-correlation-id", chosen)];
    let path = format!("/fhir/Patient/{}", served.member);
    served.client.send("GET", &path, &headers, "").await.assert_status(200);
    let (bytes, made) = served.packet("range.tar", &["--from", "2020-01-01", "--with-phi"]);
    let (_, values) = opened(&bytes);
    assert!(values.iter().any(|one| one["value"] == chosen), "{values:?}");
    assert_eq!(served.payer.terminate(), Some(0), "{}", served.payer.log());
    let mut db = served.payer.db();
    let pieces = |served: &Served, told: &Value| {
        let id = told["id"].as_str().expect("an id");
        served.payer.count(&format!("evidence_piece WHERE packet_id = '{id}'"))
    };
    assert!(pieces(&served, &made) > 0);
    let mut erase =
        |value: &str| erased_correlations::close_correlations(&mut db, &[], &[value.to_owned()]).expect("erased");
    erase("a-number-of-nobody");
    assert!(pieces(&served, &made) > 0, "it does not have this one");
    erase(chosen);
    assert_eq!(pieces(&served, &made), 0);
    let left = served.stderr(&[
        "evidence",
        "get",
        made["id"].as_str().expect("an id"),
        "--out",
        "gone.tar",
        "--reason",
        "r",
    ]);
    assert!(left.0 == Some(1) && left.1.contains("EV-008"), "{left:?}");
}

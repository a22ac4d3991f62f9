//! Evidence packets of a running payer: each kind is made, verified by both verifiers, and made again with the same bytes; and cases.

use super::python;
use super::store::{SOON, covered};
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::Desk;
use crate::support::payer::{TestPayer, program};
use causeway::audit::note::LogKey;
use causeway::audit::packet::archive::{PackedFile, unpack};
use causeway::audit::packet::check::verify_packet;
use causeway::audit::verify::LedgerResult;
use causeway::error::Fault;
use causeway::secret::{hex, sha256};
use causeway::store::evidence;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A payer that served one match and one whole record: with the id of the exchange, the member, and the correlation id of the record.
pub(super) struct Served {
    pub(super) payer: TestPayer,
    pub(super) client: Client,
    pub(super) token: String,
    pub(super) exchange: String,
    pub(super) member: String,
    pub(super) correlation: String,
    pub(super) key: LogKey,
}

impl Served {
    pub(super) async fn start() -> Served {
        let (mut payer, client) = TestPayer::prepare(4);
        payer.serve_with(&[SOON]);
        let token = client.token(ALL_SCOPES).await;
        let (member, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
        let whole = client.get(&token, &format!("Patient/{member}/$everything")).await;
        whole.assert_status(200);
        let correlation = whole.header("x-correlation-id").to_owned();
        // Its end is written after the answer, and belongs to each packet.
        payer
            .await_ledger(&correlation, &["disclosure.begun", "disclosure.completed"])
            .await;
        let auditor = Desk::of(&payer, &client, "auditor");
        let exchanges = auditor.all("exchanges").await;
        let exchange = exchanges[0]["id"].as_str().expect("an id").to_owned();
        let key = payer.json_command(&["audit", "key"])["key"].as_str().map(LogKey::parse);
        Served {
            key: key.flatten().expect("a key"),
            payer,
            client,
            token,
            exchange,
            member,
            correlation,
        }
    }

    /// The packet that is asked for in this way, once both verifiers found it to be whole.
    #[track_caller]
    pub(super) fn packet(&self, name: &str, asked: &[&str]) -> (Vec<u8>, Value) {
        let told = self.payer.json_command(
            &[
                [
                    "audit", "packet", "--within", "180", "--reason", "a test", "--out", name,
                ]
                .as_slice(),
                asked,
            ]
            .concat(),
        );
        assert_eq!(told["state"], "made", "{told}");
        let path = self.payer.home().join(name);
        let bytes = std::fs::read(&path).expect("a packet");
        let verdict = verify_packet(&bytes, &self.key, None, None);
        assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
        assert_eq!(told["entries"].as_u64(), Some(verdict.entries));
        let (code, _, said) = python(&path, &self.key, None);
        assert_eq!(code, 0, "{said}");
        (bytes, told)
    }

    pub(super) fn stderr(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.payer.command(arguments);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

fn file<'f>(files: &'f [PackedFile], path: &str) -> &'f str {
    let found = files.iter().find(|file| file.path == path);
    let found = found.unwrap_or_else(|| {
        let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        panic!("{path} is not among {names:?}")
    });
    std::str::from_utf8(&found.bytes).expect("text")
}

fn actions(files: &[PackedFile]) -> Vec<String> {
    let timeline: Value = serde_json::from_str(file(files, "timeline.json")).expect("JSON");
    let items = timeline.as_array().expect("items").iter();
    items
        .map(|item| item["action"].as_str().expect("an action").to_owned())
        .collect()
}

/// An entry of the packet is committed to the record of the decision, by the salt that is in the packet.
fn assert_opens(decision: &Value, entries: &str) {
    let opened = &decision["committed"];
    let text = |key: &str| opened[key].as_str().unwrap_or_else(|| panic!("{key}: {decision}"));
    let record: Value = serde_json::from_str(text("record")).expect("JSON");
    assert_eq!(record, decision["detail"]);
    let salt = text("salt");
    let salt: Vec<u8> = (0..salt.len() / 2)
        .map(|at| u8::from_str_radix(&salt[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect();
    let hashed = [
        b"px-audit-v1decision".as_slice(),
        salt.as_slice(),
        text("record").as_bytes(),
    ]
    .concat();
    assert_eq!(text("decision_commit"), hex(&sha256(&hashed)));
    let committed = format!(r#""decision_commit":"{}""#, text("decision_commit"));
    assert!(entries.contains(&committed), "{committed} is in no entry");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_packet_has_what_it_is_about_and_proves_it() {
    let served = Served::start().await;
    let (bytes, _) = served.packet("exchange.tar", &[&served.exchange]);
    let files = unpack(&bytes).expect("a packet");
    let told = actions(&files);
    for action in [
        "member-match.begun",
        "member-match.matched",
        "consent.recorded",
        "disclosure.begun",
        "disclosure.completed",
    ] {
        assert!(told.iter().any(|one| one == action), "{action} in {told:?}");
    }
    let page = file(&files, "report.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("default-src 'none'"));
    assert!(!page.contains("<script"));
    let asked = served.payer.request(0, Variation::Exact);
    let card = &asked["parameter"][1]["resource"]["identifier"][0]["value"];
    for personal in [&asked["parameter"][0]["resource"]["birthDate"], card] {
        let personal = personal.as_str().expect("a value");
        for file in &files {
            let text = String::from_utf8_lossy(&file.bytes);
            assert!(!text.contains(personal), "{} has {personal}", file.path);
        }
    }
    let manifest: Value = serde_json::from_str(file(&files, "manifest.json")).expect("JSON");
    assert_eq!(manifest["scope"], json!({ "kind": "exchange", "id": served.exchange }));
    let decision: Value = serde_json::from_str(file(&files, &format!("match/{}.json", served.exchange))).expect("JSON");
    assert_eq!(decision["outcome"], "matched");
    assert!(decision.get("patient_id").is_none());
    assert_opens(&decision, file(&files, "entries.jsonl"));
    let consent = files
        .iter()
        .find(|file| file.path.starts_with("consent/"))
        .expect("a consent");
    let consent: Value = serde_json::from_slice(&consent.bytes).expect("JSON");
    let judged = consent["decisions"].as_array().expect("decisions");
    assert!(
        judged.iter().all(|one| one["salt"].is_string()) && !judged.is_empty(),
        "{consent}"
    );
    let policies: Value = serde_json::from_str(file(&files, "policies.json")).expect("JSON");
    for table in policies["tables"].as_array().expect("tables") {
        let path = table["text"].as_str().expect("the text of this version");
        assert!(!file(&files, path).is_empty());
    }
    let sent: Vec<Value> = file(&files, "files.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(sent[0]["outcome"], "ok", "{sent:?}");
    assert!(sent[0]["bytes"].as_u64() > Some(0));
    let events = file(&files, "auditevents.ndjson").lines().count();
    assert!(events >= told.len() - 1, "{events}");

    let (bytes, _) = served.packet("correlation.tar", &["--correlation", &served.correlation]);
    assert_eq!(
        actions(&unpack(&bytes).expect("a packet")),
        ["disclosure.begun", "disclosure.completed"]
    );
    let (bytes, _) = served.packet("member.tar", &["--member", &format!("Patient/{}", served.member)]);
    let told = actions(&unpack(&bytes).expect("a packet"));
    for action in ["member-match.matched", "disclosure.begun", "evidence.packet-asked"] {
        assert!(told.iter().any(|one| one == action), "{action} in {told:?}");
    }
    let (bytes, _) = served.packet("range.tar", &["--from", "2020-01-01"]);
    let told = actions(&unpack(&bytes).expect("a packet"));
    assert!(told.iter().any(|one| one == "server.started"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_checkpoint_makes_the_same_bytes_whatever_happened_since() {
    let served = Served::start().await;
    let note = covered(&served.payer)["note"].as_str().expect("a note").to_owned();
    std::fs::write(served.payer.home().join("kept.checkpoint"), &note).expect("written");
    let member = format!("Patient/{}", served.member);
    let kinds: [(&str, Vec<&str>); 3] = [
        ("exchange", vec![&served.exchange]),
        ("member", vec!["--member", &member]),
        ("correlation", vec!["--correlation", &served.correlation]),
    ];
    let at = ["--checkpoint", "kept.checkpoint"];
    let made = |round: &str| -> Vec<Vec<u8>> {
        let each = kinds.iter();
        each.map(|(name, asked)| {
            let asked = [asked.as_slice(), &at].concat();
            served.packet(&format!("{name}-{round}.tar"), &asked).0
        })
        .collect()
    };
    let first = made("first");
    let again = served
        .client
        .get(&served.token, &format!("Patient/{}/$everything", served.member))
        .await;
    again.assert_status(200);
    let consents = served.payer.json_command(&["consent", "list"]);
    let consent = consents[0]["id"].as_str().expect("an id");
    served
        .payer
        .command(&["consent", "revoke", consent, "--reason", "a test"]);
    covered(&served.payer);
    assert_eq!(first, made("second"), "the same bytes");
    let (now, _) = served.packet("now.tar", &[&served.exchange]);
    assert!(now != first[0], "at the newest checkpoint there is more");
    let told = actions(&unpack(&now).expect("a packet"));
    assert!(told.iter().any(|one| one == "consent.revoked"), "{told:?}");

    let key = served.key.text();
    let offline = |more: &[&str]| {
        let path = served.payer.home().join("exchange-first.tar").display().to_string();
        let output = program(&std::env::temp_dir())
            .args(["audit", "verify", "--packet", &path, "--key", &key])
            .args(more)
            .output()
            .expect("it runs");
        output.status.code()
    };
    let kept = served.payer.home().join("kept.checkpoint").display().to_string();
    assert_eq!(offline(&[]), Some(0));
    assert_eq!(offline(&["--against", &kept]), Some(0));
    let strange = served.payer.home().join("strange").display().to_string();
    std::fs::write(
        &strange,
        note.replacen("localhost", "elsewhere", 1)
            .replacen("127.0.0.1", "elsewhere", 1),
    )
    .expect("written");
    assert_eq!(
        offline(&["--against", &strange]),
        Some(2),
        "a checkpoint of another log"
    );
    let (code, said) = served.stderr(&[
        "audit",
        "packet",
        &served.exchange,
        "--reason",
        "r",
        "--checkpoint",
        "strange",
    ]);
    assert_eq!(code, Some(2), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_groups_exchanges_and_is_closed_for_good() {
    let served = Served::start().await;
    let name = "Complaint 7";
    let opened = served
        .payer
        .json_command(&["evidence", "case", "open", name, "--reason", "a member asks"]);
    let id = opened["id"].as_str().expect("an id").to_owned();
    let (code, said) = served.stderr(&["evidence", "case", "open", name, "--reason", "again"]);
    assert!(code == Some(1) && said.contains("EV-007"), "{code:?} {said}");
    let shown = served
        .payer
        .json_command(&["evidence", "case", "add", name, &served.exchange, &served.correlation]);
    let kinds: Vec<&str> = shown["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["exchange", "correlation"]);
    let (code, said) = served.stderr(&["evidence", "case", "add", &id, &served.exchange, "nothing-of-this-id"]);
    assert!(code == Some(1) && said.contains("AU-003"), "{code:?} {said}");
    let (code, said) = served.stderr(&["evidence", "case", "add", "Complaint 8", &served.exchange]);
    assert!(code == Some(1) && said.contains("EV-005"), "{code:?} {said}");
    let (bytes, told) = served.packet("case.tar", &["--case", name]);
    assert_eq!(told["kind"], "case");
    let files = unpack(&bytes).expect("a packet");
    let actions = actions(&files);
    for action in ["evidence.case-opened", "evidence.case-added", "member-match.matched"] {
        assert!(actions.iter().any(|one| one == action), "{action} in {actions:?}");
    }
    let case: Value = serde_json::from_str(file(&files, "case.json")).expect("JSON");
    assert_eq!(case["items"].as_array().map(Vec::len), Some(2));

    served
        .payer
        .json_command(&["evidence", "case", "close", &id, "--reason", "answered"]);
    let before = served.payer.count("ledger_entry WHERE action LIKE 'evidence.%'");
    for arguments in [
        ["evidence", "case", "add", name, &served.exchange].as_slice(),
        &["evidence", "case", "close", name, "--reason", "twice"],
    ] {
        let (code, said) = served.stderr(arguments);
        assert!(code == Some(1) && said.contains("EV-006"), "{code:?} {said}");
    }
    assert_eq!(served.payer.count("evidence_case_item"), 2);
    assert_eq!(
        served.payer.count("ledger_entry WHERE action LIKE 'evidence.%'"),
        before,
        "nothing changed"
    );
    let listed = served.payer.json_command(&["evidence", "case", "list"]);
    assert_eq!(listed[0]["state"], "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auditors_ask_for_packets_over_http_and_what_is_wrong_is_said() {
    let served = Served::start().await;
    let auditor = Desk::named(&served.payer, &served.client, "auditor", "carl");
    let asked = auditor
        .post(
            "packets",
            &json!({ "exchange": served.exchange, "reason": "a complaint" }),
        )
        .await;
    asked.assert_status(202);
    let id = asked.json()["id"].as_str().expect("an id").to_owned();
    let began = Instant::now();
    while auditor.get(&format!("packets/{id}")).await.json()["state"] != "made" {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", served.payer.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let packet = auditor.get(&format!("packets/{id}/file")).await;
    packet.assert_status(200);
    assert_eq!(packet.header("content-type"), "application/x-tar");
    let verdict = verify_packet(&packet.body, &served.key, None, None);
    assert_eq!(verdict.result, LedgerResult::Ok, "{verdict:?}");
    let newest = auditor.get(&format!("evidence/{}", served.exchange)).await;
    assert_eq!(newest.body, packet.body);
    assert_eq!(auditor.all("packets").await.len(), 1);
    let looks = served
        .payer
        .count("ledger_entry WHERE action = 'operator.viewed' AND subject IN (SELECT id FROM evidence_packet)");
    assert_eq!(looks, 2, "each fetch is an entry");
    let by_name = served
        .payer
        .count("operator_note WHERE operator = 'carl' AND reason = 'a complaint'");
    assert_eq!(by_name, 1);

    for (body, fault) in [
        (json!({ "exchange": served.exchange }), Fault::ParameterInvalid),
        (
            json!({ "exchange": served.exchange, "case": "x", "reason": "r" }),
            Fault::ParameterInvalid,
        ),
        (json!({ "reason": "r" }), Fault::ParameterInvalid),
        (json!({ "exchange": "nothing", "reason": "r" }), Fault::ExchangeUnknown),
        (json!({ "correlation": "nothing", "reason": "r" }), Fault::TraceUnknown),
        (
            json!({ "member": "Patient/nobody", "reason": "r" }),
            Fault::MemberUnknown,
        ),
        (json!({ "case": "none", "reason": "r" }), Fault::CaseUnknown),
        (json!({ "from": "2099-01-01", "reason": "r" }), Fault::ParameterInvalid),
        (
            json!({ "exchange": served.exchange, "checkpoint": "none", "reason": "r" }),
            Fault::ParameterInvalid,
        ),
    ] {
        let refused = auditor.post("packets", &body).await;
        assert_eq!(refused.status, fault.row().http, "{body}: {}", refused.text());
        assert!(refused.text().contains(fault.code()), "{body}: {}", refused.text());
    }
    assert_eq!(served.payer.count("evidence_packet"), 1, "nothing was asked for");
    assert_eq!(auditor.get("packets/nothing").await.status, 404);
    assert_eq!(auditor.get("evidence/nothing").await.status, 404);
    let support = Desk::of(&served.payer, &served.client, "support");
    for path in ["packets".to_owned(), format!("packets/{id}/file")] {
        assert_eq!(support.get(&path).await.status, 403);
    }
    let (code, said) = served.stderr(&["audit", "packet", "nothing", "--reason", "r"]);
    assert!(code == Some(1) && said.contains("EX-001"), "{code:?} {said}");
    let (code, said) = served.stderr(&["evidence", "get", "nothing", "--out", "x.tar", "--reason", "r"]);
    assert!(code == Some(1) && said.contains("EV-001"), "{code:?} {said}");
    for silent in [
        ["audit", "packet", &served.exchange].as_slice(),
        &["evidence", "get", &id, "--out", "x.tar"],
    ] {
        let (code, said) = served.stderr(silent);
        assert!(code != Some(0) && said.contains("--reason"), "{code:?} {said}");
    }
    let (code, _) = served.stderr(&["audit", "packet"]);
    assert_eq!(code, Some(2));
    std::fs::write(served.payer.home().join("there.tar"), "mine").expect("written");
    let (code, said) = served.stderr(&[
        "audit",
        "packet",
        &served.exchange,
        "--reason",
        "r",
        "--out",
        "there.tar",
    ]);
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(
        std::fs::read(served.payer.home().join("there.tar")).expect("read"),
        b"mine"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_packet_is_named_by_its_file_at_the_command_line() {
    let served = Served::start().await;
    let (bytes, _) = served.packet("whole.tar", &[&served.exchange]);
    let key = served.key.text();
    let verify = |bytes: &[u8]| {
        std::fs::write(served.payer.home().join("changed.tar"), bytes).expect("written");
        let output = served
            .payer
            .command(&["audit", "verify", "changed.tar", "--key", &key, "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), told)
    };
    assert_eq!(verify(&bytes).0, Some(0));
    let at = bytes
        .windows(8)
        .position(|window| window == b"\"action\"")
        .expect("an entry");
    let mut changed = bytes.clone();
    changed[at] = b'\'';
    let (code, told) = verify(&changed);
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told["bad_file"], "entries.jsonl");
    let (code, told) = verify(&bytes[..bytes.len() - 700]);
    assert_eq!((code, &told["result"]), (Some(3), &json!("incomplete")));
    let missing = served
        .payer
        .command(&["audit", "verify", "--packet", "none.tar", "--key", &key]);
    assert_eq!(missing.status.code(), Some(3));
    let no_key = served.payer.command(&["audit", "verify", "--packet", "whole.tar"]);
    assert_eq!(no_key.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_an_erased_member_lose_their_bytes_and_those_of_others_do_not() {
    let mut served = Served::start().await;
    let request = served.payer.request(2, Variation::Exact);
    let (second, _) = served.client.matched(&served.token, &request).await;
    let id_of = |told: &Value| told["id"].as_str().expect("an id").to_owned();
    let first = id_of(&served.packet("first.tar", &["--member", &served.member]).1);
    let by_exchange = id_of(&served.packet("exchange.tar", &[&served.exchange]).1);
    let other = id_of(&served.packet("other.tar", &["--member", &second]).1);
    assert_eq!(served.payer.terminate(), Some(0), "{}", served.payer.log());
    let erased = evidence::erase_of(&mut served.payer.db(), &served.member).expect("erased");
    assert_eq!(erased, 2, "the packet of the member, and that of its exchange");
    assert_eq!(
        served
            .payer
            .count(&format!("evidence_packet WHERE subject = '{}'", served.member)),
        0
    );
    for id in [first, by_exchange] {
        let (code, said) = served.stderr(&["evidence", "get", &id, "--out", "gone.tar", "--reason", "r"]);
        assert!(code == Some(1) && said.contains("EV-008"), "{code:?} {said}");
        assert_eq!(
            served.payer.count(&format!("evidence_piece WHERE packet_id = '{id}'")),
            0
        );
    }
    served
        .payer
        .json_command(&["evidence", "get", &other, "--out", "kept.tar", "--reason", "r"]);
    let [made, kept] =
        ["other.tar", "kept.tar"].map(|name| std::fs::read(served.payer.home().join(name)).expect("a packet"));
    assert_eq!(made, kept);
}

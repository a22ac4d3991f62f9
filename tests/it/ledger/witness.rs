//! A real witness process, asked over HTTP by a test and by a running payer: each of its answers, what it never confirms, and what both
//! verifiers make of its cosignatures.

use super::store::{SOON, covered};
use super::{Log, ours_with, python_with, write};
use crate::support::payer::{TestPayer, free_ports, program};
use causeway::audit::cosignature::{WitnessKey, WitnessWord};
use causeway::audit::note::LogKey;
use causeway::audit::tree::{TreeHash, leaf_hash};
use causeway::audit::verify::LedgerResult;
use causeway::witness::submission::Submission;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A witness that runs.
struct Witness {
    child: Child,
    url: String,
    key: WitnessKey,
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(folder.parent().expect("the folder above"));
    command
        .args(["witness", "--folder"])
        .arg(folder)
        .arg("--json")
        .args(arguments);
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().expect("it runs")
}

impl Witness {
    fn start(folder: &Path, logs: &[&LogKey]) -> Witness {
        Witness::start_at(folder, logs, "127.0.0.1:0")
    }

    fn start_at(folder: &Path, logs: &[&LogKey], address: &str) -> Witness {
        Witness::start_with(folder, logs, &["--listen", address])
    }

    fn start_with(folder: &Path, logs: &[&LogKey], more: &[&str]) -> Witness {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let logs: Vec<String> = logs.iter().map(|log| log.text()).collect();
        let mut arguments = vec!["--name", "witness.example/w1"];
        arguments.extend(more);
        if !more.contains(&"--listen") {
            arguments.extend(["--listen", "127.0.0.1:0"]);
        }
        logs.iter().for_each(|log| arguments.extend(["--log", log]));
        let mut child = command(folder, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |name: &str| told[name].as_str().expect("text").to_owned();
        Witness {
            child,
            url: text("url"),
            key: WitnessKey::parse(&text("key")).expect("a key"),
        }
    }

    async fn send(&self, body: String) -> (u16, String) {
        let answer = reqwest::Client::new()
            .post(format!("{}/add-checkpoint", self.url))
            .body(body)
            .send()
            .await
            .expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    async fn add(&self, old: u64, proof: &[TreeHash], note: &str) -> (u16, String) {
        let asked = Submission {
            old,
            proof: proof.to_vec(),
            note: note.to_owned(),
        };
        self.send(asked.text()).await
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn leaves(entries: &[Vec<u8>]) -> Vec<TreeHash> {
    entries.iter().map(|entry| leaf_hash(entry)).collect()
}

fn entries(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[tokio::test]
async fn each_answer_of_the_protocol() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("witness");
    let (log, other) = (Log::new(), Log::new());
    let all = entries(&["a", "b", "c"]);
    let hashes = leaves(&all);
    let witness = Witness::start(&folder, &[&log.key]);

    let two = log.note(&all[..2]);
    assert_eq!(witness.send("nonsense".to_owned()).await.0, 400);
    assert_eq!(witness.add(3, &[], &two).await.0, 400, "an older tree that is larger");
    let mut stranger = Log::new();
    stranger.key.name = "stranger.example/audit/1".to_owned();
    assert_eq!(witness.add(0, &[], &stranger.note(&all)).await.0, 404);
    assert_eq!(
        witness.add(0, &[], &other.note(&all)).await.0,
        403,
        "the name alone is ours"
    );
    assert_eq!(witness.add(1, &[], &two).await, (409, "0\n".to_owned()));
    assert_eq!(witness.add(0, &[hashes[0]], &two).await.0, 422, "a proof from nothing");

    let (status, line) = witness.add(0, &[], &two).await;
    assert_eq!(status, 200);
    let confirmed = format!("{two}{line}");
    assert!(matches!(witness.key.word(&confirmed), WitnessWord::Confirmed(at_s) if at_s > 1_700_000_000));
    let three = log.note(&all);
    assert_eq!(witness.add(0, &[], &three).await, (409, "2\n".to_owned()));
    assert_eq!(witness.add(2, &[hashes[0]], &three).await.0, 422);
    assert_eq!(witness.add(2, &[], &three).await.0, 422);
    // The same once more is confirmed once more.
    assert_eq!(witness.add(2, &[], &two).await.0, 200);
    let forked = log.note(&entries(&["a", "x"]));
    assert_eq!(witness.add(2, &[], &forked).await, (409, "2\n".to_owned()));
    // That three entries extend two is proved by the third leaf alone.
    let forked = log.note(&entries(&["a", "x", "c"]));
    assert_eq!(witness.add(2, &[hashes[2]], &forked).await.0, 422);
    assert_eq!(witness.add(2, &[hashes[2]], &three).await.0, 200);
    assert_eq!(witness.add(2, &[hashes[2]], &three).await, (409, "3\n".to_owned()));
}

#[tokio::test]
async fn what_was_confirmed_outlives_the_process_and_its_key_is_its_own() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("witness");
    let log = Log::new();
    let all = entries(&["a", "b"]);
    let mut witness = Witness::start(&folder, &[&log.key]);
    let key = witness.key.clone();
    assert_eq!(witness.add(0, &[], &log.note(&all)).await.0, 200);
    let second = run(&folder, &["--log", &log.key.text(), "--listen", "127.0.0.1:0"]);
    assert_eq!(second.status.code(), Some(75), "one process has the folder");
    witness.child.kill().expect("killed");
    witness.child.wait().expect("ended");

    for file in std::fs::read_dir(&folder).expect("the folder") {
        let mode = file.expect("a file").metadata().expect("about it").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let told: Value = serde_json::from_slice(&run(&folder, &["key"]).stdout).expect("JSON");
    assert_eq!(told["key"].as_str(), Some(key.text().as_str()));
    let told: Value = serde_json::from_slice(&run(&folder, &["checkpoint", &log.key.name]).stdout).expect("JSON");
    let note = told["note"].as_str().expect("a note");
    assert!(matches!(key.word(note), WitnessWord::Confirmed(_)));
    assert_eq!(log.key.open(note).expect("signed").size, 2);
    assert_eq!(run(&folder, &["checkpoint", "nobody"]).status.code(), Some(1));

    let again = Witness::start(&folder, &[&log.key]);
    assert_eq!(again.key, key);
    assert_eq!(again.add(0, &[], &log.note(&all[..1])).await, (409, "2\n".to_owned()));
    drop(again);

    // What stands against a start: nothing to confirm, an open address without TLS, another name, another key, a changed checkpoint.
    let log_key = log.key.text();
    let with = |more: &[&str]| {
        let arguments = [&["--log", log_key.as_str()], more].concat();
        run(&folder, &arguments).status.code()
    };
    assert_eq!(run(&folder, &[]).status.code(), Some(2));
    assert_eq!(with(&["--listen", "0.0.0.0:0"]), Some(2));
    assert_eq!(with(&["--log", &log_key]), Some(2), "one log twice");
    let name = with(&["--listen", "127.0.0.1:0", "--name", "witness.example/w2"]);
    assert_eq!(name, Some(1));
    let new = run(&home.path().join("new"), &["--log", &log_key]);
    assert_eq!(new.status.code(), Some(2), "a new witness needs a name");
    let kept = std::fs::read_dir(&folder).expect("the folder").find_map(|file| {
        let path = file.expect("a file").path();
        path.extension().is_some_and(|end| end == "checkpoint").then_some(path)
    });
    let kept = kept.expect("a checkpoint");
    // A lost key is not replaced in silence, whatever name is given.
    let key_file = folder.join("witness.key");
    let lost = std::fs::read(&key_file).expect("the key");
    std::fs::remove_file(&key_file).expect("removed");
    for more in [
        &[][..],
        &["--name", "witness.example/w1"],
        &["--name", "witness.example/w2"],
    ] {
        assert_eq!(
            with(&[&["--listen", "127.0.0.1:0"], more].concat()),
            Some(1),
            "{more:?}"
        );
        assert!(!key_file.exists(), "{more:?}");
    }
    assert_eq!(
        with(&["--listen", "127.0.0.1:0", "--new-key"]),
        Some(2),
        "a new key needs a name"
    );
    let renewed = Witness::start_with(&folder, &[&log.key], &["--new-key"]);
    assert_ne!(renewed.key, key);
    let old = std::fs::read_to_string(folder.join("witness.pub.lost")).expect("the public key of before");
    assert_eq!(WitnessKey::parse(&old), Some(key.clone()));
    assert_eq!(
        renewed.add(0, &[], &log.note(&all[..1])).await,
        (409, "2\n".to_owned()),
        "what was confirmed is not forgotten"
    );
    drop(renewed);
    assert_eq!(
        with(&["--listen", "127.0.0.1:0", "--new-key", "--name", "witness.example/w1"]),
        Some(2),
        "no key is lost"
    );
    std::fs::write(&key_file, lost).expect("written");
    assert_eq!(
        with(&["--listen", "127.0.0.1:0"]),
        Some(1),
        "the old key beside the new public key"
    );
    std::fs::write(&kept, "nonsense").expect("written");
    assert_eq!(with(&["--listen", "127.0.0.1:0"]), Some(1), "it does not begin anew");
}

/// Waits until the witness has confirmed the last checkpoint, and returns what the payer says of it.
#[track_caller]
fn confirmed(payer: &TestPayer) -> Value {
    let began = Instant::now();
    loop {
        let told = covered(payer);
        if told["witnesses"][0]["size"] == told["size"] {
            return told;
        }
        assert!(began.elapsed() < Duration::from_secs(180), "{told}: {}", payer.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn of_metric(payer: &TestPayer, outcome: &str) -> f64 {
    let text = std::thread::spawn({
        let url = format!("{}/metrics", payer.ops);
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(async { reqwest::get(url).await.expect("an answer").text().await.expect("text") })
        }
    });
    let (text, name) = (
        text.join().expect("metrics"),
        format!("causeway_ledger_witness_total{{outcome=\"{outcome}\"}} "),
    );
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[test]
fn a_payer_asks_its_witness_and_auditors_can_demand_it() {
    let home = tempfile::tempdir().expect("a folder");
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let key = key.expect("a key");
    // Nobody else takes this port while nobody listens there.
    let [port, _] = free_ports();
    let witness = Witness::start_at(&home.path().join("witness"), &[&key], &format!("127.0.0.1:{port}"));
    let named = format!("{} {}", witness.url, witness.key.text());
    let asks = ("CAUSEWAY_LEDGER__WITNESSES", named.as_str());
    payer.serve_with(&[SOON, asks]);
    let began = Instant::now();
    let told = loop {
        let told = confirmed(&payer);
        let note = told["note"].as_str().expect("a note");
        assert!(matches!(witness.key.word(note), WitnessWord::Confirmed(_)), "{note}");
        let printed = payer.command(&["audit", "checkpoint", "--witnessed"]).stdout;
        let printed = String::from_utf8_lossy(&printed);
        // The server may raise an alert meanwhile, which is an entry too.
        if printed == note {
            break told;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{printed} is not {note}");
    };
    assert!(of_metric(&payer, "confirmed") >= 1.0);

    // A dead witness costs nothing: entries get their places, and checkpoints are signed.
    let url = witness.url.clone();
    drop(witness);
    payer.command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    let later = covered(&payer);
    assert!(later["size"].as_u64() > told["size"].as_u64());
    let began = Instant::now();
    while of_metric(&payer, "unreachable") < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(payer.log().contains("a witness does not answer"), "{}", payer.log());
    payer.json_command(&["audit", "export", "before"]);
    let before = payer.home().join("before");
    let size = told["size"].as_u64();
    let found = ours_with(&before, &key, None, Some(&told_key(&told)));
    assert!(
        found.result == LedgerResult::Ok && found.witnessed >= size,
        "{size:?}: {found:?}"
    );
    let (code, _, said) = python_with(&before, &key, None, Some(&told_key(&told)));
    assert!(
        code == 0 && said.contains(&format!("\"witnessed\": {}", found.witnessed.expect("a size"))),
        "{said}"
    );

    // It comes back, and confirms the newest one.
    let address = url.strip_prefix("http://").expect("an address");
    let back = Witness::start_at(&home.path().join("witness"), &[&key], address);
    let told = confirmed(&payer);
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    payer.json_command(&["audit", "export", "exported"]);
    let exported = payer.home().join("exported");
    let own = &["audit", "verify", "--json", "--witness"];
    let verified = payer.command(&[own.as_slice(), &[&back.key.text()]].concat());
    let verified_told: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
    assert_eq!(verified.status.code(), Some(0), "{verified_told}");
    assert!(
        verified_told["witnessed"].as_u64() >= told["size"].as_u64(),
        "{verified_told}"
    );
    assert_eq!(
        ours_with(&exported, &key, None, Some(&back.key)).result,
        LedgerResult::Ok
    );

    // Another witness has said nothing, and a key of another kind is none of a witness.
    let stranger = WitnessKey {
        name: "witness.example/w2".to_owned(),
        ..back.key.clone()
    };
    assert_eq!(
        ours_with(&exported, &key, None, Some(&stranger)).result,
        LedgerResult::Incomplete
    );
    assert_eq!(python_with(&exported, &key, None, Some(&stranger)).0, 3);
    let wrong = payer.command(&[own.as_slice(), &[&key.text()]].concat());
    assert_eq!(wrong.status.code(), Some(3), "it is taken for the name of a file");

    // A line that only claims to be its own.
    let path = exported.join("checkpoint");
    let note = std::fs::read_to_string(&path).expect("a checkpoint");
    let (text, signatures) = note.split_once("\n\n").expect("signatures");
    let own = signatures.lines().next().expect("the line of the log");
    let claimed = back
        .key
        .line(&key.open(&note).expect("signed"), 1_800_000_000, |_| vec![7; 64]);
    std::fs::write(&path, format!("{text}\n\n{own}\n{claimed}")).expect("written");
    let _ = std::fs::remove_dir_all(exported.join("witnessed"));
    let found = ours_with(&exported, &key, None, Some(&back.key));
    assert_eq!(found.result, LedgerResult::Tampered);
    assert_eq!(python_with(&exported, &key, None, Some(&back.key)).0, 1);
}

fn told_key(told: &Value) -> WitnessKey {
    let key = told["witnesses"][0]["key"].as_str().expect("a key");
    WitnessKey::parse(key).expect("a key")
}

#[tokio::test]
async fn a_forked_and_a_rolled_back_log_are_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let log = Log::new();
    let all: Vec<Vec<u8>> = (0..300).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    let witness = Witness::start(&home.path().join("witness"), &[&log.key]);
    let note = log.note(&all);
    let (status, line) = witness.add(0, &[], &note).await;
    assert_eq!(status, 200);
    let folder = home.path().join("export");
    let with_line = |entries: &[Vec<u8>], confirmed: &str| {
        let mut files = log.export(entries);
        files.insert("witnessed/1".to_owned(), confirmed.as_bytes().to_vec());
        write(&folder, &files);
        let ours = ours_with(&folder, &log.key, None, Some(&witness.key));
        let (code, _, said) = python_with(&folder, &log.key, None, Some(&witness.key));
        assert_eq!(code, super::exit(ours.result), "{said}: {ours:?}");
        ours.result
    };
    let confirmed = format!("{note}{line}");
    assert_eq!(with_line(&all, &confirmed), LedgerResult::Ok);

    // The history is changed and signed again with the real key.
    let mut changed = all.clone();
    changed[100] = b"{\"n\":\"another\"}".to_vec();
    assert_eq!(
        witness.add(300, &[], &log.note(&changed)).await,
        (409, "300\n".to_owned())
    );
    changed.push(b"{}".to_vec());
    assert_eq!(witness.add(300, &[[7; 32]], &log.note(&changed)).await.0, 422);
    assert_eq!(with_line(&changed, &confirmed), LedgerResult::Forked);

    // An old state is put back.
    let older = log.note(&all[..200]);
    assert_eq!(witness.add(0, &[], &older).await, (409, "300\n".to_owned()));
    assert_eq!(witness.add(300, &[], &older).await.0, 400);
    assert_eq!(with_line(&all[..200], &confirmed), LedgerResult::Forked);

    // The witness's line is put on a checkpoint that it never saw.
    assert_eq!(
        with_line(&changed, &format!("{}{line}", log.note(&changed))),
        LedgerResult::Tampered
    );
}

#[test]
fn a_payer_whose_witness_holds_more_says_so_and_goes_on() {
    let home = tempfile::tempdir().expect("a folder");
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse);
    let key = key.expect("a key");
    // The witness has confirmed a tree of the same log that is not this one: its key signs another history.
    let pem = std::fs::read_dir(super::store::folder(&payer))
        .expect("a folder")
        .find_map(|file| {
            let path = file.expect("a file").path();
            path.extension().is_some_and(|end| end == "key").then_some(path)
        });
    let pem = std::fs::read_to_string(pem.expect("a key")).expect("a key");
    let real = Log {
        key: key.clone(),
        signing: causeway::secret::ed25519::Ed25519Key::from_pem(&pem).expect("a key"),
    };
    let witness = Witness::start(&home.path().join("witness"), &[&key]);
    let many: Vec<Vec<u8>> = (0..5_000).map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (status, _) = runtime.block_on(witness.add(0, &[], &real.note(&many)));
    assert_eq!(status, 200);
    let named = format!("{} {}", witness.url, witness.key.text());
    payer.serve_with(&[SOON, ("CAUSEWAY_LEDGER__WITNESSES", &named)]);
    let began = Instant::now();
    while of_metric(&payer, "contradicted") < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(payer.log().contains("audit_fork"), "{}", payer.log());
    let found = payer.command(&["audit", "verify", "--witness", &witness.key.text()]);
    assert_eq!(found.status.code(), Some(3), "nothing of this ledger is confirmed");
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
}

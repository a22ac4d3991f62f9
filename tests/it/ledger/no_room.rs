//! A disk that is full, and an fsync that fails: nothing is disclosed without its entry, no checkpoint is seen before it is on the disk, and
//! the ledger goes on by itself when it can.

use super::store::{SOON, covered, folder};
use crate::full_disk::{NO_LIMITS, eventually, on_small_disk};
use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::{TestPayer, program};
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::synth::Variation;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Refused reads in each round.
const REFUSED: usize = 20;
/// Sync calls of the writing thread before all further ones fail: more than a slow start and the first answers need.
const SYNCS: u32 = 80;
/// A partner may ask as fast as it can.
const FAST: (&str, &str) = ("CAUSEWAY_LIMITS__PARTNER_REQUEST_RATE", "1000000");
/// One token lasts for a whole test.
const LONG: (&str, &str) = ("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "3600");

/// A read under this name; `None` when no answer comes.
async fn read(client: &Client, token: &str, id: &str, name: &str) -> Option<Reply> {
    let asked = client.http.get(format!("{}/fhir/Patient/{id}", client.origin));
    let sent = asked
        .bearer_auth(token)
        .header("X-Correlation-Id", name)
        .send()
        .await
        .ok()?;
    let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
    Some(Reply {
        status,
        headers,
        body: sent.bytes().await.ok()?.to_vec(),
    })
}

/// Each of these reads has the entry that goes before it.
#[track_caller]
fn assert_entries(payer: &TestPayer, disclosed: &[String]) {
    for name in disclosed {
        let entry = format!("ledger_entry WHERE correlation_id = '{name}' AND action = 'disclosure.begun'");
        assert_eq!(payer.count(&entry), 1, "{name} was disclosed");
    }
}

#[track_caller]
fn assert_verified(payer: &TestPayer) {
    let verified = payer.command(&["audit", "verify"]);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f14_a_full_disk_discloses_nothing_without_its_entry_and_the_tree_goes_on_by_itself() {
    let Some((disk, mut payer, client)) = on_small_disk(24) else {
        return;
    };
    payer.serve_with(&[NO_LIMITS[0], NO_LIMITS[1], SOON, FAST, LONG]);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let first = covered(&payer);
    let (mut disclosed, mut number) = (Vec::new(), 0);
    for round in 0..2 {
        let (began, mut refused) = (Instant::now(), 0);
        while refused < REFUSED {
            // Until the store has used up what room it had taken already.
            disk.fill(0);
            number += 1;
            let name = format!("no-room-{number}");
            let reply = read(&client, &token, &id, &name).await.expect("an answer");
            if reply.status == 200 {
                disclosed.push(name);
            } else {
                assert_eq!(reply.status, 503, "{}", reply.text());
                let code = reply.json()["issue"][0]["details"]["coding"][0]["code"].to_string();
                let known = [Fault::AuditUnavailable, Fault::NoRoom].map(|fault| format!("\"{}\"", fault.code()));
                assert!(known.contains(&code), "{code}");
                assert_ne!(reply.header("retry-after"), "");
                refused += 1;
            }
            assert!(
                began.elapsed() < Duration::from_secs(300),
                "round {round}: nothing is refused"
            );
        }
        assert!(payer.is_running(), "{}", payer.log());
        disk.empty();
        eventually("reads are answered again", async || {
            read(&client, &token, &id, "after")
                .await
                .is_some_and(|reply| reply.status == 200)
        })
        .await;
        let now = covered(&payer);
        assert!(now["size"].as_u64() > first["size"].as_u64(), "{now}");
    }
    assert_entries(&payer, &disclosed);
    assert_verified(&payer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_discloses_nothing_and_the_next_process_has_all_that_was_answered() {
    if on_postgres() {
        return;
    }
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(b"NOTE: strace is not installed: no fsync failed\n");
        return;
    }
    let (mut payer, client) = TestPayer::prepare(4);
    let log = payer.home().join("causeway.db-wal");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o", "/dev/null", "-P"])
        .arg(&log)
        .args(["-e", "trace=fsync,fdatasync", "-e"])
        .arg(format!("inject=fsync,fdatasync:error=EIO:when={SYNCS}+"))
        .arg(program(payer.home()).get_program())
        .args(["serve", "--quiet", "--log-file", "server.log"])
        .current_dir(payer.home())
        .env_remove("DATABASE_URL")
        .envs([SOON, FAST, LONG])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    payer.spawn(command);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let (mut disclosed, mut number, began) = (Vec::new(), 0, Instant::now());
    while payer.is_running() {
        number += 1;
        let name = format!("no-sync-{number}");
        match read(&client, &token, &id, &name).await {
            Some(reply) if reply.status == 200 => disclosed.push(name),
            Some(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(began.elapsed() < Duration::from_secs(180), "every fsync goes well");
    }
    let ended = payer.await_end(Duration::from_secs(10));
    assert!(!ended.success(), "{ended}: {}", payer.log());
    assert!(!disclosed.is_empty());
    payer.serve_with(&[SOON]);
    assert_entries(&payer, &disclosed);
    read(&client, &token, &id, "after")
        .await
        .expect("an answer")
        .assert_status(200);
    covered(&payer);
    assert_verified(&payer);
}

#[test]
fn a_checkpoint_that_cannot_be_kept_is_not_stored_and_is_signed_as_soon_as_it_can() {
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    let before = payer.json_command(&["audit", "checkpoint"]);
    let files = std::fs::read_dir(folder(&payer)).expect("the folder of the log");
    let kept = files
        .map(|file| file.expect("a file").path())
        .find(|path| path.extension().is_some_and(|end| end == "checkpoint"))
        .expect("a checkpoint");
    let (note, new) = (
        std::fs::read_to_string(&kept).expect("a note"),
        kept.with_extension("checkpoint.new"),
    );
    // Where the next one is written first, there is a folder.
    std::fs::create_dir(&new).expect("made");
    payer.serve_with(&[SOON]);
    let began = Instant::now();
    while payer.count("ledger_leaf") < payer.count("ledger_entry") {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(2_500));
    let now = payer.json_command(&["audit", "checkpoint"]);
    assert_eq!(now["note"], before["note"], "nobody sees what is not on the disk");
    assert_eq!(std::fs::read_to_string(&kept).expect("a note"), note);
    assert!(payer.is_running());
    std::fs::remove_dir(&new).expect("removed");
    let after = covered(&payer);
    assert!(after["size"].as_u64() > before["size"].as_u64(), "{after}");
    assert_eq!(payer.terminate(), Some(0), "{}", payer.log());
    assert_verified(&payer);
}

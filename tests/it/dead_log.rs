//! The log is not the service: whatever happens to what it is written to, requests are answered and `/ready` says 200.

use crate::support::client::Client;
use crate::support::payer::{TestPayer, program};
use crate::support::small_disk::SmallDisk;
use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Requests that bring more lines than may wait, and requests that bring enough for anything else to fail.
const FULL: usize = 2_000;
const SOME: usize = 400;
const CLIENTS: usize = 8;

/// So many requests, each answered before its client gives up; how many lines of the log were dropped meanwhile.
async fn serves(payer: &TestPayer, client: Client, requests: usize) -> u64 {
    let (client, next) = (Arc::new(client), Arc::new(AtomicUsize::new(0)));
    let asking = (0..CLIENTS).map(|_| {
        let (client, next) = (Arc::clone(&client), Arc::clone(&next));
        tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < requests {
                client.get("no-token", "Patient/x").await.assert_status(401);
            }
        })
    });
    for task in asking.collect::<Vec<_>>() {
        task.await.expect("every request is answered");
    }
    let ready = client
        .http
        .get(format!("{}/ready", payer.ops))
        .send()
        .await
        .expect("an answer");
    assert_eq!(ready.status(), 200);
    dropped(payer, &client).await
}

async fn dropped(payer: &TestPayer, client: &Client) -> u64 {
    let metrics = client
        .http
        .get(format!("{}/metrics", payer.ops))
        .send()
        .await
        .expect("an answer");
    let text = metrics.text().await.expect("text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("causeway_log_lines_dropped_total "));
    line.and_then(|count| count.parse().ok()).expect("a counter")
}

/// A server of this payer that logs as much as it can.
fn server(payer: &TestPayer) -> Command {
    let mut command = program(payer.home());
    command.arg("serve").stdout(Stdio::null());
    command
        .env("CAUSEWAY_LOG__LEVEL", "debug")
        .env("CAUSEWAY_LIMITS__DRAIN_SECONDS", "10");
    command
}

/// SIGTERM ends it in its time, whatever waits in the log.
fn ends(payer: &mut TestPayer) {
    let begun = Instant::now();
    assert_eq!(payer.terminate(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "it took {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_file_on_a_full_disk_stops_nothing_and_is_written_again_when_there_is_room() {
    let (mut payer, client) = TestPayer::prepare(1);
    let disk = SmallDisk::mount(16, "the log goes to /dev/full instead");
    let path = disk
        .as_ref()
        .map_or("/dev/full".into(), |disk| disk.path().join("server.log"));
    let mut command = server(&payer);
    command.arg("--log-file").arg(&path).stderr(Stdio::null());
    payer.spawn(command);
    if let Some(disk) = &disk {
        disk.fill(0);
    }
    serves(&payer, client, FULL).await;
    if let Some(disk) = &disk {
        // What waits is more than the disk has, so nothing more is written before it has room.
        let before = std::fs::metadata(&path).expect("a log").len();
        disk.empty();
        // Written again, whole lines each, as soon as it is tried again.
        let begun = Instant::now();
        while std::fs::metadata(&path).expect("a log").len() <= before {
            assert!(begun.elapsed() < Duration::from_secs(60), "the log stays as it is");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    ends(&mut payer);
    if disk.is_some() {
        let text = std::fs::read_to_string(&path).expect("a log");
        assert!(text.contains("draining"), "the last lines are missing");
        for line in text.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stderr_whose_reader_has_gone_stops_nothing_and_what_is_lost_is_counted() {
    let (mut payer, client) = TestPayer::prepare(1);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = server(&payer);
    command.stderr(writer);
    payer.spawn(command);
    drop(reader);
    let lost = serves(&payer, client, FULL).await;
    assert!(lost > 0, "nothing was counted");
    ends(&mut payer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stderr_that_nobody_reads_stops_nothing() {
    let (mut payer, client) = TestPayer::prepare(1);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = server(&payer);
    command.stderr(writer);
    payer.spawn(command);
    serves(&payer, client, FULL).await;
    ends(&mut payer);
    drop(reader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stderr_on_a_full_device_stops_neither_start_nor_requests() {
    let (mut payer, client) = TestPayer::prepare(1);
    let full = File::options().write(true).open("/dev/full").expect("a device");
    let mut command = server(&payer);
    command.stderr(full);
    payer.spawn(command);
    serves(&payer, client, SOME).await;
    ends(&mut payer);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_pipe_as_log_file_that_nobody_reads_stops_nothing_and_without_a_reader_is_refused() {
    let (mut payer, client) = TestPayer::prepare(1);
    let pipe = payer.home().join("log.pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let refused = server(&payer).arg("--log-file").arg(&pipe).output().expect("it ends");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("--log-file"), "{said}");
    // Open for both, as nobody waits for the other end then; it reads nothing.
    let reader = File::options().read(true).write(true).open(&pipe).expect("a pipe");
    let mut command = server(&payer);
    command.arg("--log-file").arg(&pipe).stderr(Stdio::null());
    payer.spawn(command);
    serves(&payer, client, SOME).await;
    ends(&mut payer);
    drop(reader);
}

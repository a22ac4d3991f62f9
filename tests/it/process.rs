//! The program as a process: signals, closed streams, `--quiet`, and for whom the log is written.

use crate::support::client::{ALL_SCOPES, http};
use crate::support::memory;
use crate::support::payer::{PARTNER_URI, TestPayer, binary};
use crate::support::pki::Kind;
use crate::support::store::on_postgres;
use crate::support::wire::Wire;
use causeway::cli::Cli;
use clap::CommandFactory as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What must come to pass within a minute.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, id: u32) {
    let sent = Command::new("kill").args([signal, &id.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "{signal} to {id}");
}

/// Whether the process handles this signal, as the kernel says.
fn handles(id: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

const SIGHUP: u32 = 1;
const SIGTERM: u32 = 15;

/// In this time a busy machine ends a server that is told to stop. A client that keeps its connection open is let go only later.
const STOPPED: Duration = Duration::from_secs(45);

/// The program. It has longer for a stop than any of them takes, so that it ends well however busy the machine is.
fn program(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(home)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null());
    command.env("CAUSEWAY_LIMITS__DRAIN_SECONDS", "300");
    command
}

fn is_ready(payer: &TestPayer) -> bool {
    ops(payer, "/ready").starts_with("HTTP/1.1 200")
}

fn ops(payer: &TestPayer, path: &str) -> String {
    use std::io::Write as _;
    let mut text = String::new();
    if let Ok(mut stream) = std::net::TcpStream::connect(payer.ops.trim_start_matches("http://")) {
        let _ = write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        let _ = stream.read_to_string(&mut text);
    }
    text
}

/// Ends with the test, however that ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn ends(&mut self, within: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a status") {
                assert!(begun.elapsed() <= within, "it took {:?}", begun.elapsed());
                return status.code();
            }
            assert!(begun.elapsed() < within + Duration::from_secs(10), "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn sighup_renews_certificates_log_file_and_level_and_never_kills() {
    let (payer, client) = TestPayer::prepare(1);
    let home = payer.home().to_owned();
    let log = |name: &str| std::fs::read_to_string(home.join(name)).unwrap_or_default();
    let mut command = program(&home);
    command.args(["serve", "--log-file", "first.log"]);
    let mut server = Server(command.stderr(Stdio::null()).spawn().expect("the server starts"));
    eventually("the server is ready", || is_ready(&payer));

    // A token is no longer given to who holds a certificate of the authority that is gone.
    client.token("system/Patient.rs").await;
    let config = std::fs::read_to_string(home.join("causeway.toml")).expect("a configuration");
    std::fs::write(home.join("causeway.toml"), config.replace("\"warn\"", "\"info\"")).expect("a file");
    std::fs::rename(home.join("first.log"), home.join("moved.log")).expect("moved");
    let said = "key sets and the log were renewed";
    for _ in 0..20 {
        send("-HUP", server.0.id());
    }
    eventually("the log is written anew, at its new level", || {
        log("first.log").contains(said)
    });
    assert!(!log("moved.log").contains(said));
    let reply = client.get("no-token", "Patient/x").await;
    reply.assert_status(401);
    eventually("requests are in the log", || log("first.log").contains("\"answered\""));

    // A configuration that cannot be read changes nothing but is told.
    std::fs::write(home.join("causeway.toml"), "[sever]").expect("a file");
    send("-HUP", server.0.id());
    eventually("the failure is told", || {
        log("first.log").contains("configuration cannot be read")
    });
    eventually("it serves on", || is_ready(&payer));
    send("-TERM", server.0.id());
    assert_eq!(server.ends(STOPPED), Some(0));
}

#[test]
fn sigterm_and_sighup_while_the_server_starts_end_it_at_once_or_change_nothing() {
    let (payer, _) = TestPayer::prepare(1);
    let home = payer.home().to_owned();
    // Reading this configuration waits for somebody who writes it.
    assert!(
        Command::new("mkfifo")
            .arg(home.join("slow.toml"))
            .status()
            .expect("mkfifo")
            .success()
    );
    let mut command = program(&home);
    command.args(["serve", "--config", "slow.toml"]).stderr(Stdio::piped());
    let mut server = Server(command.spawn().expect("the server starts"));
    let id = server.0.id();
    eventually("it listens to signals", || handles(id, SIGTERM) && handles(id, SIGHUP));
    send("-HUP", id);
    assert!(server.0.try_wait().expect("a status").is_none());
    send("-TERM", id);
    assert_eq!(server.ends(STOPPED), Some(0));
    let mut said = String::new();
    let stderr = server.0.stderr.as_mut().expect("piped");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_ends_a_draining_server_at_once() {
    let (payer, mut client) = TestPayer::prepare(1);
    let mut server = Server(
        program(payer.home())
            .args(["serve", "--quiet"])
            .spawn()
            .expect("the server starts"),
    );
    eventually("the server is ready", || is_ready(&payer));
    // A request whose body does not come to its end holds the stop for twenty seconds, after which it would be a good one.
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let mut stream = Wire::new(&payer, Some(&pair)).open();
    let head = format!(
        "POST /fhir/Observation/_search HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 20000\r\n\r\n{}",
        "x".repeat(15_000)
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream.flush().expect("written");
    send("-TERM", server.0.id());
    eventually("it drains", || ops(&payer, "/ready").starts_with("HTTP/1.1 503"));
    send("-TERM", server.0.id());
    assert_eq!(server.ends(STOPPED), Some(1));
    drop(stream);
}

#[tokio::test]
async fn a_server_whose_output_nobody_reads_any_more_serves_on() {
    let (payer, client) = TestPayer::prepare(1);
    let mut command = program(payer.home());
    command.arg("serve").env("CAUSEWAY_LOG__LEVEL", "debug");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server(command.spawn().expect("the server starts"));
    let mut first = String::new();
    let mut stderr = BufReader::new(server.0.stderr.take().expect("piped"));
    stderr.read_line(&mut first).expect("a line");
    drop((stderr, server.0.stdout.take()));
    eventually("the server is ready", || is_ready(&payer));
    for _ in 0..20 {
        client.get("no-token", "Patient/x").await.assert_status(401);
    }
    client.token("system/Patient.rs").await;
    send("-TERM", server.0.id());
    assert_eq!(server.ends(STOPPED), Some(0));
}

#[test]
fn a_command_whose_reader_has_gone_ends_as_if_it_had_been_read() {
    let home = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["faults"][..],
        &["config", "--effective"],
        &["config", "--effective", "--json"],
    ] {
        let mut command = program(home.path());
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_list_of_faults_says_how_grave_each_is_and_what_an_operator_does() {
    let home = tempfile::tempdir().expect("a folder");
    let output = program(home.path()).arg("faults").output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let head = told.lines().next().unwrap_or_default();
    assert!(head.contains("SEVERITY"), "{head}");
    let row = told.lines().find(|line| line.starts_with("SV-003")).expect("a row");
    assert!(row.contains("fatal") && row.contains("restore a backup"), "{row}");
}

#[test]
fn a_line_on_the_admin_socket_that_is_no_command_runs_nothing_and_is_told_so() {
    if on_postgres() {
        return; // There is no admin socket: commands open the store themselves.
    }
    let (payer, _client) = TestPayer::start(1);
    for line in ["", "partner list", "{\"args\":"] {
        let mut stream = UnixStream::connect(payer.home().join("admin.sock")).expect("the admin socket");
        writeln!(stream, "{line}").expect("sent");
        let mut told = String::new();
        stream.read_to_string(&mut told).expect("an answer");
        let frames: Vec<serde_json::Value> = told
            .lines()
            .map(|frame| serde_json::from_str(frame).expect("JSON"))
            .collect();
        assert_eq!(frames.len(), 2, "{told}");
        assert!(frames[0]["err"].is_string(), "{told}");
        assert_eq!(frames[1], serde_json::json!({"exit": 2}), "{told}");
    }
}

#[test]
fn the_admin_socket_reads_no_command_without_end_and_serves_the_next() {
    if on_postgres() {
        return; // There is no admin socket: commands open the store themselves.
    }
    let (payer, _client) = TestPayer::start(1);
    let socket = payer.home().join("admin.sock");
    let mut endless = UnixStream::connect(&socket).expect("the admin socket");
    let piece = vec![b'x'; 64 * 1024];
    let written = (0..1024).take_while(|_| endless.write_all(&piece).is_ok()).count();
    assert!(written < 200, "{} MiB of one line were read", written / 16);
    // One that says nothing is closed, so that it holds no place.
    let mut silent = UnixStream::connect(&socket).expect("the admin socket");
    silent
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket option");
    assert_eq!(silent.read(&mut [0; 1]).expect("its end"), 0);
    payer.json_command(&["partner", "list"]);
}

/// A client file of the conformance runner for the partner of this payer.
fn client_file(payer: &TestPayer, jwk: &serde_json::Value) {
    let pair = payer.pki.client(crate::support::payer::PARTNER_URI, Kind::Good);
    let file = "client_id = \"new-payer\"\njwks = \"private.json\"\ncertificate = \"c.pem\"\nkey = \"c.key\"\nca = \"ca.pem\"\n";
    for (name, text) in [
        ("client.toml", file),
        ("private.json", &jwk.to_string()),
        ("c.pem", &pair.certificate),
        ("c.key", &pair.key),
    ] {
        std::fs::write(payer.home().join(name), text).expect("a file");
    }
}

/// Under `--quiet` stderr is empty, whatever was to be remarked.
#[test]
fn with_quiet_a_command_that_succeeds_leaves_stderr_empty() {
    let (mut payer, client) = TestPayer::prepare(3);
    client_file(&payer, &client.key.private_jwk());
    // Two lines are refused and one is stored: that is done, with counts that nobody asked to hear.
    let lines =
        "{\"resourceType\":\"Patient\"}\n{}\n{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"One\"}\n";
    std::fs::write(payer.home().join("bad.ndjson"), lines).expect("a file");
    let base = format!("{}/fhir", payer.origin);
    let before: &[(&str, &[&str])] = &[
        ("config", &["config", "--effective"]),
        ("faults", &["faults"]),
        ("synth", &["synth", "--members", "3", "--out", "made"]),
        ("import", &["import", "members"]),
        ("durability", &["durability"]),
        ("policy", &["policy", "list"]),
    ];
    let served: &[(&str, &[&str])] = &[
        ("import", &["import", "bad.ndjson"]),
        ("partner", &["partner", "list"]),
        ("partner", &["partner", "show", "new-payer"]),
        ("partner", &["partner", "suspend", "new-payer", "--reason", "a try"]),
        ("partner", &["partner", "resume", "new-payer"]),
        ("operator", &["operator", "token", "--role", "auditor"]),
        ("review", &["review", "list"]),
        ("link", &["link", "list"]),
        (
            "conformance",
            &[
                "conformance",
                "run",
                "--base-url",
                &base,
                "--client",
                "client.toml",
                "--suite",
                "smart-backend/discovery",
            ],
        ),
    ];
    // What no call above tries (because it takes long, or needs much to be there) is asked for its help at least.
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        if !before.iter().chain(served).any(|(tried, _)| *tried == name) {
            quiet(&payer.command(&[name, "--help", "--quiet"]), &[name]);
        }
    }
    for (_, arguments) in before {
        for more in [&["--quiet"][..], &["--quiet", "--json"]] {
            quiet(&payer.command(&[arguments, more].concat()), arguments);
            let _ = std::fs::remove_dir_all(payer.home().join("made"));
        }
    }
    payer.serve();
    for (_, arguments) in served {
        quiet(&payer.command(&[arguments, &["--quiet"][..]].concat()), arguments);
    }
}

#[track_caller]
fn quiet(output: &Output, arguments: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), said.as_ref()), (Some(0), ""), "{arguments:?}");
}

#[tokio::test]
async fn a_quiet_server_writes_nothing_but_errors_and_a_quiet_demo_neither() {
    let (payer, client) = TestPayer::prepare(1);
    let mut command = program(payer.home());
    command.args(["serve", "--quiet"]).env("CAUSEWAY_LOG__LEVEL", "trace");
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut server = Server(child);
    eventually("the server is ready", || is_ready(&payer));
    client.get("no-token", "Patient/x").await.assert_status(401);
    client.token("system/Patient.rs").await;
    send("-HUP", server.0.id());
    client.token("system/Patient.rs").await;
    send("-TERM", server.0.id());
    assert_eq!(server.ends(STOPPED), Some(0));
    for stream in [
        Box::new(server.0.stdout.take().expect("piped")) as Box<dyn std::io::Read>,
        Box::new(server.0.stderr.take().expect("piped")),
    ] {
        let mut said = String::new();
        BufReader::new(stream).read_to_string(&mut said).expect("text");
        assert_eq!(said, "");
    }

    // An error is one, also under --quiet.
    let home = memory::temporary();
    let mut command = program(home.path());
    let refused = command.args(["serve", "--quiet"]).output().expect("it ends");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("tls.certificate"));
    let mut command = program(home.path());
    let demo = command.args(["demo", "--once", "--quiet"]).output().expect("it ends");
    quiet(&demo, &["demo"]);
    assert!(!demo.stdout.is_empty(), "its story is its answer");
}

/// Runs `serve` with a pseudo-terminal for its streams, until it is ready; what it wrote.
fn at_a_terminal(payer: &TestPayer, environment: &[(&str, &str)]) -> String {
    let home = payer.home();
    let line = format!("echo $$ > id; exec {} serve", binary().display());
    let mut command = Command::new("script");
    command
        .args(["-qefc", &line, "/dev/null"])
        .current_dir(home)
        .env_remove("DATABASE_URL");
    command
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env("CAUSEWAY_LOG__LEVEL", "info");
    command
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut server = Server(command.spawn().expect("script(1) of util-linux runs"));
    eventually("the server is ready", || is_ready(payer));
    let id = std::fs::read_to_string(home.join("id")).expect("an id");
    send("-TERM", id.trim().parse().expect("a number"));
    server.ends(STOPPED);
    let mut said = String::new();
    let stdout = server.0.stdout.as_mut().expect("piped");
    stdout.read_to_string(&mut said).expect("text");
    said
}

#[test]
fn the_log_is_text_in_colours_at_a_terminal_and_json_lines_elsewhere() {
    let (payer, _) = TestPayer::prepare(1);
    let said = at_a_terminal(&payer, &[]);
    let line = said
        .lines()
        .find(|line| line.contains("listening") && line.contains("ops="))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(
        line.contains("\u{1b}[32mINFO \u{1b}[0m") && line.contains("fhir="),
        "{line:?}"
    );
    assert!(!said.contains('{'), "{said}");

    let said = at_a_terminal(&payer, &[("NO_COLOR", "1")]);
    assert!(
        said.contains("  INFO   listening") && !said.contains('\u{1b}'),
        "{said:?}"
    );
    let said = at_a_terminal(&payer, &[("CAUSEWAY_LOG__FORMAT", "json")]);
    assert!(said.contains("\"message\":\"listening\""), "{said}");

    let mut command = program(payer.home());
    command
        .arg("serve")
        .env("CAUSEWAY_LOG__LEVEL", "info")
        .stderr(Stdio::piped());
    let mut server = Server(command.spawn().expect("the server starts"));
    eventually("the server is ready", || is_ready(&payer));
    send("-TERM", server.0.id());
    assert_eq!(server.ends(STOPPED), Some(0));
    let stderr = BufReader::new(server.0.stderr.take().expect("piped"));
    let lines: Vec<String> = stderr.lines().map(|line| line.expect("text")).collect();
    let events = lines.iter().filter(|line| line.starts_with('{'));
    let parsed = events.map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let messages: Vec<String> = parsed
        .map(|event| event["message"].as_str().unwrap_or("").to_owned())
        .collect();
    assert!(
        messages.contains(&"listening".to_owned()) && messages.contains(&"draining".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with(['{', 'F', 'o']) && !line.contains('\u{1b}')),
        "{lines:?}"
    );
}

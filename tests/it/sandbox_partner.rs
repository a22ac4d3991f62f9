//! `causeway sandbox-partner` as a process, and whether what the other payer sends is what our gate takes.

use crate::support::payer::binary;
use causeway_sandbox_partner::{Sandbox, SandboxScript};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn program(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(home)
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .args(args);
    command
}

fn done(home: &Path, args: &[&str]) -> Output {
    program(home, args).output().expect("the program runs")
}

#[test]
fn the_command_plays_a_script_until_a_signal_and_leaves_what_a_client_needs() {
    let home = tempfile::tempdir().expect("a folder");
    let script = "members = { count = 2, resources = 20 }\n[[rule]]\nroute = \"token\"\nrequests = \"1\"\nacts = [\"lost-reply\"]\n";
    std::fs::write(home.path().join("sandbox.toml"), script).expect("a script");
    let mut child = program(
        home.path(),
        &[
            "sandbox-partner",
            "--script",
            "sandbox.toml",
            "--folder",
            "out",
            "--json",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::null())
    .spawn()
    .expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("stdout"))
        .read_line(&mut line)
        .expect("a line");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    let text = std::fs::read_to_string(home.path().join("out/connection.json")).expect("the connection file");
    let connection: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["base_url"], connection["base_url"]);
    let port = connection["base_url"]
        .as_str()
        .and_then(|url| url.strip_prefix("https://localhost:")?.strip_suffix("/fhir"));
    std::net::TcpStream::connect(("127.0.0.1", port.expect("a port").parse().expect("a number"))).expect("it listens");
    for name in [
        "ca.pem",
        "client.pem",
        "client.key",
        "client-jwks.json",
        "partner.toml",
        "match.json",
    ] {
        assert!(home.path().join("out").join(name).is_file(), "{name}");
    }
    let sent = Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_command_refuses_an_address_beyond_this_machine_and_a_script_that_it_does_not_know() {
    let home = tempfile::tempdir().expect("a folder");
    for (script, exit, said) in [
        ("listen = \"0.0.0.0:8443\"", 2, "loopback only"),
        ("listen = \"203.0.113.5:8443\"", 2, "loopback only"),
        ("rules = []", 2, "unknown field `rules`"),
        ("", 0, "can be played"),
    ] {
        std::fs::write(home.path().join("s.toml"), script).expect("a script");
        let done = done(home.path(), &["sandbox-partner", "--script", "s.toml", "--check"]);
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert_eq!(done.status.code(), Some(exit), "{text}");
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(
        done(home.path(), &["sandbox-partner", "--script", "missing.toml"])
            .status
            .code(),
        Some(3)
    );
}

#[test]
fn the_registration_that_it_writes_is_taken_by_partner_add() {
    let home = tempfile::tempdir().expect("a folder");
    for hrex in ["1.0", "1.1", "1.2"] {
        let script = SandboxScript::from_toml(&format!("hrex = \"{hrex}\"")).expect("a script");
        let sandbox = Sandbox::start(script).expect("a sandbox");
        sandbox.write_files(home.path()).expect("written");
        let registration = causeway::partner::Registration::read(&home.path().join("partner.toml"), true);
        let registration = registration.unwrap_or_else(|failure| panic!("{}", failure.remedy_text()));
        assert_eq!(registration.row.id, "sandbox-payer");
        assert!(
            registration
                .row
                .endpoint
                .is_some_and(|endpoint| endpoint.contains(&sandbox.base_url()))
        );
    }
}

#[test]
fn a_record_of_the_other_payer_passes_our_gate_in_every_version() {
    for (pdex, us_core) in [("2.0", "3.1.1"), ("2.1", "6.1.0"), ("2.2", "6.1.0")] {
        let home = tempfile::tempdir().expect("a folder");
        let script = format!("pdex = \"{pdex}\"\nus_core = \"{us_core}\"\nmembers = {{ count = 2, resources = 90 }}");
        let sandbox = Sandbox::start(SandboxScript::from_toml(&script).expect("a script")).expect("a sandbox");
        let lines: Vec<String> = sandbox
            .members()
            .iter()
            .flat_map(|member| {
                sandbox
                    .record(member)
                    .map(|resource| resource.to_string())
                    .collect::<Vec<_>>()
            })
            .collect();
        std::fs::write(home.path().join("record.ndjson"), lines.join("\n")).expect("a file");
        let done = done(home.path(), &["import", "record.ndjson", "--json"]);
        let told = String::from_utf8_lossy(&done.stdout).into_owned();
        let said: Value =
            serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}{}", String::from_utf8_lossy(&done.stderr)));
        assert_eq!(
            (&said["rejected"], &said["stored"]),
            (&0.into(), &lines.len().into()),
            "PDex {pdex}: {said}\n{}",
            std::fs::read_to_string(home.path().join("import-rejects.ndjson")).unwrap_or_default()
        );
    }
}

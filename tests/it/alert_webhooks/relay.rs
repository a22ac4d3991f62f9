//! The example of a receiver under `deploy/`: it verifies what Causeway sends, and posts it to a chat tool once.

use super::bed::{Bed, MINUTE_MS, NOW_MS, SECRET, write};
use crate::support::hook::{Hook, HookAnswer};
use causeway::alerting::message::signature;
use causeway::clock::Clock;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A relay that runs.
struct Relay {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Relay {
    fn start(kind: &str, target: &str) -> Relay {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), &[]);
        std::fs::write(folder.path().join("chat.url"), format!("{target}\n")).expect("a file");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/alerts/relay.py");
        let mut child = Command::new("python3")
            .arg("-B")
            .arg(script)
            .args([
                "--secret-file",
                "hook.key",
                "--url-file",
                "chat.url",
                "--port",
                "0",
                "--kind",
                kind,
            ])
            .current_dir(folder.path())
            .env("no_proxy", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        Relay {
            child,
            url: line.trim().to_owned(),
            _folder: folder,
        }
    }

    async fn post(&self, signed: &str, body: &str) -> u16 {
        let request = reqwest::Client::new()
            .post(&self.url)
            .header("x-causeway-signature", signed)
            .body(body.to_owned());
        request.send().await.expect("an answer").status().as_u16()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn posted(hook: &Hook) -> Vec<Value> {
    let got = hook.got();
    got.iter()
        .map(|got| serde_json::from_str(&got.body).expect("JSON"))
        .collect()
}

#[test]
fn what_causeway_sends_comes_to_the_chat_tool_once() {
    // The chat tool fails once; then Causeway sends the message again.
    let chat = Hook::that(&[HookAnswer::Status(503)]);
    let relay = Relay::start("slack", &chat.url);
    let bed = Bed::with(&[("chat", relay.url.as_str(), "")]);
    // The relay goes by the time of this machine.
    bed.ctx.clock.set_ms(Clock::System.now_ms() - NOW_MS);
    bed.fails("a");
    bed.look();
    bed.send();
    bed.passes(MINUTE_MS);
    bed.send();
    assert_eq!(bed.count("alert_delivery WHERE state = 'delivered'"), 1);
    let posted = posted(&chat);
    assert_eq!(posted.len(), 2, "{posted:?}");
    let text = posted[1]["text"].as_str().expect("a text");
    assert!(text.starts_with("PAGE partner-failing for the operator"), "{text}");
    assert!(
        text.contains("Count: 1, partners: a. At https://localhost/fhir"),
        "{text}"
    );
}

#[tokio::test]
async fn a_message_that_is_forged_old_or_repeated_is_not_posted() {
    let chat = Hook::that(&[]);
    let relay = Relay::start("discord", &chat.url);
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let now_s = Clock::System.now_ms() / 1_000;
    let body = json!({"id": "d", "event": "clear", "alert": "partner-failing", "began_at": "x", "cleared_at": "y", "source": "z"});
    let body = body.to_string();
    let secret = SECRET.as_bytes();
    for signed in [
        "",
        "t=,v1=",
        "t=99999999999999999999,v1=00",
        signature(b"another secret", now_s, &body).as_str(),
        signature(secret, now_s, "{}").as_str(),
        signature(secret, now_s - 301, &body).as_str(),
        signature(secret, now_s + 400, &body).as_str(),
    ] {
        assert_eq!(relay.post(signed, &body).await, 401, "{signed}");
    }
    assert_eq!(
        relay.post(&signature(secret, now_s, "{}"), "{}").await,
        400,
        "it has no id"
    );
    for _ in 0..2 {
        assert_eq!(relay.post(&signature(secret, now_s - 200, &body), &body).await, 200);
    }
    let posted = posted(&chat);
    assert_eq!(posted.len(), 1, "{posted:?}");
    assert_eq!(posted[0]["content"], "CLEAR partner-failing (since x, until y) at z");
    assert_eq!(posted[0]["allowed_mentions"]["parse"], json!([]));
}

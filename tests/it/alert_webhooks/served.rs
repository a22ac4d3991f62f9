//! A running server and its receivers: it tells what waits, and does not start with receivers that it cannot tell.

use super::bed::{SECRET, verified, write};
use crate::support::hook::Hook;
use crate::support::payer::TestPayer;
use causeway::clock::Clock;
use std::time::{Duration, Instant};

#[test]
fn a_running_server_tells_what_waits() {
    let hook = Hook::that(&[]);
    let (mut payer, _) = TestPayer::prepare(1);
    write(payer.home(), &[("oncall", hook.url.as_str(), "")]);
    let file = payer.home().join("causeway.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    let alerts = "[alerts]\nreceivers = \"receivers.toml\"\n[jobs]\npoll_seconds = 1\n";
    std::fs::write(&file, format!("{config}{alerts}")).expect("written");
    payer.serve();
    let before_s = Clock::System.now_ms() / 1_000;
    payer.execute(
        "INSERT INTO alert_delivery (id, episode_id, receiver, event, state, body, made_ms) \
         VALUES ('d', 'e', 'oncall', 'begin', 'waiting', '{\"id\":\"d\"}', 0)",
    );
    payer.execute(
        "INSERT INTO job (id, kind, live_key, payload, state, priority, due_ms, lease_epoch, claims, attempts, created_ms, updated_ms) \
         VALUES ('j', 'alert-webhook', 'oncall', '', 'waiting', 0, 0, 0, 0, 0, 0, 0)",
    );
    let began = Instant::now();
    while payer.count("alert_delivery WHERE state = 'delivered'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let got = hook.got();
    let told_s = got[0].header("x-causeway-signature");
    let told_s: i64 = told_s[2..].split(',').next().expect("a time").parse().expect("seconds");
    verified(&got[0], told_s * 1_000);
    let now_s = Clock::System.now_ms() / 1_000;
    assert!((before_s..=now_s).contains(&told_s), "{told_s}, {before_s} to {now_s}");
    let shown = payer.json_command(&["alerts", "--receivers"]);
    assert_eq!(
        (
            shown["receivers"][0]["receiver"].as_str(),
            shown["receivers"][0]["waiting"].as_i64()
        ),
        (Some("oncall"), Some(0))
    );
    assert!(!payer.log().contains(SECRET) && !payer.log().contains(&hook.url));
    assert_eq!(payer.terminate(), Some(0));
}

#[test]
fn a_server_does_not_start_with_receivers_that_cannot_be_told() {
    let (payer, _) = TestPayer::prepare(1);
    let file = payer.home().join("causeway.toml");
    let config = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, format!("{config}[alerts]\nreceivers = \"receivers.toml\"\n")).expect("written");
    let refused = |wanted: &str| {
        let refused = payer.command(&["serve", "--quiet", "--log-file", "server.log"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        for part in ["OP-001", "alerts.receivers", wanted] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(payer.count("ledger_entry WHERE action = 'server.started'"), 0);
    };
    refused("Put the file of receivers there");
    for (url, wanted) in [
        ("http://hooks.example.org/x", "it is not https"),
        ("https://169.254.169.254/latest", "its address is not public"),
        ("https://chat.internal/x", "its name belongs to an internal network"),
    ] {
        write(payer.home(), &[("oncall", url, "")]);
        refused(wanted);
    }
    write(payer.home(), &[("oncall", "https://hooks.example.org/x", "")]);
    std::fs::remove_file(payer.home().join("hook.key")).expect("removed");
    refused("its secret_file cannot be used");
}

//! Exchanges by a real server process with the sandbox as the other payer: over TLS, with tokens, and through a kill.

use super::pair::{Pair, WAIT};
use causeway_sandbox_partner::SandboxRoute;
use std::time::{Duration, Instant};

#[test]
fn a_server_asks_a_partner_and_stores_the_record() {
    let pair = Pair::start("members = { count = 2, resources = 40 }");
    let shown = pair.ended(&pair.ask());
    assert_eq!(
        shown["phase"],
        "completed",
        "{shown:#}\n{}\n{:?}",
        pair.payer.log(),
        pair.sandbox.control().complaints()
    );
    assert!(
        shown["counts"]["stored"].as_i64().is_some_and(|stored| stored > 10),
        "{shown:#}"
    );
    let control = pair.sandbox.control();
    assert!(control.complaints().is_empty(), "{:?}", control.complaints());
    assert!(control.strays().is_empty());
}

#[test]
fn a_server_that_is_killed_in_the_middle_goes_on_and_asks_nothing_twice_that_was_answered() {
    let pair = Pair::start(
        "members = { count = 1, resources = 40 }\n[[rule]]\nroute = \"everything\"\nrequests = \"1\"\nacts = [{ delay = { ms = 3000 } }]\n",
    );
    let mut pair = pair;
    let id = pair.ask();
    let began = Instant::now();
    let control = pair.sandbox.control();
    while control.requests_to(SandboxRoute::MemberMatch).is_empty() || pair.show(&id)["phase"] == "requested" {
        assert!(
            began.elapsed() < WAIT,
            "{:#}\n{:?}",
            pair.show(&id),
            control.complaints()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    pair.payer.kill();
    pair.payer.serve();
    let shown = pair.ended(&id);
    assert_eq!(
        shown["phase"],
        "completed",
        "{shown:#}\n{}\n{:?}",
        pair.payer.log(),
        pair.sandbox.control().complaints()
    );
    assert_eq!(control.requests_to(SandboxRoute::MemberMatch).len(), 1);
    let unknown = shown["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|step| step["ended_at"].is_null());
    assert!(
        unknown.count() >= 1,
        "the attempt that was killed is on record: {shown:#}"
    );
}

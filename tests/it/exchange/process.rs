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
        "members = { count = 1, resources = 40 }\n[[rule]]\nroute = \"everything\"\nrequests = \"1\"\nacts = [{ delay = { ms = 120000 } }]\n",
    );
    let mut pair = pair;
    let id = pair.ask();
    let began = Instant::now();
    let control = pair.sandbox.control();
    // The match is on record before the record is asked for, whose answer does not come.
    while control.requests_to(SandboxRoute::Everything).is_empty() {
        assert!(
            began.elapsed() < WAIT,
            "{:#}\n{:?}",
            pair.show(&id),
            control.complaints()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    pair.payer.kill();
    pair.end_leases();
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

/// What a partner writes into a refusal where a person may read it.
const SAYS: &str = "<script>alert('Zebulon 555-66-7777')</script>";

#[test]
fn what_a_partner_says_in_a_refusal_and_who_the_member_is_stand_in_no_log_and_on_no_screen() {
    let outcome = format!(
        r#"{{"resourceType":"OperationOutcome","text":{{"status":"generated","div":"{SAYS}"}},"issue":[{{"severity":"error","code":"not-found","diagnostics":"{SAYS}","details":{{"text":"{SAYS}","coding":[{{"system":"{SAYS}","code":"{SAYS}"}}]}}}}]}}"#
    );
    let answer = |status: u16| {
        let media_type = "application/fhir+json";
        format!("{{ answer = {{ status = {status}, media_type = \"{media_type}\", body = '''{outcome}''' }} }}")
    };
    let pair = Pair::start(&format!(
        "offers = [\"everything\"]\nmembers = {{ count = 2, resources = 12 }}\n[[rule]]\nroute = \"member-match\"\nrequests = \"1\"\nacts = [{}]\n\
         [[rule]]\nroute = \"everything\"\nacts = [{}]\n",
        answer(422),
        answer(400)
    ));
    let unknown = pair.ask_for(1);
    pair.await_show(&unknown, |shown| shown["reason"] == "EX-012");
    let refused = pair.ask_for(2);
    let shown = pair.ended(&refused);
    assert_eq!(shown["reason"], "EX-059", "{shown:#}");
    let mut told = pair.payer.log();
    for id in [&unknown, &refused] {
        for command in [&["exchange", "show", id][..], &["trace", id], &["exchange", "list"]] {
            let said = pair.payer.command(command);
            told.push_str(&String::from_utf8_lossy(&said.stdout));
            told.push_str(&pair.payer.json_command(command).to_string());
        }
    }
    assert!(
        told.contains("EX-059") && told.contains("a partner does not give a part of a record"),
        "{told}"
    );
    for member in pair.sandbox.members() {
        let demographics = member.demographics("m");
        let family = demographics["name"][0]["family"].as_str().expect("a name");
        for secret in [family, member.number.as_str(), "Zebulon", "555-66-7777", "<script"] {
            assert!(!told.contains(secret), "{secret} stands in: {told}");
        }
    }
}

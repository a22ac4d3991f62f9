//! An erasure that is killed at each of its points comes to its end when the command is given again, or by its job.

use super::traces::{found, own_values};
use crate::ledger::store::SOON;
use crate::support::aside::Aside;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::{TestPayer, program};
use causeway::erasure::POINTS;
use causeway::synth::Variation;
use std::time::{Duration, Instant};

async fn disclosed(members: u64) -> (TestPayer, Client, String) {
    let (mut payer, client) = TestPayer::start(members);
    let token = client.token(ALL_SCOPES).await;
    let (one, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client
        .get(&token, &format!("Patient/{one}/$everything"))
        .await
        .assert_status(200);
    assert_eq!(payer.terminate(), Some(0));
    (payer, client, one)
}

fn erase(payer: &TestPayer, subject: &str, failpoint: Option<&str>) -> (Option<i32>, String) {
    let mut command = program(payer.home());
    command.args(["audit", "erase-subject", subject, "--reason", "test-data"]);
    command.args(["--legal-basis", "no-duty-to-keep", "--record"]);
    if let Some(point) = failpoint {
        command.env("CAUSEWAY_FAILPOINT", point);
    }
    let output = command.output().expect("the program runs");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[tokio::test]
async fn an_erasure_that_is_killed_is_ended_by_the_same_command() {
    let (mut payer, _, one) = disclosed(2).await;
    let (values, aside) = (own_values(&payer, &one), Aside::of(&payer));
    for point in POINTS {
        aside.put_back(&payer);
        let killed = erase(&payer, &format!("Patient/{one}"), Some(&format!("erasure.{point}")));
        assert_eq!(killed.0, None, "killed at {point}: {}", killed.1);
        payer.end_leases();
        let (code, said) = erase(&payer, &format!("Patient/{one}"), None);
        // When all was erased before the kill, there is no such member any more; what was left to do is done all the same.
        let is_gone = point == "erased";
        assert_eq!(code, Some(i32::from(is_gone)), "{point}: {said}");
        assert_eq!(found(&payer, &values, &[]), Vec::<String>::new(), "{point}");
        assert_eq!(payer.count("erasure WHERE state = 'done'"), 1, "{point}");
        assert_eq!(payer.count("ledger_entry WHERE action = 'member.erased'"), 1, "{point}");
        // A server signs at its end what is there, so that the verdict is about the erasure, too.
        payer.serve_with(&[SOON]);
        assert_eq!(payer.terminate(), Some(0), "{point}");
        let verified = payer.command(&["audit", "verify"]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
        assert_eq!(verified.status.code(), Some(0), "{point}: {said}");
    }
}

#[tokio::test]
async fn an_erasure_that_is_killed_is_ended_by_its_job() {
    let (mut payer, _, one) = disclosed(2).await;
    let values = own_values(&payer, &one);
    let killed = erase(&payer, &format!("Patient/{one}"), Some("erasure.exchanges-gone"));
    assert_eq!(killed.0, None, "{}", killed.1);
    payer.execute("UPDATE job SET due_ms = 1 WHERE kind = 'erasure'");
    payer.serve_with(&[SOON]);
    let began = Instant::now();
    while payer.count("erasure WHERE state = 'done'") == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(found(&payer, &values, &[]), Vec::<String>::new());
    assert_eq!(payer.count("ledger_entry WHERE action = 'member.erased'"), 1);
}

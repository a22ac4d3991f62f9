//! Guessing (HRex mm-7, threat C03): ten thousand walked birth dates on either store, and over HTTP what a partner sees.

use crate::full_disk::eventually;
use crate::support::client::{ALL_SCOPES, Client, http};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use crate::support::use_case::{caller, context};
use causeway::clock::Clock;
use causeway::error::Fault;
use causeway::member_match::{MatchRequest, respond};
use causeway::synth::Variation;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

/// The request for member 0 with another birth date, and one that is nobody's here.
fn born(payer: &TestPayer, days: u64) -> Value {
    born_after(payer.request(0, Variation::Exact), days)
}

fn born_after(mut body: Value, days: u64) -> Value {
    let date = NaiveDate::from_ymd_opt(1850, 1, 1).expect("a date") + Days::new(days);
    let parameters = body["parameter"].as_array_mut().expect("parameters");
    let patient = parameters
        .iter_mut()
        .find(|parameter| parameter["name"] == "MemberPatient");
    patient.expect("a patient")["resource"]["birthDate"] = json!(date.to_string());
    body
}

pub fn asking(body: &Value) -> MatchRequest {
    MatchRequest {
        body: body.to_string().into_bytes().into(),
        media_type: "application/fhir+json".into(),
        idempotency_key: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_c03_ten_thousand_guesses_yield_nothing_and_raise_the_alarm() {
    let (payer, _) = TestPayer::prepare(3);
    let ctx = context(&payer, Clock::fixed(chrono::Utc::now().timestamp_millis())).await;
    let caller = caller();
    let (mut refused, mut turned_away) = (0, 0);
    let right = payer.request(0, Variation::Exact);
    for day in 0..10_000 {
        let answered = respond(&ctx, &caller, asking(&born_after(right.clone(), day))).await;
        match answered.expect_err("never a member").fault() {
            Fault::NoUniqueMember => refused += 1,
            Fault::MatchLocked => turned_away += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, turned_away), (5, 9_995));
    assert_eq!(payer.count("ledger_entry WHERE action = 'guess.alarmed'"), 2);
    assert_eq!(payer.count("ledger_entry WHERE action = 'partner.locked'"), 1);
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'member-match.refused'"),
        10_000
    );
    assert_eq!(payer.count("grants"), 0);
    assert!(payer.count("guess") < 200, "a locked partner adds nothing");
}

/// Guesses until the partner's matching is locked; what was answered to each.
async fn guess(payer: &TestPayer, client: &Client, token: &str, days: std::ops::Range<u64>) -> Vec<u16> {
    let mut answered = Vec::new();
    for day in days {
        let reply = client.post_match(token, born(payer, day).to_string(), &[]).await;
        answered.push(reply.status);
        if reply.status == 429 {
            reply.assert_outcome(Fault::MatchLocked);
            let wait_s: u64 = reply.header("retry-after").parse().expect("seconds");
            assert!((1..=86_401).contains(&wait_s));
        }
    }
    answered
}

#[tokio::test]
async fn t_c03_over_http_a_guesser_is_turned_away_and_an_operator_lets_it_in_again() {
    let (mut payer, mut client) = TestPayer::start(3);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let answered = guess(&payer, &client, &token, 0..70).await;
    assert_eq!(answered.iter().filter(|status| **status == 422).count(), 5);
    assert_eq!(answered[5..].iter().filter(|status| **status == 429).count(), 65);
    let right = payer.request(2, Variation::Exact).to_string();
    let reply = client.post_match(&token, right.clone(), &[]).await;
    reply.assert_outcome(Fault::MatchLocked);
    assert!(!reply.text().contains("Patient/"));
    let metrics = client_text(&payer, "/metrics").await;
    for line in [
        "causeway_guess_alarms_total{kind=\"target\"} 1",
        "causeway_guess_alarms_total{kind=\"ratio\"} 1",
        "causeway_guess_alarms_total{kind=\"locked\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    eventually("the operator's alert is logged", async || {
        payer.log().contains("look like guessing")
    })
    .await;
    let shown = payer.json_command(&["partner", "show", "new-payer"]);
    assert_eq!(shown["matching"]["alarmed"], true);
    assert!(shown["matching"]["locked_until"].is_string(), "{shown}");

    let admin = payer.json_command(&["operator", "token", "--role", "admin"]);
    let partners = client.http.get(format!("{}/ops/v1/partners", payer.ops));
    let partners = partners
        .bearer_auth(admin["token"].as_str().expect("a token"))
        .send()
        .await;
    let partners: Value = partners.expect("an answer").json().await.expect("JSON");
    assert_eq!(
        partners["items"][0]["match_locked_until"], shown["matching"]["locked_until"],
        "{partners}"
    );

    // A restart forgets nothing.
    payer.kill();
    payer.serve();
    client.http = http(&payer.pki.ca, Some(&pair));
    let again = client.post_match(&token, right.clone(), &[]).await;
    again.assert_outcome(Fault::MatchLocked);

    let bare = payer.command(&["partner", "unlock", "new-payer", "--reason", " "]);
    assert_eq!(bare.status.code(), Some(2), "a reason is needed");
    let unlocked = payer.command(&[
        "partner",
        "unlock",
        "new-payer",
        "--reason",
        "their export was wrong",
        "--operator",
        "ops-7",
    ]);
    assert!(
        unlocked.status.success(),
        "{}",
        String::from_utf8_lossy(&unlocked.stderr)
    );
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'partner.unlocked' AND partner_id = 'new-payer'"),
        1
    );
    assert_eq!(
        payer.count("operator_note n JOIN ledger_entry l ON l.id = n.entry_id WHERE n.operator LIKE 'uid-%/ops-7' AND n.reason = 'their export was wrong'"),
        1
    );
    client.post_match(&token, right, &[]).await.assert_status(200);
    let unknown = payer.command(&["partner", "unlock", "nobody", "--reason", "x"]);
    assert_eq!(unknown.status.code(), Some(1));
}

async fn client_text(payer: &TestPayer, path: &str) -> String {
    let url = format!("{}{path}", payer.ops);
    let sent = reqwest::get(url).await.expect("an answer");
    sent.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_c03_guesses_at_once_are_counted_one_after_the_other() {
    let (payer, _) = TestPayer::prepare(3);
    let ctx = context(&payer, Clock::fixed(chrono::Utc::now().timestamp_millis())).await;
    let caller = caller();
    let bodies: Vec<Value> = (0..48).map(|day| born(&payer, day)).collect();
    let tasks: Vec<_> = bodies
        .iter()
        .map(|body| {
            let (ctx, caller, request) = (ctx.clone(), caller.clone(), asking(body));
            tokio::spawn(async move { respond(&ctx, &caller, request).await })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        let fault = task.await.expect("runs").expect_err("never a member").fault();
        assert!(matches!(fault, Fault::NoUniqueMember | Fault::MatchLocked), "{fault:?}");
        refused += usize::from(fault == Fault::NoUniqueMember);
    }
    assert_eq!(refused, 5, "exactly as many as one after the other");
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'guess.alarmed'"),
        1,
        "one alarm, whoever was the sixth"
    );
    assert_eq!(payer.count("decision"), 5);
}

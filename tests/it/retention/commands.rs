//! The commands and routes of retention, over a payer.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::Desk;
use crate::support::payer::{TestPayer, program};
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};

/// A decision of eleven years ago.
fn old_decision(payer: &TestPayer) {
    let at_ms = chrono::Utc::now().timestamp_millis() - 11 * 366 * 86_400_000;
    let id = causeway::ids::Ids::random().new_id(at_ms);
    let row = format!(
        "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms) \
         VALUES ('{id}', 'new-payer', 'c', 'r', 'member-match', 'none', 'v', '{{}}', {at_ms})"
    );
    diesel::sql_query(row).execute(&mut payer.db()).expect("a row");
}

#[test]
fn the_table_is_shown_and_what_is_due_is_looked_at_then_deleted() {
    let (payer, _) = TestPayer::prepare(1);
    let shown = payer.json_command(&["retention", "show"]);
    assert_eq!(shown["time"], Value::Null);
    let kinds = shown["kinds"].as_array().expect("kinds");
    let ledger = kinds.iter().find(|kind| kind["kind"] == "ledger").expect("the ledger");
    assert_eq!(
        (&ledger["kept"], &ledger["least"]),
        (&json!("10 years"), &json!("6 years"))
    );
    old_decision(&payer);
    for _ in 0..2 {
        let told = payer.json_command(&["retention", "run", "--dry-run"]);
        assert_eq!(
            (&told["items"][0]["kind"], &told["items"][0]["rows"]),
            (&json!("decisions"), &json!(1))
        );
        assert_eq!(payer.count("decision"), 1);
    }
    let told = payer.json_command(&["retention", "run"]);
    let entry = told["items"][0]["entry_id"].as_str().expect("an entry").to_owned();
    assert_eq!(payer.count("decision"), 0);
    assert_eq!(
        payer.count(&format!(
            "ledger_entry WHERE id = '{entry}' AND action = 'retention.deleted'"
        )),
        1
    );
    assert_eq!(payer.json_command(&["retention", "run"])["items"], json!([]));
    let shown = payer.json_command(&["retention", "show"]);
    let kinds = shown["kinds"].as_array().expect("kinds");
    let decisions = kinds
        .iter()
        .find(|kind| kind["kind"] == "decisions")
        .expect("decisions");
    assert_eq!(decisions["deleted"]["entry_id"], json!(entry));
    for command in [
        vec!["retention", "show"],
        vec!["retention", "run"],
        vec!["retention", "hold", "list"],
    ] {
        assert_eq!(payer.command(&command).status.code(), Some(0), "{command:?}");
    }
}

#[test]
fn a_kill_between_deleting_and_the_entry_leaves_both_undone() {
    let (payer, _) = TestPayer::prepare(1);
    old_decision(&payer);
    for point in ["retention.deleted", "retention.entered", "commit.before"] {
        let killed = program(payer.home())
            .args(["retention", "run"])
            .env("CAUSEWAY_FAILPOINT", point)
            .output()
            .expect("runs");
        assert_eq!(killed.status.code(), None, "{point}");
        assert_eq!(payer.count("decision"), 1, "{point}");
        assert_eq!(
            payer.count("ledger_entry WHERE action = 'retention.deleted'"),
            0,
            "{point}"
        );
    }
    payer.json_command(&["retention", "run"]);
    assert_eq!(payer.count("decision"), 0);
    assert_eq!(payer.count("ledger_entry WHERE action = 'retention.deleted'"), 1);
}

#[tokio::test]
async fn holds_are_placed_listed_and_released_by_command_and_by_route() {
    let (mut payer, client) = TestPayer::prepare(2);
    payer.serve_with(&[]);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let add = [
        "retention",
        "hold",
        "add",
        "--member",
        &patient,
        "--case",
        "c-1",
        "--reason",
        "a subpoena",
    ];
    let placed = payer.json_command(&add);
    assert_eq!(
        (&placed["kind"], &placed["patient_id"]),
        (&json!("member"), &json!(patient))
    );
    let id = placed["id"].as_str().expect("an id").to_owned();

    let admin = Desk::of(&payer, &client, "admin");
    let auditor = Desk::of(&payer, &client, "auditor");
    let listed = admin.all("retention/holds").await;
    assert_eq!(listed[0]["id"], json!(id));
    assert!(!listed[0].to_string().contains(&patient), "{listed:?}");
    let listed = auditor.all("retention/holds").await;
    assert_eq!(
        (&listed[0]["patient_id"], &listed[0]["reason"]),
        (&json!(patient), &json!("a subpoena"))
    );
    let body = json!({ "member": patient, "case": "c-2", "reason": "a complaint" });
    let second = admin.post("retention/holds", &body).await;
    second.assert_status(200);
    assert!(!second.text().contains(&patient), "{}", second.text());
    auditor
        .post("retention/holds", &body)
        .await
        .assert_outcome(Fault::RoleMissing);
    assert_eq!(admin.get("retention").await.json()["holds"], json!(2));
    let why = json!({ "reason": "closed" });
    let released = admin.post(&format!("retention/holds/{id}/release"), &why).await.json();
    assert!(released["released_at"].is_string(), "{released}");
    for (body, fault) in [
        (json!({ "reason": "x" }), Fault::ParameterInvalid),
        (
            json!({ "member": patient, "exchange": "x", "reason": "x" }),
            Fault::ParameterInvalid,
        ),
        (json!({ "member": "nobody", "reason": "x" }), Fault::MemberUnknown),
        (
            json!({ "member_number": "nobody", "reason": "x" }),
            Fault::MemberUnknown,
        ),
        (json!({ "exchange": "nothing", "reason": "x" }), Fault::ExchangeUnknown),
        (
            json!({ "member": patient, "case": "a/b", "reason": "x" }),
            Fault::ParameterInvalid,
        ),
        (json!({ "member": patient, "reason": "" }), Fault::ParameterInvalid),
        (json!({ "member": patient }), Fault::ParameterInvalid),
    ] {
        admin.post("retention/holds", &body).await.assert_outcome(fault);
    }
    let nothing = admin.post("retention/holds/nothing/release", &why).await;
    nothing.assert_outcome(Fault::HoldUnknown);
    let left = payer.json_command(&["retention", "hold", "list"]);
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
    let all = payer.json_command(&["retention", "hold", "list", "--all"]);
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");

    for (arguments, code) in [
        (
            vec!["retention", "hold", "add", "--member", "nobody", "--reason", "x"],
            1,
        ),
        (vec!["retention", "hold", "add", "--reason", "x"], 2),
        (vec!["retention", "hold", "release", "nothing", "--reason", "x"], 1),
        (
            vec!["retention", "hold", "add", "--member", &patient, "--reason", ""],
            2,
        ),
    ] {
        assert_eq!(payer.command(&arguments).status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn a_period_below_six_years_is_refused_by_every_command() {
    let (payer, _) = TestPayer::prepare(1);
    let refused = program(payer.home())
        .args(["retention", "show"])
        .env("CAUSEWAY_RETENTION__LEDGER_YEARS", "5")
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{told}");
    assert!(
        told.contains("OP-001") && told.contains("retention.ledger_years to 6 at least"),
        "{told}"
    );
}

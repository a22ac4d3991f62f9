//! Who did it: each command and each act over `/ops/v1` is in the ledger with whoever gave it, by our own knowledge.

use crate::support::client::ALL_SCOPES;
use crate::support::desk::{Desk, doubtful, only_review};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};

fn me() -> String {
    format!("uid-{}", rustix::process::getuid().as_raw())
}

/// The names beside the entries of this action.
fn names<'a>(entries: &'a [Value], action: &str) -> Vec<&'a str> {
    let of = entries.iter().filter(|entry| entry["action"] == action);
    of.map(|entry| entry["operator"].as_str().unwrap_or("nobody")).collect()
}

#[tokio::test]
async fn commands_on_partners_and_policies_and_what_they_show_are_entries_with_the_user_of_the_host() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact).to_string();
    let correlation = [("X-Correlation-Id", "case-1")];
    client.post_match(&token, body, &correlation).await.assert_status(200);
    let commands: &[&[&str]] = &[
        &["partner", "suspend", "new-payer", "--reason", "key lost"],
        &["partner", "resume", "new-payer"],
        &["partner", "rotate", "new-payer", "--file", "new-payer.toml"],
        &["partner", "unlock", "new-payer", "--reason", "theirs was wrong"],
        &["policy", "activate", "balanced", "--reason", "tried"],
        &["policy", "activate", "safe", "--reason", "back", "--operator", "ops-7"],
    ];
    for arguments in commands {
        payer.json_command(arguments);
    }
    let decisions = payer.json_command(&["match", "list", "--correlation", "case-1"]);
    let decision = decisions[0]["id"].as_str().expect("an id").to_owned();
    payer.json_command(&["match", "explain", &decision]);
    // A name that would not show on one line is none.
    for reason in ["", "a\nb", "\u{1b}[31mred", "a\u{202e}b"] {
        let said = payer.command(&["partner", "suspend", "new-payer", "--reason", reason]);
        assert_eq!(said.status.code(), Some(2), "{reason:?}");
    }

    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let entries = auditor.all("ledger").await;
    let me = me();
    for action in [
        "partner.added",
        "partner.suspended",
        "partner.resumed",
        "partner.rotated",
        "partner.unlocked",
    ] {
        assert_eq!(names(&entries, action), [me.as_str()], "{action}");
    }
    let suspended = entries.iter().find(|entry| entry["action"] == "partner.suspended");
    assert_eq!(suspended.expect("an entry")["note"], "key lost");
    let both = format!("{me}/ops-7");
    assert_eq!(names(&entries, "policy.activated"), [me.as_str(), both.as_str()]);
    let viewed = |entry: &&Value| entry["action"] == "operator.viewed" && entry["outcome"]["reason"] == "decisions";
    let viewed: Vec<&Value> = entries.iter().filter(viewed).collect();
    assert_eq!(viewed.len(), 2, "{viewed:?}");
    for entry in viewed {
        assert_eq!(
            (&entry["operator"], &entry["actor"]["id"]),
            (&json!(me), &json!("host"))
        );
    }
}

#[tokio::test]
async fn reviews_are_entries_with_the_name_of_the_token_whatever_the_body_says() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let asked = client.post_match(&token, doubtful(&payer, 0, 3).to_string(), &[]).await;
    assert_eq!(asked.status, 422, "{}", asked.text());
    let review = only_review(&payer);
    let reviewer = Desk::named(&payer, &client, "reviewer", "rita");
    reviewer.get(&format!("reviews/{review}")).await.assert_status(200);
    let body = json!({"verdict": "take", "operator": "somebody-else", "reason": "mine"});
    reviewer.decide(&review, &body).await.assert_status(200);
    payer.json_command(&["review", "show", &review, "--reason", "a test"]);
    payer.json_command(&[
        "review",
        "decide",
        &review,
        "--reject",
        "--operator",
        "ana",
        "--reason",
        "another",
    ]);

    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    let entries = auditor.all("ledger").await;
    let me = me();
    assert_eq!(names(&entries, "review.viewed"), ["rita", me.as_str()]);
    assert_eq!(names(&entries, "review.taken"), ["rita"]);
    assert_eq!(names(&entries, "review.decided"), [me.as_str()]);
    let traced = auditor.all(&format!("trace/{review}")).await;
    let taken = traced
        .iter()
        .find(|item| item["action"] == "review.taken")
        .expect("an item");
    assert_eq!(taken["operator"], "rita");
}

#[tokio::test]
async fn what_cannot_be_understood_is_never_an_empty_list() {
    let (payer, client) = TestPayer::start(1);
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    for list in ["decisions", "grants", "consents", "reviews", "links"] {
        for (query, fault) in [
            ("partner=nobody", Fault::PartnerUnknown),
            ("partner=%27", Fault::PartnerUnknown),
            ("cursor=%27", Fault::ParameterInvalid),
        ] {
            let reply = auditor.get(&format!("{list}?{query}")).await;
            reply.assert_outcome(fault);
        }
        auditor
            .get(&format!("{list}?partner=new-payer"))
            .await
            .assert_status(200);
    }
    for (path, fault) in [
        ("ledger?cursor=%27", Fault::ParameterInvalid),
        ("ledger?correlation=a%20b", Fault::ParameterInvalid),
        ("ledger?exchange=%27", Fault::ParameterInvalid),
        (
            "ledger?from=2026-11-27T00:00:00Z&to=2026-11-26T00:00:00Z",
            Fault::ParameterInvalid,
        ),
        ("decisions?correlation=%22", Fault::ParameterInvalid),
        ("links?state=nonsense", Fault::ParameterInvalid),
        ("links?member=nobody", Fault::MemberUnknown),
        ("links?member=M%7C1", Fault::ParameterInvalid),
        ("nonsense", Fault::RouteUnknown),
    ] {
        auditor.get(path).await.assert_outcome(fault);
    }
    let large = json!({"member_number": "1".repeat(20_000)});
    auditor
        .post("disclosures/_search", &large)
        .await
        .assert_outcome(Fault::TooLarge);
    for arguments in [
        ["match", "list", "--partner", "nobody"],
        ["review", "list", "--partner", "nobody"],
        ["link", "list", "--partner", "nobody"],
        ["grant", "list", "--partner", "nobody"],
        ["consent", "list", "--partner", "nobody"],
    ] {
        assert_eq!(payer.command(&arguments).status.code(), Some(1), "{arguments:?}");
    }
}

//! Versions of the matching policy beside a running server: imported, tried as a shadow, put in force, taken back.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A policy that matches nobody by itself: what ships, with bounds that nothing reaches and no rule that holds.
fn strict(payer: &TestPayer) -> String {
    let shown = payer.json_command(&["policy", "show", "safe"]);
    let text = shown["text"].as_str().expect("a text");
    let lines = text.lines().map(|line| match line.split_once(" = ") {
        Some((key, _)) if key.starts_with("rule.") => format!("{key} = 0"),
        Some((key @ ("safe.accept" | "safe.thin" | "safe.faint" | "safe.renamed"), _)) => format!("{key} = 5000"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

async fn status(client: &Client, token: &str, payer: &TestPayer, member: u64) -> u16 {
    let body = payer.request(member, Variation::Exact).to_string();
    client.post_match(token, body, &[]).await.status
}

/// The report of the shadow run, once it has compared so many.
async fn report(payer: &TestPayer, compared: i64) -> Value {
    let began = Instant::now();
    loop {
        let said = payer.json_command(&["policy", "shadow"]);
        if said["report"]["compared"] == compared {
            return said["report"].clone();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{said}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn states(payer: &TestPayer) -> Vec<(String, String)> {
    let listed = payer.json_command(&["policy", "list", "--kind", "matching"]);
    let text = |item: &Value, key: &str| item[key].as_str().expect("a text").to_owned();
    let items = listed.as_array().expect("versions");
    items
        .iter()
        .map(|item| (text(item, "name"), text(item, "state")))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_version_is_tried_put_in_force_and_taken_back_beside_a_running_server() {
    let (payer, client) = TestPayer::start(5);
    let token = client.token(ALL_SCOPES).await;
    assert_eq!(states(&payer), pairs(&[("safe", "active"), ("balanced", "idle")]));
    std::fs::write(payer.home().join("strict.policy"), strict(&payer)).expect("a file");
    let import = [
        "policy",
        "import",
        "strict.policy",
        "--name",
        "strict",
        "--reason",
        "to be tried",
        "--operator",
        "ops-7",
    ];
    let imported = payer.json_command(&import);
    let again = payer.json_command(&import);
    assert_eq!(imported["id"], again["id"], "the same text is the same version");
    let id = imported["id"].as_str().expect("an id").to_owned();
    let points = payer.json_command(&["policy", "diff", "balanced", "safe"]);
    assert!(
        points["changes"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["key"] == "needs.accept")),
        "two points differ in what they need: {points}"
    );
    assert_eq!(
        payer.json_command(&["policy", "show", imported["version"].as_str().expect("a version")])["id"],
        imported["id"],
        "what a decision cites names its version"
    );
    let changed = payer.json_command(&["policy", "diff", &id[..8]]);
    let keys: Vec<&str> = changed["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter_map(|c| c["key"].as_str())
        .collect();
    let (rules, bounds): (Vec<&str>, Vec<&str>) = keys.into_iter().partition(|key| key.starts_with("rule."));
    assert_eq!(bounds, ["safe.accept", "safe.thin", "safe.faint", "safe.renamed"]);
    let table = payer.json_command(&["policy", "rules", &id[..8]]);
    let table = table.as_array().expect("rules");
    assert_eq!(rules.len(), table.len());
    assert!(table.iter().all(|row| row["in_force"] == false), "all are switched off");
    let shipped = payer.json_command(&["policy", "rules"]);
    assert!(
        shipped
            .as_array()
            .is_some_and(|rows| rows.iter().any(|row| row["in_force"] == true))
    );

    assert_eq!(status(&client, &token, &payer, 2).await, 200);
    payer.json_command(&["policy", "shadow", "strict", "--reason", "before it decides"]);
    assert_eq!(
        status(&client, &token, &payer, 2).await,
        200,
        "a shadow decides nothing"
    );
    let found = report(&payer, 1).await;
    assert_eq!(
        (&found["different"], &found["risky"], &found["lost"]),
        (&1.into(), &0.into(), &1.into()),
        "{found}"
    );

    payer.json_command(&["policy", "activate", "strict", "--reason", "a test"]);
    assert_eq!(
        states(&payer),
        pairs(&[("safe", "idle"), ("balanced", "idle"), ("strict", "active")])
    );
    assert_eq!(status(&client, &token, &payer, 2).await, 422, "in force at once");
    payer.json_command(&["policy", "shadow", "safe", "--reason", "what it costs us"]);
    assert_eq!(status(&client, &token, &payer, 3).await, 422);
    let found = report(&payer, 1).await;
    assert_eq!((&found["risky"], &found["lost"]), (&1.into(), &0.into()), "{found}");

    let back = payer.json_command(&["policy", "activate", "safe", "--reason", "back to what ships"]);
    assert_eq!(
        states(&payer),
        pairs(&[("safe", "active"), ("balanced", "idle"), ("strict", "idle")])
    );
    // Whom a person has to decide on waits for that; another is matched at once.
    assert_eq!(status(&client, &token, &payer, 3).await, 422);
    assert_eq!(status(&client, &token, &payer, 4).await, 200);

    let version = |outcome: &str| {
        let condition = format!(
            "decision WHERE outcome = '{outcome}' AND policy_version = '{}'",
            back["version"].as_str().expect("one")
        );
        payer.count(&condition)
    };
    assert_eq!(
        (version("matched"), version("review") + version("none")),
        (3, 1),
        "each decision cites its version"
    );
    for (action, times) in [
        ("policy.imported", 2),
        ("policy.activated", 2),
        ("policy.shadow-started", 2),
    ] {
        let noted = format!("ledger_entry l JOIN operator_note n ON n.entry_id = l.id WHERE l.action = '{action}'");
        assert_eq!(payer.count(&noted), times, "{action}");
    }
    assert_eq!(
        payer.count("operator_note WHERE operator LIKE 'uid-%/ops-7' AND reason = 'to be tried'"),
        2
    );
    let stored = payer.count("policy_shadow");
    assert_eq!(stored, 2, "pairs of outcomes, and nothing of a request");
}

#[tokio::test]
async fn policies_are_listed_for_admins_and_wrong_ones_are_refused() {
    let (payer, client) = TestPayer::start(1);
    for (role, wanted) in [("admin", 200), ("auditor", 403)] {
        let minted = payer.json_command(&["operator", "token", "--role", role]);
        let sent = client.http.get(format!("{}/ops/v1/policies", payer.ops));
        let sent = sent
            .bearer_auth(minted["token"].as_str().expect("a token"))
            .send()
            .await;
        let reply = Reply::of(sent.expect("an answer")).await;
        assert_eq!(reply.status, wanted, "{role}");
        if wanted == 200 {
            let items = reply.json()["items"].clone();
            assert_eq!(
                (&items[0]["name"], &items[0]["state"], &items[0]["kind"]),
                (&"safe".into(), &"active".into(), &"matching".into())
            );
            assert_eq!(items[0]["id"].as_str().map(str::len), Some(64));
        } else {
            reply.assert_outcome(Fault::RoleMissing);
        }
    }
    std::fs::write(payer.home().join("wrong.policy"), "point = safe\nnothing = 1\n").expect("a file");
    let strict = strict(&payer);
    std::fs::write(payer.home().join("strict.policy"), &strict).expect("a file");
    let reckless = strict.replace("safe.accept = 5000", "safe.accept = -500");
    std::fs::write(payer.home().join("reckless.policy"), reckless).expect("a file");
    for (arguments, code, said) in [
        (
            &["policy", "import", "wrong.policy", "--name", "w", "--reason", "r"][..],
            2,
            "line 2",
        ),
        (
            &["policy", "import", "missing.policy", "--name", "w", "--reason", "r"],
            3,
            "missing.policy",
        ),
        (
            &["policy", "import", "strict.policy", "--name", "safe", "--reason", "r"],
            2,
            "has this name",
        ),
        (
            &["policy", "import", "reckless.policy", "--name", "r", "--reason", "r"],
            2,
            "needs at least",
        ),
        (&["policy", "activate", "nobody", "--reason", "r"], 1, "PO-002"),
        (&["policy", "activate", "balanced", "--reason", " "], 2, "--reason"),
        (
            &[
                "policy",
                "activate",
                "balanced",
                "--reason",
                "r",
                "--operator",
                "Ana Lima",
            ],
            2,
            "--operator",
        ),
        (&["policy", "shadow", "safe", "--reason", "r"], 2, "in force"),
        (&["policy", "shadow"], 1, "PO-002"),
        (&["policy", "shadow", "balanced"], 2, "--reason"),
    ] {
        let output = payer.command(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
    assert_eq!(
        payer.count("policy_version WHERE kind = 'matching'")
            + payer.count("operator_note n JOIN ledger_entry l ON l.id = n.entry_id WHERE l.action LIKE 'policy.%'"),
        0,
        "nothing was kept"
    );
}

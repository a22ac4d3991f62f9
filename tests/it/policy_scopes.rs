//! Versions of policies for one partner first, on the wire: matching, error texts, dialects; what another version would have decided; and the
//! acts at the operations side.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn asked(client: &Client, token: &str, payer: &TestPayer, member: u64) -> Reply {
    let body = payer.request(member, Variation::Exact).to_string();
    client.post_match(token, body, &[]).await
}

/// Imports a text and gives the id of its version.
fn imported(payer: &TestPayer, kind: &str, name: &str, text: &str) -> String {
    std::fs::write(payer.home().join("policy.txt"), text).expect("a file");
    let done = payer.json_command(&[
        "policy",
        "import",
        "policy.txt",
        "--kind",
        kind,
        "--name",
        name,
        "--reason",
        "a test",
    ]);
    done["id"].as_str().expect("an id").to_owned()
}

fn put_in_force(payer: &TestPayer, id: &str, partners: &[&str]) -> Value {
    let mut arguments = vec!["policy", "activate", id, "--reason", "a test"];
    for partner in partners {
        arguments.extend(["--partner", partner]);
    }
    payer.json_command(&arguments)
}

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

#[tokio::test]
async fn a_matching_version_is_for_one_partner_first_and_a_decision_is_replayed_from_its_record() {
    let (payer, client) = TestPayer::start(5);
    payer.register("other-payer", "1992000038", "https://other-payer.example/fhir");
    let token = client.token(ALL_SCOPES).await;
    let kinds: Vec<String> = payer
        .json_command(&["policy", "list"])
        .as_array()
        .expect("versions")
        .iter()
        .filter(|item| item["state"] == "active")
        .filter_map(|item| item["kind"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        kinds,
        [
            "matching",
            "survivorship",
            "release",
            "consent",
            "retry",
            "escalation",
            "retention",
            "error-texts",
            "dialects",
            "slo"
        ],
        "every kind that has a version has one in force"
    );
    let id = imported(&payer, "matching", "strict", &strict(&payer));
    put_in_force(&payer, &id, &["other-payer"]);
    asked(&client, &token, &payer, 4).await.assert_status(200);
    put_in_force(&payer, &id, &["new-payer"]);
    asked(&client, &token, &payer, 2).await.assert_status(422);
    let shown = payer.json_command(&["policy", "show", &id]);
    assert_eq!(
        (&shown["state"], &shown["partners"]),
        (&"partial".into(), &json!(["new-payer", "other-payer"]))
    );
    payer.json_command(&[
        "policy",
        "rollback",
        "matching",
        "--partner",
        "new-payer",
        "--reason",
        "a test",
    ]);
    asked(&client, &token, &payer, 3).await.assert_status(200);

    let decisions = payer.json_command(&["match", "list"]);
    let decisions = decisions.as_array().expect("decisions");
    let of = |outcome: &str| {
        let found = decisions.iter().find(|one| one["outcome"] == outcome);
        found.and_then(|one| one["id"].as_str()).expect(outcome).to_owned()
    };
    let matched = of("matched");
    let replay = |id: &str, version: &str| payer.json_command(&["policy", "replay", id, "--version", version]);
    let same = replay(&matched, "safe");
    assert_eq!(
        (&same["decided"], &same["would"], &same["differs"]),
        (&"match".into(), &"match".into(), &false.into()),
        "{same}"
    );
    let other = replay(&matched, &id);
    assert_eq!(
        (&other["would"], &other["reason"], &other["differs"]),
        (&"review".into(), &"weak".into(), &true.into()),
        "{other}"
    );
    let undecided = decisions.iter().find(|one| one["outcome"] != "matched").expect("one")["id"]
        .as_str()
        .expect("an id");
    let again = replay(undecided, &id);
    assert_eq!(
        (&again["differs"], &again["reason"]),
        (&false.into(), &"weak".into()),
        "{again}"
    );
    let back = replay(undecided, "safe");
    assert_eq!(back["would"], Value::Null, "{back}");
    assert!(
        back["lacks"].as_array().is_some_and(|lacks| !lacks.is_empty()),
        "{back}"
    );

    let consent = payer.json_command(&["policy", "show", "--kind", "consent"]);
    let consent = consent["version"].as_str().expect("a version");
    let judged = replay(&matched, consent);
    assert_eq!(
        (&judged["decided"], &judged["would"]),
        (&"permit regular".into(), &"permit regular".into()),
        "{judged}"
    );
    let sum = payer.json_command(&["policy", "compare", &id, "--partner", "new-payer"]);
    assert_eq!(
        (&sum["compared"], &sum["different"], &sum["same"]),
        (&3.into(), &2.into(), &1.into()),
        "{sum}"
    );
}

#[tokio::test]
async fn error_texts_and_dialects_are_for_the_partners_that_are_named() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let texts = imported(
        &payer,
        "error-texts",
        "desk",
        "error-texts 1\nMM-003 = Our desk answers at +1 555 0100.\n",
    );
    put_in_force(&payer, &texts, &["new-payer"]);
    let with_text = |said: &str| said.ends_with("Our desk answers at +1 555 0100.");
    let mut odd = payer.request(1, Variation::Exact);
    let unknown = json!({"name": "Odd", "valueString": "x"});
    odd["parameter"].as_array_mut().expect("parameters").push(unknown);
    let began = Instant::now();
    let said = loop {
        let token = client.token(ALL_SCOPES).await;
        let reply = client.post_match(&token, odd.to_string(), &[]).await;
        reply.assert_outcome(Fault::MatchParameterUnknown);
        let said = reply.json()["issue"][0]["diagnostics"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if with_text(&said) || began.elapsed() > Duration::from_secs(60) {
            break said;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(with_text(&said) && said.contains("send only MemberPatient"), "{said}");
    let other = asked(&client, &token, &payer, 900).await;
    other.assert_outcome(Fault::NoUniqueMember);
    assert!(!with_text(&other.text()), "another fault has its remedy alone");

    let full = asked(&client, &token, &payer, 0).await.json();
    let named = |reply: &Value| -> Vec<String> {
        let parameters = reply["parameter"].as_array().expect("parameters");
        parameters
            .iter()
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect()
    };
    assert!(named(&full).contains(&"MemberId".to_owned()), "{full}");
    let old = imported(
        &payer,
        "dialects",
        "old",
        r#"{"hrex":"1.0","pdex":"2.2","us_core":"6.1.0"}"#,
    );
    let everyone = payer.command(&["policy", "activate", &old, "--reason", "a test"]);
    assert!(!everyone.status.success(), "a dialect is a partner's");
    put_in_force(&payer, &old, &["new-payer"]);
    let began = Instant::now();
    let names = loop {
        let token = client.token(ALL_SCOPES).await;
        let names = named(&asked(&client, &token, &payer, 2).await.json());
        if !names.contains(&"MemberId".to_owned()) || began.elapsed() > Duration::from_secs(60) {
            break names;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert!(!names.contains(&"MemberId".to_owned()), "{names:?}");
}

#[tokio::test]
async fn acts_at_the_operations_side_are_for_admins_and_are_those_of_the_command() {
    let (payer, client) = TestPayer::start(1);
    let id = imported(&payer, "escalation", "soon", "escalation 1\nautomatic_hours = 12\n");
    let desk = Desk::of(&payer, &client, "admin");
    let body = json!({"version": id, "partners": ["new-payer"], "reason": "a test"});
    Desk::of(&payer, &client, "operator")
        .post("policies/activate", &body)
        .await
        .assert_outcome(Fault::RoleMissing);
    let done = desk.post("policies/activate", &body).await;
    done.assert_status(200);
    let act = done.json()["act_id"].as_str().expect("an act").to_owned();
    let acts = desk.get("policies/acts?kind=escalation").await.json();
    assert_eq!(
        (
            &acts["items"][0]["id"],
            &acts["items"][0]["state"],
            &acts["items"][0]["partner"]
        ),
        (&act.clone().into(), &"in-force".into(), &"new-payer".into())
    );
    let withdrawn = desk
        .post(&format!("policies/acts/{act}/withdraw"), &json!({"reason": "too late"}))
        .await;
    withdrawn.assert_outcome(Fault::ActivationUnknown);
    let back = json!({"kind": "escalation", "partners": ["new-payer"], "reason": "a test"});
    desk.post("policies/rollback", &back).await.assert_status(200);
    let odd = json!({"kind": "weather", "reason": "a test"});
    desk.post("policies/rollback", &odd)
        .await
        .assert_outcome(Fault::ParameterInvalid);
    let listed = desk.get("policies?kind=escalation").await.json();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(payer.count("policy_activation"), 2);
}

#[tokio::test]
async fn a_version_comes_over_http_is_replayed_and_compared_there_and_a_wrong_one_changes_nothing() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    asked(&client, &token, &payer, 4).await.assert_status(200);
    let (admin, auditor) = (Desk::of(&payer, &client, "admin"), Desk::of(&payer, &client, "auditor"));
    let strict = strict(&payer);
    let new = |text: &str| json!({"kind": "matching", "name": "strict", "text": text, "reason": "a test"});
    auditor
        .post("policies/import", &new(&strict))
        .await
        .assert_outcome(Fault::RoleMissing);
    let versions = payer.count("policy_version");
    let odd = format!("{strict}\nunknown = 1");
    admin
        .post("policies/import", &new(&odd))
        .await
        .assert_outcome(Fault::PolicyInvalid);
    let fixed = json!({"kind": "release", "name": "ours", "text": "x", "reason": "a test"});
    admin
        .post("policies/import", &fixed)
        .await
        .assert_outcome(Fault::PolicyFixed);
    for (key, value) in [("kind", "weather"), ("point", "wild"), ("reason", "")] {
        let mut body = new(&strict);
        body[key] = value.into();
        let refused = admin.post("policies/import", &body).await;
        refused.assert_outcome(Fault::ParameterInvalid);
    }
    let long = new(&"#".repeat(1 << 20));
    admin
        .post("policies/import", &long)
        .await
        .assert_outcome(Fault::TooLarge);
    assert_eq!(payer.count("policy_version"), versions, "nothing was added");

    let done = admin.post("policies/import", &new(&strict)).await;
    done.assert_status(200);
    let item = done.json();
    assert_eq!((&item["name"], &item["state"]), (&"strict".into(), &"idle".into()));
    assert_eq!(payer.count("policy_version"), versions + 1);

    let decisions = payer.json_command(&["match", "list"]);
    let id = decisions[0]["id"].as_str().expect("an id");
    let path = format!("policies/replay?id={id}&version=strict");
    let looks = || payer.count("ledger_entry WHERE action = 'operator.viewed'");
    let before = looks();
    let told = payer.json_command(&["policy", "replay", id, "--version", "strict"]);
    let summed = payer.json_command(&["policy", "compare", "strict", "--last", "5"]);
    assert_eq!(
        (&told["would"], &summed["different"]),
        (&"review".into(), &1.into()),
        "{told}"
    );
    let before_desks = looks();
    assert_eq!(before_desks - before, 2, "each command is a look");
    for desk in [&admin, &auditor] {
        assert_eq!(desk.get(&path).await.json(), told, "as the command tells it");
        let sum = desk.get("policies/compare?version=strict&last=5").await.json();
        assert_eq!(sum, summed);
    }
    for (path, fault) in [
        ("replay?version=strict".to_owned(), Fault::ParameterInvalid),
        (format!("replay?id={id}"), Fault::ParameterInvalid),
        ("replay?id=nobody&version=strict".to_owned(), Fault::NotFound),
        (format!("replay?id={id}&version=nothing"), Fault::PolicyUnknown),
        ("compare?version=strict&last=201".to_owned(), Fault::ParameterInvalid),
        (
            "compare?version=strict&partner=nobody".to_owned(),
            Fault::PartnerUnknown,
        ),
    ] {
        auditor.get(&format!("policies/{path}")).await.assert_outcome(fault);
    }
    let seen = looks() - before_desks;
    assert_eq!(seen, 4, "each look is an entry, and what is refused shows nothing");
}

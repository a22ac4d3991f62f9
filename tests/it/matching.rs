//! Requests decided by the matcher in the running server: what matches, what goes to a person, what the partner hears of it, and
//! how a decision is explained, trained from and measured.

use crate::support::client::ALL_SCOPES;
use crate::support::payer::{TestPayer, binary};
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::synth::Variation;
use diesel::prelude::*;
use serde_json::{Value, json};

fn decisions(payer: &TestPayer) -> Vec<(String, String)> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        id: String,
        #[diesel(sql_type = diesel::sql_types::Text)]
        outcome: String,
    }
    diesel::sql_query("SELECT id, outcome FROM decision ORDER BY id")
        .load::<Row>(&mut payer.db())
        .expect("rows")
        .into_iter()
        .map(|row| (row.id, row.outcome))
        .collect()
}

#[tokio::test]
async fn doubt_and_nobody_are_one_answer_and_each_decision_explains_itself() {
    let (payer, client) = TestPayer::start(40);
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client.matched(&token, &payer.request(2, Variation::Capitals)).await;
    client.matched(&token, &payer.request(5, Variation::Nickname)).await;

    // Somebody else's card, and somebody whom nobody knows.
    let mut doubtful = payer.request(0, Variation::Exact);
    doubtful["parameter"][1]["resource"]["identifier"][0]["value"] = json!(payer.member(30).member_number);
    let mut answers = Vec::new();
    for body in [&doubtful, &payer.request(0, Variation::UnknownPerson)] {
        let reply = client.post_match(&token, body.to_string(), &[]).await;
        reply.assert_outcome(Fault::NoUniqueMember);
        answers.push((reply.status, reply.text()));
    }
    assert_eq!(answers[0], answers[1], "a partner cannot tell doubt from nobody");

    let taken = decisions(&payer);
    let words: Vec<&str> = taken.iter().map(|(_, outcome)| outcome.as_str()).collect();
    assert_eq!(words, ["matched", "matched", "matched", "review", "none"]);
    assert!(payer.count("decision_candidate") > 0);
    assert_eq!(
        payer.count("decision_candidate WHERE decision_id NOT IN (SELECT id FROM decision WHERE outcome = 'review')"),
        0
    );

    let listed = payer.json_command(&["match", "list", "--partner", "new-payer", "--last", "2"]);
    let ids: Vec<&str> = listed
        .as_array()
        .expect("decisions")
        .iter()
        .filter_map(|one| one["id"].as_str())
        .collect();
    assert_eq!(
        ids,
        [taken[3].0.as_str(), taken[4].0.as_str()],
        "the newest, oldest first"
    );
    let correlation = listed[0]["correlation_id"].as_str().expect("an id");
    let found = payer.json_command(&["match", "list", "--correlation", correlation]);
    assert_eq!(found[0]["id"], taken[3].0.as_str());
    let item = payer.json_command(&["match", "explain", &taken[3].0]);
    assert_eq!(item["detail"]["guard"], "id_contradicts", "{item}");
    assert_eq!(item["detail"]["candidates"][0]["fields"]["given"], "exact");
    assert!(
        item["policy_version"]
            .as_str()
            .expect("a version")
            .starts_with("fs-3:safe:")
    );
    assert!(item["detail"]["roster"]["records"].as_i64() >= Some(40));
    let table = payer.command(&["match", "explain", &taken[3].0]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    for part in [
        "review: a person must decide",
        "the member number sent is another's",
        "member number",
        "differs",
    ] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    let member = payer.member(0);
    for value in [
        &member.family,
        &member.given[0],
        &member.birth_date.to_string(),
        &member.patient_id,
        &member.member_number,
    ] {
        assert!(
            !table.contains(value.as_str()) && !item.to_string().contains(value.as_str()),
            "{value} in\n{table}"
        );
    }
    assert_eq!(
        payer.command(&["match", "explain", "nothing-like-it"]).status.code(),
        Some(1)
    );

    // What was decided is what a new policy is learnt from; nobody labels anything.
    let trained = payer.json_command(&["identity", "train", "--out", "ours.policy"]);
    assert!(
        trained["pairs"].as_u64() >= Some(4) && trained["drawn_pairs"].as_u64() > Some(100),
        "{trained}"
    );
    let text = std::fs::read_to_string(payer.home().join("ours.policy")).expect("a policy");
    assert_ne!(
        causeway::identity::MatchingPolicy::parse(&text).expect("it parses"),
        causeway::identity::MatchingPolicy::default()
    );
}

#[tokio::test]
async fn a_store_from_before_the_index_is_indexed_when_the_server_starts() {
    let (mut payer, client) = TestPayer::prepare(12);
    for table in ["identity_key", "identity_profile", "identity_roster"] {
        diesel::sql_query(format!("DELETE FROM {table}"))
            .execute(&mut payer.db())
            .expect("emptied");
    }
    payer.serve();
    let members = payer.count("member");
    assert_eq!(
        (payer.count("identity_profile"), payer.count("identity_roster")),
        (members, 1)
    );
    assert!(payer.count("identity_key") >= 8 * members);
    let token = client.token(ALL_SCOPES).await;
    client.matched(&token, &payer.request(3, Variation::Exact)).await;
}

#[tokio::test]
async fn importing_again_changes_no_key_and_no_state_of_the_roster() {
    let (payer, _client) = TestPayer::prepare(10);
    let state = |payer: &TestPayer| {
        [
            payer.count("identity_key"),
            payer.count("identity_profile"),
            payer.count("identity_roster"),
        ]
    };
    let before = state(&payer);
    payer.json_command(&["import", "members"]);
    assert_eq!(state(&payer), before);
}

#[test]
fn the_matcher_is_measured_over_a_store_of_its_own() {
    if on_postgres() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let done = std::process::Command::new(binary())
        .args(["bench", "identity", "--members", "300", "--json"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let document: Value = serde_json::from_slice(&done.stdout).expect("one JSON document");
    let measure = |name: &str| {
        let all = document["measures"].as_array().expect("measures");
        all.iter().find(|one| one["name"] == name).cloned().expect("a measure")
    };
    let details = measure("identity.decision")["details"].clone();
    // Three of five requests are of members as they are or nearly; one of five is about nobody.
    assert!(
        details["matched"].as_f64() > Some(150.0) && details["none"].as_f64() > Some(40.0),
        "{details}"
    );
    for name in ["identity.decision_p99", "identity.batch", "identity.fill"] {
        assert!(measure(name)["value"].as_f64() > Some(0.0), "{name}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("causeway-data"))
            .expect("a folder")
            .count(),
        0
    );
}

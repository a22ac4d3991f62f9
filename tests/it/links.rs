//! The identity graph over a whole payer: links are made, moved and taken back, and what was before is there again.

use crate::support::client::{ALL_SCOPES, Reply};
use crate::support::dump::dump;
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::Value;
use std::collections::BTreeMap;

/// What only grows: the ledger, and the history of the graph.
const HISTORY: [&str; 4] = ["ledger_entry", "operator_note", "identity_step", "identity_change"];
/// The same when grants were revoked on the way.
const REVOCATIONS: &str = "identity_revocation";

const UMB: &str = "http://old-payer.example/identifiers/umb";
const HAND: [&str; 4] = ["--operator", "ana", "--reason", "seen by telephone"];

fn state(payer: &TestPayer) -> BTreeMap<String, Vec<String>> {
    dump(&mut payer.db(), &HISTORY)
}

fn umb_of(payer: &TestPayer, patient: &str) -> String {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        umb: String,
    }
    assert!(causeway::ids::is_fhir_id(patient));
    let query = format!("SELECT umb FROM compartment WHERE patient_id = '{patient}'");
    diesel::RunQueryDsl::get_result::<Row>(diesel::sql_query(query), &mut payer.db())
        .expect("a member")
        .umb
}

fn acted(payer: &TestPayer, arguments: &[&str]) -> Value {
    payer.json_command(&[arguments, &HAND].concat())
}

fn refused(payer: &TestPayer, arguments: &[&str], fault: Fault) {
    let output = payer.command(&[arguments, &HAND].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(fault.code()), "{said}");
}

fn links(payer: &TestPayer, patient: &str) -> Vec<Value> {
    let said = payer.json_command(&["link", "list", "--member", patient]);
    said.as_array().expect("a list").clone()
}

fn graph(payer: &TestPayer, patient: &str) -> Value {
    payer.json_command(&["link", "graph", patient, "--reason", "a test"])
}

#[test]
fn a_link_made_and_taken_back_leaves_the_state_byte_equal() {
    let (payer, _) = TestPayer::prepare(4);
    let (one, two) = (payer.member(0).patient_id, payer.member(2).patient_id);
    let umb = umb_of(&payer, &two);
    let (before, seen) = (state(&payer), graph(&payer, &one));
    assert!(
        seen["linkage"].is_null() && seen["links"] == serde_json::json!([]),
        "{seen}"
    );

    let make = ["link", "make", "--member", &one, "--system", UMB, "--value", &umb];
    let step = acted(&payer, &make)["step"].as_str().expect("a step").to_owned();
    assert_ne!(state(&payer), before);
    let linked = graph(&payer, &one);
    let reference = format!("Patient/{two}");
    assert_eq!(linked["patient_link"][0]["other"]["reference"], reference.as_str());
    assert_eq!(linked["patient_link"][0]["type"], "seealso");
    assert_eq!(linked["linkage"]["resourceType"], "Linkage");
    assert_eq!(
        linked["linkage"]["item"][1]["resource"]["reference"],
        reference.as_str()
    );
    let attributes = linked["view"]["attributes"].as_array().expect("a view");
    for one_of in attributes {
        assert!(
            one_of["origin"]
                .as_str()
                .is_some_and(|origin| origin.starts_with("Patient/")),
            "{one_of}"
        );
    }
    let differ: u64 = attributes.iter().filter_map(|one| one["differ"].as_u64()).sum();
    assert!(differ > 0, "two people do not say the same: {linked}");
    refused(&payer, &make, Fault::LinkMoveRefused);

    acted(&payer, &["link", "take-back", &step]);
    assert_eq!(state(&payer), before, "byte-equal");
    let after = graph(&payer, &one);
    assert_eq!((&after["view"], &after["links"]), (&seen["view"], &seen["links"]));
    refused(&payer, &["link", "take-back", &step], Fault::LinkMoveRefused);
    refused(&payer, &["link", "take-back", "nothing"], Fault::LinkUnknown);
    let own = umb_of(&payer, &one);
    refused(
        &payer,
        &["link", "make", "--member", &one, "--system", UMB, "--value", &own],
        Fault::LinkMoveRefused,
    );
    // The history stays with the member: both steps are there, and each can be taken back again.
    let steps = after["steps"].as_array().expect("steps").clone();
    assert_eq!((steps.len(), &steps[1]["undoes"]), (2, &steps[0]["id"]), "{after}");
    let undo = steps[1]["id"].as_str().expect("an id");
    acted(&payer, &["link", "take-back", undo]);
    assert_eq!(graph(&payer, &one)["links"][0]["state"], "confirmed");
    acted(&payer, &["link", "take-back", &step]);
    assert_eq!(state(&payer), before, "byte-equal again");
    refused(
        &payer,
        &["link", "make", "--member", "nobody", "--system", UMB, "--value", "U"],
        Fault::LinkUnknown,
    );
    assert_eq!(payer.count("ledger_entry WHERE action = 'link.moved'"), 1);
    assert_eq!(payer.count("ledger_entry WHERE action = 'link.taken-back'"), 3);
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'review.viewed'"),
        4,
        "every view is noted"
    );
}

#[test]
fn steps_are_taken_back_from_the_last_one_on() {
    let (payer, _) = TestPayer::prepare(3);
    let one = payer.member(0).patient_id;
    let make = [
        "link",
        "make",
        "--member",
        &one,
        "--partner",
        "new-payer",
        "--system",
        "urn:new",
        "--value",
        "N1",
    ];
    let before = state(&payer);
    let made = acted(&payer, &make)["step"].as_str().expect("a step").to_owned();
    let after_make = state(&payer);
    let id = links(&payer, &one)[0]["id"].as_str().expect("an id").to_owned();
    let retired = acted(&payer, &["link", "retire", &id])["step"]
        .as_str()
        .expect("a step")
        .to_owned();
    assert_eq!(links(&payer, &one)[0]["state"], "retired");
    assert!(links(&payer, &one)[0]["effective_until"].is_string());
    refused(&payer, &["link", "take-back", &made], Fault::LinkMoveRefused);
    acted(&payer, &["link", "take-back", &retired]);
    assert_eq!(state(&payer), after_make);
    // The take-back is a step like any other.
    acted(&payer, &["link", "take-back", &made]);
    assert_eq!(state(&payer), before);
}

#[tokio::test]
async fn a_match_links_the_new_number_once_and_partners_read_none_of_it() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let body = payer.request(0, Variation::Exact);
    let (id, _) = client.matched(&token, &body).await;
    let first = links(&payer, &id);
    assert_eq!(first.len(), 1, "{first:?}");
    let link = &first[0];
    assert_eq!(
        (
            link["source"].as_str(),
            link["state"].as_str(),
            link["origin"].as_str(),
            link["kind"].as_str()
        ),
        (Some("new-payer"), Some("confirmed"), Some("match"), Some("member"))
    );
    assert!(link["confidence"].as_f64().is_some_and(|chance| chance > 0.9), "{link}");
    assert!(link.get("value").is_none(), "a list shows no numbers");
    let decision = link["decision_id"].as_str().expect("its provenance");
    assert_eq!(
        payer.count(&format!("decision WHERE id = '{decision}' AND outcome = 'matched'")),
        1
    );
    client.matched(&token, &body).await;
    assert_eq!(links(&payer, &id), first, "the same again changes nothing");

    let shown = graph(&payer, &id);
    let number = shown["links"][0]["value"].clone();
    let told = payer.command(&["link", "graph", &id, "--reason", "a test"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let rows = |first: &Value| {
        told.lines()
            .filter(|line| first.as_str().is_some_and(|id| line.starts_with(id)))
            .count()
    };
    assert_eq!(
        (rows(&shown["links"][0]["id"]), rows(&shown["steps"][0]["id"])),
        (1, 1),
        "{told}"
    );
    assert!(
        told.contains(number.as_str().expect("a number")) && told.contains("birth_date"),
        "{told}"
    );
    let number = number.as_str().expect("a number").to_owned();
    let other = payer.member(2).patient_id;
    let umb = umb_of(&payer, &other);
    acted(
        &payer,
        &["link", "make", "--member", &id, "--system", UMB, "--value", &umb],
    );
    for path in [format!("Patient/{id}"), format!("Patient/{id}/$everything")] {
        let reply: Reply = client.get(&token, &path).await;
        reply.assert_status(200);
        for word in [&number, &other, &umb] {
            assert!(!reply.text().contains(word.as_str()), "{path}: {word}");
        }
    }
}

#[tokio::test]
async fn a_matchs_link_taken_back_ends_what_was_granted_and_leaves_the_rest_as_it_was() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let before = state(&payer);
    let body = payer.request(0, Variation::Exact);
    let (id, _) = client.matched(&token, &body).await;
    let step = graph(&payer, &id)["steps"][0]["id"]
        .as_str()
        .expect("a step")
        .to_owned();
    let done = acted(&payer, &["link", "take-back", &step]);
    assert_eq!(done["grants"], 1);
    let after = state(&payer);
    assert_eq!(after["identity_link"], before["identity_link"]);
    for table in ["member", "resource", "compartment", "resource_identifier", "review"] {
        assert_eq!(after[table], before[table], "{table}");
    }
    assert_eq!(after[REVOCATIONS].len(), 1);
    client.get(&token, &format!("Patient/{id}")).await.assert_status(404);
    // What a person took back, only a person gives again: the matcher's word is not enough.
    client
        .post_match(&token, body.to_string(), &[])
        .await
        .assert_outcome(Fault::NoUniqueMember);
    let queue = payer.json_command(&["review", "list"]);
    assert_eq!(queue.as_array().map(Vec::len), Some(1), "{queue}");
    let review = queue[0]["id"].as_str().expect("an id");
    acted(&payer, &["review", "decide", review, "--confirm", "1"]);
    client.matched(&token, &body).await;
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
}

#[test]
fn whose_word_survives_is_a_policy_that_can_be_changed_and_changed_back() {
    let (payer, _) = TestPayer::prepare(4);
    let (one, two) = (payer.member(0).patient_id, payer.member(2).patient_id);
    let umb = umb_of(&payer, &two);
    acted(
        &payer,
        &["link", "make", "--member", &one, "--system", UMB, "--value", &umb],
    );
    let survives = |payer: &TestPayer| {
        let view = graph(payer, &one)["view"].clone();
        let all = view["attributes"].as_array().expect("a view");
        let family = all
            .iter()
            .find(|one| one["attribute"] == "family")
            .expect("a family name");
        (view["policy_version"].clone(), family["origin"].clone())
    };
    let ships = payer.json_command(&["policy", "survivorship"]);
    let text = ships["text"].as_str().expect("a text");
    assert_eq!(
        survives(&payer),
        (ships["version"].clone(), format!("Patient/{one}").into())
    );

    let distrust = text.replace("trust ours 100", "trust ours 10");
    for (file, text) in [
        ("distrust.txt", distrust.as_str()),
        ("ships.txt", text),
        ("wrong.txt", "survivorship 1\ntrust ours 101\n"),
    ] {
        std::fs::write(payer.home().join(file), text).expect("a file");
    }
    let adopted = acted(&payer, &["policy", "survivorship", "distrust.txt"]);
    assert_eq!(
        survives(&payer),
        (adopted["version"].clone(), format!("Patient/{two}").into())
    );
    let wrong = payer.command(&[&["policy", "survivorship", "wrong.txt"][..], &HAND].concat());
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(2) && said.contains("line 2"), "{said}");
    acted(&payer, &["policy", "survivorship", "ships.txt"]);
    assert_eq!(survives(&payer).1, format!("Patient/{one}"));
    assert_eq!(payer.count("ledger_entry WHERE action = 'policy.activated'"), 2);
}

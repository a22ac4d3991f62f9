//! What a partner claims in bulk that cannot be: counts beyond all numbers, one Patient for many members, members who were not asked about.

use super::in_bulk::{bulk_script, run_of_two, two_enrolments};
use super::pair::Pair;
use causeway::error::Fault;
use causeway_sandbox_partner::{SandboxAct, SandboxRoute, SandboxRule};
use serde_json::{Value, json};

/// An answer with this body to these requests.
fn says(route: SandboxRoute, requests: &str, media_type: &str, body: String) -> SandboxRule {
    let act = SandboxAct::Answer {
        status: 200,
        retry_after: None,
        body: Some(body),
        media_type: Some(media_type.to_owned()),
        processed: false,
    };
    SandboxRule::of(route, vec![act]).on(requests).expect("requests")
}

fn manifest(output: &Value) -> String {
    json!({"transactionTime": "2026-11-01T00:00:00.000Z", "request": "r", "requiresAccessToken": true, "output": output, "error": []})
        .to_string()
}

/// A group of members who were matched: the Patient there, and the member who was sent.
fn group(members: &[(&str, i64)]) -> String {
    let members: Vec<Value> = members
        .iter()
        .map(|(patient, position)| {
            json!({"entity": {"reference": format!("Patient/{patient}"), "extension": [{
                "url": "http://hl7.org/fhir/us/davinci-pdex/StructureDefinition/base-ext-match-parameters",
                "valueReference": {"reference": format!("#member-{position}")}}]}})
        })
        .collect();
    let group = json!({"resourceType": "Group", "id": "1-match", "active": true, "type": "person", "actual": true,
        "code": {"coding": [{"code": "match"}]}, "quantity": members.len(), "member": members});
    format!("{group}\n")
}

/// Lets the partner answer each match with this group.
fn answers_with(pair: &Pair, group: String) {
    let file = json!([{"type": "Group", "url": format!("{}/bulk/1/0", pair.sandbox.base_url())}]);
    let rules = vec![
        says(SandboxRoute::BulkStatus, "1+", "application/json", manifest(&file)),
        says(SandboxRoute::BulkFile, "1+", "application/fhir+ndjson", group),
    ];
    pair.sandbox.control().set_rules(rules).expect("taken");
}

#[test]
fn counts_beyond_all_numbers_are_too_much() {
    let most = 1_u64 << 63;
    for (told, why) in [
        (json!({"count": most}), "resources"),
        (json!({"extension": {"bytes": most}}), "bytes"),
    ] {
        let pair = Pair::start(&bulk_script(""));
        let file = |at: usize| {
            let mut file = told.clone();
            file["type"] = json!("Goal");
            file["url"] = json!(format!("{}/bulk/1/{at}", pair.sandbox.base_url()));
            file
        };
        let body = manifest(&json!([file(0), file(1)]));
        // The first ones are about the match.
        let rule = says(SandboxRoute::BulkStatus, "4+", "application/json", body);
        pair.sandbox.control().set_rules(vec![rule]).expect("taken");
        two_enrolments(&pair);
        pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
        let (run, exchanges) = run_of_two(&pair);
        assert_eq!(
            (&run["state"], &run["fault"], &run["states"]),
            (
                &json!("failed"),
                &json!(Fault::PartnerTooMuch.code()),
                &json!({"alone": 2})
            ),
            "{why}: {run:#}\n{}",
            pair.payer.log()
        );
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, why);
        }
        assert!(!pair.payer.log().contains("panicked"), "{why}: {}", pair.payer.log());
    }
}

#[test]
fn one_patient_for_three_members_is_believed_for_none_of_them() {
    let pair = Pair::start(&bulk_script("").replace("count = 2", "count = 3"));
    answers_with(&pair, group(&[("p1", 0), ("p1", 1), ("p1", 2)]));
    let lines: Vec<String> = [1, 2, 3]
        .map(|number| std::fs::read_to_string(pair.payer.home().join(pair.enrolment(number))).expect("a file"))
        .to_vec();
    std::fs::write(pair.payer.home().join("three.ndjson"), lines.join("\n")).expect("a file");
    pair.payer
        .json_command(&["exchange", "import", "three.ndjson", "--bulk"]);
    let (run, exchanges) = run_of_two(&pair);
    assert_eq!(run["states"], json!({"answered": 3}), "{run:#}\n{}", pair.payer.log());
    assert_eq!(exchanges.len(), 3);
    for shown in &exchanges {
        assert_eq!(
            (&shown["phase"], &shown["owner"]),
            (&json!("manual_review"), &json!("operator")),
            "{shown:#}"
        );
    }
    assert_eq!(pair.count("ingest_resource"), 0, "nothing was asked for");
    assert!(pair.sandbox.control().requests_to(SandboxRoute::GroupExport).is_empty());
}

#[test]
fn an_answer_about_members_who_were_not_asked_about_is_too_much() {
    for (members, why) in [
        (vec![("p1", 0), ("p2", 2)], "a member who is not there"),
        (vec![("p1", 0), ("p2", 1), ("p3", 1_000_000)], "one more"),
    ] {
        let pair = Pair::start(&bulk_script(""));
        answers_with(&pair, group(&members));
        two_enrolments(&pair);
        pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
        let (run, exchanges) = run_of_two(&pair);
        assert_eq!(
            (&run["state"], &run["fault"], &run["states"]),
            (
                &json!("failed"),
                &json!(Fault::PartnerTooMuch.code()),
                &json!({"alone": 2})
            ),
            "{why}: {run:#}\n{}",
            pair.payer.log()
        );
        for shown in &exchanges {
            assert_eq!(shown["phase"], "completed", "{why}: {shown:#}");
        }
    }
}

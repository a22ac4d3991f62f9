//! What an erasure takes, and that every proof of before still holds.

use super::traces::{found, own_values};
use crate::ledger::store::{SOON, covered};
use crate::ledger::{ours, python};
use crate::support::client::ALL_SCOPES;
use crate::support::desk::Desk;
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::audit::note::LogKey;
use causeway::audit::verify::LedgerResult;
use causeway::synth::Variation;
use serde_json::{Value, json};

/// The proofs of all entries about a disclosure, by their ids.
fn proofs(payer: &TestPayer) -> Vec<(String, Value)> {
    let entries = payer.entry_ids("action = 'disclosure.begun'");
    assert!(!entries.is_empty());
    let prove = |id: String| {
        let proof = payer.json_command(&["audit", "prove", &id]);
        (id, proof["leaf_hash"].clone())
    };
    entries.into_iter().map(prove).collect()
}

fn log_key(payer: &TestPayer) -> LogKey {
    let told = payer.json_command(&["audit", "key"]);
    LogKey::parse(told["key"].as_str().expect("a key")).expect("a key")
}

/// That the ledger is whole, extends what was signed before, and that what was proved is still proved.
fn still_proved(payer: &TestPayer, kept: &Value, before: &[(String, Value)]) {
    covered(payer);
    let note = kept["note"].as_str().expect("a note");
    std::fs::write(payer.home().join("kept"), note).expect("written");
    let verified = payer.command(&["audit", "verify", "--against", "kept"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(0), "{said}");
    for (id, leaf) in before {
        let again = payer.json_command(&["audit", "prove", id]);
        assert_eq!(&again["leaf_hash"], leaf, "{id}");
    }
    payer.json_command(&["audit", "export", "after"]);
    let (exported, key) = (payer.home().join("after"), log_key(payer));
    assert_eq!(ours(&exported, &key, Some(note)).result, LedgerResult::Ok);
    let (code, _, said) = python(&exported, &key, Some(note));
    assert_eq!(code, 0, "{said}");
}

/// That the controls find nothing wrong with what is left.
fn controls_hold(payer: &TestPayer) {
    let only = ["--only", "completeness", "--only", "rebuild", "--full", "--json"];
    let ran = payer.command(&[["controls", "run"].as_slice(), only.as_slice()].concat());
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn t_f06_after_an_erasure_with_the_record_nothing_of_the_member_is_left() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[SOON]);
    let token = client.token(ALL_SCOPES).await;
    let member = payer.member(0);
    let number = [("x-correlation-id", member.member_number.as_str())];
    let body = payer.request(0, Variation::Exact).to_string();
    client.post_match(&token, body, &number).await.assert_status(200);
    let one = member.patient_id.clone();
    let (two, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), number[0]];
    for path in ["/fhir/Patient", "/fhir/Observation?_count=50"] {
        client.send("GET", path, &headers, "").await.assert_status(200);
    }
    for path in [format!("Patient/{one}"), format!("Patient/{one}/$everything")] {
        client.get(&token, &path).await.assert_status(200);
    }
    let values = own_values(&payer, &one);
    assert!(!found(&payer, &values, &[]).is_empty(), "they are there before");
    let kept = covered(&payer);
    let before = proofs(&payer);
    payer.json_command(&["audit", "export", "before"]);
    if !on_postgres() {
        payer.json_command(&["backup", "backed-up", "--keep-days", "30"]);
    }

    let about_two = format!("ledger_entry WHERE subject = '{two}' AND action <> 'disclosure.completed'");
    let of_two = payer.count(&about_two);
    let subject = format!("Patient/{one}");
    let told = payer.json_command(&[
        "audit",
        "erase-subject",
        &subject,
        "--reason",
        "member-request",
        "--legal-basis",
        "state-law",
        "--record",
    ]);
    for name in ["ledger_entries", "resources", "decisions"] {
        assert!(told["counts"][name].as_u64() > Some(0), "{name}: {told}");
    }
    assert_eq!(told["counts"]["plain_correlation_ids"], 0, "{told}");
    assert!(of_two > 0);
    assert_eq!(
        payer.count(&about_two),
        of_two,
        "another member's evidence is as it was"
    );
    if !on_postgres() {
        let backup = &told["backups"][0];
        assert!(
            backup["folder"].as_str().is_some_and(|at| at.ends_with("backed-up")),
            "{told}"
        );
        assert!(backup["expires_at"].is_string(), "{told}");
    }
    // Not a byte of it is in the database, its log, the tiles, the exports or the server's log.
    assert_eq!(found(&payer, &values, &["backed-up"]), Vec::<String>::new());
    for table in [
        "grants",
        "consent",
        "decision",
        "member",
        "compartment",
        "identity_link",
    ] {
        let own = format!("{table} WHERE patient_id = '{one}'");
        assert_eq!(payer.count(&own), 0, "{own}");
    }

    // The partner finds nobody, and what is another member's is as it was.
    let token = client.token(ALL_SCOPES).await;
    let gone = client.get(&token, &format!("Patient/{one}")).await;
    assert_eq!(gone.status, 404, "{}", gone.text());
    let nobody = client
        .post_match(&token, payer.request(0, Variation::Exact).to_string(), &[])
        .await;
    assert_eq!(nobody.status, 422, "{}", nobody.text());
    client
        .get(&token, &format!("Patient/{two}/$everything"))
        .await
        .assert_status(200);
    let auditor = Desk::named(&payer, &client, "auditor", "carl");
    assert!(
        !auditor
            .all(&format!("disclosures?member=Patient/{two}"))
            .await
            .is_empty()
    );

    // It is on record, without a name, and all that was proved is proved.
    let erased = payer.entry_ids("action = 'member.erased'");
    assert_eq!(erased, [told["ledger_entry"].as_str().expect("an id")]);
    let entries = auditor.all("ledger").await;
    let entry = entries
        .iter()
        .find(|item| item["id"] == erased[0].as_str())
        .expect("listed");
    assert_eq!(
        (&entry["outcome"]["reason"], &entry["legal_basis"]),
        (&json!("member-request"), &json!("state-law"))
    );
    still_proved(&payer, &kept, &before);
    controls_hold(&payer);
    assert_eq!(payer.count("erasure WHERE state = 'done' AND patient_id IS NULL"), 1);

    let again = payer.command(&[
        "audit",
        "erase-subject",
        &subject,
        "--reason",
        "member-request",
        "--record",
    ]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(1) && said.contains("AU-001"), "{said}");
}

#[tokio::test]
async fn without_the_record_only_what_opens_the_ledger_goes() {
    let (mut payer, client) = TestPayer::prepare(2);
    payer.serve_with(&[SOON]);
    let token = client.token(ALL_SCOPES).await;
    let (one, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    client.get(&token, &format!("Patient/{one}")).await.assert_status(200);
    let kept = covered(&payer);
    let before = proofs(&payer);
    assert!(payer.count(&format!("ledger_entry WHERE subject = '{one}'")) > 1);
    let subject = format!("Patient/{one}");
    let arguments = [
        "audit",
        "erase-subject",
        &subject,
        "--reason",
        "legal-order",
        "--legal-basis",
        "court-order",
    ];
    let told = payer.json_command(&arguments);
    assert!(
        told["kept_until"].is_string() && told["counts"].get("resources").is_none(),
        "{told}"
    );
    assert_eq!(payer.count(&format!("ledger_entry WHERE subject = '{one}'")), 0);
    assert_eq!(payer.count(&format!("ledger_subject WHERE subject = '{one}'")), 0);
    let opens = "ledger_entry WHERE action LIKE 'disclosure.%' AND subject_salt IS NOT NULL";
    assert_eq!(
        payer.count(opens),
        0,
        "no salt is left with which one could try out who it was"
    );
    still_proved(&payer, &kept, &before);
    controls_hold(&payer);
    let nothing: Value = payer.json_command(&["disclosures", "--member", &subject]);
    assert_eq!(nothing, json!([]), "the accounting has forgotten it");
    // The record is there, and what is disclosed from now on is accounted for.
    let token = client.token(ALL_SCOPES).await;
    client.get(&token, &format!("Patient/{one}")).await.assert_status(200);
    let more: Value = payer.json_command(&["disclosures", "--member", &subject]);
    assert_eq!(more.as_array().map(Vec::len), Some(1), "{more}");
}

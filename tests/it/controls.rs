//! `causeway controls`: a store that is as it should be passes, and each planted defect is found by the control that is for it, by name.

use crate::disclosures::settled;
use crate::ledger::store::{SOON, covered, folder};
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::{BECAUSE, Desk, decided, doubtful, only_review, place_of};
use crate::support::payer::TestPayer;
use causeway::audit::note::{Checkpoint, LogKey};
use causeway::secret::ed25519::Ed25519Key;
use causeway::secret::{hex, sha256};
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// Everything that has rows and entries: matches, a repetition, a record, a review with its decision, a link, a withdrawal, a policy.
async fn happened(payer: &TestPayer, client: &Client) -> String {
    payer.json_command(&["policy", "shadow", "balanced", "--reason", "tried"]);
    payer.json_command(&["partner", "suspend", "new-payer", "--reason", "tried"]);
    payer.json_command(&["partner", "resume", "new-payer"]);
    let token = client.token(ALL_SCOPES).await;
    let request = payer.request(0, Variation::Exact);
    for _ in 0..2 {
        let headers = [
            ("Idempotency-Key", "\"k-1\""),
            ("x-correlation-id", "chosen-by-a-partner"),
        ];
        client
            .post_match(&token, request.to_string(), &headers)
            .await
            .assert_status(200);
    }
    let (patient, _) = client.matched(&token, &payer.request(3, Variation::Exact)).await;
    for path in [
        format!("Patient/{patient}"),
        format!("Patient/{patient}/$everything"),
        "Coverage".to_owned(),
    ] {
        client.get(&token, &path).await.assert_status(200);
    }
    client.get(&token, "Patient/nobody").await.assert_status(404);
    client.post_match(&token, "{", &[]).await.assert_status(400);
    let asked = client.post_match(&token, doubtful(payer, 2, 4).to_string(), &[]).await;
    assert_eq!(asked.status, 422, "{}", asked.text());
    let review = only_review(payer);
    let place = place_of(payer, &review, 2);
    decided(payer, &review, &["--confirm", &place], "ana");
    settled(payer).await;
    patient
}

/// A run of controls: its exit code and its report.
fn ran(payer: &TestPayer, more: &[&str]) -> (i32, Value) {
    let output = payer.command(&[["controls", "run", "--seed", "7", "--json"].as_slice(), more].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let code = output.status.code().expect("an exit code");
    assert!(code < 2, "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    (code, told)
}

/// The finding of one control.
#[track_caller]
fn of<'r>(report: &'r Value, control: &str) -> &'r Value {
    let all = report["controls"].as_array().expect("controls");
    all.iter()
        .find(|one| one["control"] == control)
        .unwrap_or_else(|| panic!("{control}: {report:#}"))
}

#[tokio::test]
async fn a_store_that_is_as_it_should_be_passes_and_the_run_is_on_record() {
    let (mut payer, client) = TestPayer::prepare(6);
    payer.serve_with(&[SOON]);
    let patient = happened(&payer, &client).await;
    // The second one: the answer that is kept under a key is about the first.
    let consents = payer.json_command(&["consent", "list"]);
    let consent = consents[1]["id"].as_str().expect("an id");
    payer.json_command(&["consent", "revoke", consent, "--reason", BECAUSE]);
    covered(&payer);
    let never = payer.json_command(&["controls", "list"]);
    assert!(
        never["items"]
            .as_array()
            .expect("items")
            .iter()
            .all(|one| one["is_due"] == true && one["last"].is_null())
    );

    let (code, report) = ran(&payer, &["--full", "--out", "reviews"]);
    assert_eq!(code, 0, "{report:#}");
    for control in [
        "rebuild",
        "completeness",
        "idempotency",
        "consistency",
        "transformation",
        "outage-drill",
    ] {
        let one = of(&report, control);
        assert_eq!(one["result"], "holds", "{one:#}");
        assert!(one["checked"].as_u64() > Some(0), "{one:#}");
    }
    for control in ["partner-checkpoints", "disclosed-shares"] {
        assert_eq!(of(&report, control)["result"], "not-run", "there is nothing to look at");
    }
    assert_eq!(of(&report, "idempotency")["facts"]["answers under a key"], "1");
    assert_eq!(
        of(&report, "transformation")["facts"]["ends that do not say what was cut"],
        "0"
    );
    let rebuilt = of(&report, "rebuild")["rebuilt"].as_array().expect("timelines");
    assert!(
        rebuilt
            .iter()
            .any(|one| one["states"].as_array().is_some_and(|states| states.len() >= 3)),
        "{rebuilt:?}"
    );

    let files: Vec<&str> = report["files"]
        .as_array()
        .expect("files")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let [json, page] = files.as_slice() else {
        panic!("{files:?}")
    };
    let bytes = fs::read(json).expect("a report");
    let sum = hex(&sha256(&bytes));
    assert_eq!(report["report_sha256"], sum.as_str());
    let page = fs::read_to_string(page).expect("a page");
    assert!(page.contains(&sum) && page.contains("completeness"), "{page}");
    assert_eq!(
        fs::metadata(json).expect("about it").permissions().mode() & 0o777,
        0o640
    );
    for text in [String::from_utf8(bytes).expect("text"), page] {
        assert!(!text.contains(&patient), "a report names no member");
    }

    let listed = payer.json_command(&["controls", "list"]);
    let last = &listed["items"][0]["last"];
    assert_eq!(
        (last["result"].as_str(), last["report_sha256"].as_str()),
        (Some("holds"), Some(sum.as_str())),
        "{listed:#}"
    );
    assert_eq!(payer.count("ledger_entry WHERE action = 'controls.ran'"), 1);
    let auditor = Desk::of(&payer, &client, "auditor");
    let shown = auditor.all("controls").await;
    assert_eq!(Value::from(shown), listed["items"]);
    for role in ["support", "operator", "reviewer", "admin"] {
        let reply = Desk::of(&payer, &client, role).get("controls").await;
        assert_eq!(reply.status, 403, "{role}: {}", reply.text());
    }
    // The run itself is in the ledger, and a later run finds it whole.
    covered(&payer);
    let (code, report) = ran(&payer, &["--full", "--only", "completeness", "--only", "consistency"]);
    assert_eq!(
        (code, report["controls"].as_array().map(Vec::len)),
        (0, Some(2)),
        "{report:#}"
    );
}

#[tokio::test]
async fn a_seed_chooses_the_same_rows_again_and_bad_input_is_refused() {
    let (mut payer, client) = TestPayer::prepare(6);
    payer.serve();
    happened(&payer, &client).await;
    assert_eq!(payer.terminate(), Some(0));
    let sampled = |seed: &str| {
        let arguments = ["controls", "run", "--only", "rebuild", "--sample", "2", "--seed", seed];
        let report = payer.json_command(&arguments);
        let rebuilt = of(&report, "rebuild")["rebuilt"].as_array().expect("timelines").clone();
        rebuilt.into_iter().map(|one| one["id"].to_string()).collect::<Vec<_>>()
    };
    let seven = sampled("7");
    assert_eq!(seven.len(), 2);
    assert_eq!(seven, sampled("7"));
    let others: Vec<_> = (8..20).map(|seed: u32| sampled(&seed.to_string())).collect();
    assert!(others.iter().any(|chosen| *chosen != seven), "{others:?}");

    let before = payer.count("ledger_entry");
    fs::write(payer.home().join("file"), "x").expect("a file");
    for (arguments, code) in [
        (&["controls", "run", "--only", "nothing"][..], 2),
        (&["controls", "run", "--sample", "0"], 2),
        (&["controls", "run", "--sample", "5", "--full"], 2),
        (&["controls", "run", "--seed", "-1"], 2),
        (&["controls", "run", "--seed", "4294967296"], 2),
        (&["controls", "run", "--out", "file"], 3),
        (&["controls", "run", "--against", "absent"], 3),
        (&["controls", "run", "--against", "file"], 3),
        (&["controls"], 2),
    ] {
        let output = payer.command(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert_eq!(payer.count("ledger_entry"), before, "nothing was recorded");
}

/// A defect: how it is planted and taken away again, and which control finds it by which words.
struct Planted {
    change: &'static str,
    back: &'static str,
    found: &'static [(&'static str, &'static str, &'static str)],
}

const DEFECTS: &[Planted] = &[
    Planted {
        change: "UPDATE decision SET outcome = 'none' WHERE outcome = 'matched'",
        back: "UPDATE decision SET outcome = 'matched' WHERE outcome = 'none'",
        found: &[
            ("rebuild", "decision", "its outcome is not what the entry"),
            ("completeness", "entry", "has another outcome"),
        ],
    },
    Planted {
        change: "UPDATE decision SET policy_version = 'other' || policy_version",
        back: "UPDATE decision SET policy_version = substr(policy_version, 6)",
        found: &[("rebuild", "decision", "its policy version is not what the entry")],
    },
    Planted {
        change: "UPDATE decision SET detail = detail || ' '",
        back: "UPDATE decision SET detail = substr(detail, 1, length(detail) - 1)",
        found: &[("rebuild", "decision", "its record is not what the entry")],
    },
    Planted {
        change: "UPDATE decision SET patient_id = 'x' || patient_id WHERE patient_id IS NOT NULL",
        back: "UPDATE decision SET patient_id = substr(patient_id, 2) WHERE patient_id IS NOT NULL",
        found: &[
            ("rebuild", "decision", "its member is not what the entry"),
            ("completeness", "grant", "not the grant of the decision"),
        ],
    },
    Planted {
        change: "CREATE TABLE kept AS SELECT * FROM decision WHERE outcome = 'review'; DELETE FROM decision WHERE outcome = 'review'",
        back: "INSERT INTO decision SELECT * FROM kept; DROP TABLE kept",
        found: &[("completeness", "entry", "its decision is gone")],
    },
    Planted {
        change: "CREATE TABLE kept AS SELECT * FROM ledger_entry WHERE action = 'consent.recorded'; \
                 DELETE FROM ledger_entry WHERE action = 'consent.recorded'",
        back: "INSERT INTO ledger_entry SELECT * FROM kept; DROP TABLE kept",
        found: &[
            ("completeness", "consent", "no entry that it was recorded"),
            ("consistency", "ledger", ""),
        ],
    },
    Planted {
        change: "CREATE TABLE kept AS SELECT * FROM ledger_entry WHERE action = 'member-match.begun'; \
                 DELETE FROM ledger_entry WHERE action = 'member-match.begun'",
        back: "INSERT INTO ledger_entry SELECT * FROM kept; DROP TABLE kept",
        found: &[("rebuild", "decision", "no entry that its request came in")],
    },
    Planted {
        change: "UPDATE consent SET revoked_ms = 7",
        back: "UPDATE consent SET revoked_ms = NULL",
        found: &[(
            "completeness",
            "consent",
            "it is revoked, and the ledger has no entry of that",
        )],
    },
    Planted {
        change: "UPDATE grants SET revoked_ms = 7",
        back: "UPDATE grants SET revoked_ms = NULL",
        found: &[(
            "completeness",
            "grant",
            "it is revoked, and the ledger has no entry of that",
        )],
    },
    Planted {
        change: "UPDATE review_act SET reason = reason || '!'",
        back: "UPDATE review_act SET reason = substr(reason, 1, length(reason) - 1)",
        found: &[
            ("completeness", "review", "is not what the ledger has"),
            ("completeness", "entry", "as it was done, is gone"),
        ],
    },
    Planted {
        change: "UPDATE review SET state = 'rejected'",
        back: "UPDATE review SET state = 'confirmed'",
        found: &[("completeness", "review", "its state is not what its acts lead to")],
    },
    Planted {
        change: "UPDATE partner SET status = 'suspended'",
        back: "UPDATE partner SET status = 'active'",
        found: &[("completeness", "partner", "its status is not what the ledger says")],
    },
    Planted {
        change: "UPDATE policy_version SET body = body || ' '",
        back: "UPDATE policy_version SET body = substr(body, 1, length(body) - 1)",
        found: &[(
            "completeness",
            "policy version",
            "its text is not the one of its digest",
        )],
    },
    Planted {
        change: "UPDATE ledger_entry SET action = 'operator.viewed' WHERE action = 'review.opened'",
        back: "UPDATE ledger_entry SET action = 'review.opened' WHERE action = 'operator.viewed' AND subject IN (SELECT id FROM review)",
        found: &[
            ("completeness", "entry", "its column for the action"),
            ("completeness", "review", "no entry that it was opened"),
        ],
    },
];

#[tokio::test]
async fn each_planted_defect_is_found_by_the_control_that_is_for_it() {
    let (mut payer, client) = TestPayer::prepare(6);
    payer.serve_with(&[SOON]);
    happened(&payer, &client).await;
    covered(&payer);
    assert_eq!(payer.terminate(), Some(0));
    let only = [
        "rebuild",
        "completeness",
        "idempotency",
        "consistency",
        "transformation",
    ];
    let arguments: Vec<&str> = only
        .iter()
        .flat_map(|control| ["--only", *control])
        .chain(["--full"])
        .collect();
    let (code, report) = ran(&payer, &arguments);
    assert_eq!(code, 0, "{report:#}");
    for Planted { change, back, found } in DEFECTS {
        payer.db().batch_execute(change).expect(change);
        // Those that are for it.
        let controls: BTreeSet<&str> = found.iter().map(|(control, ..)| *control).collect();
        let own = controls.iter().flat_map(|control| ["--only", *control]);
        let own: Vec<&str> = own.chain(["--full"]).collect();
        let (code, report) = ran(&payer, &own);
        assert_eq!(
            (code, report["result"].as_str()),
            (1, Some("failed")),
            "{change}: {report:#}"
        );
        for (control, what, why) in *found {
            let listed = of(&report, control)["found"].as_array().expect("defects").clone();
            let is_it =
                |one: &Value| one["what"] == *what && one["why"].as_str().is_some_and(|text| text.contains(why));
            assert!(listed.iter().any(is_it), "{change}: {what} {why} is not in {listed:#?}");
        }
        payer.db().batch_execute(back).expect(back);
        let (code, report) = ran(&payer, &own);
        assert_eq!(code, 0, "{back}: {report:#}");
    }
    let (code, report) = ran(&payer, &arguments);
    assert_eq!(code, 0, "{report:#}");
}

#[tokio::test]
async fn an_answer_that_was_changed_and_a_key_that_takes_another_request_are_found() {
    let (mut payer, client) = TestPayer::prepare(6);
    payer.serve();
    happened(&payer, &client).await;
    assert_eq!(payer.terminate(), Some(0));
    let idempotency = ["--only", "idempotency", "--full"];
    assert_eq!(ran(&payer, &idempotency).0, 0);
    let other = match payer.db() {
        causeway::store::Db::Sqlite(_) => "CAST('{}' AS BLOB)",
        causeway::store::Db::Pg(_) => "CAST('{}' AS BYTEA)",
    };
    payer
        .db()
        .batch_execute(&format!("UPDATE idempotency SET body = {other}"))
        .expect("changed");
    let (code, report) = ran(&payer, &idempotency);
    assert_eq!(code, 1, "{report:#}");
    let why = &of(&report, "idempotency")["found"][0]["why"];
    assert_eq!(
        why, "the answer that is kept is not the one that the ledger has",
        "{report:#}"
    );
}

#[tokio::test]
async fn a_history_that_was_written_anew_contradicts_a_checkpoint_from_outside() {
    let (mut payer, _) = TestPayer::prepare(2);
    payer.serve_with(&[SOON]);
    let told = covered(&payer);
    let note = told["note"].as_str().expect("a note").to_owned();
    fs::write(payer.home().join("kept"), &note).expect("kept");
    let run = ["--only", "consistency", "--against", "kept"];
    let (code, report) = ran(&payer, &run);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(of(&report, "consistency")["facts"]["checkpoints from outside"], "1");

    // As the operator signed it with the real key, for another history.
    let key = payer.json_command(&["audit", "key"]);
    let key = LogKey::parse(key["key"].as_str().expect("a key")).expect("a key");
    let signing = fs::read_dir(folder(&payer))
        .expect("files")
        .map(|file| file.expect("a file").path());
    let signing = signing
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "key"))
        .expect("a key");
    let signing = Ed25519Key::from_pem(&fs::read_to_string(signing).expect("a key")).expect("a key");
    let size = told["size"].as_u64().expect("a size");
    for (size, why) in [(size, "history was changed"), (size + 1_000, "fewer entries")] {
        let other = Checkpoint {
            origin: key.name.clone(),
            size,
            root: [7; 32],
        };
        let forged = key.note(&other, &signing.sign(other.text().as_bytes()));
        fs::write(payer.home().join("kept"), forged).expect("kept");
        let (code, report) = ran(&payer, &run);
        assert_eq!(code, 1, "{report:#}");
        let found = &of(&report, "consistency")["found"][0];
        assert_eq!(found["what"], "checkpoint from outside", "{report:#}");
        assert!(
            found["why"].as_str().is_some_and(|text| text.contains(why)),
            "{report:#}"
        );
    }
}

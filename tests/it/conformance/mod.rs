//! The conformance runner: silent about the sound server, and each planted defect is noticed by the tests that name it.
//!
//! `cargo test` plants every eighth defect; `CAUSEWAY_TEST_DEFECTS=all` plants all, `CAUSEWAY_TEST_DEFECTS=NAME` one.

mod data;
mod defects;

use crate::support::client::Client;
use crate::support::payer::{PARTNER_URI, TestPayer, today};
use crate::support::pki::Kind;
use causeway::clock::Clock;
use causeway::ids::Ids;
use causeway::synth::{self, MatchOptions, Variation, match_request};
use causeway_conformance::catalog::{self, Test};
use causeway_conformance::{self as conformance, ClientSettings, ConformanceReport, Surroundings, TestVerdict};
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The member whose record holds everything.
const MEMBER: u64 = 4;
/// The member who is in the roster twice.
const TWIN: u64 = 1;

/// Tests that the sound server leaves untried, and why that is right.
const UNTRIED: &[(&str, &str)] = &[(
    "pdex-*/ExplanationOfBenefit/must-support",
    "money is withheld, and total with it",
)];

/// What depends most on the data: each would be skipped on the record of an ordinary member.
const SHOWN: &[&str] = &[
    "*/*/must-support",
    "*/*/revinclude-provenance",
    "*/*/paging",
    "pdex-2.2/record",
];

const BULK_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";

fn write(home: &Path, name: &str, text: &str) {
    std::fs::write(home.join(name), text).expect("a file");
}

/// The file that plants a defect in the running server.
const DEFECT: &str = "defect.txt";

/// A payer with the rich record, not yet serving, and its client file.
fn site() -> TestPayer {
    let (payer, client) = TestPayer::prepare(12);
    let home = payer.home().to_owned();
    let member = payer.member(MEMBER);
    let patients = std::fs::read_to_string(home.join("members/Patient.ndjson")).expect("patients");
    let patient: Value = patients
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .find(|one| one["id"] == member.patient_id.as_str())
        .expect("the member");
    let lines: Vec<String> = data::record(&patient, &member.coverage_id)
        .iter()
        .map(Value::to_string)
        .collect();
    // In two runs, so that not everything became visible at one time and an order by it can be told.
    let first = lines.iter().filter(|line| !line.contains("\"Provenance\"")).step_by(2);
    let first: Vec<&str> = first.map(String::as_str).collect();
    for record in [first.join("\n"), lines.join("\n")] {
        write(&home, "record.ndjson", &record);
        let said = payer.json_command(&["import", "record.ndjson"]);
        assert_eq!(said["rejected"], 0, "{said}");
    }
    client_files(&payer, &client, &payer.request(MEMBER, Variation::Exact));
    // The envelope of PDex 2.1 is tested too.
    let sql =
        format!("UPDATE partner SET scopes = scopes || ' {BULK_SCOPE}', dialect = replace(dialect, '2.2', '2.1')");
    diesel::sql_query(sql).execute(&mut payer.db()).expect("scopes");
    payer
}

/// A payer with the showcase member, not yet serving, and its client file, which names her.
fn showcase_site() -> TestPayer {
    let options = synth::SynthOptions {
        members: 12,
        resources_per_member: 8,
        twins: true,
        showcase: true,
        as_of: today(),
        ..synth::SynthOptions::default()
    };
    let showcase = synth::showcase_member(&options);
    let (payer, client) = TestPayer::prepare_with(options);
    let matching = match_request(&showcase, &MatchOptions::on(today()), Variation::Exact);
    client_files(&payer, &client, &matching);
    payer
}

/// Writes the client file and what it names; `matching` is the request that matches.
fn client_files(payer: &TestPayer, client: &Client, matching: &Value) {
    let home = payer.home();
    write(home, "match.json", &matching.to_string());
    for (name, index, variation) in [
        ("no-match", MEMBER, Variation::WrongBirthDate),
        ("ambiguous", TWIN, Variation::Exact),
        ("consent-ended", MEMBER, Variation::ConsentExpired),
    ] {
        write(
            home,
            &format!("{name}.json"),
            &payer.request(index, variation).to_string(),
        );
    }
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    write(home, "partner.pem", &pair.certificate);
    write(home, "partner.key", &pair.key);
    write(
        home,
        "keys.json",
        &json!({"keys": [client.key.private_jwk()]}).to_string(),
    );
    write(
        home,
        "conformance.toml",
        &format!(
            "client_id = \"new-payer\"\njwks = \"keys.json\"\ncertificate = \"partner.pem\"\nkey = \"partner.key\"\nca = \"ca.pem\"\n\
             bulk_match_scope = \"{BULK_SCOPE}\"\nbulk_match_envelope = true\nother_patients = [\"{}\"]\n[bodies]\nmatch = \"match.json\"\nno_match = \"no-match.json\"\nambiguous = \"ambiguous.json\"\n\
             consent = \"consent-ended.json\"\n",
            payer.member(MEMBER + 1).patient_id
        ),
    );
}

async fn run(payer: &TestPayer, tests: &[Test]) -> ConformanceReport {
    let settings = ClientSettings::read(&payer.home().join("conformance.toml")).expect("the client file");
    let base = format!("{}/fhir", payer.origin);
    let ids = Ids::random();
    let around = Surroundings {
        now_ms: Arc::new(|| Clock::System.now_ms()),
        new_id: Arc::new(move || ids.new_id(Clock::System.now_ms())),
        // Most of the time of a planted defect in bulk runs went by in waiting for the first second to end.
        poll_second: Duration::from_millis(250),
    };
    conformance::run(&base, settings, tests, around, &mut |_| {})
        .await
        .expect("a run")
}

fn names(report: &ConformanceReport, wanted: fn(&TestVerdict) -> bool) -> BTreeSet<String> {
    let all = report.tested.iter().filter(|one| wanted(&one.verdict));
    all.map(|one| one.test.id.clone()).collect()
}

fn told(report: &ConformanceReport, ids: &BTreeSet<String>) -> String {
    let all = report.tested.iter().filter(|one| ids.contains(&one.test.id));
    all.map(|one| format!("{} {}: {}\n", one.verdict.word(), one.test.id, one.verdict.reason()))
        .collect()
}

/// The defects to plant in this run.
fn chosen() -> Vec<&'static (&'static str, &'static [&'static str])> {
    let wanted = std::env::var("CAUSEWAY_TEST_DEFECTS").unwrap_or_default();
    let table = defects::TABLE.iter().enumerate();
    table
        .filter(|(at, (name, _))| match wanted.as_str() {
            "all" => true,
            "" => at % 8 == 0,
            one => *name == one,
        })
        .map(|(_, row)| row)
        .collect()
}

#[tokio::test]
async fn the_runner_passes_the_sound_server_and_notices_each_defect() {
    causeway::security::tls::install_provider();
    let mut payer = site();
    let file = payer.home().join(DEFECT).display().to_string();
    payer.serve_with(&[(causeway::http::defects::VARIABLE, &file)]);
    let all = catalog::all();
    let sound = run(&payer, &all).await;
    let bad = names(&sound, TestVerdict::is_bad);
    assert!(bad.is_empty(), "on the sound server:\n{}", told(&sound, &bad));
    let passed = names(&sound, |verdict| *verdict == TestVerdict::Pass);
    let untried: BTreeSet<String> = all
        .iter()
        .filter(|test| !passed.contains(&test.id) && !UNTRIED.iter().any(|(pattern, _)| test.fits(pattern)))
        .map(|test| test.id.clone())
        .collect();
    assert!(
        untried.is_empty(),
        "not tried on the sound server:\n{}",
        told(&sound, &untried)
    );

    let mut missed = String::new();
    for (name, patterns) in chosen() {
        let concerned: Vec<Test> = all
            .iter()
            .filter(|test| passed.contains(&test.id) && patterns.iter().any(|pattern| test.fits(pattern)))
            .cloned()
            .collect();
        if concerned.is_empty() {
            let known = |pattern: &&str| UNTRIED.iter().any(|(untried, _)| untried == pattern);
            assert!(
                patterns.iter().all(known),
                "{name} concerns no test that the sound server passes"
            );
            continue;
        }
        write(payer.home(), DEFECT, name);
        let report = run(&payer, &concerned).await;
        let others = names(&report, |verdict| {
            !matches!(verdict, TestVerdict::Fail(_) | TestVerdict::Data(_))
        });
        if !others.is_empty() {
            missed.push_str(&format!("{name} is not noticed by\n{}", told(&report, &others)));
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

/// What the published records brought up: an unversioned claim that only US Core 6.1.0 honours, and claims whose Claim is not served.
#[tokio::test]
async fn the_runner_tells_a_fault_of_the_data_from_one_of_the_server() {
    let mut payer = site();
    let (patient, coverage) = (payer.member(MEMBER).patient_id, payer.member(MEMBER).coverage_id);
    let order = |id: &str, version: &str| {
        let profile = format!("http://hl7.org/fhir/us/core/StructureDefinition/us-core-medicationrequest{version}");
        json!({"resourceType": "MedicationRequest", "id": id, "meta": {"profile": [profile]}, "status": "active", "intent": "order",
            "medicationCodeableConcept": {"text": "a drug"}, "subject": {"reference": format!("Patient/{patient}")}, "authoredOn": "2024-01-05"})
    };
    let claim = json!({"resourceType": "ExplanationOfBenefit", "id": "with-a-claim", "status": "active", "use": "claim", "outcome": "complete",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/claim-type", "code": "professional"}]},
        "patient": {"reference": format!("Patient/{patient}")}, "created": "2024-01-05", "insurer": {"display": "Old Payer"},
        "provider": {"display": "A clinic"}, "claim": {"reference": "Claim/not-served"},
        "insurance": [{"focal": true, "coverage": {"reference": format!("Coverage/{coverage}")}}]});
    let import = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        write(payer.home(), "more.ndjson", &text);
        let said = payer.json_command(&["import", "more.ndjson"]);
        assert_eq!(said["rejected"], 0, "{said}");
    };
    // Care plans of old exports have categories of their own, and the one search that US Core demands asks for `assess-plan`.
    let plan = json!({"resourceType": "CarePlan", "id": "of-its-own-kind", "status": "active", "intent": "order",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "53950000"}]}],
        "subject": {"reference": format!("Patient/{patient}")}, "period": {"start": "2024-01-05"}});
    import(&[order("unversioned", ""), claim, plan]);
    payer.serve();
    let chosen = |patterns: &[&str]| -> Vec<Test> {
        let mut all = catalog::all();
        all.retain(|test| patterns.iter().any(|pattern| test.fits(pattern)));
        all
    };
    let tests = chosen(&[
        "us-core-*/MedicationRequest/must-support",
        "pdex-*/record/references",
        "pdex-2.2/types/CarePlan",
    ]);
    let report = run(&payer, &tests).await;
    assert!(
        report.is_good(),
        "{}",
        told(&report, &names(&report, TestVerdict::is_bad))
    );
    let at_fault = names(&report, |verdict| matches!(verdict, TestVerdict::Data(_)));
    assert_eq!(
        at_fault.iter().collect::<Vec<_>>(),
        ["us-core-3.1.1/MedicationRequest/must-support"]
    );
    assert!(told(&report, &at_fault).contains("MedicationRequest/unversioned has no requester"));
    assert_eq!(
        names(&report, |verdict| *verdict == TestVerdict::Pass).len(),
        4,
        "{:?}",
        report.counts()
    );

    // Who names the version is held to it.
    let import = |line: &Value| {
        write(payer.home(), "more.ndjson", &format!("{line}\n"));
        payer.json_command(&["import", "more.ndjson"])
    };
    import(&order("versioned", "|3.1.1"));
    let report = run(&payer, &chosen(&["us-core-3.1.1/MedicationRequest/must-support"])).await;
    assert_eq!(
        names(&report, |verdict| matches!(verdict, TestVerdict::Fail(_))).len(),
        1
    );

    // A member who has no other care plan than such a one.
    let other = payer.member(2).patient_id;
    let plan = json!({"resourceType": "CarePlan", "id": "the-only-one", "status": "active", "intent": "order",
        "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "53950000"}]}],
        "subject": {"reference": format!("Patient/{other}")}, "period": {"start": "2024-01-05"}});
    import(&plan);
    write(
        payer.home(),
        "match.json",
        &payer.request(2, Variation::Exact).to_string(),
    );
    let report = run(&payer, &chosen(&["pdex-2.2/types/CarePlan"])).await;
    let at_fault = names(&report, |verdict| matches!(verdict, TestVerdict::Data(_)));
    assert!(
        report.is_good() && at_fault.len() == 1,
        "{}",
        told(&report, &names(&report, |_| true))
    );
}

#[tokio::test]
async fn on_the_showcase_nothing_is_left_untried_but_what_is_explained() {
    causeway::security::tls::install_provider();
    let mut payer = showcase_site();
    payer.serve();
    let wanted = |test: &Test| SHOWN.iter().any(|pattern| test.fits(pattern));
    let tests: Vec<Test> = catalog::all().into_iter().filter(wanted).collect();
    assert!(tests.len() > 100, "{}", tests.len());
    let report = run(&payer, &tests).await;
    let left = report.tested.iter().filter(|one| {
        let explained = UNTRIED.iter().any(|(pattern, _)| one.test.fits(pattern));
        one.verdict != TestVerdict::Pass && !explained
    });
    let left: BTreeSet<String> = left.map(|one| one.test.id.clone()).collect();
    assert!(left.is_empty(), "{}", told(&report, &left));
}

#[test]
fn every_test_is_tripped_by_a_defect_and_every_defect_is_known() {
    let tests = catalog::all();
    let table: BTreeSet<&str> = defects::TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        table,
        causeway::http::defects::names().into_iter().collect(),
        "the two lists of defects"
    );
    assert!(table.len() >= 30);
    for (name, patterns) in defects::TABLE {
        for pattern in *patterns {
            assert!(
                tests.iter().any(|test| test.fits(pattern)),
                "{name}: {pattern} is no test"
            );
        }
    }
    let patterns: Vec<&str> = defects::TABLE
        .iter()
        .flat_map(|(_, patterns)| patterns.iter().copied())
        .collect();
    let free: Vec<&str> = tests
        .iter()
        .filter(|test| !patterns.iter().any(|pattern| test.fits(pattern)))
        .map(|test| test.id.as_str())
        .collect();
    assert!(free.is_empty(), "no defect trips {free:?}");
}

#[test]
fn requirements_and_tests_name_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("conformance/requirements.tsv")).expect("the table");
    let tests = catalog::all();
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [requirement, guide, what, test] = cells.as_slice() else {
            panic!("line {}: {} cells", at + 1, cells.len());
        };
        assert!(
            ![requirement, guide, what, test].iter().any(|cell| cell.is_empty()),
            "line {}",
            at + 1
        );
        if test.contains('/') {
            assert!(
                tests.iter().any(|one| one.fits(test)),
                "line {}: {test} is no test of the runner",
                at + 1
            );
            rows.push((*requirement, *test));
            continue;
        }
        let (file, function) = test.split_once("::").unwrap_or((test, ""));
        let source = [format!("tests/it/{file}.rs"), format!("tests/it/{file}/mod.rs")];
        let source = source
            .iter()
            .find_map(|path| std::fs::read_to_string(root.join(path)).ok());
        let source = source.unwrap_or_else(|| panic!("line {}: no file {file}", at + 1));
        let there = function.is_empty() || source.contains(&format!("fn {function}("));
        assert!(there, "line {}: {test} is not there", at + 1);
    }
    for test in &tests {
        let found = rows
            .iter()
            .any(|(requirement, pattern)| *requirement == test.requirement && test.fits(pattern));
        assert!(found, "{} ({}) has no row", test.id, test.requirement);
    }
}

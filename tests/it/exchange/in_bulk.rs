//! Causeway asks Causeway for many members at once: over TLS, with real processes.

use super::pair::{Pair, WAIT};
use crate::support::payer::{TestPayer, is_optimised, today};
use crate::support::pki::Kind;
use crate::support::store::Place;
use causeway::error::Fault;
use causeway::failpoint::VARIABLE;
use causeway::synth::{SynthOptions, Variation};
use causeway_jose::{Algorithm, SigningKey};
use causeway_sandbox_partner::SandboxRoute;
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

const BULK_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
const MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
const URI: &str = "https://asking-payer.example/fhir";

/// The payer that asks, and the one that is asked; both serve. The members `1..` of the old payer are `Patient/m1` and so on at the new one.
struct BothPayers {
    new: TestPayer,
    old: TestPayer,
    members: u64,
}

impl BothPayers {
    fn start(members: u64, dialect: &str) -> BothPayers {
        let options = SynthOptions {
            members: members + 1,
            resources_per_member: 12,
            as_of: today(),
            ..SynthOptions::default()
        };
        let mut old = TestPayer::prepare_with(options).0;
        let key = SigningKey::generate(Algorithm::Es384, "k1").expect("a key");
        let jwks = json!({"keys": [key.public_jwk()]}).to_string();
        let write = |payer: &TestPayer, name: &str, text: &str| {
            std::fs::write(payer.home().join(name), text).expect("a file");
        };
        write(&old, "asking-jwks.json", &jwks);
        let registration = format!(
            "id = \"asking\"\nname = \"New Payer\"\nnpi = \"1992000079\"\nclient_id = \"asking\"\njwks_file = \"asking-jwks.json\"\n\
             certificate_uri = \"{URI}\"\nmtls = \"required\"\nscopes = [\"system/*.rs\", \"{MATCH_SCOPE}\", \"{BULK_SCOPE}\"]\n\
             dialect = {{ hrex = \"1.1\", pdex = \"{dialect}\", us_core = \"6.1.0\" }}\n"
        );
        write(&old, "asking.toml", &registration);
        run(&old, &["partner", "add", "--file", "asking.toml"]);
        old.serve();

        let mut new = TestPayer::bare(
            Place::fresh(),
            SynthOptions {
                members: 0,
                as_of: today(),
                ..SynthOptions::default()
            },
        );
        let identity = old.pki.client(URI, Kind::Good);
        write(&new, "exchange-key.json", &key.private_jwk().to_string());
        write(&new, "client.pem", &identity.certificate);
        write(&new, "client.key", &identity.key);
        write(&new, "old-ca.pem", &old.pki.ca);
        write(&new, "old-jwks.json", &jwks);
        let config = std::fs::read_to_string(new.home().join("causeway.toml")).expect("the configuration");
        let config = config
            .replace("1992000012", "1992000079")
            .replace("Old Payer", "New Payer");
        let asking = "[exchange]\nclient_id = \"asking\"\nsigning_key = \"exchange-key.json\"\ncertificate = \"client.pem\"\n\
                      certificate_key = \"client.key\"\n[jobs]\npoll_seconds = 1\n";
        write(&new, "causeway.toml", &format!("{config}{asking}"));
        let registration = format!(
            "id = \"old\"\nname = \"Old Payer\"\nnpi = \"1992000012\"\nclient_id = \"old\"\njwks_file = \"old-jwks.json\"\nmtls = \"off\"\n\
             scopes = [\"system/*.rs\"]\n[endpoint]\nfhir = \"{}/fhir\"\ntrust = \"old-ca.pem\"\n",
            old.origin
        );
        write(&new, "old.toml", &registration);
        run(&new, &["partner", "add", "--file", "old.toml"]);
        let mut lines = String::new();
        for number in 1..=members {
            let mut patient = old.request(number, Variation::Exact)["parameter"][0]["resource"].clone();
            patient["id"] = json!(format!("m{number}"));
            lines.push_str(&format!("{patient}\n{}\n", own_coverage(number)));
        }
        let stranger = json!({"resourceType": "Patient", "id": "m99", "name": [{"family": "Nobody", "given": ["Nemo"]}],
            "birthDate": "1931-02-03", "gender": "male"});
        lines.push_str(&format!("{stranger}\n{}\n", own_coverage(99)));
        write(&new, "members.ndjson", &lines);
        run(&new, &["import", "members.ndjson"]);
        new.serve();
        BothPayers { new, old, members }
    }

    /// Imports the enrolments of all members and a stranger, and returns the exchanges by member once all came to rest.
    fn import(&self) -> Vec<Value> {
        let mut lines = String::new();
        for number in (1..=self.members).chain([99]) {
            let known = self.old.request(number.min(self.members), Variation::Exact);
            let identifier = &known["parameter"][1]["resource"]["identifier"][0];
            let card = match number {
                99 => json!("NOBODY-1"),
                _ => identifier["value"].clone(),
            };
            let enrolment = json!({"partner": "old", "member": format!("Patient/m{number}"), "other_member_number": card,
                "other_number_system": identifier["system"], "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper"});
            lines.push_str(&format!("{enrolment}\n"));
        }
        std::fs::write(self.new.home().join("enrolments.ndjson"), lines).expect("a file");
        let told = self
            .new
            .json_command(&["exchange", "import", "enrolments.ndjson", "--bulk"]);
        assert_eq!(
            (&told["started"], &told["bulk_runs"]),
            (&json!(self.members + 1), &json!(1))
        );
        self.run_ended();
        let began = Instant::now();
        loop {
            let listed = self.new.json_command(&["exchange", "list"]);
            let items: Vec<Value> = listed.as_array().expect("a list").clone();
            let rests = |item: &Value| !item["ended_at"].is_null() || item["phase"] == "awaiting_partner";
            if items.len() as u64 == self.members + 1 && items.iter().all(rests) {
                return items;
            }
            assert!(began.elapsed() < WAIT, "{listed:#}\n{}", self.new.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for the end of the run, and returns it.
    fn run_ended(&self) -> Value {
        let began = Instant::now();
        loop {
            let listed = self.new.json_command(&["bulk", "list"]);
            let run = &listed["runs"][0];
            if !run["ended_at"].is_null() {
                let id = run["id"].as_str().expect("an id");
                return self.new.json_command(&["bulk", "show", id]);
            }
            assert!(
                began.elapsed() < WAIT,
                "{run:#}\n{}\n{}",
                self.new.log(),
                self.old.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn own_coverage(number: u64) -> Value {
    json!({"resourceType": "Coverage", "id": format!("k{number}"), "status": "active",
        "beneficiary": {"reference": format!("Patient/m{number}")}, "payor": [{"display": "New Payer"}],
        "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
            "system": "http://new-payer.example/identifiers/member", "value": format!("NEW-{number}")}]})
}

#[track_caller]
fn run(payer: &TestPayer, command: &[&str]) {
    let done = payer.command(command);
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn members_are_matched_exported_and_stored_in_one_run() {
    let both = BothPayers::start(6, "2.2");
    let items = both.import();
    let run = both.run_ended();
    assert_eq!(run["state"], "done", "{run:#}\n{}", both.new.log());
    assert_eq!(run["states"], json!({"received": 6, "answered": 1}), "{run:#}");
    let completed = items.iter().filter(|item| item["phase"] == "completed").count();
    assert_eq!(completed, 6, "{items:#?}\n{}", both.new.log());
    for item in items.iter().filter(|item| item["phase"] == "completed") {
        let id = item["id"].as_str().expect("an id");
        let shown = both.new.json_command(&["exchange", "show", id]);
        assert_eq!(shown["delivery_state"], "acknowledged", "{shown:#}");
        assert!(shown["counts"]["stored"].as_u64() > Some(5), "{shown:#}");
        assert_eq!(shown["counts"]["quarantined"], 0, "{shown:#}");
        for action in [
            "sending",
            "member-matched",
            "retrieved",
            "checked",
            "stored",
            "acknowledged",
        ] {
            let entries = format!("ledger_entry WHERE exchange_id = '{id}' AND action = 'exchange.{action}'");
            assert!(both.new.count(&entries) >= 1, "{action}");
        }
        assert_eq!(
            both.new.count(&format!(
                "ledger_entry WHERE exchange_id = '{id}' AND action = 'exchange.retrieved'"
            )),
            1
        );
    }
    let stranger = items.iter().find(|item| item["phase"] != "completed").expect("one");
    assert_eq!(stranger["phase"], "awaiting_partner", "it is asked again a day later");
    assert_eq!(both.new.count("job WHERE kind = 'bulk-ask'"), 0);
    assert_eq!(both.new.count("job WHERE kind = 'exchange'"), 1, "the stranger's");
    // Both jobs were deleted at the partner.
    assert_eq!(
        both.old.count("bulk_job WHERE state IN ('done', 'running', 'waiting')"),
        0
    );
}

/// Imports the enrolments of the first two members of the sandbox, and returns the run and both exchanges at their ends.
fn in_one_run(pair: &Pair) -> (Value, Vec<Value>) {
    two_enrolments(pair);
    let told = pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
    assert_eq!(told["bulk_runs"], 1, "{told}");
    run_of_two(pair)
}

fn two_enrolments(pair: &Pair) {
    let lines: Vec<String> = [1, 2]
        .map(|number| std::fs::read_to_string(pair.payer.home().join(pair.enrolment(number))).expect("a file"))
        .to_vec();
    std::fs::write(pair.payer.home().join("two.ndjson"), lines.join("\n")).expect("a file");
}

fn run_of_two(pair: &Pair) -> (Value, Vec<Value>) {
    let began = Instant::now();
    let run = loop {
        let listed = pair.payer.json_command(&["bulk", "list"]);
        let id = listed["runs"][0]["id"].as_str().expect("an id").to_owned();
        if !listed["runs"][0]["ended_at"].is_null() {
            break pair.payer.json_command(&["bulk", "show", &id]);
        }
        assert!(began.elapsed() < WAIT, "{listed:#}\n{}", pair.payer.log());
        std::thread::sleep(Duration::from_millis(200));
    };
    let exchanges = run["exchanges"].as_array().expect("members").clone();
    let ended = exchanges
        .iter()
        .map(|one| pair.ended(one["exchange"].as_str().expect("an id")));
    (run.clone(), ended.collect())
}

fn bulk_script(rules: &str) -> String {
    format!("offers = [\"everything\", \"bulk\"]\n[members]\ncount = 2\nresources = 12\n{rules}")
}

#[test]
fn a_partner_whose_files_are_true_is_asked_once_for_both_members() {
    for (rules, why) in [
        ("", "an honest export"),
        (
            "[[rule]]\nroute = \"group-export\"\nacts = [{ bulk = \"twice\" }]\n",
            "each resource twice",
        ),
        (
            "[[rule]]\nroute = \"bulk-file\"\nrequests = \"2-3\"\nacts = [{ reset-during = { after_bytes = 700 } }]\n",
            "files that break off",
        ),
    ] {
        let pair = Pair::start(&bulk_script(rules));
        let (run, exchanges) = in_one_run(&pair);
        assert_eq!(run["state"], "done", "{why}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["states"], json!({"received": 2}), "{why}: {run:#}");
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, why);
        }
        let requests = pair.sandbox.control().requests();
        let single = requests
            .iter()
            .filter(|one| matches!(one.route, SandboxRoute::MemberMatch | SandboxRoute::Everything));
        assert_eq!(single.count(), 0, "{why}: nobody was asked for alone");
        let resumed = requests
            .iter()
            .any(|one| one.headers.iter().any(|(name, _)| name == "range"));
        assert_eq!(resumed, why == "files that break off");
        assert!(pair.sandbox.control().complaints().is_empty(), "{why}");
    }
}

#[test]
fn a_partner_whose_files_are_not_true_is_asked_for_each_member_alone() {
    let at_status = |what: &str| {
        format!("[[rule]]\nroute = \"bulk-status\"\nrequests = \"3+\"\nacts = [{{ bulk = \"{what}\" }}]\n")
    };
    let with_files = |what: &str| {
        let files = format!("[[rule]]\nroute = \"bulk-file\"\nrequests = \"2+\"\nacts = [{{ bulk = \"{what}\" }}]\n");
        at_status(what) + &files
    };
    let stranger = "[[rule]]\nroute = \"group-export\"\nacts = [{ bulk = \"stranger\" }]\n".to_owned();
    for (rules, fault) in [
        (at_status("wrong-count"), Fault::FilesUntrue),
        (at_status("wrong-digest"), Fault::FilesUntrue),
        (at_status("missing-file"), Fault::PartnerRefuses),
        (at_status("file-elsewhere"), Fault::PartnerElsewhere),
        (at_status("many-lines"), Fault::PartnerTooMuch),
        (with_files("untold-lines"), Fault::PartnerTooMuch),
        (with_files("endless-line"), Fault::PartnerTooMuch),
        (stranger, Fault::StrangersResource),
    ] {
        let pair = Pair::start(&bulk_script(&rules));
        let (run, exchanges) = in_one_run(&pair);
        assert_eq!(run["state"], "failed", "{rules}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["fault"], fault.code(), "{rules}: {run:#}\n{}", pair.payer.log());
        assert_eq!(run["states"], json!({"alone": 2}), "{rules}");
        for (number, shown) in (1..).zip(&exchanges) {
            pair.assert_whole(number, shown, &rules);
        }
        assert!(pair.sandbox.control().strays().is_empty(), "{rules}");
        let kept = std::fs::read_dir(pair.payer.home().join("exports")).map(|folder| folder.count());
        assert_eq!(kept.unwrap_or(0), 0, "{rules}: what was fetched is removed");
    }
}

#[test]
fn a_process_that_dies_at_any_step_of_a_run_loses_nothing_and_stores_nothing_twice() {
    if is_optimised() {
        // An optimised build has no such points.
        return;
    }
    for step in [
        "ask-match",
        "await-match",
        "end-match",
        "ask-export",
        "await-export",
        "fetch",
        "hand-out",
        "end-export",
    ] {
        for whole in ["bulk-ask", "bulk-ask-done"] {
            let point = format!("{whole}.{step}");
            let mut pair = Pair::prepare(&bulk_script(""));
            pair.payer.serve_with(&[(VARIABLE, &point)]);
            two_enrolments(&pair);
            // The server may die before it can answer.
            let _ = pair.payer.command(&["exchange", "import", "two.ndjson", "--bulk"]);
            let status = pair.payer.await_end(Duration::from_secs(40));
            assert_eq!(status.signal(), Some(9), "{point}: {status}");
            pair.end_leases();
            pair.payer.serve();
            let (run, exchanges) = run_of_two(&pair);
            assert_eq!(run["state"], "done", "{point}: {run:#}\n{}", pair.payer.log());
            for (number, shown) in (1..).zip(&exchanges) {
                pair.assert_whole(number, shown, &point);
            }
        }
    }
}

#[test]
fn where_the_partner_has_no_bulk_each_member_is_asked_for_alone() {
    let pair = Pair::start("[members]\ncount = 2\nresources = 12\n");
    let (run, exchanges) = in_one_run(&pair);
    assert_eq!(
        (&run["state"], &run["states"]),
        (&json!("done"), &json!({"alone": 2})),
        "{run:#}"
    );
    for (number, shown) in (1..).zip(&exchanges) {
        pair.assert_whole(number, shown, "no bulk");
    }
    pair.assert_asked_once(2);
}

#[test]
fn what_a_run_began_is_deleted_at_the_partner_when_nobody_waits_for_it_any_more() {
    // It never comes to the end of the match, or of the export.
    for (requests, what) in [("1+", "a match"), ("4+", "an export")] {
        let pair = Pair::start(&bulk_script(&format!(
            "[[rule]]\nroute = \"bulk-status\"\nrequests = \"{requests}\"\n\
             acts = [{{ answer = {{ status = 202, retry_after = \"300\", processed = true }} }}]\n"
        )));
        two_enrolments(&pair);
        let told = pair.payer.json_command(&["exchange", "import", "two.ndjson", "--bulk"]);
        assert_eq!(told["bulk_runs"], 1, "{told}");
        let control = pair.sandbox.control();
        let began = Instant::now();
        let statuses = || control.requests_to(SandboxRoute::BulkStatus);
        let is_waiting = || {
            let run = &pair.payer.json_command(&["bulk", "list"])["runs"][0];
            let step = run["step"].as_str().unwrap_or_default().to_owned();
            let wanted = if what == "a match" {
                "await-match"
            } else {
                "await-export"
            };
            step == wanted && statuses().iter().any(|one| one.status == Some(202))
        };
        while !is_waiting() {
            assert!(began.elapsed() < WAIT, "{what}: {:?}\n{}", statuses(), pair.payer.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        let deletes = || statuses().iter().filter(|one| one.method == "DELETE").count();
        let before = deletes();
        let listed = pair.payer.json_command(&["exchange", "list"]);
        let ids: Vec<&str> = listed
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["id"].as_str())
            .collect();
        assert_eq!(ids.len(), 2);
        run(&pair.payer, &["exchange", "cancel", ids[0], "--reason", "a test"]);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(deletes(), before, "{what}: the other one still waits");
        run(&pair.payer, &["exchange", "cancel", ids[1], "--reason", "a test"]);
        // At once, although the partner asked for five minutes.
        let began = Instant::now();
        while deletes() == before {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{what}\n{}",
                pair.payer.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
        let (ended, exchanges) = run_of_two(&pair);
        assert_eq!(
            (&ended["state"], &ended["states"]),
            (&json!("done"), &json!({"left": 2})),
            "{what}: {ended:#}"
        );
        assert!(exchanges.iter().all(|one| one["phase"] == "cancelled"), "{what}");
        assert_eq!(pair.payer.count("ingest_piece"), 0, "{what}: nothing of it is kept");
    }
}

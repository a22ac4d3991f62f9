//! Causeway asks Causeway for many members at once: over TLS, with real processes.

use super::compared::{plain, sorted};
use super::pair::WAIT;
use crate::reconciliation::{assert_a_run_without_jobs_is_no_difference, assert_both_have_the_same};
use crate::support::assertion::ClientKey;
use crate::support::client::Client;
use crate::support::payer::{TestPayer, today};
use crate::support::pki::Kind;
use crate::support::store::Place;
use causeway::synth::{SynthOptions, Variation};
use diesel::QueryableByName;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const BULK_SCOPE: &str = "http://hl7.org/fhir/us/davinci-pdex/OperationDefinition/BulkMemberMatch";
const MATCH_SCOPE: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";
/// The number of the member whom the old payer does not know.
const STRANGER: u64 = 999_999;
const URI: &str = "https://asking-payer.example/fhir";

/// The payer that asks, and the one that is asked; both serve. The members `1..` of the old payer are `Patient/m1` and so on at the new one.
pub struct BothPayers {
    pub new: TestPayer,
    pub old: TestPayer,
    /// The new payer, as the old one sees it.
    asking: Client,
    members: u64,
}

impl BothPayers {
    pub fn start(members: u64, dialect: &str) -> BothPayers {
        let options = SynthOptions {
            members: members + 1,
            resources_per_member: 12,
            as_of: today(),
            ..SynthOptions::default()
        };
        let mut old = TestPayer::prepare_with(options).0;
        let key = ClientKey::new("k1");
        let jwks = key.jwks().to_string();
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
            Place::ready(),
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
        let stranger = json!({"resourceType": "Patient", "id": format!("m{STRANGER}"), "name": [{"family": "Nobody", "given": ["Nemo"]}],
            "birthDate": "1931-02-03", "gender": "male"});
        lines.push_str(&format!("{stranger}\n{}\n", own_coverage(STRANGER)));
        write(&new, "members.ndjson", &lines);
        run(&new, &["import", "members.ndjson"]);
        new.serve();
        let asking = old.client("asking", key, Some(&identity));
        BothPayers {
            new,
            old,
            asking,
            members,
        }
    }

    /// How many are asked about whom the old payer does not know. A run has room for 1,000.
    fn strangers(&self) -> u64 {
        u64::from(self.members < 1_000)
    }

    /// The enrolment of this member.
    pub fn enrolment(&self, number: u64, since: Option<&str>) -> Value {
        let known = self.old.request(number.min(self.members), Variation::Exact);
        let identifier = &known["parameter"][1]["resource"]["identifier"][0];
        let card = match number {
            STRANGER => json!("NOBODY-1"),
            _ => identifier["value"].clone(),
        };
        let mut enrolment = json!({"partner": "old", "member": format!("Patient/m{number}"), "other_member_number": card,
            "other_number_system": identifier["system"], "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper"});
        if let Some(since) = since {
            enrolment["since"] = json!(since);
        }
        enrolment
    }

    /// Imports the enrolments of all members and a stranger, and returns the run once all exchanges came to rest.
    pub fn import(&self) -> Value {
        let stranger = (self.strangers() == 1).then_some(STRANGER);
        let numbers = (1..=self.members).chain(stranger);
        let lines: String = numbers
            .map(|number| format!("{}\n", self.enrolment(number, None)))
            .collect();
        std::fs::write(self.new.home().join("enrolments.ndjson"), lines).expect("a file");
        let told = self
            .new
            .json_command(&["exchange", "import", "enrolments.ndjson", "--bulk"]);
        assert_eq!(
            (&told["started"], &told["bulk_runs"]),
            (&json!(self.members + self.strangers()), &json!(1))
        );
        let run = self.run_ended();
        let began = Instant::now();
        let at_rest = "exchange WHERE ended_ms IS NOT NULL OR phase = 'awaiting_partner'";
        while self.new.count(at_rest).unsigned_abs() < self.members + self.strangers() {
            assert!(began.elapsed() < self.wait(), "{run:#}\n{}", self.new.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        run
    }

    /// Time for all members.
    fn wait(&self) -> Duration {
        WAIT + Duration::from_millis(500 * self.members)
    }

    /// What the old payer gives about these Patients of its own, each resource once, without its id and what its references name; without
    /// Patients and Provenances.
    fn released(&self, patients: &[String]) -> Vec<Value> {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        runtime.block_on(async {
            let token = self.asking.token("system/*.rs").await;
            for patient in patients {
                let mut path = format!("Patient/{patient}/$everything");
                loop {
                    let reply = self.asking.get(&token, &path).await;
                    reply.assert_status(200);
                    let bundle = reply.json();
                    for entry in bundle["entry"].as_array().into_iter().flatten() {
                        let resource = &entry["resource"];
                        let name = format!("{}/{}", resource["resourceType"], resource["id"]);
                        found.insert(name, plain(resource));
                    }
                    let links = bundle["link"].as_array().into_iter().flatten();
                    let next = links
                        .filter(|link| link["relation"] == "next")
                        .find_map(|link| link["url"].as_str());
                    let Some((_, rest)) = next.and_then(|url| url.split_once("/fhir/")) else {
                        break;
                    };
                    path = rest.to_owned();
                }
            }
        });
        sorted(found.into_values())
    }

    /// What the new payer stored of the old one's, in the same form.
    fn stored(&self) -> Vec<Value> {
        let query = "SELECT body FROM resource WHERE id LIKE 'px.%'";
        let rows: Vec<StoredBody> = diesel::sql_query(query).load(&mut self.new.db()).expect("read");
        let read = |row: &StoredBody| plain(&serde_json::from_slice(&row.body).expect("JSON"));
        sorted(rows.iter().map(read))
    }

    /// The ids at the old payer of all members who were matched.
    fn matched(&self) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Matched {
            #[diesel(sql_type = Text)]
            patient_id: String,
        }
        let query = "SELECT patient_id FROM exchange_result WHERE patient_id IS NOT NULL";
        let rows: Vec<Matched> = diesel::sql_query(query).load(&mut self.new.db()).expect("read");
        rows.into_iter().map(|row| row.patient_id).collect()
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
                began.elapsed() < self.wait(),
                "{run:#}\n{}\n{}",
                self.new.log(),
                self.old.log()
            );
            std::thread::sleep(Duration::from_millis(400));
        }
    }
}

/// How many members a run has that is compared: 20, or as many as the environment says.
fn members_of_run() -> u64 {
    let told = std::env::var("CAUSEWAY_TEST_BULK_MEMBERS").ok();
    told.map_or(20, |told| told.parse().expect("a number"))
}

#[derive(QueryableByName)]
struct StoredBody {
    #[diesel(sql_type = Binary)]
    body: Vec<u8>,
}

fn own_coverage(number: u64) -> Value {
    json!({"resourceType": "Coverage", "id": format!("k{number}"), "status": "active",
        "beneficiary": {"reference": format!("Patient/m{number}")}, "payor": [{"display": "New Payer"}],
        "identifier": [{"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
            "system": "http://new-payer.example/identifiers/member", "value": format!("NEW-{number}")}]})
}

#[track_caller]
pub fn run(payer: &TestPayer, command: &[&str]) {
    let done = payer.command(command);
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn members_are_matched_exported_stored_and_acknowledged_in_one_run() {
    let members = members_of_run();
    let both = BothPayers::start(members, "2.2");
    let run = both.import();
    assert_eq!(run["state"], "done", "{run:#}\n{}", both.new.log());
    let mut states = json!({"received": members});
    if both.strangers() == 1 {
        states["answered"] = json!(1);
    }
    assert_eq!(run["states"], states, "{run:#}");
    let all = both
        .new
        .count("exchange WHERE phase = 'completed' AND delivery_state = 'acknowledged'");
    assert_eq!(all.unsigned_abs(), members, "{run:#}\n{}", both.new.log());
    assert_eq!(both.new.count("exchange_result WHERE quarantined > 0"), 0);
    let exchanges = run["exchanges"].as_array().expect("members");
    let received = exchanges.iter().filter(|one| one["state"] == "received");
    for item in received.take(20) {
        let id = item["exchange"].as_str().expect("an id");
        let shown = both.new.json_command(&["exchange", "show", id]);
        assert!(shown["counts"]["stored"].as_u64() > Some(5), "{shown:#}");
        let receipt = &shown["bulk_receipt"];
        assert_eq!(
            (&receipt["state"], &receipt["member"]),
            (&json!("complete"), &json!("whole")),
            "{shown:#}"
        );
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
    let strangers = both.strangers().cast_signed();
    let waits = "exchange WHERE phase = 'awaiting_partner'";
    assert_eq!(both.new.count(waits), strangers, "it is asked again a day later");
    assert_eq!(both.new.count("job WHERE kind = 'bulk-ask'"), 0);
    assert_eq!(
        both.new.count("job WHERE kind = 'exchange'"),
        strangers,
        "the stranger's"
    );
    // Both jobs were deleted at the partner.
    assert_eq!(
        both.old.count("bulk_job WHERE state IN ('done', 'running', 'waiting')"),
        0
    );
    // The fourth success: both sides know that nothing is missing.
    assert_eq!(run["receipt"], "complete", "{run:#}\n{}", both.new.log());
    let answer = &run["receipt_answer"];
    assert!(
        answer["missing"].is_null() && answer["answered_at"].is_string(),
        "{answer:#}"
    );
    assert!(
        exchanges
            .iter()
            .all(|one| one["state"] != "received" || one["receipt"] == "whole"),
        "{run:#}"
    );
    assert_eq!(both.new.count("ledger_entry WHERE action = 'bulk.receipt-answered'"), 1);
    assert_eq!(
        both.old
            .count("bulk_acknowledgement WHERE result = 'complete' AND signed_by = 'k1'"),
        1
    );
    assert_both_have_the_same((&both.new, "old"), (&both.old, "asking"));
    let (stored, released) = (both.stored(), both.released(&both.matched()));
    assert!(stored.len() as u64 > 5 * members, "{} resources", stored.len());
    assert_eq!(stored.len(), released.len());
    for (ours, theirs) in stored.iter().zip(&released) {
        assert_eq!(ours, theirs, "as it was released");
    }
    assert_a_run_without_jobs_is_no_difference((&both.new, "old"), (&both.old, "asking"));
}

/// The quarterly request of concurrent cover is one run for all who were in a run before, about the group of that run.
#[test]
fn the_members_of_a_run_are_asked_for_together_in_the_next_quarter() {
    let both = BothPayers::start(2, "2.2");
    let rows: Vec<String> = (1..=2)
        .map(|number| {
            let mut row = both.enrolment(number, None);
            row["cover"] = json!("concurrent");
            row.to_string()
        })
        .collect();
    std::fs::write(both.new.home().join("concurrent.ndjson"), rows.join("\n") + "\n").expect("a file");
    both.new
        .json_command(&["exchange", "import", "concurrent.ndjson", "--bulk"]);
    both.run_ended();
    let eventually = |what: &str, count: i64| {
        let began = Instant::now();
        while both.new.count(what) < count {
            assert!(began.elapsed() < both.wait(), "{what}\n{}", both.new.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    eventually("job WHERE kind = 'exchange-again'", 2);
    let due = |kind: &str| {
        let sql = format!("UPDATE job SET due_ms = 0 WHERE kind = '{kind}'");
        diesel::sql_query(sql).execute(&mut both.new.db()).expect("due")
    };
    assert_eq!(due("exchange-again"), 2);
    eventually("bulk_run_member", 4);
    assert_eq!(both.new.count("bulk_run"), 2, "one run for both");
    assert_eq!(both.new.count("job WHERE kind = 'exchange'"), 0, "no job of their own");
    assert_eq!(due("bulk-ask"), 1);
    let run = both.run_ended();
    assert_eq!(run["state"], "done", "{run:#}\n{}", both.new.log());
    assert!(run["since"].is_string(), "{run:#}");
    let begun = both.old.count("ledger_entry WHERE action = 'bulk.begun'");
    assert_eq!(begun, 3, "a match and two exports");
}

#[test]
fn a_later_run_asks_for_what_changed_since() {
    let both = BothPayers::start(2, "2.2");
    both.import();
    let before = both.stored().len();
    let begun = || both.old.count("ledger_entry WHERE action = 'bulk.begun'");
    assert_eq!(begun(), 2, "a match and an export");
    let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    std::thread::sleep(Duration::from_millis(1_500));
    // Something new of the first member at the old payer.
    let patient = both.old.member(1).patient_id;
    let known = format!(
        "SELECT body FROM resource WHERE type IN ('AllergyIntolerance', 'Condition', 'Encounter', 'Immunization') AND compartment = \
         (SELECT no FROM compartment WHERE patient_id = '{patient}') LIMIT 1"
    );
    let found: Vec<StoredBody> = diesel::sql_query(known).load(&mut both.old.db()).expect("read");
    let mut late: Value = serde_json::from_slice(&found[0].body).expect("JSON");
    late["id"] = json!("late-1");
    std::fs::write(both.old.home().join("late.ndjson"), format!("{late}\n")).expect("a file");
    run(&both.old, &["import", "late.ndjson"]);
    let rows: Vec<String> = (1..=2)
        .map(|number| both.enrolment(number, Some(&since)).to_string())
        .collect();
    std::fs::write(both.new.home().join("later.ndjson"), rows.join("\n")).expect("a file");
    let told = both.new.json_command(&["exchange", "import", "later.ndjson", "--bulk"]);
    assert_eq!((&told["started"], &told["bulk_runs"]), (&json!(2), &json!(1)), "{told}");
    let later = both.run_ended();
    assert_eq!(later["state"], "done", "{later:#}\n{}", both.new.log());
    assert_eq!(later["since"], since.as_str(), "{later:#}");
    assert_eq!(later["receipt"], "complete", "{later:#}\n{}", both.new.log());
    // Nothing is new of the other one, who is asked for alone.
    assert_eq!(later["states"], json!({"received": 1, "alone": 1}), "{later:#}");
    let began = Instant::now();
    while both.new.count("exchange WHERE phase = 'completed'") < 4 {
        assert!(began.elapsed() < WAIT, "{later:#}\n{}", both.new.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(both.stored().len(), before + 1, "what was there is not sent again");
    assert_eq!(begun(), 3, "an export of the first group, without another match");

    // Who permits it anew is asked about anew.
    let mut rows: Vec<Value> = (1..=2).map(|number| both.enrolment(number, Some(&since))).collect();
    for row in &mut rows {
        row["opt_in_at"] = json!("2026-01-03");
    }
    let rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    std::fs::write(both.new.home().join("anew.ndjson"), rows.join("\n") + "\n").expect("a file");
    let told = both.new.json_command(&["exchange", "import", "anew.ndjson", "--bulk"]);
    assert_eq!(told["bulk_runs"], 1, "{told}");
    let anew = both.run_ended();
    assert_eq!(anew["state"], "done", "{anew:#}\n{}", both.new.log());
    assert_eq!(begun(), 5, "a match and an export");

    // So is whoever's record was taken out again: it may have been that of another person.
    let began = Instant::now();
    while both.new.count("exchange WHERE phase = 'completed'") < 6 {
        assert!(began.elapsed() < WAIT, "{anew:#}\n{}", both.new.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    diesel::sql_query("UPDATE ingest SET state = 'retracted'")
        .execute(&mut both.new.db())
        .expect("taken out");
    let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let rows: Vec<String> = (1..=2)
        .map(|number| {
            let mut row = both.enrolment(number, Some(&since));
            row["opt_in_at"] = json!("2026-01-03");
            row.to_string()
        })
        .collect();
    std::fs::write(both.new.home().join("wrong.ndjson"), rows.join("\n") + "\n").expect("a file");
    let told = both.new.json_command(&["exchange", "import", "wrong.ndjson", "--bulk"]);
    assert_eq!(told["bulk_runs"], 1, "{told}");
    let asked = both.run_ended();
    assert_eq!(asked["since"], since.as_str(), "{asked:#}");
    assert_eq!(begun(), 7, "a match and an export");
}

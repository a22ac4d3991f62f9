//! The seed scenarios by name, each an exchange by a real server over a partner that behaves so; and all of them while the telemetry is
//! broken: work goes on, and the loss of telemetry is itself told.

use super::pair::Pair;
use crate::support::payer::{TestPayer, program};
use crate::support::small_disk::SmallDisk;
use causeway_sandbox_partner::{SandboxRoute, SandboxRule};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One member for each scenario, in the order of the functions below, and what the partner does to the exchange about each.
const SCRIPT: &str = r#"
idempotency = "honored"
members = { count = 0, resources = 24 }
[[member]]
number = "S-1"
[[member]]
number = "S-2"
[[member]]
number = "S-3"
[[member]]
number = "S-4"
[[member]]
number = "S-5"
[[member]]
number = "S-6"
[[member]]
number = "S-7"
[[rule]]
route = "member-match"
member = "S-2"
requests = "1-2"
acts = [{ answer = { status = 429, retry_after = "1" } }]
[[rule]]
route = "everything"
member = "S-2"
requests = "1"
acts = [{ answer = { status = 429, retry_after = "1" } }]
[[rule]]
route = "everything"
member = "S-3"
acts = [{ drift = { shape = "unknown-field", every = 5 } }, { drift = { shape = "unknown-type", every = 7 } }]
[[rule]]
route = "member-match"
member = "S-4"
requests = "1"
acts = ["lost-reply"]
[[rule]]
route = "everything"
member = "S-4"
acts = [{ delay = { ms = 2500 } }]
[[rule]]
route = "member-match"
member = "S-6"
acts = [{ delay = { ms = 2500 } }]
[[rule]]
route = "everything"
member = "S-6"
acts = [{ duplicates = { every = 3 } }]
[[rule]]
route = "everything"
member = "S-7"
requests = "1"
acts = [{ wrong-total = { by = 5 } }]
"#;

fn outcomes(pair: &Pair, shown: &Value, outcome: &str) -> i64 {
    let id = shown["id"].as_str().expect("an id");
    pair.count(&format!(
        "ingest_resource WHERE exchange_id = '{id}' AND outcome = '{outcome}'"
    ))
}

/// The classes of the attempts of a step that reached the partner: a busy machine may take too long for a connection.
fn classes<'s>(shown: &'s Value, step: &str) -> Vec<&'s str> {
    let steps = shown["steps"].as_array().expect("steps").iter();
    steps
        .filter(|one| one["step"] == step)
        .map(|one| one["class"].as_str().unwrap_or("-"))
        .filter(|class| *class != "not-sent")
        .collect()
}

/// How often the partner matched the member of this number.
fn matches(pair: &Pair, number: usize) -> u64 {
    let patient = &pair.sandbox.members()[number - 1].patient_id;
    pair.sandbox
        .control()
        .effects()
        .iter()
        .filter(|effect| effect.route == SandboxRoute::MemberMatch && effect.member.as_ref() == Some(patient))
        .map(|effect| effect.count)
        .sum()
}

/// Too little is held of the member: nothing is sent, a person is told what is missing, and after the correction the exchange goes on.
fn missing_demographics(pair: &Pair) {
    let import = |day: &str, whole: bool| {
        let mut patient = pair.sandbox.members()[0].demographics("bare");
        patient["meta"] = json!({"lastUpdated": format!("2026-01-{day}T00:00:00Z")});
        if !whole {
            patient.as_object_mut().expect("an object").remove("birthDate");
        }
        let cover = json!({"resourceType": "Coverage", "id": "bare-cover", "status": "active",
            "beneficiary": {"reference": "Patient/bare"}, "payor": [{"display": "New Payer"}], "subscriberId": "BARE-1"});
        let file = format!("bare-{day}.ndjson");
        std::fs::write(pair.payer.home().join(&file), format!("{patient}\n{cover}\n")).expect("a file");
        let done = pair.payer.json_command(&["import", &file]);
        assert_eq!(done["rejected"], 0, "{done}");
    };
    import("01", false);
    let enrolment = json!({"partner": "sandbox", "member": "Patient/bare", "other_member_number": "S-1",
        "opt_in_by": "desk", "opt_in_at": "2026-01-02", "opt_in_how": "paper"});
    std::fs::write(pair.payer.home().join("bare.json"), enrolment.to_string()).expect("a file");
    let started = pair.payer.json_command(&["exchange", "start", "bare.json"]);
    let id = started["id"].as_str().expect("an id");
    let shown = pair.ended(id);
    assert_eq!(
        (&shown["owner"], &shown["reason"]),
        (&json!("operator"), &json!("EX-064")),
        "{shown:#}"
    );
    assert_eq!(matches(pair, 1), 0);
    import("02", true);
    pair.payer
        .json_command(&["exchange", "replay", id, "--reason", "the birth date was added"]);
    let shown = pair.await_show(id, |shown| !shown["ended_at"].is_null());
    assert_eq!(shown["phase"], "completed", "{shown:#}");
    assert_eq!(matches(pair, 1), 1);
}

/// The partner tells us to wait, at each of its doors: we wait, and ask the same question with the same key.
fn partner_429s(pair: &Pair) {
    let shown = pair.ended(&pair.ask_for(2));
    pair.assert_whole(2, &shown, "429s");
    assert_eq!(
        classes(&shown, "member_match"),
        ["told-to-wait", "told-to-wait", "ok"],
        "{shown:#}"
    );
    assert_eq!(classes(&shown, "retrieve"), ["told-to-wait", "ok"], "{shown:#}");
}

/// Fields and types that R4 does not know: what can be read is stored, the rest is kept apart, named and counted.
fn schema_drift(pair: &Pair) {
    let shown = pair.ended(&pair.ask_for(3));
    assert_eq!(
        (&shown["phase"], &shown["reason"]),
        (&json!("partially_resolved"), &json!("EX-015")),
        "{shown:#}"
    );
    let counts = &shown["counts"];
    assert!(
        counts["stored"].as_i64() > Some(0) && counts["quarantined"].as_i64() > Some(0),
        "{shown:#}"
    );
    assert_eq!(
        counts["quarantined"].as_i64(),
        Some(outcomes(pair, &shown, "quarantined"))
    );
}

/// The acknowledgement of a match is lost, and the next one is late: the question is repeated with its key, and matched once.
fn delayed_acknowledgements(pair: &Pair) {
    let shown = pair.ended(&pair.ask_for(4));
    pair.assert_whole(4, &shown, "delayed acknowledgements");
    assert_eq!(classes(&shown, "member_match"), ["unknown", "ok"], "{shown:#}");
    assert_eq!(matches(pair, 4), 1);
}

/// Older versions of what is held come later: they are kept as received, and what is held stays.
fn stale_data(pair: &Pair) {
    let first = pair.ended(&pair.ask_for(5));
    pair.assert_whole(5, &first, "the first time");
    let rule = "route = \"everything\"\nmember = \"S-5\"\nacts = [{ stale = { every = 2, days = 30 } }]\n";
    let control = pair.sandbox.control();
    control
        .add_rule(SandboxRule::from_toml(rule).expect("a rule"))
        .expect("taken");
    let second = pair.ended(&pair.ask_for(5));
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        (&second["phase"], &second["counts"]["stored"]),
        (&json!("completed"), &json!(0)),
        "{second:#}"
    );
    assert!(outcomes(pair, &second, "older") > 0, "{second:#}");
}

/// The same wish three times is one exchange, and what the partner sends twice is stored once.
fn duplicate_requests(pair: &Pair) {
    let ids: std::collections::BTreeSet<String> = (0..3).map(|_| pair.ask_for(6)).collect();
    let all: Vec<Value> = ids.iter().map(|id| pair.ended(id)).collect();
    for one in &all {
        assert_eq!(one["phase"], "completed", "{one:#}");
    }
    // A machine that is so slow that the exchange has ended when the next wish comes begins another one then, and none beside one that lives.
    for two in all.windows(2) {
        assert!(two[0]["ended_at"].as_str() <= two[1]["created_at"].as_str(), "{all:#?}");
    }
    assert_eq!(matches(pair, 6), all.len() as u64);
    let id = ids.first().expect("one");
    let shown = &all[0];
    let counts = &shown["counts"];
    let record = pair.sandbox.record(&pair.sandbox.members()[5]).count();
    assert!(
        counts["received"].as_u64() > u64::try_from(record).ok(),
        "nothing came twice: {shown:#}"
    );
    let twice = format!(
        "(SELECT 1 FROM ingest_resource WHERE exchange_id = '{id}' AND outcome = 'stored' GROUP BY type, id HAVING COUNT(*) > 1) AS twice"
    );
    assert_eq!(pair.count(&twice), 0);
    assert_eq!(outcomes(pair, shown, "quarantined"), 0, "{shown:#}");
}

/// A part of the record comes: what is missing is named, and is all that is asked for again.
fn partial_responses(pair: &Pair) {
    let id = pair.ask_for(7);
    // What came is stored first; then it waits for the rest.
    let shown = pair.await_show(&id, |shown| {
        shown["phase"] == "partially_resolved" && !shown["wakes_at"].is_null()
    });
    assert_eq!(shown["delivery_state"], "partial", "{shown:#}");
    assert_eq!(shown["missing"].as_array().map(Vec::len), Some(1), "{shown:#}");
    assert_eq!(shown["missing"][0]["count"], 5, "{shown:#}");
    // It would go on by itself hours later; an operator can have it go on now.
    pair.payer
        .json_command(&["exchange", "pause", &id, "--reason", "asking them"]);
    pair.payer
        .json_command(&["exchange", "replay", &id, "--reason", "they have mended it"]);
    let shown = pair.ended(&id);
    assert_eq!(shown["phase"], "completed", "{shown:#}");
    assert_eq!(shown["missing"], json!([]), "{shown:#}");
    assert_eq!(matches(pair, 7), 1);
}

const SCENARIOS: [fn(&Pair); 7] = [
    missing_demographics,
    partner_429s,
    schema_drift,
    delayed_acknowledgements,
    stale_data,
    duplicate_requests,
    partial_responses,
];

#[test]
fn seed_scenario_missing_demographics() {
    missing_demographics(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_partner_429s() {
    partner_429s(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_schema_drift() {
    schema_drift(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_delayed_acknowledgements() {
    delayed_acknowledgements(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_stale_data() {
    stale_data(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_duplicate_requests() {
    duplicate_requests(&Pair::start(SCRIPT));
}

#[test]
fn seed_scenario_partial_responses() {
    partial_responses(&Pair::start(SCRIPT));
}

/// One `GET` to the operations listener; empty when there is no whole answer.
fn scrape(payer: &TestPayer) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(payer.ops.trim_start_matches("http://"))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    ask().unwrap_or_default()
}

fn lost_lines(payer: &TestPayer) -> u64 {
    let text = scrape(payer);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("causeway_log_lines_dropped_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Plays these scenarios at once, while scrapers come and go without reading. Then the server tells how many lines of its log were lost.
fn play(pair: &Pair, scenarios: &[fn(&Pair)]) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // It asks, and is gone before the answer.
                if let Ok(mut stream) = TcpStream::connect(pair.payer.ops.trim_start_matches("http://")) {
                    let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let playing: Vec<_> = scenarios
            .iter()
            .map(|scenario| scope.spawn(move || scenario(pair)))
            .collect();
        let failed: Vec<_> = playing.into_iter().filter_map(|one| one.join().err()).collect();
        over.store(true, Ordering::Relaxed);
        if let Some(first) = failed.into_iter().next() {
            std::panic::resume_unwind(first);
        }
    });
    let began = Instant::now();
    while lost_lines(&pair.payer) == 0 {
        assert!(began.elapsed() < Duration::from_secs(180), "no lost line was told");
    }
}

/// A server of this payer that logs as much as it can.
fn loud(payer: &TestPayer) -> Command {
    let mut command = program(payer.home());
    command.arg("serve").stdout(Stdio::null()).stderr(Stdio::null());
    command.env("CAUSEWAY_LOG__LEVEL", "trace");
    command
}

#[test]
fn seed_scenarios_go_on_while_the_log_is_blocked() {
    let mut pair = Pair::prepare(SCRIPT);
    let pipe = pair.payer.home().join("log.pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Open for both ends, so that nobody waits for the other one; nothing reads from it.
    let reader = std::fs::File::options()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe");
    let mut command = loud(&pair.payer);
    command.arg("--log-file").arg(&pipe);
    pair.payer.spawn(command);
    play(&pair, &SCENARIOS);
    drop(reader);
}

#[test]
fn seed_scenarios_go_on_while_the_disk_of_the_log_is_full() {
    let mut pair = Pair::prepare(SCRIPT);
    let disk = SmallDisk::mount(16, "the log goes to /dev/full instead");
    let path = disk
        .as_ref()
        .map_or("/dev/full".into(), |disk| disk.path().join("server.log"));
    let mut command = loud(&pair.payer);
    command.arg("--log-file").arg(&path);
    pair.payer.spawn(command);
    if let Some(disk) = &disk {
        disk.fill(0);
    }
    // The log takes part in none of them: not all are played again.
    play(&pair, &[partner_429s, schema_drift, delayed_acknowledgements]);
}

#[test]
fn seed_scenarios_go_on_while_nobody_reads_log_or_metrics() {
    let mut pair = Pair::prepare(SCRIPT);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = loud(&pair.payer);
    command.stderr(writer);
    pair.payer.spawn(command);
    drop(reader);
    play(&pair, &[stale_data, duplicate_requests]);
}

//! Processes that are killed at random instants while they ask a partner for many members at once: no run and no member is lost, nothing is
//! stored twice, and each export is answered once.
//!
//! `CAUSEWAY_TEST_BULK_KILLS` sets the number of kills; `CAUSEWAY_TEST_SEED` repeats a run, as far as the machine lets it.

use super::in_bulk::{bulk_script, with_receipts};
use super::pair::{Pair, WAIT, Worker};
use crate::support::store::on_postgres;
use causeway::jobs::Chance;
use causeway_sandbox_partner::SandboxRoute;
use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Kills in an ordinary run.
const KILLS: usize = 6;
/// Kills for each bulk run that begins.
const OF_A_RUN: usize = 2;
/// Members of a bulk run.
const EACH: usize = 2;
/// Longest life of a process, milliseconds.
const LIFE_MS: f64 = 2_000.0;
/// Workers of a PostgreSQL store.
const WORKERS: usize = 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Begins a bulk run of the next members.
fn begin(pair: &Pair, run: usize) {
    let lines: Vec<String> = (1..=EACH)
        .map(|at| std::fs::read_to_string(pair.payer.home().join(pair.enrolment(run * EACH + at))).expect("a file"))
        .collect();
    let file = format!("run-{run}.ndjson");
    std::fs::write(pair.payer.home().join(&file), lines.join("\n")).expect("a file");
    let told = pair.payer.json_command(&["exchange", "import", &file, "--bulk"]);
    assert_eq!(told["bulk_runs"], 1, "{told}");
}

fn workers(pair: &Pair) -> Vec<Worker> {
    (0..WORKERS).map(|_| Worker::start(&pair.payer, &[])).collect()
}

/// Kills processes at random while bulk runs begin.
fn storm(pair: &mut Pair, kills: usize, chance: &Chance) {
    let mut all = if on_postgres() { workers(pair) } else { Vec::new() };
    for kill in 0..kills {
        if !on_postgres() {
            pair.payer.serve();
        }
        if kill % OF_A_RUN == 0 {
            begin(pair, kill / OF_A_RUN);
        }
        std::thread::sleep(Duration::from_micros((chance.unit() * LIFE_MS * 1_000.0) as u64));
        if on_postgres() {
            let at = (chance.unit() * WORKERS as f64) as usize;
            all[at].kill();
            all[at] = Worker::start(&pair.payer, &[]);
        } else {
            pair.payer.kill();
        }
    }
    all.iter_mut().for_each(Worker::kill);
    pair.end_leases();
}

/// The number of the member of each exchange.
fn members(pair: &Pair) -> BTreeMap<String, usize> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
        #[diesel(sql_type = Text)]
        member_id: String,
    }
    let rows = diesel::sql_query("SELECT id, member_id FROM exchange").load::<Row>(&mut pair.payer.db());
    let number = |row: Row| (row.id, row.member_id.trim_start_matches('m').parse().expect("a number"));
    rows.expect("exchanges").into_iter().map(number).collect()
}

/// Lets work go on that was killed so often that it was left to an operator. Returns how much there was.
fn replay_parked(pair: &Pair) -> usize {
    let jobs = pair.payer.json_command(&["jobs", "list", "--parked"]);
    let parked: Vec<&Value> = jobs["items"].as_array().expect("jobs").iter().collect();
    for job in &parked {
        let id = job["id"].as_str().expect("an id");
        pair.payer
            .json_command(&["jobs", "replay", id, "--reason", "the processes live again"]);
    }
    parked.len()
}

#[test]
fn kills_at_random_instants_of_bulk_runs_lose_no_member_and_store_nothing_twice() {
    let kills = number("CAUSEWAY_TEST_BULK_KILLS").map_or(KILLS, |kills| kills as usize);
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let why = format!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_BULK_KILLS={kills}");
    println!("{why}");
    let runs = kills.div_ceil(OF_A_RUN);
    let script = with_receipts("").replace("count = 2", &format!("count = {}", runs * EACH));
    assert_ne!(script, bulk_script(""));
    let mut pair = Pair::prepare(&script);
    storm(&mut pair, kills, &Chance::seeded(seed));
    let _workers = if on_postgres() {
        workers(&pair)
    } else {
        pair.payer.serve();
        Vec::new()
    };
    let (mut replayed, began) = (0, Instant::now());
    let wait = WAIT + Duration::from_secs(5) * runs as u32;
    let listed = loop {
        let listed = pair.payer.json_command(&["bulk", "list"]);
        let all = listed["runs"].as_array().expect("runs").clone();
        if all.len() == runs && all.iter().all(|run| !run["ended_at"].is_null()) {
            break all;
        }
        assert!(began.elapsed() < wait, "{why}: {listed:#}\n{}", pair.payer.log());
        replayed += replay_parked(&pair);
        std::thread::sleep(Duration::from_millis(500));
    };
    let members = members(&pair);
    for run in &listed {
        let shown = pair
            .payer
            .json_command(&["bulk", "show", run["id"].as_str().expect("an id")]);
        assert_eq!(shown["state"], "done", "{why}: {shown:#}\n{}", pair.payer.log());
        assert_eq!(shown["receipt"], "complete", "{why}: {shown:#}");
        assert_eq!(shown["states"], json!({"received": EACH}), "{why}: {shown:#}");
        for one in shown["exchanges"].as_array().expect("members") {
            let id = one["exchange"].as_str().expect("an id");
            pair.assert_whole(members[id], &pair.ended(id), &why);
        }
    }
    let control = pair.sandbox.control();
    let asked: BTreeSet<String> = control
        .requests_to(SandboxRoute::BulkMatch)
        .iter()
        .flat_map(|one| one.headers.iter().filter(|(name, _)| name == "idempotency-key"))
        .map(|(_, key)| key.clone())
        .collect();
    assert_eq!(
        asked.len(),
        runs,
        "{why}: the question of a run is the same in all attempts"
    );
    let answered = "ledger_entry WHERE action = 'bulk.receipt-answered'";
    assert_eq!(pair.count(answered) as usize, runs, "{why}");
    assert!(control.strays().is_empty(), "{why}");
    println!("{kills} kills, {runs} bulk runs of {EACH} members, {replayed} replayed");
}

//! `kill -9` at random, also at the named points, while partners ask: after each restart the ledger is contiguous, whatever was answered has
//! its entries, and no checkpoint that was ever seen contradicts another.
//!
//! `CAUSEWAY_TEST_LEDGER_KILLS` sets the number of kills; `CAUSEWAY_TEST_SEED` repeats a run, as far as the machine lets it.

use super::store::{SOON, covered, ended_signed, folder};
use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::{TestPayer, is_optimised, program};
use crate::support::store::on_postgres;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use causeway::audit::note::LogKey;
use causeway::audit::sequencer::{POINT, POINTS};
use causeway::audit::tree::edge::TreeEdge;
use causeway::audit::tree::leaf_hash;
use causeway::failpoint::{AFTER, BEFORE, COMMIT, VARIABLE};
use causeway::jobs::Chance;
use causeway::synth::Variation;
use diesel::prelude::*;
use diesel::sql_types::{Binary, Text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Kills in an ordinary run.
const KILLS: u64 = 4;
const MEMBERS: u64 = 8;
/// Partners' connections.
const ASKING: usize = 3;
/// Longest life of a process that answers, milliseconds.
const LIFE_MS: f64 = 1_800.0;
/// Time for a process to come to its point; then it is killed there where it is.
const PASSED: Duration = Duration::from_secs(4);
/// Time in which something must happen that happens at once on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(120);
/// Commits of which one is the last.
const COMMITS: f64 = 60.0;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The name of the point at which the next process dies; `None` for a random instant. The second always dies at a point.
fn point(chance: &Chance, kill: u64) -> Option<String> {
    let of = |count: usize| (chance.unit() * count as f64) as usize;
    if is_optimised() || (of(2) == 0 && kill != 1) {
        return None;
    }
    Some(match of(POINTS.len() + 2) {
        at if at < POINTS.len() => format!("{POINT}.{}:{}", POINTS[at], 1 + of(2)),
        at => {
            let side = if at == POINTS.len() { BEFORE } else { AFTER };
            format!("{COMMIT}.{side}:{}", 1 + (chance.unit() * COMMITS) as u64)
        }
    })
}

/// A server process, which is killed at the latest when dropped.
struct Life(Child);

impl Life {
    fn begin(payer: &TestPayer, point: Option<&str>) -> Life {
        let mut command = program(payer.home());
        command
            .args(["serve", "--quiet", "--log-file", "server.log"])
            .envs([SOON]);
        if let Some(point) = point {
            command.env(VARIABLE, point);
        }
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Life(spawned.expect("it starts"))
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("a status").is_some()
    }

    /// Waits until it is ready; `false` when it dies before.
    async fn is_ready(&mut self, payer: &TestPayer, client: &Client) -> bool {
        let began = Instant::now();
        let ready = format!("{}/ready", payer.ops);
        while !self.has_ended() {
            let asked = client.http.get(&ready).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return true;
            }
            assert!(began.elapsed() < PATIENCE, "not ready: {}", payer.log());
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        false
    }

    /// Lets it live for this time, and longer until enough was seen of it, unless it dies before; then kills it.
    async fn end(mut self, time: Duration, is_enough: impl Fn() -> bool) {
        let began = Instant::now();
        while !self.has_ended() && (began.elapsed() < time || (!is_enough() && began.elapsed() < PATIENCE)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was seen from outside, over all lives.
#[derive(Default)]
struct Seen {
    /// Checkpoints: of answers, and of the file beside the key.
    notes: Mutex<BTreeSet<String>>,
    /// Requests that were answered with 200: correlation id, and the entry that must be there.
    answered: Mutex<Vec<(String, &'static str)>>,
    next: AtomicU64,
}

impl Seen {
    fn answer(&self, name: &str, action: &'static str, reply: &Reply) {
        self.answered.lock().unwrap().push((name.to_owned(), action));
        let handed = STANDARD.decode(reply.header("x-causeway-checkpoint")).expect("base64");
        if !handed.is_empty() {
            let note = String::from_utf8(handed).expect("text");
            self.notes.lock().unwrap().insert(note);
        }
    }

    /// Whether anybody was answered, and a checkpoint was seen.
    fn is_enough(&self) -> bool {
        !self.answered.lock().unwrap().is_empty() && !self.notes.lock().unwrap().is_empty()
    }

    fn files(&self, payer: &TestPayer) {
        for file in std::fs::read_dir(folder(payer)).into_iter().flatten().flatten() {
            let path = file.path();
            if path.extension().is_some_and(|end| end == "checkpoint")
                && let Ok(note) = std::fs::read_to_string(&path)
            {
                self.notes.lock().unwrap().insert(note);
            }
        }
    }
}

/// A token, if the server lives long enough.
async fn try_token(client: &Client) -> Option<String> {
    let assertion = client.assertion().sign(&client.key);
    let form = [
        ("grant_type", "client_credentials"),
        ("scope", ALL_SCOPES),
        (
            "client_assertion_type",
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        ),
        ("client_assertion", assertion.as_str()),
    ];
    let asked = client.http.post(format!("{}/oauth/token", client.origin)).form(&form);
    let text = asked.send().await.ok()?.text().await.ok()?;
    let answer: Value = serde_json::from_str(&text).ok()?;
    answer["access_token"].as_str().map(str::to_owned)
}

/// A read, if the server lives long enough.
async fn try_read(client: &Client, token: &str, path: &str, name: &str) -> Option<Reply> {
    let asked = client.http.get(format!("{}/fhir/{path}", client.origin));
    let sent = asked
        .bearer_auth(token)
        .header("X-Correlation-Id", name)
        .send()
        .await
        .ok()?;
    let (status, headers) = (sent.status().as_u16(), sent.headers().clone());
    Some(Reply {
        status,
        headers,
        body: sent.bytes().await.ok()?.to_vec(),
    })
}

/// What a partner asks: a match and a read of each member in turn, until told to stop.
#[derive(Clone)]
struct Asking {
    client: Arc<Client>,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
    bodies: Arc<Vec<(String, String)>>,
}

impl Asking {
    async fn run(self) {
        while !self.over.load(Ordering::Relaxed) {
            // A connection to the process before may still be found dead.
            if let Some(token) = try_token(&self.client).await {
                self.ask(&token).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same with this token, until no answer comes.
    async fn ask(&self, token: &str) {
        while !self.over.load(Ordering::Relaxed) {
            let number = self.seen.next.fetch_add(1, Ordering::Relaxed);
            let (patient, body) = &self.bodies[number as usize % self.bodies.len()];
            let name = format!("ledger-storm-{number}");
            let headers = [("X-Correlation-Id", name.as_str())];
            let Ok(reply) = self.client.try_match(token, body.clone(), &headers).await else {
                return;
            };
            if reply.status != 200 {
                assert!(matches!(reply.status, 429 | 503), "{}", reply.text());
                continue;
            }
            self.seen.answer(&name, "member-match.matched", &reply);
            let name = format!("{name}-read");
            let Some(reply) = try_read(&self.client, token, &format!("Patient/{patient}"), &name).await else {
                return;
            };
            match reply.status {
                200 => self.seen.answer(&name, "disclosure.begun", &reply),
                _ => assert!(matches!(reply.status, 429 | 503), "{}", reply.text()),
            }
        }
    }
}

#[derive(QueryableByName)]
struct EntryRow {
    #[diesel(sql_type = Binary)]
    entry: Vec<u8>,
}

#[derive(QueryableByName)]
struct NamedRow {
    #[diesel(sql_type = Text)]
    correlation_id: String,
    #[diesel(sql_type = Text)]
    action: String,
}

/// Waits until the database has ended the last commit of a process that was killed.
fn await_settled(payer: &TestPayer) {
    let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let began = Instant::now();
    while on_postgres() && payer.count(others) > 0 {
        assert!(began.elapsed() < PATIENCE, "a session of the killed process goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The indexes of the tree have no gap, and the tree says how many there are.
fn assert_contiguous(payer: &TestPayer, what: &str) {
    let leaves = payer.count("ledger_leaf");
    let apart = payer.count(&format!("ledger_leaf WHERE idx < 0 OR idx >= {leaves}"));
    assert_eq!(apart, 0, "{what}: {leaves} leaves");
    let other = payer.count(&format!("ledger_tree WHERE size <> {leaves}"));
    assert_eq!(other, 0, "{what}: {leaves} leaves");
    let ahead = payer.count(&format!("ledger_checkpoint WHERE size > {leaves}"));
    assert_eq!(ahead, 0, "{what}: a checkpoint of more than {leaves} leaves");
}

/// Whatever was answered with 200 has its entry.
fn assert_answered(payer: &TestPayer, seen: &Seen, what: &str) {
    let query = "SELECT correlation_id, action FROM ledger_entry WHERE correlation_id LIKE 'ledger-storm-%'";
    let rows: Vec<NamedRow> = diesel::sql_query(query).load(&mut payer.db()).expect("rows");
    let there: HashSet<(String, String)> = rows.into_iter().map(|row| (row.correlation_id, row.action)).collect();
    for (name, action) in seen.answered.lock().unwrap().iter() {
        let wanted = (name.clone(), (*action).to_owned());
        assert!(there.contains(&wanted), "{what}: {name} was answered without {action}");
    }
}

/// Every checkpoint is signed by the log and is a state of the tree as it is now, so that no two contradict.
fn assert_one_history(payer: &TestPayer, notes: &BTreeSet<String>, what: &str) {
    let key = payer.json_command(&["audit", "key"])["key"]
        .as_str()
        .and_then(LogKey::parse)
        .expect("a key");
    let mut wanted = BTreeMap::new();
    for note in notes {
        let signed = key
            .open(note)
            .unwrap_or_else(|_| panic!("{what}: not signed by the log: {note}"));
        let other = wanted.insert(signed.size, signed.root);
        assert!(
            other.is_none_or(|root| root == signed.root),
            "{what}: two of {}",
            signed.size
        );
    }
    let query = "SELECT e.entry FROM ledger_leaf l JOIN ledger_entry e ON e.id = l.entry_id ORDER BY l.idx";
    let entries: Vec<EntryRow> = diesel::sql_query(query).load(&mut payer.db()).expect("rows");
    let mut edge = TreeEdge::default();
    for row in entries {
        edge.push(leaf_hash(&row.entry), &mut |_| {});
        if let Some(root) = wanted.remove(&edge.size()) {
            assert_eq!(root, edge.root(), "{what}: the checkpoint of {} entries", edge.size());
        }
    }
    assert!(
        wanted.is_empty(),
        "{what}: of more entries than there are: {:?}",
        wanted.keys()
    );
}

/// A server that is asked until it dies, at its point or after this time; a long one lives until enough was seen. Returns how long it took to
/// get ready, if it came to that.
async fn one_life(
    payer: &TestPayer,
    point: Option<&str>,
    (time, is_long): (Duration, bool),
    asking: &Asking,
    what: &str,
) -> Option<Duration> {
    let began = Instant::now();
    let mut life = Life::begin(payer, point);
    let (mut took, mut tasks) = (None, Vec::new());
    if life.is_ready(payer, &asking.client).await {
        took = Some(began.elapsed());
        tasks.extend((0..ASKING).map(|_| tokio::spawn(asking.clone().run())));
    }
    let living = life.end(time, || !is_long || asking.seen.is_enough());
    tokio::pin!(living);
    loop {
        tokio::select! {
            () = &mut living => break,
            // What is in the file now may be replaced before the end.
            () = tokio::time::sleep(Duration::from_millis(10)) => asking.seen.files(payer),
        }
    }
    asking.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    asking.seen.files(payer);
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random_leave_one_ledger_that_contradicts_nothing_seen_before() {
    let kills = number("CAUSEWAY_TEST_LEDGER_KILLS").unwrap_or(KILLS);
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let what = format!("CAUSEWAY_TEST_SEED={seed} CAUSEWAY_TEST_LEDGER_KILLS={kills}");
    println!("{what}");
    let chance = Chance::seeded(seed);
    let (mut payer, client) = TestPayer::prepare(MEMBERS);
    let (client, seen) = (Arc::new(client), Arc::<Seen>::default());
    // Member 1 has a twin and cannot be matched.
    let bodies = (2..MEMBERS).map(|index| {
        let body = payer.request(index, Variation::Exact).to_string();
        (payer.member(index).patient_id, body)
    });
    let bodies: Arc<Vec<(String, String)>> = Arc::new(bodies.collect());
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        // The first and the last life are long, so that somebody is answered: what the first answers, all others have to know.
        let is_long = kill == 0 || kill + 1 == kills;
        let point = point(&chance, kill).filter(|_| !is_long);
        let what = format!("{what}, kill {kill} ({})", point.as_deref().unwrap_or("at random"));
        let time = match point {
            Some(_) => PASSED,
            None if is_long => PASSED,
            None => Duration::from_micros((chance.unit() * LIFE_MS * 1e3) as u64),
        };
        let asking = Asking {
            client: Arc::clone(&client),
            seen: Arc::clone(&seen),
            over: Arc::default(),
            bodies: Arc::clone(&bodies),
        };
        let took = one_life(&payer, point.as_deref(), (time, is_long), &asking, &what).await;
        slowest = slowest.max(took.unwrap_or_default());
        payer.end_leases();
        await_settled(&payer);
        assert_contiguous(&payer, &what);
        assert_answered(&payer, &seen, &what);
    }
    payer.serve_with(&[SOON]);
    covered(&payer);
    ended_signed(&mut payer, SOON);
    seen.files(&payer);
    assert_contiguous(&payer, &what);
    assert_answered(&payer, &seen, &what);
    assert_eq!(payer.count("ledger_leaf"), payer.count("ledger_entry"), "{what}");
    let notes = std::mem::take(&mut *seen.notes.lock().unwrap());
    assert_one_history(&payer, &notes, &what);
    let verified = payer.command(&["audit", "verify"]);
    assert_eq!(
        verified.status.code(),
        Some(0),
        "{what}: {}",
        String::from_utf8_lossy(&verified.stdout)
    );
    let answered = seen.answered.lock().unwrap().len();
    println!(
        "{answered} answers, {} checkpoints, slowest restart {slowest:?}",
        notes.len()
    );
    assert!(answered > 0 && !notes.is_empty(), "{what}: nobody was answered");
}

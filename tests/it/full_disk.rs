//! A full disk under a running server: nothing acknowledged is lost, answers are 503 with `Retry-After`, reads go on while their
//! ledger entries find room, and writes come back without a restart.

use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::payer::{TestPayer, program};
use crate::support::small_disk::SmallDisk;
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::store::StoreUrl;
use causeway::synth::Variation;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MEMBERS: u64 = 12;
/// No limit of free space: the disk itself says no.
pub const NO_LIMITS: [(&str, &str); 2] = [
    ("CAUSEWAY_LIMITS__FREE_WRITE_PERCENT", "0"),
    ("CAUSEWAY_LIMITS__FREE_RESERVE_BYTES", "0"),
];

/// A client that keeps its connection open must not hold a stop for long.
const SHORT_DRAIN: [(&str, &str); 1] = [("CAUSEWAY_LIMITS__DRAIN_SECONDS", "1")];

/// A payer whose store lies on a disk of so many MiB.
pub fn on_small_disk(mib: u64) -> Option<(SmallDisk, TestPayer, Client)> {
    if on_postgres() {
        return None;
    }
    let disk = SmallDisk::mount(mib, "a full disk is tried by strace only")?;
    let (mut payer, client) = TestPayer::prepare(MEMBERS);
    let (before, path) = (payer.home().join("causeway.db"), disk.path().join("causeway.db"));
    for end in ["", "-wal"] {
        let from = format!("{}{end}", before.display());
        if std::fs::exists(&from).expect("an answer") {
            std::fs::copy(from, format!("{}{end}", path.display())).expect("a copy");
        }
    }
    let config = std::fs::read_to_string(payer.home().join("causeway.toml")).expect("a file");
    let config = config.replace(&payer.place.url_text(), &format!("sqlite:{}", path.display()));
    std::fs::write(payer.home().join("causeway.toml"), config).expect("a file");
    payer.place.url = StoreUrl::parse(&format!("sqlite:{}", path.display())).expect("an address");
    Some((disk, payer, client))
}

/// What must come to pass within a minute.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The one answer that a write may have for want of room.
#[track_caller]
fn assert_no_room(reply: &Reply) {
    reply.assert_outcome(Fault::NoRoom);
    let wait: u32 = reply.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
}

/// Matches without end, until it is told to stop: the numbers of those that were acknowledged.
struct Storm {
    over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<u64>>>,
}

impl Storm {
    fn begin(payer: &TestPayer, client: &Arc<Client>, token: &str) -> Storm {
        let bodies: Vec<String> = (2..MEMBERS)
            .map(|index| payer.request(index, Variation::Exact).to_string())
            .collect();
        let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicU64::new(0)));
        let over = Arc::new(AtomicBool::new(false));
        let (acknowledged, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let tasks = (0..4).map(|_| {
            let (client, token, bodies, next) = (client.clone(), token.to_owned(), bodies.clone(), next.clone());
            let (over, acknowledged, refused) = (over.clone(), acknowledged.clone(), refused.clone());
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let name = format!("full-{number}");
                    let body = bodies[number as usize % bodies.len()].clone();
                    let headers = [("X-Correlation-Id", name.as_str()), ("Idempotency-Key", name.as_str())];
                    let reply = client.post_match(&token, body, &headers).await;
                    if reply.status == 200 {
                        mine.push(number);
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                    } else {
                        assert_no_room(&reply);
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                mine
            })
        });
        let tasks = tasks.collect();
        Storm {
            over,
            acknowledged,
            refused,
            tasks,
        }
    }

    /// Waits until so many more were acknowledged, or refused.
    async fn more(&self, what: &str, count: &AtomicU64, by: u64) {
        let from = count.load(Ordering::Relaxed);
        let begun = Instant::now();
        while count.load(Ordering::Relaxed) < from + by {
            assert!(begun.elapsed() < Duration::from_secs(120), "no {what}");
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "an answer was wrong");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(self) -> Vec<u64> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.expect("no answer was wrong"));
        }
        all
    }
}

/// Each acknowledged match is there, once.
fn assert_kept(payer: &TestPayer, acknowledged: &[u64]) {
    for number in acknowledged {
        let name = format!("full-{number}");
        let decided = format!("decision WHERE correlation_id = '{name}' AND outcome = 'matched'");
        assert_eq!(payer.count(&decided), 1, "{name}");
    }
    let doubled = "(SELECT 1 FROM decision GROUP BY correlation_id HAVING COUNT(*) > 1) AS twice";
    assert_eq!(payer.count(doubled), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f14_a_disk_filled_to_its_last_byte_loses_nothing_and_needs_no_restart() {
    let Some((disk, mut payer, client)) = on_small_disk(24) else {
        return;
    };
    payer.serve_with(&NO_LIMITS);
    let token = client.token(MATCH_SCOPE).await;
    let client = Arc::new(client);
    let storm = Storm::begin(&payer, &client, &token);
    storm.more("match", &storm.acknowledged, 20).await;
    for round in 0..3 {
        let from = storm.refused.load(Ordering::Relaxed);
        let begun = Instant::now();
        // Until the store has used up what room it had taken already.
        while storm.refused.load(Ordering::Relaxed) < from + 20 {
            disk.fill(0);
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "round {round}: nothing is refused"
            );
            assert!(
                storm.tasks.iter().all(|task| !task.is_finished()),
                "an answer was wrong"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(payer.is_running());
        disk.empty();
        storm
            .more("match after there was room again", &storm.acknowledged, 20)
            .await;
    }
    let acknowledged = storm.end().await;
    assert!(acknowledged.len() >= 80, "{}", acknowledged.len());
    assert_kept(&payer, &acknowledged);
    payer.kill();
    payer.serve_with(&NO_LIMITS);
    assert_kept(&payer, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f04_t_f14_below_the_limit_writes_are_refused_and_reads_go_on_with_their_ledger_entries() {
    let Some((disk, mut payer, client)) = on_small_disk(64) else {
        return;
    };
    // A fiftieth of it while the disk is nearly full, which this test fills to its last byte.
    payer.serve_with(&[("CAUSEWAY_LIMITS__PARTNER_REQUEST_RATE", "1000000")]);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let (other, _) = client.matched(&token, &payer.request(3, Variation::Exact)).await;
    let reserve = disk.path().join("causeway.reserve");
    eventually("the reserve is made", async || reserve.exists()).await;

    // Under a twentieth of the disk, and then to its last byte: reads have the reserve.
    let disclosed = payer.count("ledger_entry WHERE action = 'disclosure.begun'");
    disk.fill(2 * 1024 * 1024);
    let body = payer.request(4, Variation::Exact).to_string();
    eventually("matches are refused", async || {
        client.post_match(&token, body.clone(), &[]).await.status == 503
    })
    .await;
    assert_no_room(&client.post_match(&token, body.clone(), &[]).await);
    // Tokens are part of reading, but no partner has many of them.
    let since = Instant::now();
    let token = client.token(ALL_SCOPES).await;
    let mut given = 1;
    let refused = loop {
        let asked = client
            .ask_token(&client.assertion().sign(&client.key), MATCH_SCOPE)
            .await;
        if asked.status != 200 {
            break asked;
        }
        given += 1;
        // Twenty a minute, of which there may be several on a slow machine.
        let minutes = 1 + since.elapsed().as_secs() / 60;
        assert!(
            given <= 20 * minutes && minutes <= 5,
            "more tokens than a partner may have now: {given}"
        );
    };
    refused.assert_oauth(503, "temporarily_unavailable", Fault::NoRoom);
    assert_ne!(refused.header("retry-after"), "");
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    assert!(
        metrics(&payer, &client)
            .await
            .contains("causeway_store_refuses{what=\"writes\"} 1")
    );
    // Those tokens took room too: begin anew, so that it is the last bytes that the reserve is given up for.
    disk.empty();
    eventually("the reserve is there", async || reserve.exists()).await;
    eventually("matches are taken", async || {
        client.post_match(&token, body.clone(), &[]).await.status == 200
    })
    .await;
    disk.fill(2 * 1024 * 1024);
    eventually("matches are refused again", async || {
        client.post_match(&token, body.clone(), &[]).await.status == 503
    })
    .await;
    disk.fill(0);
    eventually("the reserve is given up", async || !reserve.exists()).await;
    for _ in 0..5 {
        client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    }
    client.get(&token, "Patient/nobody").await.assert_status(404);
    assert!(payer.count("ledger_entry WHERE action = 'disclosure.begun'") >= disclosed + 6);
    let ready = client
        .http
        .get(format!("{}/ready", payer.ops))
        .send()
        .await
        .expect("an answer");
    assert_eq!(ready.status(), 200, "reads are served");
    // Rights end also now.
    let consents = payer.json_command(&["consent", "list", "--member", &format!("Patient/{other}")]);
    let consent = consents[0]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{consents}"))
        .to_owned();
    payer.json_command(&["consent", "revoke", &consent, "--reason", "withdrawn"]);
    client.get(&token, &format!("Patient/{other}")).await.assert_status(404);

    // Without room for an entry nothing is disclosed; /ready says so.
    let begun = Instant::now();
    loop {
        disk.fill(0);
        let reply = client.get(&token, &format!("Patient/{id}")).await;
        if reply.status != 200 {
            reply.assert_outcome(Fault::AuditUnavailable);
            assert_ne!(reply.header("retry-after"), "");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "there is always room");
    }
    assert!(payer.is_running());
    disk.empty();
    client.post_match(&token, body.clone(), &[]).await;
    eventually("matches are taken again", async || {
        client.post_match(&token, body.clone(), &[]).await.status == 200
    })
    .await;
    eventually("the reserve is made again", async || reserve.exists()).await;
    client.token(MATCH_SCOPE).await;
}

async fn metrics(payer: &TestPayer, client: &Client) -> String {
    let answer = client
        .http
        .get(format!("{}/metrics", payer.ops))
        .send()
        .await
        .expect("an answer");
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_on_a_full_disk_with_its_reserve_and_says_what_it_needs_without() {
    let Some((disk, mut payer, client)) = on_small_disk(64) else {
        return;
    };
    payer.serve_with(&SHORT_DRAIN);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let reserve = disk.path().join("causeway.reserve");
    eventually("the reserve is made", async || reserve.exists()).await;
    assert_eq!(payer.terminate(), Some(0));
    disk.fill(0);
    payer.serve_with(&SHORT_DRAIN);
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    assert_no_room(
        &client
            .post_match(&token, payer.request(4, Variation::Exact).to_string(), &[])
            .await,
    );
    assert_eq!(payer.terminate(), Some(0));

    // The reserve is used up, and somebody else has taken the rest: it waits for room, and is ready when there is some.
    disk.fill(0);
    let filler = disk.path().join("filler");
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        std::fs::remove_file(filler).expect("a filler");
    });
    payer.serve_with(&SHORT_DRAIN);
    later.join().expect("no panic");
    client.token(MATCH_SCOPE).await;
    assert_eq!(payer.terminate(), Some(0));

    // Where SQLite cannot even make its shared memory, what is needed is said. A command opens the store as a server does.
    for file in ["causeway.db-shm", "causeway.db-wal", "causeway.reserve"] {
        let _ = std::fs::remove_file(disk.path().join(file));
    }
    disk.fill(0);
    let refused = payer.command(&["partner", "suspend", "nobody", "--reason", "x"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("SV-009") && said.contains("Free at least 4 MiB on the disk of"),
        "{said}"
    );
    disk.empty();
    payer.serve_with(&SHORT_DRAIN);
}

#[test]
fn an_import_on_a_full_disk_says_so_keeps_whole_batches_and_is_run_again() {
    let Some((disk, payer, _)) = on_small_disk(24) else {
        return;
    };
    let more = [
        "synth",
        "--members",
        "60",
        "--resources-per-member",
        "20",
        "--seed",
        "77",
        "--out",
        "more",
    ];
    assert!(payer.command(&more).status.success());
    disk.fill(3 * 1024 * 1024);
    let refused = payer.command(&["import", "more"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains("SV-009") && said.contains("Run an interrupted import again"),
        "{said}"
    );
    disk.empty();
    let after = payer.json_command(&["import", "more"]);
    let again = payer.json_command(&["import", "more"]);
    assert_eq!(
        (after["rejected"].as_u64(), again["stored"].as_u64()),
        (Some(0), Some(0)),
        "{after} {again}"
    );
    assert_eq!(after["read"], again["unchanged"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f14_writes_that_the_system_refuses_for_want_of_room_lose_nothing() {
    if on_postgres() {
        return;
    }
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        use std::io::Write as _;
        let _ = std::io::stderr().write_all(b"NOTE: strace is not installed: no ENOSPC was injected\n");
        return;
    }
    let (mut payer, client) = TestPayer::prepare(MEMBERS);
    let log = payer.home().join("causeway.db-wal");
    let mut command = Command::new("strace");
    // Of each thread's writes to the write-ahead log: from the 120th on, 200 find no room. The writing thread is the only one.
    command
        .args(["-f", "-o", "/dev/null", "-P"])
        .arg(&log)
        .args([
            "-e",
            "trace=pwrite64",
            "-e",
            "inject=pwrite64:error=ENOSPC:when=120..320",
        ])
        .arg(program(payer.home()).get_program())
        .args(["serve", "--quiet", "--log-file", "server.log"])
        .current_dir(payer.home())
        .env_remove("DATABASE_URL")
        .envs(NO_LIMITS)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    payer.spawn(command);
    let token = client.token(MATCH_SCOPE).await;
    let client = Arc::new(client);
    let storm = Storm::begin(&payer, &client, &token);
    storm.more("refusal", &storm.refused, 10).await;
    storm.more("match after the refusals", &storm.acknowledged, 20).await;
    let acknowledged = storm.end().await;
    assert!(payer.is_running());
    assert_kept(&payer, &acknowledged);
    let server = payer.traced().expect("a server");
    let _ = Command::new("kill").args(["-9", &server.to_string()]).status();
    // strace ends with what it traced; before that the store is still held.
    let begun = Instant::now();
    while payer.is_running() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the server is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    payer.kill();
    payer.serve();
    assert_kept(&payer, &acknowledged);
}

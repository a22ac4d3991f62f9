//! Two processes on one database through all of the trouble, under a storm of matches and reads: nothing acknowledged is lost or
//! doubled, no answer is wrong, and every disclosure has its end.

use super::is_ready;
use super::proxy::Proxy;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::{TestPayer, binary, free_ports, is_optimised, today};
use crate::support::postgres::Own;
use crate::support::store::{Place, on_postgres};
use causeway::store::{Db, StoreUrl};
use causeway::synth::{self, Variation};
use diesel::connection::SimpleConnection as _;
use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENTS: usize = 6;
const MEMBERS: u64 = 20;
const TROUBLES: [&str; 8] = [
    "silence",
    "cut",
    "refuse",
    "lock",
    "terminate",
    "a crash of the database, which others told not to sync",
    "a crash of one process, and somebody's lock on upgrades",
    "silence for good",
];

/// From the trouble's end to good answers of both; a build that is not optimised, on a machine with other work, only has to come back.
fn recovered() -> Duration {
    Duration::from_secs(if is_optimised() { 5 } else { 60 })
}

/// A second process beside a payer's own, on the same database.
struct Second {
    child: Child,
    ports: [u16; 2],
    origin: String,
    ops: String,
}

impl Second {
    async fn start(payer: &TestPayer, url: &str) -> Second {
        let ports = free_ports();
        let second = Second {
            child: Second::spawn(payer, url, ports),
            ports,
            origin: format!("https://localhost:{}", ports[0]),
            ops: format!("http://127.0.0.1:{}", ports[1]),
        };
        super::until_ready(&second.ops, Duration::from_secs(60)).await;
        second
    }

    fn spawn(payer: &TestPayer, url: &str, [fhir, ops]: [u16; 2]) -> Child {
        Command::new(binary())
            .current_dir(payer.home())
            .args(["serve", "--quiet", "--log-file", "second.log"])
            .env("DATABASE_URL", url)
            .env("CAUSEWAY_SERVER__FHIR_LISTEN", format!("127.0.0.1:{fhir}"))
            .env("CAUSEWAY_SERVER__OPS_LISTEN", format!("127.0.0.1:{ops}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the second server starts")
    }

    /// `kill -9`, and started again at once.
    fn crash(&mut self, payer: &TestPayer, url: &str) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = Second::spawn(payer, url, self.ports);
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<u64>>,
    unknown: Mutex<Vec<u64>>,
    good: AtomicU64,
    waits: AtomicU64,
    next: AtomicU64,
    over: AtomicBool,
}

async fn ask(client: &Client, token: &str, bodies: &[Vec<u8>], seen: &Seen) {
    while !seen.over.load(Ordering::Relaxed) {
        let number = seen.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("storm-{number}");
        let headers = [("X-Correlation-Id", name.as_str()), ("Idempotency-Key", name.as_str())];
        let body = bodies[number as usize % bodies.len()].clone();
        match client.try_match(token, body, &headers).await {
            Ok(reply) if reply.status == 200 => {
                seen.acknowledged.lock().unwrap().push(number);
                seen.good.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => {
                assert!(
                    matches!(reply.status, 429 | 503) && !reply.header("retry-after").is_empty(),
                    "{}: {}",
                    reply.status,
                    reply.text()
                );
                seen.waits.fetch_add(1, Ordering::Relaxed);
                seen.unknown.lock().unwrap().push(number);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(_) => {
                seen.unknown.lock().unwrap().push(number);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Reads a member's record again and again; the ids of those requests.
async fn read(client: &Client, token: &str, patient: &str, seen: &Seen) -> Vec<String> {
    let mut names = Vec::new();
    while !seen.over.load(Ordering::Relaxed) {
        let name = format!("read-{}", names.len());
        let asked = client
            .http
            .get(format!("{}/fhir/Patient/{patient}/$everything", client.origin))
            .bearer_auth(token)
            .header("X-Correlation-Id", &name)
            .send();
        if let Ok(reply) = asked.await {
            assert!(matches!(reply.status().as_u16(), 200 | 429 | 503), "{}", reply.status());
            let _ = reply.bytes().await;
        }
        names.push(name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    names
}

/// Makes this trouble, and ends it.
async fn trouble(name: &str, payer: &TestPayer, cluster: &Own, proxy: &Proxy, second: &mut Second, url: &str) {
    match name {
        "silence" => {
            proxy.silent();
            tokio::time::sleep(Duration::from_secs(3)).await;
            proxy.forward();
        }
        "cut" => proxy.cut(),
        "refuse" => {
            proxy.refuse();
            tokio::time::sleep(Duration::from_secs(1)).await;
            proxy.forward();
        }
        "lock" => {
            let mut other = payer.db();
            let Db::Pg(holder) = &mut other else { unreachable!() };
            holder
                .batch_execute("BEGIN; LOCK TABLE grants, access_token, partner IN ACCESS EXCLUSIVE MODE")
                .expect("a lock");
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            holder.batch_execute("ROLLBACK").expect("let go");
        }
        "terminate" => {
            cluster.execute(&["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"]);
        }
        "a crash of the database, which others told not to sync" => {
            cluster.execute(&[
                "ALTER SYSTEM SET synchronous_commit = off",
                "ALTER SYSTEM SET wal_writer_delay = '10s'",
                "SELECT pg_reload_conf()",
            ]);
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.crash();
            // No process starts on it as it is.
            cluster.execute(&[
                "ALTER SYSTEM RESET synchronous_commit",
                "ALTER SYSTEM RESET wal_writer_delay",
                "SELECT pg_reload_conf()",
            ]);
        }
        "a crash of one process, and somebody's lock on upgrades" => {
            let mut holder = cluster.connect();
            holder
                .batch_execute("SELECT pg_advisory_lock(4919772)")
                .expect("a lock");
            second.crash(payer, url);
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        _ => {
            proxy.silence_what_stands();
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_go_through_all_of_it_and_lose_nothing() {
    if !on_postgres() {
        return;
    }
    let cluster = Own::start();
    let place = Place {
        url: StoreUrl::parse(&cluster.url("postgres")).expect("an address"),
        folder: tempfile::tempdir().expect("a folder"),
        _database: None,
    };
    let members = synth::SynthOptions {
        members: MEMBERS,
        resources_per_member: 8,
        as_of: today(),
        ..synth::SynthOptions::default()
    };
    let (mut payer, client) = TestPayer::prepare_in(place, members);
    let proxy = Proxy::start(cluster.folder());
    let url = proxy.url("postgres");
    // One token lasts for all of it.
    payer.serve_with(&[("DATABASE_URL", &url), ("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "3600")]);
    let mut second = Second::start(&payer, &url).await;
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let other = Client {
        http: client.http.clone(),
        id: client.id.clone(),
        key: crate::support::assertion::ClientKey::new("unused"),
        origin: second.origin.clone(),
    };
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new(
        (2..MEMBERS)
            .map(|index| payer.request(index, Variation::Exact).to_string().into_bytes())
            .collect(),
    );
    let (clients, seen) = ([Arc::new(client), Arc::new(other)], Arc::new(Seen::default()));
    let storm: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (client, token) = (Arc::clone(&clients[number % 2]), token.clone());
            let (bodies, seen) = (Arc::clone(&bodies), Arc::clone(&seen));
            tokio::spawn(async move { ask(&client, &token, &bodies, &seen).await })
        })
        .collect();

    let reads = {
        let (client, token, seen) = (Arc::clone(&clients[0]), token.clone(), Arc::clone(&seen));
        tokio::spawn(async move { read(&client, &token, &patient, &seen).await })
    };

    for name in TROUBLES {
        tokio::time::sleep(Duration::from_millis(500)).await;
        trouble(name, &payer, &cluster, &proxy, &mut second, &url).await;
        let (ended, good) = (Instant::now(), seen.good.load(Ordering::Relaxed));
        loop {
            let fresh = seen.good.load(Ordering::Relaxed) - good;
            if fresh >= 2 * CLIENTS as u64 && is_ready(&payer.ops).await && is_ready(&second.ops).await {
                break;
            }
            assert!(
                ended.elapsed() < recovered(),
                "{name}: {fresh} good answers since\n{}",
                payer.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("{name}: good answers again {:?} after its end", ended.elapsed());
    }
    // A busy machine has read less often by now.
    let ended = Instant::now();
    while payer.count("ledger_entry WHERE correlation_id LIKE 'read-%' AND action = 'disclosure.begun'") <= 50 {
        assert!(ended.elapsed() < Duration::from_secs(120), "nothing is read any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.over.store(true, Ordering::Relaxed);
    for task in storm {
        task.await.expect("no assertion failed");
    }
    let reads = reads.await.expect("no assertion failed");
    settle(&payer, &clients[0], &token, &bodies, &seen).await;
    // What a cut connection could not write was written since.
    let (mut begun, deadline) = (0, Instant::now() + recovered());
    for name in &reads {
        loop {
            let count = |action: &str| {
                payer.count(&format!(
                    "ledger_entry WHERE correlation_id = '{name}' AND action = '{action}'"
                ))
            };
            let (begins, ends) = (count("disclosure.begun"), count("disclosure.completed"));
            if begins == ends {
                begun += begins;
                break;
            }
            assert!(Instant::now() < deadline, "{name}: {begins} begun, {ends} ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(begun > 50, "{begun} of {} reads were begun", reads.len());
    eprintln!("{begun} of {} reads were begun, and each has its end", reads.len());
}

/// Asks again for what had no good answer, with the same key, and counts what is there.
async fn settle(payer: &TestPayer, client: &Client, token: &str, bodies: &[Vec<u8>], seen: &Seen) {
    let unknown = std::mem::take(&mut *seen.unknown.lock().unwrap());
    let waits = seen.waits.load(Ordering::Relaxed);
    for number in unknown {
        let name = format!("storm-{number}");
        let headers = [("X-Correlation-Id", name.as_str()), ("Idempotency-Key", name.as_str())];
        for attempt in 0..50 {
            let reply = client
                .post_match(token, bodies[number as usize % bodies.len()].clone(), &headers)
                .await;
            if reply.status == 200 {
                seen.acknowledged.lock().unwrap().push(number);
                break;
            }
            assert!(
                matches!(reply.status, 409 | 429 | 503) && attempt < 49,
                "{name}: {}",
                reply.text()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    let acknowledged = std::mem::take(&mut *seen.acknowledged.lock().unwrap());
    let distinct: HashSet<u64> = acknowledged.iter().copied().collect();
    assert_eq!(distinct.len(), acknowledged.len());
    assert!(
        waits > 0 && acknowledged.len() > 50,
        "{waits} told to wait, {} acknowledged",
        acknowledged.len()
    );
    for number in &acknowledged {
        let decided = format!("decision WHERE correlation_id = 'storm-{number}' AND outcome = 'matched'");
        assert_eq!(payer.count(&decided), 1, "storm-{number}");
    }
    let doubled = "(SELECT 1 FROM grants WHERE revoked_ms IS NULL GROUP BY partner_id, compartment, consent_id HAVING COUNT(*) > 1) AS twice";
    assert_eq!(payer.count(doubled), 0);
    assert_eq!(
        payer.count("(SELECT 1 FROM decision GROUP BY correlation_id HAVING COUNT(*) > 1) AS twice"),
        0
    );
    eprintln!(
        "{} acknowledged, {waits} told to wait, none lost, none doubled",
        acknowledged.len()
    );
}

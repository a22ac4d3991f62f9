//! Two processes on one database through all of the trouble, under a storm of matches: nothing acknowledged is lost or doubled, and
//! no answer is wrong.

use super::{is_ready, proxied};
use crate::support::client::{Client, MATCH_SCOPE};
use crate::support::payer::TestPayer;
use crate::support::postgres;
use crate::support::store::on_postgres;
use causeway::store::Db;
use causeway::synth::Variation;
use diesel::connection::SimpleConnection as _;
use std::collections::HashSet;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENTS: usize = 6;
const MEMBERS: u64 = 20;
const RECOVERED: Duration = Duration::from_secs(8);

/// A second process beside a payer's own, on the same database.
struct Second {
    child: Child,
    origin: String,
    ops: String,
}

impl Second {
    async fn start(payer: &TestPayer, url: &str) -> Second {
        let listeners = [0, 0].map(|any| TcpListener::bind(("127.0.0.1", any)).expect("a free port"));
        let [fhir, ops] = listeners.map(|listener| listener.local_addr().expect("an address").port());
        let child = Command::new(env!("CARGO_BIN_EXE_causeway"))
            .current_dir(payer.home())
            .args(["serve", "--quiet", "--log-file", "second.log"])
            .env("DATABASE_URL", url)
            .env("CAUSEWAY_SERVER__FHIR_LISTEN", format!("127.0.0.1:{fhir}"))
            .env("CAUSEWAY_SERVER__OPS_LISTEN", format!("127.0.0.1:{ops}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the second server starts");
        let second = Second {
            child,
            origin: format!("https://localhost:{fhir}"),
            ops: format!("http://127.0.0.1:{ops}"),
        };
        super::until_ready(&second.ops, Duration::from_secs(20)).await;
        second
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
            Err(_) => seen.unknown.lock().unwrap().push(number),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_go_through_all_of_it_and_lose_nothing() {
    if !on_postgres() {
        return;
    }
    let (mut payer, client) = TestPayer::prepare(MEMBERS);
    let (proxy, url) = proxied(&payer);
    payer.serve_with(&[("DATABASE_URL", &url)]);
    let second = Second::start(&payer, &url).await;
    let token = client.token(MATCH_SCOPE).await;
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

    let name = payer.place.url_text();
    let name = name
        .trim_start_matches("postgres:///")
        .split('?')
        .next()
        .expect("a name")
        .to_owned();
    for trouble in ["silence", "cut", "refuse", "lock", "terminate", "silence for good"] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        match trouble {
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
                    .batch_execute("BEGIN; LOCK TABLE grants IN ACCESS EXCLUSIVE MODE")
                    .expect("a lock");
                tokio::time::sleep(Duration::from_millis(3_500)).await;
                holder.batch_execute("ROLLBACK").expect("let go");
            }
            "terminate" => postgres::execute(
                "postgres",
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
                ),
            ),
            _ => {
                proxy.silence_what_stands();
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
        }
        let (ended, good) = (Instant::now(), seen.good.load(Ordering::Relaxed));
        loop {
            let fresh = seen.good.load(Ordering::Relaxed) - good;
            if fresh >= 2 * CLIENTS as u64 && is_ready(&payer.ops).await && is_ready(&second.ops).await {
                break;
            }
            assert!(
                ended.elapsed() < RECOVERED,
                "{trouble}: {fresh} good answers since\n{}",
                payer.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        eprintln!("{trouble}: good answers again {:?} after its end", ended.elapsed());
    }
    seen.over.store(true, Ordering::Relaxed);
    for task in storm {
        task.await.expect("no assertion failed");
    }
    settle(&payer, &clients[0], &token, &bodies, &seen).await;
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

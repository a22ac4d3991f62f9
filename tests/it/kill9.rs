//! `kill -9` during a storm of matches: what was acknowledged is there, once, after the restart.

use crate::support::client::MATCH_SCOPE;
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 8;
const MEMBERS: u64 = 20;
/// So many are answered in each round before the kill, at least.
const ANSWERED: usize = 6;
/// One token lasts for the whole test.
const LONG: (&str, &str) = ("CAUSEWAY_OAUTH__ACCESS_TOKEN_SECONDS", "3600");

/// Restarts: three in an ordinary run, `CAUSEWAY_TEST_KILLS` of them in a long one.
fn restarts() -> u64 {
    std::env::var("CAUSEWAY_TEST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_match_survives_and_none_is_there_twice() {
    let (mut payer, client) = TestPayer::prepare(MEMBERS);
    payer.serve_with(&[LONG]);
    let token = client.token(MATCH_SCOPE).await;
    let client = Arc::new(client);
    // Member 1 has a twin and cannot be matched.
    let bodies: Arc<Vec<Vec<u8>>> = Arc::new(
        (2..MEMBERS)
            .map(|index| payer.request(index, Variation::Exact).to_string().into_bytes())
            .collect(),
    );
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let unknown = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::new(AtomicU64::new(0));

    for round in 0..restarts() {
        let over = Arc::new(AtomicBool::new(false));
        let (mut storm, before) = (Vec::new(), acknowledged.lock().unwrap().len());
        for _ in 0..CLIENTS {
            let (client, token, bodies, over) = (
                Arc::clone(&client),
                token.clone(),
                Arc::clone(&bodies),
                Arc::clone(&over),
            );
            let (acknowledged, unknown, next) = (Arc::clone(&acknowledged), Arc::clone(&unknown), Arc::clone(&next));
            storm.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let name = format!("storm-{number}");
                    let body = bodies[number as usize % bodies.len()].clone();
                    let headers = [("X-Correlation-Id", name.as_str()), ("Idempotency-Key", name.as_str())];
                    match client.try_match(&token, body, &headers).await {
                        Ok(reply) if reply.status == 200 => acknowledged.lock().unwrap().push(number),
                        Ok(reply) => assert!(matches!(reply.status, 429 | 503), "{}", reply.text()),
                        // The server is gone, and nothing was sent to it.
                        Err(error) if error.is_connect() => tokio::time::sleep(Duration::from_millis(20)).await,
                        Err(_) => unknown.lock().unwrap().push(number),
                    }
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(300 + 137 * (round % 5))).await;
        let began = Instant::now();
        while acknowledged.lock().unwrap().len() < before + ANSWERED {
            assert!(
                storm.iter().all(|task| !task.is_finished()) && began.elapsed() < Duration::from_secs(120),
                "no storm: {}",
                payer.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        payer.kill();
        over.store(true, Ordering::Relaxed);
        for task in storm {
            task.await.expect("no assertion failed");
        }
        payer.serve_with(&[LONG]);
    }

    // Those whose answer was lost are asked again with the same key: done once, however it went before.
    let asked_again = std::mem::take(&mut *unknown.lock().unwrap());
    for number in asked_again {
        let name = format!("storm-{number}");
        let headers = [("X-Correlation-Id", name.as_str()), ("Idempotency-Key", name.as_str())];
        let body = bodies[number as usize % bodies.len()].clone();
        for attempt in 0..300 {
            let reply = client.post_match(&token, body.clone(), &headers).await;
            if reply.status == 200 {
                acknowledged.lock().unwrap().push(number);
                break;
            }
            assert!(
                matches!(reply.status, 409 | 429 | 503) && attempt < 299,
                "{name}: {}",
                reply.text()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(
        acknowledged.len() as u64 > restarts() * 5,
        "no storm: {}",
        acknowledged.len()
    );
    let distinct: HashSet<u64> = acknowledged.iter().copied().collect();
    assert_eq!(distinct.len(), acknowledged.len());
    for number in acknowledged {
        let name = format!("storm-{number}");
        let decided = format!(
            "decision d JOIN grants g ON g.id = d.grant_id WHERE d.correlation_id = '{name}' AND d.outcome = 'matched'"
        );
        assert_eq!(payer.count(&decided), 1, "{name}");
        let actions = payer.ledger(&name);
        // Asking again with the same key is a request of its own and begins once more; it never matches twice.
        assert_eq!(
            actions
                .iter()
                .filter(|action| *action == "member-match.matched")
                .count(),
            1,
            "{name}: {actions:?}"
        );
        assert_eq!(
            actions.first().map(String::as_str),
            Some("member-match.begun"),
            "{name}: {actions:?}"
        );
    }
    let doubled = "(SELECT 1 FROM grants WHERE revoked_ms IS NULL GROUP BY partner_id, compartment, consent_id HAVING COUNT(*) > 1) AS twice";
    assert_eq!(payer.count(doubled), 0);
    assert_eq!(
        payer.count("(SELECT 1 FROM decision GROUP BY correlation_id HAVING COUNT(*) > 1) AS twice"),
        0
    );
}

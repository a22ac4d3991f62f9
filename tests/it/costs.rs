//! What one warm request of each kind asks of the store: statements, which on PostgreSQL are messages and their answers, and commits,
//! each of which waits for the disk. The server counts them itself (`/metrics`). Limits are here, so that a change that costs more is
//! seen before anybody measures times.

use crate::disclosures::settled;
use crate::support::client::ALL_SCOPES;
use crate::support::matched::Matched;
use crate::support::store::on_postgres;
use causeway::synth::Variation;
use serde_json::Value;
use std::time::Duration;

/// Most statements and commits of one request.
#[derive(Clone, Copy)]
struct Limit {
    sqlite: (u64, u64),
    postgres: (u64, u64),
}

/// A request alone: what follows its answer is written by itself. Among others it shares that with them.
const READ: Limit = Limit {
    sqlite: (7, 2),
    postgres: (2, 2),
};
const SEARCH: Limit = Limit {
    sqlite: (8, 2),
    postgres: (4, 2),
};
const EVERYTHING: Limit = Limit {
    sqlite: (9, 2),
    postgres: (5, 2),
};
const FIRST_MATCH: Limit = Limit {
    sqlite: (28, 1),
    postgres: (20, 1),
};
const RENEWED_MATCH: Limit = Limit {
    sqlite: (22, 1),
    postgres: (15, 1),
};
const TOKEN: Limit = Limit {
    sqlite: (10, 1),
    postgres: (8, 1),
};

/// Times that a request is measured; what happens beside it now and then is in none of the least.
const ROUNDS: u64 = 4;
/// Times that a request is measured until its limit holds. On a busy machine a round takes so long that background work falls into each
/// of the first ones.
const PATIENT_ROUNDS: u64 = 48;
/// The same for a match, for which there have to be so many members.
const PATIENT_MATCHES: u64 = 16;

/// Statements and commits so far.
async fn counted(payer: &Matched) -> (u64, u64) {
    let text = reqwest::get(format!("{}/metrics", payer.payer.ops))
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let of = |name: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        let value = line.and_then(|line| line.split(' ').nth(1)).expect("the family");
        value.parse().expect("a number")
    };
    (
        of("causeway_store_statements_total"),
        of("causeway_store_commits_total"),
    )
}

/// What happened since `before`, without what a look at the counts costs: the least of some, since others may fall between two.
async fn since(payer: &Matched, before: (u64, u64)) -> (u64, u64) {
    let now = counted(payer).await;
    let (mut last, mut look) = (now, u64::MAX);
    for _ in 0..8 {
        let next = counted(payer).await;
        look = look.min(next.0 - last.0);
        last = next;
    }
    (now.0.saturating_sub(before.0 + look), now.1 - before.1)
}

fn is_within(took: (u64, u64), limit: Limit) -> bool {
    let most = if on_postgres() { limit.postgres } else { limit.sqlite };
    took.0 <= most.0 && took.1 <= most.1
}

#[track_caller]
fn hold(what: &str, took: (u64, u64), limit: Limit) {
    let most = if on_postgres() { limit.postgres } else { limit.sqlite };
    println!(
        "{what}: {} statements, {} commits; at most {} and {}",
        took.0, took.1, most.0, most.1
    );
    assert!(took.0 > 0, "{what}: nothing was counted");
    assert!(
        is_within(took, limit),
        "{what}: {took:?} statements and commits, at most {most:?}"
    );
}

/// The least that a disclosure took of several, each with its end in the ledger. One caller is looked up for those of a round, which
/// the mean of them, rounded down, leaves out.
async fn disclosure(payer: &Matched, path: &str, limit: Limit) -> (u64, u64) {
    const IN_TURN: u64 = 4;
    let mut least = (u64::MAX, u64::MAX);
    for round in 0..PATIENT_ROUNDS {
        if round >= ROUNDS && is_within(least, limit) {
            break;
        }
        let before = counted(payer).await;
        for turn in 0..IN_TURN {
            let correlation = format!("cost-{round}-{turn}{}", path.replace(['?', '$'], ":"));
            payer
                .get(path, &[("x-correlation-id", &correlation)])
                .await
                .assert_status(200);
            payer
                .payer
                .await_ledger(&correlation, &["disclosure.begun", "disclosure.completed"])
                .await;
        }
        let took = since(payer, before).await;
        least = (least.0.min(took.0 / IN_TURN), least.1.min(took.1 / IN_TURN));
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disclosure_asks_no_more_of_the_store_than_its_limit() {
    let payer = Matched::start(2).await;
    let patient = format!("/Patient/{}", payer.id);
    hold("read", disclosure(&payer, &patient, READ).await, READ);
    let page = format!("/Observation?patient={}", payer.id);
    hold("search page", disclosure(&payer, &page, SEARCH).await, SEARCH);
    let record = format!("{patient}/$everything");
    hold(
        "small $everything",
        disclosure(&payer, &record, EVERYTHING).await,
        EVERYTHING,
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_asks_no_more_of_the_store_than_its_limit() {
    let payer = Matched::start(2 + PATIENT_MATCHES).await;
    let token = payer.bearer.trim_start_matches("Bearer ").to_owned();
    let one = |body: Value, name: String| {
        let (payer, token) = (&payer, &token);
        async move {
            // Its caller is looked up before, by a request that has its end on record.
            payer
                .get(&format!("/Patient/{}", payer.id), &[("x-correlation-id", &name)])
                .await
                .assert_status(200);
            payer
                .payer
                .await_ledger(&name, &["disclosure.begun", "disclosure.completed"])
                .await;
            let before = counted(payer).await;
            let reply = payer.client.post_match(token, body.to_string(), &[]).await;
            reply.assert_status(200);
            since(payer, before).await
        }
    };
    let least = |one: (u64, u64), other: (u64, u64)| (one.0.min(other.0), one.1.min(other.1));
    let (mut first, mut renewed) = ((u64::MAX, u64::MAX), (u64::MAX, u64::MAX));
    // Members 0 and 1 are twins.
    for member in 2..2 + PATIENT_MATCHES {
        if member >= 2 + ROUNDS && is_within(first, FIRST_MATCH) && is_within(renewed, RENEWED_MATCH) {
            break;
        }
        let body = payer.payer.request(member, Variation::Exact);
        first = least(first, one(body.clone(), format!("before-first-{member}")).await);
        renewed = least(renewed, one(body, format!("before-renewed-{member}")).await);
    }
    println!("first match: {first:?}, renewed: {renewed:?}");
    hold("first match", first, FIRST_MATCH);
    hold("renewed match", renewed, RENEWED_MATCH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_asks_no_more_of_the_store_than_its_limit() {
    let payer = Matched::start(1).await;
    let mut least = (u64::MAX, u64::MAX);
    for round in 0..PATIENT_ROUNDS {
        if round > ROUNDS && is_within(least, TOKEN) {
            break;
        }
        let before = counted(&payer).await;
        payer.client.token(ALL_SCOPES).await;
        let took = since(&payer, before).await;
        least = (least.0.min(took.0), least.1.min(took.1));
    }
    hold("token", least, TOKEN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_at_once_share_what_follows_their_answers() {
    const AT_ONCE: u64 = 48;
    let payer = Matched::start(1).await;
    let path = format!("/Patient/{}", payer.id);
    for _ in 0..2 {
        let warm = (0..AT_ONCE).map(|_| payer.get(&path, &[]));
        futures_util::future::join_all(warm).await;
    }
    // On a busy machine connections lie idle in between, and are asked first whether they still stand.
    let per_read = if on_postgres() { 3 } else { 7 };
    let mut least = (u64::MAX, u64::MAX);
    for _ in 0..PATIENT_ROUNDS {
        tokio::time::sleep(Duration::from_millis(100)).await;
        settled(&payer.payer).await;
        let before = counted(&payer).await;
        let replies = futures_util::future::join_all((0..AT_ONCE).map(|_| payer.get(&path, &[]))).await;
        replies.iter().for_each(|reply| reply.assert_status(200));
        settled(&payer.payer).await;
        let took = since(&payer, before).await;
        least = (least.0.min(took.0), least.1.min(took.1));
        if least.0 < per_read * AT_ONCE && least.1 < 2 * AT_ONCE {
            break;
        }
    }
    let (statements, commits) = least;
    println!("{AT_ONCE} reads: {statements} statements, {commits} commits");
    assert!(
        statements < per_read * AT_ONCE,
        "{statements} statements for {AT_ONCE} reads"
    );
    assert!(commits < 2 * AT_ONCE, "{commits} commits for {AT_ONCE} reads");
}

//! Threat A22: floods of failing token requests, over HTTP, from one address and from another.

use crate::support::assertion::ClientKey;
use crate::support::client::{Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A client without a certificate, at this address of our own machine.
fn stranger(payer: &TestPayer, id: &str, key: ClientKey, address: [u8; 4]) -> Client {
    let mut client = payer.client(id, key, None);
    let ca = reqwest::Certificate::from_pem(payer.pki.ca.as_bytes()).expect("a certificate");
    let builder = reqwest::Client::builder()
        .tls_certs_only([ca])
        .local_address(IpAddr::from(address));
    client.http = builder.build().expect("a client");
    client
}

/// A partner that needs no certificate, and its key.
fn without_certificate(payer: &TestPayer) -> ClientKey {
    let key = ClientKey::new("k9");
    let home = payer.home();
    std::fs::write(home.join("plain-jwks.json"), key.jwks().to_string()).expect("a file");
    let text = "id = \"plain\"\nname = \"Plain\"\nnpi = \"1992000038\"\nclient_id = \"plain\"\njwks_file = \"plain-jwks.json\"\n\
        mtls = \"off\"\nscopes = [\"system/*.rs\"]\ndialect = { hrex = \"1.1\", pdex = \"2.2\", us_core = \"6.1.0\" }\n";
    std::fs::write(home.join("plain.toml"), text).expect("a file");
    let added = payer.command(&["partner", "add", "--file", "plain.toml"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    key
}

async fn forged(client: &Client) -> Reply {
    let other = ClientKey::new(&client.key.kid);
    client.ask_token(&client.assertion().sign(&other), "system/*.rs").await
}

fn assert_throttled(reply: &Reply) -> u64 {
    reply.assert_oauth(429, "temporarily_unavailable", Fault::OauthThrottled);
    assert!(reply.header("content-type").starts_with("application/json"));
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.header("retry-after").parse().expect("seconds")
}

/// Asks until it is throttled, at most so often: where a full allowance forgets a failure meanwhile, one more is judged.
async fn throttled(most: usize, ask: impl AsyncFn() -> Reply) -> Reply {
    for _ in 0..most {
        let reply = ask().await;
        if reply.status == 429 {
            return reply;
        }
        assert_ne!(reply.status, 200, "{}", reply.text());
    }
    panic!("not throttled");
}

#[tokio::test]
async fn t_a22_a_flood_from_one_address_is_throttled_and_locks_no_partner_out() {
    let (mut payer, partner) = TestPayer::prepare(1);
    let key = without_certificate(&payer);
    payer.serve();
    let attacker = stranger(&payer, "plain", ClientKey::new("k9"), [127, 0, 0, 1]);
    let (began, mut judged) = (Instant::now(), 0);
    for _ in 0..100 {
        let reply = forged(&attacker).await;
        if reply.status == 401 {
            reply.assert_oauth(401, "invalid_client", Fault::OauthClient);
            judged += 1;
        } else {
            assert!(
                (1..=5).contains(&assert_throttled(&reply)),
                "one failure is forgotten in five seconds"
            );
        }
    }
    let forgotten = began.elapsed().as_secs() / 5;
    assert!(
        (60..=61 + forgotten).contains(&judged),
        "{judged} of 100 were judged, {forgotten} forgotten"
    );
    // The same at introspection: the flood cannot go on next door.
    throttled(300, async || forged(&attacker).await).await;
    let elsewhere = throttled(10, async || {
        attacker.oauth("/oauth/introspect", &[("token", "guess")]).await
    });
    let elsewhere = elsewhere.await;
    assert_throttled(&elsewhere);

    // It is found by its ids, as whose it says it is; the same under an id of nobody's is only counted.
    let elsewhere = elsewhere.header("x-correlation-id").to_owned();
    payer.await_ledger(&elsewhere, &["token.refused"]).await;
    let nobody = stranger(&payer, "nobody", ClientKey::new("k9"), [127, 0, 0, 3]);
    let turned_away = throttled(300, async || forged(&nobody).await).await;
    assert_throttled(&turned_away);
    payer.assert_ledger(turned_away.header("x-correlation-id"), &[]);

    // Its owner at another address, and a partner with a certificate at the flood's own address, are not hindered.
    let owner = stranger(&payer, "plain", key, [127, 0, 0, 2]);
    owner.token("system/*.rs").await;
    let other_id = stranger(&payer, "new-payer", ClientKey::new("k1"), [127, 0, 0, 1]);
    let unhindered = forged(&other_id).await;
    unhindered.assert_oauth(401, "invalid_client", Fault::OauthClient);
    partner.token("system/*.rs").await;

    // A partner that fails by its own certificate is throttled by it, whatever client id it writes; nobody else is.
    throttled(300, async || forged(&partner).await).await;
    let renamed = throttled(10, async || {
        let assertion = partner.assertion().with("iss", "other").with("sub", "other");
        partner.ask_token(&assertion.sign(&partner.key), "system/*.rs").await
    });
    assert_throttled(&renamed.await);
    owner.token("system/*.rs").await;
    payer.terminate();
}

#[tokio::test]
async fn t_a22_what_is_throttled_was_not_judged_and_works_when_the_wait_is_over() {
    let (mut payer, partner) = TestPayer::prepare(1);
    payer.serve_with(&[
        ("CAUSEWAY_LIMITS__TOKEN_FAILURES", "2"),
        ("CAUSEWAY_LIMITS__TOKEN_FAILURES_SECONDS", "4"),
    ]);
    // A failure is forgotten in two seconds: a machine that needs as long for three requests begins again.
    let mut begun_again = 0;
    let (assertion, reply) = loop {
        for _ in 0..2 {
            forged(&partner).await.assert_status(401);
        }
        let assertion = partner.assertion().sign(&partner.key);
        let reply = partner.ask_token(&assertion, "system/*.rs").await;
        if reply.status != 200 {
            break (assertion, reply);
        }
        begun_again += 1;
        assert!(begun_again < 30, "not throttled");
    };
    let wait_s = assert_throttled(&reply);
    assert!(wait_s <= 2, "{wait_s}");
    // Asking on does not lengthen the wait. The assertion was not used up: nobody looked at it.
    let begun = Instant::now();
    loop {
        let asked = begun.elapsed();
        let reply = partner.ask_token(&assertion, "system/*.rs").await;
        if reply.status == 200 {
            break;
        }
        assert_throttled(&reply);
        assert!(asked < Duration::from_secs(4), "still throttled");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A success forgets the failures before it.
    forged(&partner).await.assert_status(401);
    partner.token("system/*.rs").await;
    forged(&partner).await.assert_status(401);
    forged(&partner).await.assert_status(401);
    assert_throttled(&throttled(30, async || forged(&partner).await).await);
    let correlation = reply.header("x-correlation-id").to_owned();
    payer.await_ledger(&correlation, &["token.refused"]).await;
}

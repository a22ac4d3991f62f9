//! The threat model's rows that need a whole server: each test carries the id of its row.

use crate::support::assertion::ClientKey;
use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply, http};
use crate::support::payer::{PARTNER_NPI, PARTNER_URI, TestPayer};
use crate::support::pki::{Kind, Pair};
use crate::support::wire::{Wire, request_by};
use causeway::error::Fault;
use causeway::http::routes::{ROUTES, RouteAccess};
use causeway::synth::{SharingPolicy, Variation};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const THIRD_NPI: &str = "1992000038";
const THIRD_URI: &str = "https://third-payer.example/fhir";

/// A payer, its partner with a known certificate, and a token with a matched member.
async fn matched(members: u64) -> (TestPayer, Client, Pair, String, String) {
    let (payer, mut client) = TestPayer::start(members);
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    client.http = http(&payer.pki.ca, Some(&pair));
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    (payer, client, pair, token, id)
}

/// Headers that must be equal where answers must not be told apart.
fn comparable(reply: &Reply) -> BTreeMap<String, String> {
    let own = ["x-request-id", "x-correlation-id", "traceparent", "date"];
    let all = reply.headers.iter();
    all.filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect()
}

#[track_caller]
fn assert_alike(replies: &[Reply]) {
    for pair in replies.windows(2) {
        assert_eq!(pair[0].status, pair[1].status);
        assert_eq!(pair[0].text(), pair[1].text());
        assert_eq!(comparable(&pair[0]), comparable(&pair[1]));
    }
}

/// Every route that takes a token, with this id in its place.
fn guarded(id: &str) -> Vec<(&'static str, String)> {
    let open = |access| matches!(access, RouteAccess::Public | RouteAccess::Client);
    ROUTES
        .iter()
        .filter(|route| !open(route.access))
        .map(|route| (route.method, route.example(id)))
        .collect()
}

#[tokio::test]
async fn t_a01_a02_a04_without_a_registered_certificate_nothing_opens() {
    let began = Instant::now();
    let (mut payer, client, pair, token, id) = matched(2).await;
    let bearer = format!("Bearer {token}");
    let forged = pair.certificate.replace('\n', "");
    let unknown = payer.pki.client("https://unknown.example/fhir", Kind::Good);
    let (bare, stranger) = (Wire::new(&payer, None), Wire::new(&payer, Some(&unknown)));
    for (method, path) in guarded(&id) {
        for (name, headers) in [
            ("alone", vec![]),
            ("with a token", vec![("authorization", bearer.as_str())]),
            (
                "with a forged certificate header",
                vec![
                    ("authorization", bearer.as_str()),
                    ("x-forwarded-client-cert", forged.as_str()),
                    ("x-client-cert", forged.as_str()),
                    ("forwarded", "for=127.0.0.1;proto=https"),
                ],
            ),
        ] {
            let reply = bare.send(method, &path, &headers);
            assert_eq!(reply.status, 401, "{name} {method} {path}: {}", reply.text());
            stranger
                .send(method, &path, &headers)
                .assert_outcome(Fault::CertificateUnknown);
        }
    }
    let outsider = Client {
        http: http(&payer.pki.ca, Some(&unknown)),
        ..payer.client("new-payer", client.key, None)
    };
    outsider
        .ask_token(&outsider.assertion().sign(&outsider.key), MATCH_SCOPE)
        .await
        .assert_oauth(401, "invalid_client", Fault::CertificateUnknown);
    // Who is nobody's client cannot fill the ledger: one entry counts what was refused of each minute.
    payer.terminate();
    let minutes = i64::try_from(began.elapsed().as_secs() / 60).expect("few");
    for action in ["token.refused", "request.refused"] {
        let counted = format!("ledger_entry WHERE action = '{action}' AND subject LIKE 'refusals/%'");
        let all = payer.count(&format!("ledger_entry WHERE action = '{action}'"));
        assert_eq!(payer.count(&counted), all, "{action}");
        assert!(
            (1..=12 + 6 * minutes).contains(&all),
            "{action}: {all} in {minutes} minutes"
        );
    }
}

#[tokio::test]
async fn t_a05_a_token_is_dead_on_any_other_connection() {
    let (payer, client, pair, token, id) = matched(2).await;
    let third = payer.register("third-payer", THIRD_NPI, THIRD_URI);
    let path = format!("Patient/{id}");
    // The partner's own name on another leaf, another partner's certificate, none.
    let sibling = payer.pki.client(PARTNER_URI, Kind::Good);
    let sibling = payer.client("new-payer", ClientKey::new("k1"), Some(&sibling));
    for other in [&sibling, &third] {
        let reply = other.get(&token, &path).await;
        reply.assert_outcome(Fault::TokenInvalid);
        assert!(reply.header("www-authenticate").contains("invalid_token"));
    }
    let bare = payer.client("new-payer", ClientKey::new("k1"), None);
    bare.get(&token, &path).await.assert_outcome(Fault::CertificateNeeded);
    client.get(&token, &path).await.assert_status(200);
    // A token in the URL or twice is no token.
    let wire = Wire::new(&payer, Some(&pair));
    let url = format!("/fhir/{path}?access_token={token}");
    wire.send("GET", &url, &[]).assert_outcome(Fault::TokenMissing);
    let bearer = format!("Bearer {token}");
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    wire.send("GET", &format!("/fhir/{path}"), &twice)
        .assert_outcome(Fault::TokenInvalid);
}

#[tokio::test]
async fn t_b08_odd_ids_find_nothing_and_break_nothing() {
    let (payer, client, pair, mut token, id) = matched(2).await;
    let mut made = Instant::now();
    let wire = Wire::new(&payer, Some(&pair));
    let minted = payer.json_command(&["operator", "token", "--role", "auditor"]);
    let (long, longer) = ("x".repeat(65), "x".repeat(4000));
    let mut odd: Vec<String> = [
        "..",
        ".",
        "%2e%2e",
        "%2E",
        "%00",
        "a%00b",
        "%2F",
        "..%2F..%2Fetc%2Fpasswd",
        "%5c..%5c",
        ";",
        "a;b=c",
        "%c0%ae%c0%ae",
        "%ff",
        "%E2%80%A4%E2%80%A4",
        "%25252e",
        "'%20OR%20'1'='1",
        "%25",
        "*",
        "$everything",
        "_history",
        "%0d%0aX-A:%20b",
        "%",
        "%zz",
        "%7B%22a%22%3A1%7D",
        "~",
        "a%20b",
        "%20",
    ]
    .map(str::to_owned)
    .to_vec();
    odd.extend([long, longer]);
    // Around the right id, too.
    for (before, after) in [
        ("", "%00"),
        ("", "%20"),
        ("%20", ""),
        ("", ";v=1"),
        ("./", ""),
        ("", "%2F"),
    ] {
        odd.push(format!("{before}{id}{after}"));
    }
    for name in &odd {
        client.renew(&mut token, &mut made).await;
        let bearer = format!("Bearer {token}");
        for (method, path) in [
            ("GET", format!("/fhir/Patient/{name}")),
            ("GET", format!("/fhir/Patient/{name}/$everything")),
            ("POST", format!("/fhir/Patient/{name}/$everything")),
            ("GET", format!("/fhir/Patient/{name}/_history/1")),
        ] {
            let reply = wire.send(method, &path, &[("authorization", &bearer), ("content-length", "0")]);
            assert!(
                matches!(reply.status, 400 | 404 | 405),
                "{method} {path}: {}",
                reply.status
            );
            assert!(!reply.text().contains("\"Patient\""), "{method} {path}");
            if reply.status != 400 {
                assert_eq!(reply.json()["resourceType"], "OperationOutcome", "{method} {path}");
            }
        }
        let reply = wire.send(
            "GET",
            &format!("/fhir/Patient?_id={name}"),
            &[("authorization", &bearer)],
        );
        let found = reply.status == 200 && reply.json()["total"] != 0;
        assert!(!found && reply.status < 500, "_id={name}: {}", reply.text());
        let sent = client
            .http
            .get(format!("{}/ops/v1/decisions/{name}", payer.ops))
            .bearer_auth(minted["token"].as_str().expect("a token"))
            .header("connection", "close")
            .send();
        let status = sent.await.expect("an answer").status().as_u16();
        // `.` and `..` are gone before they are sent: they name the list.
        assert!(
            matches!(status, 400 | 404) || status == 200 && name.len() < 7,
            "{name}: {status}"
        );
    }
    client.renew(&mut token, &mut made).await;
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
    let log = payer.log();
    assert!(!log.contains("panic"), "{log}");
}

#[tokio::test]
async fn t_b14_methods_that_are_not_served_are_refused() {
    let (payer, client, pair, token, id) = matched(1).await;
    let wire = Wire::new(&payer, Some(&pair));
    let bearer = format!("Bearer {token}");
    let mut paths: Vec<String> = ROUTES.iter().map(|route| route.example(&id)).collect();
    paths.sort();
    paths.dedup();
    for path in &paths {
        let rows: Vec<_> = ROUTES.iter().filter(|route| route.example(&id) == *path).collect();
        let mut served: Vec<&str> = rows.iter().map(|route| route.method).collect();
        if let Some(at) = served.iter().position(|method| *method == "GET") {
            served.insert(at + 1, "HEAD");
        }
        if rows.iter().all(|route| route.access == RouteAccess::Public) {
            served.push("OPTIONS");
        }
        for method in [
            "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND", "get",
        ] {
            if served.contains(&method) {
                continue;
            }
            let headers = [
                ("authorization", bearer.as_str()),
                ("x-probe", "canary-9"),
                ("content-length", "0"),
            ];
            let reply = client.send(method, path, &headers, "").await;
            assert_eq!(reply.status, 405, "{method} {path}: {}", reply.text());
            let allow: Vec<&str> = reply.header("allow").split(", ").collect();
            assert_eq!(allow, served, "{method} {path}");
            assert!(!reply.text().contains("canary-9") && !reply.text().contains(&token));
        }
    }
    // An override header overrides nothing. The first token may have grown old.
    let bearer = format!("Bearer {}", client.token(ALL_SCOPES).await);
    let patient = format!("/fhir/Patient/{id}");
    for name in ["x-http-method-override", "x-method-override", "x-http-method"] {
        wire.send("GET", &patient, &[("authorization", &bearer), (name, "DELETE")])
            .assert_status(200);
        wire.send(
            "POST",
            &patient,
            &[("authorization", &bearer), (name, "GET"), ("content-length", "0")],
        )
        .assert_status(405);
    }
}

#[tokio::test]
async fn t_b15_links_come_from_the_configuration_only() {
    let (payer, client, pair, token, id) = matched(1).await;
    let wire = Wire::new(&payer, Some(&pair));
    let bearer = format!("Bearer {token}");
    let poison = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-prefix", "/evil.example"),
        ("x-original-url", "/evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("authorization", &bearer),
    ];
    for (path, status) in [
        ("/fhir/metadata".to_owned(), 200),
        ("/fhir/.well-known/smart-configuration".to_owned(), 200),
        ("/fhir/CodeSystem/causeway-fault".to_owned(), 200),
        (format!("/fhir/Patient?_id={id}"), 200),
        (format!("/fhir/Patient/{id}/$everything?_count=2"), 200),
        (format!("/fhir/Patient/{id}?_format=html"), 200),
        ("/fhir/Patient/nobody".to_owned(), 404),
        ("/nowhere".to_owned(), 404),
    ] {
        let reply = wire.send("GET", &path, &poison);
        reply.assert_status(status);
        let all = format!("{:?} {}", reply.headers, reply.text());
        assert!(!all.contains("evil.example"), "{path}: {all}");
        assert!(path.contains("html") || all.contains(&payer.origin), "{path}: {all}");
    }
    let absolute = format!(
        "GET https://evil.example/fhir/metadata HTTP/1.1\r\nhost: evil.example\r\n{}",
        "connection: close\r\n\r\n"
    );
    if let Some(reply) = wire.exchange(absolute.as_bytes()) {
        assert!(!reply.text().contains("evil.example"), "{}", reply.text());
    }
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
}

#[tokio::test]
async fn t_c01_none_and_several_answer_the_same_bytes() {
    let (payer, client, _, token, id) = matched(4).await;
    let mut replies = Vec::new();
    for (index, variation) in [
        (1, Variation::Exact),
        (0, Variation::UnknownPerson),
        (0, Variation::UnknownCard),
        (2, Variation::WrongBirthDate),
    ] {
        let reply = client
            .post_match(&token, payer.request(index, variation).to_string(), &[])
            .await;
        reply.assert_outcome(Fault::NoUniqueMember);
        replies.push(reply);
    }
    assert_alike(&replies);
    // A consent between others is refused by itself: alike for a member and for somebody nobody knows.
    let mut stranger = payer.request(2, Variation::UnknownPerson);
    let consent = payer.request(2, Variation::ConsentForOthers)["parameter"][3]["resource"]["provision"].clone();
    stranger["parameter"][3]["resource"]["provision"] = consent;
    let mut replies = Vec::new();
    for body in [payer.request(2, Variation::ConsentForOthers), stranger] {
        let reply = client.post_match(&token, body.to_string(), &[]).await;
        reply.assert_outcome(Fault::ConsentRecipient);
        replies.push(reply);
    }
    assert_alike(&replies);
    assert!(!replies[0].text().contains(&id));
}

#[tokio::test]
async fn t_d01_not_granted_is_not_there() {
    let (payer, client, _, token, id) = matched(4).await;
    let third = payer.register("third-payer", THIRD_NPI, THIRD_URI);
    let thirds = third.token(ALL_SCOPES).await;
    third
        .matched(&thirds, &request_by(&payer, 2, THIRD_NPI, SharingPolicy::Regular))
        .await;
    // Never matched, matched by another partner only, the twin, not there, not even an id.
    let ids = [
        payer.member(3).patient_id,
        payer.member(2).patient_id,
        payer.member(1).patient_id,
        "00000000-0000-4000-8000-000000000000".to_owned(),
        "-".to_owned(),
    ];
    for (shape, status) in [
        ("Patient/{}", 404),
        ("Patient/{}/$everything", 404),
        ("Patient?_id={}", 200),
    ] {
        let mut replies = Vec::new();
        for id in &ids {
            let mut reply = client.get(&token, &shape.replace("{}", id)).await;
            // A search repeats what was asked in its self link.
            reply.body = reply.text().replace(&format!("_id={id}"), "_id=asked").into_bytes();
            reply.headers.remove("content-length");
            replies.push(reply);
        }
        replies[0].assert_status(status);
        assert_alike(&replies);
    }
    let bearer = format!("Bearer {token}");
    let mut posts = Vec::new();
    for id in &ids {
        let path = format!("/fhir/Patient/{id}/$everything");
        posts.push(client.send("POST", &path, &[("authorization", &bearer)], "").await);
    }
    posts[0].assert_outcome(Fault::NotFound);
    assert_alike(&posts);
    client.get(&token, &format!("Patient/{id}")).await.assert_status(200);
}

#[tokio::test]
async fn t_d14_an_idempotency_key_is_its_partners_own() {
    let (payer, client) = TestPayer::start(3);
    let third = payer.register("third-payer", THIRD_NPI, THIRD_URI);
    let (token, thirds) = (client.token(ALL_SCOPES).await, third.token(ALL_SCOPES).await);
    let key = [("Idempotency-Key", "same-key")];
    let body = request_by(&payer, 0, PARTNER_NPI, SharingPolicy::Regular).to_string();
    let first = client.post_match(&token, body.clone(), &key).await;
    first.assert_status(200);
    // The very bytes of the other: judged anew, and its consent names somebody else.
    let copied = third.post_match(&thirds, body.clone(), &key).await;
    copied.assert_outcome(Fault::ConsentRecipient);
    assert_eq!(copied.header("idempotent-replayed"), "");
    assert_eq!(payer.count("grants WHERE partner_id = 'third-payer'"), 0);
    // A request of its own under another key of the first partner's.
    client
        .post_match(&token, body.clone(), &[("Idempotency-Key", "second-key")])
        .await
        .assert_status(200);
    let own = request_by(&payer, 2, THIRD_NPI, SharingPolicy::Regular).to_string();
    let second = third
        .post_match(&thirds, own, &[("Idempotency-Key", "second-key")])
        .await;
    second.assert_status(200);
    assert_eq!(second.header("idempotent-replayed"), "");
    assert_ne!(first.body, second.body);
    let again = client.post_match(&token, body, &key).await;
    assert_eq!(
        (again.header("idempotent-replayed"), &again.body),
        ("true", &first.body)
    );
}

#[tokio::test]
async fn t_d16_suspension_bites_within_a_second_on_a_live_connection() {
    let (payer, client, _, token, id) = matched(1).await;
    let (page, read) = (format!("Patient/{id}/$everything?_count=1"), format!("Patient/{id}"));
    let first = client.get(&token, &page).await.json();
    let link = first["link"][1]["url"].as_str().expect("a next page").to_owned();
    client.get(&token, &read).await.assert_status(200);
    let output = payer.command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
    let suspended = Instant::now();
    assert!(output.status.success());
    // The server looks once a second; a busy machine, later. What was asked for before may be answered after.
    loop {
        let asked = suspended.elapsed();
        if client.get(&token, &read).await.status != 200 {
            break;
        }
        assert!(asked < Duration::from_secs(10), "still served after {asked:?}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    tokio::time::sleep(Duration::from_millis(1200).saturating_sub(suspended.elapsed())).await;
    client.get(&token, &read).await.assert_outcome(Fault::PartnerSuspended);
    client
        .follow(&token, &link)
        .await
        .assert_outcome(Fault::PartnerSuspended);
    let body = payer.request(0, Variation::Exact).to_string();
    client
        .post_match(&token, body, &[])
        .await
        .assert_outcome(Fault::PartnerSuspended);
}

//! Signing in to the console: a link works once, by its form, within a minute; a session belongs to one browser and ends; a form counts only from
//! a page of that session.

use crate::support::browser::{FORM, OWN};
use crate::support::console::{Person, assert_refused, link};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::http::ops::console::{CONSOLE_ROUTES, ConsolePage};
use serde_json::json;
use std::time::Duration;

/// What a browser says of a request that a script or another site makes.
fn from(site: &'static str, mode: &'static str, dest: &'static str) -> [(&'static str, &'static str); 3] {
    [
        ("sec-fetch-site", site),
        ("sec-fetch-mode", mode),
        ("sec-fetch-dest", dest),
    ]
}

/// The log, once it names this request.
async fn logged(payer: &TestPayer, id: &str) -> String {
    for _ in 0..3_000 {
        let log = payer.log();
        if log.contains(id) {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} is not in the log");
}

#[tokio::test]
async fn a_link_signs_in_once_by_its_form_and_its_secret_is_nowhere() {
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[("CAUSEWAY_LOG__LEVEL", "debug")]);
    let secret = link(&payer, "operator", "ana");
    assert_eq!(secret.len(), 22, "128 bits");
    let mut person = Person::of(&payer);
    for _ in 0..2 {
        // A preview of a mail or a chat follows the link, and uses nothing up.
        let page = person.follow(&format!("/console/link/{secret}")).await;
        page.assert_status(200);
        assert!(
            page.text().contains("action=\"/console/session\" method=\"post\""),
            "{}",
            page.text()
        );
        assert!(person.cookie.is_none() && page.header("set-cookie").is_empty());
    }
    let by_get = person.follow(&format!("/console/session?secret={secret}")).await;
    assert_refused(&by_get, Fault::MethodRefused);
    assert_eq!(by_get.header("allow"), "POST");
    assert_eq!(payer.count("console_link"), 1);

    let begun = person.sign_in(&secret).await;
    begun.assert_status(303);
    assert_eq!(begun.header("location"), "/console");
    let set = begun.header("set-cookie");
    assert!(set.starts_with("causeway-console="), "{set}");
    assert!(
        set.ends_with("; Path=/console; HttpOnly; SameSite=Strict; Max-Age=28800"),
        "{set}"
    );
    let page = person.follow("/console").await;
    page.assert_status(200);
    assert!(
        page.text().contains("Signed in as <code>ana</code> (operator)"),
        "{}",
        page.text()
    );
    for (name, wanted) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), wanted, "{name}");
    }
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !page.text().contains("<script"),
        "{policy}"
    );

    let mut second = Person::of(&payer);
    let again = second.sign_in(&secret).await;
    assert_refused(&again, Fault::TokenInvalid);
    assert!(
        second.cookie.is_none() && again.text().contains("works once"),
        "{}",
        again.text()
    );
    assert_eq!((payer.count("console_link"), payer.count("console_session")), (0, 1));
    let handle = person.cookie.expect("a cookie").1;
    let log = logged(&payer, again.header("x-request-id")).await;
    assert!(log.contains("/console/link/{secret}"), "the log names routes: {log}");
    assert!(!log.contains(&secret) && !log.contains(&handle));
    let tokens = payer.json_command(&["operator", "list"]);
    assert_eq!(
        (&tokens[0]["name"], &tokens[0]["role"]),
        (&json!("ana"), &json!("operator"))
    );
    assert_eq!(
        payer.count("ledger_entry WHERE action = 'operator.token-issued'"),
        2,
        "the link and the session"
    );
}

#[tokio::test]
async fn nothing_is_shown_or_done_without_a_session() {
    let (payer, _) = TestPayer::start(1);
    let mut person = Person::of(&payer);
    for route in CONSOLE_ROUTES {
        let path = route.path.replace("{id}", "a").replace("{secret}", "a");
        let reply = match route.method {
            "GET" => person.follow(&path).await,
            _ => person.submit(&path, &[("reason", "x"), ("act", "cancel")]).await,
        };
        let wanted = match route.page {
            ConsolePage::Link => 200,
            // There is no identity provider.
            ConsolePage::ProviderBegin | ConsolePage::ProviderDone => 404,
            _ => 401,
        };
        assert_eq!(reply.status, wanted, "{} {path}: {}", route.method, reply.text());
        assert!(person.cookie.is_none(), "{} {path}", route.method);
    }
    assert_eq!(payer.count("ledger_entry WHERE action LIKE '%.viewed'"), 0);
}

#[tokio::test]
async fn a_link_that_is_late_or_never_was_begins_nothing() {
    let (payer, _) = TestPayer::start(1);
    let secret = link(&payer, "support", "ana");
    payer.execute("UPDATE console_link SET expires_ms = 1");
    let mut person = Person::of(&payer);
    let long = "x".repeat(5_000);
    for bad in [secret.as_str(), &secret, "", "AAAAAAAAAAAAAAAAAAAAAA", "%00", &long] {
        let refused = person.sign_in(bad).await;
        assert_refused(&refused, Fault::TokenInvalid);
        assert!(person.cookie.is_none() && !refused.text().contains(&secret));
    }
    let twice = person
        .submit("/console/session", &[("secret", "a"), ("secret", "b")])
        .await;
    assert_refused(&twice, Fault::TokenInvalid);
    assert_eq!((payer.count("console_session"), payer.count("operator_token")), (0, 0));
    let bad_name = payer.command(&["console", "link", "--role", "support", "--name", "a b", "--reason", "x"]);
    assert_eq!(bad_name.status.code(), Some(2));
    let no_reason = payer.command(&["console", "link", "--role", "support", "--name", "ana", "--reason", ""]);
    assert_eq!(no_reason.status.code(), Some(2));
    assert_eq!(payer.count("console_link"), 0);
}

#[tokio::test]
async fn a_session_ends_by_signing_out_by_time_and_with_its_operator() {
    let (payer, client) = TestPayer::start(1);
    let mut person = Person::signed_in(&payer, "operator", "ana").await;
    let kept = person.cookie.clone();
    let value = kept.clone().expect("a cookie").1;
    let bearer = client
        .http
        .get(format!("{}/ops/v1/alerts", payer.ops))
        .bearer_auth(&value);
    assert_eq!(
        bearer.send().await.expect("an answer").status(),
        401,
        "a cookie is no token"
    );
    let out = person.act("/console/session/end", &[]).await;
    out.assert_status(200);
    assert!(out.text().contains("Signed out") && person.cookie.is_none());
    person.cookie = kept;
    person.follow("/console").await.assert_status(401);
    person.submit("/console/session/end", &[]).await.assert_status(401);
    assert_eq!((payer.count("console_session"), payer.count("operator_token")), (0, 0));
    assert_eq!(payer.count("ledger_entry WHERE action = 'operator.token-revoked'"), 1);

    let mut idle = Person::signed_in(&payer, "operator", "ana").await;
    payer.execute("UPDATE console_session SET seen_ms = seen_ms - 800000");
    idle.follow("/console").await.assert_status(200);
    payer.execute("UPDATE console_session SET seen_ms = seen_ms - 901000");
    idle.follow("/console").await.assert_status(401);

    let mut old = Person::signed_in(&payer, "operator", "bo").await;
    old.follow("/console").await.assert_status(200);
    payer.execute("UPDATE operator_token SET expires_ms = 1");
    old.follow("/console").await.assert_status(401);

    let mut gone = Person::signed_in(&payer, "operator", "carl").await;
    let mut stays = Person::signed_in(&payer, "operator", "dora").await;
    let unused = link(&payer, "operator", "carl");
    let revoked = payer.json_command(&["operator", "revoke", "--name", "carl", "--reason", "left the team"]);
    assert_eq!(revoked["items"].as_array().map(Vec::len), Some(1), "{revoked}");
    assert_eq!(revoked["links"], 1, "{revoked}");
    gone.follow("/console").await.assert_status(401);
    assert_refused(&gone.sign_in(&unused).await, Fault::TokenInvalid);
    stays.follow("/console").await.assert_status(200);
    let nobody = payer.command(&["operator", "revoke", "--name", "carl"]);
    assert_eq!(nobody.status.code(), Some(1), "nothing of carl lets anybody in");
    // Somebody who has nothing but a link loses it, and that is an entry of its own.
    let revocations = "ledger_entry WHERE action = 'operator.token-revoked'";
    let before = payer.count(revocations);
    let only_link = link(&payer, "operator", "emil");
    let revoked = payer.json_command(&["operator", "revoke", "--name", "emil"]);
    assert_eq!((&revoked["items"], &revoked["links"]), (&json!([]), &json!(1)));
    assert_eq!(payer.count(revocations), before + 1, "the link that was taken back");
    assert_refused(&gone.sign_in(&only_link).await, Fault::TokenInvalid);
}

#[tokio::test]
async fn a_session_is_new_at_each_sign_in_and_of_one_browser() {
    let (payer, _) = TestPayer::start(1);
    let mut person = Person::of(&payer);
    let fixed = "A".repeat(43);
    person.cookie = Some(("causeway-console".to_owned(), fixed.clone()));
    person.sign_in(&link(&payer, "support", "ana")).await.assert_status(303);
    let first = person.cookie.clone().expect("a cookie");
    assert_ne!(first.1, fixed, "a handle that somebody else chose is never taken");
    let mut other = Person::of(&payer);
    other.cookie = Some(("causeway-console".to_owned(), fixed));
    other.follow("/console").await.assert_status(401);

    other.cookie = Some(first.clone());
    other.agent = "another browser".to_owned();
    other.follow("/console").await.assert_status(401);
    other.agent = person.agent.clone();
    other.follow("/console").await.assert_status(200);

    person.sign_in(&link(&payer, "support", "ana")).await.assert_status(303);
    other.follow("/console").await.assert_status(401);
    assert_eq!(payer.count("console_session"), 1, "the session before ended");
    let ended = "ledger_entry e JOIN operator_note n ON n.entry_id = e.id WHERE e.action = 'operator.token-revoked' AND n.operator = 'ana'";
    assert_eq!(payer.count(ended), 1, "the end of the session before is on record");
    // The name of the cookie over TLS does not count here, and a cookie that is there twice is none.
    let (name, value) = person.cookie.clone().expect("a cookie");
    person.cookie = Some(("__Host-causeway-console".to_owned(), value.clone()));
    person.follow("/console").await.assert_status(401);
    person.cookie = Some((name.clone(), format!("{value}; {name}={value}")));
    person.follow("/console").await.assert_status(401);
}

#[tokio::test]
async fn forms_count_only_from_a_page_of_the_same_session() {
    let (payer, _) = TestPayer::start(1);
    let mut person = Person::signed_in(&payer, "support", "ana").await;
    let mut other = Person::signed_in(&payer, "support", "bo").await;
    let (own, foreign) = (person.form_token().await, other.form_token().await);
    assert_ne!(own, foreign);
    let out = "/console/session/end";
    let forms: [&[(&str, &str)]; 4] = [
        &[],
        &[("_csrf", "")],
        &[("_csrf", foreign.as_str())],
        &[("_csrf", own.as_str()), ("_csrf", own.as_str())],
    ];
    for fields in forms {
        assert_refused(&person.submit(out, fields).await, Fault::FormForeign);
    }
    let body = format!("_csrf={own}");
    for site in ["cross-site", "same-site", "none"] {
        let headers = [&from(site, "navigate", "document")[..], &[FORM]].concat();
        assert_refused(
            &person.send("POST", out, &headers, body.clone()).await,
            Fault::FormForeign,
        );
    }
    let script = [&from("same-origin", "cors", "empty")[..], &[FORM]].concat();
    assert_refused(
        &person.send("POST", out, &script, body.clone()).await,
        Fault::FormForeign,
    );
    assert_refused(
        &person.send("POST", out, &[FORM], body.clone()).await,
        Fault::FormForeign,
    );
    let elsewhere = [&OWN[..], &[FORM, ("origin", "https://evil.example")]].concat();
    assert_refused(
        &person.send("POST", out, &elsewhere, body.clone()).await,
        Fault::FormForeign,
    );
    let json = [&OWN[..], &[("content-type", "application/json")]].concat();
    assert_refused(
        &person.send("POST", out, &json, "{}".to_owned()).await,
        Fault::MediaTypeRefused,
    );
    person.follow("/console").await.assert_status(200);
    // A link of another site cannot sign somebody in either.
    let secret = link(&payer, "support", "carl");
    let foreign = [&from("cross-site", "navigate", "document")[..], &[FORM]].concat();
    let signed = person
        .send("POST", "/console/session", &foreign, format!("secret={secret}"))
        .await;
    assert_refused(&signed, Fault::FormForeign);
    assert_eq!((payer.count("console_link"), payer.count("console_session")), (1, 2));
}

#[tokio::test]
async fn a_cookie_counts_only_where_a_person_chose_the_page_and_under_our_own_name() {
    let (payer, _) = TestPayer::start(1);
    let mut person = Person::signed_in(&payer, "support", "ana").await;
    for [site, mode, dest] in [
        ["cross-site", "navigate", "document"],
        ["same-site", "navigate", "document"],
        ["same-origin", "cors", "empty"],
        ["same-origin", "navigate", "iframe"],
        ["same-origin", "no-cors", "image"],
    ] {
        let headers = from(site, mode, dest);
        person
            .send("GET", "/console", &headers, String::new())
            .await
            .assert_status(401);
    }
    person
        .send("GET", "/console", &[], String::new())
        .await
        .assert_status(401);
    // A link from elsewhere, such as a chat, leads on to the same page with what it asked.
    let elsewhere = from("cross-site", "navigate", "document");
    let page = person
        .send(
            "GET",
            "/console/exchanges?phase=matched&x=\"<b>",
            &elsewhere,
            String::new(),
        )
        .await;
    page.assert_status(401);
    assert!(
        page.text().contains("href=\"/console/exchanges?phase=matched&amp;x=") && !page.text().contains("<b>"),
        "{}",
        page.text()
    );
    let typed = from("none", "navigate", "document");
    person
        .send("GET", "/console", &typed, String::new())
        .await
        .assert_status(200);
    let with_token = [&OWN[..], &[("authorization", "Bearer x")]].concat();
    person
        .send("GET", "/console", &with_token, String::new())
        .await
        .assert_status(401);
    for host in ["evil.example", "localhost.evil.example:9443", "10.0.0.1"] {
        let headers = [&OWN[..], &[("host", host)]].concat();
        assert_refused(
            &person.send("GET", "/console", &headers, String::new()).await,
            Fault::RouteUnknown,
        );
    }
    // Nor does a page of such a site, or a proxy that others reach, get the metrics.
    for (host, status) in [("evil.example", 401), ("localhost", 200)] {
        let metrics = person.send("GET", "/metrics", &[("host", host)], String::new()).await;
        assert_eq!(metrics.status, status, "{host}");
    }
    for path in ["/console/", "/console/nothing", "/console/exchanges/a/b"] {
        assert_refused(&person.follow(path).await, Fault::RouteUnknown);
    }
}

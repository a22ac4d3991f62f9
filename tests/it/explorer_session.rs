//! The explorer's session over the wire: what a person gets by it, and what nobody else does (threats A30 to A33).

use crate::support::browser::{ACCEPT, Browser, FORM, OWN, form, form_token};
use crate::support::client::{Client, Reply, http};
use crate::support::matched::Matched;
use crate::support::payer::{TestPayer, program};
use crate::support::store::Place;
use causeway::error::Fault;
use causeway::synth;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub fn token_of(payer: &Matched) -> &str {
    payer.bearer.strip_prefix("Bearer ").expect("a bearer token")
}

#[track_caller]
pub fn assert_page(reply: &Reply, status: u16) -> String {
    reply.assert_status(status);
    assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.text()
}

/// The start page with its counts, for which a busy server may not have had the time at first.
pub async fn counted(browser: &mut Browser<'_>) -> String {
    let began = Instant::now();
    loop {
        let start = assert_page(&browser.follow("/fhir").await, 200);
        if start.contains("Counted over") {
            return start;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{start}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_person_pastes_a_token_once_reads_and_ends_the_session() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    let path = format!("/fhir/Patient/{}", payer.id);
    let refused = assert_page(&browser.follow(&path).await, 401);
    assert!(
        refused.contains("Use a token in this browser") && refused.contains(&format!("name=\"to\" value=\"{path}\""))
    );
    let entered = assert_page(&browser.paste(token_of(&payer)).await, 200);
    assert!(
        entered.contains("new-payer") && !entered.contains(token_of(&payer)),
        "{entered}"
    );

    let record = assert_page(&browser.follow(&path).await, 200);
    for part in ["Demographics", "Coverage", "Timeline", "End session", "$TOKEN"] {
        assert!(record.contains(part), "{part}");
    }
    let start = assert_page(&browser.follow("/fhir").await, 200);
    assert!(
        start.contains("What you can read") && start.contains("href=\"/fhir/Patient\""),
        "{start}"
    );
    assert!(start.len() < 100_000, "{} bytes", start.len());
    let csrf = browser.session_form_token().await;
    let fields = [("_csrf", csrf.as_str()), ("_id", payer.id.as_str()), ("name", "")];
    let found = assert_page(&browser.submit("/fhir/Patient/_search", &fields).await, 200);
    assert!(found.contains("1 match."), "{found}");
    assert!(
        found.contains(&format!("value=\"{}\"", payer.id)),
        "the form keeps what was typed"
    );

    let ended = assert_page(
        &browser.submit("/fhir/explorer/end", &[("_csrf", csrf.as_str())]).await,
        200,
    );
    assert!(ended.contains("Session ended"));
    assert_page(&browser.follow(&path).await, 401);
    // The token is as good as before: the session was only one use of it.
    payer
        .get(&format!("/Patient/{}", payer.id), &[])
        .await
        .assert_status(200);
}

#[tokio::test]
async fn the_counts_of_the_start_page_are_those_of_searches() {
    let payer = Matched::start(2).await;
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let start = counted(&mut browser).await;
    let (mut filled, mut checked) = (0, 0);
    for rtype in [
        "Patient",
        "Coverage",
        "Observation",
        "Condition",
        "ExplanationOfBenefit",
        "Procedure",
    ] {
        let counted = payer.get(&format!("/{rtype}?_summary=count"), &[]).await.json();
        let total = counted["total"].as_u64().expect("a number");
        let row = format!("<th scope=\"row\">{rtype}</th><td>{total}</td>");
        assert_eq!(start.contains(&row), total > 0, "{rtype}: {total}");
        checked += 1;
        filled += u32::from(total > 0);
    }
    assert!(checked == 6 && filled >= 2, "{filled} of {checked}");
}

#[tokio::test]
async fn a_form_that_needs_a_token_keeps_what_was_typed() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    let typed = [("name", "O'Hara & <b>"), ("birthdate", "1970-01-01"), ("_count", "")];
    let refused = browser.submit("/fhir/Patient/_search", &typed).await;
    let page = assert_page(&refused, 401);
    for part in [
        "value=\"1970-01-01\"",
        "value=\"O'Hara &amp; &lt;b&gt;\"",
        "name=\"fields\" value=\"name=O%27Hara%20%26%20%3Cb%3E&amp;birthdate=1970-01-01\"",
        "--request POST",
        "--data 'birthdate=1970-01-01'",
        "$TOKEN",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let csrf = form_token(&refused);
    let carried = [
        ("_csrf", csrf.as_str()),
        ("to", "/fhir/Patient/_search"),
        ("posted", "yes"),
        ("fields", "birthdate=1970-01-01"),
        ("token", token_of(&payer)),
    ];
    let entered = assert_page(&browser.submit("/fhir/explorer/session", &carried).await, 200);
    assert!(
        entered.contains("Send the search again") && entered.contains("name=\"birthdate\" value=\"1970-01-01\""),
        "{entered}"
    );
    // A place that leads away is not gone on to.
    for away in [
        "//evil.example/x",
        "https://evil.example/",
        "/fhir/explorer/end",
        "javascript:alert(1)",
    ] {
        let mut other = Browser::new(&payer.client);
        let csrf = form_token(&other.follow("/fhir/explorer").await);
        let fields = [("_csrf", csrf.as_str()), ("to", away), ("token", token_of(&payer))];
        let entered = assert_page(&other.submit("/fhir/explorer/session", &fields).await, 200);
        let is_a_link = entered.contains(&format!("href=\"{away}"));
        assert!(!is_a_link && !entered.contains("What you asked for"), "{away}");
    }
}

#[tokio::test]
async fn t_a30_the_cookie_is_nothing_to_programs_scripts_and_other_origins() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let path = format!("/fhir/Patient/{}", payer.id);
    assert_page(&browser.follow(&path).await, 200);
    let json = ("accept", "application/fhir+json");
    let site = |site: &'static str| [("sec-fetch-site", site), OWN[1], OWN[2]];
    let mut tries: Vec<(String, Vec<(&str, &str)>)> = vec![
        (path.clone(), vec![]),
        (path.clone(), vec![ACCEPT]),
        (path.clone(), vec![json]),
        (path.clone(), [&OWN[..], &[json]].concat()),
        (path.clone(), [&OWN[..], &[("accept", "*/*")]].concat()),
        (format!("{path}?_format=json"), [&OWN[..], &[ACCEPT]].concat()),
        (
            format!("{path}?_format=html"),
            [&OWN[..], &[("accept", "*/*")]].concat(),
        ),
        (
            path.clone(),
            [&OWN[..], &[ACCEPT, ("origin", "https://evil.example")]].concat(),
        ),
        (
            path.clone(),
            [&OWN[..], &[ACCEPT, ("sec-fetch-site", "cross-site")]].concat(),
        ),
    ];
    for other in ["cross-site", "same-site", "none"] {
        tries.push((path.clone(), [&site(other)[..], &[ACCEPT]].concat()));
    }
    for (mode, dest) in [("cors", "empty"), ("navigate", "iframe"), ("no-cors", "image")] {
        tries.push((
            path.clone(),
            vec![OWN[0], ("sec-fetch-mode", mode), ("sec-fetch-dest", dest), ACCEPT],
        ));
    }
    for (path, headers) in &tries {
        let reply = browser.send("GET", path, headers, String::new()).await;
        assert_eq!(reply.status, 401, "{path} {headers:?}");
        assert!(!reply.header("access-control-allow-origin").contains('*'), "{path}");
    }
    // HEAD, other methods, batches and operations that write are no links and no forms.
    let everything = format!("{path}/$everything");
    for (method, path) in [
        ("HEAD", path.as_str()),
        ("POST", "/fhir"),
        ("POST", "/fhir/Patient/$member-match"),
        ("POST", everything.as_str()),
    ] {
        let reply = browser
            .send(method, path, &[&OWN[..], &[ACCEPT]].concat(), String::new())
            .await;
        assert_eq!(reply.status, 401, "{method} {path}");
    }
    // A header always comes first: a bad token is not made good by the cookie.
    let bad = [&OWN[..], &[ACCEPT, ("authorization", "Bearer nothing")]].concat();
    assert_eq!(browser.send("GET", &path, &bad, String::new()).await.status, 401);
    let introspected = browser
        .submit("/oauth/introspect", &[("token", token_of(&payer))])
        .await;
    assert_ne!(introspected.status, 200, "the endpoints of OAuth know no cookie");
    assert_page(&browser.follow(&path).await, 200);
}

#[tokio::test]
async fn t_a31_nobody_begins_or_ends_a_session_in_anothers_browser() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    let csrf = form_token(&browser.follow("/fhir/explorer").await);
    let fields = [("_csrf", csrf.as_str()), ("token", token_of(&payer))];
    // Another site's form, with the victim's cookies (login CSRF).
    for other in ["cross-site", "same-site", "none"] {
        let headers = [("sec-fetch-site", other), OWN[1], OWN[2], ACCEPT, FORM];
        let reply = browser
            .send("POST", "/fhir/explorer/session", &headers, form(&fields))
            .await;
        assert_eq!(reply.status, 403, "{other}");
    }
    // Our own origin, without the form token, with that of another browser, or with the token twice.
    let mut attacker = Browser::new(&payer.client);
    let theirs = form_token(&attacker.follow("/fhir/explorer").await);
    for csrf in [
        vec![],
        vec![("_csrf", theirs.as_str())],
        vec![("_csrf", csrf.as_str()), ("_csrf", csrf.as_str())],
    ] {
        let fields = [&csrf[..], &[("token", token_of(&payer))]].concat();
        let page = assert_page(&browser.submit("/fhir/explorer/session", &fields).await, 403);
        assert!(page.contains(Fault::FormForeign.code()));
    }
    assert!(!browser.cookies.contains_key("__Host-causeway-session"));

    // A handle that the attacker chose is never taken over, and a sign-in always gives a new one (fixation).
    let chosen = "A".repeat(43);
    browser.cookies.insert("__Host-causeway-session".into(), chosen.clone());
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let first = browser.cookies["__Host-causeway-session"].clone();
    assert_ne!(first, chosen);
    let old = browser.cookies.clone();
    let csrf = form_token(&attacker.follow("/fhir/explorer").await);
    browser.cookies.insert(
        "__Host-causeway-form".into(),
        attacker.cookies["__Host-causeway-form"].clone(),
    );
    let again = [("_csrf", csrf.as_str()), ("token", token_of(&payer))];
    assert_page(&browser.submit("/fhir/explorer/session", &again).await, 200);
    assert_ne!(browser.cookies["__Host-causeway-session"], first);
    let mut stale = Browser {
        client: &payer.client,
        cookies: old,
    };
    let path = format!("/fhir/Patient/{}", payer.id);
    assert_page(&stale.follow(&path).await, 401);

    // Nor does anybody end it, or search by it, without its form token.
    for at in ["/fhir/explorer/end", "/fhir/Patient/_search"] {
        for fields in [vec![], vec![("_csrf", csrf.as_str())], vec![("_csrf", "")]] {
            assert_page(&browser.submit(at, &fields).await, 403);
        }
        let right = browser.session_form_token().await;
        let headers = [("sec-fetch-site", "cross-site"), OWN[1], OWN[2], ACCEPT, FORM];
        let reply = browser.send("POST", at, &headers, form(&[("_csrf", &right)])).await;
        assert!([401, 403].contains(&reply.status), "{at}: {}", reply.status);
    }
    assert_page(&browser.follow(&path).await, 200);
}

#[tokio::test]
async fn t_a32_a_session_ends_with_its_token_and_needs_its_certificate() {
    let payer = Matched::start(1).await;
    let path = format!("/fhir/Patient/{}", payer.id);
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    // A stolen cookie in a browser without the certificate.
    let bare = Client {
        http: http(&payer.payer.pki.ca, None),
        id: "new-payer".into(),
        key: crate::support::assertion::ClientKey::new("k9"),
        origin: payer.client.origin.clone(),
    };
    let mut thief = Browser {
        client: &bare,
        cookies: browser.cookies.clone(),
    };
    let page = assert_page(&thief.follow(&path).await, 401);
    assert!(
        page.contains("bound to a client certificate"),
        "the page says what is missing"
    );
    let mut without = Browser::new(&bare);
    let page = assert_page(&without.paste(token_of(&payer)).await, 401);
    assert!(page.contains("bound to a client certificate"), "{page}");
    assert!(!without.cookies.contains_key("__Host-causeway-session"));

    assert_page(&browser.follow(&path).await, 200);
    payer
        .client
        .oauth("/oauth/revoke", &[("token", token_of(&payer))])
        .await
        .assert_status(200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_page(&browser.follow(&path).await, 401);
    let page = browser.follow("/fhir/explorer").await.text();
    assert!(page.contains("name=\"token\""), "the session is gone: {page}");
    // A token that is none begins no session.
    let mut other = Browser::new(&payer.client);
    let long = "x".repeat(10_000);
    for token in ["", "nothing", token_of(&payer), long.as_str()] {
        let page = assert_page(&other.paste(token).await, 401);
        assert!(token.len() < 8 || !page.contains(token), "a token is never shown");
        assert!(!other.cookies.contains_key("__Host-causeway-session"));
    }
    let log = payer.payer.log();
    assert!(
        !log.contains(token_of(&payer)) && !log.contains(&browser.cookie()),
        "neither token nor handle is logged"
    );
}

#[tokio::test]
async fn t_a33_pages_of_a_session_are_kept_by_no_cache() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    let before = browser.follow("/fhir/metadata").await;
    let tag = before.header("etag").to_owned();
    let vary: Vec<&str> = before
        .headers
        .get_all("vary")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    assert!(vary.iter().any(|value| value.contains("Cookie")), "{vary:?}");
    assert!(
        before.header("set-cookie").is_empty(),
        "a page that caches keep sets no cookie"
    );
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let headers = [&OWN[..], &[ACCEPT, ("if-none-match", tag.as_str())]].concat();
    for path in [
        "/",
        "/fhir",
        "/fhir/metadata",
        "/fhir/CodeSystem/causeway-fault",
        "/fhir/explorer",
        "/fhir/explorer/Patient",
    ] {
        let reply = browser.send("GET", path, &headers, String::new()).await;
        let page = assert_page(&reply, 200);
        assert!(
            page.contains("End session") && reply.header("etag").is_empty(),
            "{path}"
        );
    }
    // What others get of the same addresses knows nothing of it.
    let mut stranger = Browser::new(&payer.client);
    for path in ["/fhir/metadata", "/fhir/CodeSystem/causeway-fault"] {
        let page = stranger.follow(path).await.text();
        assert!(!page.contains("End session") && !page.contains("_csrf"), "{path}");
    }
}

#[tokio::test]
async fn t_a30_a_file_is_shown_as_text_and_never_sent_as_it_is_by_a_session() {
    let payer = Matched::start(1).await;
    let document = json!({"resourceType": "DocumentReference", "id": "doc-1", "status": "current",
        "subject": {"reference": format!("Patient/{}", payer.id)},
        "content": [{"attachment": {"contentType": "text/html", "url": "Binary/bin-1"}}]});
    // `<script>` as it would be in a file.
    let binary = json!({"resourceType": "Binary", "id": "bin-1", "contentType": "text/html", "data": "PHNjcmlwdD4="});
    std::fs::write(
        payer.payer.home().join("file.ndjson"),
        format!("{document}\n{binary}\n"),
    )
    .expect("a file");
    assert_eq!(payer.payer.json_command(&["import", "file.ndjson"])["rejected"], 0);
    let mut browser = Browser::new(&payer.client);
    assert_page(&browser.paste(token_of(&payer)).await, 200);
    let reply = browser.follow("/fhir/Binary/bin-1").await;
    let page = assert_page(&reply, 200);
    assert!(page.contains("PHNjcmlwdD4=") && !page.contains("<script"), "{page}");
    assert_eq!(reply.header("content-disposition"), "");
}

/// A file below `folder`.
fn found_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.iter().find_map(|path| match path.is_dir() {
        true => found_below(path, name),
        false => path.ends_with(name).then(|| path.clone()),
    })
}

#[tokio::test]
async fn t_a34_only_a_development_server_lets_a_browser_act_as_its_partner() {
    let payer = Matched::start(1).await;
    let mut browser = Browser::new(&payer.client);
    let page = browser.follow("/fhir/explorer").await;
    assert!(!page.text().contains("Act as"));
    let csrf = form_token(&page);
    assert_page(&browser.submit("/fhir/explorer/act", &[("_csrf", &csrf)]).await, 404);

    let mut dev = TestPayer::bare(Place::fresh(), synth::SynthOptions::default());
    let mut command = program(dev.home());
    command.args(["serve", "--dev", "--quiet"]);
    dev.spawn(command);
    let ca = found_below(dev.home(), "dev/ca.pem").expect("the development authority");
    let client = Client {
        http: http(&std::fs::read_to_string(ca).expect("a certificate"), None),
        id: "new-payer".into(),
        key: crate::support::assertion::ClientKey::new("k9"),
        origin: dev.origin.clone(),
    };
    let mut browser = Browser::new(&client);
    let page = browser.follow("/fhir/explorer").await;
    assert!(page.text().contains("Act as new-payer"));
    let csrf = form_token(&page);
    for fields in [vec![], vec![("_csrf", "x")]] {
        assert_page(&browser.submit("/fhir/explorer/act", &fields).await, 403);
    }
    // A page of another name that leads to this machine has neither the button nor the address (DNS rebinding).
    let rebound = [&OWN[..], &[ACCEPT, ("host", "evil.example:8443")]].concat();
    let page = browser.send("GET", "/fhir/explorer", &rebound, String::new()).await;
    assert!(page.status == 200 && !page.text().contains("Act as"), "{}", page.text());
    let rebound = [&rebound[..], &[FORM]].concat();
    let acting = browser
        .send("POST", "/fhir/explorer/act", &rebound, form(&[("_csrf", &csrf)]))
        .await;
    assert_eq!(acting.status, 404);
    let headers = [("sec-fetch-site", "cross-site"), OWN[1], OWN[2], ACCEPT, FORM];
    let foreign = browser
        .send("POST", "/fhir/explorer/act", &headers, form(&[("_csrf", &csrf)]))
        .await;
    assert_eq!(foreign.status, 403);
    let acting = assert_page(&browser.submit("/fhir/explorer/act", &[("_csrf", &csrf)]).await, 200);
    assert!(acting.contains("new-payer"));
    // It reads without a certificate of its own: the session has the development partner's.
    assert_page(&browser.follow("/fhir/Patient").await, 200);
}

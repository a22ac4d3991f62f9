//! B09: nothing that a caller writes into a search gets anywhere but into a comparison.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::synth::Variation;
use serde_json::Value;

/// What breaks a statement, a pattern, a path or a log line that is put together from texts.
const HOSTILE: &[&str] = &[
    "' OR '1'='1",
    "'; DROP TABLE resource; --",
    "\" OR \"\"=\"",
    "1) UNION SELECT body FROM resource --",
    "%",
    "%25",
    "_",
    "*",
    "?",
    "$.id",
    "[0]",
    "{}",
    "\\",
    "\\\\'",
    "\u{0}",
    "\r\nx-injected: 1",
    "\u{1b}[31m",
    "\u{202e}",
    "𝒳\u{301}",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "-1",
    "9223372036854775808",
    "1e400",
    "NaN",
    "ge2020",
    "|",
    "||",
    "a|b|c",
    ",",
    ",,",
    "\\,",
];

async fn granted() -> (TestPayer, Client, String, String) {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    (payer, client, token, id)
}

async fn search(client: &Client, token: &str, rtype: &str, pairs: &[(&str, &str)], strict: bool) -> Reply {
    let base = format!("{}/fhir/{rtype}", client.origin);
    let url = reqwest::Url::parse_with_params(&base, pairs).expect("a URL");
    let mut request = client.http.get(url).bearer_auth(token);
    if strict {
        request = request.header("prefer", "handling=strict");
    }
    Reply::of(request.send().await.expect("an answer")).await
}

fn modes(reply: &Reply, mode: &str) -> Vec<Value> {
    let bundle = reply.json();
    let entries = bundle["entry"].as_array().into_iter().flatten();
    entries.filter(|one| one["search"]["mode"] == mode).cloned().collect()
}

#[tokio::test]
async fn t_b09_a_hostile_value_is_a_value_and_finds_nothing() {
    let (payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    for text in HOSTILE {
        for (rtype, name) in [
            ("Patient", "_id"),
            ("Patient", "identifier"),
            ("Patient", "name"),
            ("Patient", "name:exact"),
            ("Patient", "name:contains"),
            ("Patient", "birthdate"),
            ("Patient", "gender"),
            ("Observation", "patient"),
            ("Observation", "code"),
            ("Observation", "date"),
            ("Observation", "_profile"),
            ("Observation", "_lastUpdated"),
            ("Observation", "encounter"),
            ("Organization", "address"),
        ] {
            let reply = search(&client, &token, rtype, &[(name, text), ("_total", "accurate")], false).await;
            assert!(
                matches!(reply.status, 200 | 400),
                "{rtype}?{name}={text}: {}",
                reply.text()
            );
            // A prefix and a year is a date; a blank address or mark alone folds to what many texts start with or not at all.
            if reply.status == 200 && *text != "ge2020" {
                let found = modes(&reply, "match");
                assert!(found.is_empty(), "{rtype}?{name}={text} finds {}", found[0]);
            }
        }
        for name in [
            "_count",
            "_sort",
            "_include",
            "_revinclude",
            "_elements",
            "_summary",
            "_total",
            "_page",
            "_format",
            "_type",
        ] {
            let reply = search(
                &client,
                &token,
                "Observation",
                &[("patient", &patient), (name, text)],
                false,
            )
            .await;
            assert!(
                matches!(reply.status, 200 | 400 | 406),
                "{name}={text}: {} {}",
                reply.status,
                reply.text()
            );
        }
        let reply = search(
            &client,
            &token,
            "Observation",
            &[(text, "1"), ("patient", &patient)],
            false,
        )
        .await;
        assert!(matches!(reply.status, 200 | 400), "{text}=1: {}", reply.text());
    }
    assert!(payer.count("resource") > 0);
    let log = payer.log();
    assert!(
        !log.contains("panic") && !log.contains("syntax error") && !log.contains("x-injected"),
        "{log}"
    );
    assert!(!log.contains("DROP TABLE"), "a value of the caller's is in the log");
    search(&client, &token, "Patient", &[("_id", &id)], false)
        .await
        .assert_status(200);
}

#[tokio::test]
async fn t_b09_what_is_not_on_the_list_is_refused_or_told() {
    let (_payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    let known = search(&client, &token, "Observation", &[("patient", &patient)], true).await;
    known.assert_status(200);
    for name in [
        "focus",
        "value-quantity",
        "_lastupdated",
        "PATIENT",
        "id",
        "subject'--",
        "code-value-concept",
        "body",
    ] {
        let pairs = [("patient", patient.as_str()), (name, "1")];
        search(&client, &token, "Observation", &pairs, true)
            .await
            .assert_outcome(Fault::ParameterUnknown);
        let lenient = search(&client, &token, "Observation", &pairs, false).await;
        lenient.assert_status(200);
        let outcomes = modes(&lenient, "outcome");
        assert_eq!(outcomes.len(), 1, "{name}: {}", lenient.text());
        assert_eq!(outcomes[0]["resource"]["issue"][0]["severity"], "warning");
        assert_eq!(modes(&lenient, "match"), modes(&known, "match"), "{name}");
    }
    // A modifier, chain or query language that is not understood is never passed over.
    for name in [
        "patient.name",
        "subject:Patient.name",
        "_has:Provenance:target:agent",
        "code:in",
        "code:text",
        "code:above",
        "date:exact",
        "_filter",
        "_query",
        "_list",
        "_text",
        "_content",
        "patient:identifier",
        "_include:iterate",
        "_id:contains",
    ] {
        let reply = search(
            &client,
            &token,
            "Observation",
            &[("patient", &patient), (name, "x")],
            false,
        )
        .await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
    }
}

#[tokio::test]
async fn t_b09_numbers_of_things_are_bounded() {
    let (_payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    let named = [("patient", patient.as_str())];
    let many = |count: usize| vec![("status", "final"); count];
    search(&client, &token, "Observation", &[&named[..], &many(49)].concat(), false)
        .await
        .assert_status(200);
    for count in [50, 1_000] {
        let reply = search(
            &client,
            &token,
            "Observation",
            &[&named[..], &many(count)].concat(),
            false,
        )
        .await;
        assert!(matches!(reply.status, 400 | 414 | 431), "{count}: {}", reply.status);
    }
    let values = |count: usize| vec!["final"; count].join(",");
    search(
        &client,
        &token,
        "Observation",
        &[named[0], ("status", &values(50))],
        false,
    )
    .await
    .assert_status(200);
    let reply = search(
        &client,
        &token,
        "Observation",
        &[named[0], ("status", &values(51))],
        false,
    )
    .await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    for count in ["999999999", "201"] {
        let reply = search(&client, &token, "Observation", &[named[0], ("_count", count)], false).await;
        reply.assert_status(200);
        assert!(modes(&reply, "match").len() <= 200);
    }
    for count in ["-1", "x", "1.5", "", "99999999999999999999"] {
        let reply = search(&client, &token, "Observation", &[named[0], ("_count", count)], false).await;
        assert_eq!(reply.status, 400, "_count={count}: {}", reply.text());
    }
    for (name, value) in [
        ("patient", ""),
        ("status", ""),
        ("date", ""),
        ("date", "yesterday"),
        ("date", "2020-13"),
        ("status:missing", "maybe"),
    ] {
        let reply = search(&client, &token, "Observation", &[(name, value)], false).await;
        assert_eq!(reply.status, 400, "{name}={value}: {}", reply.text());
    }
}

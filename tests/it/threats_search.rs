//! B09: nothing that a caller writes into a search gets anywhere but into a comparison.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::fhir::search::bounds;
use causeway::release::SORTED_MAX;
use causeway::store::search::COUNTED_MAX;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use serde_json::Value;
use std::time::Instant;

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
    let (mut payer, client) = TestPayer::prepare(3);
    // A search over as much as it may look at is not to be given up on a busy machine.
    payer.serve_with(&[("CAUSEWAY_LIMITS__HANDLER_SECONDS", "300")]);
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
    let (payer, client, mut token, id) = granted().await;
    let mut made = Instant::now();
    let patient = format!("Patient/{id}");
    for text in HOSTILE {
        client.renew(&mut token, &mut made).await;
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

#[tokio::test]
async fn t_b07_b09_the_values_of_all_filters_together_are_bounded_more_so_across_members() {
    let (_payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    let named = ("patient", patient.as_str());
    let values = |count: usize| vec!["final"; count].join(",");
    let (fifty, last) = (values(50), values(bounds::COMPARED_MAX - 151));
    let (fifty, last) = (("status", fifty.as_str()), ("status", last.as_str()));
    let full = [named, fifty, fifty, fifty];
    for (pairs, is_served) in [
        ([&full[..], &[last]].concat(), true),
        ([&full[..], &[last, ("status", "final")]].concat(), false),
        (vec![("status", "final"); bounds::COMPARED_ACROSS_MAX], true),
        (vec![("status", "final"); bounds::COMPARED_ACROSS_MAX + 1], false),
        (vec![fifty], false),
    ] {
        let reply = search(&client, &token, "Observation", &pairs, false).await;
        if is_served {
            reply.assert_status(200);
            assert!(!modes(&reply, "match").is_empty(), "{}", reply.text());
        } else {
            reply.assert_outcome(Fault::SearchTooCostly);
        }
    }
    // Ids are looked up at once.
    let ids = vec![id.as_str(); 50].join(",");
    search(&client, &token, "Patient", &[("_id", &ids)], false)
        .await
        .assert_status(200);
}

/// How many copies one statement makes: between two, the server's own work has its turn at the store.
const PIECE: usize = 10_000;

/// Copies a resource under other ids and keys of its compartment, from `first` on, so that the store has `many` more.
fn copied(payer: &TestPayer, id: &str, first: usize, many: usize) {
    let same = "compartment, type, version, last_updated_ms, service_from_ms, service_to_ms, sensitivity, pa_state, pa_changed_ms, \
                financial, source_sha256, sha256, body, released";
    for from in (first..first + many).step_by(PIECE) {
        let last = (from + PIECE).min(first + many) - 1;
        let numbers = if on_postgres() {
            format!("SELECT n FROM generate_series({from}, {last}) AS n")
        } else {
            format!(
                "WITH RECURSIVE s(n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s"
            )
        };
        let rows = diesel::sql_query(format!(
            "INSERT INTO resource (key, id, {same}) SELECT key + 100000 + n, id || '-' || n, {same} FROM resource, ({numbers}) AS numbers \
             WHERE type = 'Observation' AND id = '{id}'"
        ))
        .execute(&mut payer.db())
        .expect("copies");
        assert_eq!(rows, last - from + 1);
    }
}

#[tokio::test]
async fn t_b07_a_search_is_sorted_up_to_a_number_of_matches() {
    let (payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    let named = ("patient", patient.as_str());
    let all = search(&client, &token, "Observation", &[named, ("_total", "accurate")], false).await;
    let held = usize::try_from(all.json()["total"].as_u64().expect("a total")).expect("few");
    let one = modes(&all, "match")[0]["resource"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    copied(&payer, &one, 1, SORTED_MAX - held);
    let sorted = [("_sort", "-date,_id"), ("_count", "5")];
    for more in [&[named][..], &[]] {
        let reply = search(&client, &token, "Observation", &[more, &sorted].concat(), false).await;
        reply.assert_status(200);
        assert_eq!(modes(&reply, "match").len(), 5);
    }
    copied(&payer, &one, SORTED_MAX, 1);
    for more in [&[named][..], &[]] {
        search(&client, &token, "Observation", &[more, &sorted].concat(), false)
            .await
            .assert_outcome(Fault::SortTooCostly);
        let unsorted = search(
            &client,
            &token,
            "Observation",
            &[more, &[("_count", "5")]].concat(),
            false,
        )
        .await;
        assert_eq!(modes(&unsorted, "match").len(), 5, "{}", unsorted.text());
    }
    let narrow = search(
        &client,
        &token,
        "Observation",
        &[named, ("_id", &one), sorted[0]],
        false,
    )
    .await;
    assert_eq!(modes(&narrow, "match").len(), 1, "{}", narrow.text());
}

#[tokio::test]
async fn t_b07_b09_a_total_of_all_members_is_counted_up_to_a_number() {
    let (payer, client, token, id) = granted().await;
    let patient = format!("Patient/{id}");
    let named = ("patient", patient.as_str());
    let (counted, whole) = (("_total", "accurate"), ("_summary", "count"));
    let few = search(&client, &token, "Observation", &[counted, ("_count", "1")], false).await;
    assert!(
        few.json()["total"].as_u64().is_some_and(|total| total > 0),
        "{}",
        few.text()
    );
    let one = modes(&few, "match")[0]["resource"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    copied(&payer, &one, 1, COUNTED_MAX);
    for pair in [counted, whole, ("_total", "estimate")] {
        let refused = search(&client, &token, "Observation", &[pair, ("_count", "1")], false).await;
        refused.assert_outcome(Fault::SearchTooCostly);
        let text = refused.text();
        assert!(text.contains("leave _total") && text.contains("100000"), "{text}");
    }
    // Without a total, and of one member, it is answered.
    let page = search(&client, &token, "Observation", &[("_count", "1")], false).await;
    assert_eq!(modes(&page, "match").len(), 1, "{}", page.text());
    let all = search(&client, &token, "Observation", &[named, whole], false).await;
    let total = all.json()["total"].as_u64();
    assert!(total.is_some_and(|total| total > COUNTED_MAX as u64), "{}", all.text());
}

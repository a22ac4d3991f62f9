//! Threats to the log: hostile headers (B12, B13), and persons in it, in metrics or in errors (F09), whatever a request is.

use crate::support::client::{ALL_SCOPES, Client, MATCH_SCOPE, Reply};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use crate::support::wire::Wire;
use causeway::synth::Variation;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FAMILY: &str = "Zzyzxcanary";
const NUMBER: &str = "CNRY-7731-0042";
const BIRTH: &str = "1931-07-19";
const STREET: &str = "77 Quagmire Passage";
const CANARIES: [&str; 4] = [FAMILY, NUMBER, BIRTH, STREET];

/// A request about the canary; the payer knows her when `known`.
fn request(payer: &TestPayer) -> Value {
    let mut request = payer.request(0, Variation::Exact);
    for parameter in request["parameter"].as_array_mut().expect("parameters") {
        let resource = &mut parameter["resource"];
        match resource["resourceType"].as_str() {
            Some("Patient") => {
                resource["name"] = json!([{"use": "official", "family": FAMILY, "given": ["Ottoline"]}]);
                resource["birthDate"] = json!(BIRTH);
                resource["address"][0]["line"] = json!([STREET]);
            }
            Some("Coverage") => {
                resource["identifier"][0]["value"] = json!(NUMBER);
                resource["subscriberId"] = json!(NUMBER);
            }
            _ => {}
        }
    }
    request
}

fn enrolled(payer: &TestPayer) -> String {
    let payer_system = "http://old-payer.example/identifiers/member";
    let request = request(payer);
    let resource = |name: &str| {
        let all = request["parameter"].as_array().expect("parameters");
        let found = all.iter().find(|one| one["name"] == name);
        found.expect("a parameter")["resource"].clone()
    };
    let (mut patient, mut coverage) = (resource("MemberPatient"), resource("CoverageToMatch"));
    patient["id"] = json!("canary");
    patient["identifier"] = json!([{"system": payer_system, "value": NUMBER,
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}]);
    coverage["id"] = json!("canary-cover");
    coverage["beneficiary"]["reference"] = json!("Patient/canary");
    format!("{patient}\n{coverage}\n")
}

fn broken(good: &Value) -> Vec<(&'static str, String)> {
    let text = good.to_string();
    let mut bodies = vec![
        ("cut off", text[..text.len() - 3].to_owned()),
        ("trailing", format!("{text} {FAMILY}")),
        ("no json", format!("{FAMILY} {NUMBER} {BIRTH}")),
        ("key twice", format!("{{\"{FAMILY}\":1,\"{FAMILY}\":2}}")),
        ("a string", format!("\"{NUMBER}\"")),
        (
            "number",
            format!("{{\"resourceType\":\"Parameters\",\"x\":1e{NUMBER}}}"),
        ),
    ];
    let mut change = |name, edit: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        edit(&mut changed);
        bodies.push((name, changed.to_string()));
    };
    change("type", &|body| body["resourceType"] = json!(FAMILY));
    change("unknown parameter", &|body| {
        body["parameter"][0]["name"] = json!(FAMILY)
    });
    change("unknown element", &|body| {
        body["parameter"][0]["resource"][FAMILY] = json!(NUMBER)
    });
    change("gender", &|body| {
        body["parameter"][0]["resource"]["gender"] = json!(FAMILY)
    });
    change("birth date", &|body| {
        body["parameter"][0]["resource"]["birthDate"] = json!(format!("{BIRTH}T{NUMBER}"));
    });
    change("id", &|body| {
        body["parameter"][0]["resource"]["id"] = json!(format!("{FAMILY} {NUMBER}"))
    });
    change("beneficiary", &|body| {
        body["parameter"][1]["resource"]["beneficiary"]["reference"] = json!(format!("Patient/{NUMBER}"));
    });
    change("resource type", &|body| {
        body["parameter"][1]["resource"]["resourceType"] = json!(FAMILY)
    });
    change("consent period", &|body| {
        body["parameter"][3]["resource"]["provision"]["period"]["end"] = json!(FAMILY);
    });
    change("consent policy", &|body| {
        body["parameter"][3]["resource"]["policy"][0]["uri"] = json!(FAMILY)
    });
    change("empty array", &|body| {
        body["parameter"][0]["resource"][FAMILY] = json!([])
    });
    change("null", &|body| {
        body["parameter"][0]["resource"]["name"][0]["family"] = Value::Null
    });
    bodies
}

async fn matches(payer: &TestPayer, client: &Client, token: &str, replies: &mut Vec<(String, Reply)>) {
    let good = request(payer);
    let mut wrong_date = good.clone();
    wrong_date["parameter"][0]["resource"]["birthDate"] = json!("1958-11-02");
    let mut consent = good.clone();
    consent["parameter"][3]["resource"]["provision"]["type"] = json!("deny");
    let mut bodies = broken(&good);
    bodies.push(("matched", good.to_string()));
    bodies.push(("wrong date", wrong_date.to_string()));
    bodies.push(("consent denied", consent.to_string()));
    for (name, body) in bodies {
        let reply = client.post_match(token, body, &[]).await;
        assert_eq!(reply.status == 200, name == "matched", "{name}: {}", reply.text());
        assert!(reply.status < 500, "{name}: {}", reply.text());
        replies.push((name.to_owned(), reply));
    }
    for header in ["Idempotency-Key", "Prefer", "Content-Type", "traceparent", "User-Agent"] {
        let value = format!("{FAMILY} {NUMBER}");
        let reply = client.post_match(token, good.to_string(), &[(header, &value)]).await;
        replies.push((header.to_owned(), reply));
    }
}

async fn queries(client: &Client, token: &str, replies: &mut Vec<(String, Reply)>) {
    for path in [
        format!("Patient?identifier={NUMBER}"),
        format!("Patient?identifier=http://x|{NUMBER}&identifier={NUMBER}"),
        format!("Patient?family={FAMILY}&birthdate={BIRTH}"),
        format!("Patient?{FAMILY}={NUMBER}"),
        format!("Patient/{NUMBER}"),
        format!("Patient/{NUMBER}/$everything"),
        format!("Patient/canary/$everything?_since={BIRTH}{FAMILY}"),
        format!("Patient/canary/$everything?_type={FAMILY}-{NUMBER}"),
        format!("Patient/canary/$everything?_count={NUMBER}"),
        format!("Patient/canary/$everything?_page={NUMBER}"),
        format!("Patient/canary/$everything?start={FAMILY}"),
        format!("Patient/canary?_format={FAMILY}"),
        format!("{FAMILY}/{NUMBER}?birthdate={BIRTH}"),
    ] {
        replies.push((path.clone(), client.get(token, &path).await));
    }
    let bearer = format!("Bearer {token}");
    let strict = [("authorization", bearer.as_str()), ("prefer", "handling=strict")];
    for path in [
        format!("/fhir/Patient?_id=x&{FAMILY}={NUMBER}"),
        format!("/fhir/Patient/canary/$everything?{FAMILY}={NUMBER}"),
    ] {
        replies.push((path.clone(), client.send("GET", &path, &strict, "").await));
    }
    let fhir = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
    ];
    for body in [
        json!({"resourceType": "Parameters", "parameter": [{"name": "_since", "valueInstant": FAMILY}]}),
        json!({"resourceType": "Parameters", "parameter": [{"name": FAMILY, "valueObject": {"a": NUMBER}}]}),
        json!({"resourceType": FAMILY}),
    ] {
        let reply = client.send("POST", "/fhir/Patient/canary/$everything", &fhir, body.to_string());
        replies.push((body.to_string(), reply.await));
    }
    for fields in [
        [("identifier", NUMBER), ("birthdate", BIRTH)],
        [("identifier", NUMBER), ("identifier", FAMILY)],
    ] {
        let reply = client.form("/fhir/Patient/_search", &fields, Some(token)).await;
        replies.push(("search by form".to_owned(), reply));
    }
    for (path, field) in [
        ("/oauth/token", "patient"),
        ("/oauth/token", "resource"),
        ("/oauth/introspect", "token"),
        ("/oauth/revoke", "token"),
    ] {
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", "system/*.rs"),
            (field, NUMBER),
        ];
        replies.push((format!("{path} {field}"), client.oauth(path, &fields).await));
    }
    let fields = [("grant_type", "client_credentials"), ("scope", FAMILY)];
    replies.push(("scope".to_owned(), client.oauth("/oauth/token", &fields).await));
    let fields = [("grant_type", FAMILY), ("client_assertion", NUMBER), (NUMBER, BIRTH)];
    replies.push(("fields".to_owned(), client.form("/oauth/token", &fields, None).await));
}

#[tokio::test]
async fn t_f09_nothing_of_a_person_is_in_log_metrics_or_errors() {
    let (mut payer, client) = TestPayer::prepare(2);
    std::fs::write(payer.home().join("canary.ndjson"), enrolled(&payer)).expect("a file");
    let said = payer.json_command(&["import", "canary.ndjson"]);
    assert_eq!(
        (said["stored"].as_u64(), said["rejected"].as_u64()),
        (Some(2), Some(0)),
        "{said}"
    );
    log_everything(&payer);
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    let mut replies = Vec::new();
    matches(&payer, &client, &token, &mut replies).await;
    queries(&client, &token, &mut replies).await;
    let everything = client.get(&token, "Patient/canary/$everything").await;
    everything.assert_status(200);
    assert!(
        CANARIES.iter().all(|canary| everything.text().contains(canary)),
        "the canary is no canary"
    );

    for (name, reply) in &replies {
        assert!(reply.status < 500, "{name}: {}", reply.text());
        let all = format!("{:?} {}", reply.headers, reply.text());
        for canary in CANARIES {
            assert!(
                reply.status == 200 && reply.text().contains("\"Patient\"") || !all.contains(canary),
                "{name}: {canary} in {all}"
            );
        }
    }
    // A refused import names places, never values; the reject file is the operator's.
    let bad = enrolled(&payer).replace("\"gender\":\"", &format!("\"gender\":\"{FAMILY}"));
    std::fs::write(payer.home().join("bad.ndjson"), bad).expect("a file");
    let refused = payer.command(&["import", "bad.ndjson", "--json"]);
    let metrics = client
        .http
        .get(format!("{}/metrics", payer.ops))
        .send()
        .await
        .expect("an answer");
    let metrics = metrics.text().await.expect("a text");
    assert_eq!(payer.terminate(), Some(0));
    let log = payer.log();
    assert!(log.lines().count() > replies.len(), "the log is not full");
    let told = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    for (name, text) in [("log", &log), ("metrics", &metrics), ("import", &told)] {
        for canary in CANARIES.iter().chain([&token.as_str()]) {
            let line = text.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{name} shows {canary}");
        }
    }
}

#[tokio::test]
async fn t_b12_b13_hostile_headers_are_replaced_and_one_event_is_one_line() {
    let (mut payer, client) = TestPayer::prepare(1);
    log_everything(&payer);
    payer.serve();
    let pair = payer.pki.client(PARTNER_URI, Kind::Good);
    let wire = Wire::new(&payer, Some(&pair));
    let (long, huge) = ("x".repeat(129), "y".repeat(6000));
    for value in [
        "a b",
        "\x1b[31mred",
        "\"}{\"level\":\"ERROR\"",
        "a\tb",
        "é",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "<script>",
        &long,
        &huge,
    ] {
        for name in [
            "x-correlation-id",
            "x-request-id",
            "traceparent",
            "baggage",
            "tracestate",
            "user-agent",
        ] {
            let Some(reply) = wire.exchange(
                format!(
                    "GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\nconnection: close\r\n\r\n"
                )
                .as_bytes(),
            ) else {
                continue;
            };
            if reply.status == 400 {
                continue;
            }
            reply.assert_status(200);
            let shown = format!("{:?}", reply.headers);
            let tail: String = value.chars().take(20).collect();
            assert!(!shown.contains(&tail), "{name}: {shown}");
            assert_eq!(
                reply.header("x-correlation-id"),
                reply.header("x-request-id"),
                "{name}: {value}"
            );
            assert_eq!(reply.header("baggage"), "");
        }
    }
    for injected in [
        "GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\nx-correlation-id: a\nset-cookie: b\r\nconnection: close\r\n\r\n",
        "GET /fhir/metadata HTTP/1.1\r\nhost: localhost\r\nx-correlation-id: a\r\n folded\r\nconnection: close\r\n\r\n",
        "GET /%0d%0aset-cookie:b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        if let Some(reply) = wire.exchange(injected.as_bytes()) {
            assert!(reply.headers.get("set-cookie").is_none(), "{:?}", reply.headers);
            assert!(reply.status < 500, "{injected}");
        }
    }
    client.token(MATCH_SCOPE).await;
    let began = Instant::now();
    let mut log = payer.log();
    while log.lines().count() <= 50 && began.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        log = payer.log();
    }
    // The last line may be on its way.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let lines = whole.lines().count();
    assert!(lines > 50, "{lines} lines");
    for line in whole.lines() {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

/// Has the server write all it can into its log.
fn log_everything(payer: &TestPayer) {
    let path = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(path, text.replace("level = \"warn\"", "level = \"debug\"")).expect("a file");
}

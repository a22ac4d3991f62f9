//! `Task`: a partner follows the exchanges that it began, and nobody else's.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::desk::{Desk, doubtful};
use crate::support::payer::TestPayer;
use causeway::error::Fault;
use causeway::ids::before_all_of;
use causeway::synth::Variation;
use diesel::RunQueryDsl as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn tasks(client: &Client, token: &str, query: &str) -> Vec<Value> {
    let reply = client.get(token, &format!("Task{query}")).await;
    reply.assert_status(200);
    let bundle = reply.json();
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let tasks = entries.into_iter().filter(|entry| entry["search"]["mode"] == "match");
    tasks.map(|mut entry| entry["resource"].take()).collect()
}

/// A token for this member alone.
async fn narrowed(client: &Client, patient: &str) -> String {
    let fields = [
        ("grant_type", "client_credentials"),
        ("scope", "system/*.rs"),
        ("patient", patient),
    ];
    let reply = client.oauth("/oauth/token", &fields).await;
    reply.assert_status(200);
    reply.json()["access_token"].as_str().expect("a token").to_owned()
}

fn id(task: &Value) -> &str {
    task["id"].as_str().expect("an id")
}

#[tokio::test]
async fn a_partner_follows_its_own_exchanges() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    assert!(tasks(&client, &token, "").await.is_empty());
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let found = tasks(&client, &token, "").await;
    assert_eq!(found.len(), 1);
    let task = &found[0];
    assert_eq!(
        (&task["status"], &task["for"]["reference"]),
        (&json!("accepted"), &json!(format!("Patient/{patient}")))
    );
    assert_eq!(task["requester"]["identifier"]["value"], "1992000020");
    causeway_fhir_types::check(task.to_string().as_bytes()).expect("a typed Task");
    let read = client.get(&token, &format!("Task/{}", id(task))).await;
    read.assert_status(200);
    assert_eq!(read.json(), *task);

    client
        .get(&token, &format!("Patient/{patient}/$everything"))
        .await
        .assert_status(200);
    client.matched(&token, &payer.request(2, Variation::Exact)).await;
    let found = tasks(&client, &token, "").await;
    let statuses: Vec<&str> = found.iter().filter_map(|one| one["status"].as_str()).collect();
    assert_eq!(statuses, ["accepted", "in-progress"], "the newest first");
    for (query, wanted) in [
        ("?status=in-progress".to_owned(), 1),
        ("?status=accepted,in-progress".to_owned(), 2),
        ("?status=rejected".to_owned(), 0),
        (format!("?patient=Patient/{patient}"), 1),
        (format!("?_id={}", id(task)), 1),
        (format!("?_id={},nobody", id(task)), 1),
        (
            format!(
                "?identifier={}",
                task["identifier"][0]["value"].as_str().expect("an id")
            ),
            1,
        ),
        ("?identifier=never-sent".to_owned(), 0),
    ] {
        assert_eq!(tasks(&client, &token, &query).await.len(), wanted, "{query}");
    }
    let page = client.get(&token, "Task?_count=1").await.json();
    let next = page["link"]
        .as_array()
        .expect("links")
        .iter()
        .find(|link| link["relation"] == "next")
        .expect("a page");
    let last = client
        .follow(&token, next["url"].as_str().expect("a link"))
        .await
        .json();
    assert_eq!(last["entry"][0]["resource"]["id"], task["id"]);
    assert_eq!(last["link"].as_array().map(Vec::len), Some(1), "no further page");
    let posted = client
        .form("/fhir/Task/_search", &[("status", "in-progress")], Some(&token))
        .await;
    posted.assert_status(200);
    assert_eq!(posted.json()["entry"][0]["resource"]["id"], task["id"]);
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": format!("Task/{}", id(task))}},
        {"request": {"method": "GET", "url": "Task?status=accepted"}},
    ]});
    let bearer = format!("Bearer {token}");
    let typed = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/fhir+json"),
    ];
    let batch = client.send("POST", "/fhir", &typed, batch.to_string()).await.json();
    assert_eq!(batch["entry"][0]["resource"]["id"], task["id"], "{batch}");
    assert_eq!(batch["entry"][1]["resource"]["type"], "searchset");

    let grants = payer.json_command(&["grant", "list", "--member", &patient]);
    payer.json_command(&["grant", "revoke", id(&grants[0]), "--reason", "a test"]);
    let ended = client.get(&token, &format!("Task/{}", id(task))).await.json();
    assert_eq!(ended["status"], "completed");
    assert!(
        ended.get("for").is_none() && ended["executionPeriod"]["end"].is_string(),
        "{ended}"
    );
    assert!(
        tasks(&client, &token, &format!("?patient={patient}")).await.is_empty(),
        "whose it was is not told any more"
    );
}

#[tokio::test]
async fn nobody_sees_what_another_began_nor_what_happens_inside() {
    let (payer, client) = TestPayer::start(6);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let (other, _) = client.matched(&token, &payer.request(3, Variation::Exact)).await;
    for body in [payer.request(2, Variation::WrongBirthDate), doubtful(&payer, 4, 5)] {
        client
            .post_match(&token, body.to_string(), &[])
            .await
            .assert_status(422);
    }
    // A person looks at the one and nobody at the other: the partner cannot tell.
    let rejected = tasks(&client, &token, "?status=rejected").await;
    assert_eq!(rejected.len(), 2);
    let blank = |task: &Value| {
        let mut task = task.clone();
        for name in ["id", "meta", "identifier", "authoredOn", "lastModified"] {
            task[name].take();
        }
        task
    };
    assert_eq!(blank(&rejected[0]), blank(&rejected[1]));
    assert_eq!(rejected[0]["lastModified"], rejected[0]["authoredOn"]);
    assert_eq!(rejected[0]["statusReason"]["coding"][0]["code"], "MM-005");

    let third = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    let thirds = third.token(ALL_SCOPES).await;
    assert!(tasks(&third, &thirds, "").await.is_empty());
    let all = tasks(&client, &token, "").await;
    for task in &all {
        let stranger = third.get(&thirds, &format!("Task/{}", id(task))).await;
        let nobody = third.get(&thirds, "Task/nobody").await;
        assert_eq!((stranger.status, nobody.status), (404, 404));
        assert!(tasks(&third, &thirds, &format!("?_id={}", id(task))).await.is_empty());
    }
    assert!(tasks(&third, &thirds, &format!("?patient={patient}")).await.is_empty());

    // A token for one member shows the exchanges of this member alone.
    let narrow = narrowed(&client, &format!("Patient/{patient}")).await;
    let found = tasks(&client, &narrow, "").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["for"]["reference"], format!("Patient/{patient}"));
    assert!(tasks(&client, &narrow, &format!("?patient={other}")).await.is_empty());
    let hidden = all
        .iter()
        .find(|one| one["for"]["reference"] == format!("Patient/{other}"))
        .expect("the other");
    client
        .get(&narrow, &format!("Task/{}", id(hidden)))
        .await
        .assert_status(404);

    let without = client.token("system/Patient.rs").await;
    for path in ["Task".to_owned(), format!("Task/{}", id(&all[0]))] {
        client.get(&without, &path).await.assert_status(403);
    }
    for bad in ["Task?_count=0", "Task?_id=a%20b", "Task?patient=a/b/c", "Task?_page=.."] {
        client.get(&token, bad).await.assert_status(400);
    }
    let lenient = client.get(&token, "Task?colour=red").await.json();
    assert!(lenient.to_string().contains("\"outcome\""), "{lenient}");
    let bearer = format!("Bearer {token}");
    let strict = [("authorization", bearer.as_str()), ("prefer", "handling=strict")];
    client
        .send("GET", "/fhir/Task?colour=red", &strict, "")
        .await
        .assert_status(400);
    client
        .send("POST", "/fhir/Task", &[("authorization", bearer.as_str())], "{}")
        .await
        .assert_status(405);
}

#[tokio::test]
async fn t_b09_a_search_for_tasks_has_few_parameters_and_repeats_none() {
    let (_payer, client) = TestPayer::start(1);
    let token = client.token(ALL_SCOPES).await;
    let reply = client.get(&token, "Task?zq7kname=1").await;
    reply.assert_status(200);
    let text = reply.text();
    assert!(
        text.contains("OperationOutcome") && !text.contains("zq7kname"),
        "{text}"
    );
    for query in [vec!["a"; 51].join("&"), format!("status={}", vec!["x"; 51].join(","))] {
        client
            .get(&token, &format!("Task?{query}"))
            .await
            .assert_outcome(Fault::ParameterInvalid);
    }
}

#[tokio::test]
async fn what_was_sent_after_many_empty_answers_counts() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    for _ in 0..25 {
        let nothing = format!("Observation?patient={patient}&code=no-such-code");
        client.get(&token, &nothing).await.assert_status(200);
    }
    let read = client.get(&token, &format!("Patient/{patient}")).await;
    read.assert_status(200);
    let task = tasks(&client, &token, "").await.remove(0);
    let desk = Desk::of(&payer, &client, "auditor");
    let mut shown = Value::Null;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        shown = desk.get(&format!("exchanges/{}", id(&task))).await.json();
        // The last answer and those before it are noted each by itself.
        let is_whole = shown["sent"]["is_at_least"] == false && shown["sent"]["resources"]["Patient"] == 1;
        if shown["delivery_state"] == "received" && is_whole {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let sent = &shown["sent"];
    assert_eq!(
        (&sent["disclosures"], &sent["is_at_least"], &sent["resources"]),
        (&json!(26), &json!(false), &json!({"Patient": 1})),
        "{shown}"
    );
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(27));
    assert_eq!(shown["has_more_steps"], false);
    let grants = payer.json_command(&["grant", "list", "--member", &patient]);
    payer.json_command(&["grant", "revoke", id(&grants[0]), "--reason", "a test"]);
    let ended = client.get(&token, &format!("Task/{}", id(&task))).await.json();
    assert_eq!((&ended["status"], ended.get("note")), (&json!("completed"), None));
}

#[tokio::test]
async fn an_exchange_ends_at_the_next_match_however_many_follow() {
    let (payer, client) = TestPayer::start(4);
    let token = client.token(ALL_SCOPES).await;
    for _ in 0..4 {
        client.matched(&token, &payer.request(0, Variation::Exact)).await;
    }
    let mut found = tasks(&client, &token, "").await;
    found.reverse();
    let desk = Desk::of(&payer, &client, "auditor");
    for pair in found.windows(2) {
        assert_eq!(pair[0]["status"], "cancelled");
        assert_eq!(pair[0]["executionPeriod"]["end"], pair[1]["authoredOn"]);
        let shown = desk.get(&format!("exchanges/{}", id(&pair[0]))).await.json();
        assert_eq!(shown["superseded_by"], pair[1]["id"]);
    }
    assert_eq!(found[3]["status"], "accepted");
}

#[tokio::test]
async fn t_b07_a_page_of_tasks_ends_after_some_work_and_says_what_it_did_not_look_at() {
    let (payer, client) = TestPayer::start(8);
    let token = client.token(ALL_SCOPES).await;
    let mut patients = Vec::new();
    for member in [0, 3, 6] {
        let (patient, _) = client.matched(&token, &payer.request(member, Variation::Exact)).await;
        client
            .get(&token, &format!("Patient/{patient}"))
            .await
            .assert_status(200);
        patients.push(patient);
    }
    // Many later entries about each member, as the index of subjects would have them.
    let now_ms = chrono::Utc::now().timestamp_millis();
    let later = before_all_of(now_ms + 60_000);
    let later = later.as_str();
    let rows: Vec<String> = patients
        .iter()
        .flat_map(|patient| (0..1_500).map(move |number| format!("('{patient}', '{later}-7000-8000-{number:012}')")))
        .collect();
    let mut db = payer.db();
    diesel::sql_query(
        "INSERT INTO ledger_subject (subject, entry_id) SELECT subject, id FROM ledger_entry \
         WHERE subject IS NOT NULL AND action <> 'disclosure.completed' ON CONFLICT DO NOTHING",
    )
    .execute(&mut db)
    .expect("rows");
    for some in rows.chunks(500) {
        let insert = format!(
            "INSERT INTO ledger_subject (subject, entry_id) VALUES {}",
            some.join(", ")
        );
        diesel::sql_query(insert).execute(&mut db).expect("rows");
    }
    let upto = before_all_of(now_ms + 120_000);
    diesel::sql_query(format!("UPDATE ledger_subject_state SET upto = '{upto}'"))
        .execute(&mut db)
        .expect("a row");
    let first = client.get(&token, "Task").await.json();
    let listed = |page: &Value| page["entry"].as_array().map_or(0, Vec::len);
    assert_eq!(listed(&first), 2, "{first}");
    for entry in first["entry"].as_array().expect("tasks") {
        // The read is older than what was looked at.
        assert_eq!(entry["resource"]["status"], "accepted");
        assert!(entry["resource"]["note"][0]["text"].is_string(), "{entry}");
    }
    let next = first["link"]
        .as_array()
        .expect("links")
        .iter()
        .find(|link| link["relation"] == "next");
    let next = next.expect("a page")["url"].as_str().expect("a link");
    let last = client.follow(&token, next).await.json();
    assert_eq!(
        (listed(&last), last["link"].as_array().map(Vec::len)),
        (1, Some(1)),
        "{last}"
    );
    causeway_fhir_types::check(first["entry"][0]["resource"].to_string().as_bytes()).expect("a typed Task");
}

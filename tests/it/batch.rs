//! Batches: every entry is its own request, with every check of one, and nothing but reads and searches is one.

use crate::support::client::Reply;
use crate::support::matched::Matched;
use causeway::error::Fault;
use serde_json::{Value, json};

async fn batch(payer: &Matched, entries: &Value) -> Reply {
    let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": entries});
    let headers = [("content-type", "application/fhir+json")];
    payer.send("POST", "", &headers, bundle.to_string()).await
}

#[tokio::test]
async fn a_batch_is_its_requests_one_by_one() {
    let payer = Matched::start(2).await;
    let (id, stranger) = (payer.id.clone(), payer.payer.member(1).patient_id);
    let tag = payer
        .get(&format!("/Patient/{id}"), &[])
        .await
        .header("etag")
        .to_owned();
    let get = |url: &str| json!({"request": {"method": "GET", "url": url}});
    let urls = [
        (format!("Patient/{id}"), "200 OK"),
        (format!("Patient?_id={id}"), "200 OK"),
        (format!("{}/fhir/Patient/{id}", payer.payer.origin), "200 OK"),
        ("CodeSystem/causeway-fault".to_owned(), "200 OK"),
        ("metadata".to_owned(), "200 OK"),
        (format!("Patient/{stranger}"), "404 Not Found"),
        ("Patient/nobody".to_owned(), "404 Not Found"),
        ("Nothing/1".to_owned(), "404 Not Found"),
        ("Patient?nonsense:not=1".to_owned(), "400 Bad Request"),
        ("https://elsewhere.example/Patient/1".to_owned(), "400 Bad Request"),
        (format!("Patient/{id}/$everything"), "400 Bad Request"),
    ];
    let mut entries: Vec<Value> = urls.iter().map(|(url, _)| get(url)).collect();
    entries.push(json!({"request": {"method": "GET", "url": format!("Patient/{id}"), "ifNoneMatch": tag}}));
    entries.push(json!({"request": {"method": "HEAD", "url": format!("Patient/{id}")}}));
    entries.push(json!({"request": {"method": "DELETE", "url": format!("Patient/{id}")}}));
    let reply = batch(&payer, &Value::from(entries)).await;
    reply.assert_status(200);
    let answer = reply.json();
    assert_eq!(
        (answer["resourceType"].as_str(), answer["type"].as_str()),
        (Some("Bundle"), Some("batch-response"))
    );
    let answers = answer["entry"].as_array().expect("entries");
    let expected: Vec<&str> = urls.iter().map(|(_, status)| *status).collect();
    let expected = [&expected[..], &["304 Not Modified", "200 OK", "405 Method Not Allowed"]].concat();
    let statuses: Vec<&str> = answers
        .iter()
        .map(|one| one["response"]["status"].as_str().expect("a status"))
        .collect();
    assert_eq!(statuses, expected);
    // Byte for byte what the requests give one by one.
    let alone = payer.get(&format!("/Patient/{id}"), &[]).await;
    assert_eq!(answers[0]["resource"], alone.json());
    assert!(reply.text().contains(&alone.text()), "the stored bytes");
    assert_eq!(answers[0]["response"]["etag"], alone.header("etag"));
    assert_eq!(
        answers[1]["resource"],
        payer.get(&format!("/Patient?_id={id}"), &[]).await.json()
    );
    for at in [11, 12] {
        assert!(answers[at]["resource"].is_null(), "{}", answers[at]);
    }
    for (one, status) in answers.iter().zip(&expected) {
        let failed = status.starts_with('4');
        assert_eq!(
            one["response"]["outcome"]["resourceType"] == "OperationOutcome",
            failed,
            "{one}"
        );
        assert!(!failed || one["resource"].is_null());
    }
    // "Not yours" and "not there" are the same here too, and nothing of the stranger came along.
    assert_eq!(answers[5], answers[6]);
    assert!(!reply.text().contains(&stranger));
    let correlation = reply.header("x-correlation-id");
    let begun = payer.payer.count(&format!(
        "ledger_entry WHERE correlation_id = '{correlation}' AND action = 'disclosure.begun'"
    ));
    assert_eq!(begun, 5, "each disclosure has its own entry");
}

#[tokio::test]
async fn t_b17_a_batch_goes_round_no_check() {
    let payer = Matched::start(1).await;
    let read = json!([{"request": {"method": "GET", "url": format!("Patient/{}", payer.id)}}]);
    let body = json!({"resourceType": "Bundle", "type": "batch", "entry": read}).to_string();
    let typed = ("content-type", "application/fhir+json");
    payer
        .client
        .send("POST", "/fhir", &[typed], body.clone())
        .await
        .assert_outcome(Fault::TokenMissing);
    // A token that may not read: the batch is answered, its entries are not.
    let narrow = payer
        .client
        .token("http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match")
        .await;
    let bearer = format!("Bearer {narrow}");
    let reply = payer
        .client
        .send("POST", "/fhir/", &[typed, ("authorization", &bearer)], body.clone())
        .await;
    reply.assert_status(200);
    let one = &reply.json()["entry"][0];
    assert_eq!(one["response"]["status"], "403 Forbidden");
    assert!(one["resource"].is_null());
    payer
        .payer
        .assert_ledger(reply.header("x-correlation-id"), &["request.refused"]);
    let whole = |kind: &str, count: usize| {
        json!({"resourceType": "Bundle", "type": kind, "entry": vec![read[0].clone(); count]}).to_string()
    };
    for (body, fault) in [
        (whole("transaction", 1), Fault::ParameterInvalid),
        (whole("batch", 51), Fault::TooLarge),
        ("{\"resourceType\":\"Patient\"}".to_owned(), Fault::ResourceInvalid),
        ("{".to_owned(), Fault::NotJson),
    ] {
        payer.send("POST", "", &[typed], body).await.assert_outcome(fault);
    }
    payer
        .send("POST", "", &[("content-type", "application/fhir+xml")], "<Bundle/>")
        .await
        .assert_outcome(Fault::MediaTypeRefused);
}

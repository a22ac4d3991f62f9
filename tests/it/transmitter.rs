//! pdex-127: each answer with Provenance names this payer as the transmitter, exactly once.

use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::TestPayer;
use crate::support::wire::request_by;
use causeway::synth::{SharingPolicy, Variation};
use serde_json::{Value, json};

fn transmitters(bundle: &Value) -> Vec<Value> {
    let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
    let is_ours = |entry: &Value| {
        let agent = &entry["resource"]["agent"][0];
        agent["type"]["coding"][0]["code"] == "transmitter" && agent["who"]["identifier"]["value"] == "1992000012"
    };
    entries.into_iter().filter(is_ours).collect()
}

fn next(bundle: &Value) -> Option<String> {
    let mut links = bundle["link"].as_array()?.iter();
    let found = links.find(|link| link["relation"] == "next")?;
    found["url"].as_str().map(str::to_owned)
}

/// The transmitters of all pages.
async fn of_pages(client: &Client, token: &str, path: &str) -> (Vec<Value>, usize) {
    let mut reply = client.get(token, path).await;
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        reply.assert_status(200);
        let bundle = reply.json();
        found.extend(transmitters(&bundle));
        pages += 1;
        match next(&bundle) {
            Some(link) => reply = client.follow(token, &link).await,
            None => return (found, pages),
        }
    }
}

#[tokio::test]
async fn pdex_127_a_record_names_its_transmitter_once_and_the_same_can_be_read() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let record = format!("Patient/{id}/$everything");
    let whole = client.get(&token, &record).await.json();
    let ours = transmitters(&whole);
    assert_eq!(ours.len(), 1, "{ours:?}");
    let (entry, resource) = (&ours[0], &ours[0]["resource"]);
    assert_eq!(resource["target"], json!([{"reference": format!("Patient/{id}")}]));
    assert_eq!(entry["search"]["mode"], "include");
    let name = format!("Provenance/{}", resource["id"].as_str().expect("an id"));
    assert!(
        entry["fullUrl"].as_str().is_some_and(|url| url.ends_with(&name)),
        "{entry}"
    );
    let read = client.get(&token, &name).await;
    read.assert_status(200);
    assert_eq!(read.json(), *resource);
    client
        .get(&token, &format!("{name}/_history/1"))
        .await
        .assert_status(200);
    client
        .get(&token, &format!("{name}/_history/2"))
        .await
        .assert_status(404);

    let (paged, pages) = of_pages(&client, &token, &format!("{record}?_count=3")).await;
    assert!(pages > 2);
    assert_eq!(paged, ours, "once over all pages, and the same");
    for (query, wanted) in [
        ("?_type=Patient", 0),
        ("?_type=Patient,Provenance", 1),
        ("?_since=2099-01-01T00:00:00Z", 0),
    ] {
        let (found, _) = of_pages(&client, &token, &format!("{record}{query}")).await;
        assert_eq!(found.len(), wanted, "{query}");
    }
    let narrow = client.token("system/Patient.rs system/Observation.rs").await;
    let (found, _) = of_pages(&client, &narrow, &record).await;
    assert!(found.is_empty(), "the token may not read Provenance: {found:?}");

    // It is nobody else's, also not of a partner that may see the same member; and it ends with the grant.
    let third = payer.register("third-payer", "1992000038", "https://third-payer.example/fhir");
    let thirds = third.token(ALL_SCOPES).await;
    third
        .matched(&thirds, &request_by(&payer, 0, "1992000038", SharingPolicy::Regular))
        .await;
    third.get(&thirds, &name).await.assert_status(404);
    let grant = resource["id"]
        .as_str()
        .and_then(|id| id.strip_prefix("tx."))
        .expect("a grant");
    payer.json_command(&["grant", "revoke", grant, "--reason", "a test"]);
    client.get(&token, &name).await.assert_status(404);
}

#[tokio::test]
async fn pdex_127_each_page_of_a_search_with_provenance_names_its_transmitter_once() {
    let (payer, client) = TestPayer::start(3);
    let token = client.token(ALL_SCOPES).await;
    let (id, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let search = format!("Observation?patient={id}&_count=2");
    let with = format!("{search}&_revinclude=Provenance:target");
    let (found, pages) = of_pages(&client, &token, &with).await;
    assert!(pages > 0 && found.len() == pages, "{} on {pages} pages", found.len());
    for entry in &found {
        let (url, resource) = (entry["fullUrl"].as_str().expect("a URL"), &entry["resource"]);
        assert_eq!(url, format!("urn:uuid:{}", resource["id"].as_str().expect("an id")));
        let targets = resource["target"].as_array().expect("targets");
        assert!(!targets.is_empty() && targets.len() <= 2, "{resource}");
    }
    assert_eq!(
        of_pages(&client, &token, &with).await.0[0]["resource"]["id"],
        found[0]["resource"]["id"]
    );
    for none in [
        search,
        format!("Observation?patient={id}&_id=nothing&_revinclude=Provenance:target"),
        format!("Observation?patient={id}&_summary=count&_revinclude=Provenance:target"),
    ] {
        let (found, _) = of_pages(&client, &token, &none).await;
        assert!(found.is_empty(), "{none}");
    }
}

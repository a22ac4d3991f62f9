//! Resources of any size: each comes once, however it is asked for, in a read that is bounded in bytes.

use crate::support::matched::Matched;
use serde_json::{Value, json};

const KIB: usize = 1024;
/// Sizes on both sides of every bound: of what comes with its row, of a piece, of what asks for room, of a page.
const SIZES: [usize; 14] = [
    1,
    40 * KIB,
    40 * KIB,
    300 * KIB,
    1,
    2100 * KIB,
    2100 * KIB,
    600 * KIB,
    100 * KIB,
    100 * KIB,
    100 * KIB,
    9 * KIB * KIB,
    1,
    1,
];

/// A member with documents of these sizes, whose authors are as large.
async fn with_documents() -> Matched {
    let payer = Matched::start(1).await;
    let lines = SIZES.iter().enumerate().map(|(at, size)| {
        let data = "A".repeat(size / 4 * 4 + 4);
        let content = json!({"contentType": "image/png", "data": data});
        let author = json!({"resourceType": "Practitioner", "id": format!("author-{at}"), "photo": [content]});
        let document = json!({"resourceType": "DocumentReference", "id": format!("sized-{at}"), "status": "current",
            "subject": {"reference": format!("Patient/{}", payer.id)},
            "author": [{"reference": format!("Practitioner/author-{at}")}],
            "content": [{"attachment": content}]});
        format!("{author}\n{document}\n")
    });
    std::fs::write(payer.payer.home().join("sized.ndjson"), lines.collect::<String>()).expect("a file");
    let said = payer.payer.json_command(&["import", "sized.ndjson"]);
    assert_eq!(said["rejected"], 0, "{said}");
    payer
}

/// The names of a Bundle's entries, and the link to its next page.
fn entries(bundle: &Value) -> (Vec<String>, Option<String>) {
    let name = |entry: &Value| {
        let one = &entry["resource"];
        format!(
            "{}/{}",
            one["resourceType"].as_str().unwrap_or(""),
            one["id"].as_str().unwrap_or("")
        )
    };
    let links = bundle["link"].as_array().expect("links");
    let next = links.iter().find(|link| link["relation"] == "next");
    (
        bundle["entry"].as_array().into_iter().flatten().map(name).collect(),
        next.and_then(|link| link["url"].as_str()).map(str::to_owned),
    )
}

/// Everything that is found from this address on, page by page.
async fn all(payer: &Matched, below: &str) -> Vec<String> {
    let (mut found, mut at) = (Vec::new(), Some(below.to_owned()));
    while let Some(below) = at {
        let reply = payer.get(&below, &[]).await;
        reply.assert_status(200);
        let (names, next) = entries(&reply.json());
        found.extend(names);
        at = next.map(|url| url.split_once("/fhir").expect("of ours").1.to_owned());
    }
    found
}

#[track_caller]
fn assert_once(found: &[String], rtype: &str, id: &str) {
    for at in 0..SIZES.len() {
        let name = format!("{rtype}/{id}-{at}");
        let times = found.iter().filter(|one| **one == name).count();
        assert_eq!(times, 1, "{name}: {found:?}");
    }
}

#[tokio::test]
async fn t_b07_every_resource_of_a_record_comes_once_whatever_its_size() {
    let payer = with_documents().await;
    let record = format!("/Patient/{}/$everything", payer.id);
    let whole = all(&payer, &record).await;
    for below in ["", "?_count=1000", "?_count=4", "?_type=DocumentReference,Practitioner"] {
        let mut found = all(&payer, &format!("{record}{below}")).await;
        assert_once(&found, "DocumentReference", "sized");
        assert_once(&found, "Practitioner", "author");
        if !below.contains("_type") {
            let mut whole = whole.clone();
            found.sort();
            whole.sort();
            assert_eq!(found, whole, "{below}");
        }
    }
}

#[tokio::test]
async fn t_b07_every_match_of_a_search_comes_once_whatever_its_size() {
    let payer = with_documents().await;
    for below in [
        format!("/DocumentReference?patient={}", payer.id),
        "/DocumentReference".to_owned(),
        format!("/DocumentReference?patient={}&_count=3", payer.id),
        format!("/DocumentReference?patient={}&_sort=-_id&_count=5", payer.id),
    ] {
        assert_once(&all(&payer, &below).await, "DocumentReference", "sized");
    }
    let sorted = all(&payer, &format!("/DocumentReference?patient={}&_sort=_id", payer.id)).await;
    let sized: Vec<&String> = sorted.iter().filter(|name| name.contains("/sized-")).collect();
    assert!(sized.is_sorted(), "{sized:?}");
    assert_once(&all(&payer, "/Practitioner").await, "Practitioner", "author");
}

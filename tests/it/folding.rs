//! How texts are compared in searches: case folded in full, `:exact` in one normal form, and an index of an older program made anew.

use crate::support::client::{ALL_SCOPES, Client, http};
use crate::support::payer::{PARTNER_URI, TestPayer};
use crate::support::pki::Kind;
use diesel::prelude::*;
use serde_json::json;

async fn found(client: &Client, token: &str, query: &str) -> Vec<String> {
    let bundle = client.get(token, &format!("Practitioner?{query}")).await;
    bundle.assert_status(200);
    let entries = bundle.json()["entry"].as_array().cloned().unwrap_or_default();
    let own = entries
        .iter()
        .map(|one| one["resource"]["id"].as_str().unwrap_or("").to_owned());
    own.filter(|id| id.starts_with("fold-")).collect()
}

const SEARCHES: &[(&str, &[&str])] = &[
    ("family=WEISS", &["fold-sharp"]),
    ("family=wei%C3%9F", &["fold-sharp"]),
    ("family=WEI%E1%BA%9E", &["fold-sharp"]),
    ("family:contains=EISSB", &["fold-sharp"]),
    (
        "family=%CE%A0%CE%91%CE%A0%CE%91%CE%94%CE%9F%CE%A0%CE%9F%CE%A5%CE%9B%CE%9F%CE%A3",
        &["fold-sigma"],
    ),
    ("family=zo%C3%AB", &["fold-composed", "fold-marked"]),
    ("family:exact=Zo%C3%AB", &["fold-composed", "fold-marked"]),
    ("family:exact=Zoe%CC%88", &["fold-composed", "fold-marked"]),
    ("family:exact=zo%C3%AB", &[]),
    ("family:exact=Zoe", &[]),
    ("family:exact=Wei%C3%9Fbach", &["fold-sharp"]),
    ("family:exact=Weissbach", &[]),
];

#[tokio::test]
async fn case_is_folded_in_full_and_an_older_index_is_made_anew() {
    let (mut payer, client) = TestPayer::prepare(1);
    let people = [
        ("fold-sharp", "Weißbach"),
        ("fold-sigma", "Παπαδόπουλος"),
        ("fold-composed", "Zoë"),
        ("fold-marked", "Zoe\u{308}"),
    ];
    let lines = people.map(|(id, family)| {
        json!({"resourceType": "Practitioner", "id": id, "name": [{"family": family}]}).to_string()
    });
    std::fs::write(payer.home().join("people.ndjson"), lines.join("\n")).expect("a file");
    let done = payer.json_command(&["import", "people.ndjson"]);
    assert_eq!(done["stored"], 4, "{done}");
    payer.serve();
    let token = client.token(ALL_SCOPES).await;
    for (query, wanted) in SEARCHES {
        let mut ids = found(&client, &token, query).await;
        ids.sort();
        assert_eq!(ids, *wanted, "{query}");
    }
    payer.kill();
    // As the program before this one left it.
    let mut db = payer.db();
    for change in [
        "UPDATE search_value SET value = 'weißbach' WHERE value = 'weissbach'",
        "UPDATE search_value SET value = 'παπαδοπουλος' WHERE value = 'παπαδοπουλοσ'",
    ] {
        let changed = diesel::sql_query(change).execute(&mut db).expect("changed");
        assert!(changed > 0, "{change}");
    }
    diesel::sql_query("UPDATE search_state SET version = 2")
        .execute(&mut db)
        .expect("changed");
    drop(db);
    payer.serve();
    // The connections of before are gone with the server.
    let identity = payer.pki.client(PARTNER_URI, Kind::Good);
    let client = Client {
        http: http(&payer.pki.ca, Some(&identity)),
        ..client
    };
    let token = client.token(ALL_SCOPES).await;
    for (query, wanted) in SEARCHES {
        let mut ids = found(&client, &token, query).await;
        ids.sort();
        assert_eq!(ids, *wanted, "{query}, made anew");
    }
}

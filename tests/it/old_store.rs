//! A store that an older program made opens, serves and keeps what was decided in it (`tests/old-store/make.py` makes it).

use crate::support::assertion::ClientKey;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::payer::TestPayer;
use crate::support::pki::Kind;
use crate::support::store::{Place, connect, on_postgres};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read as _;

const PARTNER: &str = "steady-payer";
const URI: &str = "https://steady-payer.example/fhir";

/// A store as commit 9cb75f9 left it.
fn old_place() -> Place {
    let packed: &[u8] = if on_postgres() {
        include_bytes!("../old-store/postgres.sql.gz")
    } else {
        include_bytes!("../old-store/sqlite.sql.gz")
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut text)
        .expect("SQL");
    let place = Place::fresh();
    let mut db = connect(&place.url);
    if !on_postgres() {
        // The text brings tables in the order of their names.
        db.batch_execute("PRAGMA foreign_keys=OFF").expect("a pragma");
    }
    db.batch_execute(&text).expect("it is restored");
    place
}

#[derive(QueryableByName, Debug, PartialEq, Eq)]
struct Entry {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Binary)]
    entry: Vec<u8>,
}

fn entries(payer: &TestPayer, more: &str) -> Vec<Entry> {
    diesel::sql_query(format!("SELECT id, entry FROM ledger_entry {more} ORDER BY id"))
        .load(&mut payer.db())
        .expect("entries")
}

/// The old partner with keys of this test.
fn rotated(payer: &TestPayer) -> Client {
    let key = ClientKey::new("k2");
    std::fs::write(payer.home().join("jwks.json"), key.jwks().to_string()).expect("a file");
    let text = format!(
        "id = \"{PARTNER}\"\nname = \"{PARTNER}\"\nnpi = \"1992000020\"\nclient_id = \"{PARTNER}\"\njwks_file = \"jwks.json\"\n\
         certificate_uri = \"{URI}\"\nmtls = \"required\"\n\
         scopes = [\"system/*.rs\", \"http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match\"]\n"
    );
    std::fs::write(payer.home().join("partner.toml"), text).expect("a file");
    payer.json_command(&["partner", "rotate", PARTNER, "--file", "partner.toml"]);
    payer.client(PARTNER, key, Some(&payer.pki.client(URI, Kind::Good)))
}

#[actix_web::test]
async fn a_store_of_an_older_program_opens_serves_and_keeps_its_decisions() {
    let kept: Value = serde_json::from_str(include_str!("../old-store/kept.json")).expect("JSON");
    let mut payer = TestPayer::bare(old_place(), causeway::synth::SynthOptions::default());
    let before = entries(&payer, "");
    assert!(before.len() >= 6, "{}", before.len());
    let decisions = payer.count("decision");

    let partner = rotated(&payer);
    payer.serve();
    let token = partner.token(ALL_SCOPES).await;
    let patient = kept["patient"].as_str().expect("a reference");

    // What was granted is still granted, without a match, and so is a match made again.
    let record = partner.get(&token, &format!("{patient}/$everything")).await;
    record.assert_status(200);
    let list = |value: &Value, path: &dyn Fn(&Value) -> String| -> BTreeSet<String> {
        value.as_array().expect("a list").iter().map(path).collect()
    };
    let mut released = list(&record.json()["entry"], &|entry| {
        let url = entry["fullUrl"].as_str().expect("a URL");
        url.rsplit_once("/fhir/").expect("below the base").1.to_owned()
    });
    let of_old = list(&kept["entries"], &|entry| {
        entry.as_str().expect("a reference").to_owned()
    });
    // An older program did not say who transmits.
    released.retain(|name| !name.starts_with("Provenance/tx."));
    assert_eq!(released, of_old);
    let again = partner
        .post_match(&token, kept["request"].to_string(), &[("X-Correlation-Id", "today")])
        .await;
    again.assert_status(200);
    assert!(again.text().contains(patient), "{}", again.text());
    assert_eq!(payer.count("decision"), decisions + 1);

    // What was decided is found, the review that it opened is open, and no entry of the ledger changed.
    let found = payer.json_command(&["match", "list", "--correlation", "old-match"]);
    assert!(found.to_string().contains("matched"), "{found}");
    let reviews = payer.json_command(&["review", "list"]);
    let open = reviews["items"].as_array().or(reviews.as_array()).expect("a list");
    assert_eq!(open.len(), 1, "{reviews}");
    let last = &before.last().expect("entries").id;
    assert_eq!(entries(&payer, &format!("WHERE id <= '{last}'")), before);
    payer
        .await_ledger("today", &["member-match.begun", "member-match.matched"])
        .await;
    assert_eq!(payer.terminate(), Some(0));
}

#[test]
fn an_old_store_is_brought_to_the_schema_of_a_new_one() {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    let migrations = |place: &Place| {
        diesel::sql_query("SELECT COUNT(*) AS n FROM __diesel_schema_migrations")
            .get_result::<Version>(&mut connect(&place.url))
            .expect("a count")
            .n
    };
    let old = old_place();
    let at_first = migrations(&old);
    drop(old.open());
    let fresh = Place::fresh();
    drop(fresh.open());
    assert!(at_first < migrations(&fresh));
    assert_eq!(migrations(&old), migrations(&fresh));
}

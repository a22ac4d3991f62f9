//! `causeway migrate`, and commands that only read, where there is no store. On both databases.

use super::{Desk, Said};
use crate::support::store::{Place, connect, on_postgres};
use causeway::store::{migrate, rights};
use std::collections::BTreeSet;

fn fresh() -> (Place, Desk) {
    let place = Place::fresh();
    let desk = Desk::at(&place.url_text());
    (place, desk)
}

fn pending(said: &Said) -> usize {
    let told: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    told["pending"].as_array().expect("a list").len()
}

#[test]
fn migrate_brings_a_schema_up_and_check_only_looks() {
    let (place, desk) = fresh();
    let before = desk.run(&["migrate", "--check", "--json"]);
    assert_eq!((before.code, pending(&before) > 10), (Some(1), true), "{before:?}");
    if let Some(path) = place.url.sqlite_path() {
        assert!(!path.exists(), "looking makes no file");
    }
    let again = desk.run(&["migrate", "--check"]);
    assert!(
        again.code == Some(1) && again.out.contains("pending  00000000000001_foundation"),
        "{again:?}"
    );
    let done = desk.run(&["migrate", "--json"]);
    let told = done.json();
    assert_eq!(
        told["done"].as_array().map(Vec::len),
        Some(pending(&before)),
        "{done:?}"
    );
    assert_eq!(told["store"], if on_postgres() { "postgres" } else { "sqlite" });
    let after = desk.run(&["migrate", "--check", "--json"]).json();
    assert_eq!(
        (
            after["pending"].as_array().map(Vec::len),
            after["applied"].as_array().map(Vec::len)
        ),
        (Some(0), Some(pending(&before)))
    );
    desk.run(&["migrate"])
        .ends_with(0, &["the schema is that of this program"]);
    desk.run(&["migrate", "--check", "--grant", "x"]).ends_with(2, &[]);
    desk.run(&["migrate", "--read-only"]).ends_with(2, &["--grant"]);
    if !on_postgres() {
        desk.run(&["migrate", "--print-grants", "x"]).ends_with(2, &["SQLite"]);
    }
}

#[test]
fn a_store_of_a_newer_program_is_refused_by_every_command() {
    let (place, desk) = fresh();
    desk.run(&["migrate"]).ends_with(0, &[]);
    let mut db = connect(&place.url);
    diesel::connection::SimpleConnection::batch_execute(
        &mut db,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000009999')",
    )
    .expect("a row");
    drop(db);
    for arguments in [
        &["partner", "list"][..],
        &["operator", "token", "--role", "auditor"],
        &["migrate"],
        &["migrate", "--check"],
    ] {
        desk.run(arguments).ends_with(2, &["SV-014", "00000000009999"]);
    }
    desk.serve().ends_with(2, &["SV-014", "00000000009999"]);
}

#[test]
fn a_command_that_only_reads_makes_no_store() {
    let (place, desk) = fresh();
    for arguments in [
        &["partner", "list"][..],
        &["consent", "list"],
        &["grant", "list"],
        &["trace", "x"],
        &["disclosures", "--member", "Patient/x"],
        &["records", "withheld"],
        &["review", "list"],
        &["link", "list"],
        &["match", "list"],
        &["policy", "list"],
        &["durability"],
    ] {
        desk.run(arguments).ends_with(1, &["OP-008", "There is no store at"]);
    }
    match place.url.sqlite_path() {
        Some(path) => assert!(!path.exists()),
        None => assert_eq!(
            super::values(
                &mut connect(&place.url),
                "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public'"
            ),
            Vec::<String>::new()
        ),
    }
    desk.run(&["operator", "token", "--role", "auditor"])
        .ends_with(0, &["created a new store: "]);
    let again = desk.run(&["operator", "token", "--role", "auditor"]);
    assert!(!again.err.contains("created a new store"), "{again:?}");
    desk.run(&["partner", "list"]).ends_with(0, &[]);
}

#[test]
fn the_rights_name_every_table_of_a_store() {
    let place = Place::fresh();
    let mut db = connect(&place.url);
    migrate::up(&mut db).expect("up");
    let query = if on_postgres() {
        "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '\\_\\_%'"
    } else {
        "SELECT name AS value FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite%'"
    };
    let made: BTreeSet<String> = super::values(&mut db, query).into_iter().collect();
    let named: BTreeSet<String> = rights::TABLES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        named, made,
        "a table that a migration makes belongs into TABLES of src/store/rights.rs"
    );
}

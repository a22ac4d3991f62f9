//! pgbouncer: session pooling works; transaction and statement pooling are refused before anything is set or written.

use super::servers::Pooler;
use super::{Desk, database, values};
use crate::support::postgres;
use crate::support::store::{connect, on_postgres};
use causeway::store::StoreUrl;
use std::io::Write as _;

const WRITING: &[&str] = &["operator", "token", "--role", "auditor"];

/// A pooler, unless there is none; then this says so, past the harness that keeps what passing tests print to itself.
fn pooler(test: &str, database: &str, mode: &str, more: &str) -> Option<Pooler> {
    let started = Pooler::start(database, mode, more);
    if started.is_none() {
        let line = format!("SKIPPED {test}: pgbouncer is not installed\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
    started
}

#[test]
fn session_pooling_works() {
    if !on_postgres() {
        return;
    }
    let name = database(&postgres::fresh_database());
    let Some(pooler) = pooler("session_pooling_works", &name, "session", "") else {
        return;
    };
    let desk = Desk::at(&pooler.url(&name));
    desk.run(WRITING).ends_with(0, &[]);
    let line = "{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"One\"}\n";
    std::fs::write(desk.home.path().join("one.ndjson"), line).expect("a file");
    assert_eq!(desk.run(&["import", "one.ndjson", "--json"]).json()["stored"], 1);
    assert_eq!(desk.run(&["durability", "--json"]).json()["ok"], true);
    let started: Vec<_> = (0..4).map(|_| desk.start(&["partner", "list"])).collect();
    for child in started {
        super::Said::of(child.wait_with_output().expect("it ends")).ends_with(0, &[]);
    }
}

#[test]
fn transaction_and_statement_pooling_are_refused_and_leave_no_trace() {
    if !on_postgres() {
        return;
    }
    let url = postgres::fresh_database();
    let name = database(&url);
    let test = "transaction_and_statement_pooling_are_refused_and_leave_no_trace";
    for (mode, more) in [
        ("transaction", ""),
        ("transaction", "server_round_robin = 1"),
        ("transaction", "server_round_robin = 1\nmin_pool_size = 2"),
        ("transaction", "min_pool_size = 5"),
        ("statement", ""),
    ] {
        let Some(pooler) = pooler(test, &name, mode, more) else {
            return;
        };
        let desk = Desk::at(&pooler.url(&name));
        let commands: &[&[&str]] = match more {
            "" => &[WRITING, &["partner", "list"], &["migrate"], &["migrate", "--check"]],
            _ => &[WRITING],
        };
        for arguments in commands {
            let said = desk.run(arguments);
            assert_eq!(said.code, Some(2), "{mode} {more} {arguments:?}: {said:?}");
            said.ends_with(2, &["SV-015", "transaction or statement mode", "pool_mode to session"]);
        }
        if more.is_empty() {
            desk.serve().ends_with(2, &["SV-015", "pool_mode to session"]);
        }
    }
    let mut db = connect(&StoreUrl::parse(&url).expect("an address"));
    let made = values(
        &mut db,
        "SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public'",
    );
    assert_eq!(made, Vec::<String>::new());
}

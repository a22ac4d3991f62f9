//! What an upgrade does to everything that is stored: `causeway migrate` does it, shows how far it is, and goes on where it was broken
//! off; commands that only read leave it alone. On both stores.

use crate::support::payer::{TestPayer, program};
use crate::support::store::on_postgres;
use causeway::store::Db;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use std::process::Stdio;
use std::time::{Duration, Instant};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row: String,
}

#[derive(QueryableByName)]
struct State {
    #[diesel(sql_type = BigInt)]
    after_key: i64,
    #[diesel(sql_type = BigInt)]
    done: i64,
}

/// A payer whose store was judged by a program that knew none of the rules, and the columns as they were before that.
fn old_payer(members: u64) -> (TestPayer, Vec<String>) {
    let (payer, _) = TestPayer::prepare(members);
    let judged = rows(&mut payer.db());
    assert!(judged.len() > 100, "{}", judged.len());
    payer
        .db()
        .batch_execute(
            "UPDATE visible_state SET after_key = -1; DELETE FROM gate_state; DELETE FROM search_state; DELETE FROM search_value; \
             DELETE FROM search_date; DELETE FROM authorization_dependency; DELETE FROM attachment; \
             UPDATE resource SET sensitivity = 0, pa_state = 0, financial = 0, released = NULL, service_from_ms = NULL",
        )
        .expect("an old store");
    (payer, judged)
}

/// What is stored of each resource, but for its time and what names that; and how much is indexed of it.
fn rows(db: &mut Db) -> Vec<String> {
    let query = "SELECT type || ' ' || id || ' ' || COALESCE(service_from_ms, -1) || ' ' || COALESCE(service_to_ms, -1) || ' ' || sensitivity \
         || ' ' || pa_state || ' ' || COALESCE(pa_changed_ms, -1) || ' ' || financial || ' ' || COALESCE(LENGTH(released), -1) || ' ' \
         || (SELECT COUNT(*) FROM search_value v WHERE v.key = r.key) || ' ' || (SELECT COUNT(*) FROM search_date d WHERE d.key = r.key) \
         || ' ' || (SELECT COUNT(*) FROM authorization_dependency a WHERE a.key = r.key) \
         || ' ' || (SELECT COUNT(*) FROM attachment t WHERE t.key = r.key) AS row FROM resource r ORDER BY key";
    let found = diesel::sql_query(query).load::<Row>(db).expect("rows");
    found.into_iter().map(|row| row.row).collect()
}

fn state(db: &mut Db) -> Option<(i64, i64)> {
    let found = diesel::sql_query("SELECT after_key, done FROM gate_state").load::<State>(db);
    found
        .expect("a state")
        .first()
        .map(|state| (state.after_key, state.done))
}

fn check(payer: &TestPayer) -> (Option<i32>, serde_json::Value) {
    let said = payer.command(&["migrate", "--check", "--json"]);
    (said.status.code(), serde_json::from_slice(&said.stdout).expect("JSON"))
}

#[test]
fn migrate_brings_up_what_is_stored_and_check_says_what_is_due() {
    let (payer, judged) = old_payer(8);
    let (code, told) = check(&payer);
    assert_eq!((code, &told["pending"]), (Some(1), &serde_json::json!([])), "{told}");
    let parts = |told: &serde_json::Value, name: &str| -> Vec<String> {
        let list = told[name].as_array().expect("a list");
        list.iter()
            .map(|one| one["part"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(parts(&told, "due"), ["version-times", "release-rules", "search-index"]);
    assert_eq!(told["due"][0]["resources"], judged.len());

    let done = payer.json_command(&["migrate"]);
    assert_eq!(parts(&done, "brought_up"), parts(&told, "due"));
    assert_eq!(rows(&mut payer.db()), judged);
    let (code, told) = check(&payer);
    assert_eq!((code, parts(&told, "due").len()), (Some(0), 0), "{told}");
    assert_eq!(
        parts(&payer.json_command(&["migrate"]), "brought_up").len(),
        0,
        "once is enough"
    );
}

#[test]
fn a_command_that_only_reads_leaves_an_old_store_as_it_is_and_says_what_to_run() {
    if !on_postgres() {
        return;
    }
    let (payer, _) = old_payer(4);
    let before = rows(&mut payer.db());
    for arguments in [&["partner", "list"][..], &["records", "withheld"], &["consent", "list"]] {
        let said = payer.command(arguments);
        let told = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(0), "{arguments:?}: {told}");
        assert!(
            told.contains("causeway migrate") && told.contains("due: "),
            "{arguments:?}: {told}"
        );
    }
    assert_eq!(state(&mut payer.db()), None);
    assert_eq!(rows(&mut payer.db()), before);
}

#[test]
fn a_migrate_that_was_killed_goes_on_where_it_stopped() {
    let (payer, judged) = old_payer(60);
    let mut starts = 0;
    let mut reached = -1;
    loop {
        starts += 1;
        assert!(starts < 200, "it comes to no end");
        let mut child = program(payer.home())
            .args(["migrate", "--quiet"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // Each start is given a little longer, so that one of them gets to the end.
        let until = Instant::now() + Duration::from_millis(150 * starts);
        let ended = loop {
            if let Some(status) = child.try_wait().expect("a status") {
                break Some(status);
            }
            if Instant::now() >= until {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0));
            break;
        }
        child.kill().expect("it ends");
        child.wait().expect("it ended");
        if let Some((after_key, done)) = state(&mut payer.db()) {
            assert!(done == 1 || after_key >= reached, "it went back");
            reached = after_key;
        }
    }
    assert_eq!(rows(&mut payer.db()), judged);
    assert_eq!(check(&payer).0, Some(0));
}

#[test]
fn two_migrations_at_once_wait_for_each_other_and_do_everything_once() {
    if !on_postgres() {
        return;
    }
    let (payer, judged) = old_payer(8);
    let both: Vec<_> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| payer.json_command(&["migrate"])))
            .collect();
        started.into_iter().map(|one| one.join().expect("it ran")).collect()
    });
    let parts: usize = both
        .iter()
        .map(|told| told["brought_up"].as_array().map_or(0, Vec::len))
        .sum();
    assert_eq!(parts, 3, "{both:?}");
    assert_eq!(rows(&mut payer.db()), judged);
}

//! Durability settings that change while we run: ours hold whatever others set, and what cannot be ours stops writes.

use crate::store::insert;
use crate::support::postgres::Own;
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::store::{Db, Store, StoreOptions, StoreUrl};
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::time::{Duration, Instant};

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    value: String,
}

fn of_our_session(store: &Store) -> String {
    store
        .write_blocking(|db| {
            let Db::Pg(pg) = db else { unreachable!() };
            let query = diesel::sql_query("SELECT current_setting('synchronous_commit') AS value");
            Ok(query.get_result::<Setting>(pg)?.value)
        })
        .expect("an answer")
}

/// Waits until new sessions have this value of a setting.
fn until_it_is(cluster: &Own, setting: &str, value: &str) {
    let began = Instant::now();
    loop {
        let query = diesel::sql_query(format!("SELECT current_setting('{setting}') AS value"));
        let found = query.get_result::<Setting>(&mut cluster.connect()).expect("a value");
        if found.value == value {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{setting} is {}",
            found.value
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn settings_that_change_while_we_run_lose_nothing() {
    if !on_postgres() {
        return;
    }
    let cluster = Own::start();
    let url = StoreUrl::parse(&cluster.url("postgres")).expect("a store address");
    let store = Store::open(&url, &StoreOptions::default()).expect("opens");
    cluster.execute(&[
        "ALTER SYSTEM SET synchronous_commit = off",
        "ALTER ROLE postgres SET synchronous_commit = off",
        "ALTER DATABASE postgres SET synchronous_commit = local",
        "SELECT pg_reload_conf()",
    ]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(of_our_session(&store), "on", "a session that was there");
    // Sessions of before are not used any more.
    store.limit_statements(Duration::from_secs(5));
    assert_eq!(of_our_session(&store), "on", "a new session");
    store.write_blocking(|db| insert(db, vec![1])).expect("ours keeps it");
    cluster.execute(&[
        "ALTER SYSTEM RESET synchronous_commit",
        "ALTER ROLE postgres RESET synchronous_commit",
        "ALTER DATABASE postgres RESET synchronous_commit",
    ]);

    // No session can set these for itself.
    let mut number = 1_u16;
    for setting in ["fsync", "full_page_writes"] {
        cluster.execute(&[&format!("ALTER SYSTEM SET {setting} = off"), "SELECT pg_reload_conf()"]);
        until_it_is(&cluster, setting, "off");
        let began = Instant::now();
        if setting == "fsync" {
            // By the next new session.
            store.limit_statements(Duration::from_secs(5));
        }
        let refused = loop {
            number += 1;
            match store.write_blocking(move |db| insert(db, number.to_be_bytes().to_vec())) {
                Err(failure) => break failure,
                // By the timer.
                Ok(()) => assert!(began.elapsed() < Duration::from_secs(60), "{setting} was not noticed"),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!((refused.fault(), refused.fault().row().http), (Fault::StoreUnsafe, 503));
        store.read_blocking(|_| Ok(())).expect("reads go on");
        cluster.execute(&[&format!("ALTER SYSTEM RESET {setting}"), "SELECT pg_reload_conf()"]);
        until_it_is(&cluster, setting, "on");
        store.limit_statements(Duration::from_secs(5));
        number += 1;
        store
            .write_blocking(move |db| insert(db, number.to_be_bytes().to_vec()))
            .expect("mended, and noticed with the next session");
    }
}

/// A role that owns its database and nothing else, as most will be: it may not choose the language of messages.
#[test]
fn a_role_without_special_rights_is_enough() {
    if !on_postgres() {
        return;
    }
    let cluster = Own::start();
    cluster.execute(&["CREATE ROLE app LOGIN", "CREATE DATABASE app OWNER app"]);
    let url = cluster.url("app").replace("user=postgres", "user=app");
    let store = Store::open(
        &StoreUrl::parse(&url).expect("a store address"),
        &StoreOptions::default(),
    )
    .expect("opens");
    assert_eq!(of_our_session(&store), "on");
    store.write_blocking(|db| insert(db, vec![1])).expect("a write");
    store
        .read_blocking(causeway::store::readiness::probe)
        .expect("its tables are free");
}

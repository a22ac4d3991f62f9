//! The store's promises: one owner, group commit that keeps neighbours apart, nothing half done.

use crate::support::payer::binary;
use crate::support::store::{Place, TestStore, on_postgres};
use causeway::error::{Failure, Fault};
use causeway::store::schema::operator_token;
use causeway::store::{Db, Store, StoreOptions};
use diesel::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub fn insert(db: &mut Db, hash: Vec<u8>) -> Result<(), Failure> {
    diesel::insert_into(operator_token::table)
        .values((
            operator_token::hash.eq(hash),
            operator_token::role.eq("support"),
            operator_token::created_ms.eq(1_i64),
            operator_token::expires_ms.eq(2_i64),
        ))
        .execute(db)?;
    Ok(())
}

fn hashes(store: &Store) -> Vec<Vec<u8>> {
    store
        .read_blocking(|db| {
            Ok(operator_token::table
                .select(operator_token::hash)
                .order(operator_token::hash)
                .load(db)?)
        })
        .expect("a read")
}

#[test]
fn a_second_opener_is_told_that_the_store_is_busy() {
    let place = Place::fresh();
    let first = place.open();
    let second = Store::open(&place.url, &StoreOptions::default());
    if on_postgres() {
        second.expect("any number of processes share one PostgreSQL");
        return;
    }
    assert_eq!(second.err().expect("refused").fault(), Fault::StoreBusy);
    drop(first);
    // The writing thread lets go after its last checkpoint.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if Store::open(&place.url, &StoreOptions::default()).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the lock outlived its owner");
}

#[test]
fn the_files_of_a_store_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    // Made by the program itself.
    let place = Place::fresh();
    if on_postgres() {
        return;
    }
    let store = place.open();
    store.write_blocking(|db| insert(db, vec![1])).expect("a write");
    for entry in std::fs::read_dir(place.folder.path()).expect("folder") {
        let entry = entry.expect("entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_writers_at_once_all_keep_what_was_acknowledged() {
    let store = TestStore::fresh();
    let mut tasks = Vec::new();
    for writer in 0..64u8 {
        let store = (*store).clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..10u8 {
                store
                    .write(move |db| insert(db, vec![writer, round]))
                    .await
                    .expect("acknowledged");
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(hashes(&store).len(), 640);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_fails_takes_nothing_of_its_neighbours_with_it() {
    let store = TestStore::fresh();
    let mut tasks = Vec::new();
    for writer in 0..60u8 {
        let store = (*store).clone();
        tasks.push(tokio::spawn(async move {
            let work = move |db: &mut Db| {
                insert(db, vec![writer])?;
                match writer % 3 {
                    0 => Ok(()),
                    1 => Err(Fault::NoUniqueMember.into()),
                    _ => panic!("on purpose"),
                }
            };
            let outcome = match writer < 30 {
                true => store.write(work).await,
                // With a transaction of its own.
                false => tokio::task::spawn_blocking(move || store.write_alone_blocking(work))
                    .await
                    .unwrap_or_else(|_| Err(Fault::Internal.into())),
            };
            (writer, outcome)
        }));
    }
    let mut kept = Vec::new();
    for task in tasks {
        let (writer, outcome) = task.await.expect("the panic stays inside the store");
        match writer % 3 {
            0 => {
                outcome.expect("kept");
                kept.push(vec![writer]);
            }
            1 => assert_eq!(outcome.expect_err("failed").fault(), Fault::NoUniqueMember),
            _ => assert_eq!(outcome.expect_err("panicked").fault(), Fault::Internal),
        }
    }
    kept.sort();
    assert_eq!(hashes(&store), kept);
    store
        .write_blocking(|db| insert(db, vec![200]))
        .expect("the store goes on");
}

#[test]
fn a_duplicate_key_fails_its_own_job_only() {
    let store = TestStore::fresh();
    store.write_blocking(|db| insert(db, vec![7])).expect("the first");
    assert_eq!(
        store
            .write_blocking(|db| insert(db, vec![7]))
            .expect_err("a duplicate")
            .fault(),
        Fault::Internal
    );
    store.write_blocking(|db| insert(db, vec![8])).expect("the next");
    assert_eq!(hashes(&store), vec![vec![7], vec![8]]);
}

#[test]
fn readers_cannot_write_on_sqlite() {
    let store = TestStore::fresh();
    let outcome = store.read_blocking(|db| insert(db, vec![1]));
    assert_eq!(outcome.is_err(), !on_postgres());
}

#[test]
fn what_was_queued_is_there_after_settling() {
    let store = TestStore::fresh();
    if on_postgres() {
        return; // nothing is queued there: every write is its own transaction
    }
    let done = Arc::new(AtomicUsize::new(0));
    for number in 0..20u8 {
        let done = Arc::clone(&done);
        store.write_later(move |db| {
            insert(db, vec![number])?;
            done.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
    }
    store.settle();
    assert_eq!((done.load(Ordering::Relaxed), hashes(&store).len()), (20, 20));
}

#[test]
fn a_file_that_is_no_database_is_a_damaged_store_to_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("causeway.db");
    std::fs::write(&file, "no database at all, ".repeat(1_000)).expect("a file");
    let output = std::process::Command::new(binary())
        .args(["partner", "list"])
        .current_dir(folder.path())
        .env_remove("DATABASE_URL")
        .env("CAUSEWAY_STORE__URL", format!("sqlite:{}", file.display()))
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(70), "{said}");
    assert!(said.contains(Fault::StoreDamaged.code()), "{said}");
}

/// How often PostgreSQL planned the statements of this connection that name `table` for the values of one call.
fn planned_for_one_call(db: &mut Db, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    let query = format!(
        "SELECT CAST(COALESCE(SUM(custom_plans), 0) AS BIGINT) AS n FROM pg_prepared_statements WHERE statement LIKE '%{table}%'"
    );
    diesel::sql_query(query).get_result::<Row>(db).expect("a sum").n
}

#[test]
fn the_last_state_of_the_roster_is_not_planned_anew_for_each_match() {
    let store = TestStore::fresh();
    if !on_postgres() {
        return; // SQLite is compiled so that plans do not depend on bound values
    }
    let planned = store.read_blocking(|db| {
        for _ in 0..20 {
            store.roster(db)?;
        }
        Ok(planned_for_one_call(db, "identity_roster"))
    });
    // PostgreSQL plans a statement for its values five times before it compares with a plan for all.
    let planned = planned.expect("a read");
    assert!(planned <= 5, "{planned} of 20 calls were planned");
}

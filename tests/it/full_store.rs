//! A store without room, from inside: `SQLITE_FULL` (PostgreSQL: 53100) at a statement and at COMMIT is rolled back, told as
//! [`Fault::NoRoom`], and breaks nothing.

use crate::store::insert;
use crate::support::postgres;
use crate::support::small_disk::SmallDisk;
use crate::support::store::{TestStore, on_postgres};
use causeway::error::{Failure, Fault};
use causeway::store::schema::{operator_token, server_secret};
use causeway::store::{Db, Store, StoreOptions, StoreUrl};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A row of so many bytes.
fn large(db: &mut Db, name: &str, bytes: usize) -> Result<(), Failure> {
    diesel::insert_into(server_secret::table)
        .values((server_secret::name.eq(name), server_secret::value.eq(vec![7_u8; bytes])))
        .execute(db)?;
    Ok(())
}

fn names(store: &Store) -> Vec<String> {
    let read = store.read_blocking(|db| {
        Ok(server_secret::table
            .select(server_secret::name)
            .order(server_secret::name)
            .load(db)?)
    });
    read.expect("a read")
}

fn count(store: &Store) -> i64 {
    store
        .read_blocking(|db| Ok(operator_token::table.count().get_result(db)?))
        .expect("a read")
}

/// Lets a SQLite store grow by so many pages of 4 KiB from now on.
fn grow_by(store: &Store, pages: Option<i64>) {
    #[derive(QueryableByName)]
    struct Pages {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        page_count: i64,
    }
    let set = store.write_blocking(move |db| {
        let now = diesel::sql_query("SELECT page_count FROM pragma_page_count").get_result::<Pages>(db)?;
        let most = pages.map_or(1_000_000_000, |pages| now.page_count + pages);
        Ok(db.batch_execute(&format!("PRAGMA max_page_count={most}"))?)
    });
    set.expect("a pragma");
}

#[test]
fn a_statement_without_room_undoes_its_group_and_the_next_write_goes_through() {
    if on_postgres() {
        return;
    }
    let store = TestStore::fresh();
    grow_by(&store, Some(8));
    // At a single insert; inside a transaction of its own, whose savepoint SQLite takes away; and swallowed by the work.
    type Work = fn(&mut Db) -> Result<(), Failure>;
    let works: [Work; 3] = [
        |db| large(db, "single", 200_000),
        |db| {
            insert(db, vec![1])?;
            db.transaction(|db| large(db, "nested", 200_000))
        },
        |db| {
            insert(db, vec![2])?;
            let _ = large(db, "swallowed", 200_000);
            insert(db, vec![3])
        },
    ];
    for work in works {
        let failure = store.write_blocking(work).expect_err("no room");
        assert_eq!(failure.fault(), Fault::NoRoom, "{:?}", failure.cause());
        assert!(!store.is_broken());
        assert_eq!(count(&store), 0, "nothing of it is kept");
    }
    store
        .write_blocking(|db| insert(db, vec![4]))
        .expect("a small one has room");
    grow_by(&store, None);
    store
        .write_blocking(|db| large(db, "after", 200_000))
        .expect("room again");
    assert_eq!((count(&store), names(&store).contains(&"after".to_owned())), (1, true));
    assert!(
        !names(&store)
            .iter()
            .any(|name| ["single", "nested", "swallowed"].contains(&name.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ledger_entries_of_a_group_that_has_no_room_are_written_without_the_others() {
    if on_postgres() {
        return;
    }
    let store = TestStore::fresh();
    grow_by(&store, Some(8));
    // One write waits, so that those behind it become one group.
    let open = Arc::new(AtomicBool::new(false));
    let holds = Arc::clone(&open);
    let gate = (*store).clone();
    let first = tokio::spawn(async move {
        gate.write(move |_| {
            while !holds.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(())
        })
        .await
    });
    let (one, two) = ((*store).clone(), (*store).clone());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let other = tokio::spawn(async move { one.write(|db| large(db, "other", 200_000)).await });
    let entry = tokio::spawn(async move { two.reserved().write(|db| insert(db, vec![1])).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    open.store(true, Ordering::Release);
    first.await.expect("no panic").expect("the first");
    let other = other.await.expect("no panic").expect_err("no room");
    assert_eq!(other.fault(), Fault::NoRoom);
    entry.await.expect("no panic").expect("the entry has room");
    assert_eq!(count(&store), 1);
}

#[test]
fn a_commit_without_room_keeps_nothing_and_writes_come_back_when_there_is_room() {
    if on_postgres() {
        return;
    }
    let Some(disk) = SmallDisk::mount(24, "SQLITE_FULL at COMMIT is tried under strace only (full_disk.rs)") else {
        return;
    };
    let path = disk.path().join("a.db");
    let url = StoreUrl::parse(&format!("sqlite:{}", path.display())).expect("an address");
    let store = Store::open(&url, &StoreOptions::default()).expect("opens");
    store.write_blocking(|db| large(db, "before", 100_000)).expect("room");
    disk.fill(64 * 1024);
    // Too much for the write-ahead log, too little to leave SQLite's cache before the commit.
    for round in 0..20 {
        let failure = store
            .write_blocking(move |db| large(db, "refused", 2_000_000))
            .expect_err("no room");
        assert_eq!(failure.fault(), Fault::NoRoom, "{round}: {:?}", failure.cause());
        assert!(!store.is_broken(), "{round}");
    }
    assert!(!names(&store).contains(&"refused".to_owned()));
    disk.empty();
    store
        .write_blocking(|db| large(db, "after", 2_000_000))
        .expect("room again");
    drop(store);
    // As after a crash: what another process finds.
    let begun = Instant::now();
    let again = loop {
        match Store::open(&url, &StoreOptions::default()) {
            Ok(store) => break store,
            Err(failure) => assert!(begun.elapsed() < Duration::from_secs(60), "{failure}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let found = names(&again);
    assert!(
        found.contains(&"before".to_owned()) && found.contains(&"after".to_owned()),
        "{found:?}"
    );
    assert!(!found.contains(&"refused".to_owned()));
}

#[test]
fn on_postgres_a_full_disk_is_told_as_such_and_writes_come_back_when_there_is_room() {
    use std::os::unix::fs::MetadataExt as _;
    if !on_postgres() {
        return;
    }
    let Some(disk) = SmallDisk::mount(64, "53100 of PostgreSQL is not tried") else {
        return;
    };
    let owner = std::fs::metadata(postgres::folder()).expect("the cluster's folder");
    let spot = disk.path().join("space");
    std::fs::create_dir(&spot).expect("a folder");
    std::os::unix::fs::chown(&spot, Some(owner.uid()), Some(owner.gid())).expect("given away");
    let parent: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(disk.path(), parent).expect("a mode");
    postgres::execute(
        "postgres",
        &format!("CREATE TABLESPACE small LOCATION '{}'", spot.display()),
    );
    postgres::execute("postgres", "CREATE DATABASE small TABLESPACE small");
    let url = StoreUrl::parse(&postgres::url("small")).expect("an address");
    let store = Store::open(&url, &StoreOptions::default()).expect("opens");
    disk.fill(512 * 1024);
    let failure = (0..20)
        .find_map(|round| {
            store
                .write_blocking(move |db| incompressible(db, &format!("r{round}")))
                .err()
        })
        .expect("no room at last");
    assert_eq!(failure.fault(), Fault::NoRoom, "{:?}", failure.cause());
    assert_eq!(failure.fault().row().http, 503);
    disk.empty();
    store
        .write_blocking(|db| incompressible(db, "after"))
        .expect("room again");
    drop(store);
    postgres::execute("postgres", "DROP DATABASE small WITH (FORCE)");
    postgres::execute("postgres", "DROP TABLESPACE small");
}

/// PostgreSQL compresses what it can.
fn incompressible(db: &mut Db, name: &str) -> Result<(), Failure> {
    let bytes: Vec<u8> = (0..8_192).flat_map(|_| causeway::secret::random::<32>()).collect();
    diesel::insert_into(server_secret::table)
        .values((server_secret::name.eq(name), server_secret::value.eq(bytes)))
        .execute(db)?;
    Ok(())
}

//! Durable before acknowledged: unsafe settings are refused, and an fsync is seen from outside before each answer.

use crate::support::postgres;
use crate::support::store::{Place, TestStore, on_postgres};
use causeway::error::Fault;
use causeway::store::{Db, Store, StoreOptions, durability};
use diesel::connection::{Connection as _, SimpleConnection as _};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ACKNOWLEDGED: usize = 12;

#[test]
fn a_store_reports_settings_that_are_all_safe() {
    let store = TestStore::fresh();
    let report = store.read_blocking(durability::report).expect("a report");
    assert_eq!(report.store, if on_postgres() { "postgres" } else { "sqlite" });
    for setting in &report.settings {
        assert!(
            setting.ok && setting.safe.contains(&setting.value.as_str()),
            "{setting:?}"
        );
    }
    assert!(report.ok && report.settings.len() >= 3);
    durability::demand(&report).expect("a safe store is opened");
}

#[test]
fn settings_that_would_lose_acknowledged_work_are_refused() {
    let place = Place::fresh();
    if on_postgres() {
        let name = place.url_text();
        let name = name
            .trim_start_matches("postgres:///")
            .split('?')
            .next()
            .expect("a name")
            .to_owned();
        postgres::execute(&name, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
        let refused = Store::open(&place.url, &StoreOptions::default())
            .err()
            .expect("refused");
        assert_eq!(refused.fault(), Fault::DurabilityUnsafe);
        assert_eq!(refused.expressions(), ["synchronous_commit"]);
        return;
    }
    for (pragma, setting) in [
        ("PRAGMA synchronous=NORMAL", "synchronous"),
        ("PRAGMA synchronous=OFF", "synchronous"),
        ("PRAGMA journal_mode=MEMORY", "journal_mode"),
        ("PRAGMA foreign_keys=OFF", "foreign_keys"),
    ] {
        let path = place.folder.path().join("other.db");
        let mut sqlite = diesel::SqliteConnection::establish(path.to_str().expect("utf-8")).expect("opens");
        sqlite
            .batch_execute(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; \
                 PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;",
            )
            .expect("safe settings");
        let mut db = Db::Sqlite(sqlite);
        durability::demand(&durability::report(&mut db).expect("a report")).expect("safe so far");
        db.batch_execute(pragma).expect("a pragma");
        let refused = durability::demand(&durability::report(&mut db).expect("a report")).expect_err(pragma);
        assert_eq!(
            (refused.fault(), refused.expressions()),
            (Fault::DurabilityUnsafe, [setting.to_owned()].as_slice())
        );
    }
}

/// The program under strace: writes one thing after the other and says so after each answer. Run by the test below.
#[test]
#[ignore = "a part of another test"]
fn acknowledging_child() {
    let Ok(text) = std::env::var("CAUSEWAY_TEST_CHILD_STORE") else {
        return;
    };
    let url = causeway::store::StoreUrl::parse(&text).expect("a store address");
    let store = Store::open(&url, &StoreOptions::default()).expect("opens");
    for number in 0..ACKNOWLEDGED as u8 {
        store
            .write_blocking(move |db| crate::store::insert(db, vec![number]))
            .expect("acknowledged");
        let mut err = std::io::stderr();
        err.write_all(b"acknowledged\n").expect("a line");
        err.flush().expect("flushed");
    }
}

#[test]
fn an_fsync_goes_before_each_acknowledged_write() {
    if Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        skipped("strace is not installed");
        return;
    }
    // Nobody else syncs anything in a cluster of its own.
    let cluster = on_postgres().then(postgres::Own::start);
    let place = match &cluster {
        Some(cluster) => Place::at(&cluster.url("postgres")),
        None => Place::fresh(),
    };
    let trace = place.folder.path().join("child.trace");
    // On PostgreSQL it is the server that syncs: its processes are watched too, and both traces merged by time.
    let server = cluster.as_ref().map(|cluster| watch_server(&place, cluster.folder()));
    let traced = Command::new("strace")
        .args(["-f", "-ttt", "-s", "16", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "store_durability::acknowledging_child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("CAUSEWAY_TEST_CHILD_STORE", place.url_text())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("strace runs");
    let mut text = std::fs::read_to_string(&trace).unwrap_or_default();
    if let Some((mut watcher, server_trace)) = server {
        let _ = Command::new("kill").args(["-INT", &watcher.id().to_string()]).status();
        let _ = watcher.wait();
        text.push_str(&std::fs::read_to_string(server_trace).unwrap_or_default());
    }
    if !traced.success() && !text.contains("acknowledged") {
        skipped("this machine does not allow tracing");
        return;
    }
    let mut events: Vec<(f64, bool)> = text.lines().filter_map(event).collect();
    events.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut answers, mut synced) = (0, false);
    for (_, is_answer) in events {
        if is_answer {
            assert!(synced, "answer {answers} came without an fsync after the one before it");
            answers += 1;
        }
        synced = !is_answer;
    }
    assert_eq!(answers, ACKNOWLEDGED);
}

/// Says so past the test harness, which keeps what passing tests print to itself.
fn skipped(why: &str) {
    let line = format!("SKIPPED an_fsync_goes_before_each_acknowledged_write: {why}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The time of a traced call that matters, and whether it is an answer (else a sync that ended).
fn event(line: &str) -> Option<(f64, bool)> {
    let at = line.split_whitespace().nth(1)?.parse().ok()?;
    let answer = line.contains("write(2, \"acknowledged");
    let sync = line.contains("sync") && line.trim_end().ends_with("= 0");
    (answer || sync).then_some((at, answer))
}

fn watch_server(place: &Place, cluster: &Path) -> (std::process::Child, std::path::PathBuf) {
    let trace = place.folder.path().join("server.trace");
    let file = std::fs::read_to_string(cluster.join("data/postmaster.pid")).unwrap_or_default();
    let pid = file.lines().next().unwrap_or("0");
    // The WAL writer was there before, and now and then syncs what a session commits.
    let running = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let watched: Vec<&str> = std::iter::once(pid).chain(running.split_whitespace()).collect();
    let mut watcher = Command::new("strace")
        .args(["-f", "-ttt", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&trace)
        .args(watched.iter().flat_map(|process| ["-p", *process]))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("strace runs");
    // Processes forked later are followed from their first instruction. Where tracing is not allowed, it ends by itself.
    let began = Instant::now();
    while watcher.try_wait().expect("a status").is_none() && !watched.iter().all(|process| is_traced(process)) {
        assert!(began.elapsed() < Duration::from_secs(60), "strace attaches to nobody");
        std::thread::sleep(Duration::from_millis(10));
    }
    (watcher, trace)
}

/// Whether a process is traced, or has ended.
fn is_traced(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))
        .is_none_or(|tracer| tracer.trim() != "0")
}

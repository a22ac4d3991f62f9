//! Real processes: `causeway worker` and `serve --no-worker` over one PostgreSQL store, one of them killed; and what operators see.

use crate::support::payer::{TestPayer, program};
use crate::support::store::on_postgres;
use causeway::store::Db;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    lease_epoch: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    lease_until_ms: Option<i64>,
    #[diesel(sql_type = BigInt)]
    held: i64,
    #[diesel(sql_type = BigInt)]
    claims: i64,
    #[diesel(sql_type = Nullable<Text>)]
    last_class: Option<String>,
    #[diesel(sql_type = BigInt)]
    updated_ms: i64,
}

fn expired(db: &mut Db) -> Option<Row> {
    diesel::sql_query(
        "SELECT lease_epoch, lease_until_ms, CASE WHEN lease_token IS NULL THEN 0::bigint ELSE 1::bigint END AS held, claims, \
         last_class, updated_ms FROM job WHERE kind = 'expired'",
    )
    .get_result(db)
    .optional()
    .expect("read")
}

struct Worker(Child);

impl Worker {
    fn start(payer: &TestPayer) -> Worker {
        let mut command: Command = program(payer.home());
        command
            .args(["worker", "--quiet", "--log-file", "worker.log"])
            .env("CAUSEWAY_JOBS__LEASE_SECONDS", "6")
            .env("CAUSEWAY_JOBS__POLL_SECONDS", "1")
            .env("CAUSEWAY_LIMITS__DRAIN_SECONDS", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Worker(command.spawn().expect("starts"))
    }

    fn terminate(&mut self) -> Option<i32> {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        self.0.wait().expect("ends").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a state of the job, two minutes at most.
fn await_job(db: &mut Db, what: &str, is_so: impl Fn(&Row) -> bool) -> Row {
    let began = Instant::now();
    loop {
        match expired(db) {
            Some(row) if is_so(&row) => return row,
            row => assert!(
                began.elapsed() < Duration::from_secs(120),
                "{what} did not come: {row:?}"
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection that keeps the sweep waiting until it is dropped.
fn in_the_way(payer: &TestPayer) -> Db {
    let mut db = payer.db();
    db.batch_execute("BEGIN; LOCK TABLE assertion_seen IN ACCESS EXCLUSIVE MODE")
        .expect("locked");
    db
}

#[test]
fn what_a_killed_worker_had_is_taken_over_when_its_lease_ends() {
    if !on_postgres() {
        return;
    }
    let (payer, _) = TestPayer::prepare(1);
    let (mut db, blocker) = (payer.db(), in_the_way(&payer));
    let mut first = Worker::start(&payer);
    let held = await_job(&mut db, "the first lease", |row| row.held == 1);
    first.0.kill().expect("killed");
    first.0.wait().expect("ended");
    let row = expired(&mut db).expect("kept");
    assert_eq!(
        (row.held, row.lease_epoch),
        (1, held.lease_epoch),
        "killed while it had the job"
    );
    drop(blocker);
    let _second = Worker::start(&payer);
    let done = await_job(&mut db, "the end of the sweep", |row| {
        row.last_class.as_deref() == Some("done") && row.held == 0
    });
    assert_eq!((done.lease_epoch, done.claims), (row.lease_epoch + 1, 0));
    assert!(
        Some(done.updated_ms) >= row.lease_until_ms,
        "not before the lease had ended: {done:?} after {row:?}"
    );
}

#[test]
fn a_worker_that_is_asked_to_stop_gives_its_jobs_back_at_once() {
    if !on_postgres() {
        return;
    }
    let (payer, _) = TestPayer::prepare(1);
    let (mut db, blocker) = (payer.db(), in_the_way(&payer));
    let (mut epoch, mut ends) = (-1, 0);
    let row = loop {
        let mut worker = Worker::start(&payer);
        await_job(&mut db, "a lease", |row| row.held == 1 && row.lease_epoch > epoch);
        assert_eq!(worker.terminate(), Some(0));
        ends += 1;
        let row = expired(&mut db).expect("kept");
        // Giving it back has three seconds, which a busy machine may not have: then another one does so.
        if row.held == 0 || ends == 5 {
            break row;
        }
        epoch = row.lease_epoch;
    };
    assert!(row.held == 0 && row.claims < ends, "{row:?} after {ends}");
    drop(blocker);
    assert_eq!(
        payer.count("ledger_entry WHERE action IN ('worker.started', 'worker.stopped')"),
        2 * ends
    );
}

#[test]
fn a_server_without_a_worker_leaves_the_work_to_workers() {
    if !on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    let mut command = program(payer.home());
    command.args(["serve", "--quiet", "--no-worker", "--log-file", "server.log"]);
    payer.spawn(command);
    assert_eq!(payer.count("job"), 0);
    let _workers = [Worker::start(&payer), Worker::start(&payer)];
    await_job(&mut payer.db(), "the end of the sweep", |row| {
        row.last_class.as_deref() == Some("done")
    });
    let kinds = i64::try_from(recurring()).expect("few");
    assert_eq!(payer.count("job"), kinds, "one row for each kind, whoever came first");
    assert_eq!(payer.terminate(), Some(0));
}

#[test]
fn a_sqlite_store_has_no_workers_beside_its_server() {
    if on_postgres() {
        return;
    }
    let (payer, _) = TestPayer::prepare(1);
    for arguments in [["worker", "--quiet"], ["serve", "--no-worker"]] {
        let refused = payer.command(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains("OP-001") && said.contains("SQLite store has one process"),
            "{said}"
        );
    }
}

/// How many kinds of work recur: besides those that need only the store, the sequencer of the ledger and the groups of bulk jobs.
fn recurring() -> usize {
    causeway::app::background::steps().len() + 2
}

#[test]
fn operators_see_the_jobs_and_replay_what_is_parked() {
    let (payer, _) = TestPayer::start(1);
    let began = Instant::now();
    let all = i64::try_from(recurring()).expect("few");
    // The one that is parked below does not run again within the hour; others may be at work.
    while payer.count("job WHERE last_class = 'done' AND (kind <> 'roster' OR lease_until_ms IS NULL)") < all {
        assert!(began.elapsed() < Duration::from_secs(120), "{}", payer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let parked = "UPDATE job SET state = 'parked', parked_at_ms = 1, last_class = 'crash_loop' WHERE kind = 'roster'";
    payer.db().batch_execute(parked).expect("written");
    let listed = payer.json_command(&["jobs", "list"]);
    let kinds: Vec<&str> = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|job| job["kind"].as_str())
        .collect();
    assert_eq!(kinds.len(), recurring(), "{kinds:?}");
    let listed = payer.json_command(&["jobs", "list", "--parked"]);
    let job = &listed["items"][0];
    assert_eq!(
        (job["kind"].as_str(), job["state"].as_str()),
        (Some("roster"), Some("parked")),
        "{listed}"
    );
    assert!(
        job["next_action"].as_str().is_some_and(|text| text.contains("replay")),
        "{job}"
    );

    let id = job["id"].as_str().expect("an id");
    let replay = |id: &str| payer.command(&["jobs", "replay", id, "--reason", "it was us"]);
    assert!(replay(id).status.success());
    let again = replay(id);
    assert!(String::from_utf8_lossy(&again.stderr).contains("JB-002"));
    assert!(String::from_utf8_lossy(&replay("no-such-job").stderr).contains("JB-001"));
    assert_eq!(payer.count("ledger_entry WHERE action = 'job.replayed'"), 1);
    assert_eq!(payer.count("operator_note WHERE reason = 'it was us'"), 1);
}

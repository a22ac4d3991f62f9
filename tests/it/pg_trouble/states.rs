//! The table of errors against a real server: each is provoked, and its words must lead to the SQLSTATE that the server's log gives.

use crate::support::postgres::Own;
use crate::support::store::on_postgres;
use causeway::store::sqlstate;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::result::Error;
use diesel::sql_types::{BigInt, Integer};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const PREPARE: &[&str] = &[
    "ALTER SYSTEM SET log_error_verbosity = verbose",
    "ALTER SYSTEM SET log_min_messages = warning",
    "ALTER SYSTEM SET deadlock_timeout = '100ms'",
    "SELECT pg_reload_conf()",
    "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL CHECK (n < 1000), s text)",
    "CREATE INDEX t_s ON t (s)",
    "INSERT INTO t VALUES (1, 1, ''), (2, 2, '')",
    "CREATE ROLE nobody_much LOGIN",
    "CREATE ROLE nobody_more LOGIN CONNECTION LIMIT 0",
];

/// What one session says to these statements, of which the last fails.
fn said(pg: &mut PgConnection, statements: &[&str]) -> Error {
    let (last, first) = statements.split_last().expect("statements");
    for statement in first {
        pg.batch_execute(statement).expect(statement);
    }
    let error = pg.batch_execute(last).expect_err(last);
    let _ = pg.batch_execute("ROLLBACK");
    error
}

#[derive(QueryableByName)]
struct Pid {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

fn pid(pg: &mut PgConnection) -> i32 {
    diesel::sql_query("SELECT pg_backend_pid() AS pid")
        .get_result::<Pid>(pg)
        .expect("a process")
        .pid
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Waits until so many rows are there under a condition; each look is a session of its own.
fn until(cluster: &Own, rows: &str, count: i64) {
    let began = Instant::now();
    loop {
        let query = diesel::sql_query(format!("SELECT COUNT(*) AS n FROM {rows}"));
        let found = query.get_result::<Count>(&mut cluster.connect()).expect("a count").n;
        if found == count {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{found} of {rows}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn long_text() -> String {
    let text = "md5(g::text)";
    format!("INSERT INTO t SELECT 9, 9, string_agg({text}, '') FROM generate_series(1, 2000) g")
}

#[test]
fn every_error_that_can_be_provoked_is_the_one_that_the_table_says() {
    if !on_postgres() {
        return;
    }
    let cluster = Own::start();
    cluster.execute(PREPARE);
    let set = "pg_settings WHERE name = 'log_error_verbosity' AND setting = 'verbose'";
    until(&cluster, set, 1);
    let mut other = cluster.connect();
    let long = long_text();
    let mut errors: Vec<(&str, Error)> = Vec::new();
    let mut alone: Vec<(&str, Vec<&str>)> = vec![
        ("22003", vec!["SELECT 2147483647 + 1"]),
        (
            "22001",
            vec!["SELECT 1; CREATE TEMP TABLE c (v varchar(2)); INSERT INTO c VALUES ('abc')"],
        ),
        ("22P05", vec!["SELECT '\"\\u0000\"'::jsonb ->> 0"]),
        ("22021", vec!["SELECT convert_from('\\xff'::bytea, 'UTF8')"]),
        ("23502", vec!["INSERT INTO t VALUES (3, NULL)"]),
        ("23514", vec!["INSERT INTO t VALUES (3, 1000)"]),
        ("25006", vec!["BEGIN READ ONLY", "DELETE FROM t"]),
        ("26000", vec!["EXECUTE nosuch"]),
        ("42501", vec!["SET ROLE nobody_much", "SELECT * FROM t"]),
        (
            "53400",
            vec![
                "SET temp_file_limit = 64",
                "SET work_mem = '64kB'",
                "SELECT * FROM generate_series(1, 1000000) g ORDER BY -g",
            ],
        ),
        ("54000", vec![&long]),
        ("57014", vec!["SET statement_timeout = 100", "SELECT pg_sleep(5)"]),
    ];
    alone.push(("25P02", vec!["BEGIN"]));
    for (code, statements) in &alone {
        let mut pg = cluster.connect();
        if *code == "25P02" {
            pg.batch_execute("BEGIN").expect("begun");
            pg.batch_execute("SELECT 1/0").expect_err("a division");
            errors.push((code, pg.batch_execute("SELECT 1").expect_err("aborted")));
            continue;
        }
        errors.push((code, said(&mut pg, statements)));
    }
    // Against another session.
    other
        .batch_execute("BEGIN; LOCK TABLE t; UPDATE t SET n = 5 WHERE id = 1")
        .expect("held");
    let waits = ["SET lock_timeout = 100", "SELECT * FROM t"];
    errors.push(("55P03", said(&mut cluster.connect(), &waits)));
    errors.push((
        "55P03",
        said(&mut cluster.connect(), &["SELECT 1; LOCK TABLE t NOWAIT"]),
    ));
    other.batch_execute("ROLLBACK").expect("let go");
    errors.push(("40001", serialization(&cluster)));
    errors.push(("40P01", deadlock(&cluster)));
    errors.push(("57014", ended(&cluster, "pg_cancel_backend")));
    errors.push(("57P01", ended(&cluster, "pg_terminate_backend")));
    let mut idle = cluster.connect();
    let process = pid(&mut idle);
    idle.batch_execute("SET idle_in_transaction_session_timeout = 100; BEGIN")
        .expect("begun");
    until(&cluster, &format!("pg_stat_activity WHERE pid = {process}"), 0);
    let late = diesel::sql_query("SELECT 1").execute(&mut idle);
    errors.push(("25P03", late.expect_err("ended")));

    let log = std::fs::read_to_string(cluster.folder().join("server.log")).expect("the server's log");
    for (code, error) in &errors {
        let row = sqlstate::of(error).unwrap_or_else(|| panic!("{code}: no row for {error:?}"));
        assert_eq!(row.code, *code, "{error:?}");
        let Error::DatabaseError(_, said) = error else {
            panic!("{error:?}")
        };
        let text = said.message().lines().next().unwrap_or_default();
        let logged = log
            .lines()
            .any(|line| line.contains(&format!(":  {code}: ")) && line.contains(text));
        assert!(logged, "the server does not call this {code}: {text}");
    }
    let refused = PgConnection::establish(&cluster.url("postgres").replace("user=postgres", "user=nobody_more"));
    let text = refused.err().expect("too many").to_string();
    let of_the_server = text.rsplit("FATAL:").next().unwrap_or(&text);
    assert_eq!(
        sqlstate::of_text(of_the_server).map(|row| row.code),
        Some("53300"),
        "{text}"
    );
    let seen: BTreeSet<&str> = errors.iter().map(|(code, _)| *code).collect();
    assert!(seen.len() >= 18, "{seen:?}");
}

fn serialization(cluster: &Own) -> Error {
    let (mut one, mut two) = (cluster.connect(), cluster.connect());
    one.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        .expect("begun");
    one.batch_execute("SELECT * FROM t").expect("a snapshot");
    two.batch_execute("UPDATE t SET n = n + 1 WHERE id = 1")
        .expect("changed");
    one.batch_execute("UPDATE t SET n = n + 1 WHERE id = 1")
        .expect_err("overtaken")
}

fn deadlock(cluster: &Own) -> Error {
    let (mut one, mut two) = (cluster.connect(), cluster.connect());
    one.batch_execute("BEGIN; UPDATE t SET n = 1 WHERE id = 1")
        .expect("held");
    two.batch_execute("BEGIN; UPDATE t SET n = 1 WHERE id = 2")
        .expect("held");
    let waiting = std::thread::spawn(move || one.batch_execute("UPDATE t SET n = 1 WHERE id = 2"));
    std::thread::sleep(Duration::from_millis(20));
    let second = two.batch_execute("UPDATE t SET n = 1 WHERE id = 1");
    drop(two);
    let first = waiting.join().expect("no panic");
    first.err().or(second.err()).expect("one of them gave way")
}

fn ended(cluster: &Own, how: &str) -> Error {
    let mut one = cluster.connect();
    let pid = pid(&mut one);
    // libpq tells why a connection ended with the first result, and that it did with the last, which alone a batch sees.
    let waiting = std::thread::spawn(move || diesel::sql_query("SELECT pg_sleep(20)").execute(&mut one));
    let sleeps = format!("pg_stat_activity WHERE pid = {pid} AND state = 'active' AND query = 'SELECT pg_sleep(20)'");
    until(cluster, &sleeps, 1);
    cluster.execute(&[&format!("SELECT {how}({pid})")]);
    waiting.join().expect("no panic").expect_err("ended")
}

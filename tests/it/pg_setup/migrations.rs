//! Upgrades: no limit of time or locks of ours ends one, everybody else waits for it, and a large table is changed in pieces.

use super::{Desk, Said, as_role, at_seven, database, values};
use crate::support::postgres;
use crate::support::store::on_postgres;
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::pg::PgConnection;
use std::time::{Duration, Instant};

/// Longer than the lock limit of a session of the server.
const LONG: Duration = Duration::from_millis(4_500);

/// A session that ran `statement`.
fn holding(url: &str, statement: &str) -> PgConnection {
    let mut session = PgConnection::establish(url).expect("connects");
    session.batch_execute(statement).expect("runs");
    session
}

/// Keeps a session that ran `statement` for a while, then lets it go; when that was.
fn held(url: &str, statement: &str, during: Duration) -> std::thread::JoinHandle<Instant> {
    let session = holding(url, statement);
    std::thread::spawn(move || {
        std::thread::sleep(during);
        let let_go = Instant::now();
        drop(session);
        let_go
    })
}

#[test]
fn a_migration_has_no_limit_of_time_or_of_locks() {
    if !on_postgres() {
        return;
    }
    let (url, mut db) = at_seven(300);
    // What holds while the rows are changed is noted by the rows themselves.
    db.batch_execute(
        "CREATE TABLE noted (value TEXT NOT NULL); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO noted VALUES (current_setting('statement_timeout') || ' ' || current_setting('lock_timeout')); RETURN NEW; \
         END $$; CREATE TRIGGER note BEFORE UPDATE ON resource FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .expect("a trigger");
    // Limits of the database do not hold for it either.
    let name = database(&url);
    postgres::execute(
        &name,
        &format!("ALTER DATABASE {name} SET statement_timeout = '2s'; ALTER DATABASE {name} SET lock_timeout = '1s'"),
    );
    let holder = held(&url, "BEGIN; LOCK TABLE resource IN SHARE MODE", LONG);
    let said = Desk::at(&url).run(&["operator", "token", "--role", "auditor"]);
    holder.join().expect("let go");
    said.ends_with(0, &["migration 00000000000008_authorizations_end"]);
    let noted = values(&mut db, "SELECT DISTINCT value FROM noted");
    assert!(noted.contains(&"0 0".to_owned()), "{noted:?}");
    let left = values(
        &mut db,
        "SELECT COUNT(*)::text AS value FROM resource WHERE pa_state = 1 AND pa_changed_ms IS NOT NULL",
    );
    assert_eq!(left, ["0"]);
}

#[test]
fn everybody_waits_for_a_running_migration_and_says_for_whom() {
    if !on_postgres() {
        return;
    }
    let (url, mut db) = at_seven(3);
    // Somebody else's lock has another number and is in nobody's way.
    let other = held(&url, "SELECT pg_advisory_lock(42)", Duration::from_secs(8));
    let holder = holding(
        &url,
        "SET application_name = 'an upgrade'; SELECT pg_advisory_lock(4919772)",
    );
    let desk = Desk::at(&url);
    std::fs::write(
        desk.home.path().join("one.ndjson"),
        "{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"One\"}\n",
    )
    .expect("a file");
    let commands: [&[&str]; 4] = [
        &["operator", "token", "--role", "auditor"],
        &["partner", "list"],
        &["import", "one.ndjson"],
        &["migrate"],
    ];
    // What each of them tells goes to a file, which can be read while it waits.
    let told = |at: usize| desk.home.path().join(format!("told-{at}"));
    let read = |at: usize| std::fs::read_to_string(told(at)).expect("text");
    let mut started: Vec<_> = commands
        .iter()
        .enumerate()
        .map(|(at, arguments)| {
            let mut command = desk.command(arguments);
            command.stderr(std::fs::File::create(told(at)).expect("a file"));
            command.spawn().expect("the program starts")
        })
        .collect();
    let began = Instant::now();
    for at in 0..started.len() {
        while !read(at).contains("s so far") {
            assert!(began.elapsed() < Duration::from_secs(60), "{at}: {}", read(at));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    std::thread::sleep(LONG.saturating_sub(began.elapsed()));
    for child in &mut started {
        assert_eq!(child.try_wait().expect("a status"), None, "it waits");
    }
    drop(holder);
    for (at, child) in started.into_iter().enumerate() {
        let said = Said::of(child.wait_with_output().expect("it ends"));
        let said = Said { err: read(at), ..said };
        said.ends_with(0, &["waiting for PostgreSQL process", "an upgrade", "s so far"]);
    }
    let ran = values(
        &mut db,
        "SELECT COUNT(*) || ' ' || COUNT(DISTINCT version) AS value FROM __diesel_schema_migrations",
    );
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let known = std::fs::read_dir(folder).expect("migrations").count();
    assert_eq!(ran, [format!("{known} {known}")]);
    drop(other);
}

#[test]
fn an_import_waits_for_another_import_as_long_as_that_takes() {
    if !on_postgres() {
        return;
    }
    let desk = Desk::at(&postgres::fresh_database());
    let line = "{\"resourceType\":\"Organization\",\"id\":\"o\",\"name\":\"One\"}\n";
    std::fs::write(desk.home.path().join("one.ndjson"), line).expect("a file");
    // The first command brings the fresh store up, under the same lock.
    desk.run(&["operator", "token", "--role", "auditor"]).ends_with(0, &[]);
    let holder = held(&desk.url, "SELECT pg_advisory_lock(4919773)", Duration::from_secs(5));
    let said = desk.run(&["import", "one.ndjson", "--json"]);
    let ended = Instant::now();
    assert_eq!(said.json()["stored"], 1, "{said:?}");
    assert!(holder.join().expect("let go") <= ended, "it did not wait");
}

#[test]
fn a_role_that_may_not_change_the_schema_is_told_who_has_to() {
    if !on_postgres() {
        return;
    }
    let (url, mut db) = at_seven(3);
    let role = format!("data_{}", database(&url));
    db.batch_execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    ))
    .expect("a role");
    let desk = Desk::at(&as_role(&url, &role));
    for arguments in [
        &["partner", "list"][..],
        &["operator", "token", "--role", "auditor"],
        &["migrate"],
    ] {
        desk.run(arguments)
            .ends_with(2, &["SV-013", "causeway migrate", "00000000000008", &role]);
    }
    // And one that finds no store at all.
    let desk = Desk::at(&as_role(&postgres::fresh_database(), &role));
    desk.run(&["operator", "token", "--role", "auditor"])
        .ends_with(2, &["SV-013", "causeway migrate"]);
}

#[test]
fn an_index_of_a_large_table_is_built_beside_the_writes_of_others() {
    if !on_postgres() {
        return;
    }
    let (url, mut db) = at_seven(3);
    db.batch_execute(
        "INSERT INTO decision (id, partner_id, correlation_id, request_id, kind, outcome, policy_version, detail, created_ms) \
         SELECT 'd' || n, 'p' || n % 9, 'c', 'r' || n, 'match', 'none', 'v', '{}', n FROM generate_series(1, 50001) AS n",
    )
    .expect("rows");
    // What an interrupted run left: an index that is there and not valid.
    db.batch_execute("CREATE UNIQUE INDEX CONCURRENTLY decision_partner ON decision (partner_id)")
        .expect_err("several decisions of a partner");
    let state = "SELECT indexrelid::regclass || ' ' || indisvalid || ' ' || indisunique AS value FROM pg_index \
                 \
                 WHERE indexrelid::regclass::text IN ('decision_partner', 'decision_request', 'decision_grant') ORDER BY 1";
    assert_eq!(values(&mut db, state), ["decision_partner false true"]);
    Desk::at(&url).run(&["migrate"]).ends_with(
        0,
        &[
            "preparing migration 00000000000022: index decision_partner",
            "preparing migration 00000000000022: index decision_request",
            "preparing migration 00000000000022: index decision_grant",
        ],
    );
    let built = ["decision_grant", "decision_partner", "decision_request"].map(|name| format!("{name} true false"));
    assert_eq!(values(&mut db, state), built);
}

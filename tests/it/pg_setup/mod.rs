//! PostgreSQL as its operators set it up: upgrades, roles, schemas, poolers, standbys. Most of it is for PostgreSQL alone and does
//! nothing in the run on SQLite.

mod command;
mod files;
mod marks;
mod migrations;
mod pooler;
mod roles;
pub mod servers;
mod standby;

use crate::support::payer::binary;
use crate::support::postgres;
use causeway::store::Db;
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The values of a query that gives one column, `value`.
fn values(db: &mut Db, query: &str) -> Vec<String> {
    let found = diesel::sql_query(query).load::<Value>(db);
    let found = found.unwrap_or_else(|error| panic!("{query}: {error}"));
    found.into_iter().map(|row| row.value).collect()
}

/// A folder in which commands run on the store at `url`.
struct Desk {
    url: String,
    home: TempDir,
}

impl Desk {
    fn at(url: &str) -> Desk {
        Desk {
            url: url.to_owned(),
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_remove("DATABASE_URL")
            .env("CAUSEWAY_STORE__URL", &self.url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().expect("the program starts")
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().expect("the program runs"))
    }

    /// A whole server is asked to start, which it must refuse by itself.
    fn serve(&self) -> Said {
        let mut child = self.start(&["serve", "--dev"]);
        let began = Instant::now();
        while child.try_wait().expect("a status").is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Said::of(child.wait_with_output().expect("it ended"))
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Said {
        Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ends_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word} is not in {self:?}");
        }
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A database at the schema of before migration 8, with `rows` resources of which some are authorizations.
fn at_seven(rows: u32) -> (String, Db) {
    let url = postgres::fresh_database();
    let mut db = Db::Pg(diesel::PgConnection::establish(&url).expect("connects"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/postgres");
    let source = FileBasedMigrations::from_path(folder).expect("migrations");
    for migration in db.pending_migrations(source).expect("a list").iter().take(7) {
        db.run_migration(migration).expect("a migration");
    }
    db.batch_execute(&format!(
        "INSERT INTO resource (key, compartment, type, id, version, last_updated_ms, sensitivity, pa_state, pa_changed_ms, financial, \
         source_sha256, sha256, body) SELECT n * 7, 1, 'Basic', 'b' || n, 1, 1, 0, n % 3, 5, 0, '\\x01', '\\x01', \
         convert_to('{{\"resourceType\":\"Basic\",\"id\":\"b' || n || '\",\"code\":{{\"text\":\"x\"}}}}', 'UTF8') \
         FROM generate_series(1, {rows}) AS n"
    ))
    .expect("rows");
    (url, db)
}

/// The same address for another role.
fn as_role(url: &str, role: &str) -> String {
    url.replace("user=postgres", &format!("user={role}"))
}

/// The database that an address of the private cluster names.
fn database(url: &str) -> String {
    let rest = url.trim_start_matches("postgres:///");
    rest.split('?').next().expect("a name").to_owned()
}

//! A SQLite store that cannot be one is named as what it is, and what is there is not touched.

use super::Desk;
use crate::support::store::on_postgres;
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

fn desk() -> (Desk, PathBuf) {
    let folder = Desk::at("");
    let path = folder.home.path().join("causeway.db");
    let desk = Desk {
        url: format!("sqlite:{}", path.display()),
        ..folder
    };
    (desk, path)
}

fn sqlite(path: &Path) -> SqliteConnection {
    SqliteConnection::establish(path.to_str().expect("utf-8")).expect("opens")
}

const WRITING: &[&str] = &["operator", "token", "--role", "auditor"];
const READING: &[&str] = &["partner", "list"];

#[test]
fn a_folder_in_place_of_the_file_is_named() {
    if on_postgres() {
        return;
    }
    let (desk, path) = desk();
    std::fs::create_dir(&path).expect("a folder");
    for arguments in [WRITING, READING, &["migrate"], &["migrate", "--check"]] {
        desk.run(arguments).ends_with(2, &["SV-015", "is not a file"]);
    }
}

#[test]
fn a_file_of_another_program_is_left_as_it_is() {
    if on_postgres() {
        return;
    }
    for statements in [
        "PRAGMA application_id = 252006675; CREATE TABLE theirs (a INTEGER)",
        "CREATE TABLE theirs (a INTEGER)",
    ] {
        let (desk, path) = desk();
        sqlite(&path).batch_execute(statements).expect("a file");
        let before = std::fs::read(&path).expect("bytes");
        for arguments in [WRITING, READING, &["migrate"], &["migrate", "--check"]] {
            desk.run(arguments).ends_with(2, &["SV-015", "another program"]);
        }
        assert_eq!(
            std::fs::read(&path).expect("bytes"),
            before,
            "not even its journal mode"
        );
    }
}

#[test]
fn a_store_is_marked_in_its_header_also_one_of_before() {
    if on_postgres() {
        return;
    }
    let (desk, path) = desk();
    let mark = |path: &Path| {
        let settled = sqlite(path).batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
        settled.expect("what was written is in the file");
        let bytes = std::fs::read(path).expect("bytes");
        let field = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        (field(68), field(60))
    };
    desk.run(WRITING).ends_with(0, &[]);
    let marked = mark(&path);
    assert!(marked.0 == 0x4353_5759 && marked.1 >= 12, "{marked:?}");
    // Stores of before have no mark; this is one.
    sqlite(&path)
        .batch_execute("PRAGMA application_id = 0; PRAGMA user_version = 0")
        .expect("no mark");
    assert_eq!(mark(&path), (0, 0));
    desk.run(READING).ends_with(0, &[]);
    assert_eq!(mark(&path), marked);
}

/// Under a user of no rights, since no mode of a file keeps root out.
#[test]
fn a_file_or_a_folder_that_cannot_be_written_is_named() {
    if on_postgres() {
        return;
    }
    let (desk, path) = desk();
    desk.run(WRITING).ends_with(0, &[]);
    let home = desk.home.path();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    set(home, 0o755);
    for entry in std::fs::read_dir(home).expect("a folder") {
        set(&entry.expect("an entry").path(), 0o444);
    }
    let mut command = desk.command(WRITING);
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let said = super::Said::of(command.output().expect("the program runs"));
    said.ends_with(2, &["SV-016", &path.display().to_string()]);
}

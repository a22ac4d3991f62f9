//! `causeway backup` and `causeway restore`: a copy that is whole while others write, what is refused, what is lost, and that the restored
//! store signs under a new log only.

use super::store::{SOON, covered, folder};
use crate::support::payer::{TestPayer, program};
use crate::support::small_disk::SmallDisk;
use crate::support::store::on_postgres;
use causeway::audit::note::{Checkpoint, LogKey};
use causeway::secret::ed25519::Ed25519Key;
use causeway::secret::member_keys::MEMBER_KEYS_FILE;
use causeway::secret::{hex, sha256};
use causeway::store::{Store, StoreOptions, StoreUrl};
use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

const REASON: [&str; 2] = ["--reason", "a test"];

/// What is done to a backup.
type Change = fn(&Path);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("about it").permissions().mode() & 0o777
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A restore of the folder `backup`; its exit code and what it says.
fn restored(payer: &TestPayer, more: &[&str]) -> (i32, Value, String) {
    let arguments = [["restore", "backup", "--json"].as_slice(), &REASON, more].concat();
    let output = payer.command(&arguments);
    let told = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output.status.code().expect("an exit code"), told, said(&output))
}

/// The digests of the store and of the files of its log, and the names of all else in the folder of the store.
fn found(payer: &TestPayer) -> BTreeMap<PathBuf, Option<String>> {
    let files = |folder: &Path| -> Vec<PathBuf> {
        let inside = fs::read_dir(folder).into_iter().flatten();
        inside.map(|file| file.expect("a file").path()).collect()
    };
    let all = files(payer.home()).into_iter().chain(files(&folder(payer)));
    let is_stable = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        !["-shm", "-wal", ".lock"].iter().any(|end| name.ends_with(end))
    };
    let digest = |path: PathBuf| {
        let bytes = path.is_file().then(|| fs::read(&path).expect("read"));
        (path, bytes.map(|bytes| hex(&sha256(&bytes))))
    };
    all.filter(is_stable).map(digest).collect()
}

/// Checkpoints beside the keys, by the names of their logs.
fn signed(payer: &TestPayer) -> BTreeMap<String, String> {
    let inside = fs::read_dir(folder(payer)).expect("the folder of the log");
    let paths = inside.map(|file| file.expect("a file").path());
    let checkpoints = paths.filter(|path| path.extension().is_some_and(|end| end == "checkpoint"));
    checkpoints
        .map(|path| fs::read_to_string(path).expect("a note"))
        .map(|note| (note.lines().next().expect("a name").to_owned(), note))
        .collect()
}

#[test]
fn a_backup_while_others_write_is_whole_and_after_its_restore_only_a_new_log_signs() {
    if on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(3);
    payer.serve_with(&[SOON]);
    covered(&payer);
    let over = AtomicBool::new(false);
    let made = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                payer.command(&["partner", "suspend", "new-payer", "--reason", "a test"]);
                payer.command(&["partner", "resume", "new-payer", "--reason", "a test"]);
            }
        });
        let made = payer.json_command(&["backup", "backup"]);
        over.store(true, Ordering::Release);
        made
    });
    let backup = payer.home().join("backup");
    assert_eq!(mode(&backup), 0o700);
    let manifest = fs::read(backup.join("manifest.json")).expect("a manifest");
    assert_eq!(made["manifest_sha256"], hex(&sha256(&manifest)));
    let files = made["files"].as_array().expect("files");
    let names: Vec<&str> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    assert_eq!(names, ["causeway.db", "ledger.pub", "checkpoint"]);
    for file in files {
        let path = backup.join(file["name"].as_str().expect("a name"));
        assert_eq!(file["sha256"], hex(&sha256(&fs::read(&path).expect("a file"))));
        assert_eq!(mode(&path), 0o600);
    }
    assert_eq!(payer.count("ledger_entry WHERE action = 'store.backed-up'"), 1);
    let again = payer.command(&["backup", "backup"]);
    assert_eq!(again.status.code(), Some(3), "{}", said(&again));

    payer.command(&["partner", "suspend", "new-payer", "--reason", "after the backup"]);
    payer.json_command(&["policy", "activate", "balanced", "--reason", "after the backup"]);
    payer.json_command(&["operator", "token", "--role", "auditor", "--name", "lost"]);
    let tokens = payer.json_command(&["operator", "list"]);
    let token = tokens[0]["id"].as_str().expect("an id").to_owned();
    payer.json_command(&["operator", "revoke", &token]);
    let held = payer.member(0).patient_id;
    payer.json_command(&[
        "retention",
        "hold",
        "add",
        "--member",
        &held,
        "--reason",
        "after the backup",
    ]);
    let newest = covered(&payer);
    let newest = newest["note"].as_str().expect("a note");
    fs::write(payer.home().join("kept"), newest).expect("kept");
    let (code, _, told) = restored(&payer, &["--replace-newer"]);
    assert_eq!(code, 75, "a server has the store: {told}");
    assert_eq!(payer.terminate(), Some(0));

    let (entries, before) = (payer.count("ledger_entry"), found(&payer));
    for more in [&[] as &[&str], &["--replace"]] {
        let (code, _, told) = restored(&payer, more);
        assert!(
            code == 1 && told.contains("OP-010") && told.contains("--replace-newer"),
            "{told}"
        );
        assert_eq!(found(&payer), before, "nothing was changed");
    }
    let (old_log, last) = signed(&payer).pop_first().expect("a checkpoint");
    let (code, told, people) = restored(&payer, &["--replace-newer", "--against", "kept"]);
    assert_eq!(code, 0, "{people}");
    let lost = entries - made["entries"].as_i64().expect("a number");
    assert!(
        lost > 0 && told["lost"]["entries"].as_i64() == Some(lost),
        "{lost}: {told}"
    );
    assert_eq!(told["lost"]["after"], made["last_entry_at"]);
    assert!(
        told["lost"]["until"].as_str() > told["lost"]["after"].as_str(),
        "{told}"
    );
    let ended = told["ended_since"].as_array().expect("rights");
    let has = |action: &str, id: &str| ended.iter().any(|right| right["action"] == action && right["id"] == id);
    assert!(has("partner.suspended", "new-payer"), "{told}");
    assert!(has("operator.token-revoked", &token), "{told}");
    assert!(has("retention.hold-placed", &held), "it has to be placed again: {told}");
    let activated = ended.iter().find(|right| right["action"] == "policy.activated");
    assert!(activated.is_some_and(|right| right["id"].is_string()), "{told}");
    let old_store = PathBuf::from(told["old_store"].as_str().expect("a path"));
    assert_eq!(mode(&old_store), 0o600);

    payer.serve_with(&[SOON]);
    let told = covered(&payer);
    assert_ne!(told["origin"], old_log.as_str());
    assert_eq!(payer.count("ledger_entry WHERE action = 'store.restored'"), 1);
    assert_eq!(payer.count("ledger_entry WHERE action = 'ledger.log-begun'"), 1);
    assert_eq!(payer.terminate(), Some(0));
    assert_eq!(payer.command(&["audit", "verify"]).status.code(), Some(0));
    let now = signed(&payer);
    assert_eq!(
        (now.len(), now.get(&old_log)),
        (2, Some(&last)),
        "the old log signed nothing more"
    );
}

/// Writes the manifest so that it fits the files again.
fn fit(backup: &Path, change: impl FnOnce(&mut Value)) {
    let path = backup.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    for file in manifest["files"].as_array_mut().expect("files") {
        let bytes = fs::read(backup.join(file["name"].as_str().expect("a name"))).expect("a file");
        (file["bytes"], file["sha256"]) = (bytes.len().into(), hex(&sha256(&bytes)).into());
    }
    change(&mut manifest);
    fs::write(path, manifest.to_string()).expect("written");
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("read");
    change(&mut bytes);
    fs::write(path, bytes).expect("written");
}

fn sql(path: &Path, statement: &str) {
    let mut db = SqliteConnection::establish(&path.to_string_lossy()).expect("a database");
    db.batch_execute(statement).expect(statement);
}

#[test]
#[allow(clippy::too_many_lines)] // one row for each change
fn a_backup_that_was_changed_is_refused_and_nothing_is_made_of_it() {
    if on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    let made = payer.json_command(&["backup", "whole"]);
    assert_eq!(payer.terminate(), Some(0));
    let (home, whole) = (payer.home().to_path_buf(), payer.home().join("whole"));
    let (log, kept) = (&made["log"], made["manifest_sha256"].as_str().expect("a digest"));
    let key = log["key"].as_str().and_then(LogKey::parse).expect("a key");
    // The store is gone; only the files of its log are left.
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("causeway.db{end}")));
    }
    let log_id = log["id"].as_str().expect("an id");
    let private = fs::read_to_string(folder(&payer).join(format!("{log_id}.key"))).expect("a key");
    let private = Ed25519Key::from_pem(&private).expect("a key");
    let forged = Checkpoint {
        origin: key.name.clone(),
        size: 1,
        root: [7; 32],
    };
    let forged = key.note(&forged, &private.sign(forged.text().as_bytes()));
    fs::write(home.join("forged"), forged).expect("written");
    let other = super::Log::new();
    fs::write(home.join("other"), other.note(&super::numbered(3))).expect("written");

    let cases: [(&str, Change, &[&str], i32); 14] = [
        (
            "a byte of the store",
            |at| edit(&at.join("causeway.db"), |bytes| bytes[5_000] ^= 1),
            &[],
            70,
        ),
        (
            "a byte of the checkpoint",
            |at| edit(&at.join("checkpoint"), |bytes| bytes[3] ^= 1),
            &[],
            70,
        ),
        (
            "a store that is cut off",
            |at| edit(&at.join("causeway.db"), |bytes| bytes.truncate(9_000)),
            &[],
            3,
        ),
        (
            "a file that is gone",
            |at| fs::remove_file(at.join("causeway.db")).expect("removed"),
            &[],
            3,
        ),
        (
            "no manifest",
            |at| fs::remove_file(at.join("manifest.json")).expect("removed"),
            &[],
            3,
        ),
        (
            "a manifest that is no JSON",
            |at| edit(&at.join("manifest.json"), |bytes| bytes.truncate(40)),
            &[],
            3,
        ),
        (
            "another file in the manifest",
            |at| fit(at, |manifest| manifest["files"][0]["name"] = "../x".into()),
            &[],
            70,
        ),
        (
            "another number of entries",
            |at| fit(at, |manifest| manifest["entries"] = 1.into()),
            &[],
            70,
        ),
        (
            "an entry of the ledger",
            |at| {
                let store = at.join("causeway.db");
                sql(
                    &store,
                    "UPDATE ledger_entry SET entry = CAST('{}' AS BLOB) WHERE id IN (SELECT entry_id FROM ledger_leaf WHERE idx = 1)",
                );
                fit(at, |_| {});
            },
            &[],
            70,
        ),
        (
            "another log in the manifest, which has no checkpoint beside its key",
            |at| fit(at, |manifest| manifest["log"]["id"] = "0011223344556677".into()),
            &[],
            70,
        ),
        (
            "all that was signed of the ledger",
            |at| {
                let store = at.join("causeway.db");
                sql(
                    &store,
                    "DELETE FROM ledger_checkpoint; DELETE FROM ledger_tile; DELETE FROM ledger_leaf",
                );
                sql(&store, "UPDATE ledger_tree SET size = 0, edge = x'', settled = ''");
                sql(&store, "UPDATE ledger_entry SET entry = CAST('{}' AS BLOB)");
                fit(at, |manifest| manifest["log"]["checkpoint"] = Value::Null);
            },
            &[],
            70,
        ),
        (
            "another table, with a manifest that fits",
            |at| {
                sql(&at.join("causeway.db"), "UPDATE partner SET name = 'Somebody Else'");
                fit(at, |_| {});
            },
            &["--manifest-sha256", kept],
            70,
        ),
        (
            "nothing, against a checkpoint of another history",
            |_| {},
            &["--against", "forged"],
            70,
        ),
        (
            "nothing, against a checkpoint of another log",
            |_| {},
            &["--against", "other"],
            2,
        ),
    ];
    let backup = home.join("backup");
    for (what, change, more, code) in cases {
        fs::create_dir(&backup).expect("made");
        for file in fs::read_dir(&whole).expect("files") {
            let path = file.expect("a file").path();
            fs::copy(&path, backup.join(path.file_name().expect("a name"))).expect("copied");
        }
        change(&backup);
        let before = found(&payer);
        let (found_code, told, people) = restored(&payer, more);
        assert_eq!((found_code, told), (code, Value::Null), "{what}: {people}");
        assert_eq!(found(&payer), before, "{what}");
        fs::remove_dir_all(&backup).expect("removed");
    }
    fs::rename(&whole, &backup).expect("renamed");
    // What is left of a store that is gone must not be played into the restored one.
    let left = ["-wal", "-journal"].map(|end| home.join(format!("causeway.db{end}")));
    left.iter().for_each(|path| fs::write(path, "left").expect("written"));
    let (code, told, people) = restored(&payer, &[]);
    assert_eq!(code, 0, "{people}");
    assert_eq!(left.map(|path| path.exists()), [false; 2]);
    assert!(
        told["lost"]["entries"].as_i64() > Some(0),
        "the file beside the key knows more: {told}"
    );
    assert_eq!(told["old_store"], Value::Null);
    payer.serve_with(&[SOON]);
    assert_ne!(covered(&payer)["origin"], key.name.as_str());
    assert_eq!(payer.terminate(), Some(0));

    // A store that cannot be read.
    fs::write(home.join("causeway.db"), vec![b'?'; 20_000]).expect("written");
    let (code, _, people) = restored(&payer, &["--replace"]);
    assert!(code == 1 && people.contains("OP-010"), "{people}");
    let (code, told, people) = restored(&payer, &["--replace-newer"]);
    assert_eq!(code, 0, "{people}");
    let kept = fs::read(told["old_store"].as_str().expect("a path")).expect("the old store");
    assert_eq!(kept, vec![b'?'; 20_000]);
    payer.serve_with(&[SOON]);
    covered(&payer);
}

#[test]
fn a_restore_says_when_the_file_of_keys_of_what_is_sealed_is_not_there() {
    if on_postgres() {
        return;
    }
    let (mut payer, _) = TestPayer::prepare(1);
    payer.serve_with(&[SOON]);
    covered(&payer);
    // As after a reason was sealed.
    payer.execute("INSERT INTO member_key (code, slot) VALUES ('code', x'00')");
    payer.json_command(&["backup", "backup"]);
    assert_eq!(payer.terminate(), Some(0));
    for is_there in [false, true] {
        if is_there {
            fs::write(payer.home().join(MEMBER_KEYS_FILE), "").expect("put back");
        }
        fs::remove_file(payer.home().join("causeway.db")).expect("removed");
        let (code, told, people) = restored(&payer, &[]);
        assert_eq!(
            (code, told["lacks_member_keys"].as_bool()),
            (0, Some(!is_there)),
            "{people}"
        );
    }
}

#[test]
fn a_disk_without_room_for_a_backup_is_told_and_nothing_stays_there() {
    if on_postgres() {
        return;
    }
    let Some(disk) = SmallDisk::mount(4, "a backup onto a full disk is not tried") else {
        return;
    };
    let (payer, _) = TestPayer::prepare(1);
    disk.fill(200 * 1024);
    let folder = disk.path().join("backup");
    let output = payer.command(&["backup", &folder.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(
        told.contains("SV-009") && told.contains(&folder.display().to_string()),
        "{told}"
    );
    assert!(!folder.exists());
    assert_eq!(payer.count("ledger_entry WHERE action = 'store.backed-up'"), 0);
}

#[test]
fn a_copy_that_finds_no_room_on_the_way_is_told_and_leaves_nothing() {
    let Some(disk) = SmallDisk::mount(4, "a copy onto a full disk is not tried") else {
        return;
    };
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("causeway.db");
    drop(Store::open(&StoreUrl::Sqlite(path.clone()), &StoreOptions::default()).expect("a store"));
    disk.fill(64 * 1024);
    let to = disk.path().join("copy.db");
    fs::write(&to, b"").expect("made");
    let failure = causeway::store::copy::copy(&path, &to, &mut |_| {}).expect_err("no room");
    assert_eq!(failure.fault(), causeway::error::Fault::NoRoom, "{failure:?}");
}

#[test]
fn both_commands_say_that_they_are_for_sqlite() {
    let place = tempfile::tempdir().expect("a folder");
    for arguments in [&["backup", "b"][..], &["restore", "b", "--reason", "a test"]] {
        let output = program(place.path())
            .args(arguments)
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
            .output()
            .expect("it runs");
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("docs/operators/backup.md"), "{told}");
    }
}

//! The tree over the ledger: appended, signed, exported, proved and verified, by our verifier and by the one in Python.

mod backup;
mod evidence;
mod evidence_gone;
mod evidence_keys;
mod evidence_opened;
mod evidence_sealed;
mod handed;
mod kills;
mod mutations;
mod no_room;
mod packets;
mod sizes;
pub mod store;
mod storm;
mod witness;

use causeway::audit::cosignature::WitnessKey;
use causeway::audit::folder::ExportedLedger;
use causeway::audit::note::{Checkpoint, LogKey};
use causeway::audit::tree::edge::{FullTile, TreeEdge};
use causeway::audit::tree::leaf_hash;
use causeway::audit::tree::tiles::{TileAt, WIDTH, all, put_entry, tile_bytes};
use causeway::audit::verify::{LedgerResult, LedgerVerdict, verify};
use causeway::secret::ed25519::Ed25519Key;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A log that a test keeps in memory: its key, and its entries.
pub struct Log {
    pub key: LogKey,
    pub signing: Ed25519Key,
}

impl Log {
    pub fn new() -> Log {
        let (signing, _) = Ed25519Key::make().expect("a key");
        let key = LogKey {
            name: "payer.example/audit/0123".to_owned(),
            public: signing.public(),
        };
        Log { key, signing }
    }

    /// The signed checkpoint of these entries.
    pub fn note(&self, entries: &[Vec<u8>]) -> String {
        let mut edge = TreeEdge::default();
        entries
            .iter()
            .for_each(|entry| edge.push(leaf_hash(entry), &mut |_| {}));
        let checkpoint = Checkpoint {
            origin: self.key.name.clone(),
            size: edge.size(),
            root: edge.root(),
        };
        self.key
            .note(&checkpoint, &self.signing.sign(checkpoint.text().as_bytes()))
    }

    /// An export of these entries, by its files.
    pub fn export(&self, entries: &[Vec<u8>]) -> Files {
        let (mut edge, mut full) = (TreeEdge::default(), BTreeMap::new());
        for entry in entries {
            edge.push(leaf_hash(entry), &mut |tile: FullTile| {
                full.insert((tile.level, tile.n), tile.hashes);
            });
        }
        let mut files = Files::new();
        for at in all(edge.size()) {
            let hashes = full.get(&(at.level, at.n)).map_or(edge.tile(at.level), Vec::as_slice);
            files.insert(at.path(), tile_bytes(hashes));
            if at.level == 0 {
                let first = at.n as usize * WIDTH;
                files.insert(at.entries_path(), bundle(&entries[first..first + at.width]));
            }
        }
        files.insert("checkpoint".to_owned(), self.note(entries).into_bytes());
        files.insert("key".to_owned(), format!("{}\n", self.key.text()).into_bytes());
        files
    }
}

/// So many entries.
pub fn numbered(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| format!("{{\"action\":\"test.{n}\",\"v\":1}}").into_bytes())
        .collect()
}

/// The files of an export, by their paths.
pub type Files = BTreeMap<String, Vec<u8>>;

pub fn bundle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bundle = Vec::new();
    assert!(entries.iter().all(|entry| put_entry(&mut bundle, entry)));
    bundle
}

pub fn write(folder: &Path, files: &Files) {
    let _ = fs::remove_dir_all(folder);
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }
}

/// The path of the entries with this index.
pub fn place(index: usize, size: usize) -> (String, String, usize) {
    let at = TileAt::of(0, (index / WIDTH) as u64, size as u64);
    (at.entries_path(), at.path(), index % WIDTH)
}

pub fn ours(folder: &Path, key: &LogKey, against: Option<&str>) -> LedgerVerdict {
    ours_with(folder, key, against, None)
}

/// The same with the cosignature of this witness.
pub fn ours_with(folder: &Path, key: &LogKey, against: Option<&str>, witness: Option<&WitnessKey>) -> LedgerVerdict {
    let against = against.map(|note| key.open(note).expect("a checkpoint of this log"));
    let mut ledger = ExportedLedger::open(folder).expect("a folder");
    verify(&mut ledger, key, against.as_ref(), witness).expect("read")
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/conformance/verify_ledger.py");

/// What the verifier in Python says: exit code, first bad index.
pub fn python(folder: &Path, key: &LogKey, against: Option<&str>) -> (i32, Option<u64>, String) {
    python_with(folder, key, against, None)
}

/// The same with the cosignature of this witness.
pub fn python_with(
    folder: &Path,
    key: &LogKey,
    against: Option<&str>,
    witness: Option<&WitnessKey>,
) -> (i32, Option<u64>, String) {
    let mut command = Command::new("python3");
    command
        .args(["-B", SCRIPT])
        .arg(folder)
        .args(["--json", "--key", &key.text()]);
    if let Some(witness) = witness {
        command.args(["--witness", &witness.text()]);
    }
    if let Some(note) = against {
        let kept = folder.with_extension("kept");
        fs::write(&kept, note).expect("written");
        command.arg("--against").arg(kept);
    }
    let output = command.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (
        output.status.code().expect("an exit code"),
        told["first_bad"].as_u64(),
        said,
    )
}

/// The verifier in Python as one process for many exports.
pub struct PythonBatch {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl PythonBatch {
    pub fn new() -> PythonBatch {
        let mut child = Command::new("python3")
            .args(["-B", SCRIPT, "--batch"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        let answers = BufReader::new(child.stdout.take().expect("its answers"));
        PythonBatch { child, answers }
    }

    /// What it says of an export: exit code, first bad index, all of the answer.
    pub fn ask(&mut self, folder: &Path, key: &LogKey, against: &Path) -> (i32, Option<u64>, String) {
        let (folder, against) = (folder.display(), against.display());
        self.told(&format!("'{folder}' --key '{}' --against '{against}'", key.text()))
    }

    /// What it says to this line of arguments.
    pub fn told(&mut self, line: &str) -> (i32, Option<u64>, String) {
        let stdin = self.child.stdin.as_mut().expect("its input");
        writeln!(stdin, "{line}").expect("asked");
        let mut said = String::new();
        self.answers.read_line(&mut said).expect("an answer");
        let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        let code = told["exit"].as_i64().and_then(|code| i32::try_from(code).ok());
        (code.expect("an exit code"), told["first_bad"].as_u64(), said)
    }
}

impl Drop for PythonBatch {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

pub fn exit(result: LedgerResult) -> i32 {
    match result {
        LedgerResult::Ok => 0,
        LedgerResult::Tampered => 1,
        LedgerResult::Incomplete => 3,
        LedgerResult::Forked => 70,
    }
}

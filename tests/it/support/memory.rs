//! Room in memory for files that no test asks to outlive the machine: a sync of them takes no time, and all that a killed process had written
//! is there as on a disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

const MEMORY: &str = "/dev/shm";
/// Begins the names of the folders there, one for each process.
const NAME: &str = "causeway-it.";
/// So much must be free, of the folder and of the machine's memory: less is left to the machine. More than the 4 GiB that the program leaves free
/// when it makes exports.
const AMPLE: u64 = 6 * 1024 * 1024 * 1024;

/// The folder whose files are in memory, where the machine has one with ample room.
pub fn folder() -> Option<&'static Path> {
    let folder = Path::new(MEMORY);
    let said = rustix::fs::statvfs(folder).ok()?;
    (said.f_bavail * said.f_frsize >= AMPLE && free().is_none_or(|free| free >= AMPLE)).then_some(folder)
}

/// Bytes of memory that programs can still have, of the machine and of a container that has less.
fn free() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    Some(in_container().map_or(machine, |left| left.min(machine)))
}

/// What is left to the control group of this process, and to those above it: of version 1 and of version 2.
fn in_container() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let left = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kind, path) = (parts.next()?, parts.next()?);
        let (root, most, now) = match kind {
            "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
            kind if kind.split(',').any(|one| one == "memory") => (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            ),
            _ => return None,
        };
        let number = |path: PathBuf| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let above = Path::new(path.trim_start_matches('/')).ancestors();
        above
            .filter_map(|at| {
                let at = Path::new(root).join(at);
                Some(number(at.join(most))?.saturating_sub(number(at.join(now))?))
            })
            .min()
    };
    groups.lines().filter_map(left).min()
}

/// A temporary folder there, else on the disk.
pub fn temporary() -> TempDir {
    folder()
        .and_then(|_| tempfile::tempdir_in(own()?).ok())
        .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"))
}

/// The folder of this process there. Those of processes that are gone, however they ended, are removed first: nobody has their lock.
fn own() -> Option<&'static Path> {
    static OWN: OnceLock<Option<(PathBuf, File)>> = OnceLock::new();
    let made = OWN.get_or_init(|| {
        for entry in std::fs::read_dir(MEMORY).ok()?.flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(NAME);
            if is_ours && let Some(_held) = locked(&entry.path()) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let path = tempfile::Builder::new().prefix(NAME).tempdir_in(MEMORY).ok()?.keep();
        let file = locked(&path)?;
        // Another process may have removed it before it had its lock.
        path.exists().then_some((path, file))
    });
    made.as_ref().map(|(path, _)| path.as_path())
}

/// The folder, locked for as long as the file is open, unless another process has it.
fn locked(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

//! Room in memory for files that no test asks to outlive the machine: a sync of them takes no time, and all that a killed process had written
//! is there as on a disk.

use std::path::Path;
use tempfile::TempDir;

/// So much must be free, of the folder and of the machine's memory: less is left to the machine.
const AMPLE: u64 = 4 * 1024 * 1024 * 1024;

/// The folder whose files are in memory, where the machine has one with ample room.
pub fn folder() -> Option<&'static Path> {
    let folder = Path::new("/dev/shm");
    let said = rustix::fs::statvfs(folder).ok()?;
    (said.f_bavail * said.f_frsize >= AMPLE && free().is_none_or(|free| free >= AMPLE)).then_some(folder)
}

/// Bytes of memory that programs can still have, of the machine and of a container that has less.
fn free() -> Option<u64> {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine = line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024;
    let container = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    Some(container.map_or(machine, |container| container.min(machine)))
}

/// A temporary folder there, else on the disk.
pub fn temporary() -> TempDir {
    folder()
        .and_then(|folder| tempfile::tempdir_in(folder).ok())
        .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"))
}

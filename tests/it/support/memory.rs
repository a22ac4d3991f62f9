//! Room in memory for files that no test asks to outlive the machine: a sync of them takes no time, and all that a killed process had written
//! is there as on a disk.

use std::path::Path;
use tempfile::TempDir;

/// So much must be free: less is left to the machine.
const AMPLE: u64 = 4 * 1024 * 1024 * 1024;

/// The folder whose files are in memory, where the machine has one with ample room.
pub fn folder() -> Option<&'static Path> {
    let folder = Path::new("/dev/shm");
    let said = rustix::fs::statvfs(folder).ok()?;
    (said.f_bavail * said.f_frsize >= AMPLE).then_some(folder)
}

/// A temporary folder there, else on the disk.
pub fn temporary() -> TempDir {
    folder()
        .and_then(|folder| tempfile::tempdir_in(folder).ok())
        .unwrap_or_else(|| tempfile::tempdir().expect("a temporary folder"))
}

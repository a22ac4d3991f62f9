//! A disk of a few MiB, to be filled to its last byte: a tmpfs, mounted as root.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Mounted until dropped.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// A disk of so many MiB; `None`, told on stderr with `instead`, where mounting is not allowed.
    pub fn mount(mib: u64, instead: &str) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("a folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=0755"), "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if done.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder));
        }
        // Past the test harness, which keeps what passing tests print to itself.
        let line = format!("NOTE: no small disk could be mounted (not root?): {instead}\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all that is free but `left` bytes. May be called again.
    pub fn fill(&self, left: u64) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file");
        loop {
            let free = self.free();
            let piece = usize::try_from(free.saturating_sub(left).min(1024 * 1024)).expect("small");
            if piece == 0 || file.write_all(&vec![0; piece]).is_err() {
                return;
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("a filler");
    }

    pub fn free(&self) -> u64 {
        let said = rustix::fs::statvfs(self.path()).expect("a disk");
        said.f_bavail * said.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

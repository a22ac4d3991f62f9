//! Whose resources a file of a run has, as the list at its end says; and the removal of a file that never came to its end. Nothing here
//! decides who may read a file.

use std::fs;
use std::path::PathBuf;

/// Whose resources a file has, and how much of it they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberShare {
    /// The grant under which the member's resources were written.
    pub grant_id: String,
    /// Bytes of the resources.
    pub bytes: u64,
    /// How many.
    pub resources: u64,
    /// Of how many of them a part was cut; none in files of before.
    pub cut: Option<u64>,
}

impl MemberShare {
    /// Its line in the list.
    pub(super) fn line(&self) -> String {
        let cut = self.cut.unwrap_or(0);
        format!("{} {} {} {cut}\n", self.grant_id, self.bytes, self.resources)
    }

    /// Reads its line, without the end.
    pub(super) fn read(line: &str) -> Option<MemberShare> {
        let mut words = line.split(' ');
        Some(MemberShare {
            grant_id: words.next()?.to_owned(),
            bytes: words.next()?.parse().ok()?,
            resources: words.next()?.parse().ok()?,
            cut: words.next().and_then(|cut| cut.parse().ok()),
        })
    }
}

/// Removes a file that was not finished, so that attempts that fail do not fill the disk. What stays goes with the folder of its run.
pub(super) struct Unfinished(Option<PathBuf>);

impl Unfinished {
    /// A file at this path that is being written.
    pub(super) fn at(path: PathBuf) -> Unfinished {
        Unfinished(Some(path))
    }

    /// It came to its end, and stays.
    pub(super) fn is_whole(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

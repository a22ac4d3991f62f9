//! The folder of a measurement. It removes what is in it, and nothing else.

use crate::error::{Failure, Fault};
use crate::secret;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// A private folder that is removed when this is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn make(parent: &Path) -> Result<Folder, Failure> {
        let path = parent.join(format!("bench-{}", secret::hex(&secret::random::<4>())));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(Fault::InputUnreadable).at("bench folder").because(error))?;
        Ok(Folder(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

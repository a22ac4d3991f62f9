//! The folder of a measurement, which is removed at the end, or one that stays.

use crate::error::{Failure, Fault};
use crate::secret;
use crate::store::remove_folder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A private folder that is removed when this is dropped, unless it was named to be kept.
pub(super) struct Folder {
    path: PathBuf,
    stays: bool,
}

impl Folder {
    pub(super) fn make(parent: &Path) -> Result<Folder, Failure> {
        let path = parent.join(format!("bench-{}", secret::hex(&secret::random::<4>())));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(Fault::InputUnreadable).at("bench folder").because(error))?;
        Ok(Folder { path, stays: false })
    }

    /// The folder with this path, which stays: made now, or empty.
    ///
    /// # Errors
    /// [`Fault::InputUnreadable`] when something is in it, or when it cannot be made.
    pub(super) fn keep(path: &Path) -> Result<Folder, Failure> {
        let refused = || {
            let remedy = "Name a folder that is not there yet or is empty, and that can be written.";
            Failure::new(Fault::InputUnreadable)
                .at(path.display().to_string())
                .remedy(remedy)
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| refused().because(error))?;
        let mut found = std::fs::read_dir(path).map_err(|error| refused().because(error))?;
        match found.next() {
            None => {
                // What is kept there may name a database with its password.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
                    .map_err(|error| refused().because(error))?;
                Ok(Folder::kept(path))
            }
            Some(_) => Err(refused()),
        }
    }

    /// A folder that was kept before.
    pub(super) fn kept(path: &Path) -> Folder {
        Folder {
            path: path.to_path_buf(),
            stays: true,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.stays {
            let _ = remove_folder(&self.path);
        }
    }
}

//! What a payer has, kept aside to be put back: for tests that do the same to it in several ways. No process may use the store meanwhile.

use super::payer::TestPayer;
use super::store::on_postgres;
use super::{memory, postgres};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use tempfile::TempDir;

/// A payer's folder and store as they were.
pub struct Aside {
    folder: TempDir,
    database: Option<(String, postgres::Passing)>,
}

impl Aside {
    pub fn of(payer: &TestPayer) -> Aside {
        let folder = memory::temporary();
        copy(payer.home(), folder.path());
        drop(payer.kept_look());
        Aside {
            folder,
            database: on_postgres().then(|| {
                let address = postgres::copied(&payer.place.url_text());
                let passing = postgres::Passing::of(&address);
                (address, passing)
            }),
        }
    }

    pub fn put_back(&self, payer: &TestPayer) {
        drop(payer.kept_look());
        for entry in fs::read_dir(payer.home()).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => fs::remove_dir_all(&path).expect("removed"),
                false => fs::remove_file(&path).expect("removed"),
            }
        }
        copy(self.folder.path(), payer.home());
        if let Some((kept, _)) = &self.database {
            postgres::put_back(&payer.place.url_text(), kept);
        }
    }
}

/// Folders and files, with their modes; sockets are of processes that are gone.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let (there, about) = (to.join(path.file_name().expect("a name")), fs::symlink_metadata(&path));
        let about = about.expect("about it");
        if about.is_dir() {
            fs::create_dir(&there).expect("a folder");
            copy(&path, &there);
            fs::set_permissions(&there, about.permissions()).expect("a mode");
        } else if about.is_file() {
            fs::copy(&path, &there).expect("a copy");
        } else {
            assert!(about.file_type().is_socket(), "{} is not copied", path.display());
        }
    }
}

//! Names the stores near the working folder to whoever looks for one where none is. It reads names and the first bytes of files, and
//! follows no link.

use crate::error::Failure;
use crate::store;
use std::path::{Path, PathBuf};

/// The folder in which commands, the demonstration and `serve --dev` keep their data unless told otherwise.
const DATA: &str = "causeway-data";
/// How many folders above the working folder are looked at.
const ABOVE: usize = 4;
/// How many folders deep a data folder is looked at: `demo/old-payer` is two.
const DEEP: usize = 3;
/// How many entries of one folder are looked at.
const ENTRIES: usize = 200;
/// How many stores are named.
const NAMED: usize = 3;

/// Adds to the failure of a missing store where stores are, and how to name one.
pub fn named(failure: Failure, cwd: &Path) -> Failure {
    let mut found = near(cwd);
    if found.is_empty() {
        return failure;
    }
    found.truncate(NAMED);
    let mut told = failure.operator_remedy_text().to_owned();
    for path in &found {
        told.push_str(&format!(
            "\n  nearby: export CAUSEWAY_STORE__URL=sqlite:{}",
            path.display()
        ));
    }
    failure.remedy(told)
}

/// The stores in the data folders of `cwd` and of the folders above it, the nearest first.
fn near(cwd: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in cwd.ancestors().take(ABOVE) {
        look(&folder.join(DATA), DEEP, &mut found);
    }
    found
}

fn look(folder: &Path, deep: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().take(ENTRIES).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => folders.push(path),
            Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "db") && store::is_store(&path) => {
                found.push(path);
            }
            _ => {}
        }
    }
    if deep > 1 {
        for folder in folders {
            look(&folder, deep - 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;
    use crate::store::{Store, StoreOptions, StoreUrl};

    fn missing() -> Failure {
        Failure::new(Fault::StoreMissing).remedy("There is no store at sqlite:x.db: correct store.url.")
    }

    #[test]
    fn a_store_nearby_is_named_and_a_foreign_file_is_not() {
        let home = tempfile::tempdir().expect("a folder");
        let below = home.path().join("work");
        let demo = home.path().join("causeway-data/demo/old-payer");
        std::fs::create_dir_all(&demo).expect("folders");
        std::fs::create_dir_all(&below).expect("a folder");
        std::fs::write(demo.join("foreign.db"), "not a store").expect("a file");
        assert_eq!(
            named(missing(), &below).operator_remedy_text(),
            missing().operator_remedy_text()
        );
        let path = demo.join("causeway.db");
        drop(Store::open(&StoreUrl::Sqlite(path.clone()), &StoreOptions::default()).expect("a store"));
        // Its threads write the last pages after it was dropped.
        let begun = std::time::Instant::now();
        while near(&below).is_empty() && begun.elapsed().as_secs() < 120 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(near(&below), std::slice::from_ref(&path));
        let failure = named(missing(), &below);
        let told = failure.operator_remedy_text();
        let last = format!("nearby: export CAUSEWAY_STORE__URL=sqlite:{}", path.display());
        assert!(
            told.starts_with("There is no store at sqlite:x.db") && told.ends_with(&last),
            "{told}"
        );
    }
}

//! Files that are being written while an attempt that lost its lease tidies the same folder.

use super::bed::{Bed, DEED, Deed, LEASE_MS};
use causeway::bulk::files::{BulkFiles, new_name};
use causeway::config::Config;
use causeway::error::Fault;
use causeway::jobs::take_back;
use causeway::store::bulk::{BulkFileRow, OUTPUT};
use std::collections::HashSet;
use std::path::Path;

fn files(folder: &Path) -> BulkFiles {
    let set = [
        (
            "CAUSEWAY_STORE__URL",
            format!("sqlite:{}/causeway.db", folder.display()),
        ),
        ("CAUSEWAY_EXPORTS__URL", format!("file:{}/exports", folder.display())),
    ];
    let set = set.map(|(name, value)| (name.to_owned(), value));
    BulkFiles::new(&Config::load(None, set).expect("a configuration"))
}

fn written(files: &BulkFiles, job: &str) -> BulkFileRow {
    let mut file = files.begin(job, 0, OUTPUT, "Patient").expect("begun");
    file.line("g", b"{}").expect("written");
    file.finish(1).expect("whole")
}

#[test]
fn whoever_lost_its_lease_removes_no_file_of_the_attempt_after_it() {
    let (bed, folder) = (Bed::new(), tempfile::tempdir().expect("a folder"));
    let (files, job) = (files(folder.path()), new_name());
    files.make(&job).expect("made");
    let runner = bed.runner(vec![Deed::that(&[])]);
    for is_taken_back in [true, false] {
        bed.hand_in("x", None);
        let late = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
        let (own, left) = (written(&files, &job), written(&files, &job));
        let names = HashSet::from([own.name.as_str()]);
        files.keep_only(&late, &job, &names).expect("tidied");
        assert!(files.open(&own).is_ok() && files.open(&left).is_err());

        if is_taken_back {
            let gone = bed.ctx.store.write_blocking(|db| take_back(db, &DEED, "x"));
            assert!(gone.expect("written") && bed.hand_in("x", None));
        } else {
            bed.ctx.clock.advance_ms(LEASE_MS + 1);
        }
        let next = bed.block(runner.claim(1, &[])).expect("claimed").held.remove(0);
        let new = written(&files, &job);
        let refused = files.keep_only(&late, &job, &names).expect_err("lost");
        assert_eq!(refused.fault(), Fault::LeaseLost);
        assert!(files.open(&new).is_ok(), "its row comes later");
        files
            .keep_only(&next, &job, &HashSet::from([new.name.as_str()]))
            .expect("tidied");
        assert!(files.open(&new).is_ok() && files.open(&own).is_err());
        let gone = bed.ctx.store.write_blocking(|db| take_back(db, &DEED, "x"));
        assert!(gone.expect("written"));
    }
}

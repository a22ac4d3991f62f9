//! Files of runs: what is read is what was written, and nobody else can read it.

use super::*;
use crate::store::bulk::OUTPUT;
use std::io::Write as _;
use std::path::Path;

fn files(folder: &Path) -> BulkFiles {
    BulkFiles(Arc::new(Inner {
        folder: folder.join("exports"),
        objects: None,
        keys: folder.join(KEYS_FILE),
        vault: OnceLock::new(),
    }))
}

#[test]
fn a_file_is_read_as_it_was_written_and_nobody_else_can_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (files, job) = (files(folder.path()), new_name());
    files.make(&job).expect("made");
    let mut writer = files.begin(&job, 0, OUTPUT, "Patient").expect("begun");
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(3 * PIECE_BYTES));
    writer.line("g1", long.as_bytes()).expect("written");
    writer.line("g1", b"{\n\"id\": 2}").expect("written");
    writer.line("g2", b"{}").expect("written");
    let row = writer.finish(5).expect("whole");
    let wanted = format!("{long}\n{{ \"id\": 2}}\n{{}}\n");
    assert_eq!((row.resources, row.bytes), (3, wanted.len() as i64));
    assert_eq!(row.sha256, crate::secret::sha256(wanted.as_bytes()));
    let reader = files.open(&row).expect("there");
    assert_eq!(reader.text().expect("readable"), wanted);
    for (first, end) in [
        (0, 5),
        (PIECE_BYTES - 1, PIECE_BYTES + 1),
        (70_000, 200_000),
        (7, usize::MAX),
    ] {
        let (mut some, mut at) = (Vec::new(), first as u64);
        while let Some(bytes) = reader.bytes(at, end as u64).expect("readable") {
            at += bytes.len() as u64;
            some.extend(bytes);
        }
        assert_eq!(some, &wanted.as_bytes()[first..end.min(wanted.len())]);
    }
    assert_eq!(reader.bytes(row.bytes as u64, u64::MAX).expect("its end"), None);
    let shares = reader.shares().expect("a list");
    assert_eq!(
        shares
            .iter()
            .map(|one| (one.grant_id.as_str(), one.resources))
            .collect::<Vec<_>>(),
        [("g1", 2), ("g2", 1)]
    );
    assert_eq!(shares.iter().map(|one| one.bytes).sum::<u64>(), row.bytes as u64);
    let path = files.folder_of(&job).join(&row.name);
    let sealed = fs::read(&path).expect("bytes");
    assert!(!sealed.windows(20).any(|some| some == &long.as_bytes()[20..40]));
    let mut changed = sealed.clone();
    changed[200] ^= 1;
    fs::write(&path, &changed).expect("written");
    assert_eq!(reader_fault(&files, &row), Fault::BulkFolder);
    fs::write(&path, &sealed[..sealed.len() / 2]).expect("written");
    assert_eq!(reader_fault(&files, &row), Fault::BulkFolder);
    let there = || fs::read_dir(files.folder_of(&job)).expect("a folder").count();
    assert_eq!(there(), 1);
    let mut writer = files.begin(&job, 0, OUTPUT, "Goal").expect("begun");
    writer.line("", b"{}").expect("written");
    assert_eq!(there(), 2);
    drop(writer);
    assert_eq!(there(), 1, "what was not finished");
    files.remove(&job).expect("removed");
    assert!(files.open(&row).is_err());
    files.remove(&job).expect("nothing is left to remove");
}

fn reader_fault(files: &BulkFiles, row: &BulkFileRow) -> Fault {
    files
        .open(row)
        .and_then(|reader| reader.text())
        .expect_err("not as it was written")
        .fault()
}

#[test]
fn an_empty_file_has_a_list_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (files, job) = (files(folder.path()), new_name());
    files.make(&job).expect("made");
    let row = files
        .begin(&job, 0, OUTPUT, "Goal")
        .and_then(|writer| writer.finish(1))
        .expect("whole");
    let reader = files.open(&row).expect("there");
    assert_eq!(
        (reader.text().expect("text"), reader.shares().expect("a list")),
        (String::new(), Vec::new())
    );
    assert!(is_name(&job) && !is_name("../x") && !is_name(&job.to_uppercase().replace('0', "G")));
}

#[test]
fn a_file_goes_on_after_its_whole_pieces_and_what_is_no_piece_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let (files, job) = (files(folder.path()), new_name());
    files.make(&job).expect("made");
    let text: Vec<u8> = (0..3 * PIECE_BYTES + 10).map(|at| b'a' + (at % 23) as u8).collect();
    let mut writer = files.begin(&job, 0, OUTPUT, "Goal").expect("begun");
    writer.put(&text[..2 * PIECE_BYTES + 5]).expect("written");
    let name = writer.name().to_owned();
    writer.leave();
    // As a crash may leave it: some bytes of a piece.
    let path = files.folder_of(&job).join(&name);
    let mut left = OpenOptions::new().append(true).open(&path).expect("there");
    left.write_all(&[7; 3 * PIECE_BYTES]).expect("written");
    let mut came = Vec::new();
    let mut take = |piece: &[u8]| -> Result<(), Failure> {
        came.extend_from_slice(piece);
        Ok(())
    };
    let again = files.go_on((&job, &name), (OUTPUT, "Goal"), &mut take).expect("opens");
    let mut again = again.expect("there");
    assert_eq!(again.bytes(), 2 * PIECE_BYTES as i64);
    assert_eq!(came, &text[..2 * PIECE_BYTES]);
    again.put(&text[2 * PIECE_BYTES..]).expect("written");
    let row = again.finish(1).expect("whole");
    assert_eq!((row.bytes, row.name.as_str()), (text.len() as i64, name.as_str()));
    assert_eq!(row.sha256, crate::secret::sha256(&text));
    assert_eq!(files.open(&row).expect("opens").text().expect("text").as_bytes(), text);
    let none = files.go_on((&job, "nothing"), (OUTPUT, "Goal"), &mut |_| Ok(()));
    assert!(none.expect("looked").is_none());
    // One that is neither whole nor left is removed.
    let dropped = files.begin(&job, 0, OUTPUT, "Goal").expect("begun");
    let gone = files.folder_of(&job).join(dropped.name());
    drop(dropped);
    assert!(!gone.exists());
}

//! How the file is made, changed, cut off and wrapped again.

use super::line::LINE;
use super::*;
use crate::error::{Failure, Fault};
use crate::secret::key_lines;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

const MARK: [u8; 32] = [3; 32];

struct Bed {
    folder: tempfile::TempDir,
    ids: Arc<Mutex<Vec<u8>>>,
    keys: MemberKeys,
}

impl Bed {
    /// Over a folder; each number is a key of keys.
    fn new() -> Bed {
        let folder = tempfile::tempdir().expect("a folder");
        let ids = Arc::new(Mutex::new(vec![1]));
        let known = Arc::clone(&ids);
        let read = move |_: bool| -> Result<Vec<(String, [u8; 32])>, Failure> {
            let ids = known.lock().expect("the ids").clone();
            Ok(ids.into_iter().map(|id: u8| (format!("k{id}"), [id; 32])).collect())
        };
        let keys = MemberKeys::at(folder.path().join("own").join(MEMBER_KEYS_FILE), Arc::new(read));
        Bed { folder, ids, keys }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("own").join(MEMBER_KEYS_FILE)
    }

    fn length(&self) -> usize {
        usize::try_from(fs::metadata(self.path()).expect("a file").len()).expect("a size")
    }

    fn reader(&self) -> KeyReader {
        self.keys.reader(&MARK).expect("read").expect("a file")
    }

    fn fault(&self, start: KeyStart) -> Fault {
        self.keys.ready(&MARK, start).expect_err("refused").fault()
    }
}

fn sealing(reader: &KeyReader, slot: KeySlot, entry_id: &str, text: &str) -> Option<Vec<u8>> {
    reader.seal(slot, ValuePlace::Note(entry_id), text.as_bytes())
}

/// The text beside an entry; `None` when its key is gone.
fn opening(reader: &KeyReader, entry_id: &str, sealed: &[u8]) -> Option<String> {
    let bytes = reader.open(ValuePlace::Note(entry_id), sealed).expect("keys of keys");
    bytes.map(|bytes| String::from_utf8(bytes).expect("a text"))
}

#[test]
fn a_key_that_is_destroyed_opens_nothing_and_the_others_stay() {
    let bed = Bed::new();
    assert_eq!(
        bed.fault(KeyStart::Never),
        Fault::SealKeys,
        "a file that is lost is not made again"
    );
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    assert_eq!(fs::metadata(bed.path()).expect("a file").mode() & 0o777, 0o600);
    assert_eq!(reader.code("p1").expect("a code"), reader.code("p1").expect("a code"));
    assert_ne!(reader.code("p1").expect("a code"), reader.code("p2").expect("a code"));
    let slots = bed.keys.add(&MARK, 2).expect("added");
    assert_eq!(KeySlot::of(&slots[1].bytes()), Some(slots[1]));
    let sealed: Vec<Vec<u8>> = slots
        .iter()
        .map(|slot| sealing(&reader, *slot, "e1", "a complaint").expect("sealed"))
        .collect();
    assert_eq!(opening(&reader, "e1", &sealed[0]).as_deref(), Some("a complaint"));
    assert_eq!(opening(&reader, "e2", &sealed[0]), None, "it is of another entry");
    for _ in 0..2 {
        bed.keys.destroy(&MARK, &slots[..1]).expect("destroyed");
    }
    let again = bed.reader();
    assert_eq!(opening(&again, "e1", &sealed[0]), None);
    assert_eq!(sealing(&again, slots[0], "e1", "x"), None);
    assert_eq!(opening(&again, "e1", &sealed[1]).as_deref(), Some("a complaint"));
    let opener = ValueOpener::new(&bed.keys, Some(MARK));
    let note = |plain: &str, sealed: Option<&[u8]>| opener.note("e1", plain.to_owned(), sealed).expect("opened");
    assert_eq!(note("", Some(&sealed[0])), "", "as erased");
    assert_eq!(note("", Some(&sealed[1])), "a complaint");
    assert_eq!(note("plain", None), "plain");
    assert_eq!(note("", Some(NOTHING_SEALED)), "");
    let piece = opener.value(ValuePlace::Piece("e1", 0), &sealed[1]).expect("opened");
    assert_eq!(piece, None, "what was sealed for one place opens in no other");
}

#[test]
fn a_line_that_a_crash_cut_off_goes_and_the_keys_before_it_stay() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let first = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = sealing(&reader, first, "e", "text").expect("sealed");
    bed.keys.add(&MARK, 1).expect("added");
    let file = OpenOptions::new().write(true).open(bed.path()).expect("a file");
    for cut in [1, LINE - 1] {
        file.set_len((3 * LINE - cut) as u64).expect("cut");
        let next = bed.keys.add(&MARK, 1).expect("added")[0];
        assert_eq!((next.number, bed.length()), (2, 3 * LINE), "{cut}");
        let reader = bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
        assert_eq!(opening(&reader, "e", &sealed).as_deref(), Some("text"));
        assert!(sealing(&reader, next, "e", "text").is_some());
    }
}

#[test]
fn a_newer_key_of_keys_takes_over_and_the_older_one_can_go() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slots = bed.keys.add(&MARK, 2).expect("added");
    let sealed = sealing(&reader, slots[0], "e", "text").expect("sealed");
    let code = reader.code("p1").expect("a code");
    bed.keys.destroy(&MARK, &slots[1..]).expect("destroyed");
    bed.keys.ready(&MARK, KeyStart::Never).expect("nothing to do");
    *bed.ids.lock().expect("the ids") = vec![1, 2];
    bed.keys.ready(&MARK, KeyStart::Never).expect("wrapped again");
    *bed.ids.lock().expect("the ids") = vec![2];
    let reader = bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
    assert_eq!(opening(&reader, "e", &sealed).as_deref(), Some("text"));
    assert_eq!(reader.code("p1").expect("a code"), code);
    assert_eq!(
        sealing(&reader, slots[1], "e", "x"),
        None,
        "what was destroyed stays so"
    );
    assert_eq!(bed.length(), 3 * LINE);
    *bed.ids.lock().expect("the ids") = vec![3];
    assert_eq!(bed.fault(KeyStart::Never), Fault::SealKeys);
    let failed = bed.reader().open(ValuePlace::Note("e"), &sealed).expect_err("no key");
    assert_eq!(failed.fault(), Fault::SealKeys, "it must not be told as erased");
}

#[test]
fn hosts_that_link_to_one_file_share_its_lock_and_follow_it_when_it_is_wrapped_again() {
    let bed = Bed::new();
    let first = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slot = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = sealing(&first, slot, "e", "text").expect("sealed");
    let link = bed.folder.path().join(MEMBER_KEYS_FILE);
    std::os::unix::fs::symlink(bed.path(), &link).expect("a link");
    let ids = Arc::clone(&bed.ids);
    let read = move |_: bool| -> Result<Vec<(String, [u8; 32])>, Failure> {
        let ids = ids.lock().expect("the ids").clone();
        Ok(ids.into_iter().map(|id: u8| (format!("k{id}"), [id; 32])).collect())
    };
    let other = MemberKeys::at(link.clone(), Arc::new(read));
    *bed.ids.lock().expect("the ids") = vec![1, 2];
    other.ready(&MARK, KeyStart::Never).expect("wrapped again");
    let about = fs::symlink_metadata(&link).expect("a link");
    assert!(
        about.is_symlink(),
        "the link stays, and the file that it leads to is new"
    );
    *bed.ids.lock().expect("the ids") = vec![2];
    let read = bed.reader();
    assert_eq!(opening(&read, "e", &sealed).as_deref(), Some("text"));
    assert_eq!(
        fs::read_dir(bed.folder.path()).expect("a folder").count(),
        2,
        "no lock beside the link"
    );
}

#[test]
fn a_file_of_another_store_or_for_others_is_refused_and_an_empty_one_begins() {
    let bed = Bed::new();
    bed.keys.ready(&[4; 32], KeyStart::Anew).expect("made");
    assert_eq!(bed.fault(KeyStart::Anew), Fault::SealKeys, "another store's");
    assert_eq!(bed.keys.add(&MARK, 1).expect_err("refused").fault(), Fault::SealKeys);
    fs::write(bed.path(), "").expect("emptied");
    assert_eq!(bed.fault(KeyStart::Never), Fault::SealKeys, "its keys are lost");
    bed.keys.ready(&MARK, KeyStart::InEmptyFile).expect("begun");
    fs::set_permissions(bed.path(), fs::Permissions::from_mode(0o640)).expect("changed");
    assert_eq!(bed.fault(KeyStart::Anew), Fault::SealKeys, "others may read it");
    fs::remove_file(bed.path()).expect("removed");
    assert!(bed.keys.reader(&MARK).expect("read").is_none());
    assert!(MemberKeys::default().reader(&MARK).expect("read").is_none());
}

#[test]
fn a_rotation_wraps_all_keys_again_and_destroys_the_key_before_the_last() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slots = bed.keys.add(&MARK, 2).expect("added");
    let sealed = sealing(&reader, slots[0], "e", "text").expect("sealed");
    let code = reader.code("p1").expect("a code");
    bed.keys.destroy(&MARK, &slots[1..]).expect("destroyed");
    let path = bed.path().with_file_name(WRAPPING_KEYS_FILE);
    let first = bed.keys.rotate(&MARK).expect("rotated");
    assert_eq!(first.keys, 2);
    assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o600);
    let (copy, key) = (
        fs::read(bed.path()).expect("keys"),
        fs::read_to_string(&path).expect("a key"),
    );
    assert!(
        key.starts_with(&first.key_id) && key.lines().count() == 1,
        "{}",
        first.key_id
    );
    // The keys above the first ones are needed no more.
    bed.ids.lock().expect("the ids").clear();
    let second = bed.keys.rotate(&MARK).expect("rotated again");
    assert_ne!(first.key_id, second.key_id);
    let text = fs::read_to_string(&path).expect("a key");
    assert!(
        text.starts_with(&second.key_id) && text.lines().count() == 1,
        "only the last one is there"
    );
    let opener = ValueOpener::new(&bed.keys, Some(MARK));
    assert_eq!(opener.note("e", String::new(), Some(&sealed)).expect("opened"), "text");
    let now = bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
    assert_eq!(
        now.code("p1").expect("a code"),
        code,
        "what the database has stays right"
    );
    assert_eq!(sealing(&now, slots[1], "e", "x"), None, "what was destroyed stays so");
    // An opener that read the file before it was wrapped again reads the new one.
    bed.keys.rotate(&MARK).expect("rotated once more");
    assert_eq!(opener.note("e", String::new(), Some(&sealed)).expect("opened"), "text");
    assert_eq!(bed.keys.check(&MARK).expect("checked"), 2);
    // A copy of the file from before opens nothing any more.
    fs::write(bed.path(), copy).expect("put back");
    assert_eq!(bed.keys.check(&MARK).expect_err("no key").fault(), Fault::SealKeys);
    let failed = opener.note("e", String::new(), Some(&sealed)).expect_err("no key");
    assert_eq!(failed.fault(), Fault::SealKeys);
}

#[test]
fn a_rotation_that_a_crash_broke_off_is_ended_by_the_next_one() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slot = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = sealing(&reader, slot, "e", "text").expect("sealed");
    let path = bed.path().with_file_name(WRAPPING_KEYS_FILE);
    bed.keys.rotate(&MARK).expect("rotated");
    // The new key is there, and the file is not wrapped under it yet.
    let two = fs::read_to_string(&path).expect("a key") + &key_lines::line("new", &[9; 32]);
    fs::write(&path, two).expect("written");
    assert_eq!(opening(&bed.reader(), "e", &sealed).as_deref(), Some("text"));
    bed.keys.rotate(&MARK).expect("rotated");
    assert_eq!(fs::read_to_string(&path).expect("a key").lines().count(), 1);
    assert_eq!(opening(&bed.reader(), "e", &sealed).as_deref(), Some("text"));
    // A file of keys of keys that others may read, or that is damaged, is refused, and nothing is changed.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
    assert_eq!(bed.keys.rotate(&MARK).expect_err("refused").fault(), Fault::SealKeys);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    let kept = fs::read_to_string(&path).expect("a key");
    fs::write(&path, "no key").expect("damaged");
    assert_eq!(bed.keys.rotate(&MARK).expect_err("refused").fault(), Fault::SealKeys);
    fs::write(&path, kept).expect("put back");
    assert_eq!(opening(&bed.reader(), "e", &sealed).as_deref(), Some("text"));
}

#[test]
fn a_file_that_lacks_a_key_destroys_none_and_what_a_crash_left_beside_it_is_written_over() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let first = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = sealing(&reader, first, "e", "text").expect("sealed");
    let older = fs::read(bed.path()).expect("keys");
    let second = bed.keys.add(&MARK, 1).expect("added")[0];
    fs::write(bed.path(), &older).expect("put back");
    // It lacks the line; then it has another one in its place.
    for _ in 0..2 {
        let refused = bed.keys.destroy(&MARK, &[first, second]).expect_err("refused");
        assert_eq!(refused.fault(), Fault::SealKeys);
        assert_eq!(
            bed.keys.demand(&MARK, &[second]).expect_err("refused").fault(),
            Fault::SealKeys
        );
        bed.keys.demand(&MARK, &[first]).expect("it is there");
        assert_eq!(opening(&bed.reader(), "e", &sealed).as_deref(), Some("text"));
        bed.keys.add(&MARK, 1).expect("added");
    }
    // A line that is damaged has no key.
    let file = OpenOptions::new().write(true).open(bed.path()).expect("a file");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; LINE], LINE as u64).expect("damaged");
    bed.keys.destroy(&MARK, &[first]).expect("nothing is there");

    let left = bed.path().with_extension("new");
    fs::write(&left, &older).expect("left");
    let watched = bed.folder.path().join("watched");
    fs::hard_link(&left, &watched).expect("a second name");
    bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
    assert!(!left.exists());
    let bytes = fs::read(&watched).expect("its bytes");
    assert_eq!(bytes, vec![b'-'; older.len()]);
}

#[test]
fn a_file_with_more_keys_than_are_wrapped_at_a_time_is_wrapped_whole_and_the_old_one_written_over() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slots = bed.keys.add(&MARK, 5_000).expect("added");
    let sealed: Vec<Option<Vec<u8>>> = slots.iter().map(|slot| sealing(&reader, *slot, "e", "text")).collect();
    bed.keys.destroy(&MARK, &slots[4_095..4_096]).expect("destroyed");
    let before = bed.path().with_extension("before");
    fs::hard_link(bed.path(), &before).expect("a link");
    let length = bed.length();
    assert_eq!(bed.keys.rotate(&MARK).expect("rotated").keys, 5_000);
    assert_eq!(bed.length(), length);
    let reader = bed.reader();
    for (at, sealed) in sealed.iter().enumerate() {
        let opened = opening(&reader, "e", sealed.as_ref().expect("sealed"));
        assert_eq!(opened.is_some(), at != 4_095, "{at}");
    }
    let old = fs::read(&before).expect("the old file");
    assert!(
        old.len() == length && old.iter().all(|byte| *byte == b'-'),
        "no key stays on the disk"
    );
}

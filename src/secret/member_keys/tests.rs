//! How the file is made, changed, cut off and wrapped again.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

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

    fn fault(&self, start: KeyStart) -> Fault {
        self.keys.ready(&MARK, start).expect_err("refused").fault()
    }
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
        .map(|slot| reader.seal(*slot, "e1", "a complaint").expect("sealed"))
        .collect();
    assert_eq!(reader.open("e1", &sealed[0]).as_deref(), Some("a complaint"));
    assert_eq!(reader.open("e2", &sealed[0]), None, "it is of another entry");
    for _ in 0..2 {
        bed.keys.destroy(&MARK, &slots[..1]).expect("destroyed");
    }
    let again = bed.keys.reader().expect("read").expect("a file");
    assert_eq!(again.open("e1", &sealed[0]), None);
    assert_eq!(again.seal(slots[0], "e1", "x"), None);
    assert_eq!(again.open("e1", &sealed[1]).as_deref(), Some("a complaint"));
    let opener = bed.keys.opener();
    assert_eq!(opener.text("e1", String::new(), Some(&sealed[0])), "", "as erased");
    assert_eq!(opener.text("e1", String::new(), Some(&sealed[1])), "a complaint");
    assert_eq!(opener.text("e1", "plain".into(), None), "plain");
    assert_eq!(opener.text("e1", String::new(), Some(NOTHING_SEALED)), "");
}

#[test]
fn a_line_that_a_crash_cut_off_goes_and_the_keys_before_it_stay() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let first = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = reader.seal(first, "e", "text").expect("sealed");
    bed.keys.add(&MARK, 1).expect("added");
    let file = OpenOptions::new().write(true).open(bed.path()).expect("a file");
    for cut in [1, LINE - 1] {
        file.set_len((3 * LINE - cut) as u64).expect("cut");
        let next = bed.keys.add(&MARK, 1).expect("added")[0];
        assert_eq!((next.number, bed.length()), (2, 3 * LINE), "{cut}");
        let reader = bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
        assert_eq!(reader.open("e", &sealed).as_deref(), Some("text"));
        assert!(reader.seal(next, "e", "text").is_some());
    }
}

#[test]
fn a_newer_key_of_keys_takes_over_and_the_older_one_can_go() {
    let bed = Bed::new();
    let reader = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slots = bed.keys.add(&MARK, 2).expect("added");
    let sealed = reader.seal(slots[0], "e", "text").expect("sealed");
    let code = reader.code("p1").expect("a code");
    bed.keys.destroy(&MARK, &slots[1..]).expect("destroyed");
    bed.keys.ready(&MARK, KeyStart::Never).expect("nothing to do");
    *bed.ids.lock().expect("the ids") = vec![1, 2];
    bed.keys.ready(&MARK, KeyStart::Never).expect("wrapped again");
    *bed.ids.lock().expect("the ids") = vec![2];
    let reader = bed.keys.ready(&MARK, KeyStart::Never).expect("ready");
    assert_eq!(reader.open("e", &sealed).as_deref(), Some("text"));
    assert_eq!(reader.code("p1").expect("a code"), code);
    assert_eq!(reader.seal(slots[1], "e", "x"), None, "what was destroyed stays so");
    assert_eq!(bed.length(), 3 * LINE);
    *bed.ids.lock().expect("the ids") = vec![3];
    assert_eq!(bed.fault(KeyStart::Never), Fault::SealKeys);
    assert_eq!(
        bed.keys.reader().expect("read").expect("a file").open("e", &sealed),
        None
    );
}

#[test]
fn hosts_that_link_to_one_file_share_its_lock_and_follow_it_when_it_is_wrapped_again() {
    let bed = Bed::new();
    let first = bed.keys.ready(&MARK, KeyStart::Anew).expect("made");
    let slot = bed.keys.add(&MARK, 1).expect("added")[0];
    let sealed = first.seal(slot, "e", "text").expect("sealed");
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
    let read = bed.keys.reader().expect("read").expect("a file");
    assert_eq!(read.open("e", &sealed).as_deref(), Some("text"));
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
    assert!(bed.keys.reader().expect("read").is_none());
    assert_eq!(MemberKeys::default().reader().expect("read").map(drop), None);
}

//! Operators' reasons lie sealed in the database, under keys outside it: an erasure destroys the key first, and then neither the store nor a
//! backup from before gives the reason.

use super::kept::{Kept, WHY};
use crate::support::store::on_postgres;
use causeway::error::Fault;
use causeway::secret::member_keys::{KeySlot, KeyStart, NOTHING_SEALED};
use causeway::store::member_keys;
use std::fs;

#[test]
fn t_f06_a_backup_from_before_an_erasure_gives_no_reason_once_the_key_is_gone() {
    let kept = Kept::new();
    if on_postgres() {
        kept.put_empty_file();
    }
    let (one, other) = (kept.looked(Some("p1"), WHY), kept.looked(Some("p2"), WHY));
    let (nobody, silent) = (kept.looked(None, "a monthly look"), kept.looked(Some("p1"), ""));
    assert_eq!(kept.row(&one), (WHY.to_owned(), None), "plain at first");
    assert_eq!(kept.seal().expect("sealed"), 4);
    assert_eq!(kept.seal().expect("nothing left"), 0);
    for id in [&one, &other, &nobody] {
        let (reason, sealed) = kept.row(id);
        let sealed = sealed.expect("sealed");
        assert!(
            reason.is_empty() && sealed.len() > 45,
            "{id}: more than a version, a slot, a nonce and a code"
        );
        assert!(!String::from_utf8_lossy(&sealed).contains("Lima"), "{id}");
    }
    assert_eq!(kept.row(&silent), (String::new(), Some(NOTHING_SEALED.to_vec())));
    assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
    assert_eq!(kept.shown(&nobody).as_deref(), Some("a monthly look"));
    assert_eq!(kept.shown(&silent), None);
    assert_eq!(kept.keys(), 3);

    let backup = kept.row(&one).1.expect("sealed");
    kept.erase("p1").expect("erased");
    assert_eq!(kept.row(&one), (String::new(), Some(NOTHING_SEALED.to_vec())));
    assert_eq!((kept.shown(&one), kept.keys()), (None, 2));
    kept.restore(&one, backup);
    assert_eq!(kept.shown(&one), None, "nothing opens it any more");
    assert_eq!(kept.shown(&other).as_deref(), Some(WHY), "others' stay");
    // The member may come back: then there is a new key.
    let again = kept.looked(Some("p1"), "came back");
    assert_eq!(kept.seal().expect("sealed"), 1);
    assert_eq!(kept.shown(&again).as_deref(), Some("came back"));
}

#[test]
fn an_erasure_that_ended_after_the_key_was_destroyed_goes_on() {
    let kept = Kept::new();
    if on_postgres() {
        kept.put_empty_file();
    }
    let one = kept.looked(Some("p1"), WHY);
    let store = &kept.ctx.store;
    let mark = store.write_blocking(member_keys::mark).expect("a mark");
    // What a crash leaves between the key and its row: a key that is nobody's.
    kept.ctx.member_keys.ready(&mark, KeyStart::Anew).expect("begun");
    kept.ctx.member_keys.add(&mark, 1).expect("added");
    assert_eq!(kept.keys(), 0);
    kept.seal().expect("sealed");
    assert_eq!(kept.keys(), 1);
    let reader = kept.ctx.member_keys.ready(&mark, KeyStart::Never).expect("ready");
    let codes = [reader.code("p1").expect("a code")];
    let slots = store
        .read_blocking(|db| member_keys::slots_of(db, &codes))
        .expect("read");
    let slots: Vec<KeySlot> = slots.into_values().collect();
    assert_eq!(slots.len(), 1);
    kept.ctx.member_keys.destroy(&mark, &slots).expect("destroyed");
    assert!(kept.row(&one).1.expect("sealed").len() > 60);
    assert_eq!(kept.shown(&one), None, "it reads as erased already");
    let late = kept.looked(Some("p1"), "a late look");
    kept.seal().expect("nothing to seal it under");
    assert_eq!(kept.row(&late), ("a late look".to_owned(), None));
    kept.erase("p1").expect("erased");
    for id in [&one, &late] {
        assert_eq!(kept.row(id), (String::new(), Some(NOTHING_SEALED.to_vec())));
    }
    assert_eq!(kept.keys(), 0);
}

#[test]
fn without_its_file_of_keys_a_store_makes_no_other_and_erases_nothing() {
    let kept = Kept::new();
    let one = kept.looked(Some("p1"), WHY);
    if on_postgres() {
        assert_eq!(kept.seal().expect("not here"), 0, "nobody put a file for all processes");
        assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
        kept.put_empty_file();
    }
    kept.seal().expect("sealed");
    let aside = kept.path.with_extension("aside");
    fs::rename(&kept.path, &aside).expect("moved");
    assert_eq!(
        kept.look_refused(),
        Fault::SealKeys,
        "what is sealed is not told as erased"
    );
    let late = kept.looked(Some("p2"), WHY);
    assert_eq!(kept.seal().expect_err("no file").fault(), Fault::SealKeys);
    assert_eq!(kept.erase("p1").expect_err("no file").fault(), Fault::SealKeys);
    kept.put_empty_file();
    assert_eq!(kept.seal().expect_err("an empty file").fault(), Fault::SealKeys);
    assert_eq!(kept.look_refused(), Fault::SealKeys);
    assert_eq!(kept.row(&late), (WHY.to_owned(), None), "it stays as it is");
    fs::rename(&aside, &kept.path).expect("put back");
    assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
    assert!(kept.seal().expect("sealed") > 0);
    assert_eq!(kept.shown(&late).as_deref(), Some(WHY));
    assert_eq!(kept.erasures(), 0, "what was refused was not begun");
    kept.erase("p1").expect("erased");
    assert_eq!(kept.shown(&one), None);
}

#[test]
fn with_an_older_file_of_keys_no_member_is_erased_whose_key_it_lacks() {
    let kept = Kept::new();
    if on_postgres() {
        kept.put_empty_file();
    }
    kept.looked(Some("p1"), WHY);
    kept.seal().expect("sealed");
    let older = fs::read(&kept.path).expect("keys");
    let two = kept.looked(Some("p2"), WHY);
    kept.seal().expect("sealed");
    let newest = fs::read(&kept.path).expect("keys");
    assert!(newest.len() > older.len());
    fs::write(&kept.path, older).expect("put back");
    assert_eq!(kept.erase("p2").expect_err("no such line").fault(), Fault::SealKeys);
    // Since then another member has the place of its line.
    kept.looked(Some("p3"), WHY);
    kept.seal().expect("sealed");
    assert_eq!(kept.erase("p2").expect_err("another line").fault(), Fault::SealKeys);
    assert_eq!((kept.erasures(), kept.keys()), (0, 3), "nothing was begun or forgotten");
    fs::write(&kept.path, newest).expect("put back");
    assert_eq!(kept.shown(&two).as_deref(), Some(WHY));
    kept.erase("p2").expect("erased");
    assert_eq!((kept.shown(&two), kept.keys()), (None, 2));
}

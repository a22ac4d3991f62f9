//! Operators' reasons lie sealed in the database, under keys outside it: an erasure destroys the key first, and then neither the store nor a
//! backup from before gives the reason.

use crate::exchange::bed::context;
use crate::support::store::{TestStore, on_postgres};
use causeway::audit::note_sealing::seal_notes;
use causeway::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use causeway::bulk::files::BulkFiles;
use causeway::config::Config;
use causeway::context::Context;
use causeway::erasure::{ErasureReason, ErasureWish, LegalBasis, erase};
use causeway::error::{Failure, Fault};
use causeway::ops::ledger::{LedgerFilter, list};
use causeway::secret::member_keys::{KeySlot, KeyStart, MEMBER_KEYS_FILE, MemberKeys, NOTHING_SEALED};
use causeway::store::schema::{erasure, member_key, operator_note};
use causeway::store::{Db, member_keys};
use causeway::telemetry::Correlation;
use diesel::prelude::*;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600_000;
const WHY: &str = "Mrs. Lima asked who saw her record";

struct Kept {
    ctx: Context,
    path: PathBuf,
    _store: TestStore,
}

impl Kept {
    fn new() -> Kept {
        let store = TestStore::fresh();
        let path = store.place.folder.path().join("own").join(MEMBER_KEYS_FILE);
        let above = |_: bool| -> Result<Vec<(String, [u8; 32])>, Failure> { Ok(vec![("k".to_owned(), [7; 32])]) };
        let ctx = Context {
            member_keys: MemberKeys::at(path.clone(), Arc::new(above)),
            ..context(&store, NOW)
        };
        Kept {
            ctx,
            path,
            _store: store,
        }
    }

    /// An empty file, as somebody puts it where all processes of a PostgreSQL store reach it.
    fn put_empty_file(&self) {
        fs::create_dir_all(self.path.parent().expect("a folder")).expect("made");
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)
            .expect("an empty file");
    }

    /// An operator looked at this member, ten minutes ago. Returns the id of the entry.
    fn looked(&self, patient: Option<&str>, reason: &str) -> String {
        let at_ms = NOW - 600_000;
        let id = self.ctx.ids.new_id(at_ms);
        let actor = Actor {
            kind: "operator",
            ..Actor::default()
        };
        let mut entry = LedgerEvent::new(Action::OperatorViewed, actor, Correlation::internal(id.clone()));
        entry.object = patient.map(|patient| Object {
            kind: "Patient",
            id: patient.to_owned(),
        });
        entry.note = Some(OperatorNote {
            operator: "ana".to_owned(),
            reason: reason.to_owned(),
        });
        let own = id.clone();
        let write = move |db: &mut Db| ledger::append(db, &entry, &own, at_ms * 1_000);
        self.ctx.store.write_blocking(write).expect("appended");
        id
    }

    fn seal(&self) -> Result<usize, Failure> {
        seal_notes(&self.ctx, &|write| self.ctx.store.write_blocking(write))
    }

    /// What the database has of a reason.
    fn row(&self, id: &str) -> (String, Option<Vec<u8>>) {
        let read = |db: &mut Db| {
            Ok(operator_note::table
                .find(id)
                .select((operator_note::reason, operator_note::sealed))
                .first(db)?)
        };
        self.ctx.store.read_blocking(read).expect("a note")
    }

    /// What an auditor is shown.
    fn shown(&self, id: &str) -> Option<String> {
        let filter = LedgerFilter {
            limit: 100,
            ..LedgerFilter::default()
        };
        let page = self
            .ctx
            .store
            .read_blocking(|db| list(db, &filter, &self.ctx.member_keys))
            .expect("a page");
        let item = page.items.into_iter().find(|item| item.id == id);
        item.expect("the entry").note
    }

    /// Puts a sealed reason back, as a restored backup would.
    fn restore(&self, id: &str, sealed: Vec<u8>) {
        let own = id.to_owned();
        let write = move |db: &mut Db| {
            diesel::update(operator_note::table.find(&own))
                .set(operator_note::sealed.eq(Some(sealed.clone())))
                .execute(db)?;
            Ok(())
        };
        self.ctx.store.write_blocking(write).expect("restored");
    }

    fn keys(&self) -> i64 {
        let read = |db: &mut Db| Ok(member_key::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    fn erasures(&self) -> i64 {
        let read = |db: &mut Db| Ok(erasure::table.count().get_result(db)?);
        self.ctx.store.read_blocking(read).expect("a number")
    }

    fn erase(&self, patient: &str) -> Result<(), Failure> {
        let wish = ErasureWish {
            patient_id: patient.to_owned(),
            reason: ErasureReason::TestData,
            legal_basis: Some(LegalBasis::NoDutyToKeep),
            with_record: false,
            operator: "ana".to_owned(),
        };
        let files = BulkFiles::new(&Config::load(None, []).expect("a configuration"));
        erase(&self.ctx, &files, &wish, false).map(drop)
    }
}

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
        assert!(reason.is_empty() && sealed.len() > 60, "{id}");
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
    assert_eq!(kept.shown(&one), None);
    let late = kept.looked(Some("p2"), WHY);
    assert_eq!(kept.seal().expect_err("no file").fault(), Fault::SealKeys);
    assert_eq!(kept.erase("p1").expect_err("no file").fault(), Fault::SealKeys);
    kept.put_empty_file();
    assert_eq!(kept.seal().expect_err("an empty file").fault(), Fault::SealKeys);
    assert_eq!(kept.row(&late), (WHY.to_owned(), None), "it stays as it is");
    fs::rename(&aside, &kept.path).expect("put back");
    assert_eq!(kept.shown(&one).as_deref(), Some(WHY));
    assert!(kept.seal().expect("sealed") > 0);
    assert_eq!(kept.shown(&late).as_deref(), Some(WHY));
    assert_eq!(kept.erasures(), 0, "what was refused was not begun");
    kept.erase("p1").expect("erased");
    assert_eq!(kept.shown(&one), None);
}
